"""Pools, variables and connections: one by one and in bulk."""

import json

import pytest
from airflow_client.client import (
    BulkBodyConnectionBody,
    BulkBodyPoolBody,
    BulkBodyVariableBody,
    ConnectionBody,
    ConnectionTestRequestBody,
    PoolBody,
    PoolPatchBody,
    VariableBody,
)

from conftest import V2, http, instance, refused


def test_pools(api, sleeping):
    answer = api.Pool.get_pools()
    default = next(pool for pool in answer.pools if pool.name == "default_pool")
    assert default.slots == 128 and default.include_deferred is False and default.description
    assert default.running_slots >= 1 and default.occupied_slots >= default.running_slots
    assert default.open_slots == default.slots - default.occupied_slots
    assert api.Pool.get_pool("default_pool").slots == 128
    assert instance("patient", sleeping, "sleep")["pool"] == "default_pool"


def test_a_pool(api, name):
    pool = api.Pool.post_pool(PoolBody(name=name, slots=3, description="for tests", include_deferred=True))
    assert (pool.name, pool.slots, pool.description, pool.include_deferred) == (name, 3, "for tests", True)
    assert (pool.open_slots, pool.occupied_slots, pool.team_name) == (3, 0, None)
    assert api.Pool.get_pool(name) == pool
    assert refused(409, api.Pool.post_pool, PoolBody(name=name, slots=1))["reason"] == "Unique constraint violation"
    changed = api.Pool.patch_pool(name, PoolPatchBody(slots=5, description="other", include_deferred=True))
    assert (changed.slots, changed.description) == (5, "other")
    masked = api.Pool.patch_pool(name, PoolPatchBody(slots=7, description="third", include_deferred=True), update_mask=["slots"])
    assert (masked.slots, masked.description) == (7, "other"), "the mask leaves the description out"
    api.Pool.delete_pool(name)
    assert refused(404, api.Pool.get_pool, name) == f"The Pool with name: `{name}` was not found"
    assert refused(404, api.Pool.delete_pool, name) == f"The Pool with name: `{name}` was not found"
    assert refused(404, api.Pool.patch_pool, name, PoolPatchBody(slots=1)) == f"The Pool with name: `{name}` was not found"


def test_a_pool_without_end(api, name):
    assert api.Pool.post_pool(PoolBody(name=name, slots=-1)).open_slots == -1
    api.Pool.delete_pool(name)


def test_pools_with_signs_in_their_names(api, name):
    odd = f"{name}/a b&c"
    api.Pool.post_pool(PoolBody(name=odd, slots=1))
    assert api.Pool.get_pool(odd).name == odd
    api.Pool.delete_pool(odd)


def test_list_pools(api, name):
    for n in range(3):
        api.Pool.post_pool(PoolBody(name=f"{name}_{n}", slots=1))
    names = lambda **query: [pool.name for pool in api.Pool.get_pools(**query).pools]
    assert names(pool_name_pattern=name.upper()) == [f"{name}_{n}" for n in range(3)]
    assert names(pool_name_pattern=name, order_by=["-name"], limit=2) == [f"{name}_2", f"{name}_1"]
    assert names(pool_name_prefix_pattern=f"{name}_1|{name}_2") == [f"{name}_1", f"{name}_2"]
    assert api.Pool.get_pools(pool_name_pattern=name, limit=1).total_entries == 3
    for n in range(3):
        api.Pool.delete_pool(f"{name}_{n}")


def test_the_default_pool(api):
    only = "Only slots and included_deferred can be modified on Default Pool"
    assert refused(400, api.Pool.delete_pool, "default_pool") == "Default Pool can't be deleted"
    assert refused(400, api.Pool.patch_pool, "default_pool", PoolPatchBody(description="mine")) == only
    changed = api.Pool.patch_pool("default_pool", PoolPatchBody(slots=64, include_deferred=False), update_mask=["slots", "include_deferred"])
    assert changed.slots == 64
    assert api.Pool.patch_pool("default_pool", PoolPatchBody(slots=128), update_mask=["slots"]).slots == 128


def test_pools_are_checked(api, name):
    answer = http("POST", f"{V2}/pools", json={"name": "x" * 257, "slots": -2, "more": 1})
    assert answer.status == 422
    assert {p["loc"][-1] for p in answer.json["detail"]} == {"name", "slots", "more"}
    answer = http("POST", f"{V2}/pools", json={})
    assert {(p["type"], p["loc"][-1]) for p in answer.json["detail"]} == {("missing", "name"), ("missing", "slots")}


def test_a_pool_keeps_its_name(api, name):
    api.Pool.post_pool(PoolBody(name=name, slots=1))
    detail = refused(400, api.Pool.patch_pool, name, PoolPatchBody(pool=name + "x", slots=1))
    assert detail == "Invalid body, pool name from request body doesn't match uri parameter"
    api.Pool.delete_pool(name)


# Bulk calls are the same for all three: what is made, what is found, by what name.
KINDS = {
    "pools": (BulkBodyPoolBody, "bulk_pools", lambda n, value: {"name": n, "slots": value}, "pool names"),
    "variables": (BulkBodyVariableBody, "bulk_variables", lambda n, value: {"key": n, "value": str(value)}, "keys"),
    "connections": (BulkBodyConnectionBody, "bulk_connections", lambda n, value: {"connection_id": n, "conn_type": "http", "port": value}, "connection_ids"),
}


class Bulk:
    def __init__(self, api, kind):
        self.kind = kind
        self.body, call, self.entity, self.called = KINDS[kind]
        self.call = getattr({"pools": api.Pool, "variables": api.Variable, "connections": api.Connection}[kind], call)

    def __call__(self, *actions):
        return self.call(self.body.from_dict({"actions": list(actions)}))

    def value(self, name):
        """The slots, the value, the port: what is told apart here. None when there is none of that name."""
        answer = http("GET", f"{V2}/{self.kind}/{name}")
        if answer.status == 404:
            return None
        fields = answer.json
        return int(fields[{"pools": "slots", "variables": "value", "connections": "port"}[self.kind]])


@pytest.fixture(params=list(KINDS))
def bulk(api, request):
    return Bulk(api, request.param)


def test_bulk_in_order(bulk, name):
    one, other = f"{name}_1", f"{name}_2"
    answer = bulk(
        {"action": "create", "entities": [bulk.entity(one, 1), bulk.entity(other, 2)]},
        {"action": "update", "entities": [bulk.entity(one, 11)]},
        {"action": "delete", "entities": [other]},
    )
    assert (sorted(answer.create.success), answer.create.errors) == ([one, other], [])
    assert (answer.update.success, answer.update.errors) == ([one], [])
    assert (answer.delete.success, answer.delete.errors) == ([other], [])
    assert (bulk.value(one), bulk.value(other)) == (11, None)
    answer = bulk({"action": "delete", "entities": [one]})
    assert answer.create is None and answer.update is None and answer.delete.success == [one]


def test_bulk_create_of_what_is_there(bulk, name):
    one, other = f"{name}_1", f"{name}_2"
    bulk({"action": "create", "entities": [bulk.entity(one, 1)]})
    both = {"action": "create", "entities": [bulk.entity(one, 5), bulk.entity(other, 6)]}
    answer = bulk(both)
    [error] = answer.create.errors
    assert answer.create.success == [] and error["status_code"] == 409
    assert error["error"] == f"The {bulk.kind} with these {bulk.called}: {{'{one}'}} already exist."
    assert (bulk.value(one), bulk.value(other)) == (1, None), "all of an action or nothing"
    answer = bulk({**both, "action_on_existence": "skip"})
    assert (answer.create.success, answer.create.errors) == ([other], [])
    assert (bulk.value(one), bulk.value(other)) == (1, 6)
    answer = bulk({**both, "action_on_existence": "overwrite"})
    assert (sorted(answer.create.success), answer.create.errors) == ([one, other], [])
    assert (bulk.value(one), bulk.value(other)) == (5, 6)
    bulk({"action": "delete", "entities": [one, other]})


@pytest.mark.parametrize("action", ["update", "delete"])
def test_bulk_of_what_is_not_there(bulk, name, action):
    one, other = f"{name}_1", f"{name}_2"
    bulk({"action": "create", "entities": [bulk.entity(one, 1)]})
    entities = [bulk.entity(one, 5), bulk.entity(other, 6)] if action == "update" else [one, other]
    answer = bulk({"action": action, "entities": entities})
    [error] = getattr(answer, action).errors
    assert getattr(answer, action).success == [] and error["status_code"] == 404
    assert error["error"] == f"The {bulk.kind} with these {bulk.called}: {{'{other}'}} were not found."
    assert bulk.value(one) == 1, "all of an action or nothing"
    answer = bulk({"action": action, "entities": entities, "action_on_non_existence": "skip"})
    assert (getattr(answer, action).success, getattr(answer, action).errors) == ([one], [])
    assert bulk.value(one) == (5 if action == "update" else None)
    bulk({"action": "delete", "entities": [one], "action_on_non_existence": "skip"})


def test_bulk_of_nothing(bulk):
    answer = bulk()
    assert (answer.create, answer.update, answer.delete) == (None, None, None)


def test_bulk_is_checked(bulk, name):
    wrong = [
        ({}, ["body", "actions"]),
        ({"actions": [], "more": 1}, ["body", "more"]),
        ({"actions": [{"action": "create", "entities": [{}]}]}, ["body", "actions", 0]),
    ]
    for body, loc in wrong:
        answer = http("PATCH", f"{V2}/{bulk.kind}", json=body)
        assert answer.status == 422, answer
        assert answer.json["detail"][0]["loc"][: len(loc)] == loc
    answer = http("PATCH", f"{V2}/{bulk.kind}", json={"actions": [{"action": "explode", "entities": []}]})
    assert answer.status == 422, "Airflow answers 500: its discriminator does not expect it"


def test_bulk_update_with_a_mask(api, name):
    api.Variable.post_variable(VariableBody(key=name, value="one", description="first"))
    entity = {"key": name, "value": "two", "description": "second"}
    action = {"action": "update", "entities": [entity], "update_mask": ["description"]}
    answer = api.Variable.bulk_variables(BulkBodyVariableBody.from_dict({"actions": [action]}))
    assert answer.update.success == [name]
    variable = api.Variable.get_variable(name)
    assert (variable.value, variable.description) == ("one", "second")
    api.Variable.delete_variable(name)


def test_bulk_overwrite_keeps_what_is_not_given(api, name):
    api.Pool.post_pool(PoolBody(name=name, slots=1, description="mine"))
    action = {"action": "create", "entities": [{"name": name, "slots": 2}], "action_on_existence": "overwrite"}
    answer = http("PATCH", f"{V2}/pools", json={"actions": [action]})
    assert answer.status == 200 and answer.json["create"]["success"] == [name], answer
    pool = api.Pool.get_pool(name)
    assert (pool.slots, pool.description) == (2, "mine")
    api.Pool.delete_pool(name)


def test_a_variable(api, name):
    made = api.Variable.post_variable(VariableBody(key=name, value="one", description="first"))
    assert (made.key, made.value, made.description, made.team_name) == (name, "one", "first", None)
    assert isinstance(made.is_encrypted, bool)
    assert api.Variable.get_variable(name) == made
    detail = refused(409, api.Variable.post_variable, VariableBody(key=name, value="x"))
    assert detail == f"The Variable with key: `{name}` already exists"
    changed = api.Variable.patch_variable(name, VariableBody(key=name, value="two", description="second"))
    assert (changed.value, changed.description) == ("two", "second")
    masked = api.Variable.patch_variable(name, VariableBody(key=name, value="three", description="third"), update_mask=["value"])
    assert (masked.value, masked.description) == ("three", "second")
    detail = refused(400, api.Variable.patch_variable, name, VariableBody(key="other", value="x"))
    assert detail == "Invalid body, key from request body doesn't match uri parameter"
    detail = refused(400, api.Variable.patch_variable, name, VariableBody(key=name, value="x"), update_mask=["key"])
    assert detail.startswith("Update not allowed: the following fields are immutable and cannot be modified")
    api.Variable.delete_variable(name)
    missing = f"The Variable with key: `{name}` was not found"
    assert refused(404, api.Variable.get_variable, name) == missing
    assert refused(404, api.Variable.delete_variable, name) == missing
    assert refused(404, api.Variable.patch_variable, name, VariableBody(key=name, value="x")) == missing


@pytest.mark.parametrize("value", [{"a": [1, None]}, [1, 2], 3, True, None, "", "ünïcode"], ids=["object", "list", "number", "true", "null", "empty", "text"])
def test_values_of_variables(api, name, value):
    made = api.Variable.post_variable(VariableBody(key=name, value=value))
    if isinstance(value, str):
        assert made.value == value
    else:
        assert json.loads(made.value) == value, "what is no text is kept as JSON"
    api.Variable.delete_variable(name)


@pytest.mark.parametrize("word", ["password", "API_KEY", "my_secret", "access_token"])
def test_secret_variables_are_masked(api, name, word):
    key = f"{name}_{word}"
    assert api.Variable.post_variable(VariableBody(key=key, value="hunter2")).value == "***"
    assert api.Variable.get_variable(key).value == "***"
    api.Variable.delete_variable(key)


def test_secret_parts_of_variables_are_masked(api, name):
    api.Variable.post_variable(VariableBody(key=name, value='{"user": "ada", "password": "hunter2"}'))
    assert json.loads(api.Variable.get_variable(name).value) == {"user": "ada", "password": "***"}
    api.Variable.delete_variable(name)


def test_list_variables(api, name):
    keys = [f"{name}/{n}" for n in range(3)]
    for n, key in enumerate(keys):
        api.Variable.post_variable(VariableBody(key=key, value=str(n), description=f"d{9 - n}"))
    listed = lambda **query: [v.key for v in api.Variable.get_variables(**query).variables]
    assert listed(variable_key_pattern=name.upper(), order_by=["key"]) == keys
    assert listed(variable_key_pattern=name, order_by=["-key"], limit=2, offset=1) == [keys[1], keys[0]]
    assert listed(variable_key_prefix_pattern=name, order_by=["description"]) == keys[::-1]
    assert listed(variable_key_pattern=f"{name}/0|{name}/2", order_by=["id"]) == [keys[0], keys[2]]
    assert api.Variable.get_variables(variable_key_pattern=name, limit=1).total_entries == 3
    assert refused(400, api.Variable.get_variables, order_by=["surprise"])
    for key in keys:
        assert api.Variable.get_variable(key).key == key, "a slash is part of the name"
        api.Variable.delete_variable(key)


def test_no_variables(api):
    answer = api.Variable.get_variables(variable_key_pattern="no-such-variable")
    assert (answer.variables, answer.total_entries) == ([], 0)


@pytest.mark.parametrize(
    "body, kind, field",
    [
        ({"value": "x"}, "missing", "key"),
        ({"key": "k"}, "missing", "value"),
        ({"key": "k" * 251, "value": "x"}, "string_too_long", "key"),
        ({"key": "k", "value": "x", "more": 1}, "extra_forbidden", "more"),
    ],
    ids=["no-key", "no-value", "long-key", "surprise"],
)
def test_variables_are_checked(body, kind, field):
    answer = http("POST", f"{V2}/variables", json=body)
    assert answer.status == 422
    assert [(p["type"], p["loc"]) for p in answer.json["detail"]] == [(kind, ["body", field])]


def test_a_connection(api, name):
    body = ConnectionBody(
        connection_id=name, conn_type="postgres", description="the first", host="db.example", login="ada", password="hunter2",
        port=5432, schema="public", extra='{"sslmode": "require", "api_key": "k"}',
    )
    made = api.Connection.post_connection(body)
    assert (made.connection_id, made.conn_type, made.description) == (name, "postgres", "the first")
    assert (made.host, made.login, made.port, made.var_schema) == ("db.example", "ada", 5432, "public")
    assert made.password == "***", "nobody gets it back"
    assert json.loads(made.extra) == {"sslmode": "require", "api_key": "***"}
    assert api.Connection.get_connection(name) == made
    detail = refused(409, api.Connection.post_connection, body)
    assert detail["reason"] == "Unique constraint violation"
    changed = api.Connection.patch_connection(name, ConnectionBody(connection_id=name, conn_type="mysql", host="other"))
    assert (changed.conn_type, changed.host, changed.login, changed.password) == ("mysql", "other", "ada", "***"), "the rest stays"
    masked = api.Connection.patch_connection(name, ConnectionBody(connection_id=name, conn_type="x", port=1, host="third"), update_mask=["port"])
    assert (masked.conn_type, masked.host, masked.port) == ("mysql", "other", 1)
    detail = refused(400, api.Connection.patch_connection, name, ConnectionBody(connection_id="other", conn_type="x"))
    assert detail == "The connection_id in the request body does not match the URL parameter"
    api.Connection.delete_connection(name)
    missing = f"The Connection with connection_id: `{name}` was not found"
    assert refused(404, api.Connection.get_connection, name) == missing
    assert refused(404, api.Connection.delete_connection, name) == missing
    assert refused(404, api.Connection.patch_connection, name, ConnectionBody(connection_id=name, conn_type="x")) == missing


def test_a_connection_with_little(api, name):
    made = api.Connection.post_connection(ConnectionBody(connection_id=name, conn_type="http"))
    rest = (made.host, made.login, made.password, made.port, made.var_schema, made.description, made.extra, made.team_name)
    assert rest == (None,) * 8
    api.Connection.delete_connection(name)


def test_list_connections(api, name):
    made = [f"{name}.{n}" for n in range(3)]
    for n, connection_id in enumerate(made):
        api.Connection.post_connection(ConnectionBody(connection_id=connection_id, conn_type="http", port=9 - n))
    listed = lambda **query: [c.connection_id for c in api.Connection.get_connections(**query).connections]
    assert listed(connection_id_pattern=name.upper()) == made
    assert listed(connection_id_pattern=name, order_by=["port"], limit=2) == [made[2], made[1]]
    assert listed(connection_id_prefix_pattern=name, order_by=["-connection_id"], offset=1) == [made[1], made[0]]
    assert api.Connection.get_connections(connection_id_pattern=name, limit=1).total_entries == 3
    for connection_id in made:
        api.Connection.delete_connection(connection_id)


def test_no_connections(api):
    answer = api.Connection.get_connections(connection_id_pattern="no-such-connection")
    assert (answer.connections, answer.total_entries) == ([], 0)


@pytest.mark.parametrize(
    "body, kind, field",
    [
        ({"conn_type": "http"}, "missing", "connection_id"),
        ({"connection_id": "c"}, "missing", "conn_type"),
        ({"connection_id": "two words", "conn_type": "http"}, "string_pattern_mismatch", "connection_id"),
        ({"connection_id": "c" * 201, "conn_type": "http"}, "string_too_long", "connection_id"),
        ({"connection_id": "c", "conn_type": "http", "port": "x"}, "int_parsing", "port"),
        ({"connection_id": "c", "conn_type": "http", "extra": "[1]"}, "value_error", "extra"),
        ({"connection_id": "c", "conn_type": "http", "extra": "{"}, "value_error", "extra"),
        ({"connection_id": "c", "conn_type": "http", "more": 1}, "extra_forbidden", "more"),
    ],
    ids=["no-id", "no-type", "words", "long-id", "port", "extra-list", "extra-no-json", "surprise"],
)
def test_connections_are_checked(body, kind, field):
    answer = http("POST", f"{V2}/connections", json=body)
    assert answer.status == 422
    assert [(p["type"], p["loc"]) for p in answer.json["detail"]] == [(kind, ["body", field])]


def test_a_password_that_comes_back_masked_stays(api, name):
    api.Connection.post_connection(ConnectionBody(connection_id=name, conn_type="http", password="hunter2", extra='{"token": "t", "a": 1}'))
    body = ConnectionBody(connection_id=name, conn_type="http", password="***", extra='{"token": "***", "a": 2}')
    changed = api.Connection.patch_connection(name, body)
    assert changed.password == "***" and json.loads(changed.extra) == {"token": "***", "a": 2}
    # The client leaves null out.
    nothing = http("PATCH", f"{V2}/connections/{name}", json={"connection_id": name, "conn_type": "http", "password": None})
    assert (nothing.status, nothing.json["password"]) == (200, None), "null takes it away"
    api.Connection.delete_connection(name)


def test_connections_are_not_tested(api):
    """As Airflow, where nobody has switched it on: connections would be opened from the API's network."""
    off = "Testing connections is disabled in Airflow configuration. Contact your deployment admin to enable it."
    assert refused(403, api.Connection.test_connection, ConnectionBody(connection_id="c", conn_type="http")) == off
    body = ConnectionTestRequestBody(connection_id="c", conn_type="http")
    assert refused(403, api.Connection.enqueue_connection_test, body) == off
    assert refused(404, api.Connection.get_connection_test, "t") == "No connection test found for token: `t`"
