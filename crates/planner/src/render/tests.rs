//! Tables of templates and what Airflow makes of them.

use proptest::prelude::*;
use serde_json::json;
use updraft_model::Schedule;
use updraft_model::dag::Param;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn param(value: Json) -> Param {
    Param { value, schema: BTreeMap::new(), description: None }
}

fn dag() -> DagSpec {
    let mut dag: DagSpec = serde_json::from_value(json!({"dag_id": "sales", "schedule": {"kind": "none"}, "tasks": []})).unwrap();
    dag.schedule = Schedule::Cron { expressions: vec!["@daily".to_owned()], data_intervals: None };
    dag.start_date = Some(at("2026-01-01T00:00:00Z"));
    dag.tags = vec!["etl".to_owned()];
    dag.params = [("region", json!("eu")), ("n", json!(3)), ("flag", json!(true)), ("none", Json::Null), ("list", json!(["a", 1]))]
        .map(|(name, value)| (name.to_owned(), param(value)))
        .into();
    dag
}

fn context() -> RenderContext {
    let mut run = RunFacts::new(Arc::new(dag()), Semantics::Airflow3, "scheduled__2026-03-01", at("2026-03-01T00:00:00Z"));
    run.run_type = "scheduled".to_owned();
    run.logical_date = Some(at("2026-03-01T00:00:00Z"));
    run.start_date = Some(at("2026-03-01T00:00:07.5Z"));
    run.conf = json!({"who": "me", "n": 4, "deep": {"x": [1, 2]}});
    let variables =
        [("greeting", "hej"), ("cfg", r#"{"a": {"b": 7}}"#), ("api_key", "canary"), ("mixed", r#"{"host": "h", "password": "canary"}"#)];
    let connections = [
        ("pg", json!({"conn_type": "postgres", "host": "db", "port": 5432, "extra": "{\"ssl\": true}"})),
        ("aws", json!({"conn_type": "aws", "password": "***", "extra": "{\"region\": \"eu\", \"deep\": {\"role_secret\": \"canary\"}}"})),
    ];
    let mut ctx = RenderContext::new(Arc::new(run));
    ctx.settings = Arc::new(Settings {
        variables: variables.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        connections: connections.map(|(k, v)| (k.to_owned(), v)).into(),
        ..Settings::default()
    });
    ctx.try_number = 2;
    ctx.xcoms = Arc::new(
        [
            (("extract".to_owned(), "return_value".to_owned()), json!({"rows": 12})),
            (("extract".to_owned(), "path".to_owned()), json!("s3://b/k")),
            (("other".to_owned(), "return_value".to_owned()), json!(5)),
        ]
        .into(),
    );
    ctx
}

fn task(run: Json) -> TaskSpec {
    serde_json::from_value(json!({"task_id": "t", "run": run})).unwrap()
}

fn bash(command: &str) -> TaskSpec {
    task(json!({"kind": "bash", "bash_command": command}))
}

fn show(ctx: &RenderContext, template: &str) -> Result<String, Error> {
    render(ctx, &bash(template)).map(|spec| spec.argv[2].clone())
}

#[test]
fn folder_comes_before_environment_and_that_before_the_database() {
    let mut ctx = context();
    let named = |pairs: &[(&str, &str)]| -> BTreeMap<String, Result<String, String>> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Ok((*value).to_owned()))).collect()
    };
    let why = || Err("/secrets/variables/broken cannot be read: permission denied".to_owned());
    let mut folder = Outside { variables: named(&[("greeting", "of the folder"), ("my_token", "canary")]), ..Outside::default() };
    folder.variables.insert("broken".to_owned(), why());
    folder.connections.insert("pg".to_owned(), Ok(json!({"conn_type": "postgres", "host": "mounted", "password": "***"})));
    let environment = Outside {
        variables: named(&[("GREETING", "of the environment"), ("REGION", "eu"), ("BROKEN", "eu")]),
        connections: [
            ("MY-HTTP".to_owned(), Ok(json!({"conn_type": "http", "host": "h"}))),
            ("BAD".to_owned(), Err("bad is no URI".to_owned())),
        ]
        .into(),
        unreadable: None,
    };
    let mut settings = Settings { environment: Arc::new(environment), ..(*ctx.settings).clone() };
    ctx.settings = Arc::new(settings.clone());
    assert_eq!(show(&ctx, "{{ var.value.greeting }} {{ conn.pg.host }}").unwrap(), "of the environment db");
    settings.folder = Arc::new(folder);
    ctx.settings = Arc::new(settings.clone());
    for (template, expect) in [
        ("{{ var.value.greeting }} {{ var.value.region }} {{ var.json.cfg.a.b }}", "of the folder eu 7"),
        ("{{ conn.pg.host }} {{ conn.pg.port }} {{ conn.get('my-http').conn_type }}", "mounted None http"),
        ("{{ var.value.get('nope', 'x') }} {{ conn.get('nope', 'y') }}", "x y"),
    ] {
        assert_eq!(show(&ctx, template).unwrap(), expect);
    }
    for (template, words) in [
        ("{{ var.value.my_token }}", "var.value.my_token is secret"),
        ("{{ conn.pg.password }}", "conn.pg.password is secret"),
        // Neither the value of the environment nor a default may stand in for it.
        ("{{ var.value.get('broken', 'x') }}", "task t, bash_command: /secrets/variables/broken cannot be read: permission denied"),
        ("{{ var.json.broken.a }}", "/secrets/variables/broken cannot be read"),
        ("{{ conn.bad.host }}", "bad is no URI"),
    ] {
        let error = show(&ctx, template).unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains("canary"), "{template}: {error}");
    }
    settings.folder = Arc::new(Outside { unreadable: Some("/secrets is gone".to_owned()), ..Outside::default() });
    ctx.settings = Arc::new(settings.clone());
    for template in ["{{ var.value.greeting }}", "{{ conn.pg.host }}", "{{ var.value.get('nope', 'x') }}"] {
        assert!(show(&ctx, template).unwrap_err().to_string().contains("/secrets is gone"), "{template}");
    }
    assert_eq!(show(&ctx, "{{ ds }}").unwrap(), "2026-03-01", "whoever asks for none of it goes on");
    assert!(!format!("{settings:?}").contains("mounted") && !format!("{:?}", settings.environment).contains("of the"));
}

#[test]
fn what_is_secret_is_not_rendered() {
    let ctx = context();
    for (template, name) in [
        ("{{ var.value.api_key }}", "var.value.api_key"),
        ("{{ var.value.get('api_key', 'none') }}", "var.value.api_key"),
        ("{{ var.json.api_key }}", "var.json.api_key"),
        ("{{ var.value.mixed }}", "var.value.mixed"),
        ("{{ var.json.mixed.password }}", "var.json.mixed.password"),
        ("{{ var.json.mixed }}", "var.json.mixed.password"),
        ("{% for k in var.json.mixed %}{{ var.json.mixed[k] }}{% endfor %}", "var.json.mixed.password"),
        ("{{ conn.aws.password }}", "conn.aws.password"),
        ("{{ conn.aws.extra }}", "conn.aws.extra"),
        ("{{ conn.aws.extra_dejson.deep.role_secret }}", "conn.aws.extra_dejson.deep.role_secret"),
        ("{{ conn.get('aws').password[:1] }}", "conn.aws.password"),
        ("{% if conn.aws.password %}yes{% endif %}", "conn.aws.password"),
    ] {
        let error = show(&ctx, template).unwrap_err();
        assert!(matches!(&error, Error::Secret { name: found, .. } if found == name), "{template}: {error:?}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    for (template, expect) in [
        ("{{ var.json.mixed.host }}", "h"),
        ("{{ conn.aws.extra_dejson.region }}", "eu"),
        ("{{ conn.aws.extra_dejson['deep'] is mapping }}", "True"),
        ("{{ conn.pg.password }}", "None"),
    ] {
        assert_eq!(show(&ctx, template).unwrap(), expect, "{template}");
    }
}

#[test]
fn expressions() {
    let ctx = context();
    let mut wrong = Vec::new();
    for (template, expect) in [
        ("echo ${HOME} {x}", "echo ${HOME} {x}"),
        ("echo\n", "echo"),
        (
            "{{ ds }} {{ ds_nodash }} {{ ts }} {{ ts_nodash }} {{ ts_nodash_with_tz }}",
            "2026-03-01 20260301 2026-03-01T00:00:00+00:00 20260301T000000 20260301T000000+0000",
        ),
        ("{{ logical_date }}|{{ execution_date.isoformat() }}", "2026-03-01 00:00:00+00:00|2026-03-01T00:00:00+00:00"),
        (
            "{{ yesterday_ds }} {{ tomorrow_ds_nodash }} {{ next_ds }} {{ prev_ds_nodash }} {{ next_execution_date.day }}",
            "2026-02-28 20260302 2026-03-02 20260228 2",
        ),
        (
            "{{ data_interval_start | ds }} {{ data_interval_end | ts }} {{ run_id }} {{ prev_start_date_success }}",
            "2026-03-01 2026-03-01T00:00:00+00:00 scheduled__2026-03-01 None",
        ),
        (
            "{{ macros.ds_add(ds, -1) }} {{ macros.ds_add('2024-02-28', 1) }} {{ macros.ds_format(ds, '%Y-%m-%d', '%d/%m/%y') }}",
            "2026-02-28 2024-02-29 01/03/26",
        ),
        ("{{ (execution_date - macros.timedelta(days=1)).strftime('%Y/%m/%d') }}", "2026/02/28"),
        ("{{ logical_date + macros.timedelta(hours=1, minutes=30) }}", "2026-03-01 01:30:00+00:00"),
        ("{{ (logical_date - macros.datetime(2026, 2, 27)).days if false else 1 - 2 }}", "-1"),
        ("{{ (data_interval_end - logical_date.subtract(days=2)).total_seconds() | int }}", "172800"),
        (
            "{{ logical_date.add(months=-1).to_date_string() }} {{ logical_date.subtract(days=1).format('YYYYMMDD') }}",
            "2026-02-01 20260228",
        ),
        (
            "{{ logical_date.in_timezone('Europe/Stockholm') }} {{ logical_date.end_of('month') }}",
            "2026-03-01 01:00:00+01:00 2026-03-31 23:59:59.999999+00:00",
        ),
        (
            "{{ logical_date.replace(day=15).date() }} {{ logical_date.year }}-{{ '%02d' | format(logical_date.month) }} {{ logical_date.int_timestamp }}",
            "2026-03-15 2026-03 1772323200",
        ),
        (
            "{{ logical_date.timestamp() | int }} {{ logical_date.weekday() }} {{ logical_date > macros.datetime(2026, 1, 1) }}",
            "1772323200 6 True",
        ),
        (
            "{{ dag_run.start_date }} {{ macros.datetime.strptime('20260102', '%Y%m%d').strftime('%d %b') }}",
            "2026-03-01 00:00:07.500000+00:00 02 Jan",
        ),
        ("{{ params.region }} {{ params['n'] + 1 }} {{ params.flag }} {{ params.none }} {{ params.list }}", "eu 5 True None ['a', 1]"),
        (
            "{{ dag_run.conf['who'] }} {{ dag_run.conf.get('nope', 'x') }} {{ dag_run.conf['deep'] }} {{ dag_run.run_type }}",
            "me x {'x': [1, 2]} scheduled",
        ),
        (
            "{{ dag.dag_id }}.{{ task.task_id }} {{ ti.try_number }} {{ task_instance.dag_id }} {{ task_instance_key_str }} {{ dag }} {{ dag.tags }}",
            "sales.t 2 sales sales__t__20260301 <DAG: sales> ['etl']",
        ),
        (
            "{{ ti.xcom_pull(task_ids='extract')['rows'] }} {{ ti.xcom_pull('extract', key='path') }} {{ ti.xcom_pull(task_ids=['extract', 'other']) }}",
            "12 s3://b/k [{'rows': 12}, 5]",
        ),
        ("{{ ti.xcom_pull(task_ids='none') }} {{ task_instance.xcom_pull(task_ids='none', default='d') }}", "None d"),
        (
            "{{ var.value.greeting }} {{ var.json.cfg.a.b }} {{ var.value.get('no', 'fallback') }} {{ var.json.get('no', default_var=1) }}",
            "hej 7 fallback 1",
        ),
        (
            "{{ conn.pg.host }}:{{ conn.pg.port }} {{ conn.pg.extra_dejson.ssl }} {{ conn.get('pg').conn_type }} {{ conn.pg.login }}",
            "db:5432 True postgres None",
        ),
        ("{{ macros.json.dumps(dag_run.conf.deep) }} {{ params.list | tojson }}", "{\"x\": [1, 2]} [\"a\", 1]"),
        (
            "{{ ds.replace('-', '/') }} {{ ds.split('-')[0] }} {{ 'A b'.lower().upper().title() }} {{ '-'.join(['a', 'b']) }} {{ ds[:4] }}",
            "2026/03/01 2026 A B a-b 2026",
        ),
        (
            "{{ '{}-{x}'.format(ds_nodash, x=1) }} {{ ' x '.strip() }} {{ '7'.zfill(3) }} {{ ds.startswith('2026') }}",
            "20260301-1 x 007 True",
        ),
        (
            "{% for i in range(5) %}\n    echo {{ ds }}\n    echo {{ macros.ds_add(ds, 7)}}\n{% endfor %}",
            "\n    echo 2026-03-01\n    echo 2026-03-08\n\n    echo 2026-03-01\n    echo 2026-03-08\n\n    echo 2026-03-01\n    echo 2026-03-08\n\n    echo 2026-03-01\n    echo 2026-03-08\n\n    echo 2026-03-01\n    echo 2026-03-08\n",
        ),
        (
            "{% for i in range(params.n - 1) %}{{ macros.ds_add(ds, -i) }} {{ params.region }}{% if not loop.last %},{% endif %}{% endfor %}",
            "2026-03-01 eu,2026-02-28 eu,2026-02-27 eu",
        ),
        (
            "{% raw %}{{ ds }}{% endraw %}{# gone #} {{ 'a' + 'b' }} {{ [1] + [2] }} {{ 1.5 + 1 }} {{ x | default('d') }}",
            "{{ ds }} ab [1, 2] 2.5 d",
        ),
        ("{{ macros.timedelta(days=1, hours=2) }} {{ test_mode }} {{ inlets }} {{ partition_key }}", "1 day, 2:00:00 False [] None"),
    ] {
        match show(&ctx, template) {
            Ok(found) if found == expect => {}
            other => wrong.push(format!("{template}\n  expected {expect:?}\n  found    {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_value_is_no_template_and_no_text_of_a_command() {
    let mut ctx = context();
    let said = "{{ run_id }} $(id) {% for x in y %}";
    Arc::make_mut(&mut ctx.run).conf = json!({"said": said});
    assert_eq!(show(&ctx, "{{ dag_run.conf['said'] }}").unwrap(), said, "it is rendered once");
    // By the environment it reaches a command as one word.
    let task: TaskSpec = serde_json::from_value(json!({
        "task_id": "t", "run": {"kind": "bash", "bash_command": "echo \"$SAID\"", "env": {"SAID": "{{ dag_run.conf['said'] }}"}},
    }))
    .unwrap();
    let launch = render(&ctx, &task).unwrap();
    assert_eq!((launch.argv[2].as_str(), launch.env["SAID"].as_str()), ("echo \"$SAID\"", said));
}

#[test]
fn errors_name_the_task_the_field_the_line_and_the_name() {
    let ctx = context();
    let mut wrong = Vec::new();
    for (template, parts) in [
        ("\n{{ foo }}", &["task t, bash_command, line 2", "'foo' is undefined", "default("] as &[&str]),
        ("{{ params.nope }}", &["'params.nope' is undefined", "params"]),
        ("{{ var.value.nope }}", &["'var.value.nope' is undefined", "create the variable"]),
        ("{{ conn.nope.host }}", &["'conn.nope' is undefined", "create the connection"]),
        ("{{ foo - 1 }}", &["'foo' is undefined"]),
        ("{{ ds.nope() }}", &["nope"]),
        ("a\nb {{ ds", &["line 2", "syntax error"]),
        ("echo ${#list[@]}", &["raw"]),
        ("{{ macros.datetime.now() }}", &["reads the clock"]),
        ("{{ macros.yaml.safe_load('a') }}", &["macros.yaml.safe_load is not supported"]),
        ("{{ logical_date - 1 }}", &["makes no sense"]),
        ("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", &["runs for too long"]),
    ] {
        let text = show(&ctx, template).map_err(|error| error.to_string());
        match text {
            Err(text) if parts.iter().all(|part| text.contains(part)) => {}
            other => wrong.push(format!("{template:?}\n  wanted {parts:?}\n  found {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn pod(fields: Json) -> TaskSpec {
    let mut run = json!({"kind": "pod"});
    run.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(json!({"task_id": "p", "owner": "data", "execution_timeout_ms": 5000, "run": run})).unwrap()
}

#[test]
fn a_pod_becomes_a_command_and_the_rest() {
    let task = pod(json!({
        "image": "etl:{{ params.region }}", "name": "load-{{ ds_nodash }}", "namespace": "jobs",
        "cmds": ["python", "-m"], "arguments": ["etl", "--day={{ ds }}"],
        "env_vars": [
            {"name": "DAY", "value": "{{ ds }}"}, {"name": "EMPTY"},
            {"name": "NODE", "value_from": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        ],
        "labels": {"day": "{{ ds }}"}, "do_xcom_push": true, "skip_on_exit_code": [42],
        "container_resources": {"limits": {"memory": "{{ params.n }}Gi"}},
        "rest": {"node_selector": {"zone": "{{ params.region }}"}, "affinity": {"x": "{{ ds }}"}},
    }));
    let spec = render(&context(), &task).unwrap();
    assert_eq!((spec.argv, spec.entrypoint_length), (vec!["python".into(), "-m".into(), "etl".into(), "--day=2026-03-01".into()], 2));
    assert_eq!(spec.image.as_deref(), Some("etl:eu"));
    // `n` is 3 in the DAG and 4 in the run's conf.
    assert_eq!(spec.memory_limit, Some(4 << 30));
    assert!(spec.xcom);
    assert_eq!((spec.skip_on_exit_code, spec.timeout_ms, spec.try_number), (vec![42], Some(5000), 2));
    assert_eq!(spec.env["DAY"], "2026-03-01");
    assert_eq!(spec.env["EMPTY"], "");
    assert_eq!(spec.env["AIRFLOW_CTX_DAG_OWNER"], "data");
    assert_eq!(
        spec.pod.unwrap(),
        json!({
            "name": "load-20260301", "namespace": "jobs", "labels": {"day": "2026-03-01"}, "on_finish_action": "delete_pod",
            "env_vars": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
            "env_order": ["DAY", "EMPTY", "NODE"],
            "container_resources": {"limits": {"memory": "4Gi"}},
            "node_selector": {"zone": "eu"},
            // Airflow does not render affinity.
            "affinity": {"x": "{{ ds }}"},
        })
    );
    let wrong = render(&context(), &pod(json!({"container_resources": {"limits": {"memory": "lots"}}})));
    assert!(wrong.unwrap_err().to_string().contains("container_resources.limits.memory: \"lots\" is no amount of memory"));
    let wrong = render(&context(), &pod(json!({"arguments": ["ok", "{{ nope }}"]}))).unwrap_err().to_string();
    assert!(wrong.starts_with("task p, arguments[1], line 1: 'nope' is undefined"), "{wrong}");
}

#[test]
fn bash_gets_its_environment() {
    let task = |env: Json| -> TaskSpec { serde_json::from_value(json!({"task_id": "t", "run": env})).unwrap() };
    let spec = render(
        &context(),
        &task(json!({"kind": "bash", "bash_command": "echo", "env": {"A": "{{ ds }}", "AIRFLOW_CTX_DAG_ID": "x"}, "cwd": "/{{ ds }}"})),
    )
    .unwrap();
    assert_eq!(spec.argv, ["bash", "-c", "echo"]);
    assert!(spec.clear_env);
    assert_eq!(
        (spec.env["A"].as_str(), spec.env["AIRFLOW_CTX_DAG_ID"].as_str(), spec.cwd.as_deref()),
        ("2026-03-01", "sales", Some("/2026-03-01"))
    );
    for name in ["AIRFLOW_CTX_TASK_ID", "AIRFLOW_CTX_DAG_RUN_ID", "AIRFLOW_CTX_TRY_NUMBER", "AIRFLOW_CTX_LOGICAL_DATE", "UPDRAFT_RUN_ID"] {
        assert!(spec.env.contains_key(name), "{name}");
    }
    assert_eq!(spec.env["AIRFLOW_CTX_LOGICAL_DATE"], "2026-03-01T00:00:00+00:00");
    assert_eq!(spec.skip_on_exit_code, [99]);
    assert!(!spec.xcom);
    assert!(!render(&context(), &task(json!({"kind": "bash", "bash_command": "echo", "env": {}, "append_env": true}))).unwrap().clear_env);
    let file = show(&context(), "/scripts/run.sh").unwrap_err().to_string();
    assert!(file.contains("put a space after it"), "{file}");
    assert_eq!(show(&context(), "/scripts/run.sh ").unwrap(), "/scripts/run.sh ");
    assert!(matches!(render(&context(), &task(json!({"kind": "empty"}))), Err(Error::Empty { .. })));
    let theirs = task(json!({"kind": "airflow", "reason": "S3ListOperator is Airflow's own code", "arguments": {"bucket": "b"}}));
    let error = render(&context(), &theirs).unwrap_err().to_string();
    assert!(error.contains("needs an image with Airflow: S3ListOperator is Airflow's own code"), "{error}");
}

#[test]
fn a_python_task_is_handed_texts_values_and_dates() {
    let python = task(json!({"kind": "python", "templates": {"op_args[0]": "{{ ds }}", "op_kwargs['n']": "{{ ti.xcom_pull('other') }}"},
        "image": "py:1", "full_pod_spec": {"spec": {}}}));
    assert!(uses_xcom(&python) && uses_settings(&python));
    let spec = render(&context(), &python).unwrap();
    let input = &spec.python.as_ref().unwrap().input;
    assert_eq!(input["templates"], json!({"op_args[0]": "2026-03-01", "op_kwargs['n']": "5"}));
    assert_eq!(input["xcoms"], json!({"extract": {"path": "s3://b/k", "return_value": {"rows": 12}}, "other": {"return_value": 5}}));
    assert_eq!(
        (&input["dates"]["logical_date"], &input["dates"]["next_execution_date"]),
        (&json!("2026-03-01T00:00:00Z"), &json!("2026-03-02T00:00:00Z"))
    );
    assert_eq!((&input["params"]["n"], &input["run"]["conf"]["who"], &input["try_number"]), (&json!(4), &json!("me"), &json!(2)));
    assert_eq!((spec.xcom, spec.skip_on_exit_code, spec.final_exit_code), (true, vec![199], vec![198]));
    assert_eq!((spec.image.as_deref(), spec.pod), (Some("py:1"), Some(json!({"full_pod_spec": {"spec": {}}}))));
    // What is too much for all is handed to those that come after it, and what is too much for them is an error.
    let mut much = context();
    let large = json!("x".repeat(200_000));
    let xcoms = [("extract", large.clone()), ("other", large)].map(|(of, value)| ((of.to_owned(), "return_value".to_owned()), value));
    much.xcoms = Arc::new(xcoms.into());
    let mut run = (*much.run).clone();
    let mut dag = (*run.dag).clone();
    let mut after = python;
    after.upstream = vec![updraft_model::TaskId::new("extract").unwrap()];
    let named = |id: &str| serde_json::from_value::<TaskSpec>(json!({"task_id": id, "run": {"kind": "empty"}})).unwrap();
    dag.tasks = vec![named("extract"), named("other"), after.clone()];
    run.dag = Arc::new(dag.clone());
    much.run = Arc::new(run.clone());
    let spec = render(&much, &after).unwrap();
    let input = &spec.python.as_ref().unwrap().input;
    assert_eq!(input["xcoms"].as_object().unwrap().keys().collect::<Vec<_>>(), ["extract"]);
    assert_eq!((&input["xcoms_cut"], &input["xcoms_of"]), (&json!(true), &json!(["extract"])));
    dag.tasks[2].upstream.push(updraft_model::TaskId::new("other").unwrap());
    after = dag.tasks[2].clone();
    run.dag = Arc::new(dag);
    much.run = Arc::new(run);
    let error = render(&much, &after).unwrap_err().to_string();
    assert!(error.contains("are 400"), "{error}");
}

#[test]
fn xcoms_are_asked_for_only_by_templates() {
    assert!(uses_xcom(&bash("{{ ti.xcom_pull(task_ids='a') }}")));
    // A false alarm costs a query, no more.
    assert!(uses_xcom(&bash("echo xcom {{ ds }}")));
    assert!(!uses_xcom(&bash("echo xcom_pull")));
    assert!(uses_xcom(&pod(json!({"arguments": ["{{ task_instance.xcom_pull('a') }}"]}))));
    assert!(uses_xcom(&pod(json!({"rest": {"volumes": [{"name": "{{ ti.xcom_pull('a') }}"}]}}))));
    assert!(!uses_xcom(&pod(json!({"rest": {"affinity": {"name": "{{ ti.xcom_pull('a') }}"}}}))));
}

#[test]
fn chance_is_the_same_each_time_and_differs_between_tries() {
    let mut ctx = context();
    let template = "{{ macros.uuid.uuid4() }} {{ macros.uuid.uuid4() }} {{ macros.random() }}";
    let first = show(&ctx, template).unwrap();
    assert_eq!(first, show(&ctx, template).unwrap());
    let ids: Vec<&str> = first.split(' ').collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[0].as_bytes()[14], b'4');
    ctx.try_number += 1;
    assert_ne!(first, show(&ctx, template).unwrap());
}

#[test]
fn airflow_2_prints_times_as_pendulum_2() {
    let mut ctx = context();
    Arc::make_mut(&mut ctx.run).semantics = Semantics::Airflow2;
    assert_eq!(
        show(&ctx, "{{ execution_date }} {{ next_execution_date }}").unwrap(),
        "2026-03-01T00:00:00+00:00 2026-03-02T00:00:00+00:00"
    );
    Arc::make_mut(&mut ctx.run).logical_date = None;
    assert_eq!(show(&ctx, "{{ ds }}").unwrap(), "2026-03-01");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test of speed needs a clock")]
fn rendering_is_quick() {
    let ctx = context();
    for (name, task, limit) in [
        ("plain", bash("echo hello && sleep 1"), 30),
        (
            "templates",
            bash(
                "echo {{ ds }} {{ params.region }} {{ macros.ds_add(ds, 1) }} {{ (logical_date - macros.timedelta(days=1)).strftime('%Y') }}",
            ),
            200,
        ),
    ] {
        render(&ctx, &task).unwrap();
        let started = std::time::Instant::now();
        for _ in 0..1000 {
            std::hint::black_box(render(&ctx, &task).unwrap());
        }
        let each = started.elapsed() / 1000;
        println!("{name}: {each:?} each");
        // A debug build is some ten times slower than what is promised for a release build.
        let slack = if cfg!(debug_assertions) { 20 } else { 1 };
        assert!(each.as_micros() < limit * slack, "{name}: {each:?}");
    }
}

proptest! {
    #[test]
    fn nothing_that_is_written_in_a_template_panics(parts in proptest::collection::vec(proptest::sample::select(&[
        "{{", "}}", "{%", "%}", "{#", "#}", " ", "\n", "-", "+", "(", ")", "[", "]", "'", "\"", "\\", "å", "ds", "logical_date", ".", ",", "|", "1",
        "for x in ", "if ", "endif", "raw", "endraw", "set x = ", "macros.timedelta(days=1)", "params", ".strftime('%Q')", ".add(years=99999)",
    ][..]), 0..24)) {
        let ctx = context();
        let _ = show(&ctx, &parts.concat());
        let _ = show(&ctx, &format!("{{{{ {} }}}}", parts.concat()));
    }
}

#[test]
fn deep_brackets_are_an_error_not_a_crash() {
    let deep = format!("{{{{ {}1 - 1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(show(&context(), &deep).is_err());
    for template in [
        "{{ logical_date.add(years=9999999) }}",
        "{{ macros.ds_add(ds, 99999999999) }}",
        "{{ logical_date + macros.timedelta(days=1e300) }}",
        "{{ '7'.zfill(999999999) | length }}",
        "{{ logical_date.add(hours=99999999999999999) }}",
    ] {
        let _ = show(&context(), template);
    }
}

#[test]
fn mistakes_of_every_run_are_told_before_there_is_one() {
    let of = |template: &str| -> Vec<(usize, String)> {
        mistakes(&Arc::new(dag()), &bash(template)).into_iter().map(|mistake| (mistake.line, mistake.message)).collect()
    };
    for fine in [
        "plain",
        "{{ ds }} {{ params.anything }} {{ dag_run.conf.x }} {{ var.value.y }} {{ macros.ds_add(ds, 1) }} {{ macros.json.dumps(1) }}",
        "{% for i in range(3) %}{{ i }} {{ loop.index }}{% endfor %}{% set a = namespace(b=1) %}{{ a.b }}",
        "{% macro m(x) %}{{ x }}{{ caller() }}{% endmacro %}",
        "{{ execution_date - macros.timedelta(days=1) }} {{ joiner() }}",
    ] {
        assert_eq!(of(fine), [], "{fine}");
    }
    assert_eq!(of("one\n{{ bucket }}"), [(2, "there is no bucket in the context".to_owned())]);
    assert_eq!(of("{{ macros.hive.max_partition('t') }}"), [(1, "macros.hive is not supported".to_owned())]);
    assert_eq!(of("a\necho ${#list[@]}")[0].0, 2);
    let task = pod(json!({"arguments": ["ok", "{{ nope }}"], "rest": {"node_selector": {"zone": "{{ zone }}"}}}));
    let fields: Vec<String> = mistakes(&Arc::new(dag()), &task).into_iter().map(|mistake| mistake.field).collect();
    assert_eq!(fields, ["arguments[1]", "node_selector.zone"]);
}
