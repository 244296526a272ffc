use std::fmt::Write as _;
use std::time::Instant;

use updraft_model::{Schedule, TaskKind};

use super::*;

fn good(text: &str) -> DagSpec {
    let parsed = parse("x.yaml", text.as_bytes());
    assert!(parsed.errors.is_empty(), "{}", parsed.errors[0]);
    parsed.dags.into_iter().next().expect("a DAG")
}

/// The mistakes as text, one blank line between them.
fn bad(text: &str) -> String {
    let parsed = parse("x.yaml", text.as_bytes());
    assert!(!parsed.errors.is_empty(), "no mistake found in {text}");
    parsed.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

const SALES: &str = r#"# yaml-language-server: $schema=./dag.schema.json
apiVersion: updraft/v1
dag_id: sales_daily
schedule: "0 6 * * *"
timezone: Europe/Stockholm
start_date: 2026-01-01
catchup: false
max_active_runs: 1
dagrun_timeout: 2h
tags: [sales, etl]
x-anchors:
  small: &small { requests: { cpu: 500m, memory: 1Gi } }
default_args: { retries: 2, retry_delay: 5m, owner: data-eng, image: ghcr.io/acme/etl:1.4 }
params:
  region: { type: string, default: eu, enum: [eu, us] }
  limit: 10
tasks:
  extract:
    cmds: [python, -m, etl]
    arguments: ["--day", "{{ ds }}", 1.10]
    env_vars: { REGION: "{{ params.region }}", PORT: 0080, VERSION: 1.10, DEBUG: no, SECRET: {valueFrom: {secretKeyRef: {name: s, key: k}}} }
    container_resources: *small
    node_selector: { pool: batch }
  check:
    bash_command: "echo {{ ds }}"
    env: { A: 1 }
    retries: 0
    retry_exponential_backoff: true
    skip_on_exit_code: 42
  nothing: { operator: empty }
  load:
    needs: [extract, check]
    trigger_rule: all_done
    execution_timeout: PT5M
    pool_slots: 2
  leaf: { operator: empty, needs: load, weight_rule: absolute, priority_weight: -3 }
"#;

#[test]
fn the_native_shape_is_read_whole() {
    let dag = good(SALES);
    assert_eq!(dag.schedule, Schedule::Cron { expressions: vec!["0 6 * * *".into()], data_intervals: None });
    assert_eq!(dag.start_date.unwrap().to_rfc3339(), "2025-12-31T23:00:00+00:00");
    assert_eq!((dag.catchup, dag.max_active_runs, dag.dagrun_timeout_ms), (Some(false), Some(1), Some(7_200_000)));
    assert_eq!(dag.tags, ["etl", "sales"]);
    assert_eq!(dag.params["region"].schema["enum"], serde_json::json!(["eu", "us"]));
    assert_eq!(dag.params["limit"].value, 10);
    assert_eq!(dag.default_args["owner"], "data-eng");
    let ids: Vec<_> = dag.tasks.iter().map(|task| task.task_id.as_str()).collect();
    assert_eq!(ids, ["extract", "check", "nothing", "load", "leaf"]);

    let TaskKind::Pod(pod) = &dag.tasks[0].run else { panic!("{:?}", dag.tasks[0].run) };
    assert_eq!(pod.image.as_deref(), Some("ghcr.io/acme/etl:1.4"));
    assert_eq!(pod.arguments, ["--day", "{{ ds }}", "1.10"]);
    let env: Vec<_> = pod.env_vars.iter().map(|v| (v.name.as_str(), v.value.as_deref())).collect();
    let expect = [
        ("REGION", Some("{{ params.region }}")),
        ("PORT", Some("0080")),
        ("VERSION", Some("1.10")),
        ("DEBUG", Some("no")),
        ("SECRET", None),
    ];
    assert_eq!(env, expect);
    assert_eq!(pod.env_vars[4].value_from.as_ref().unwrap()["secretKeyRef"]["key"], "k");
    assert_eq!(pod.container_resources.as_ref().unwrap()["requests"]["cpu"], "500m");
    assert_eq!(pod.rest["node_selector"]["pool"], "batch");
    assert_eq!((dag.tasks[0].retries, dag.tasks[0].retry_delay_ms, dag.tasks[0].owner.as_str()), (2, 300_000, "data-eng"));

    let TaskKind::Bash { bash_command, env, skip_on_exit_code, .. } = &dag.tasks[1].run else { panic!() };
    assert_eq!((bash_command.as_str(), skip_on_exit_code.as_slice()), ("echo {{ ds }}", &[42][..]));
    assert_eq!(env.as_ref().unwrap()["A"], "1");
    assert_eq!((dag.tasks[1].retries, dag.tasks[1].retry_exponential_backoff_milli), (0, 2_000));
    assert_eq!(dag.tasks[2].run, TaskKind::Empty);
    assert_eq!(dag.tasks[3].execution_timeout_ms, Some(300_000));
    assert_eq!(dag.tasks[4].upstream[0].as_str(), "load");
}

#[test]
fn a_list_of_tasks_json_and_several_documents_work() {
    let dag = good("dag_id: a\ntasks:\n- task_id: one\n  bash_command: 'true'\n- {task_id: two, dependencies: [one]}\n");
    assert_eq!(dag.tasks[1].upstream[0].as_str(), "one");
    let dag = good(r#"{"dag_id": "j", "schedule": "@daily", "tasks": {"a": {"bash_command": "echo \u00e9"}, "b": null}}"#);
    assert_eq!(dag.tasks.len(), 2);
    let parsed = parse("m.yaml", b"dag_id: a\ntasks: {}\n---\ndag_id: b\ntasks: {}\n---\n");
    assert_eq!((parsed.dags.len(), parsed.errors.len()), (2, 0));
    // A broken document does not hide the one beside it.
    let parsed = parse("m.yaml", b"dag_id: a\ntasks: {}\n---\ndag_id: b\ntsks: {}\n");
    assert_eq!((parsed.dags.len(), parsed.errors.is_empty()), (1, false));
}

#[test]
fn schedules() {
    for (text, expect) in [
        ("null", Schedule::None),
        ("'@once'", Schedule::Once),
        ("'@continuous'", Schedule::Continuous),
        ("30m", Schedule::Delta { every_ms: 1_800_000, data_intervals: None }),
        ("PT1H", Schedule::Delta { every_ms: 3_600_000, data_intervals: None }),
        ("90", Schedule::Delta { every_ms: 90_000, data_intervals: None }),
        ("'@daily'", Schedule::Cron { expressions: vec!["@daily".into()], data_intervals: None }),
        ("'*/5 * * * *'", Schedule::Cron { expressions: vec!["*/5 * * * *".into()], data_intervals: None }),
        (
            "['0 6 * * *', '0 18 * * *']",
            Schedule::Cron { expressions: vec!["0 6 * * *".into(), "0 18 * * *".into()], data_intervals: None },
        ),
    ] {
        assert_eq!(good(&format!("dag_id: a\nschedule: {text}\ntasks: {{}}\n")).schedule, expect, "{text}");
    }
}

#[test]
fn mistakes_have_their_line_a_caret_and_a_remedy() {
    for (text, expect) in [
        (
            "dag_id: a\nshcedule: '@daily'\ntasks: {}\n",
            "error[unknown_key]: unknown key `shcedule`\n --> x.yaml:2:1\n  |\n2 | shcedule: '@daily'\n  | ^^^^^^^^\n  = help: did you mean `schedule`?",
        ),
        (
            "dag_id: a\ntasks:\n  t:\n    bash_comand: echo\n",
            "error[unknown_key]: unknown key `bash_comand`\n --> x.yaml:4:5\n  |\n4 |     bash_comand: echo\n  |     ^^^^^^^^^^^\n  = help: did you mean `bash_command`?",
        ),
        (
            "dag_id: a\ntasks:\n  t: {retries: lots}\n",
            "error[invalid]: expected a whole number of at least 0, found the text \"lots\"\n --> x.yaml:3:16\n  |\n3 |   t: {retries: lots}\n  |                ^^^^",
        ),
        (
            "dag_id: a\ntasks:\n  t: {retry_delay: 5 parsecs}\n",
            "error[invalid]: \"5 parsecs\" is not a duration: write 30s, 5m, 1h30m, 2d, PT5M or a number of seconds\n --> x.yaml:3:20\n  |\n3 |   t: {retry_delay: 5 parsecs}\n  |                    ^^^^^^^^^",
        ),
        (
            "dag_id: a\ntasks:\n  t: {trigger_rule: all_sucess}\n",
            "error[invalid]: `all_sucess` is not a known word here\n --> x.yaml:3:21\n  |\n3 |   t: {trigger_rule: all_sucess}\n  |                     ^^^^^^^^^^\n  = help: did you mean `all_success`?",
        ),
        (
            "dag_id: a\ntasks:\n  extract:\n  load: {needs: [extrat]}\n",
            "error[invalid]: task `load` needs `extrat`, which this DAG does not have\n --> x.yaml:4:18\n  |\n4 |   load: {needs: [extrat]}\n  |                  ^^^^^^\n  = help: did you mean `extract`?",
        ),
        (
            "dag_id: a\ntasks:\n- task_id: one\n- task_id: one\n",
            "error[invalid]: task id `one` is used twice\n --> x.yaml:4:12\n  |\n4 | - task_id: one\n  |            ^^^\n  = help: the first is on line 3",
        ),
        (
            "dag_id: a\ntasks:\n  one:\n  one:\n",
            "error[invalid]: `one` is given twice\n --> x.yaml:4:3\n  |\n4 |   one:\n  |   ^^^\n  = help: the first is on line 3",
        ),
        (
            "dag_id: a\ntasks:\n  first:\n  x: {needs: z}\n  y: {needs: x}\n  z: {needs: y}\n",
            "error[invalid]: the tasks wait for each other in a circle: y → z → x → y\n --> x.yaml:5:3\n  |\n5 |   y: {needs: x}\n  |   ^\n  = help: take one of these out of `needs`",
        ),
        (
            "dag_id: a\ntimezone: Europe/Stokholm\ntasks: {}\n",
            "error[invalid]: there is no time zone \"Europe/Stokholm\"\n --> x.yaml:2:11\n  |\n2 | timezone: Europe/Stokholm\n  |           ^^^^^^^^^^^^^^^\n  = help: did you mean `Europe/Stockholm`?",
        ),
        (
            "dag_id: a b\ntasks: {}\n",
            "error[invalid]: \"a b\" holds ' ': an id is made of letters, digits, dashes, dots and underscores\n --> x.yaml:1:9\n  |\n1 | dag_id: a b\n  |         ^^^",
        ),
        (
            "dag_id: a\nschedule: 0 0 6 * * *\ntasks: {}\n",
            "error[invalid]: \"0 0 6 * * *\" has more than five fields\n --> x.yaml:2:11\n  |\n2 | schedule: 0 0 6 * * *\n  |           ^^^^^^^^^^^\n  = help: cron has minute, hour, day of month, month, day of week: seconds and years are not supported",
        ),
        (
            "dag_id: a\nstart_date: last week\ntasks: {}\n",
            "error[invalid]: \"last week\" is not a date\n --> x.yaml:2:13\n  |\n2 | start_date: last week\n  |             ^^^^^^^^^\n  = help: write 2026-01-31, 2026-01-31 06:00 or 2026-01-31T06:00:00+01:00",
        ),
        (
            "dag_id: a\ntasks:\n  t: {bash_command: x, image: y}\n",
            "error[invalid]: `image` has no meaning for a task of operator bash\n --> x.yaml:3:24\n  |\n3 |   t: {bash_command: x, image: y}\n  |                        ^^^^^\n  = help: a bash task runs on the worker: leave it out, or use `image` with `cmds: [bash, -c]`",
        ),
        (
            "dag_id: a\ntasks:\n  t: {cmds: [x]}\n",
            "error[invalid]: task `t` has no `image`\n --> x.yaml:3:3\n  |\n3 |   t: {cmds: [x]}\n  |   ^\n  = help: a pod needs an image: give one here or in default_args",
        ),
        (
            "dag_id: a\nmax_active_runs: 0\ntasks: {}\n",
            "error[invalid]: max_active_runs of a is 0: it must be at least 1\n --> x.yaml:2:18\n  |\n2 | max_active_runs: 0\n  |                  ^",
        ),
        (
            "dag_id: a\ntasks:\n  t: {operator: PythonOperator}\n",
            "error[invalid]: there is no operator \"PythonOperator\"\n --> x.yaml:3:17\n  |\n3 |   t: {operator: PythonOperator}\n  |                 ^^^^^^^^^^^^^^\n  = help: YAML has bash, pod, empty, latest_only, and sensors and branches of times and other DAGs; Python code runs as a pod of an image that holds it",
        ),
        (
            "dag_id: a\nschedule: '@dayly'\ntasks: {}\n",
            "error[invalid]: there is no preset \"@dayly\"\n --> x.yaml:2:11\n  |\n2 | schedule: '@dayly'\n  |           ^^^^^^^^\n  = help: did you mean `@daily`?",
        ),
    ] {
        assert_eq!(bad(text), expect, "\nof {text}");
    }
}

#[test]
fn types_are_told_in_words() {
    for (task, expect) in [
        ("{retries: -1}", "expected a whole number of at least 0, found `-1`"),
        ("{depends_on_past: maybe}", "expected true or false, found the text \"maybe\""),
        ("{owner: [a]}", "expected text, found a list"),
        ("{env: {A: {b: c}}, bash_command: x}", "expected text, found a map"),
        ("{priority_weight: 1.5}", "expected a whole number, found `1.5`"),
        ("{skip_on_exit_code: no}", "expected an exit code or a list of exit codes"),
        ("[a]", "expected a task: a map such as `{bash_command: echo hi}`"),
    ] {
        let text = bad(&format!("dag_id: a\ntasks:\n  t: {task}\n"));
        assert!(text.starts_with(&format!("error[invalid]: {expect}\n --> x.yaml:3:")), "{task}\n{text}");
    }
}

#[test]
fn several_mistakes_are_told_at_once() {
    let text = bad("dag_id: a\nschedul: x\ntasks:\n  one: {retries: -1}\n  two: {pool_slot: 2}\n  three: {bash_command: echo}\n");
    for part in ["x.yaml:2:1", "x.yaml:4:18", "x.yaml:5:9"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let mut many = String::from("dag_id: a\ntasks:\n");
    for i in 0..100 {
        let _ = writeln!(many, "  t{i}: {{zzzzzzz: 1}}");
    }
    let parsed = parse("x.yaml", many.as_bytes());
    assert_eq!(parsed.errors.len(), MAX_ERRORS + 1);
    assert_eq!(parsed.errors[MAX_ERRORS].message, "80 more mistakes are not shown");
}

#[test]
fn what_is_no_dag_is_told_apart() {
    for text in ["replicas: 3\nimage: {tag: x}\n", "- hosts: all\n  tasks: []\n", "", "just text", "version: '3'\ntasks: {build: {}}\n"] {
        let parsed = parse("x.yaml", text.as_bytes());
        assert!(!parsed.is_dag_file, "{text}");
        assert_eq!((parsed.dags.len(), parsed.errors[0].kind), (0, Kind::NoDag));
    }
    assert!(!parse("x.yaml", b"{{- if .Values.x }}\na: [\n").is_dag_file);
    assert!(parse("x.yaml", b"dag_id: a\ntasks: [\n").is_dag_file);
}

#[test]
fn syntax_and_bytes() {
    assert!(bad("dag_id: a\ntasks:\n  t: [1, 2\n").starts_with("error[syntax]: this is not YAML: "));
    assert!(bad("dag_id: a\ntasks:\n\tt: 1\n").contains("--> x.yaml:3:"));
    assert!(bad("dag_id: !!python/object:os.system x\ntasks: {}\n").contains("has no meaning here"));
    let parsed = parse("x.yaml", b"dag_id: a\nname: \xff\n");
    assert_eq!((parsed.errors[0].kind, parsed.errors[0].line), (Kind::Syntax, Some(2)));
}

#[test]
fn bombs_cost_one_error() {
    let mut bomb = String::from("dag_id: a\nx-a: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..30 {
        let _ = writeln!(bomb, "x-{i}: &a{i} [{}]", vec![format!("*a{}", i - 1); 10].join(", "));
    }
    bomb.push_str("tasks: {}\n");
    let before = Instant::now();
    let text = bad(&bomb);
    assert!(text.contains("the aliases of this file expand to more than"), "{text}");

    let deep = format!("dag_id: a\ntasks: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert!(bad(&deep).starts_with("error[too_large]: "), "{}", bad(&deep));
    let mut block = String::from("dag_id: a\nx-deep:\n");
    for i in 1..2_000 {
        let _ = writeln!(block, "{}a:", " ".repeat(i));
    }
    assert!(bad(&block).starts_with("error[too_large]: "), "{}", bad(&block));
    let chained: String = (1..200).map(|i| format!("x-{i}: &c{i} [*c{}]\n", i - 1)).collect();
    assert!(bad(&format!("dag_id: a\nx-0: &c0 [1]\n{chained}tasks: {{}}\n")).contains("deeper than"));

    let huge = format!("dag_id: a\ntasks: {{}}\n# {}\n", "x".repeat(20 * 1024 * 1024));
    let parsed = parse("x.yaml", huge.as_bytes());
    assert_eq!((parsed.errors.len(), parsed.errors[0].kind, parsed.is_dag_file), (1, Kind::TooLarge, true));
    assert!(before.elapsed().as_secs() < 5, "took {:?}", before.elapsed());
}

#[test]
fn a_hundred_thousand_tasks_parse_in_seconds() {
    let mut text = String::from("dag_id: wide\ndefault_args: {retries: 1, owner: me}\ntasks:\n");
    for i in 0..100_000 {
        let needs = if i == 0 { String::new() } else { format!(", needs: [t{}]", i - 1) };
        let _ = writeln!(text, "  t{i}: {{bash_command: echo {i} of a long day, pool: big{needs}}}");
    }
    assert!(text.len() > 6_000_000, "{}", text.len());
    let before = Instant::now();
    let dag = good(&text);
    assert_eq!(dag.tasks.len(), 100_000);
    // About 1 s in a debug build of an idle machine.
    assert!(before.elapsed().as_secs() < 20, "took {:?}", before.elapsed());
    println!("100,000 tasks, {} bytes: {:?}", text.len(), before.elapsed());
}

#[test]
fn merge_keys_and_anchors() {
    let dag = good(
        "dag_id: a\nx-d: &d {pool: p, retries: 3}\ntasks:\n  one: {<<: *d, bash_command: x, retries: 1}\n  two: {<<: [*d], bash_command: y}\n",
    );
    let seen: Vec<_> = dag.tasks.iter().map(|t| (t.pool.as_str(), t.retries)).collect();
    assert_eq!(seen, [("p", 1), ("p", 3)]);
}

#[test]
fn the_schema_is_of_the_right_draft_and_describes_each_key() {
    let schema = json_schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    for (name, property) in schema["properties"].as_object().unwrap() {
        let described = property.get("description").is_some() || property.get("$ref").is_some();
        assert!(described, "{name} has no description: {property}");
    }
    let task = &schema["$defs"]["TaskShape"]["properties"];
    for key in ["needs", "bash_command", "image", "retry_delay", "volumes"] {
        assert!(task[key]["description"].is_string(), "{key}: {}", task[key]);
    }
    assert!(schema["required"].as_array().unwrap().contains(&Value::from("dag_id")));
}

#[test]
fn damaged_files_never_panic() {
    // A small generator of its own: equal runs, no dependency.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let odd: &[&[u8]] = &[
        b"&a",
        b"*a",
        b"<<: ",
        b"!!str ",
        b"{",
        b"]",
        b"\n",
        b"\t",
        b"- ",
        b": ",
        b"\xff",
        "\u{feff}é".as_bytes(),
        b"|\n",
        b"---\n",
        b"\"",
        b"9e999",
    ];
    for _ in 0..4_000 {
        let mut bytes = SALES.as_bytes().to_vec();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            match random(3) {
                0 => drop(bytes.drain(at..(at + random(40)).min(bytes.len()))),
                1 => drop(bytes.splice(at..at, odd[random(odd.len())].iter().copied())),
                _ => bytes[at] = odd[random(odd.len())][0],
            }
        }
        let parsed = parse("x.yaml", &bytes);
        assert!(!parsed.dags.is_empty() || !parsed.errors.is_empty());
        parsed.errors.iter().for_each(|error| assert!(error.to_string().len() < 10_000));
    }
}

#[test]
fn large_merges_and_many_unknown_names_take_no_square_of_time() {
    let before = Instant::now();
    let entries: String = (0..50_000).map(|i| format!("k{i}: 1, ")).collect();
    let own: String = (0..50_000).map(|i| format!("o{i}: 1, ")).collect();
    parse("x.yaml", format!("dag_id: a\nx-a: &a {{{entries}}}\nx-b: {{<<: *a, {own}}}\ntasks: {{}}\n").as_bytes());
    let tasks: String = (0..20_000).map(|i| format!("  t{i}: {{needs: u{i}}}\n")).collect();
    assert_eq!(parse("x.yaml", format!("dag_id: a\ntasks:\n{tasks}").as_bytes()).errors.len(), MAX_ERRORS + 1);
    assert!(before.elapsed().as_secs() < 30, "took {:?}", before.elapsed());
}

#[test]
fn files_of_dag_factory_are_read() {
    let text = r#"
default:
  default_args:
    owner: data
    start_date: 2026-01-01
    retries: 1
    retry_delay_sec: 30
  concurrency: 4
  default_view: tree

sales:
  schedule_interval: "0 6 * * *"
  catchup: false
  default_args:
    retries: 2
    execution_timeout: {__type__: datetime.timedelta, minutes: 5}
  task_groups:
    load:
      tooltip: all tables
      dependencies: [extract]
  tasks:
    extract:
      operator: airflow.operators.bash.BashOperator
      bash_command: "echo {{ ds }}"
    orders:
      operator: airflow.providers.cncf.kubernetes.operators.pod.KubernetesPodOperator
      image: etl:1
      arguments: [orders]
      task_group_name: load
    items:
      operator: airflow.operators.python.PythonOperator
      python_callable_name: load
      python_callable_file: /dags/load.py
      task_group_name: load
      dependencies: [orders]
      retries: 5
    done:
      operator: airflow.operators.dummy_operator.DummyOperator
      dependencies: [load]

second:
  tasks:
    - task_id: one
      operator: airflow.operators.bash_operator.BashOperator
      bash_command: "true"
    - task_id: two
      operator: airflow.operators.bash_operator.BashOperator
      bash_command: "true"
      dependencies: [one]
"#;
    let parsed = parse("factory.yaml", text.as_bytes());
    assert!(parsed.errors.is_empty(), "{}", parsed.errors[0]);
    let [sales, second] = &parsed.dags[..] else { panic!("{:?}", parsed.dags) };
    assert_eq!((sales.dag_id.as_str(), sales.max_active_tasks, sales.catchup), ("sales", Some(4), Some(false)));
    assert_eq!(sales.start_date.unwrap().to_rfc3339(), "2026-01-01T00:00:00+00:00");
    assert_eq!(sales.schedule, Schedule::Cron { expressions: vec!["0 6 * * *".to_owned()], data_intervals: None });
    let of = |id: &str| sales.tasks.iter().find(|task| task.task_id.as_str() == id).unwrap_or_else(|| panic!("{id}"));
    let needs = |id: &str| of(id).upstream.iter().map(|id| id.as_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(needs("load.orders"), ["extract"]);
    assert_eq!(needs("load.items"), ["extract", "load.orders"]);
    assert_eq!(needs("done"), ["load.items", "load.orders"]);
    assert_eq!((of("extract").retries, of("load.items").retries, of("extract").retry_delay_ms), (2, 5, 30_000));
    assert_eq!((of("extract").execution_timeout_ms, of("extract").owner.as_str()), (Some(300_000), "data"));
    assert_eq!((sales.task_groups[0].group_id.as_str(), of("load.items").task_group.as_deref()), ("load", Some("load")));
    assert!(matches!(of("load.orders").run, TaskKind::Pod(_)) && matches!(of("done").run, TaskKind::Empty));
    let TaskKind::Airflow(items) = &of("load.items").run else { panic!("{:?}", of("load.items")) };
    assert_eq!(
        (items.reason.as_str(), &items.arguments["python_callable_name"]),
        ("PythonOperator is Python code, which YAML does not bring along", &serde_json::json!("load"))
    );
    assert_eq!(second.tasks[1].upstream[0].as_str(), "one");
    assert!(parsed.warnings.iter().any(|warning| warning.message.contains("default_view")));

    // Mistakes are told where they stand.
    let parsed = parse("factory.yaml", text.replace("dependencies: [one]", "dependencies: [onne]").as_bytes());
    assert_eq!((parsed.dags.len(), parsed.errors.len()), (1, 1));
    assert!(parsed.errors[0].message.contains("needs `onne`") && parsed.errors[0].line == Some(49), "{}", parsed.errors[0]);
}

#[test]
fn setups_and_teardowns() {
    let dag = good(
        "dag_id: d\ndefault_args: {trigger_rule: none_failed}\ntasks:\n  create: {}\n  use: {needs: create}\n  drop: {needs: use, teardown: {setups: [create], on_failure_fail_dagrun: true}}\n  \
         other: {setup: true}\n  clean: {needs: [other, use], teardown: true}\n  not: {teardown: false}\n",
    );
    let told: Vec<_> = dag
        .tasks
        .iter()
        .map(|task| (task.task_id.as_str(), task.is_setup, task.is_teardown, task.on_failure_fail_dagrun, task.trigger_rule.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("create", true, false, false, "none_failed"),
            ("use", false, false, false, "none_failed"),
            ("drop", false, true, true, "all_done_setup_success"),
            ("other", true, false, false, "none_failed"),
            ("clean", false, true, false, "all_done_setup_success"),
            ("not", false, false, false, "none_failed"),
        ]
    );
    let upstream: Vec<&str> = dag.tasks[2].upstream.iter().map(|id| id.as_str()).collect();
    assert_eq!(upstream, ["create", "use"], "a setup that is named is needed");

    let wrong = |task: &str| bad(&format!("dag_id: d\ntasks:\n  create: {{setup: true}}\n  drop: {task}\n"));
    let unknown = wrong("{teardown: {setups: [creat]}}");
    assert!(unknown.contains("task `drop` is the teardown of `creat`, which this DAG does not have"), "{unknown}");
    assert!(unknown.contains("did you mean `create`?") && unknown.contains("x.yaml:4:30"), "{unknown}");
    assert!(wrong("{setup: true, teardown: true}").contains("is setup and teardown"));
    assert!(wrong("{teardown: true, trigger_rule: all_done}").contains("is a teardown and has a trigger rule"));
    assert!(wrong("{teardown: {setups: [drop]}}").contains("`drop` is a teardown and cannot be the setup of another"));
    let shape = wrong("{teardown: {setup: [create]}}");
    assert!(shape.contains("expected true, or a map with `setups`"), "{shape}");
    assert!(bad("dag_id: d\ndefault_args: {teardown: true}\ntasks: {}\n").contains("`teardown` belongs to one task"));
}

#[test]
fn what_the_scheduler_does_itself_has_airflows_words() {
    let dag = good(
        r#"dag_id: d
timezone: Europe/Berlin
default_args: {poke_interval: 30s}
tasks:
  until: {operator: airflow.sensors.date_time.DateTimeSensor, target_time: 2026-03-01 06:00, timeout: 1h, soft_fail: true}
  later: {operator: DateTimeSensor, target_time: "{{ data_interval_end }}", mode: reschedule}
  clock: {operator: TimeSensor, target_time: "06:30"}
  after: {operator: TimeDeltaSensor, delta: 2h}
  pause: {operator: WaitSensor, time_to_wait: 5m}
  day: {operator: DayOfWeekSensor, week_day: [friday, 1], use_task_logical_date: true}
  other: {external_dag_id: up, external_task_ids: [a, b], failed_states: [failed, upstream_failed], execution_delta: 1h}
  whole: {operator: ExternalTaskSensor, external_dag_id: up, timeout: 2d}
  go: {trigger_dag_id: down, conf: {day: "{{ ds }}"}, wait_for_completion: true, poke_interval: 10, logical_date: null}
  early: {operator: BranchDateTimeOperator, target_lower: "22:00", target_upper: 2026-03-01 06:00, follow_task_ids_if_true: after, follow_task_ids_if_false: [pause]}
  weekend: {operator: BranchDayOfWeekOperator, week_day: [Saturday, Sunday], follow_task_ids_if_true: [], follow_task_ids_if_false: go}
"#,
    );
    let of = |id: &str| {
        let task = dag.tasks.iter().find(|task| task.task_id.as_str() == id).unwrap();
        serde_json::to_value(&task.run).unwrap()
    };
    let wait = |id: &str| of(id)["what"].clone();
    use serde_json::json;
    assert_eq!(
        of("until"),
        json!({"kind": "wait", "what": {"kind": "moment", "target_time": "2026-03-01T05:00:00+00:00"},
        "poke_interval_ms": 30_000, "timeout_ms": 3_600_000, "soft_fail": true})
    );
    assert_eq!(wait("later"), json!({"kind": "moment", "target_time": "{{ data_interval_end }}"}));
    assert_eq!(of("later")["timeout_ms"], 604_800_000, "as Airflow's sensors: a week");
    assert_eq!(wait("clock"), json!({"kind": "time_of_day", "target_time": "06:30:00"}));
    assert_eq!(wait("after"), json!({"kind": "delta", "delta_ms": 7_200_000}));
    assert_eq!(of("pause"), json!({"kind": "wait", "what": {"kind": "duration", "duration_ms": 300_000}, "poke_interval_ms": 30_000}));
    assert_eq!(wait("day"), json!({"kind": "weekday", "days": [1, 5], "of_logical_date": true}));
    assert_eq!(
        wait("other"),
        json!({"kind": "external", "external_dag_id": "up", "external_task_ids": ["a", "b"], "allowed_states": ["success"],
        "failed_states": ["failed", "upstream_failed"], "execution_delta_ms": 3_600_000})
    );
    assert_eq!(wait("whole"), json!({"kind": "external", "external_dag_id": "up", "allowed_states": ["success"]}));
    assert_eq!(
        wait("go"),
        json!({"kind": "run", "trigger_dag_id": "down", "conf": {"day": "{{ ds }}"}, "wait_for_completion": true,
        "no_logical_date": true, "allowed_states": ["success"], "failed_states": ["failed"]})
    );
    assert_eq!(of("go")["poke_interval_ms"], 10_000);
    assert_eq!(
        of("early"),
        json!({"kind": "branch", "test": {"kind": "between", "lower": "22:00:00", "upper": "2026-03-01T05:00:00+00:00"},
        "if_true": ["after"], "if_false": ["pause"]})
    );
    assert_eq!(of("weekend"), json!({"kind": "branch", "test": {"kind": "weekday", "days": [6, 7]}, "if_true": [], "if_false": ["go"]}));
    let classes: Vec<&str> = dag.tasks.iter().map(|task| task.operator.as_str()).collect();
    assert_eq!(classes[6..9], ["ExternalTaskSensor", "ExternalTaskSensor", "TriggerDagRunOperator"]);

    let wrong = |task: &str| bad(&format!("dag_id: d\ntasks:\n  a: {{operator: {task}}}\n"));
    for (task, words) in [
        ("DateTimeSensor", "task `a` has no `target_time`"),
        ("DateTimeSensor, target_time: tomorrow", "\"tomorrow\" is not a date"),
        ("TimeSensor, target_time: 25:00", "\"25:00\" is no time of the day"),
        ("WaitSensor, time_to_wait: 5", "a bare number is minutes in Airflow"),
        ("DayOfWeekSensor, week_day: Mondey", "did you mean `Monday`?"),
        ("DayOfWeekSensor, week_day: []", "names no day"),
        ("ExternalTaskSensor, external_dag_id: x, allowed_states: [upstream_failed]", "which is no state"),
        ("ExternalTaskSensor, external_dag_id: x, failed_states: [success]", "the state success is named twice"),
        ("ExternalTaskSensor, external_dag_id: x, external_task_id: y, external_task_ids: [z]", "leave one out"),
        ("TriggerDagRunOperator, trigger_dag_id: x, conf: [1]", "`conf` is no map"),
        (
            "BranchDateTimeOperator, follow_task_ids_if_true: a, follow_task_ids_if_false: a",
            "has neither `target_lower` nor `target_upper`",
        ),
        ("BranchDayOfWeekOperator, week_day: Monday, follow_task_ids_if_true: b, follow_task_ids_if_false: a", "goes on with `b`, which"),
        ("TimeSensor, target_time: \"06:00\", delta: 5m", "`delta` has no meaning for a task of operator TimeSensor"),
        ("TimeSensor, target_time: \"06:00\", image: x", "its own keys are target_time, poke_interval"),
        ("bash, bash_command: x, soft_fail: true", "`soft_fail` has no meaning for a task of operator bash"),
        ("ExternalTaskSenser, external_dag_id: x", "did you mean `ExternalTaskSensor`?"),
    ] {
        let told = wrong(task);
        assert!(told.contains(words), "{task}: {told}");
    }
}

#[test]
fn groups_of_tasks() {
    let dag = good(
        r#"dag_id: d
task_groups:
  load: {tooltip: all of it, needs: extract}
  inner: {parent: load, needs: [orders]}
  empty:
tasks:
  extract: {}
  orders: {task_group: load}
  items: {task_group: inner}
  prices: {task_group: inner, needs: items}
  done: {needs: load}
  also: {needs: [inner, extract]}
"#,
    );
    let needs: Vec<String> = dag
        .tasks
        .iter()
        .map(|task| format!("{} < {}", task.task_id, task.upstream.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(" ")))
        .collect();
    assert_eq!(
        needs,
        ["extract < ", "orders < extract", "items < orders", "prices < items", "done < prices", "also < extract prices"],
        "a group begins where nothing of it comes before, and ends where nothing of it comes after"
    );
    let groups: Vec<_> =
        dag.task_groups.iter().map(|group| (group.group_id.as_str(), group.parent.as_deref(), group.tooltip.as_deref())).collect();
    assert_eq!(groups, [("load", None, Some("all of it")), ("inner", Some("load"), None), ("empty", None, None)]);
    assert_eq!(dag.tasks[2].task_group.as_deref(), Some("inner"));

    let wrong = |groups: &str, tasks: &str| bad(&format!("dag_id: d\ntask_groups: {groups}\ntasks: {tasks}\n"));
    for (groups, tasks, words) in [
        ("{g: {parent: h}}", "{}", "group `g` is in `h`, which this DAG does not have"),
        ("{g: {parent: h}, h: {parent: g}}", "{}", "is inside itself"),
        ("{load: }", "{a: {task_group: lod}}", "did you mean `load`?"),
        ("{a: }", "{a: }", "`a` is a task and a group"),
        ("{g: }", "{a: {task_group: g, needs: g}}", "needs the group `g`, which it is in"),
        ("{g: {needs: b}}", "{a: {task_group: g}}", "group `g` needs `b`, which this DAG does not have"),
        ("{g: {needs: a}}", "{a: {task_group: g}}", "which is a part of it"),
        ("{g: {needs: x, color: red}}", "{}", "unknown key `color`"),
    ] {
        let told = wrong(groups, tasks);
        assert!(told.contains(words), "{groups} {tasks}: {told}");
    }
}

#[test]
fn sensors_of_dag_factory_wait_without_airflow() {
    let text = r#"
third:
  default_args: {start_date: 2026-01-01}
  tasks:
    other:
      operator: airflow.sensors.external_task.ExternalTaskSensor
      external_dag_id: sales
      external_task_id: done
      execution_delta: {__type__: datetime.timedelta, hours: 1}
      mode: reschedule
      timeout: 7200
    pause: {operator: airflow.providers.standard.sensors.time_delta.WaitSensor, time_to_wait: 5, dependencies: [other]}
    code: {operator: airflow.sensors.external_task.ExternalTaskSensor, external_dag_id: sales, execution_date_fn_name: f}
"#;
    let parsed = parse("factory.yaml", text.as_bytes());
    assert!(parsed.errors.is_empty(), "{}", parsed.errors[0]);
    let runs: Vec<_> = parsed.dags[0].tasks.iter().map(|task| serde_json::to_value(&task.run).unwrap()).collect();
    assert_eq!((&runs[0]["what"]["execution_delta_ms"], &runs[0]["timeout_ms"]), (&3_600_000.into(), &7_200_000.into()));
    assert_eq!(runs[1]["what"], serde_json::json!({"kind": "duration", "duration_ms": 300_000}), "a number is minutes there");
    assert_eq!(runs[2]["kind"], "airflow", "what only Airflow's own class knows");
}
