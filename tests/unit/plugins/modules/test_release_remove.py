from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Completed, Timeout
from ansible_collections.railiance.stack.plugins.modules.release_remove import ARGUMENT_SPEC, work
from unit.fakes import FakeModule
from unit.plugins.module_utils.test_release import obj, release, world


class FakeHelm:
    """Plays Helm: uninstalling removes what the release holds, and its records."""

    def __init__(self, kube):
        self.kube, self.commands = kube, []

    def __call__(self, command, stdin, timeout):
        assert command[-3:] == ["--wait", "--cascade", "foreground"], (
            "the database goes next, so its users must be gone"
        )
        self.commands.append(command[1])
        for ref in list(self.kube.objects):
            if ref.name.startswith("sh.helm.release") or ref.kind in ("Deployment", "ConfigMap"):
                self.kube.delete(ref)
        return Completed(0, "", "")

    def make(self, environment):
        return self


def remove(kube, check_mode=False, **params):
    defaults = {key: spec.get("default") for key, spec in ARGUMENT_SPEC.items()}
    helm = FakeHelm(kube)
    params = {**defaults, "app": "shop", "kubeconfig": "/k.yaml", **params}
    return work(FakeModule(check_mode, **params), kube, helm.make), helm


def cluster():
    kube = world()
    [database] = [o for r, o in kube.objects.items() if r.kind == "Database"]
    database["spec"] = {"cluster": {"name": "apps-pg"}, "name": "shop", "owner": "shop"}
    return kube


def test_what_serves_goes_from_the_outside_in_and_data_stays():
    kube = cluster()
    predicted, helm = remove(kube, check_mode=True)
    assert (kube.writes, helm.commands) == ([], [])
    done, helm = remove(kube)
    assert predicted == done
    assert [step["target"] for step in done["plan"]] == [
        "Ingress shop/shop",
        "Helm release shop/shop",
        "Certificate shop/shop-tls",
    ]
    assert helm.commands == ["uninstall"]
    assert done["databases"] == [{"cluster": "apps-pg", "namespace": "databases", "name": "shop", "owner": "shop"}]
    kept = {(ref.kind, ref.name) for ref in kube.objects}
    assert {("Secret", "shop-env"), ("Namespace", "shop"), ("Database", "apps-pg-shop")} <= kept
    again, helm = remove(kube)
    assert (again["changed"], helm.commands) == (False, [])


def test_data_goes_when_told_so_and_its_values_are_not_shown():
    kube = cluster()
    # The password of a killed run of the playbook superuser.
    kube.put(obj("v1", "Secret", "shop-superuser", "shop", labels={}, data={"password": "Y2FuYXJ5"}))
    done, _helm = remove(kube, drop_data=True)
    assert [step["target"] for step in done["plan"]][-3:] == [
        "Secret shop/shop-env",
        "Secret shop/shop-superuser",
        "Namespace shop",
    ]
    assert "Y2FuYXJ5" not in repr(done)


def test_a_namespace_that_does_not_go_is_waited_for_and_named():
    kube = cluster()
    delete = kube.delete
    # A finalizer that nobody takes away.
    kube.delete = lambda ref: None if ref.kind == "Namespace" else delete(ref)
    with pytest.raises(Timeout, match=r"^Namespace shop did not go within 5 s"):
        remove(kube, drop_data=True, wait_timeout=5)


def test_a_namespace_with_others_in_it_stays():
    kube = cluster()
    kube.put(obj("apps/v1", "Deployment", "other", "shop", {"app.kubernetes.io/instance": "other"}))
    done, _helm = remove(kube, drop_data=True)
    assert "Namespace shop" not in [step["target"] for step in done["plan"]]


def test_a_name_that_nobody_knows_is_refused_with_those_that_exist():
    kube = cluster()
    kube.put(release(app="forgotten"))
    with pytest.raises(StackError) as caught:
        remove(kube, app="shpo", entries=["shop", "other"])
    assert str(caught.value) == (
        "There is no application shpo: stack_apps has no such entry, and the cluster holds nothing of it."
        " stack_apps has: other, shop. Released without an entry: forgotten."
    )
    assert kube.writes == []


def test_an_application_with_an_entry_is_removed_once_and_then_nothing_is_to_do():
    kube = cluster()
    remove(kube, entries=["shop"], drop_data=True)
    kube.objects.clear()
    assert remove(kube, entries=["shop"])[0]["changed"] is False


def test_an_orphan_is_removed_and_so_is_what_its_removal_left():
    kube = cluster()
    assert remove(kube, entries=[])[0]["changed"] is True
    kept, _helm = remove(kube, entries=[], drop_data=True)
    assert "Namespace shop" in [step["target"] for step in kept["plan"]]


def test_what_an_orphan_left_is_found_in_a_namespace_of_another_name():
    ours = {"app.kubernetes.io/part-of": "railiance-stack", "app.kubernetes.io/instance": "blog"}
    kube = cluster()
    kube.put(obj("v1", "ConfigMap", "blog-config", "shared", ours))
    kube.put(obj("v1", "Secret", "apps-pg-role-blog", "databases", ours))
    done, _helm = remove(kube, app="blog", entries=[], drop_data=True)
    assert done["namespace"] == "shared"
    assert [step["target"] for step in done["plan"]] == ["ConfigMap shared/blog-config"]
