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
_DECORATORS = {"dag": "dag:dag", "task": "task_group:task", "task_group": "task_group:task_group"}
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
        "AirflowFailException", "AirflowSensorTimeout", "AirflowTaskTimeout", "AirflowRescheduleException", "AirflowDagCycleException",
        "AirflowTimetableInvalid", "AirflowProviderDeprecationWarning", "RemovedInAirflow3Warning", "RemovedInAirflow4Warning",
        "DuplicateTaskIdFound", "TaskNotFound", "DagNotFound",
    )
}

MODULES = {
    "airflow.models": {
        "DAG": _DAG, **_BASE, **_VARIABLE, **_CONNECTION, "Param": "param:Param", **_XCOM_ARG,
    },
    "airflow.models.dag": {"DAG": _DAG, "dag": "dag:dag", "DagContext": "context:DagContext"},
    "airflow.models.baseoperator": {**_BASE, **_CHAINS, "BaseOperatorMeta": "operator:OperatorMeta"},
    "airflow.models.variable": _VARIABLE,
    "airflow.models.connection": _CONNECTION,
    "airflow.models.param": _PARAM,
    "airflow.models.xcom_arg": _XCOM_ARG,
    "airflow.decorators": _DECORATORS,
    "airflow.decorators.task_group": {"task_group": "task_group:task_group"},
    "airflow.sdk": {
        "DAG": _DAG, **_DECORATORS, **_BASE, **_CHAINS, **_GROUP, "Label": "relations:Label", **_VARIABLE, **_CONNECTION, **_HOOK,
        "Param": "param:Param", "ParamsDict": "param:ParamsDict", **_TRIGGER_RULE, **_WEIGHT_RULE, **_XCOM_ARG, **_CRON_TRIGGER,
        **_INTERVAL,
        "EdgeModifier": "relations:EdgeModifier", "BaseSensorOperator": "operator:BaseSensorOperator",
        "DagRunState": "enums:DagRunState", "TaskInstanceState": "enums:TaskInstanceState",
    },
    "airflow.sdk.bases.operator": {**_BASE, **_CHAINS},
    "airflow.sdk.bases.hook": _HOOK,
    "airflow.sdk.bases.sensor": {"BaseSensorOperator": "operator:BaseSensorOperator"},
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
    "airflow.operators": {**_BASH, **_DUMMY},
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
    "airflow.sensors.base": {"BaseSensorOperator": "operator:BaseSensorOperator"},
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
    "airflow.timetables.base": {"Timetable": "schedule:Timetable"},
    "airflow.timetables.interval": _INTERVAL,
    "airflow.timetables.trigger": _CRON_TRIGGER,
    "airflow.timetables.simple": _SIMPLE,
    "airflow.utils.dates": {"days_ago": "dates:days_ago", "cron_presets": "dates:CRON_PRESETS"},
    "airflow.utils.decorators": {"apply_defaults": "operator:apply_defaults"},
    "airflow.utils.edgemodifier": _LABEL,
    "airflow.utils.helpers": _CHAINS,
    "airflow.utils.state": _STATES,
    "airflow.utils.task_group": _GROUP,
    "airflow.utils.timezone": _TIMEZONE,
    "airflow.utils.trigger_rule": _TRIGGER_RULE,
    "airflow.task.trigger_rule": _TRIGGER_RULE,
    "airflow.utils.weight_rule": _WEIGHT_RULE,
    "airflow.task.weight_rule": _WEIGHT_RULE,
    "airflow.version": {"version": "version:version"},
}
