from __future__ import annotations

import base64
import re

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import ApiError, Conflict, Ref
from ansible_collections.railiance.stack.plugins.module_utils._secret import content_version, decode
from ansible_collections.railiance.stack.plugins.modules.kube_secret import ARGUMENT_SPEC, work
from unit.fakes import FakeKube, FakeModule

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
REF = Ref("v1", "Secret", "s", "n")


def module(check_mode=False, **params):
    defaults = {key: spec["default"] for key, spec in ARGUMENT_SPEC.items() if "default" in spec}
    defaults |= {"name": "s", "namespace": "n"}
    return FakeModule(check_mode, **{**defaults, **params})


def secret(data):
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "n"},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def values(kube):
    return decode(kube.objects[REF])


def test_what_was_generated_once_is_kept():
    kube, params = FakeKube(NAMESPACE), {"data": {"username": "gitea", "password": {"generate": 32}}}
    result = work(module(**params), kube)
    assert result["changed"] is True
    assert result["keys"] == ["password", "username"]
    first = values(kube)
    assert re.fullmatch(r"[A-Za-z0-9]{32}", first["password"])
    again = work(module(**params), kube)
    assert again["changed"] is False
    assert again["version"] == result["version"] != ""
    assert values(kube) == first


def test_check_mode_writes_nothing_and_shows_no_value():
    kube = FakeKube(NAMESPACE)
    result = work(module(check_mode=True, data={"password": {"generate": 32}}), kube)
    assert (kube.writes, kube.dry_runs) == ([], [])
    assert result["version"] == ""
    assert result["plan"] == [{"action": "create", "target": "Secret n/s", "note": ""}]
    assert result["diff"][0]["after"]["data"] == {"password": "********"}


def test_a_secret_without_a_key_is_made_once():
    kube = FakeKube(NAMESPACE)
    assert work(module(), kube)["changed"] is True
    assert "data" not in kube.objects[REF]
    assert work(module(), kube)["changed"] is False


def test_check_mode_needs_no_namespace():
    assert work(module(check_mode=True, data={"a": "b"}), FakeKube())["changed"] is True


def test_a_missing_key_is_added_and_everything_else_stays():
    old = secret({"password": "kept", "extra": "foreign"})
    old["metadata"]["labels"] = {"mine": "1"}
    kube = FakeKube(NAMESPACE, old)
    work(module(data={"password": {"generate": 32}, "user": "u"}, labels={"cnpg.io/reload": True}), kube)
    assert values(kube) == {"password": "kept", "extra": "foreign", "user": "u"}
    assert kube.objects[REF]["metadata"]["labels"] == {"mine": "1", "cnpg.io/reload": "True"}


def test_a_foreign_value_that_is_no_text_stays():
    old = secret({"a": "1"})
    old["data"]["binary"] = base64.b64encode(b"\xff\xfe").decode()
    kube = FakeKube(NAMESPACE, old)
    work(module(data={"a": "2"}), kube)
    assert kube.objects[REF]["data"]["binary"] == old["data"]["binary"]


def test_a_text_is_kept_in_step():
    kube = FakeKube(NAMESPACE, secret({"host": "old"}))
    result = work(module(data={"host": "new"}), kube)
    assert values(kube) == {"host": "new"}
    assert result["diff"][0]["after"]["data"] == {"host": "******** (changed)"}


def test_a_url_has_percent_encoded_parts():
    kube = FakeKube(NAMESPACE)
    data = {"url": {"url": "postgresql://{user}:{password}@db:5432/app"}, "user": "a b"}
    work(module(data=data, secret_data={"password": "p@ss/w:rd%"}), kube)
    assert values(kube)["url"] == "postgresql://a%20b:p%40ss%2Fw%3Ard%25@db:5432/app"


def test_a_value_is_copied_from_another_secret_and_followed():
    source = {**secret({"password": "canary"}), "metadata": {"name": "valkey", "namespace": "platform"}}
    kube, params = (
        FakeKube(NAMESPACE, source),
        {"data": {"p": {"copy": {"namespace": "platform", "name": "valkey", "key": "password"}}}},
    )
    work(module(**params), kube)
    assert values(kube) == {"p": "canary"}
    kube.put({**source, "data": {"password": base64.b64encode(b"rotated").decode()}})
    work(module(**params), kube)
    assert values(kube) == {"p": "rotated"}


def test_a_copy_without_its_source_is_named():
    with pytest.raises(StackError) as caught:
        work(module(data={"p": {"copy": {"namespace": "platform", "name": "valkey"}}}), FakeKube(NAMESPACE))
    assert str(caught.value) == (
        "Secret n/s: key p is copied from Secret platform/valkey, which does not exist or has no such key."
        " Run the role that creates it first."
    )


def test_check_mode_predicts_a_copy_whose_source_an_earlier_step_makes():
    kube = FakeKube(NAMESPACE)
    data = {"p": {"copy": {"namespace": "platform", "name": "valkey"}}, "u": {"url": "redis://:{p}@valkey"}}
    assert work(module(check_mode=True, data=data), kube)["changed"] is True
    assert kube.writes == []


def test_another_type_is_refused():
    with pytest.raises(StackError) as caught:
        work(module(type="kubernetes.io/basic-auth", data={"a": "b"}), FakeKube(NAMESPACE, secret({"a": "b"})))
    assert str(caught.value) == (
        "Secret n/s exists with type Opaque, not kubernetes.io/basic-auth, and a type cannot change."
        " Move its values aside, delete it, and run again."
    )


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"generate": 8}, "A generated value of 8 characters is too short. Use at least 16."),
        ({"make": 1}, "Secret n/s: key k is none of a text, generate, copy or url. Give exactly one of them in data."),
        ({"url": "x://{nope}"}, "Secret n/s: url of key k uses {nope}, which is no key. Correct data."),
    ],
)
def test_wrong_input_is_named(wanted, message):
    kube = FakeKube(NAMESPACE)
    with pytest.raises(StackError) as caught:
        work(module(data={"k": wanted}), kube)
    assert str(caught.value) == message
    assert kube.writes == []


def test_of_two_runs_at_the_same_time_the_first_one_wins():
    kube = FakeKube(NAMESPACE)
    create = kube.create

    def someone_is_faster(obj, **options):
        kube.put(secret({"password": "first"}))
        return create(obj, **options)

    kube.create = someone_is_faster
    work(module(data={"password": {"generate": 32}, "user": "u"}), kube)
    assert values(kube) == {"password": "first", "user": "u"}
    assert kube.written == ["replace Secret n/s"]


def test_an_endless_conflict_is_reported():
    kube = FakeKube(NAMESPACE)

    def conflict(obj, **options):
        raise Conflict("Could not create Secret n/s: already exists (409).", status=409)

    kube.create = conflict
    with pytest.raises(ApiError, match="already exists"):
        work(module(data={"a": "b"}), kube)


def test_no_value_is_in_the_result():
    kube = FakeKube(NAMESPACE, secret({"p": "canary-old"}))
    result = work(module(secret_data={"p": "canary-new"}, data={"q": {"generate": 20}}), kube)
    assert "canary" not in repr(result)
    assert values(kube)["q"] not in repr(result)
    assert base64.b64encode(b"canary-new").decode() not in repr(result)


def test_the_version_follows_the_values_and_nothing_else():
    secret = {"metadata": {"uid": "1", "resourceVersion": "5"}, "data": {"a": "eA=="}}
    relabelled = {"metadata": {"uid": "1", "resourceVersion": "9", "labels": {"x": "y"}}, "data": {"a": "eA=="}}
    changed = {"metadata": {"uid": "1"}, "data": {"a": "eQ=="}}
    recreated = {"metadata": {"uid": "2"}, "data": {"a": "eA=="}}
    assert content_version(secret) == content_version(relabelled)
    assert len({content_version(obj) for obj in (None, secret, changed, recreated)}) == 4


def test_a_key_that_is_no_longer_given_goes_and_every_other_one_stays():
    old = secret({"made-by-hand": "1"})
    kube = FakeKube(NAMESPACE, old)
    generated = {"SECRET_KEY": {"generate": 50}}
    work(module(data=generated, secret_data={"SMTP_PASSWORD": "canary", "OTHER": "2"}), kube)
    notes = kube.objects[REF]["metadata"]["annotations"]
    assert notes == {"railiance.io/given-keys": "OTHER,SMTP_PASSWORD"}
    key = values(kube)["SECRET_KEY"]

    fewer = {"data": generated, "secret_data": {"OTHER": "2"}}
    foretold = work(module(check_mode=True, **fewer), kube)
    assert "SMTP_PASSWORD" in foretold["diff"][0]["before"]["data"]
    assert "SMTP_PASSWORD" not in foretold["diff"][0]["after"]["data"]
    assert "SMTP_PASSWORD" in values(kube)
    assert work(module(**fewer), kube) == foretold
    assert values(kube) == {"made-by-hand": "1", "SECRET_KEY": key, "OTHER": "2"}
    assert work(module(**fewer), kube)["changed"] is False

    work(module(data=generated), kube)
    assert values(kube) == {"made-by-hand": "1", "SECRET_KEY": key}
    assert not kube.objects[REF]["metadata"].get("annotations")
    assert work(module(data=generated), kube)["changed"] is False


def test_a_key_that_is_generated_instead_keeps_its_value():
    kube = FakeKube(NAMESPACE)
    work(module(secret_data={"SECRET_KEY": "given-by-hand"}), kube)
    work(module(data={"SECRET_KEY": {"generate": 50}}), kube)
    assert values(kube) == {"SECRET_KEY": "given-by-hand"}


def test_check_mode_foretells_the_version():
    kube = FakeKube(NAMESPACE, secret({"a": "1"}))
    now = work(module(), kube)["version"]
    foretold = work(module(check_mode=True, secret_data={"a": "2"}), kube)["version"]
    assert foretold not in ("", now)
    assert work(module(secret_data={"a": "2"}), kube)["version"] == foretold


def test_a_secret_that_is_to_go_goes_once_and_its_values_are_not_shown():
    kube = FakeKube(NAMESPACE, secret({"password": "canary"}))
    foretold = work(module(check_mode=True, state="absent"), kube)
    assert kube.writes == []
    done = work(module(state="absent"), kube)
    assert foretold["plan"] == done["plan"] == [{"action": "delete", "target": "Secret n/s", "note": ""}]
    assert REF not in kube.objects
    assert base64.b64encode(b"canary").decode() not in repr(done)
    assert work(module(state="absent"), kube)["changed"] is False
