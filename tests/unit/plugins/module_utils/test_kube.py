from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import NoCluster, Ref, comparable, masked

SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {
        "name": "s",
        "namespace": "n",
        "uid": "1",
        "resourceVersion": "7",
        "managedFields": [],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    },
    "data": {"password": "b2xk", "username": "YXBw"},
}


def test_a_ref_reads_like_kubectl():
    assert str(Ref("v1", "Secret", "s", "n")) == "Secret n/s"
    assert str(Ref("v1", "Namespace", "n")) == "Namespace n"
    assert Ref.of(SECRET) == Ref("v1", "Secret", "s", "n")


def test_comparable_drops_what_the_server_keeps_for_itself_and_leaves_the_input_alone():
    assert comparable({**SECRET, "status": {"x": 1}}) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "n"},
        "data": SECRET["data"],
    }
    assert SECRET["metadata"]["uid"] == "1"
    assert comparable(None) is None


def test_masked_hides_values_and_still_shows_which_changed():
    before, after = masked(SECRET, {**SECRET, "data": {"password": "bmV3", "username": "YXBw", "extra": "eA=="}})
    assert before["data"] == {"password": "********", "username": "********"}
    assert after["data"] == {"password": "******** (changed)", "username": "********", "extra": "********"}
    assert masked(None, {"kind": "ConfigMap", "data": {"a": "b"}}) == (None, {"kind": "ConfigMap", "data": {"a": "b"}})


def test_before_there_is_a_cluster_the_world_is_empty_and_nothing_can_be_written():
    kube = NoCluster()
    assert kube.exists is False
    assert kube.serves("v1", "Secret") is False
    assert kube.get(Ref.of(SECRET)) is None
    assert kube.find("v1", "Secret") == []
    for write in (kube.apply, kube.create, kube.replace):
        with pytest.raises(StackError, match=r"There is no cluster yet that serves Secret \(v1\)\."):
            write(SECRET)
    with pytest.raises(StackError, match="There is no cluster yet"):
        kube.delete(Ref.of(SECRET))
