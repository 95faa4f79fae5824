from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Ref, Timeout
from ansible_collections.railiance.stack.plugins.modules.kube_apply import work
from unit.fakes import FakeKube, FakeModule

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}


def module(check_mode=False, **params):
    defaults = {
        "src": [],
        "definition": [],
        "namespace": "n",
        "wait": True,
        "wait_timeout": 1,
        "wait_for": [],
        "force_adopt": False,
        "as_component": "none",
    }
    return FakeModule(check_mode, **{**defaults, **params})


def wait_for(**entry):
    return {"namespace": None, "condition": None, "path": None, "value": None, "hint": "", **entry}


def test_check_mode_predicts_what_happens_and_writes_nothing():
    predicted_by, done_by = FakeKube(), FakeKube()
    params = {"definition": [CONFIG, NAMESPACE]}
    predicted = work(module(check_mode=True, **params), predicted_by)
    assert predicted_by.writes == []
    done = work(module(**params), done_by)
    assert done_by.written == ["apply Namespace n", "apply ConfigMap n/c"]
    assert predicted == done
    assert predicted["objects"] == ["Namespace n", "ConfigMap n/c"]
    assert work(module(**params), done_by)["changed"] is False
    assert work(module(check_mode=True, **params), done_by)["changed"] is False


def test_nothing_to_apply_is_an_error():
    with pytest.raises(StackError, match=r"^There is nothing to apply: src and definition hold no object\."):
        work(module(), FakeKube())


def test_a_workload_that_does_not_get_ready_fails_even_when_nothing_changed():
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 1}}
    kube = FakeKube(NAMESPACE)
    work(module(definition=[deployment], wait=False), kube)
    with pytest.raises(Timeout, match=r"^Deployment n/d did not become available within 1 s"):
        work(module(definition=[deployment]), kube)


def test_a_further_condition_is_waited_for():
    entry = wait_for(api_version="v1", kind="ConfigMap", name="c", namespace="n", path="data.a", value="2", hint="Ask.")
    kube = FakeKube(NAMESPACE)
    with pytest.raises(Timeout) as caught:
        work(module(definition=[CONFIG], wait_for=[entry]), kube)
    assert str(caught.value) == "ConfigMap n/c did not reach data.a = '2' within 1 s: no cause is given. Ask."
    assert caught.value.result["changed"] is True
    assert Ref("v1", "ConfigMap", "c", "n") in kube.objects
    assert work(module(definition=[CONFIG], wait_for=[{**entry, "value": "1"}]), kube)["changed"] is False


def test_check_mode_does_not_wait():
    entry = wait_for(api_version="v1", kind="ConfigMap", name="missing", namespace="n", path="data.a", value="1")
    assert work(module(check_mode=True, definition=[CONFIG], wait_for=[entry]), FakeKube(NAMESPACE))["changed"] is True


def test_in_check_mode_a_file_that_is_not_there_yet_is_predicted():
    result = work(module(check_mode=True, src=["/nowhere/m.yaml"], definition=[NAMESPACE]), FakeKube())
    assert result["plan"] == [
        {"action": "create", "target": "Namespace n", "note": ""},
        {"action": "create", "target": "/nowhere/m.yaml", "note": "its objects are known once the file is there"},
    ]
    with pytest.raises(StackError, match=r"^Could not read the manifest /nowhere/m\.yaml"):
        work(module(src=["/nowhere/m.yaml"]), FakeKube())


def test_a_component_is_the_files_only_or_everything(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {replicas: 1}}")
    by_hand = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}, "spec": {}}
    params = {"src": [str(path)], "definition": [CONFIG], "wait": False}
    beside = work(module(as_component="src", **params), FakeKube(NAMESPACE, by_hand))
    assert [step["target"] for step in beside["plan"]] == ["ConfigMap n/c"]
    assert work(module(as_component="all", **params), FakeKube(NAMESPACE, by_hand))["plan"] == []
