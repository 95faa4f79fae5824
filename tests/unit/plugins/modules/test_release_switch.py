"""release_switch over an in-memory cluster, a played Helm and a real server on this machine."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._helm import RUN_LABEL
from ansible_collections.railiance.stack.plugins.module_utils._kube import Completed, Ref
from ansible_collections.railiance.stack.plugins.module_utils._pod_migrations import planned
from ansible_collections.railiance.stack.plugins.module_utils._release import STATE_LABEL, Look, Wanted, labels_of
from ansible_collections.railiance.stack.plugins.modules.release_switch import ARGUMENT_SPEC, work
from unit.fake_helm import stored_release
from unit.fake_jobs import before, play_job
from unit.fakes import FakeKube, FakeModule

OURS = {"app.kubernetes.io/part-of": "railiance-stack", "app.kubernetes.io/instance": "shop"}
OLD, NEW = f"registry/shop@sha256:{'1' * 64}", f"registry/shop@sha256:{'2' * 64}"
ENDED = "look rc 0\nrunner end 0\n"
NOTHING = before() + ENDED
DEPLOYMENT = Ref("apps/v1", "Deployment", "shop", "shop")
APP = {"name": "shop", "settings": "5e77"}
POLICY = {"hosts": ["shop.example.org"], "django": False, "login": None}
LOGIN = {"namespace": "shop", "name": "smoke", "username_key": "username", "password_key": "password"}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append((self.path, self.headers["Host"]))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as here:
        here.seen, here.status = [], 200
        threading.Thread(target=here.serve_forever, daemon=True).start()
        yield here
        here.shutdown()


def chart(image, env=()):
    """What the played Helm renders."""
    probe = {"httpGet": {"path": "/", "httpHeaders": [{"name": "Host", "value": "shop.example.org"}]}}
    probe["httpGet"]["httpHeaders"].append({"name": "X-Forwarded-Proto", "value": "https"})
    container = {
        "name": "app",
        "image": image,
        "ports": [{"name": "http", "containerPort": 8000}],
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

    ``fails`` is what an upgrade says; once ``overtaken``, another run releases right after this one.
    """

    def __init__(self, kube, port, env):
        self.kube, self.port, self.env = kube, port, env
        self.fails, self.overtaken, self.verbs, self.values = "", False, [], {}

    def __call__(self, command, stdin, timeout):
        self.verbs.append(command[1])
        values = json.loads(stdin)
        objects = [chart(values["image"], self.env), service(self.port)]
        if command[1] == "template":
            return Completed(0, yaml.safe_dump_all(objects), "")
        if self.fails:
            return Completed(1, "", f"Error: {self.fails}\n")
        self.values = values
        self.kube.put({**objects[0], "status": ROLLED_OUT})
        labels = dict(part.split("=", 1) for part in command[command.index("--labels") + 1].split(","))
        self.kube.put(stored(2, objects, values, labels))
        if self.overtaken:
            self.kube.put(stored(3, objects, values, {**labels, RUN_LABEL: "elsewhere.1"}))
        return Completed(0, "", "")

    def make(self, environment):
        return self


class World:
    """A complete release of OLD; ``switch`` releases NEW."""

    def __init__(self, port, log=NOTHING, state=None, env=()):
        self.kube = kube = FakeKube(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": OURS}},
            {**chart(OLD, env), "status": ROLLED_OUT},
            service(port),
        )
        play_job(kube, log)
        wanted = Wanted.of({**APP, "version": OLD})
        self.values = {"image": OLD, "secretKeys": [{"name": "A"}], "secretVersions": {"shop-env": "7"}}
        labels = labels_of(wanted, state or Look(kube).state(wanted))
        kube.put(stored(1, [chart(OLD, env), service(port)], self.values, labels))
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
                "labels": {STATE_LABEL: "null"},
                "commit": "c0ffee",
                "policy": POLICY,
                "migrations": {"driver": driver, "arguments": [], "directory": ""},
                "public_host": "shop.example.org",
                "checks": [{"path": "/health/"}],
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
    newest = world.kube.objects[Ref("v1", "Secret", "sh.helm.release.v1.shop.v2", "shop")]["metadata"]["labels"]
    assert newest[STATE_LABEL] != "null"
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
    server.status = 500
    with pytest.raises(StackError, match="status 500, expected 200") as caught:
        world.switch()
    assert caught.value.result["started"] is True
    newest = world.kube.objects[Ref("v1", "Secret", "sh.helm.release.v1.shop.v2", "shop")]["metadata"]["labels"]
    assert newest[STATE_LABEL] == "null"


def test_the_release_of_another_run_is_not_noted_as_this_ones(world):
    world.helm.overtaken = True
    with pytest.raises(StackError, match=r"is at revision 3 .*this run knows revision 2") as caught:
        world.switch()
    assert (caught.value.result["started"], caught.value.result["revision"]) == (True, 2)
    for revision in (2, 3):
        secret = world.kube.objects[Ref("v1", "Secret", f"sh.helm.release.v1.shop.v{revision}", "shop")]
        assert secret["metadata"]["labels"][STATE_LABEL] == "null"


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
