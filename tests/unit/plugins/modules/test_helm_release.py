from __future__ import annotations

import base64

import pytest
import yaml
from ansible_collections.railiance.stack.plugins.module_utils._chart import unpack
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._helm import (
    RUN_LABEL,
    Chart,
    Helm,
    run_is_alive,
    subprocess_runner,
    this_host,
)
from ansible_collections.railiance.stack.plugins.module_utils._kube import Completed, NoCluster, Ref
from ansible_collections.railiance.stack.plugins.modules.helm_release import ARGUMENT_SPEC, work
from unit.fake_helm import stored_release
from unit.fakes import FakeKube, FakeModule

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


def config(value):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": value}}


SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"p": "canary"}}


def release_secret(revision, objects, status="deployed", run=""):
    labels = {RUN_LABEL: run} if run else {}
    return stored_release("shop", revision, yaml.safe_dump_all(objects), status=status, labels=labels)


class FakeHelm:
    """Plays Helm: renders ``objects`` and stores what it is told to release."""

    def __init__(self, kube, objects, fails=""):
        self.kube, self.objects, self.fails = kube, objects, fails
        self.commands, self.stdin, self.environment = [], [], {}

    def __call__(self, command, stdin, timeout):
        self.commands.append(command)
        self.stdin.append(stdin)
        if command[1] == "template":
            return Completed(0, yaml.safe_dump_all(self.objects), "")
        if self.fails:
            return Completed(1, "", f"WARNING: old\nError: {self.fails}\n")
        if command[1] == "upgrade":
            revision = 1 + max(
                (int(o["metadata"]["labels"]["version"]) for o in self.kube.find("v1", "Secret", "shop", "owner=helm")),
                default=0,
            )
            labels = dict(part.split("=", 1) for part in command[command.index("--labels") + 1].split(","))
            self.kube.put(release_secret(revision, self.objects, run=labels[RUN_LABEL]))
            for obj in self.objects:
                self.kube.put({**obj, "metadata": {**obj["metadata"], "namespace": "shop"}})
        return Completed(0, "", "")

    def make(self, environment):
        self.environment = environment
        return self

    @property
    def verbs(self):
        return [command[1] for command in self.commands]


def module(check_mode=False, **params):
    defaults = {key: spec.get("default") for key, spec in ARGUMENT_SPEC.items()}
    defaults |= {"name": "shop", "namespace": "shop", "chart": "/chart", "kubeconfig": "/k.yaml", "wait": False}
    return FakeModule(check_mode, **{**defaults, **params})


def test_check_mode_predicts_what_happens_and_only_renders():
    kube = FakeKube(NAMESPACE)
    helm = FakeHelm(kube, [config("1"), SECRET])
    predicted = work(module(check_mode=True), kube, helm.make)
    assert helm.verbs == ["template"]
    assert kube.writes == []
    done = work(module(), kube, helm.make)
    assert predicted == done
    assert (done["revision"], done["status"]) == (1, "deployed")
    assert [step["target"] for step in done["plan"]] == [
        "Helm release shop/shop",
        "ConfigMap shop/c",
        "Secret shop/s",
    ]
    assert "canary" not in repr(done)


def test_an_unchanged_release_is_left_alone():
    kube = FakeKube(NAMESPACE)
    helm = FakeHelm(kube, [config("1")])
    work(module(), kube, helm.make)
    helm.commands.clear()
    again = work(module(), kube, helm.make)
    assert (again["changed"], again["revision"]) == (False, 1)
    assert helm.verbs == ["template"]


def test_values_and_kubeconfig_are_not_on_the_command_line():
    kube = FakeKube(NAMESPACE)
    helm = FakeHelm(kube, [config("1")])
    work(module(values={"password": "canary"}), kube, helm.make)
    assert helm.stdin == ['{"password": "canary"}'] * 2
    assert helm.environment == {"KUBECONFIG": "/k.yaml"}
    assert "canary" not in repr(helm.commands)
    assert "/k.yaml" not in repr(helm.commands)


def test_a_changed_value_is_shown_as_rendered():
    kube = FakeKube(NAMESPACE)
    work(module(), kube, FakeHelm(kube, [config("1"), SECRET]).make)
    result = work(module(check_mode=True), kube, FakeHelm(kube, [config("2")]).make)
    assert [(step["action"], step["target"]) for step in result["plan"]] == [
        ("update", "Helm release shop/shop"),
        ("update", "ConfigMap shop/c"),
        ("delete", "Secret shop/s"),
    ]
    assert (result["diff"][1]["before"]["data"], result["diff"][1]["after"]["data"]) == ({"a": "1"}, {"a": "2"})


def test_drift_and_a_missing_object_are_repaired():
    kube = FakeKube(NAMESPACE)
    helm = FakeHelm(kube, [config("1"), SECRET])
    work(module(), kube, helm.make)
    kube.put({**config("by hand"), "metadata": {"name": "c", "namespace": "shop"}})
    del kube.objects[Ref("v1", "Secret", "s", "shop")]
    result = work(module(), kube, helm.make)
    assert result["plan"][1:] == [
        {"action": "update", "target": "ConfigMap shop/c", "note": "differs from the release"},
        {"action": "create", "target": "Secret shop/s", "note": ""},
    ]
    assert work(module(), kube, helm.make)["changed"] is False


def deployment(**container):
    template = {"spec": {"containers": [{"name": "app", "image": "shop@sha256:1", **container}]}}
    spec = {"replicas": 1, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


@pytest.mark.parametrize("status", ["failed", "pending-upgrade"])
def test_what_an_unfinished_release_added_goes_before_helm_compares(status):
    """Helm compares with the last revision that succeeded and would leave the command in place."""
    good, bad = deployment(), deployment(command=["false"])
    live = {**bad, "metadata": {**bad["metadata"], "namespace": "shop", "annotations": {"of": "the cluster"}}}
    revisions = release_secret(1, [good]), release_secret(2, [bad], status=status, run=f"{this_host()}.dead")
    kube = FakeKube(NAMESPACE, live, *revisions)
    predicted = work(module(check_mode=True), kube, FakeHelm(kube, [good]).make)
    assert kube.writes == []
    done = work(module(), kube, FakeHelm(kube, [good]).make)
    assert predicted == done
    [step] = [step for step in done["plan"] if step["note"] == "without what an unfinished release left in it"]
    assert step["target"] == "Deployment shop/d"
    assert [verb for verb, ref in kube.writes if ref.kind == "Deployment"] == ["patch"]
    [container] = kube.objects[Ref.of(live)]["spec"]["template"]["spec"]["containers"]
    assert "command" not in container
    again = work(module(), kube, FakeHelm(kube, [good]).make)
    assert again["changed"] is False


def test_a_failed_release_is_tried_again():
    kube = FakeKube(NAMESPACE, release_secret(1, [config("1")], status="failed"))
    kube.put({**config("1"), "metadata": {"name": "c", "namespace": "shop"}})
    result = work(module(), kube, FakeHelm(kube, [config("1")]).make)
    assert (result["changed"], result["revision"]) == (True, 2)


def test_the_command():
    chart = Chart("shop", "shop", "/chart", {}, description="v2", labels={"a": "b"}, timeout=60, take_ownership=True)
    assert chart.upgrade_command("host.1") == [
        *("/usr/local/bin/helm", "upgrade", "shop", "/chart", "--install", "--namespace", "shop"),
        *("--values", "-", "--no-hooks", "--history-max", "10", "--timeout", "60s"),
        *("--labels", "a=b,railiance.io/run=host.1", "--description", "v2", "--wait", "--take-ownership"),
    ]


def test_helms_failure_is_named_with_what_the_pods_are_stuck_at():
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"app": "d"}}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "d-1", "namespace": "shop", "labels": {"app": "d"}},
        "status": {"containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "ErrImagePull"}}}]},
    }
    kube = FakeKube(NAMESPACE, release_secret(1, [deployment]), pod)
    helm = FakeHelm(kube, [deployment], fails="UPGRADE FAILED: context deadline exceeded")
    with pytest.raises(StackError) as caught:
        work(module(), kube, helm.make)
    assert str(caught.value) == (
        "Helm could not upgrade the release shop/shop: UPGRADE FAILED: context deadline exceeded."
        " Pod d-1, container web: ErrImagePull."
    )
    assert caught.value.result["rc"] == 1
    assert caught.value.result["failed_step"] == "update Helm release shop/shop"


def test_a_missing_helm_is_named():
    with pytest.raises(StackError) as caught:
        subprocess_runner({})(["/nowhere/helm", "template"], "", 5)
    assert str(caught.value) == (
        "Helm could not be started as /nowhere/helm: No such file or directory."
        " Run the playbook s2_cluster, which installs it, or set binary_path."
    )


def test_the_runner_passes_standard_input_and_environment():
    done = subprocess_runner({"KUBECONFIG": "k"})(["sh", "-c", 'cat; printf %s "$KUBECONFIG" >&2; exit 3'], "in", 5)
    assert done == Completed(3, "in", "k")


# -- interrupted runs
def test_a_release_left_behind_on_this_host_is_recovered():
    kube = FakeKube(
        NAMESPACE,
        release_secret(1, [config("1")]),
        release_secret(2, [config("2")], status="pending-upgrade", run=f"{this_host()}.dead"),
    )
    result = work(module(), kube, FakeHelm(kube, [config("2")]).make)
    assert result["plan"][0] == {
        "action": "delete",
        "target": "Secret shop/sh.helm.release.v1.shop.v2",
        "note": "left behind by a run that was cut off",
    }
    assert (result["revision"], result["status"]) == (2, "deployed")
    assert work(module(), kube, FakeHelm(kube, [config("2")]).make)["changed"] is False


def test_a_release_that_is_being_changed_is_refused():
    kube = FakeKube(NAMESPACE, release_secret(1, [], status="pending-install", run=f"{this_host()}.alive"))
    helm = FakeHelm(kube, [])
    with pytest.raises(StackError) as caught:
        Helm(kube, helm, alive=lambda run: True).plan(Chart("shop", "shop", "/chart", {}))
    assert str(caught.value) == (
        "Helm release shop/shop is pending-install: another run on this node is at work on it."
        " Run again when it is done."
    )
    assert helm.commands == []


def test_a_pending_release_of_somebody_else_needs_a_person():
    kube = FakeKube(NAMESPACE, release_secret(3, [], status="pending-upgrade"))
    with pytest.raises(NeedsOperator) as caught:
        work(module(), kube, FakeHelm(kube, []).make)
    assert str(caught.value) == (
        "Helm release shop/shop is pending-upgrade since 2026-01-01T00:00:00Z: another Helm is at work on it or was"
        " cut off. When none is running any more, delete the record and run again:"
        " kubectl delete secret sh.helm.release.v1.shop.v3 -n shop"
    )


# -- two runs at once
@pytest.mark.parametrize(("allowed", "known"), [([1], "revision 1"), ([1, 0], "revision 1"), ([0], "no release")])
def test_what_another_run_has_released_meanwhile_is_left_as_it_is(allowed, known):
    kube = FakeKube(NAMESPACE, release_secret(1, [config("1")], "superseded"), release_secret(2, [config("2")]))
    helm = FakeHelm(kube, [config("1")])
    with pytest.raises(StackError) as caught:
        work(module(only_after=allowed), kube, helm.make)
    assert str(caught.value) == (
        f"Helm release shop/shop is at revision 2 (d); this run knows {known}. Another run has changed it meanwhile, so"
        " this one leaves it as it is. When no other run is at work, run the one again whose version is to serve."
    )
    assert caught.value.result["overtaken"]
    assert (helm.commands, kube.writes) == ([], [])


def test_a_release_that_is_gone_is_not_made_again():
    kube = FakeKube(NAMESPACE)
    with pytest.raises(StackError, match="Helm release shop/shop is gone; this run knows revision 1"):
        work(module(only_after=[1]), kube, FakeHelm(kube, [config("1")]).make)


@pytest.mark.parametrize(("stored", "allowed"), [([], [0]), ([release_secret(1, [config("1")])], [1, 0])])
def test_without_another_run_it_goes_on(stored, allowed):
    kube = FakeKube(NAMESPACE, *stored)
    result = work(module(only_after=allowed), kube, FakeHelm(kube, [config("2")]).make)
    assert (result["changed"], result["revision"]) == (True, 1 + len(stored))


class OvertakenHelm(FakeHelm):
    """Another run's revision comes in between the plan and the upgrade."""

    def __call__(self, command, stdin, timeout):
        if command[1] == "upgrade":
            self.kube.put(release_secret(2, [config("other")], run="elsewhere.1"))
        return super().__call__(command, stdin, timeout)


@pytest.mark.parametrize(("fails", "revision"), [("", 3), ("another operation is in progress", 0)])
def test_the_revision_is_the_one_that_this_run_has_stored(fails, revision):
    kube = FakeKube(NAMESPACE, release_secret(1, [config("1")]))
    helm = OvertakenHelm(kube, [config("2")], fails)
    if fails:
        with pytest.raises(StackError, match=fails) as caught:
            work(module(), kube, helm.make)
        result = caught.value.result
    else:
        result = work(module(), kube, helm.make)
    assert result["revision"] == revision


def test_rendered_tells_the_newest_revision_and_the_one_that_serves():
    kube = FakeKube(NAMESPACE, release_secret(1, [config("1")]), release_secret(2, [config("2")], status="failed"))
    served = work(module(state="rendered"), kube, FakeHelm(kube, [config("1")]).make)["served"]
    assert (served["revision"], served["newest"]) == (1, 2)


def test_a_run_is_alive_while_a_command_line_has_it(tmp_path):
    (tmp_path / "17").mkdir()
    (tmp_path / "17" / "cmdline").write_bytes(b"helm\0upgrade\0--labels\0railiance.io/run=h.1\0")
    assert run_is_alive("h.1", str(tmp_path))
    assert not run_is_alive("h.2", str(tmp_path))


# -- other states
def test_rendered_returns_the_objects_with_their_namespace_and_masked():
    kube = FakeKube(NAMESPACE)
    result = work(module(state="rendered"), kube, FakeHelm(kube, [config("1"), SECRET]).make)
    assert result["changed"] is False
    assert [obj["metadata"]["namespace"] for obj in result["manifests"]] == ["shop", "shop"]
    assert "canary" not in repr(result)


def test_absent_uninstalls_once():
    kube = FakeKube(NAMESPACE, release_secret(1, [config("1")]))
    helm = FakeHelm(kube, [])
    assert work(module(check_mode=True, state="absent"), kube, helm.make)["changed"] is True
    assert helm.commands == []
    assert work(module(state="absent"), kube, helm.make)["plan"] == [
        {"action": "delete", "target": "Helm release shop/shop", "note": ""}
    ]
    assert helm.verbs == ["uninstall"]
    del kube.objects[Ref("v1", "Secret", "sh.helm.release.v1.shop.v1", "shop")]
    assert work(module(state="absent"), kube, helm.make)["changed"] is False


def test_the_chart_is_unpacked_and_stays_in_its_folder(tmp_path):
    content = base64.b64encode(b"name: x").decode()
    assert unpack({"templates/a.yaml": content}, str(tmp_path)) == str(tmp_path)
    assert (tmp_path / "templates" / "a.yaml").read_text() == "name: x"
    with pytest.raises(StackError, match=r"^The chart holds a file outside of itself: \.\./b\."):
        unpack({"../b": content}, str(tmp_path))


@pytest.mark.parametrize("state", ["present", "rendered"])
def test_before_there_is_a_cluster_helm_is_not_asked(state):
    helm = FakeHelm(NoCluster(), [config("1")])
    result = work(module(check_mode=True, state=state), NoCluster(), helm.make)
    assert result["changed"] is (state == "present")
    assert helm.commands == []
