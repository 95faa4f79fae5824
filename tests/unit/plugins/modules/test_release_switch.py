"""release_switch over an in-memory cluster, a played Helm and a real server on this machine."""

from __future__ import annotations

import base64
import json

import pytest
import yaml
from ansible_collections.railiance.stack.plugins.module_utils._chart import served
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._helm import RUN_LABEL, read_releases
from ansible_collections.railiance.stack.plugins.module_utils._jobs import PURPOSE_LABEL, TRIAL
from ansible_collections.railiance.stack.plugins.module_utils._kube import Completed, Ref
from ansible_collections.railiance.stack.plugins.module_utils._pod_migrations import planned
from ansible_collections.railiance.stack.plugins.module_utils._release import (
    Look,
    Wanted,
    is_complete,
    labels_of,
)
from ansible_collections.railiance.stack.plugins.modules.release_switch import ARGUMENT_SPEC, work
from unit.fake_helm import stored_release
from unit.fake_jobs import SERVES, before, play_job
from unit.fake_site import Handler
from unit.fakes import FakeKube, FakeModule

OURS = {"app.kubernetes.io/part-of": "railiance-stack", "app.kubernetes.io/instance": "shop"}
OLD, NEW = f"registry/shop@sha256:{'1' * 64}", f"registry/shop@sha256:{'2' * 64}"
ENDED = "look rc 0\nrunner end 0\n"
NOTHING = before() + ENDED
DEPLOYMENT = Ref("apps/v1", "Deployment", "shop", "shop")
APP = {"name": "shop", "settings": "5e77"}
POLICY = {"hosts": ["shop.example.org"], "django": False, "login": None}
LOGIN = {"namespace": "shop", "name": "smoke", "username_key": "username", "password_key": "password"}


def chart(image, env=(), port=8000):
    """What the played Helm renders."""
    probe = {"httpGet": {"path": "/", "httpHeaders": [{"name": "Host", "value": "shop.example.org"}]}}
    probe["httpGet"]["httpHeaders"].append({"name": "X-Forwarded-Proto", "value": "https"})
    container = {
        "name": "app",
        "image": image,
        "ports": [{"name": "http", "containerPort": port}],
        "env": list(env),
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "readinessProbe": probe,
        "livenessProbe": probe,
        "startupProbe": probe,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": "shop", "labels": OURS},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app.kubernetes.io/name": "shop"}},
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": "shop"}},
                "spec": {"containers": [container]},
            },
        },
    }


def service(port):
    spec = {"clusterIP": "127.0.0.1", "ports": [{"port": port}]}
    meta = {"name": "shop", "namespace": "shop", "labels": OURS}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def stored(revision, objects, values, labels):
    return stored_release("shop", revision, yaml.safe_dump_all(objects), labels={**OURS, **labels}, config=values)


ENVIRONMENT = [
    {"name": "ALLOWED_HOSTS", "value": "shop.example.org"},
    {"name": "CSRF_TRUSTED_ORIGINS", "value": "https://shop.example.org"},
    {"name": "SECURE_PROXY_SSL_HEADER", "value": "HTTP_X_FORWARDED_PROTO,https"},
]
FITTING = {
    "CSRF_TRUSTED_ORIGINS": ["https://shop.example.org"],
    "SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"],
}
ROLLED_OUT = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


class FakeHelm:
    """Renders the chart with the image of its values, and releases it.

    ``fails`` is what an upgrade says; once ``overtaken``, another run releases right after this one. ``status`` is that
    of the Deployment afterwards, ``also`` an object that comes with it.
    """

    def __init__(self, kube, port, env):
        self.kube, self.port, self.env = kube, port, env
        self.fails, self.overtaken, self.verbs, self.values = "", False, [], {}
        self.status, self.also = ROLLED_OUT, None

    def __call__(self, command, stdin, timeout):
        self.verbs.append(command[1])
        values = json.loads(stdin)
        objects = [chart(values["image"], self.env, self.port), service(self.port)]
        if command[1] == "template":
            return Completed(0, yaml.safe_dump_all(objects), "")
        if self.fails:
            return Completed(1, "", f"Error: {self.fails}\n")
        self.values = values
        self.kube.put({**objects[0], "status": self.status})
        if self.also:
            self.kube.put(self.also)
        labels = dict(part.split("=", 1) for part in command[command.index("--labels") + 1].split(","))
        self.kube.put(stored(2, objects, values, labels))
        if self.overtaken:
            self.kube.put(stored(3, objects, values, {**labels, RUN_LABEL: "elsewhere.1"}))
        return Completed(0, "", "")

    def make(self, environment):
        return self


class World:
    """A complete release of OLD; ``switch`` releases NEW."""

    def __init__(self, port, log=NOTHING, state=None, env=(), trial=(SERVES, "")):
        self.kube = kube = FakeKube(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": OURS}},
            {**chart(OLD, env, port), "status": ROLLED_OUT},
            service(port),
        )
        play_job(kube, log, trial=trial)
        wanted = Wanted.of({**APP, "version": OLD})
        self.values = {"image": OLD, "secretKeys": [{"name": "A"}], "secretVersions": {"shop-env": "7"}}
        labels = labels_of(wanted, state or Look(kube).state(wanted))
        kube.put(stored(1, [chart(OLD, env, port), service(port)], self.values, labels))
        self.helm = FakeHelm(kube, port, env)

    def switch(self, check=False, image=NEW, driver="django", **given):
        defaults = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
        module = FakeModule(
            check,
            **{
                **defaults,
                "kubeconfig": "/k.yaml",
                "app": {**APP, "version": image},
                "values": {"image": image},
                "labels": {},
                "commit": "c0ffee",
                "policy": POLICY,
                "migrations": {"driver": driver, "arguments": [], "directory": ""},
                "public_host": "shop.example.org",
                "checks": [{"path": "/health/"}],
                "trial": False,
                **given,
            },
        )
        self.module = module
        return work(module, self.kube, self.helm.make)

    @property
    def serves(self):
        return self.kube.objects[DEPLOYMENT]["spec"]["template"]["spec"]["containers"][0]["image"]


@pytest.fixture
def world(server):
    return World(server.server_port)


def test_another_image_is_released_looked_at_and_noted(world, server):
    done = world.switch()
    assert (done["released"], done["changed"], done["reason"], done["noted"]) == (True, True, "", True)
    assert world.serves == NEW
    assert server.seen == [("/health/", "shop.example.org")]
    assert [outcome["ok"] for outcome in done["outcomes"]] == [True]
    assert done["revision"] == 2
    assert is_complete(read_releases(world.kube, "shop", "shop")[0])
    assert Look(world.kube).verdict(Wanted.of({**APP, "version": NEW})).converged


def test_values_of_the_steps_are_kept_and_the_schema_is_recorded(world):
    world.switch()
    assert world.helm.values == {
        **world.values,
        "image": NEW,
        "release": {
            "commit": "c0ffee",
            "schema": {"shop": "0001_initial"},
            "unknown": [],
            "restore_point": {},
        },
    }


def test_the_schema_is_looked_at_with_the_new_image(world):
    world.switch()
    [job] = world.kube.jobs
    assert [one["image"] for one in job["spec"]["template"]["spec"]["containers"]] == [NEW]
    assert not any(ref.kind == "Job" for ref in world.kube.objects)


def test_check_mode_foretells_what_happens_and_releases_nothing(world, server):
    foretold = world.switch(check=True)
    assert "upgrade" not in world.helm.verbs
    assert (world.serves, server.seen) == (OLD, [])
    done = world.switch()
    assert {key: done[key] for key in foretold} == foretold
    assert [step["target"] for step in foretold["plan"]] == ["Helm release shop/shop", "Deployment shop/shop"]


def test_the_same_version_again_changes_nothing(world, server):
    again = world.switch(image=OLD)
    assert (again["released"], again["changed"], again["noted"]) == (True, False, True)
    assert "upgrade" not in world.helm.verbs
    assert server.seen == [("/health/", "shop.example.org")]


def test_an_application_without_a_schema_needs_no_job(world):
    assert world.switch(driver="none")["released"]
    assert world.kube.jobs == []


DATA = planned("shop.0002_data", True, [])


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (before(DATA) + ENDED, "migrations are pending: shop.0002_data"),
        (
            before(applied=("shop.0001_initial", "shop.0002_data"), unknown=("shop.0002_data",)) + ENDED,
            "it does not know migrations that are applied: shop.0002_data",
        ),
    ],
)
def test_what_concerns_the_schema_is_left_to_the_steps(server, log, reason):
    world = World(server.server_port, log)
    result = world.switch()
    assert (result["released"], result["changed"], result["reason"]) == (False, False, reason)
    assert (result["same_settings"], result["kept"]) == (True, world.values)
    assert (world.serves, "upgrade" in world.helm.verbs) == (OLD, False)


def test_other_settings_are_left_to_the_steps(world):
    result = world.switch(app={**APP, "version": NEW, "settings": "0ther"})
    assert (result["released"], result["same_settings"], result["kept"]) == (False, False, {})
    assert result["reason"] == "its settings, or the role, changed"
    assert (world.kube.jobs, world.helm.verbs) == ([], [])


def test_an_object_that_is_not_as_it_was_left_is_left_to_the_steps(server):
    world = World(server.server_port, state="other")
    assert world.switch()["reason"] == "an object is not as the last run left it"


def test_the_policy_stops_it_before_anything_starts(world):
    with pytest.raises(StackError, match=r"is not released: .*ALLOWED_HOSTS") as caught:
        world.switch(policy={**POLICY, "django": True})
    assert caught.value.result["started"] is False
    assert caught.value.result["served"]["image"] == OLD
    assert world.serves == OLD
    assert not any(ref.kind == "Job" for ref in world.kube.objects)


def test_settings_of_django_that_do_not_fit_stop_it_before_anything_starts(server):
    settings = {"module": "config.production", "DEBUG": True, "ALLOWED_HOSTS": ["*"], **FITTING}
    world = World(server.server_port, before(settings=settings) + ENDED, env=ENVIRONMENT)
    expected = (
        "shop/shop is not released: "
        "config.production: DEBUG is on. A public application never runs with it; turn it off. "
        "config.production: ALLOWED_HOSTS allows every host. Name the public ones."
    )
    for check in (True, False):
        with pytest.raises(StackError) as caught:
            world.switch(check=check, policy={**POLICY, "django": True}, url="https://shop.example.org")
        assert caught.value.message == expected
        assert caught.value.result["started"] is False
    assert (world.serves, "upgrade" in world.helm.verbs) == (OLD, False)


def test_settings_of_what_is_not_exposed_are_its_own(server):
    settings = {"module": "config.production", "DEBUG": False, "ALLOWED_HOSTS": ["*"], **FITTING}
    world = World(server.server_port, before(settings=settings) + ENDED, env=ENVIRONMENT)
    assert world.switch(policy={**POLICY, "django": True})["released"]


def test_a_missing_login_stops_it_before_anything_starts(world):
    with pytest.raises(StackError, match=r"is not released: Secret shop/smoke does not exist") as caught:
        world.switch(policy={**POLICY, "login": LOGIN})
    assert caught.value.result["started"] is False
    secret = {"username": "dQ==", "password": "cA=="}
    world.kube.put(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "smoke", "namespace": "shop"}, "data": secret}
    )
    assert world.switch(policy={**POLICY, "login": LOGIN})["released"]


def test_a_rollout_that_fails_says_what_served(world):
    world.helm.fails = "context deadline exceeded"
    with pytest.raises(StackError, match="context deadline exceeded") as caught:
        world.switch()
    assert caught.value.result["started"] is True
    assert caught.value.result["served"] == {"revision": 1, "newest": 1, "image": OLD, "unknown": []}
    assert caught.value.result["revision"] == 0


def test_a_version_that_does_not_answer_is_not_noted(world, server, monkeypatch):
    monkeypatch.setattr("ansible_collections.railiance.stack.plugins.module_utils._switch._INSIDE_SECONDS", 0)
    server.statuses["/health/"] = 500
    with pytest.raises(StackError, match="status 500, expected 200") as caught:
        world.switch()
    assert caught.value.result["started"] is True
    assert not is_complete(read_releases(world.kube, "shop", "shop")[0])


def test_the_release_of_another_run_is_not_noted_as_this_ones(world):
    world.helm.overtaken = True
    with pytest.raises(StackError, match=r"is at revision 3 .*this run knows revision 2") as caught:
        world.switch()
    assert (caught.value.result["started"], caught.value.result["revision"]) == (True, 2)
    assert [is_complete(release) for release in read_releases(world.kube, "shop", "shop")] == [False, False, True]


def test_a_release_that_cannot_be_noted_is_not_silent(world, server):
    pending = {"metadata": {"name": "shop-tls", "namespace": "shop", "labels": OURS}}

    def lose_certificate(*_words):
        world.kube.put({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", **pending})

    server.RequestHandlerClass = type("Losing", (Handler,), {"log_request": lose_certificate})
    done = world.switch()
    assert (done["released"], done["noted"], done["reason"]) == (True, False, "Certificate shop/shop-tls is not ready")
    assert [warning.partition(". Until")[0] for warning in world.module.warnings] == [
        "Revision 2 of Helm release shop/shop serves but is not complete: Certificate shop/shop-tls is not ready"
    ]


def test_errors_in_the_log_can_fail_it(world):
    world.kube.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "shop", "labels": {"app.kubernetes.io/name": "shop"}},
            "spec": {"containers": [{"name": "app", "image": NEW}]},
        }
    )
    world.kube.pod_logs[("shop", "web")] = "ERROR out of cheese\n"
    with pytest.raises(StackError, match="out of cheese") as caught:
        world.switch(errors="fail")
    assert caught.value.result["started"] is True
    assert world.switch()["reason"] == "its settings, or the role, changed"


CHECKS = [{"path": "/health/"}, {"path": "/prices/"}]


def tried(world):
    return [job for job in world.kube.jobs if job["metadata"]["labels"][PURPOSE_LABEL] == TRIAL]


def test_a_pod_of_the_new_version_is_asked_everything_before_it_is_released(world, server):
    done = world.switch(checks=CHECKS, trial=True)
    [job] = tried(world)
    pod = job["spec"]["template"]
    assert [one["image"] for one in pod["spec"]["containers"]] == [NEW]
    # No Service of the application sends requests to it.
    assert pod["metadata"]["labels"].items() >= {PURPOSE_LABEL: TRIAL}.items()
    assert not any(ref.kind == "Job" for ref in world.kube.objects)
    once = ["/health/", "/prices/"]
    assert [path for path, host in server.seen] == ["/health/", *once, *once]
    assert {host for path, host in server.seen} == {"shop.example.org"}
    assert (done["released"], len(done["outcomes"])) == (True, 4)


def test_a_page_that_only_the_checks_see_broken_never_serves(server, monkeypatch):
    monkeypatch.setattr("ansible_collections.railiance.stack.plugins.module_utils._trial._SETTLES", 0)
    log = "Traceback (most recent call last)\n  File x\nKeyError: 'opensesame'\n"
    secret = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "env", "key": "PASSWORD"}}}
    world = World(server.server_port, trial=(SERVES, log), env=[secret])
    data = {"PASSWORD": base64.b64encode(b"opensesame").decode()}
    world.kube.put(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "env", "namespace": "shop"}, "data": data}
    )
    server.statuses["/prices/"] = 500
    told = r"/prices/: status 500, expected 200.* It logged: Traceback: KeyError"
    with pytest.raises(StackError, match=told) as caught:
        world.switch(checks=CHECKS, trial=True)
    assert "opensesame" not in str(caught.value) + json.dumps(caught.value.result)
    assert caught.value.result["started"] is False
    assert (world.serves, "upgrade" in world.helm.verbs) == (OLD, False)
    assert not any(ref.kind == "Job" for ref in world.kube.objects)


def test_a_version_that_does_not_start_never_serves(server):
    ended = {"phase": "Failed", "containerStatuses": [{"name": "app", "state": {"terminated": {"exitCode": 3}}}]}
    log = "Traceback (most recent call last)\nModuleNotFoundError: No module named 'shop'\n"
    world = World(server.server_port, trial=(ended, log))
    with pytest.raises(StackError, match=r"ended with 3 .*It logged: Traceback: ModuleNotFoundError") as caught:
        world.switch(trial=True)
    assert caught.value.result["started"] is False
    assert (world.serves, "upgrade" in world.helm.verbs) == (OLD, False)


@pytest.mark.parametrize("given", [{"check": True}, {"image": OLD}, {"trial": False}])
def test_no_pod_is_tried_without_need(world, given):
    world.switch(**{"trial": True, **given})
    assert tried(world) == []


def test_no_pod_is_tried_before_the_schema_is_known_to_fit(server):
    world = World(server.server_port, before(DATA) + ENDED)
    assert world.switch(trial=True)["released"] is False
    # It might migrate when it starts.
    assert tried(world) == []


def test_pods_that_do_not_get_ready_are_told_and_the_version_before_is_what_served(world):
    world.helm.status = {**ROLLED_OUT, "replicas": 2}
    with pytest.raises(StackError, match="Deployment shop/shop did not become available within 0 s") as caught:
        world.switch(wait_timeout=0, driver="none")
    assert (caught.value.result["started"], caught.value.result["revision"]) == (True, 2)
    releases = read_releases(world.kube, "shop", "shop")
    assert [(release.status, is_complete(release)) for release in releases] == [("deployed", False), ("deployed", True)]
    assert served(releases) == {"revision": 1, "newest": 2, "image": OLD, "unknown": []}


def test_once_it_serves_a_revision_counts_although_it_is_not_complete(world, server):
    pending = {"metadata": {"name": "shop-tls", "namespace": "shop", "labels": OURS}}
    world.helm.also = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", **pending}
    assert world.switch()["noted"] is False
    releases = read_releases(world.kube, "shop", "shop")
    assert not is_complete(releases[0])
    assert served(releases)["revision"] == 2
