from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._jobs import Clock
from ansible_collections.railiance.stack.plugins.module_utils._kube import Completed, Ref
from ansible_collections.railiance.stack.plugins.module_utils._manage import Manage, Task
from ansible_collections.railiance.stack.plugins.module_utils._manage_pod import Mask, build_pod, secret_references
from ansible_collections.railiance.stack.plugins.module_utils._pod_migrations import planned
from ansible_collections.railiance.stack.plugins.modules import django_manage
from ansible_collections.railiance.stack.plugins.modules.django_manage import ARGUMENT_SPEC
from unit.fake_jobs import before, play_job, said
from unit.fakes import FakeKube, FakeModule

OPERATION = {
    "description": "Raw Python operation",
    "reversible": False,
    "destructive": True,
    "compatible": True,
    "reason": "What Python code (fill) does to rows cannot be read from it, and it declares no way back",
}
DATA = planned("shop.0002_data", False, [OPERATION])


NOTHING = before() + "look rc 0\nrunner end 0\n"
PLAN = before(DATA) + "look rc 0\nrunner end 0\n"
APPLIED = (
    before(DATA)
    + "apply out   Applying shop.0002_data... OK\napply rc 0\n"
    + said("after", applied=["shop.0001_initial", "shop.0002_data"], unknown=[], way_back=[])
    + "look rc 0\nrunner end 0\n"
)


def secret(name, values):
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "shop"}, "data": data}


def template():
    return {
        "metadata": {"labels": {"app.kubernetes.io/name": "shop"}, "annotations": {"note": "kept"}},
        "spec": {
            "serviceAccountName": "shop",
            "imagePullSecrets": [{"name": "registry"}],
            "securityContext": {"runAsUser": 10001},
            "topologySpreadConstraints": [{"maxSkew": 1}],
            "initContainers": [
                {"name": "prepare", "image": "shop:1", "command": ["prepare"]},
                {"name": "proxy", "image": "proxy", "restartPolicy": "Always"},
            ],
            "containers": [
                {
                    "name": "app",
                    "image": "shop:1",
                    "args": ["gunicorn"],
                    "ports": [{"containerPort": 8000}],
                    "readinessProbe": {"httpGet": {"path": "/"}},
                    "livenessProbe": {},
                    "startupProbe": {},
                    "lifecycle": {"preStop": {}},
                    "env": [
                        {"name": "PLAIN", "value": "x"},
                        {
                            "name": "DATABASE_URL",
                            "valueFrom": {"secretKeyRef": {"name": "shop-db", "key": "DATABASE_URL"}},
                        },
                    ],
                    "envFrom": [{"secretRef": {"name": "shop-env"}}],
                    "resources": {"limits": {"memory": "512Mi"}},
                    "volumeMounts": [{"name": "tmp", "mountPath": "/scratch"}],
                },
                {"name": "sidecar", "image": "logs"},
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "key", "secret": {"secretName": "shop-key"}}],
        },
    }


def world(log=NOTHING, code=0, *objects, pod_status=None):
    """A released application; ``log`` is what the Job's pod will say."""
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app.kubernetes.io/name": "shop"}}, "template": template()},
    }
    kube = FakeKube(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
        secret(
            "shop-db",
            {"DATABASE_URL": "postgresql://shop:p%40ss-canary@db:5432/shop", "username": "shop", "port": "5432"},
        ),
        secret("shop-env", {"SECRET_KEY": "key-canary", "ON": "1"}),
        secret("shop-key", {"key": "line-one-canary\nline-two-canary\n"}),
        deployment,
        *objects,
    )
    play_job(kube, log, code, pod_status)
    return kube


def params(**given):
    defaults = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
    return {**defaults, "app": "shop", "command": "migrate", **given}


def run(kube, check_mode=False, **given):
    return django_manage.work(FakeModule(check_mode, **params(**given)), kube)


def fast(kube, **given):
    """Without waiting: the clock runs while somebody sleeps."""
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    return Manage(kube, Task.of(params(**given)), Clock(lambda: now[0], sleep))


def failed(kube, **given):
    with pytest.raises(StackError) as caught:
        run(kube, **given)
    return caught.value


# -- the pod ---------------------------------------------------------------------------------------------------
def with_media():
    pod = template()
    pod["spec"]["volumes"].append({"name": "media", "persistentVolumeClaim": {"claimName": "shop-media"}})
    return pod


@pytest.mark.parametrize(
    ("claims", "volume"),
    [
        ([], {"name": "media", "emptyDir": {}}),
        (["shop-media"], {"name": "media", "persistentVolumeClaim": {"claimName": "shop-media"}}),
    ],
)
def test_a_volume_that_the_first_release_is_still_to_make_is_empty_for_its_migrations(claims, volume):
    objects = [
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "shop"}}
        for name in claims
    ]
    kube = world(NOTHING, 0, *objects)
    run(kube, pod_template=with_media())
    assert kube.jobs[0]["spec"]["template"]["spec"]["volumes"][-1] == volume


def test_the_pod_is_the_applications_without_what_serves():
    pod = build_pod(template(), "app", ["run", "$(PLAIN) costs 5$"], labels={"a": "b"}, image="shop:2")
    spec = pod["spec"]
    assert pod["metadata"] == {"labels": {"a": "b"}, "annotations": {"note": "kept"}}
    assert spec["restartPolicy"] == "Never"
    assert spec["serviceAccountName"] == "shop"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["volumes"] == template()["spec"]["volumes"]
    assert "topologySpreadConstraints" not in spec
    assert [(one["name"], one["image"]) for one in spec["initContainers"]] == [("prepare", "shop:2")]
    (app,) = spec["containers"]
    assert set(app) == {"name", "image", "command", "env", "envFrom", "resources", "volumeMounts"}
    assert app["image"] == "shop:2"
    assert app["command"] == ["run", "$$(PLAIN) costs 5$$"]


def test_further_environment_takes_the_place_of_the_same_name():
    pod = build_pod(template(), "", ["x"], labels={}, env=[{"name": "PLAIN", "value": "y"}])
    env = {entry["name"]: entry.get("value") for entry in pod["spec"]["containers"][0]["env"]}
    assert env == {"DATABASE_URL": None, "PLAIN": "y"}


def test_building_leaves_the_template_alone():
    original = template()
    build_pod(original, "app", ["x"], labels={}, image="y")
    assert original == template()


def test_every_secret_a_pod_uses_is_found():
    spec = template()
    spec["spec"]["volumes"].append({"name": "p", "projected": {"sources": [{"secret": {"name": "projected"}}]}})
    spec["spec"]["containers"][1]["envFrom"] = [{"secretRef": {"name": "extra", "optional": True}}]
    required = {"shop-db": False, "shop-env": False, "shop-key": False, "projected": False}
    assert secret_references(spec) == {**required, "extra": True}


def test_a_container_that_does_not_exist():
    assert failed(world(), container="web").message == "The pod has no container 'web'; it has: app, sidecar."


def test_every_form_of_a_secret_is_hidden_and_the_rest_is_readable():
    mask = Mask(
        [
            secret(
                "a",
                {
                    "url": "postgresql://shop:p%40ss-canary@db/x",
                    "key": "one-canary\ntwo canary",
                    "username": "shop",
                    "n": "1",
                },
            )
        ]
    )
    text = "p%40ss-canary p@ss-canary one-canary two%20canary postgresql://shop:p%40ss-canary@db/x shop 1 db"
    assert mask(text) == "******** ******** ******** ******** ******** shop 1 db"
    assert mask(base64.b64encode(b"one-canary\ntwo canary").decode()) == "********"


# -- migrate ---------------------------------------------------------------------------------------------------
def test_nothing_pending():
    kube = world(NOTHING)
    result = run(kube)
    assert (result["changed"], result["pending"], result["plan"], result["rc"]) == (False, [], [], 0)
    assert (result["executed_by"], result["image"]) == ("job", "shop:1")
    assert [verb for verb, _ in kube.writes] == ["create", "delete"]


def test_pending_migrations_are_applied_in_the_same_job():
    kube = world(APPLIED)
    result = run(kube, image="shop:2", settings="config.production")
    assert result["changed"] is True
    assert result["pending"] == [DATA]
    assert (result["reversible"], result["destructive"], result["compatible"]) == (False, True, True)
    assert result["applied"] == ["shop.0001_initial", "shop.0002_data"]
    assert result["diff"][0]["before"] == {"pending": ["shop.0002_data"]}
    assert result["diff"][0]["after"] == {"pending": []}
    assert result["stdout"] == "  Applying shop.0002_data... OK"
    assert result["cmd"][:3] == ["python", "manage.py", "migrate"]
    assert len(kube.jobs) == 1
    assert kube.jobs[0]["spec"]["template"]["spec"]["containers"][0]["image"] == "shop:2"


def test_a_pod_of_the_job_is_nobodys_backend():
    kube = world()
    run(kube)
    labels = kube.jobs[0]["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "management-command"


def test_whatever_may_change_something_shares_a_lock_and_a_look_does_not():
    kube = world(NOTHING + "run rc 0\n")
    run(kube, image="shop:2")
    run(kube, image="shop:3")
    run(kube, command="loaddata", fixtures=["a"])
    run(kube, check_mode=True)
    run(kube, plan=True)
    run(kube, command="showmigrations")
    names = [ref.name for verb, ref in kube.writes if verb == "create"]
    assert names[0] == names[1] == names[2]
    assert names[3] == names[4] != names[0]
    assert names[5] not in names[:5]


def test_plan_is_check_mode_without_a_change():
    planned_, foretold = run(world(PLAN), plan=True), run(world(PLAN), check_mode=True)
    assert planned_ == {**foretold, "changed": False}
    assert foretold["changed"] is True
    assert planned_["pending"] == [DATA]


def test_what_a_rollback_to_this_image_would_have_to_reverse():
    log = before(applied=["shop.0001_initial", "shop.0002_data"], unknown=["shop.0002_data"]) + "look rc 0\n"
    result = run(world(log), plan=True)
    assert (result["pending"], result["unknown"], result["reversible"]) == ([], ["shop.0002_data"], True)


def test_what_has_no_way_back_is_not_begun():
    back = planned("shop.0002_data", True, [{**OPERATION, "description": "Undo: Raw Python operation"}])
    kube = world(before(back, word="impossible") + "look rc 0\n")
    error = failed(kube, targets=[{"app": "shop", "migration": "0001"}])
    assert isinstance(error, NeedsOperator)
    assert error.message == (
        "There is no way back: shop.0002_data (Undo: Raw Python operation) cannot be reversed. Nothing was changed."
    )
    assert error.result["reversible"] is False
    foretold = run(kube, plan=True, targets=[{"app": "shop", "migration": "0001"}])
    assert foretold["diff"][0]["before"] == {"pending": ["shop.0002_data (backward)"]}


def test_a_failure_half_way_says_what_the_database_records_now():
    log = (
        before(DATA)
        + "apply err ValueError: key-canary\napply rc 1\n"
        + said("after", applied=["shop.0001_initial"], unknown=[], way_back=[])
        + "look rc 0\n"
    )
    error = failed(world(log, 1))
    assert error.message.endswith("ValueError: ********")
    assert (error.result["pending"], error.result["applied"]) == ([DATA], ["shop.0001_initial"])


def test_a_migration_that_hangs_is_told_with_its_session():
    session = {"pid": 7, "state": "active", "waiting_for": "Lock/relation", "query": "alter table x -- key-canary"}
    log = (
        before(DATA)
        + "runner timeout\n"
        + said("ended", sessions=[{**session, "blocked_by": "9 (gunicorn, idle in transaction)", "ended": True}])
        + "apply rc -15\n"
        + said("after", applied=["shop.0001_initial"], unknown=[], way_back=[])
        + "look rc 0\nrunner end 124\n"
    )
    error = failed(world(log, 124), timeout=5)
    assert "'manage.py migrate --no-color' did not end within 5 s in Job shop/shop-manage-" in error.message
    assert error.message.endswith(
        "Its session in PostgreSQL was ended: alter table x -- ********, blocked by 9 (gunicorn, idle in transaction)."
    )
    assert error.result["applied"] == ["shop.0001_initial"]
    assert "canary" not in json.dumps(error.result)


def test_a_run_that_waited_for_another_one_says_for_whom():
    log = said("waiting", holder="shop-manage-1-look from 10.1.1.1 since today") + "runner timeout\nlook rc -15\n"
    error = failed(world(log, 124), timeout=5)
    assert error.message.endswith(
        "It waited for another migration of this database: shop-manage-1-look from 10.1.1.1 since today."
    )
    assert error.hint == "Wait until that one is through, then run again."


def test_check_mode_looks_with_read_only_sessions_and_says_the_same():
    kube = world(PLAN)
    result = run(kube, check_mode=True)
    argv = kube.jobs[0]["spec"]["template"]["spec"]["containers"][0]["command"]
    steps = json.loads(argv[-1])["steps"]
    assert [step["name"] for step in steps] == ["look"]
    assert steps[0]["env"]["PGOPTIONS"] == "-c default_transaction_read_only=on"
    assert steps[0]["companion"] == ""
    happened = run(world(APPLIED))
    assert (result["changed"], result["pending"], result["diff"]) == (True, happened["pending"], happened["diff"])
    assert not [ref for ref in kube.objects if ref.kind == "Job"]


@pytest.mark.parametrize(
    ("lost", "given", "note"),
    [
        (None, {"image_available": False}, "known after the push"),
        (Ref("v1", "Namespace", "shop"), {}, "known once Namespace shop exists"),
        (Ref("v1", "Secret", "shop-db", "shop"), {}, "known once Secret shop/shop-db exists"),
        (Ref("apps/v1", "Deployment", "shop", "shop"), {}, "known once Deployment shop/shop exists"),
    ],
)
def test_check_mode_on_a_server_that_is_not_that_far(lost, given, note):
    kube = world()
    if lost:
        del kube.objects[lost]
    result = run(kube, check_mode=True, **given)
    assert result["plan"] == [{"action": "run", "target": "migrate of shop/shop", "note": note}]
    assert (result["changed"], result["pending"], result["executed_by"]) == (True, None, None)
    assert kube.writes == []


def test_check_mode_with_an_image_that_was_not_pushed_yet():
    waiting = {"name": "app", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}
    kube = world(pod_status={"phase": "Pending", "containerStatuses": [waiting]})
    result = fast(kube).foretell()
    said = result["plan"][0]["note"]
    assert said.startswith("known once the image can be pulled: The pod of Job shop/shop-migrate-look-")
    assert said.endswith("could not start (ImagePullBackOff): not found")
    with pytest.raises(StackError, match="ImagePullBackOff"):
        fast(kube).run()


def test_a_first_release_brings_its_own_pod_template():
    kube = world(APPLIED)
    del kube.objects[Ref("apps/v1", "Deployment", "shop", "shop")]
    assert run(kube, pod_template=template())["changed"] is True
    assert failed(kube).message == "Deployment shop/shop does not exist, and no pod_template is given."


def test_a_failure_says_where_and_why_without_a_secret():
    log = "look err django.db.utils.OperationalError: p@ss-canary key-canary line-two-canary\nlook rc 1\n"
    error = failed(world(log, 1))
    assert error.message.startswith("'manage.py migrate --plan' ended with 1 in Job shop/shop-manage-")
    assert error.message.endswith("django.db.utils.OperationalError: ******** ******** ********")
    assert error.result["rc"] == 1
    assert error.result["stderr"] == "django.db.utils.OperationalError: ******** ******** ********"
    assert "canary" not in json.dumps(error.result)


def test_an_image_without_python():
    error = failed(world("exec: python: not found", 127))
    assert error.message.endswith("exec: python: not found")


def test_events_are_masked_too():
    waiting = {"name": "app", "state": {"waiting": {"reason": "InvalidImageName", "message": "key-canary"}}}
    kube = world(pod_status={"phase": "Pending", "containerStatuses": [waiting]})
    assert failed(kube).message.endswith("(InvalidImageName): ********")


# -- other commands --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("command", "changed"), [("check", False), ("seed", True), ("collectstatic", True)])
def test_other_commands_are_not_run_in_check_mode(command, changed):
    kube = world()
    result = run(kube, check_mode=True, command=command)
    assert (result["changed"], result["executed_by"]) == (changed, None)
    assert kube.writes == []


def test_a_command_that_fails():
    log = "run out System check identified some issues\nrun err SystemCheckError: W004\nrun rc 1\n"
    error = failed(world(log, 1), command="check", deploy=True, fail_level="WARNING")
    assert error.result["rc"] == 1
    assert error.result["stdout"] == "System check identified some issues"


def test_a_superuser_gets_the_password_by_reference():
    kube = world(
        "run out Superuser created successfully.\nrun rc 0\n", 0, secret("admin", {"password": "admin-canary"})
    )
    result = run(
        kube,
        command="createsuperuser",
        username="root",
        email="r@x.org",
        password_secret={"name": "admin", "key": "password"},
    )
    env = {entry["name"]: entry for entry in kube.jobs[0]["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert result["changed"] is True
    assert env["DJANGO_SUPERUSER_USERNAME"]["value"] == "root"
    assert env["DJANGO_SUPERUSER_PASSWORD"]["valueFrom"] == {"secretKeyRef": {"name": "admin", "key": "password"}}
    assert "admin-canary" not in json.dumps([result, kube.jobs])


@pytest.mark.parametrize("exists", [False, True])
def test_check_mode_looks_whether_the_user_exists_and_needs_no_password(exists):
    kube = world(said("user", exists=exists).replace("look", "run") + "run rc 0\n")
    result = run(
        kube,
        check_mode=True,
        command="createsuperuser",
        username="root",
        password_secret={"name": "admin", "key": "password"},
    )
    container = kube.jobs[0]["spec"]["template"]["spec"]["containers"][0]
    env = {entry["name"]: entry for entry in container["env"]}
    assert (result["changed"], bool(result["plan"]), result["executed_by"]) == (not exists, not exists, "job")
    assert "DJANGO_SUPERUSER_PASSWORD" not in env
    assert "default_transaction_read_only=on" in json.dumps(container)
    assert kube.jobs[0]["metadata"]["name"].startswith("shop-createsuperuser-look-")


def test_a_user_whom_arguments_name_is_not_looked_for():
    kube = world()
    result = run(kube, check_mode=True, command="createsuperuser", extra_args=["--username", "root"])
    assert (result["changed"], kube.jobs) == (True, [])


@pytest.mark.parametrize("values", [{}, {"password": ""}, {"other": "x"}])
def test_a_superuser_without_a_password_is_refused(values):
    kube = world("", 0, secret("admin", values))
    error = failed(kube, command="createsuperuser", password_secret={"name": "admin", "key": "password"})
    assert isinstance(error, NeedsOperator)
    assert error.message == "Secret shop/admin has no password: a user without a password cannot log in."
    assert kube.writes == []


# -- exec ------------------------------------------------------------------------------------------------------
def serving(name, ready="True", created="2026-01-01T00:00:00Z"):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": {"app.kubernetes.io/name": "shop"},
            "creationTimestamp": created,
        },
        "spec": {"containers": [{"name": "app", "image": "shop:1"}]},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def test_exec_runs_in_the_newest_ready_pod_and_hands_the_password_over_standard_input():
    kube = world("", 0, serving("old"), serving("new", created="2026-01-02T00:00:00Z"), serving("broken", "False"))
    kube.objects[Ref("v1", "Secret", "admin", "shop")] = secret("admin", {"password": "admin-canary"})
    pods = []

    def on_exec(namespace, pod, command, stdin):
        pods.append(pod)
        return Completed(0, "run out Superuser created successfully.\nrun rc 0\n", "")

    kube.on_exec = on_exec
    result = run(kube, mode="exec", command="createsuperuser", password_secret={"name": "admin", "key": "password"})
    ((argv, stdin),) = kube.commands
    assert pods == ["new"]
    assert (result["executed_by"], result["changed"]) == ("exec", True)
    assert json.loads(stdin) == {"DJANGO_SUPERUSER_PASSWORD": "admin-canary"}
    assert "admin-canary" not in json.dumps([argv, result])
    assert kube.writes == []


def test_exec_needs_a_pod_that_is_ready():
    assert failed(world(), mode="exec").message == "Deployment shop/shop has no pod that is ready."


def test_a_running_pod_keeps_its_image():
    assert failed(world(), mode="exec", image="shop:2").message == (
        "A running pod keeps its image: image and pod_template go with mode: job only."
    )


# -- seeds and counted rows ------------------------------------------------------------------------------------
DECLARED = {"idempotent": True, "production_safe": True}


def ran(kind, rc=0, **fields):
    return f"run out Loaded.\nrun out railiance {json.dumps({'kind': kind, **fields})}\nrun rc {rc}\nrunner end {rc}\n"


@pytest.mark.parametrize(
    "declared", [{"idempotent": True, "production_safe": False}, {**DECLARED, "idempotent": False}]
)
def test_a_seed_that_is_not_declared_safe_is_not_run(declared):
    kube = world()
    error = failed(kube, command="seed_shop", seed=declared)
    assert isinstance(error, NeedsOperator)
    assert error.message == "seed_shop is not declared idempotent and safe in production."
    assert kube.writes == []


def test_a_seed_that_is_refused_says_that_nothing_was_kept():
    log = ran("refused", 3, message="seed_shop makes the login 'demo' with a password that follows from its name.")
    error = failed(world(log, 3), command="seed_shop", seed=DECLARED)
    assert isinstance(error, NeedsOperator)
    assert error.message == (
        "seed_shop makes the login 'demo' with a password that follows from its name. Nothing of it was kept."
    )


@pytest.mark.parametrize("changed", [True, False])
def test_a_seed_is_changed_when_its_rows_are(changed):
    rows = {"public.shop_label": {"inserted": 0, "updated": 3, "deleted": 0}}
    log = ran("rows", rows=rows, changed=changed, logins=["root"])
    result = run(world(log), command="seed_shop", seed=DECLARED)
    assert (result["changed"], result["rows"], result["logins"]) == (changed, rows, ["root"])
    assert result["stdout"] == "Loaded."
    assert result["cmd"] == ["python", "manage.py", "seed_shop", "--no-color"]


def test_where_rows_cannot_be_counted_the_words_decide():
    log = "run out Installed 2 object(s) from 1 fixture(s)\n" + ran("rows", rows={}, changed=None, logins=[])
    assert run(world(log), command="loaddata", fixtures=["a"])["changed"] is True
