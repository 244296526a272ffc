"""What Updraft does not have: refused, with a reason that says so, never with a fault or a bare 404."""

import inspect
import json

import pytest
from airflow_client.client.exceptions import ApiException

import methods

# What a parameter of each name is, where there must be one.
GIVEN = {
    "asset_alias_id": 1, "asset_id": 1, "dag_id": "little", "dag_run_id": "little_1", "task_id": "hello", "map_index": -1, "try_number": 1,
    "key": "k", "file_token": "bm90aGluZw", "section": "core", "option": "dags_folder",
    "create_asset_events_body": {"asset_id": 1}, "materialize_asset_body": {}, "asset_state_store_body": {"value": "x"},
    "update_hitl_detail_payload": {"chosen_options": ["yes"]}, "task_state_store_body": {"value": "x"}, "task_state_store_patch_body": {"value": "x"},
}


@pytest.mark.parametrize("method", sorted(methods.REFUSED))
def test_refused(api, little, method):
    expected = methods.REFUSED[method]
    class_name, call_name = method.split(".")
    call = getattr(getattr(api, class_name.removesuffix("Api")), call_name)
    parameters = inspect.signature(inspect.unwrap(call)).parameters.values()
    needed = [p.name for p in parameters if p.default is inspect.Parameter.empty and p.name != "self"]
    with pytest.raises(ApiException) as caught:
        call(**{name: GIVEN[name] for name in needed})
    assert caught.value.status == expected.status, caught.value.body
    detail = json.loads(caught.value.body)["detail"]
    assert expected.says in detail, "the reason is in the answer"
