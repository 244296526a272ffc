"""Assets (datasets in Airflow 2): what DAGs say they make and wait for, `@asset`, and schedules of them."""

import inspect

from airflow._problem import InvalidArgument
from airflow._schedule import ABSENT, Timetable, to_schedule
from airflow._standard_operators import PythonOperator
from airflow._values import for_people


class BaseAsset:
    """What a schedule of assets is made of: joined with `&` and `|`."""

    def __or__(self, other):
        return AssetAny(self, other)

    def __and__(self, other):
        return AssetAll(self, other)

    def as_expression(self):
        """As JSON."""
        raise NotImplementedError


class Asset(BaseAsset):
    """A thing with a name and an address."""

    asset_type = "asset"

    def __init__(self, name=None, uri=None, *, group="asset", extra=None, watchers=(), **kwargs):
        if name is None and uri is None:
            raise InvalidArgument("an asset has neither name nor uri", "write Asset(\"s3://bucket/key\")")
        self.name = str(name if name is not None else uri)
        self.uri = str(uri if uri is not None else name)
        self.group = group
        self.extra = extra or {}
        self.watchers = list(watchers)

    def __fspath__(self):
        return self.uri

    def __eq__(self, other):
        return isinstance(other, Asset) and (self.name, self.uri) == (other.name, other.uri)

    def __hash__(self):
        return hash((self.name, self.uri))

    def __repr__(self):
        return "Asset(name=%r, uri=%r)" % (self.name, self.uri)

    @staticmethod
    def ref(*, name=None, uri=None):
        """A reference by name or address."""
        return AssetRef(name=name, uri=uri)

    def as_expression(self):
        return {"asset": {"name": self.name, "uri": self.uri}}


class Dataset(Asset):
    """An asset by its old name."""

    def __init__(self, uri=None, extra=None, **kwargs):
        super().__init__(uri=uri, extra=extra, **kwargs)


class Model(Asset):
    """An asset that is a model."""


class AssetRef(BaseAsset):
    """An asset that is defined elsewhere."""

    def __init__(self, name=None, uri=None):
        self.name = name
        self.uri = uri

    def as_expression(self):
        return {"asset_ref": {"name": self.name} if self.uri is None else {"uri": self.uri}}


class AssetAlias(BaseAsset):
    """A name for assets that are known when a task has run."""

    def __init__(self, name, group="asset"):
        self.name = name
        self.group = group

    def __eq__(self, other):
        return isinstance(other, AssetAlias) and self.name == other.name

    def __hash__(self):
        return hash(self.name)

    def as_expression(self):
        return {"alias": {"name": self.name}}


class _Several(BaseAsset):
    word = ""

    def __init__(self, *objects):
        for one in objects:
            if not isinstance(one, BaseAsset):
                raise InvalidArgument("%s holds a %s" % (type(self).__name__, type(one).__name__), "give it assets")
        self.objects = list(objects)

    def as_expression(self):
        return {self.word: [one.as_expression() for one in self.objects]}


class AssetAny(_Several):
    """One of several."""

    word = "any"

    def __or__(self, other):
        return AssetAny(*self.objects, other)


class AssetAll(_Several):
    """All of several."""

    word = "all"

    def __and__(self, other):
        return AssetAll(*self.objects, other)


class AssetWatcher:
    """What watches a message queue for an asset."""

    def __init__(self, name, trigger):
        self.name = name
        self.trigger = trigger


def of_schedule(value):
    """The expression of what stands after `schedule=`, or nothing where it is not about assets."""
    if isinstance(value, BaseAsset):
        return value.as_expression()
    if isinstance(value, (list, tuple, set)) and value and all(isinstance(one, BaseAsset) for one in value):
        return AssetAll(*value).as_expression()
    return None


class AssetTriggeredTimetable(Timetable):
    """Runs when assets have changed."""

    def __init__(self, assets=None, **kwargs):
        self.assets = assets

    def _updraft_schedule(self):
        return {"kind": "assets", "expression": of_schedule(self.assets) or {"all": []}}


class PartitionedAssetTimetable(AssetTriggeredTimetable):
    """Runs when partitions of assets have changed."""

    def __init__(self, *, assets, default_partition_mapper=None, partition_mapper_config=None, **kwargs):
        super().__init__(assets)


class PartitionedAtRuntime(Timetable):
    """Never runs by itself: tasks say which partition they make."""

    def _updraft_schedule(self):
        return {"kind": "none"}


class AssetOrTimeSchedule(Timetable):
    """Runs at times, and when assets have changed: the times are kept."""

    def __init__(self, *, timetable, assets=None, datasets=None):
        self.inner = timetable
        self.assets = assets if assets is not None else datasets

    @property
    def timezone(self):
        """That of the times."""
        return getattr(self.inner, "timezone", None)

    def _updraft_schedule(self):
        from airflow import _session

        _session.current().warn("AssetOrTimeSchedule: the DAG runs at its times, changes of assets start no run")
        return to_schedule(self.inner, "AssetOrTimeSchedule")[0]


class DatasetOrTimeSchedule(AssetOrTimeSchedule):
    """The same by its old name."""


class _AssetMainOperator(PythonOperator):
    __module__ = "airflow.sdk.definitions.asset.decorators"


_NO_INLETS = frozenset(["self", "context", "outlet_events"])


class _Factory:
    def __init__(self, *, schedule=ABSENT, is_paused_upon_creation=None, dag_id=None, dag_display_name=None, description=None, params=None,
                 on_success_callback=None, on_failure_callback=None, access_control=None, owner_links=None, tags=()):
        given = {name: value for name, value in locals().items() if name not in ("self", "dag_id", "schedule") and value}
        self.schedule = schedule
        self.dag_id = dag_id
        self.options = given

    def make(self, name, function, outlets):
        """The DAG of one task that makes the assets."""
        from airflow._dag import DAG
        from airflow._decorators import DecoratedTask

        with DAG(self.dag_id or name, schedule=self.schedule, catchup=False, **self.options):
            if isinstance(function, DecoratedTask):
                function.override(outlets=outlets)()
                return
            inlets = [Asset.ref(name=one.name) for one in inspect.signature(function).parameters.values()
                      if one.name not in _NO_INLETS and one.default is one.empty]
            _AssetMainOperator(task_id=function.__name__, python_callable=function, inlets=inlets, outlets=outlets)


class _Multi(_Factory):
    def __init__(self, *, outlets, **options):
        super().__init__(**options)
        self.outlets = list(outlets)

    def __call__(self, function):
        self.make(function.__name__, function, self.outlets)
        return AssetAll(*self.outlets)


class asset(_Factory):
    """`@asset`: a function that makes an asset, as a DAG of its own."""

    multi = _Multi

    def __init__(self, *, name=None, uri=None, group="asset", extra=None, watchers=(), **options):
        super().__init__(**options)
        self.name = name
        self.uri = uri
        self.rest = {"group": group, "extra": extra, "watchers": watchers}

    def __call__(self, function):
        name = self.name or function.__name__
        made = Asset(name=name, uri=self.uri if self.uri is not None else name, **self.rest)
        self.make(name, function, [made])
        return made


class Metadata:
    """What a task says about an asset that it made."""

    def __init__(self, asset, extra=None, alias=None):
        self.asset = asset
        self.extra = for_people(extra)
        self.alias = alias
