"""The templates that are compared: what template_facts.py asks Airflow and `crates/planner/tests/airflow_templates.rs` asks us.

One context for both sides, as plain data, and texts by what they are about. JSON in it has its keys in order: Postgres keeps no other.
"""

CONTEXT = {
    "dag": {
        "dag_id": "sales.daily", "description": "Sales of the day", "start_date": "2026-01-01T00:00:00+00:00", "schedule": "30 6 * * *",
        "tags": ["etl"], "max_active_runs": 3,
        "params": {"region": "eu", "n": 3, "ratio": 0.25, "flag": True, "off": False, "nothing": None, "list": ["a", "b", 1],
                   "map": {"deep": {"x": [1, 2]}, "k": "v"}, "text": "Some Words here", "day": "2026-02-03", "empty": "",
                   "rows": [{"n": "a", "v": 2, "s": {"t": 1}}, {"n": "b", "v": 1, "s": {"t": 2}}, {"n": "a", "v": 3, "s": {"t": 3}}]},
    },
    "task": {"task_id": "load", "upstream": ["extract"], "retries": 2, "pool": "big", "pool_slots": 2, "queue": "slow", "owner": "data",
             "priority_weight": 5, "retry_delay_seconds": 90, "params": {"of_task": "yes"}},
    "run": {
        "run_id": "manual__2026-03-01T06:30:00+00:00", "run_type": "manual", "logical_date": "2026-03-01T06:30:00+00:00",
        "data_interval_start": "2026-02-28T06:30:00+00:00", "data_interval_end": "2026-03-01T06:30:00+00:00",
        "run_after": "2026-03-01T06:30:00+00:00", "start_date": "2026-03-01T06:30:07.500000+00:00", "user": "anna",
        "conf": {"deep": {"x": [1, 2]}, "n": 4, "said": "it's \"so\"", "who": "me"},
        "previous": {"data_interval_start": "2026-02-27T06:30:00+00:00", "data_interval_end": "2026-02-28T06:30:00+00:00",
                     "start_date": "2026-02-28T06:30:01+00:00", "end_date": "2026-02-28T06:45:00+00:00"},
    },
    "try_number": 2,
    "max_tries": 2,
    "variables": {"greeting": "hej", "number": "7", "cfg": '{"a": {"b": 7}, "list": [1, 2], "off": null, "on": true}', "spaced": " x "},
    "connections": {
        "pg": {"conn_type": "postgres", "host": "db.local", "login": "reader", "port": 5432, "schema": "sales", "extra": '{"deep": {"a": 1}, "ssl": true}'},
        "bare": {"conn_type": "http", "host": "h"},
    },
    "xcoms": [["extract", "return_value", {"files": ["a.csv", "b.csv"], "rows": 12}], ["extract", "path", "s3://b/k"],
              ["count", "return_value", 5], ["name", "return_value", "x-y"]],
}

TEXTS = {
    # What Airflow 3 has in its context.
    "dates": r"""
{{ ds }}
{{ ds_nodash }}
{{ ts }}
{{ ts_nodash }}
{{ ts_nodash_with_tz }}
{{ logical_date }}
{{ data_interval_start }} {{ data_interval_end }}
{{ data_interval_start | ds }}
{{ data_interval_start | ds_nodash }}
{{ data_interval_end | ts }}
{{ data_interval_end | ts_nodash }}
{{ data_interval_end | ts_nodash_with_tz }}
{{ logical_date | ds }}/{{ logical_date|ts_nodash }}
{{ none | ds }}
{{ prev_data_interval_start_success }}
{{ prev_data_interval_start_success | ds }}
{{ prev_data_interval_end_success.isoformat() }}
{{ prev_start_date_success | ts }}
{{ prev_end_date_success.strftime('%H:%M') }}
{{ logical_date.year }}-{{ logical_date.month }}-{{ logical_date.day }} {{ logical_date.hour }}:{{ logical_date.minute }}:{{ logical_date.second }}.{{ logical_date.microsecond }}
{{ logical_date.strftime('%Y/%m/%d %H:%M:%S %j %a %A %b %B %y %p %I %U %W %u %w %%') }}
{{ logical_date.strftime('%z %Z %f %c') }}
{{ logical_date.strftime('%G-W%V') }} {{ logical_date.strftime('%D %T %F %R %e') }}
{{ logical_date.isoformat() }} {{ logical_date.isoformat(sep=' ') }} {{ logical_date.isoformat(' ') }}
{{ logical_date.date() }} {{ logical_date.time() }} {{ logical_date.date().isoformat() }} {{ logical_date.date().strftime('%d') }}
{{ logical_date.timestamp() }} {{ logical_date.int_timestamp }} {{ logical_date.float_timestamp }}
{{ logical_date.weekday() }} {{ logical_date.isoweekday() }} {{ logical_date.day_of_year }} {{ logical_date.week_of_year }} {{ logical_date.quarter }}
{{ logical_date.days_in_month }} {{ logical_date.week_of_month }} {{ logical_date.is_leap_year() }}
{{ logical_date.add(days=1) }} {{ logical_date.add(months=-1).to_date_string() }} {{ logical_date.subtract(weeks=1, hours=2) }}
{{ logical_date.add(years=1, months=1, days=1, hours=1, minutes=1, seconds=1) }}
{{ logical_date.subtract(days=1).strftime('%Y%m%d') }} {{ logical_date.subtract(days=1) | ds_nodash }}
{{ logical_date.start_of('month') }} {{ logical_date.end_of('month') }} {{ logical_date.start_of('week') }} {{ logical_date.start_of('year') | ds }}
{{ logical_date.start_of('day') | ts }} {{ logical_date.end_of('hour') }} {{ logical_date.start_of('decade') }}
{{ logical_date.replace(day=15, hour=0) }} {{ logical_date.replace(day=1).strftime('%d') }} {{ logical_date.set(minute=5) }}
{{ logical_date.in_timezone('Europe/Stockholm') }} {{ logical_date.in_tz('America/New_York').format('YYYY-MM-DD HH:mm ZZ') }}
{{ logical_date.in_timezone('Asia/Kolkata').strftime('%Y-%m-%dT%H:%M:%S%z %Z') }} {{ logical_date.in_timezone('Europe/Stockholm') | ts_nodash_with_tz }}
{{ logical_date.in_timezone('Europe/Stockholm').timezone_name }} {{ logical_date.timezone_name }} {{ logical_date.offset }} {{ logical_date.offset_hours }}
{{ logical_date.in_timezone('Europe/Stockholm').add(months=1) }} {{ logical_date.in_timezone('Europe/Stockholm').start_of('day').in_timezone('UTC') }}
{{ logical_date.to_date_string() }} {{ logical_date.to_time_string() }} {{ logical_date.to_datetime_string() }} {{ logical_date.to_iso8601_string() }}
{{ logical_date.to_formatted_date_string() }} {{ logical_date.to_day_datetime_string() }} {{ logical_date.to_rfc2822_string() }} {{ logical_date.to_atom_string() }}
{{ logical_date.to_cookie_string() }} {{ logical_date.to_rfc3339_string() }} {{ logical_date.to_w3c_string() }}
{{ logical_date.format('YYYYMMDD') }} {{ logical_date.format('dddd DD MMMM YYYY') }} {{ logical_date.format('D/M/YY h:mm A') }} {{ logical_date.format('[week] w Q DDDD') }}
{{ logical_date.format('Do MMM YYYY, X x') }} {{ logical_date.format('E ddd d SSS z Z') }}
{{ logical_date.next(0) | ds }} {{ logical_date.previous(4) | ds }}
{{ logical_date.first_of('month') | ds }} {{ logical_date.last_of('month') | ds }} {{ logical_date.last_of('quarter').to_date_string() }}
{{ logical_date.diff(data_interval_start).in_hours() }} {{ data_interval_end.diff(data_interval_start).in_days() }}
{{ (data_interval_end - data_interval_start).total_seconds() }} {{ (data_interval_end - data_interval_start).days }}
{{ (data_interval_end - data_interval_start).in_words() }}
{{ (logical_date - data_interval_start).total_seconds() | int }}
{{ data_interval_end - data_interval_start }}
{{ data_interval_start < data_interval_end }} {{ logical_date == data_interval_end }} {{ logical_date != data_interval_start }}
{{ logical_date > macros.datetime(2026, 1, 1) }}
{{ logical_date.naive() }} {{ logical_date.replace(tzinfo=None) }}
{{ logical_date.ctime() }} {{ logical_date.timetuple().tm_yday }} {{ logical_date.toordinal() }} {{ logical_date.isocalendar()[1] }}
{{ logical_date.diff_for_humans(data_interval_start) }} {{ data_interval_start.diff_for_humans(data_interval_end, absolute=True) }}
{{ logical_date.age is defined }} {{ logical_date.average(data_interval_start) }}
{{ [data_interval_end, data_interval_start] | min | ds }} {{ [data_interval_end, data_interval_start] | sort | first | ds }}
{{ dag_run.run_after }} {{ dag_run.start_date }} {{ dag_run.logical_date | ds }} {{ dag_run.data_interval_start | ts_nodash }}
{{ logical_date.date() == data_interval_end.date() }} {{ logical_date.date() - data_interval_start.date() }}
{{ logical_date is none }} {{ logical_date is defined }} {{ logical_date | string }} {{ logical_date ~ '' }}
{% set d = logical_date.subtract(days=1) %}{{ d.year }}/{{ '%02d' % d.month }}/{{ '%02d' | format(d.day) }}
{{ (logical_date + macros.timedelta(days=1)).strftime('%Y-%m-%d') }} {{ (logical_date - macros.timedelta(hours=7)) | ds }}
{{ logical_date.is_weekend() if false else logical_date.day_of_week }}
""",
    "macros": r"""
{{ macros.ds_add(ds, 7) }} {{ macros.ds_add(ds, -1) }} {{ macros.ds_add('2024-02-28', 1) }} {{ macros.ds_add(ds, 0) }}
{{ macros.ds_add(ds, days=5) }} {{ macros.ds_add(ds=ds, days=-5) }}
{{ macros.ds_format(ds, '%Y-%m-%d', '%d/%m/%y') }} {{ macros.ds_format('01/02/2026', '%d/%m/%Y', '%Y%m%d') }} {{ macros.ds_format(ts_nodash, '%Y%m%dT%H%M%S', '%H:%M') }}
{{ macros.ds_format(ds, '%Y-%m-%d', '%Y-%m-01') }} {{ macros.ds_format(ds, '%Y-%m-%d', output_format='%B') }}
{{ macros.ds_format_locale('2026-02-03', '%Y-%m-%d', 'dd.MM.yyyy', 'de_DE') }}
{{ macros.datetime_diff_for_humans(logical_date, data_interval_start) }} {{ macros.datetime_diff_for_humans(data_interval_start, logical_date) }}
{{ macros.datetime_diff_for_humans(logical_date, logical_date) }} {{ macros.datetime_diff_for_humans(logical_date.add(minutes=5), logical_date) }} {{ macros.datetime_diff_for_humans(logical_date.add(months=3), logical_date) }}
{{ macros.datetime(2026, 1, 2) }} {{ macros.datetime(2026, 1, 2, 3, 4, 5, 6) }} {{ macros.datetime(year=2026, month=1, day=2) }}
{{ macros.datetime.strptime('20260102', '%Y%m%d') }} {{ macros.datetime.strptime('2 Jan 2026 05:06', '%d %b %Y %H:%M').isoformat() }}
{{ macros.datetime.fromisoformat('2026-01-02T03:04:05') }} {{ macros.datetime.fromisoformat(ds).strftime('%d') }} {{ macros.datetime.fromisoformat(ts) }}
{{ macros.datetime.strptime(ds, '%Y-%m-%d').date() }} {{ macros.datetime.strptime(ds, '%Y-%m-%d') + macros.timedelta(days=1) }}
{{ macros.datetime.fromtimestamp(0, tz=logical_date.tzinfo) if false else 'skipped' }}
{{ macros.datetime.min }} {{ macros.datetime.max.year }} {{ macros.datetime.combine(logical_date.date(), logical_date.time()) }}
{{ macros.timedelta(days=1) }} {{ macros.timedelta(days=1, hours=2) }} {{ macros.timedelta(seconds=-1) }} {{ macros.timedelta(2) }} {{ macros.timedelta(0.5) }} {{ macros.timedelta(milliseconds=1500) }}
{{ macros.timedelta(days=2) * 3 }} {{ 2 * macros.timedelta(hours=5) }} {{ macros.timedelta(days=3) / 2 }} {{ macros.timedelta(days=3) // 2 }} {{ macros.timedelta(hours=5) / macros.timedelta(hours=2) }}
{{ macros.timedelta(days=1) + macros.timedelta(hours=1) }} {{ macros.timedelta(days=1) - macros.timedelta(hours=1) }} {{ macros.timedelta(days=1) > macros.timedelta(hours=23) }} {{ -macros.timedelta(days=1) }}
{{ macros.timedelta(days=1, seconds=5).total_seconds() }} {{ macros.timedelta(days=1, seconds=5).seconds }} {{ macros.timedelta(days=-1, seconds=5).days }} {{ macros.timedelta(days=1).microseconds }}
{{ macros.json.dumps(params.map) }} {{ macros.json.dumps(params.list) }} {{ macros.json.dumps({'b': 1, 'a': none, 'c': true}) }}
{{ macros.json.dumps({'b': 1, 'a': 2}, sort_keys=True) }} {{ macros.json.dumps([1.5, 'å', "q'"]) }} {{ macros.json.dumps('å', ensure_ascii=False) }}
{{ macros.json.dumps({'a': [1, {'b': 2}], 'c': {}, 'd': []}, indent=2) }}
{{ macros.json.dumps([1, 2], separators=(',', ':')) }} {{ macros.json.dumps(none) }} {{ macros.json.dumps(true) }}
{{ macros.json.loads('{"a": [1, 2.5, null, true]}') }} {{ macros.json.loads('{"a": {"b": 3}}').a.b }} {{ macros.json.loads('[1]')[0] + 1 }}
{{ macros.json.loads(macros.json.dumps(params.map))['deep']['x'][1] }}
{{ macros.dateutil.parser.parse('2026-02-03') }} {{ macros.dateutil.parser.parse('2026-02-03T04:05:06Z').isoformat() }} {{ macros.dateutil.parser.parse('3 Feb 2026').strftime('%Y%m%d') }}
{{ macros.dateutil.parser.parse(ts) }} {{ (macros.dateutil.parser.parse(ds) - macros.timedelta(days=1)).strftime('%Y-%m-%d') }} {{ macros.dateutil.parser.isoparse(ds) }}
{{ logical_date + macros.dateutil.relativedelta.relativedelta(months=1) }} {{ (logical_date - macros.dateutil.relativedelta.relativedelta(months=1)).strftime('%Y-%m') }}
{{ (logical_date + macros.dateutil.relativedelta.relativedelta(day=31)) | ds }} {{ logical_date + macros.dateutil.relativedelta.relativedelta(years=-1, days=+2, hour=0) }}
{{ (macros.datetime(2026, 3, 31) + macros.dateutil.relativedelta.relativedelta(months=-1)) }} {{ macros.datetime(2026, 1, 31) + macros.dateutil.relativedelta.relativedelta(months=1, day=1) }}
{{ macros.time.strftime('%Y', macros.time.gmtime(0)) }} {{ macros.time.mktime(logical_date.timetuple()) is number }}
{{ macros.uuid.UUID('12345678123456781234567812345678') }} {{ macros.uuid.uuid5(macros.uuid.NAMESPACE_DNS, 'airflow') }} {{ macros.uuid.uuid3(macros.uuid.NAMESPACE_URL, 'x') }}
{{ macros.uuid.uuid4() | string | length }} {{ macros.random() < 1 }} {{ (macros.uuid.uuid4() | string)[14] }} {{ macros.uuid.uuid4().hex | length }}
{{ macros.yaml.safe_load('a: [1, 2]') }} {{ macros.yaml.safe_load('x: {y: z}').x.y }}
{{ macros.yaml.dump({'a': 1}) }}
""",
    "run": r"""
{{ run_id }}
{{ dag_run.run_id }} {{ dag_run.dag_id }} {{ dag_run.run_type }}
{{ dag_run.conf }} {{ dag_run.conf['who'] }} {{ dag_run.conf.who }} {{ dag_run.conf.get('n') }} {{ dag_run.conf.get('nope') }} {{ dag_run.conf.get('nope', 'x') }}
{{ dag_run.conf['deep']['x'][0] }} {{ dag_run.conf.deep }} {{ dag_run.conf['said'] }} {{ 'who' in dag_run.conf }} {{ dag_run.conf | length }}
{{ dag_run.conf | tojson }} {{ dag_run.conf.deep | tojson }} {{ macros.json.dumps(dag_run.conf) }}
{{ dag_run.conf['nope'] | default('fallback') }} {{ dag_run.conf.nope or 'x' if dag_run.conf.nope is defined else 'none' }}
{% if dag_run.conf and 'who' in dag_run.conf %}{{ dag_run.conf['who'] }}{% else %}all{% endif %}
{{ dag_run.conf.get('day', ds) }} {{ dag_run.conf.get('deep', {}).get('x', []) | join(',') }} {{ dag_run.conf.items() | list | length }}
{% for k, v in dag_run.conf.items() %}{{ k }}={{ v }};{% endfor %}
{% for k in dag_run.conf %}{{ k }} {% endfor %}{{ dag_run.conf.keys() | list }} {{ dag_run.conf.values() | first }}
{{ dag_run.triggering_user_name }} {{ dag_run.note }} {{ dag_run.clear_number }} {{ dag_run.partition_key }} {{ dag_run.end_date }}
{{ dag.dag_id }} {{ dag.description }} {{ dag.tags | list }} {{ dag.max_active_runs }} {{ dag.start_date }}
{{ dag }} {{ dag.dag_id.split('.')[0] }} {{ dag.task_ids | sort }} {{ dag.dag_display_name }} {{ dag.catchup }} {{ dag.timezone }}
{{ dag.params['region'] }} {{ dag.owner }} {{ dag.end_date }} {{ dag.doc_md }} {{ dag.max_active_tasks }} {{ dag.schedule }} {{ dag.default_args }}
{{ dag.has_task('load') }} {{ dag.get_task('extract').task_id }} {{ dag.tasks | map(attribute='task_id') | sort | join(',') }}
{{ task.task_id }} {{ task.owner }} {{ task.retries }} {{ task.pool }} {{ task.queue }} {{ task.priority_weight }} {{ task.retry_delay }}
{{ task }} {{ task.task_type }} {{ task.trigger_rule }} {{ task.upstream_task_ids | list }} {{ task.downstream_task_ids | list }} {{ task.dag_id }} {{ task.dag.dag_id }}
{{ task.pool_slots }} {{ task.depends_on_past }} {{ task.email }} {{ task.execution_timeout }} {{ task.label }} {{ task.task_display_name }} {{ task.params['of_task'] }}
{{ ti.task_id }} {{ ti.dag_id }} {{ ti.run_id }} {{ ti.try_number }} {{ ti.map_index }} {{ ti.max_tries }} {{ ti.task.task_id }}
{{ task_instance.task_id }} {{ ti.key is defined }} {{ task_instance.try_number }} {{ task_instance_key_str }}
{{ params.region }} {{ params['n'] }} {{ params.flag }} {{ params.nothing }} {{ params.list }} {{ params.map }} {{ params.of_task }}
{{ params.get('region') }} {{ params.get('nope', 'd') }} {{ params.map.deep.x[1] }} {{ params['list'][-1] }} {{ params.ratio }} {{ params.who is defined }}
{{ params.n + 1 }} {{ params.n * 2 }} {{ params.n == 4 }} {{ params | length > 3 }} {{ 'region' in params }} {{ params.empty or 'unset' }}
{% for k, v in params.map.items() %}{{ k }}:{{ v }} {% endfor %}
{{ params.nope | default('d') }} {{ params.nothing | default('d') }} {{ params.nothing | default('d', true) }} {{ params.empty | d('e', true) }}
{{ params.keys() | sort | first }} {{ params.items() | list | length > 3 }}
{{ ti.xcom_pull(task_ids='extract') }} {{ ti.xcom_pull(task_ids='extract')['rows'] }} {{ ti.xcom_pull('extract').files[0] }} {{ ti.xcom_pull('extract', key='path') }}
{{ ti.xcom_pull(task_ids=['extract', 'count']) }} {{ ti.xcom_pull(task_ids='none') }} {{ ti.xcom_pull(task_ids='none', default='d') }}
{{ task_instance.xcom_pull(task_ids='count') + 1 }} {{ ti.xcom_pull(task_ids='extract', key='return_value').rows * 2 }} {{ ti.xcom_pull(task_ids='name').split('-')[1] }}
{{ ti.xcom_pull('extract') | tojson }} {{ (ti.xcom_pull('extract') or {}).get('rows', 0) }} {% for f in ti.xcom_pull('extract').files %}{{ f }} {% endfor %}
{{ ti.xcom_pull(task_ids='extract', dag_id='sales.daily') .rows }} {{ ti.xcom_pull(task_ids='extract', key='nope') is none }}
{{ var.value.greeting }} {{ var.value.get('greeting') }} {{ var.value.get('nope', 'fallback') }} {{ var.value.number | int + 1 }} {{ var.value['greeting'] }} [{{ var.value.spaced }}]
{{ var.json.cfg }} {{ var.json.cfg.a.b }} {{ var.json.cfg['list'][1] }} {{ var.json.cfg.on }} {{ var.json.cfg.off }} {{ var.json.get('cfg').a }} {{ var.json.number }}
{{ var.json.get('nope', {'a': 1}) }} {{ var.json.get('nope', {'a': 1}).a }} {{ var.value.cfg }} {{ var.json.cfg | tojson }}
{{ var.value.get('nope') is defined }}
{{ conn.pg.host }} {{ conn.pg.login }} {{ conn.pg.port }} {{ conn.pg.schema }} {{ conn.pg.conn_type }} {{ conn.pg.extra }} {{ conn.pg.extra_dejson.ssl }} {{ conn.pg.extra_dejson['deep'].a }}
{{ conn.get('pg').host }} {{ conn.bare.port }} {{ conn.bare.login }} {{ conn.bare.extra_dejson }} {{ conn.bare.schema }} {{ conn.pg.conn_id }} {{ conn['pg'].host }}
{{ conn.get('nope') }} {{ conn.get('nope', 'd') }} {{ conn.pg.extra_dejson.get('nope', 5) }} {{ conn.pg.extra_dejson.deep | tojson }}
{{ inlets }} {{ outlets }} {{ map_index_template }} {{ partition_key }} {{ task_reschedule_count }}
""",
    "jinja": r"""
{% for i in range(3) %}{{ i }},{% endfor %}
{% for i in [1, 2, 3] %}{{ loop.index }}/{{ loop.length }}{{ ' ' if not loop.last }}{% endfor %}
{% for x in params.list %}{{ loop.index0 }}:{{ x }}:{{ loop.first }}:{{ loop.revindex }} {% endfor %}
{% for i in range(5) if i is odd %}{{ i }}{% else %}none{% endfor %}
{% for i in [] %}{{ i }}{% else %}none{% endfor %}
{% for i in range(4) %}{{ loop.cycle('a', 'b') }}{% endfor %}
{% for x in [1, 1, 2] %}{% if loop.changed(x) %}{{ x }}{% endif %}{% endfor %}
{% for x in [1, 2, 3] %}{{ loop.previtem if loop.previtem is defined else '-' }}{{ loop.nextitem | default('.') }} {% endfor %}
{% for a, b in [(1, 2), (3, 4)] %}{{ a + b }} {% endfor %}
{% for k, v in {'x': 1, 'a': 2}.items() %}{{ k }}{{ v }}{% endfor %} {{ {'x': 1, 'a': 2} }} {{ {'x': 1, 'a': 2} | length }}
{% for k, v in {'x': 1, 'a': 2} | dictsort %}{{ k }}{{ v }}{% endfor %} {% for k in {'x': 1, 'a': 2} %}{{ k }}{% endfor %}
{% for i in range(10, 0, -3) %}{{ i }} {% endfor %}{{ range(3) | list }} {{ range(2, 5) | join('-') }}
{% if params.n > 2 and params.flag %}yes{% elif params.off %}maybe{% else %}no{% endif %}
{% if not params.off or false %}a{% endif %}{% if params.empty %}b{% endif %}{% if params.list %}c{% endif %}{% if none %}d{% endif %}{% if 0 %}e{% endif %}
{{ 'a' if params.flag else 'b' }} {{ 'a' if params.off }} {{ ('x' if params.n == 4 else 'y') ~ 'z' }}
{% set x = 5 %}{{ x * 2 }} {% set a, b = 1, 2 %}{{ a }}{{ b }} {% set y %}block {{ ds }}{% endset %}{{ y }}
{% set ns = namespace(total=0) %}{% for i in range(4) %}{% set ns.total = ns.total + i %}{% endfor %}{{ ns.total }}
{% set x = 1 %}{% for i in range(3) %}{% set x = i %}{% endfor %}{{ x }}
{% macro hi(name, mark='!') %}hi {{ name }}{{ mark }}{% endmacro %}{{ hi('you') }} {{ hi('me', mark='?') }}
{% macro each(items) %}{% for i in items %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(x) each([1, 2]) %}<{{ x }}>{% endcall %}
{% with a = 1, b = 2 %}{{ a + b }}{% endwith %} {% filter upper %}up {{ ds }}{% endfilter %}
{% raw %}{{ ds }} {% if %}{% endraw %} {# a comment #}x{#- another -#} y
  {%- if true -%}  tight  {%- endif -%}  end
a{{ '\n' }}b{{ "\t" }}c {{ 'it''s' if false else "q\"q" }}
{{ 1 + 2 }} {{ 7 - 10 }} {{ 3 * 4 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }}
{{ 0.1 + 0.2 }} {{ 1e20 }} {{ 1e16 }} {{ 123456789.0 }} {{ 1.0 }} {{ 1e-5 }} {{ 0.0001 }} {{ 1.5 * 2 }} {{ 3.7 // 1 }} {{ 5.5 % 2 }} {{ -0.0 }}
{{ 2 ** 64 }} {{ 99999999999999999999 }} {{ 10 ** 30 }} {{ 1_000 }} {{ 0x1f }} {{ 0b101 }} {{ 0o17 }}
{{ 'a' + 'b' }} {{ 'a' ~ 1 ~ none ~ true }} {{ 'ab' * 3 }} {{ [1] + [2] }} {{ [0] * 3 }} {{ (1, 2) }} {{ (1,) }} {{ () }} {{ [] }} {{ {} }}
{{ 1 == 1.0 }} {{ '1' == 1 }} {{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 1 != 2 }} {{ none == none }} {{ true == 1 }}
{{ 1 in [1, 2] }} {{ 'a' in 'cat' }} {{ 'k' in params.map }} {{ 3 not in [1, 2] }} {{ not true }} {{ true and false }} {{ none or 'x' }} {{ 0 or [] or 'end' }} {{ 1 and 2 }}
{{ [1, 2, 3][0] }} {{ [1, 2, 3][-1] }} {{ [1, 2, 3][1:] }} {{ [1, 2, 3][::-1] }} {{ 'hello'[1:3] }} {{ 'hello'[-1] }} {{ 'hello'[::2] }} {{ 'hello'[::-1] }} {{ ds[:4] }}{{ ds[5:7] }}
{{ {'a': {'b': [1, 2]}}.a.b[1] }} {{ {'a': 1}['a'] }} {{ {'get': 5}['get'] }} {{ [{'x': 1}][0].x }} {{ {1: 'one'}[1] }}
{{ true }} {{ false }} {{ none }} {{ True }} {{ False }} {{ None }} {{ [true, none, 1.0, 'x'] }} {{ {'k': none} }}
{{ "it's" }} {{ ["it's", 'q"q', 'a\\b', 'tab\t', 'nl\n', 'å', '😀'] }} {{ ['\x00'] if false else '' }}
{{ 5 is odd }} {{ 4 is even }} {{ 6 is divisibleby 3 }} {{ 6 is divisibleby(4) }} {{ x is defined }} {{ x is undefined }} {{ none is none }} {{ 1 is number }} {{ 'a' is string }} {{ [1] is iterable }} {{ {} is mapping }} {{ [] is sequence }} {{ 'a' is sequence }}
{{ 1 is eq 1 }} {{ 1 is lt 2 }} {{ 2 is gt(1) }} {{ 1 is in [1] }} {{ 1 is not in [2] }} {{ true is boolean }} {{ 1.5 is float }} {{ 1 is integer }} {{ true is true }} {{ 1 is sameas 1 }} {{ 'ABC' is upper }} {{ 'abc' is lower }} {{ ds is callable }} {{ 'upper' is filter }} {{ 'odd' is test }} {{ 1 is ne 2 }} {{ 2 is ge 2 }} {{ 2 is le 1 }} {{ 'a' is escaped }} {{ 0 is false }}
{{ range(3) }} {{ lipsum is defined }}
{{ dict(a=1, b=2) }} {{ dict(a=1).a }} {{ cycler is defined }} {{ joiner is defined }}
{% set j = joiner(', ') %}{% for i in range(3) %}{{ j() }}{{ i }}{% endfor %}
{% set c = cycler('odd', 'even') %}{{ c.next() }} {{ c.next() }} {{ c.next() }} {{ c.current }}
{{ self is defined }}
{% block body %}in block{% endblock %}
{% do ds.upper() %}done
{% do [] if false %}
""",
    "filters": r"""
{{ -5 | abs }} {{ (-5) | abs }} {{ 'a,b' | upper }} {{ 'ABC' | lower }} {{ 'hello world' | capitalize }} {{ 'hello big world' | title }} {{ "it's a-b c_d" | title }}
{{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 'x') | list }} {{ [1, 2, 3, 4, 5] | slice(2) | list }} {{ range(7) | slice(3, 'x') | list }}
[{{ 'ab' | center(6) }}] [{{ '  ab ' | trim }}] [{{ 'xxabxx' | trim('x') }}] {{ 'ab' | length }} {{ [1, 2] | count }}
{{ {'b': 1, 'a': 2} | dictsort }} {{ {'b': 1, 'a': 2} | dictsort(by='value') }} {{ {'b': 1, 'A': 2} | dictsort(true) }} {{ {'b': 1, 'a': 2} | dictsort(reverse=true) }}
{{ '<a & b>' | e }} {{ '<a>' | escape }} {{ '<a>' | safe }} {{ '<a>' | forceescape }} {{ '<b>bold</b> text' | striptags }} {{ "q'\"" | e }}
{{ 123456789 | filesizeformat }} {{ 123456789 | filesizeformat(true) }} {{ 1 | filesizeformat }} {{ 0 | filesizeformat }} {{ 1000 | filesizeformat }}
{{ [3, 1, 2] | first }} {{ [3, 1, 2] | last }} {{ 'abc' | first }} {{ 'abc' | last }} {{ [1] | random }} {{ [3, 1, 2] | min }} {{ [3, 1, 2] | max }} {{ ['b', 'A'] | min }} {{ ['b', 'A'] | max(case_sensitive=true) }}
{{ '3.7' | float }} {{ 'x' | float }} {{ 'x' | float(1.5) }} {{ '42' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ '0x1f' | int(base=16) }} {{ '3.9' | int }} {{ 3.9 | int }} {{ true | int }} {{ '101' | int(0, 2) }} {{ 5 | float }}
{{ '%s-%03d' | format('a', 7) }} {{ '%.2f' | format(3.14159) }} {{ '%(x)s' | format(x=1) }} {{ '%5s|%-5s|' | format('a', 'b') }} {{ '%x %o %e' | format(255, 8, 12345.678) }} {{ '%r' | format('a') }} {{ '%+d' | format(5) }} {{ '%%' | format() }}
{{ '%s' % 'a' }} {{ '%02d:%02d' % (5, 7) }} {{ '%s' % ds }} {{ '%(a)s' % {'a': 1} }} {{ '%.1f' % 2.25 }} {{ '%05d' % params.n }} {{ '%s and %s' % ('a', 'b') ~ '!' }}
{% for g in params.rows | groupby('n') %}{{ g.grouper }}:{{ g.list | length }} {% endfor %}{% for n, rows in params.rows | groupby('n') %}{{ n }}={{ rows | map(attribute='v') | list }} {% endfor %}
{{ 'a\nb\nc' | indent }} {{ 'a\nb' | indent(2, true) }} {{ 'a\n\nb' | indent(2, blank=true) }} {{ 'a\nb' | indent('> ') }}
{{ [1, 2, 3] | join }} {{ [1, 2, 3] | join(', ') }} {{ params.rows | join('-', attribute='n') }} {{ 'abc' | join('.') }} {{ [none, true, 1.0] | join('|') }}
{{ 'abc' | list }} {{ (1, 2) | list }} {{ {'a': 1} | list }} {{ {'a': 1, 'b': 2}.items() | list }} {{ {'a': 1} | items | list }}
{{ [1, 2] | map('string') | list }} {{ ['a', 'b'] | map('upper') | join }} {{ params.rows | map(attribute='s.t') | list }} {{ params.rows | map(attribute='zz', default=0) | list }} {{ ['a b', 'c'] | map('replace', ' ', '_') | list }}
{{ [{'a': 1}] | map('tojson') | first }} {{ [[1, 2], [3]] | map('sum') | list }} {{ [[1, 2], [3]] | map(attribute=0) | list }} {{ [1, 2, 3] | map('float') | sum }}
{{ {'a': [1, 2], 'b': 'x'} | pprint }} {{ 'x' | pprint }} {{ [1, 2] | pprint }} {{ none | pprint }}
{{ [1, 2, 3, 4] | reject('odd') | list }} {{ [1, 2, 3, 4] | select('odd') | list }} {{ [0, 1, ''] | select | list }} {{ [1, 5, 3] | select('gt', 2) | list }} {{ [1, none] | reject('none') | list }} {{ ['a', 'b'] | select('equalto', 'a') | list }} {{ ['a', 'b'] | reject('in', ['a']) | list }}
{{ params.rows | selectattr('n', 'equalto', 'a') | map(attribute='v') | list }} {{ params.rows | rejectattr('v', 'gt', 1) | map(attribute='n') | list }} {{ params.rows | selectattr('s.t', 'lt', 3) | list | length }} {{ params.rows | selectattr('zz') | list }} {{ params.rows | selectattr('v') | list | length }}
{{ 'a-b-c' | replace('-', '/') }} {{ 'aaa' | replace('a', 'b', 2) }} {{ ds | replace('-', '') }} {{ 5 | replace('5', 'x') }}
{{ [1, 2, 3] | reverse | list }} {{ 'abc' | reverse }} {{ 2.567 | round }} {{ 2.567 | round(1) }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.567 | round(1, 'floor') }} {{ 2.1 | round(0, 'ceil') }} {{ 42.55 | round | int }} {{ 5 | round }} {{ 1234 | round(-2) }}
{{ [3, 1, 2] | sort }} {{ [3, 1, 2] | sort(reverse=true) }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }} {{ params.rows | sort(attribute='v') | map(attribute='v') | list }} {{ params.rows | sort(attribute='n,v') | map(attribute='v') | list }}
{{ 5 | string }} {{ none | string }} {{ [1] | string }} {{ 1.0 | string | length }} {{ [1, 2, 3] | sum }} {{ params.rows | sum(attribute='v') }} {{ [1.5, 2] | sum }} {{ [] | sum }} {{ [1] | sum(start=10) }} {{ [[1], [2]] | sum(start=[]) }}
{{ {'b': [1, none, true], 'a': 'x'} | tojson }} {{ 'it\'s <b>' | tojson }} {{ params.map | tojson(indent=2) }} {{ 1.0 | tojson }} {{ 'å' | tojson }} {{ none | tojson }}
{{ 'hello big world' | truncate(11) }} {{ 'hello big world' | truncate(8, true) }} {{ 'hello big world' | truncate(9, false, '…', 0) }} {{ 'short' | truncate(20) }} {{ 'hello big world foo' | truncate(12, leeway=0) }}
{{ [1, 2, 1, 'a', 'A'] | unique | list }} {{ ['a', 'A'] | unique(case_sensitive=true) | list }} {{ params.rows | unique(attribute='n') | map(attribute='v') | list }}
{{ 'a b&c/d' | urlencode }} {{ {'a': 1, 'b': 'x y'} | urlencode }} {{ 'å?' | urlencode }} {{ [('a', 1)] | urlencode }}
{{ 'one two  three' | wordcount }} {{ 'aaa bbb ccc ddd' | wordwrap(7) }} {{ 'aaaaaaaaaa' | wordwrap(4) }} {{ 'aaa bbb' | wordwrap(4, wrapstring='|') }}
{{ {'class': 'x', 'n': none, 'id': 'a"b'} | xmlattr }} {{ {'a': 1} | attr('a') is undefined }} {{ logical_date | attr('year') }} {{ ds | attr('upper') is callable }}
{{ nope | default('d') }} {{ nope | d }}| {{ '' | default('x', true) }} {{ '' | default('x') }} {{ nope.deep | default('d') if false else 'y' }} {{ none | default('x') }} {{ (none, 1) | first | default('z', boolean=true) }}
{{ 'Hello' | upper | lower | replace('l', 'L') | length }} {{ ('a' ~ 'b') | upper }} {{ 'a' ~ 'b' | upper }} {{ 1 + 2 | string | length }} {{ -1 | abs }} {{ 'x' | upper ~ 'y' }}
{{ 'http://x.y and z' | urlize }}
""",
    "strings": r"""
{{ 'abc'.upper() }} {{ 'ABC'.lower() }} {{ 'aBc dEf'.capitalize() }} {{ 'abc def'.title() }} {{ 'aBc'.swapcase() }} {{ 'ß'.casefold() }}
{{ ' x '.strip() }}|{{ ' x '.lstrip() }}|{{ ' x '.rstrip() }}|{{ 'xxaxx'.strip('x') }} {{ 'abcxyz'.rstrip('zyx') }} {{ 'file.csv'.removesuffix('.csv') }} {{ 'pre_x'.removeprefix('pre_') }}
{{ 'a,b,c'.split(',') }} {{ 'a b  c'.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a,b,c'.split(',', maxsplit=1) }} {{ ' a b c '.split(none, 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ ' a b c '.rsplit(None, 1) }}
{{ 'a.b.c'.partition('.') }} {{ 'a.b.c'.rpartition('.') }} {{ 'abc'.partition('.') }} {{ 'a\nb\r\nc'.splitlines() }} {{ 'a\nb'.splitlines(true) }}
{{ 'abc'.replace('b', 'x') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'abc'.replace('', '-') }} {{ ds.replace('-', '') }} {{ run_id.replace(':', '_').replace('+', '_') }}
{{ 'abc'.startswith('a') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.startswith('b', 1) }} {{ 'abcabc'.find('c') }} {{ 'abcabc'.rfind('c') }} {{ 'abc'.find('x') }} {{ 'abc'.index('c') }} {{ 'abcabc'.count('a') }} {{ 'abcabc'.find('a', 1) }}
{{ '-'.join(['a', 'b']) }} {{ ','.join(params.map) }} {{ ''.join('abc') }} {{ ', '.join(['a'] * 3) }}
{{ '7'.zfill(3) }} {{ '-7'.zfill(4) }} [{{ 'ab'.ljust(4) }}] [{{ 'ab'.rjust(4, '.') }}] [{{ 'ab'.center(5, '*') }}] [{{ 'ab'.center(6) }}]
{{ '12'.isdigit() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} {{ 'Ab Cd'.istitle() }} {{ '1'.isnumeric() }} {{ '1'.isdecimal() }} {{ 'a_b'.isidentifier() }} {{ 'ab'.isascii() }} {{ ''.isdigit() }}
{{ '{}-{}'.format('a', 1) }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{x}'.format(x=5) }} {{ '{:03d}'.format(7) }} {{ '{:.2f}'.format(3.14159) }} {{ '{:>5}|{:<5}|{:^5}|'.format('a', 'b', 'c') }} {{ '{:,}'.format(1234567) }} {{ '{!r}'.format('a') }} {{ '{:%Y-%m}'.format(logical_date) }} {{ '{{}}'.format() }} {{ '{a.year}'.format(a=logical_date) }} {{ '{0[0]}'.format([9]) }} {{ '{:x}'.format(255) }} {{ '{:+}'.format(5) }} {{ '{:.1%}'.format(0.256) }} {{ '{:*^7}'.format('a') }} {{ '{:08.3f}'.format(3.14159) }}
{{ 'a\tb'.expandtabs(4) }} {{ 'abc'.encode('utf-8') if false else 'x' }} {{ 'a-b_c'.translate({45: '+'}) if false else 'y' }}
{{ 'ab' < 'b' }} {{ 'a' * 3 }} {{ 'abc'[0] }} {{ 'abc'[-2:] }} {{ 'abc' | length }} {{ 'x' in 'xyz' }} {{ 'é'.upper() }} {{ 'abc'.__len__ is defined }}
{{ [3, 1].index(1) }} {{ [1, 1].count(1) }} {{ (1, 2).index(2) }} {{ {'a': 1}.get('a') }} {{ {'a': 1}.get('b') }} {{ {'a': 1}.get('b', 2) }} {{ {'a': 1}.keys() }} {{ {'a': 1}.values() }} {{ {'a': 1}.items() }} {{ {'a': 1}.copy() }}
{% set l = [1] %}{% set _ = l.append(2) %}{{ l }}
{% set d = {'a': 1} %}{% set _ = d.update({'b': 2}) %}{{ d }}
{{ {'a': 1}.items() | list }} {{ {'b': 1, 'a': 2}.keys() | list }} {{ {'a': 1}.values() | sum }} {{ {'a': 1}.keys() | join }} {{ 'a' in {'a': 1}.keys() }}
{{ (5).bit_length() }} {{ 1.5.is_integer() }} {{ 3.0.is_integer() }} {{ (10).real }}
""",
    "commands": r"""
echo "run_id={{ run_id }} | dag_run={{ dag_run }}"
python -m etl --day {{ ds }} --from {{ data_interval_start.to_date_string() }} --to {{ data_interval_end | ds }}
s3://bucket/{{ dag.dag_id }}/{{ logical_date.strftime('%Y/%m/%d') }}/{{ task.task_id }}-{{ ti.try_number }}.parquet
aws s3 cp s3://{{ var.json.cfg.a.b }}/{{ ds_nodash }} . {% if params.flag %}--recursive{% endif %} {%- for x in params.list %} --x={{ x }}{%- endfor %}
select * from t where d between '{{ data_interval_start | ds }}' and '{{ macros.ds_add(data_interval_end | ds, -1) }}'
{{ "{:%Y}".format(logical_date) }}/{{ "%02d" % logical_date.month }} {{ logical_date.month | string | length }} {{ logical_date.format("MM") }}
{{ dag_run.conf.get("day") or ds }} {{ (dag_run.conf or {}).get('n', 0) | int * 2 }} {{ dag_run.conf["n"] if dag_run.conf else "" }}
{% set day = (logical_date - macros.timedelta(days=2)).strftime("%Y-%m-%d") %}--day={{ day }}
{% set yesterday = macros.ds_add(ds, -1) %}{{ yesterday }} {{ macros.ds_format(yesterday, "%Y-%m-%d", "%Y%m%d") }}
{% if logical_date.weekday() == 6 %}sunday{% elif logical_date.weekday() < 5 %}work{% else %}saturday{% endif %}
{% for d in range(3) %}{{ (logical_date - macros.timedelta(days=d)) | ds }}{{ "," if not loop.last }}{% endfor %}
{"day": "{{ ds }}", "n": {{ params.n }}, "list": {{ params.list | tojson }}, "on": {{ params.flag | lower }}}
{{ params.text | lower | replace(' ', '_') }} {{ params.text.split(' ') | first }} {{ params.text.split()[-1] }}
{{ (data_interval_end - data_interval_start).total_seconds() // 3600 }} {{ ((data_interval_end - data_interval_start).total_seconds() / 60) | int }}
{{ task_instance_key_str | replace('.', '-') }} {{ run_id | replace(':', '') | replace('+', '') | lower }}
plain text without anything
$(date) ${HOME} $$ 100% \n {not a template}
""",
    # Names of Airflow 2 that Airflow 3 took away, and that files of today still have. Asked of Jinja2 with the values that Airflow 2 gives.
    "airflow2": r"""
{{ execution_date }} {{ execution_date.strftime('%Y%m%d') }} {{ execution_date | ds }}
{{ yesterday_ds }} {{ yesterday_ds_nodash }} {{ tomorrow_ds }} {{ tomorrow_ds_nodash }}
{{ prev_ds }} {{ prev_ds_nodash }} {{ next_ds }} {{ next_ds_nodash }}
{{ next_execution_date }} {{ prev_execution_date }} {{ prev_execution_date_success }} {{ next_execution_date.subtract(days=1) | ds }}
{{ test_mode }} {{ dag_run.execution_date | ds }} {{ dag_run.external_trigger }} {{ ti.execution_date | ds }}
{{ (execution_date - macros.timedelta(days=1)).strftime("%Y-%m-%d") }} {{ macros.ds_add(next_ds, -1) }}
""",
    "errors": r"""
{{ foo }}
a\n{{ foo.bar }}
{{ params.nope }}
{{ params['nope'] }}
{{ params.map.nope.deeper }}
{{ dag_run.conf['nope'] }}
{{ dag_run.conf.nope.x }}
{{ dag_run.nope }}
{{ dag.nope }}
{{ task.nope }}
{{ ti.nope }}
{{ ds.nope }}
{{ ds.nope() }}
{{ logical_date.nope }}
{{ logical_date.nope() }}
{{ macros.nope }}
{{ macros.nope(1) }}
{{ macros.datetime.nope }}
{{ var.nope }}
{{ var.value.nope }}
{{ var.json.nope }}
{{ var.json.greeting }}
{{ conn.nope.host }}
{{ conn.pg.nope }}
{{ nope() }}
{{ nope + 1 }}
{{ nope | upper }}
{{ nope ~ 'x' }}
{{ nope == 1 }}
{{ 1 + nope }}
{{ nope[0] }}
{{ [1, 2][5] }}
{{ {'a': 1}['b'] }}
{{ {'a': 1}.b }}
{{ params.list[9] }}
{% if nope %}a{% endif %}
{% if nope > 1 %}a{% endif %}
{% for x in nope %}a{% endfor %}
{% for x in 5 %}a{% endfor %}
{% for x in [1] %}\n{{ y }}\n{% endfor %}
one\ntwo\n{{ three }}\nfour
{{ ds
{{ ds }
{% if ds %}
{% endif %}
{% for x in y %}
{% else %}
{{ }}
{{ 'a }}
{{ a b }}
{{ (1 }}
{{ [1, }}
{{ 1 + }}
{% nope %}
{% set = 1 %}
line\nline {% if %}x{% endif %}
{{ ds | nope }}
{{ ds is nope }}
{{ ds | default }}{{ foo }}
{{ 'a' + 1 }}
{{ 1 + 'a' }}
{{ 'a' - 'b' }}
{{ [1] + 1 }}
{{ none + 1 }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ 1 // 0 }}
{{ 'a' < 1 }}
{{ none < 1 }}
{{ ds() }}
{{ params() }}
{{ 5.upper() }}
{{ (5).upper() }}
{{ none.x }}
{{ logical_date - 1 }}
{{ logical_date + logical_date }}
{{ logical_date < 'x' }}
{{ logical_date.strftime() }}
{{ logical_date.add(nope=1) }}
{{ logical_date.in_timezone('Nowhere/Town') }}
{{ logical_date.start_of('nope') }}
{{ macros.ds_add(ds) }}
{{ macros.ds_add('x', 1) }}
{{ macros.ds_format(ds, '%Y', '%d') }}
{{ macros.datetime(2026, 13, 1) }}
{{ macros.datetime(2026) }}
{{ macros.timedelta(nope=1) }}
{{ macros.json.loads('{') }}
{{ 'x' | int + 'y' }}
{{ 'abc' | round }}
{{ [] | first }}
{{ [] | max }}
{{ 'a,b'.split(',')[5] }}
{{ 'abc'.index('x') }}
{{ '%d' % 'x' }}
{{ '%s %s' % 'x' }}
{{ '{}'.format() }}
{{ range(3)[9] }}
{{ [3, 'a'] | sort }}
{{ [1, 'a'] | sum }}
{{ ti.xcom_pull(task_ids='extract')['nope'] }}
{{ ti.xcom_pull(task_ids='none')['x'] }}
{{ ti.xcom_pull(task_ids='none').x }}
{% raw %}unfinished
{# unfinished
{% macro x( %}{% endmacro %}
{{ ${#list[@]} }}
{{ loop.index }}
{{ 5 | ds }}
{{ 'x' | ts }}
{% include 'nope.sql' %}
{% extends 'nope' %}
{% import 'nope' as n %}
""",
}

# Where we mean to differ: our text, or a part of our error. Each is in docs/python.md.
_CHANGES = {"error": "changes a value"}
OURS = {
    # Words of Airflow's own, which it prints one way or another from version to version.
    "{{ dag_run.run_type }}": {"text": "manual"},
    "{{ task.trigger_rule }}": {"text": "all_success"},
    'echo "run_id={{ run_id }} | dag_run={{ dag_run }}"': {
        "text": 'echo "run_id=manual__2026-03-01T06:30:00+00:00 | dag_run=<DagRun sales.daily @ 2026-03-01 06:30:00+00:00: '
                'manual__2026-03-01T06:30:00+00:00>"'},
    "{{ ti.key is defined }}": {"text": "True"},
    # Values do not change.
    "{% set l = [1] %}{% set _ = l.append(2) %}{{ l }}": _CHANGES,
    "{% set d = {'a': 1} %}{% set _ = d.update({'b': 2}) %}{{ d }}": _CHANGES,
    # Left out.
    "{{ macros.yaml.dump({'a': 1}) }}": {"error": "macros.yaml.dump is not supported"},
    "{{ macros.yaml.safe_load('a: [1, 2]') }}": {"error": "macros.yaml.safe_load is not supported"},
    "{{ macros.yaml.safe_load('x: {y: z}').x.y }}": {"error": "macros.yaml.safe_load is not supported"},
    "{{ macros.ds_format_locale('2026-02-03', '%Y-%m-%d', 'dd.MM.yyyy', 'de_DE') }}": {"error": "macros.ds_format_locale is not supported"},
    "{{ 'http://x.y and z' | urlize }}": {"error": "urlize"},
    "{{ lipsum is defined }}": {"text": "False"},
    "{{ self is defined }}": {"text": "False"},
    "{{ '%r' | format('a') }}": {"error": "invalid conversion type 'r'"},
    "{{ -macros.timedelta(days=1) }}": {"error": "invalid operation"},
    "{% do [] if false %}": {"error": "expected call expression"},
    "{{ (10).real }}": {"error": "is undefined"},
    "{{ logical_date.age is defined }}": {"text": "False"},
    # Attributes and items are not told apart, and methods are no values.
    "{{ {'a': 1} | attr('a') is undefined }}": {"text": "False"},
    "{{ ds | attr('upper') is callable }}": {"text": "False"},
    "{{ params.rows | selectattr('zz') | list }}": {"text": "[]"},
    # Lists, where Python has a view.
    "{{ range(3) }}": {"text": "[0, 1, 2]"},
    "{{ {'a': 1}.keys() }}": {"text": "['a']"},
    "{{ {'a': 1}.values() }}": {"text": "[1]"},
    "{{ {'a': 1}.items() }}": {"text": "[('a', 1)]"},
    # Any two values can be compared: with and without a zone, of one kind and of another.
    "{{ logical_date > macros.datetime(2026, 1, 1) }}": {"text": "True"},
    "{{ 'a' < 1 }}": {"text": "False"},
    "{{ none < 1 }}": {"text": "True"},
    "{{ logical_date < 'x' }}": {"text": "False"},
    "{{ [3, 'a'] | sort }}": {"text": "[3, 'a']"},
}


def expressions():
    """All of them: what each is about, and the text. A line holds several, save that what spans statements stands together."""
    for about, texts in TEXTS.items():
        for line in texts.strip("\n").split("\n"):
            if about == "errors":
                yield about, line.replace("\\n", "\n")
            elif about == "commands" or "{%" in line:
                yield about, line
            else:
                for part in line.replace("}} {{", "}}\0{{").split("\0"):
                    yield about, part
    yield "jinja", "{% if true %}\nline\n{% endif %}\nafter\n"
    yield "jinja", "{% for x in [1, 2] -%}\n  {{ x }}\n{%- endfor %}\n\n"
    yield "jinja", "{#- note\n on two lines -#}\n  {{ ds }}\n"
    yield "jinja", "{{ ds }}\r\nnext\r\n"
    yield "jinja", "{{ ds }}\n\n"
    yield "commands", "set -e\n{% for d in range(2) %}\npython etl.py {{ macros.ds_add(ds, -d) }}\n{% endfor %}\necho done\n"
