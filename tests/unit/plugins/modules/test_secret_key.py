from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Ref
from ansible_collections.railiance.stack.plugins.module_utils._secret import GIVEN_ANNOTATION, decode
from ansible_collections.railiance.stack.plugins.modules.secret_key import ARGUMENT_SPEC, work
from unit.fakes import FakeKube, FakeModule

REF = Ref("v1", "Secret", "shop-env", "shop")


def cluster(key="", **values):
    values |= {"SECRET_KEY": key} if key else {}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    metadata = {"name": REF.name, "namespace": REF.namespace}
    return FakeKube({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data})


def run(kube, state, check_mode=False, **options):
    defaults = {key: spec["default"] for key, spec in ARGUMENT_SPEC.items() if "default" in spec}
    params = {**defaults, "name": REF.name, "namespace": REF.namespace, "state": state, **options}
    return work(FakeModule(check_mode, **params), kube)


def keys(kube):
    values = decode(kube.objects[REF])
    return values["SECRET_KEY"], values.get("SECRET_KEY_FALLBACKS", "").split(",")


def test_a_key_is_known_before_it_signs_and_after_it_no_longer_does():
    kube = cluster("old", OTHER="kept")
    assert run(kube, "announced")["changed"]
    key, [new] = keys(kube)
    assert key == "old"
    assert len(new) == 50
    switched = run(kube, "switched")
    assert keys(kube) == (new, ["old"])
    assert switched["fallbacks"] == 1
    assert switched["needed_until"]
    assert decode(kube.objects[REF])["OTHER"] == "kept"
    forgotten = run(kube, "retired", keep_days=0)
    assert keys(kube) == (new, [""])
    assert (forgotten["fallbacks"], forgotten["needed_until"]) == (0, "")


def test_a_run_that_was_cut_off_is_taken_up_again():
    kube = cluster("old")
    run(kube, "announced")
    had = keys(kube)
    assert not run(kube, "announced")["changed"]
    assert keys(kube) == had
    run(kube, "switched")
    has = keys(kube)
    assert not run(kube, "switched")["changed"]
    assert keys(kube) == has


def test_another_rotation_keeps_what_the_first_one_left():
    kube = cluster("old")
    for state in ("announced", "switched", "announced", "switched"):
        run(kube, state)
    key, others = keys(kube)
    assert len({key, *others}) == 3
    assert others[-1] == "old"


def test_old_keys_are_not_forgotten_while_something_they_signed_is_good():
    kube = cluster("old")
    run(kube, "announced")
    with pytest.raises(NeedsOperator, match="not complete"):
        run(kube, "retired", keep_days=0)
    until = run(kube, "switched")["needed_until"]
    had = keys(kube)
    with pytest.raises(NeedsOperator, match=f"The old keys are needed until {until}"):
        run(kube, "retired")
    assert keys(kube) == had


def test_check_mode_writes_nothing_and_no_key_is_shown():
    kube = cluster("old-and-secret")
    foretold = run(kube, "announced", check_mode=True)
    assert foretold["changed"]
    assert kube.writes == []
    done = run(kube, "announced")
    key, [new] = keys(kube)
    for result in (foretold, done):
        told = json.dumps(result)
        assert not [one for one in (key, new, base64.b64encode(new.encode()).decode()) if one in told]


@pytest.mark.parametrize(("kube", "error"), [(FakeKube(), NeedsOperator), (cluster(OTHER="x"), StackError)])
def test_without_a_key_there_is_nothing_to_rotate(kube, error):
    with pytest.raises(error, match="Release the application first"):
        run(kube, "announced")


def test_keys_that_an_entry_gave_once_are_the_rotations_afterwards():
    kube = cluster("old", SMTP_PASSWORD="p")  # noqa: S106  a fake cluster's
    kube.objects[REF]["metadata"]["annotations"] = {GIVEN_ANNOTATION: "SECRET_KEY,SECRET_KEY_FALLBACKS,SMTP_PASSWORD"}
    run(kube, "announced")
    assert kube.objects[REF]["metadata"]["annotations"][GIVEN_ANNOTATION] == "SMTP_PASSWORD"


def test_check_mode_foretells_the_whole_way():
    kube = cluster("old")
    before = keys(kube)
    announced = run(kube, "announced", check_mode=True)
    switched = run(kube, "switched", check_mode=True, foretold=announced["changed"])
    assert (announced["changed"], switched["changed"], keys(kube)) == (True, True, before)
    assert not run(kube, "switched", check_mode=True)["changed"]
    # For real the Secret decides.
    assert not run(kube, "switched", foretold=True)["changed"]


def test_the_version_changes_with_the_keys():
    kube = cluster("old")
    idle = run(kube, "switched")["secret_version"]
    announced = run(kube, "announced")["secret_version"]
    assert announced != idle
    assert run(kube, "announced")["secret_version"] == announced
