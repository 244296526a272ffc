"""Which public module has which names, for Airflow 1.10 to 3. A place is `module:name`, the module without its underscore."""

_DAG = "dag:DAG"
_BASE = {"BaseOperator": "operator:BaseOperator"}
_CHAINS = {
    "chain": "relations:chain", "chain_linear": "relations:chain_linear", "cross_downstream": "relations:cross_downstream",
}
_BASH = {"BashOperator": "plain_operators:BashOperator"}
_EMPTY = {"EmptyOperator": "plain_operators:EmptyOperator"}
_DUMMY = {"DummyOperator": "plain_operators:DummyOperator"}
_POD = {"KubernetesPodOperator": "pod:KubernetesPodOperator"}
_SECRET = {"Secret": "kubernetes:Secret"}
_VOLUME = {"Volume": "kubernetes:Volume"}
_MOUNT = {"VolumeMount": "kubernetes:VolumeMount"}
_PORT = {"Port": "kubernetes:Port", "Resources": "kubernetes:Resources"}
_INFO = {"PodRuntimeInfoEnv": "kubernetes:PodRuntimeInfoEnv"}
_VARIABLE = {"Variable": "answers:Variable"}
_CONNECTION = {"Connection": "answers:Connection"}
_HOOK = {"BaseHook": "answers:BaseHook"}
_PARAM = {"Param": "param:Param", "ParamsDict": "param:ParamsDict", "DagParam": "param:DagParam"}
_GROUP = {"TaskGroup": "task_group:TaskGroup"}
_LABEL = {"Label": "relations:Label", "EdgeModifier": "relations:EdgeModifier"}
_TRIGGER_RULE = {"TriggerRule": "enums:TriggerRule"}
_WEIGHT_RULE = {"WeightRule": "enums:WeightRule"}
_XCOM_ARG = {"XComArg": "relations:XComArg"}
_DECORATORS = {
    "dag": "dag:dag", "task": "decorators:task", "task_group": "task_group:task_group", "setup": "decorators:setup",
    "teardown": "decorators:teardown",
}
_CRON_TRIGGER = {
    "CronTriggerTimetable": "schedule:CronTriggerTimetable", "MultipleCronTriggerTimetable": "schedule:MultipleCronTriggerTimetable",
    "DeltaTriggerTimetable": "schedule:DeltaTriggerTimetable",
}
_INTERVAL = {
    "CronDataIntervalTimetable": "schedule:CronDataIntervalTimetable", "DeltaDataIntervalTimetable": "schedule:DeltaDataIntervalTimetable",
}
_SIMPLE = {
    "NullTimetable": "schedule:NullTimetable", "OnceTimetable": "schedule:OnceTimetable",
    "ContinuousTimetable": "schedule:ContinuousTimetable",
}
_STATES = {
    "State": "enums:State", "DagRunState": "enums:DagRunState", "TaskInstanceState": "enums:TaskInstanceState", "JobState": "enums:State",
}
_FINISH = {"OnFinishAction": "enums:OnFinishAction", "OnKillAction": "enums:OnKillAction"}
_TIMEZONE = {
    "utc": "dates:utc", "utcnow": "dates:utcnow", "datetime": "dates:aware_datetime", "parse": "dates:parse",
    "make_aware": "dates:make_aware",
    "make_naive": "dates:make_naive", "is_naive": "dates:is_naive", "is_localized": "dates:is_localized",
    "convert_to_utc": "dates:convert_to_utc", "parse_timezone": "dates:parse_timezone",
}
_EXCEPTIONS = {
    name: "problem:" + name
    for name in (
        "AirflowException", "AirflowBadRequest", "AirflowNotFoundException", "AirflowConfigException", "AirflowSkipException",
        "AirflowFailException", "AirflowSensorTimeout", "AirflowTaskTimeout", "AirflowRescheduleException", "TaskDeferred",
        "AirflowDagCycleException", "AirflowTimetableInvalid", "AirflowProviderDeprecationWarning", "RemovedInAirflow3Warning", "RemovedInAirflow4Warning",
        "DuplicateTaskIdFound", "TaskNotFound", "DagNotFound",
    )
}

_PYTHON = {
    name: "standard_operators:" + name
    for name in ("PythonOperator", "BranchPythonOperator", "ShortCircuitOperator", "PythonVirtualenvOperator", "ExternalPythonOperator",
                 "BranchPythonVirtualenvOperator", "BranchExternalPythonOperator")
}
_SKIP = {"SkipMixin": "standard_operators:SkipMixin"}
_BRANCH = {"BaseBranchOperator": "standard_operators:BaseBranchOperator", "BranchMixIn": "standard_operators:BranchMixIn"}
_LATEST_ONLY = {"LatestOnlyOperator": "standard_operators:LatestOnlyOperator"}
_BRANCH_TIME = {"BranchDateTimeOperator": "standard_operators:BranchDateTimeOperator"}
_BRANCH_WEEKDAY = {"BranchDayOfWeekOperator": "standard_operators:BranchDayOfWeekOperator"}
_TRIGGER_DAG = {"TriggerDagRunOperator": "standard_operators:TriggerDagRunOperator"}
_EMAIL = {"EmailOperator": "standard_operators:EmailOperator"}
_SEND = {name: "mail:" + name for name in ("send_email", "send_email_smtp", "build_mime_message", "get_email_address_list")}
_HITL = {
    name: "standard_operators:" + name for name in ("HITLOperator", "ApprovalOperator", "HITLBranchOperator", "HITLEntryOperator")
}
_SENSOR = {"BaseSensorOperator": "operator:BaseSensorOperator"}
_SENSOR_MORE = {**_SENSOR, "PokeReturnValue": "context:PokeReturnValue", "poke_mode_only": "context:poke_mode_only"}
_BASH_SENSOR = {"BashSensor": "standard_operators:BashSensor"}
_PYTHON_SENSOR = {"PythonSensor": "standard_operators:PythonSensor"}
_DATE_TIME_SENSOR = {
    "DateTimeSensor": "standard_operators:DateTimeSensor", "DateTimeSensorAsync": "standard_operators:DateTimeSensorAsync",
}
_TIME_SENSOR = {"TimeSensor": "standard_operators:TimeSensor", "TimeSensorAsync": "standard_operators:TimeSensorAsync"}
_TIME_DELTA_SENSOR = {
    "TimeDeltaSensor": "standard_operators:TimeDeltaSensor", "TimeDeltaSensorAsync": "standard_operators:TimeDeltaSensorAsync",
    "WaitSensor": "standard_operators:WaitSensor",
}
_WEEKDAY_SENSOR = {"DayOfWeekSensor": "standard_operators:DayOfWeekSensor"}
_FILE_SENSOR = {"FileSensor": "standard_operators:FileSensor"}
_EXTERNAL_TASK = {
    "ExternalTaskSensor": "standard_operators:ExternalTaskSensor", "ExternalTaskMarker": "standard_operators:ExternalTaskMarker",
}
_SETUP = {"setup": "decorators:setup", "teardown": "decorators:teardown"}
_CURRENT = {"get_current_context": "context:get_current_context"}
_PARSING = {"get_parsing_context": "context:get_parsing_context"}
_WEEKDAY = {"WeekDay": "enums:WeekDay"}
_PARTITION_TIME = {"CronPartitionTimetable": "schedule:CronPartitionTimetable"}
_EVENTS = {"EventsTimetable": "schedule:EventsTimetable"}
_ASSETS = {
    name: "assets:" + name for name in ("Asset", "AssetAlias", "AssetAll", "AssetAny", "AssetWatcher", "Dataset", "Model", "BaseAsset")
}
_DATASETS = {
    "Dataset": "assets:Dataset", "DatasetAlias": "assets:AssetAlias", "DatasetAll": "assets:AssetAll", "DatasetAny": "assets:AssetAny",
    "BaseDataset": "assets:BaseAsset",
}
_ASSET_TIMES = {
    name: "assets:" + name
    for name in ("AssetOrTimeSchedule", "AssetTriggeredTimetable", "PartitionedAssetTimetable", "PartitionedAtRuntime")
}
_DATASET_TIMES = {"DatasetOrTimeSchedule": "assets:DatasetOrTimeSchedule"}
_CONTEXTS = {"DagContext": "context:DagContext", "TaskGroupContext": "context:TaskGroupContext"}

MODULES = {
    "airflow.models": {
        "DAG": _DAG, **_BASE, **_VARIABLE, **_CONNECTION, "Param": "param:Param", **_XCOM_ARG, **_SKIP,
        "MappedOperator": "mapping:MappedOperator",
    },
    "airflow.models.dag": {"DAG": _DAG, "dag": "dag:dag", "DagContext": "context:DagContext"},
    "airflow.models.baseoperator": {
        **_BASE, **_CHAINS, "BaseOperatorMeta": "operator:OperatorMeta", "BaseOperatorLink": "context:Record",
    },
    "airflow.models.variable": _VARIABLE,
    "airflow.models.connection": _CONNECTION,
    "airflow.models.param": _PARAM,
    "airflow.models.xcom_arg": _XCOM_ARG,
    "airflow.decorators": _DECORATORS,
    "airflow.decorators.task_group": {"task_group": "task_group:task_group"},
    "airflow.decorators.base": {
        "task_decorator_factory": "decorators:task_decorator_factory", "TaskDecorator": "decorators:TaskDecorator",
        "DecoratedOperator": "decorators:DecoratedOperator",
    },
    "airflow.decorators.python": {"python_task": "decorators:task"},
    "airflow.decorators.setup_teardown": {"setup_task": "decorators:setup", "teardown_task": "decorators:teardown"},
    "airflow.sdk.bases.decorator": {
        "task_decorator_factory": "decorators:task_decorator_factory", "TaskDecorator": "decorators:TaskDecorator",
        "DecoratedOperator": "decorators:DecoratedOperator",
    },
    "airflow.models.abstractoperator": {"AbstractOperator": "operator:BaseOperator"},
    "airflow.models.mappedoperator": {"MappedOperator": "mapping:MappedOperator"},
    "airflow.models.skipmixin": _SKIP,
    "airflow.models.dataset": _DATASETS,
    "airflow.models.dagcontext": _CONTEXTS,
    "airflow.sdk": {
        "DAG": _DAG, **_DECORATORS, **_BASE, **_CHAINS, **_GROUP, "Label": "relations:Label", **_VARIABLE, **_CONNECTION, **_HOOK,
        "Param": "param:Param", "ParamsDict": "param:ParamsDict", **_TRIGGER_RULE, **_WEIGHT_RULE, **_XCOM_ARG, **_CRON_TRIGGER,
        **_INTERVAL,
        "EdgeModifier": "relations:EdgeModifier", "BaseSensorOperator": "operator:BaseSensorOperator",
        "DagRunState": "enums:DagRunState", "TaskInstanceState": "enums:TaskInstanceState", **_CURRENT, **_PARSING, **_ASSETS,
        "asset": "assets:asset", "Metadata": "assets:Metadata", **_ASSET_TIMES, **_PARTITION_TIME, **_EVENTS, **_BRANCH, **_SKIP,
        "PokeReturnValue": "context:PokeReturnValue", "conf": "answers:conf", "literal": "context:literal", "macros": "context:macros",
        "result": "context:same", "DeadlineAlert": "context:Record", "ExceptionRetryPolicy": "context:Record", "RetryRule": "context:Record",
        "TaskInstance": "context:Context", "Context": "context:Context", "BaseOperatorLink": "context:Record",
    },
    "airflow.sdk.bases.operator": {**_BASE, **_CHAINS},
    "airflow.sdk.bases.hook": _HOOK,
    "airflow.sdk.bases.sensor": _SENSOR_MORE,
    "airflow.sdk.bases.branch": _BRANCH,
    "airflow.sdk.bases.skipmixin": _SKIP,
    "airflow.sdk.bases.operatorlink": {"BaseOperatorLink": "context:Record"},
    "airflow.sdk.definitions.asset": _ASSETS,
    "airflow.sdk.definitions.asset.decorators": {"asset": "assets:asset"},
    "airflow.sdk.definitions.asset.metadata": {"Metadata": "assets:Metadata"},
    "airflow.sdk.definitions.context": {"Context": "context:Context", **_CURRENT, **_PARSING},
    "airflow.sdk.definitions.decorators": _DECORATORS,
    "airflow.sdk.definitions.mappedoperator": {"MappedOperator": "mapping:MappedOperator"},
    "airflow.sdk.definitions.timetables.assets": _ASSET_TIMES,
    "airflow.sdk.definitions.timetables.events": _EVENTS,
    "airflow.sdk.definitions.timetables.interval": _INTERVAL,
    "airflow.sdk.definitions.timetables.simple": _SIMPLE,
    "airflow.sdk.definitions.timetables.trigger": {**_CRON_TRIGGER, **_PARTITION_TIME},
    "airflow.sdk.definitions.dag": {"DAG": _DAG, "dag": "dag:dag"},
    "airflow.sdk.definitions.param": _PARAM,
    "airflow.sdk.definitions.taskgroup": _GROUP,
    "airflow.sdk.definitions.edges": _LABEL,
    "airflow.sdk.definitions.variable": _VARIABLE,
    "airflow.sdk.definitions.connection": _CONNECTION,
    "airflow.sdk.definitions.xcom_arg": _XCOM_ARG,
    "airflow.sdk.exceptions": _EXCEPTIONS,
    "airflow.sdk.timezone": _TIMEZONE,
    # Operators.
    "airflow.operators": {**_BASH, **_DUMMY, **_PYTHON, **_TRIGGER_DAG, **_EMAIL, **_LATEST_ONLY},
    "airflow.operators.bash": _BASH,
    "airflow.operators.bash_operator": _BASH,
    "airflow.providers.standard.operators.bash": _BASH,
    "airflow.operators.empty": _EMPTY,
    "airflow.operators.dummy": {**_DUMMY, **_EMPTY},
    "airflow.operators.dummy_operator": {**_DUMMY, **_EMPTY},
    "airflow.providers.standard.operators.empty": _EMPTY,
    "airflow.contrib.operators.kubernetes_pod_operator": _POD,
    "airflow.providers.cncf.kubernetes.operators.kubernetes_pod": _POD,
    "airflow.providers.cncf.kubernetes.operators.pod": _POD,
    "airflow.operators.python": {**_PYTHON, **_CURRENT, **_SKIP, "is_venv_installed": "context:is_venv_installed"},
    "airflow.operators.python_operator": _PYTHON,
    "airflow.providers.standard.operators.python": {**_PYTHON, **_CURRENT},
    "airflow.operators.branch": _BRANCH,
    "airflow.operators.branch_operator": _BRANCH,
    "airflow.providers.standard.operators.branch": {**_BRANCH, **_SKIP},
    "airflow.providers.standard.utils.skipmixin": _SKIP,
    "airflow.operators.latest_only": _LATEST_ONLY,
    "airflow.operators.latest_only_operator": _LATEST_ONLY,
    "airflow.providers.standard.operators.latest_only": _LATEST_ONLY,
    "airflow.operators.datetime": _BRANCH_TIME,
    "airflow.providers.standard.operators.datetime": _BRANCH_TIME,
    "airflow.operators.weekday": _BRANCH_WEEKDAY,
    "airflow.providers.standard.operators.weekday": _BRANCH_WEEKDAY,
    "airflow.operators.trigger_dagrun": _TRIGGER_DAG,
    "airflow.operators.dagrun_operator": _TRIGGER_DAG,
    "airflow.providers.standard.operators.trigger_dagrun": _TRIGGER_DAG,
    "airflow.operators.email": _EMAIL,
    "airflow.operators.email_operator": _EMAIL,
    "airflow.providers.smtp.operators.smtp": _EMAIL,
    "airflow.utils.email": _SEND,
    "airflow.providers.standard.operators.hitl": _HITL,
    # Sensors.
    "airflow.sensors": {**_SENSOR, **_EXTERNAL_TASK, **_TIME_SENSOR, **_TIME_DELTA_SENSOR},
    "airflow.sensors.base": _SENSOR_MORE,
    "airflow.sensors.base_sensor_operator": _SENSOR,
    "airflow.sensors.bash": _BASH_SENSOR,
    "airflow.contrib.sensors.bash_sensor": _BASH_SENSOR,
    "airflow.providers.standard.sensors.bash": _BASH_SENSOR,
    "airflow.sensors.python": _PYTHON_SENSOR,
    "airflow.contrib.sensors.python_sensor": _PYTHON_SENSOR,
    "airflow.providers.standard.sensors.python": _PYTHON_SENSOR,
    "airflow.sensors.date_time": _DATE_TIME_SENSOR,
    "airflow.sensors.date_time_sensor": _DATE_TIME_SENSOR,
    "airflow.providers.standard.sensors.date_time": _DATE_TIME_SENSOR,
    "airflow.sensors.time_sensor": _TIME_SENSOR,
    "airflow.providers.standard.sensors.time": _TIME_SENSOR,
    "airflow.sensors.time_delta": _TIME_DELTA_SENSOR,
    "airflow.sensors.time_delta_sensor": _TIME_DELTA_SENSOR,
    "airflow.providers.standard.sensors.time_delta": _TIME_DELTA_SENSOR,
    "airflow.sensors.weekday": _WEEKDAY_SENSOR,
    "airflow.contrib.sensors.weekday_sensor": _WEEKDAY_SENSOR,
    "airflow.providers.standard.sensors.weekday": _WEEKDAY_SENSOR,
    "airflow.sensors.filesystem": _FILE_SENSOR,
    "airflow.contrib.sensors.file_sensor": _FILE_SENSOR,
    "airflow.providers.standard.sensors.filesystem": _FILE_SENSOR,
    "airflow.sensors.external_task": _EXTERNAL_TASK,
    "airflow.sensors.external_task_sensor": _EXTERNAL_TASK,
    "airflow.providers.standard.sensors.external_task": _EXTERNAL_TASK,
    # Assets.
    "airflow.assets": _ASSETS,
    "airflow.datasets": _DATASETS,
    "airflow.datasets.metadata": {"Metadata": "assets:Metadata"},
    "airflow.timetables.assets": _ASSET_TIMES,
    "airflow.timetables.datasets": _DATASET_TIMES,
    # Pods.
    "airflow.providers.cncf.kubernetes.secret": _SECRET,
    "airflow.providers.cncf.kubernetes.utils.pod_manager": _FINISH,
    "airflow.kubernetes.secret": _SECRET,
    "airflow.kubernetes.volume": _VOLUME,
    "airflow.kubernetes.volume_mount": _MOUNT,
    "airflow.kubernetes.pod": _PORT,
    "airflow.kubernetes.pod_runtime_info_env": _INFO,
    "airflow.contrib.kubernetes.secret": _SECRET,
    "airflow.contrib.kubernetes.volume": _VOLUME,
    "airflow.contrib.kubernetes.volume_mount": _MOUNT,
    "airflow.contrib.kubernetes.pod": {**_PORT, **_INFO},
    "airflow.contrib.kubernetes.pod_runtime_info_env": _INFO,
    # The rest.
    "airflow.exceptions": _EXCEPTIONS,
    "airflow.configuration": {"conf": "answers:conf"},
    "airflow.hooks.base": _HOOK,
    "airflow.hooks.base_hook": _HOOK,
    "airflow.plugins_manager": {"AirflowPlugin": "answers:AirflowPlugin"},
    "airflow.timetables.base": {
        "Timetable": "schedule:Timetable", "DagRunInfo": "context:Record", "DataInterval": "context:Record",
        "TimeRestriction": "context:Record",
    },
    "airflow.timetables.interval": _INTERVAL,
    "airflow.timetables.trigger": {**_CRON_TRIGGER, **_PARTITION_TIME},
    "airflow.timetables.simple": _SIMPLE,
    "airflow.timetables.events": _EVENTS,
    "airflow.macros": {"ds_add": "context:ds_add", "ds_format": "context:ds_format"},
    "airflow.utils.context": {"Context": "context:Context"},
    "airflow.utils.dag_parsing_context": _PARSING,
    "airflow.utils.weekday": _WEEKDAY,
    "airflow.utils.setup_teardown": {"SetupTeardownContext": "setup_teardown:SetupTeardownContext"},
    "airflow.utils.dates": {"days_ago": "dates:days_ago", "cron_presets": "dates:CRON_PRESETS"},
    "airflow.utils.decorators": {"apply_defaults": "operator:apply_defaults"},
    "airflow.utils.edgemodifier": _LABEL,
    "airflow.utils.helpers": {
        **_CHAINS, "exactly_one": "helpers:exactly_one", "at_most_one": "helpers:at_most_one", "merge_dicts": "helpers:merge_dicts",
        "chunks": "helpers:chunks", "is_container": "helpers:is_container", "as_tuple": "helpers:as_tuple",
    },
    "airflow.utils.state": _STATES,
    "airflow.utils.task_group": _GROUP,
    "airflow.utils.timezone": _TIMEZONE,
    "airflow.utils.trigger_rule": _TRIGGER_RULE,
    "airflow.task.trigger_rule": _TRIGGER_RULE,
    "airflow.utils.weight_rule": _WEIGHT_RULE,
    "airflow.task.weight_rule": _WEIGHT_RULE,
    "airflow.version": {"version": "version:version"},
}
