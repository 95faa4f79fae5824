from __future__ import annotations

import base64
import copy
import json

import pytest
from ansible_collections.railiance.stack.plugins.module_utils import _cnpg
from ansible_collections.railiance.stack.plugins.module_utils._cnpg import API
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Completed, Conflict, Ref
from ansible_collections.railiance.stack.plugins.modules.cnpg_app_db import ARGUMENT_SPEC, work
from unit.fakes import FakeKube, FakeModule

CLUSTER = Ref(API, "Cluster", "apps-pg", "databases")
ROLE_SECRET = Ref("v1", "Secret", "apps-pg-role-my-app", "databases")
ROLE = Ref(API, "DatabaseRole", "apps-pg-my-app", "databases")
DATABASE = Ref(API, "Database", "apps-pg-my-app", "databases")
MIRROR = Ref("v1", "Secret", "my-app-db", "my-app")
NAMESPACE = Ref("v1", "Namespace", "my-app")
CREATED = [
    "apply Namespace my-app",
    "apply Secret databases/apps-pg-role-my-app",
    "apply DatabaseRole databases/apps-pg-my-app",
    "apply Database databases/apps-pg-my-app",
    "apply Secret my-app/my-app-db",
]


class Postgres:
    """Plays CloudNativePG, the Job controller and the server behind them."""

    def __init__(self):
        self.databases = {}  # name -> {"owner", "public", "connections"}
        self.roles = {}  # name -> {"password", "privileges", "memberships", "allowed"}
        self.promised = {}  # what other roles were promised
        self.max_connections = 100
        self.old_passwords = True  # whether an old password is refused
        self.log = None  # replaces the proof Job's log
        self.jobs = []

    def on_write(self, kube, verb, ref):
        if verb in ("apply", "patch") and ref.kind in ("DatabaseRole", "Database"):
            obj = kube.objects[ref]
            status = {"applied": True, "observedGeneration": obj["metadata"]["generation"]}
            if ref.kind == "DatabaseRole":
                status["secretResourceVersion"] = self._password(kube, obj["spec"])
            else:
                database = self.databases.setdefault(obj["spec"]["name"], {"public": True})
                database["owner"] = obj["spec"]["owner"]
            obj["status"] = status
        elif verb == "apply" and ref.kind == "Secret" and ref.namespace == "databases":
            for other in [r for r in kube.objects if r.kind in ("DatabaseRole",)]:
                self.on_write(kube, "apply", other)
            self._inline(kube)
        elif verb == "replace" and ref.kind == "Cluster":
            self._inline(kube)
        elif verb == "patch" and ref.kind == "Deployment":
            self.roll_out(kube.objects[ref])
        elif verb == "create" and ref.kind == "Job":
            self._run(kube, ref)

    def roll_out(self, workload):
        ready = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
        workload["status"] = {"observedGeneration": workload["metadata"]["generation"], **ready}

    def _password(self, kube, spec):
        secret = kube.objects[Ref("v1", "Secret", spec["passwordSecret"]["name"], "databases")]
        self.roles.setdefault(spec["name"], {})["password"] = _cnpg.text_of(secret, "password")
        return secret["metadata"]["resourceVersion"]

    def _inline(self, kube):
        cluster = kube.objects[CLUSTER]
        versions, reconciled = {}, []
        for role in _cnpg.inline_roles(cluster):
            if role.get("ensure") == "absent":
                self.roles.pop(role["name"], None)
                continue
            versions[role["name"]] = {"resourceVersion": self._password(kube, role)}
            reconciled.append(role["name"])
        cluster["status"]["managedRolesStatus"] = {"byStatus": {"reconciled": reconciled}, "passwordStatus": versions}

    def _run(self, kube, ref):
        job = kube.objects[ref]
        self.jobs.append(copy.deepcopy(job))
        env = {item["name"]: item for item in job["spec"]["template"]["spec"]["containers"][0]["env"]}
        mirror = kube.objects[
            Ref("v1", "Secret", env["PGPASSWORD"]["valueFrom"]["secretKeyRef"]["name"], ref.namespace)
        ]
        user, database = _cnpg.text_of(mirror, "username"), _cnpg.text_of(mirror, "dbname")
        rc, log = 0, self.log
        if log is None and self.roles[user]["password"] != _cnpg.text_of(mirror, "password"):
            rc, log = 2, f'psql: error: FATAL:  password authentication failed for user "{user}"'
        if log is None:
            state = self.databases[database]
            closed_now, state["public"] = state["public"], False
            proof = {"user": user, "database": database, "closed_now": closed_now, "look": self.look(database, user)}
            log = f"railiance-database-proof {json.dumps(proof)}\n"
        pod = f"{ref.name}-pod"
        kube.pod_logs[(ref.namespace, pod)] = log
        kube.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": pod,
                    "namespace": ref.namespace,
                    "labels": {"batch.kubernetes.io/job-name": ref.name},
                    "ownerReferences": [{"uid": job["metadata"]["uid"]}],
                },
                "status": {
                    "phase": "Failed" if rc else "Succeeded",
                    "containerStatuses": [{"name": "psql", "state": {"terminated": {"exitCode": rc}}}],
                },
            }
        )

    def look(self, name, owner):
        database, role = self.databases.get(name), self.roles.get(owner)
        owned = [key for key, entry in self.databases.items() if entry["owner"] == owner]
        return {
            "server_version": "17.5",
            "database": database
            and {
                "owner": database["owner"],
                "encoding": "UTF8",
                "acl": [f"{database['owner']}=CTc/{database['owner']}"],
                "public_connect": database["public"],
                "may_connect": [database["owner"], *database.get("granted", [])],
                "connections": database.get("connections", 0),
            },
            "role": None
            if role is None
            else {
                "login": role.get("login", True),
                "privileges": role.get("privileges", []),
                "memberships": role.get("memberships", []),
                "databases": owned,
                "allowed": role.get("allowed", -1),
            },
            "superusers": ["postgres"],
            "promised": self.promised,
            "connections": {"max": self.max_connections, "reserved": 3, "used": 2},
        }

    def on_exec(self, namespace, pod, command, stdin):
        assert (namespace, pod) == ("databases", "apps-pg-1")
        if command[0] == "sh":
            assert stdin not in command
            refused = 'psql: error: FATAL:  password authentication failed for user "my_app"'
            return Completed(2, "", refused) if self.old_passwords else Completed(0, "1\n", "")
        values = dict(part.split("=", 1) for part in command if part.startswith(("database=", "owner=", "old_owner=")))
        if "old_owner" in values:
            self.handed_over = (command[command.index("-d") + 1], values["old_owner"], values["owner"])
            return Completed(0, "", "")
        return Completed(0, json.dumps(self.look(values["database"], values["owner"])) + "\n", "")


def cluster(**spec):
    return {
        "apiVersion": API,
        "kind": "Cluster",
        "metadata": {"name": "apps-pg", "namespace": "databases", "uid": "cluster-1"},
        "spec": {"bootstrap": {"initdb": {}}, **spec},
        "status": {
            "phase": "Cluster in healthy state",
            "currentPrimary": "apps-pg-1",
            "image": "ghcr.io/cloudnative-pg/postgresql:17",
            "timelineID": 1,
        },
    }


def world(*objects, missing_kinds=(), cluster_object=None):
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "databases"}}
    kube = FakeKube(namespace, cluster_object or cluster(), *objects, missing_kinds=missing_kinds)
    postgres = Postgres()
    kube.on_write, kube.on_exec = postgres.on_write, postgres.on_exec
    kube.postgres = postgres
    return kube


def run(kube, check_mode=False, **params):
    defaults = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
    module = FakeModule(check_mode, **{**defaults, "cluster": "apps-pg", "app": "my-app", **params})
    result = work(module, kube)
    result["warnings"] = module.warnings
    return result


def converged(**params):
    kube = world()
    run(kube, **params)
    kube.writes.clear()
    kube.dry_runs.clear()
    kube.commands.clear()
    return kube


def test_create_makes_role_then_database_then_the_applications_secret():
    kube = world()
    result = run(kube)
    assert kube.written[:5] == CREATED
    assert [verb for verb, _ in kube.writes[5:]] == ["create", "delete", "patch"]
    assert result["changed"] is True
    assert (result["secret"], result["database"], result["owner"], result["host"]) == (
        "my-app-db",
        "my_app",
        "my_app",
        "apps-pg-rw.databases",
    )
    assert result["server_version"] == "17.5"
    assert result["proof"]["closed_now"] is True
    assert result["proof"]["may_connect"] == ["my_app"]
    assert result["secret_version"] == kube.objects[ROLE_SECRET]["metadata"]["resourceVersion"]


def test_a_creation_looks_into_postgresql_once():
    kube = world()
    run(kube)
    assert len([command for command in kube.commands if "psql" in str(command)]) == 1


def test_what_is_created():
    kube = world()
    run(kube)
    secret, role, database, mirror = (kube.objects[ref] for ref in (ROLE_SECRET, ROLE, DATABASE, MIRROR))
    assert secret["type"] == "kubernetes.io/basic-auth"
    assert secret["metadata"]["labels"]["cnpg.io/reload"] == "true"
    assert _cnpg.text_of(secret, "username") == "my_app"
    assert role["spec"] == {
        "cluster": {"name": "apps-pg"},
        "name": "my_app",
        "login": True,
        "connectionLimit": -1,
        "passwordSecret": {"name": "apps-pg-role-my-app"},
        "databaseRoleReclaimPolicy": "retain",
    }
    assert database["spec"] == {
        "cluster": {"name": "apps-pg"},
        "name": "my_app",
        "owner": "my_app",
        "databaseReclaimPolicy": "retain",
    }
    password = _cnpg.text_of(secret, "password")
    assert len(password) == 40
    assert {key: _cnpg.text_of(mirror, key) for key in mirror["data"]} == {
        "DATABASE_URL": f"postgresql://my_app:{password}@apps-pg-rw.databases:5432/my_app",
        "username": "my_app",
        "password": password,
        "host": "apps-pg-rw.databases",
        "port": "5432",
        "dbname": "my_app",
    }
    assert kube.objects[NAMESPACE]["metadata"]["labels"]["railiance.io/postgres-client"] == "apps-pg"
    for obj in (secret, role, database, mirror):
        assert obj["metadata"]["labels"]["app.kubernetes.io/instance"] == "my-app"


def test_check_mode_foretells_the_same_and_writes_nothing():
    kube = world()
    foretold = run(kube, check_mode=True)
    assert kube.writes == []
    assert foretold["changed"] is True
    assert foretold["proof"] is None
    happened = run(kube)
    assert foretold["plan"] == happened["plan"]
    assert [step["target"] for step in foretold["plan"]][:5] == [target.partition(" ")[2] for target in CREATED]


def test_a_second_run_only_reads():
    kube = converged()
    result = run(kube)
    assert (result["changed"], result["plan"], result["diff"]) == (False, [], [])
    assert (kube.writes, kube.dry_runs) == ([], [])
    assert len(kube.commands) == 1  # one look into PostgreSQL
    assert result["proof"]["user"] == "my_app"
    assert result["secret_version"] == kube.objects[ROLE_SECRET]["metadata"]["resourceVersion"]


def test_no_result_shows_a_password():
    kube = world()
    results = [run(kube, check_mode=True), run(kube), run(kube, rotate=True), run(kube, check_mode=True, rotate=True)]
    password = _cnpg.text_of(kube.objects[ROLE_SECRET], "password")
    shown = json.dumps(results)
    assert password not in shown
    assert base64.b64encode(password.encode()).decode() not in shown
    assert "********" in shown


def test_the_job_gets_the_password_by_reference_and_never_serves():
    kube = world()
    run(kube)
    job = kube.postgres.jobs[0]
    assert _cnpg.text_of(kube.objects[ROLE_SECRET], "password") not in json.dumps(job)
    pod = job["spec"]["template"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["metadata"]["labels"]["app.kubernetes.io/name"] == "database-proof"  # no Service selects it
    assert "$$" not in json.dumps(pod)  # Kubernetes would make one $ of it
    assert not [ref for ref in kube.objects if ref.kind == "Job"]


def test_the_label_of_the_namespace_leaves_others_alone():
    kube = world({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "my-app", "labels": {"a": "b"}}})
    result = run(kube)
    assert result["plan"][0] == {"action": "update", "target": "Namespace my-app", "note": ""}
    assert kube.objects[NAMESPACE]["metadata"]["labels"] == {"a": "b", "railiance.io/postgres-client": "apps-pg"}


def test_a_missing_namespace_may_be_nobodys_business():
    with pytest.raises(NeedsOperator) as caught:
        run(world(), create_namespace=False)
    assert str(caught.value) == "Namespace my-app does not exist. Create it, or set create_namespace: true."


# -- drift -----------------------------------------------------------------------------------------------------
def test_a_lost_application_secret_comes_back_with_the_same_password():
    kube = converged()
    before = kube.objects[ROLE_SECRET]["data"]
    kube.delete(MIRROR)
    kube.writes.clear()
    result = run(kube)
    assert kube.written[0] == "apply Secret my-app/my-app-db"
    assert kube.objects[ROLE_SECRET]["data"] == before
    assert result["proof"]["closed_now"] is False


def test_a_password_changed_by_hand_in_the_applications_secret_is_put_right():
    kube = converged()
    kube.objects[MIRROR]["data"]["password"] = base64.b64encode(b"by hand").decode()
    result = run(kube)
    assert [step["target"] for step in result["plan"]] == [
        "Secret my-app/my-app-db",
        "Database my_app of " + str(CLUSTER),
    ]


def test_a_restored_cluster_is_closed_again():
    kube = converged()
    kube.objects[CLUSTER]["metadata"]["uid"] = "cluster-2"
    kube.postgres.databases["my_app"]["public"] = True
    result = run(kube)
    assert [step["action"] for step in result["plan"]] == ["run"]
    assert result["proof"]["closed_now"] is True
    assert run(kube)["changed"] is False


def test_a_failover_asks_for_a_new_proof():
    kube = converged()
    kube.objects[CLUSTER]["status"]["timelineID"] = 2
    assert [step["action"] for step in run(kube, check_mode=True)["plan"]] == ["run"]


def test_an_object_that_was_never_applied_is_waited_for():
    kube = converged()
    kube.objects[DATABASE]["status"] = {"applied": False, "message": "boom"}
    result = run(kube, check_mode=True)
    assert result["plan"][0] == {
        "action": "run",
        "target": str(DATABASE),
        "note": "CloudNativePG has not applied it yet",
    }
    with pytest.raises(StackError) as caught:
        run(kube)
    assert str(caught.value) == (
        "Database databases/apps-pg-my-app was not applied within 120 s: boom. "
        "Look at it with: kubectl -n databases describe database apps-pg-my-app"
    )
    assert caught.value.result["failed_step"] == "run Database databases/apps-pg-my-app"


def test_a_role_that_lost_its_login_gets_it_back():
    kube = converged()
    kube.objects[ROLE]["spec"]["login"] = False
    result = run(kube)
    assert result["diff"][0]["before"]["spec"]["login"] is False
    assert result["diff"][0]["after"]["spec"]["login"] is True


# -- rotation --------------------------------------------------------------------------------------------------
def test_rotation_changes_both_secrets_and_logs_in_with_the_new_password():
    kube = converged()
    before = _cnpg.text_of(kube.objects[ROLE_SECRET], "password")
    version = run(kube)["secret_version"]
    result = run(kube, rotate=True)
    after = _cnpg.text_of(kube.objects[ROLE_SECRET], "password")
    assert after != before
    assert _cnpg.text_of(kube.objects[MIRROR], "password") == after
    assert kube.postgres.roles["my_app"]["password"] == after
    assert result["secret_version"] != version
    assert [step["target"] for step in result["plan"]] == [
        str(ROLE_SECRET),
        str(MIRROR),
        "Database my_app of Cluster databases/apps-pg",
    ]
    assert run(kube)["changed"] is False


def test_a_diff_does_not_show_the_record_of_the_proof():
    kube = converged()
    assert "railiance.io/database-proof" in kube.objects[MIRROR]["metadata"]["annotations"]
    assert "database-proof" not in json.dumps(run(kube, check_mode=True, rotate=True)["diff"])
    assert "database-proof" not in json.dumps(run(kube, check_mode=True, state="absent")["diff"])


def test_rotation_in_check_mode_writes_nothing():
    kube = converged()
    assert run(kube, check_mode=True, rotate=True)["changed"] is True
    assert kube.writes == []


def test_a_rotation_cut_off_before_the_application_knows_is_completed():
    kube = converged()
    kube.errors[("apply", MIRROR)] = StackError("power cut")
    with pytest.raises(StackError, match="power cut"):
        run(kube, rotate=True)
    kept = _cnpg.text_of(kube.objects[ROLE_SECRET], "password")
    result = run(kube)
    assert _cnpg.text_of(kube.objects[MIRROR], "password") == kept
    assert result["proof"]["user"] == "my_app"


DEPLOYMENT = Ref("apps/v1", "Deployment", "web", "my-app")
RESTARTED = "secret.railiance.io/my-app-db"


def deployment(kube, name="web", version=None, ready=True, reads="my-app-db"):
    container = {"env": [{"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": reads, "key": "k"}}}]}
    annotations = {} if version is None else {RESTARTED: version}
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [container]}}
    stored = kube.put(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "my-app", "generation": 1},
            "spec": {"replicas": 1, "template": template},
        }
    )
    if ready:
        kube.postgres.roll_out(stored)
    return stored


def version_of(kube, ref=DEPLOYMENT):
    return kube.objects[ref]["spec"]["template"]["metadata"]["annotations"].get(RESTARTED)


def test_rotation_restarts_what_uses_the_secret_and_nothing_else():
    kube = converged()
    deployment(kube)
    deployment(kube, "other", reads="something-else")
    foretold = run(kube, check_mode=True, rotate=True)
    result = run(kube, rotate=True)
    assert foretold["plan"] == result["plan"]
    assert foretold["diff"] == result["diff"]
    assert [step["target"] for step in result["plan"]] == [
        str(ROLE_SECRET),
        str(MIRROR),
        str(DEPLOYMENT),
        "Workloads of Namespace my-app",
        "Database my_app of Cluster databases/apps-pg",
    ]
    assert version_of(kube) == result["secret_version"]
    assert version_of(kube, Ref("apps/v1", "Deployment", "other", "my-app")) is None
    assert result["rotation"].pop("window_seconds") >= 0
    assert result["rotation"] == {
        "restarted": ["Deployment my-app/web"],
        "new_login": "accepted",
        "old_login": "refused",
    }
    assert run(kube)["rotation"] is None


def test_the_old_password_is_tried_on_standard_input():
    kube = converged()
    old = _cnpg.text_of(kube.objects[ROLE_SECRET], "password")
    run(kube, rotate=True)
    [(command, stdin)] = [(command, stdin) for command, stdin in kube.commands if command[0] == "sh"]
    assert stdin == old
    assert old not in " ".join(command)


def test_an_old_password_that_still_opens_the_database():
    kube = converged()
    kube.postgres.old_passwords = False
    assert stopped(kube, rotate=True).message == (
        "The old password of role 'my_app' was not refused by Cluster databases/apps-pg."
    )


@pytest.mark.parametrize(
    "verb_and_ref", [("apply", MIRROR), ("patch", DEPLOYMENT), ("create", None), ("patch", MIRROR)]
)
def test_a_rotation_cut_off_anywhere_is_completed_by_an_ordinary_run(verb_and_ref):
    kube = converged()
    deployment(kube, version=run(kube)["secret_version"])
    errors = {verb_and_ref: StackError("power cut")}
    real = {name: getattr(kube, name) for name in ("apply", "patch", "create")}

    def cut(name):
        def call(target, *args, **options):
            ref = target if isinstance(target, Ref) else Ref.of(target)
            for key in ((name, ref), (name, None)):
                if key in errors and not options.get("dry_run"):
                    raise errors.pop(key)
            return real[name](target, *args, **options)

        return call

    for name in real:
        setattr(kube, name, cut(name))
    with pytest.raises(StackError, match="power cut"):
        run(kube, rotate=True)
    password = _cnpg.text_of(kube.objects[ROLE_SECRET], "password")
    result = run(kube)
    assert _cnpg.text_of(kube.objects[ROLE_SECRET], "password") == password
    assert _cnpg.text_of(kube.objects[MIRROR], "password") == password
    assert version_of(kube) == result["secret_version"]
    assert result["proof"]["user"] == "my_app"
    assert result["rotation"]["new_login"] == "accepted"
    assert run(kube)["changed"] is False


def test_a_workload_that_was_not_available_is_restarted_but_not_waited_for():
    kube = converged()
    deployment(kube, ready=False)
    kube.postgres.roll_out = lambda workload: None
    result = run(kube, rotate=True)
    assert version_of(kube) == result["secret_version"]
    assert "Workloads of Namespace my-app" not in [step["target"] for step in result["plan"]]


def test_a_workload_that_does_not_come_back_is_named():
    kube = converged()
    deployment(kube)
    kube.postgres.roll_out = lambda workload: None
    error = stopped(kube, rotate=True)
    assert error.message.startswith("Deployment my-app/web did not become available within 120 s")
    assert error.result["failed_step"] == "run Workloads of Namespace my-app"


def test_a_workload_that_has_the_credentials_already_is_left_alone():
    kube = converged()
    version = run(kube)["secret_version"]
    deployment(kube, version=version)
    kube.delete(MIRROR)
    result = run(kube)
    assert "Deployment" not in json.dumps(result["plan"])
    assert result["secret_version"] == version


def test_pods_that_may_have_read_a_wrong_secret_are_replaced():
    kube = converged()
    version = run(kube)["secret_version"]
    deployment(kube, version=version)
    kube.objects[MIRROR]["data"]["password"] = base64.b64encode(b"by hand").decode()
    kube.objects[MIRROR]["data"]["username"] = base64.b64encode(b"my_app").decode()
    result = run(kube)
    assert version_of(kube) == result["secret_version"] != version
    assert result["rotation"]["old_login"] == "refused"
    assert result["rotation"]["window_seconds"] is None


def test_a_raised_generation_rotates_once():
    kube = converged(generation=1)
    first = _cnpg.text_of(kube.objects[ROLE_SECRET], "password")
    assert run(kube, generation=1)["changed"] is False
    assert run(kube)["changed"] is False
    assert run(kube, generation=2)["rotation"]["old_login"] == "refused"
    second = _cnpg.text_of(kube.objects[ROLE_SECRET], "password")
    assert second != first
    assert run(kube, generation=2)["changed"] is False
    assert _cnpg.text_of(kube.objects[ROLE_SECRET], "password") == second


def test_a_lower_generation_never_comes_back():
    kube = converged(generation=3)
    assert str(refused(kube, generation=2)) == (
        "generation 2 is asked for, and the password of role 'my_app' is of generation 3. "
        "A password never comes back: use 3, or 4 for a new one."
    )


def test_a_rotation_has_to_wait():
    kube = converged()
    assert refused(kube, rotate=True, wait=False).message == (
        "A rotation without waiting would lock the application out."
    )


def test_the_next_run_that_waits_proves_what_one_without_waiting_made():
    kube = world()
    result = run(kube, wait=False)
    assert kube.written == CREATED
    assert result["proof"] is None
    assert [step["action"] for step in run(kube)["plan"]] == ["run"]


def test_a_lost_role_secret_comes_back_with_the_applications_password():
    kube = converged()
    password = _cnpg.text_of(kube.objects[ROLE_SECRET], "password")
    kube.delete(ROLE_SECRET)
    result = run(kube)
    assert result["plan"][0]["note"] == "with the password that the application has"
    assert _cnpg.text_of(kube.objects[ROLE_SECRET], "password") == password
    assert "Deployment" not in json.dumps(result["plan"])


def test_a_password_of_an_application_set_up_by_hand_is_kept_and_its_pods_too():
    kube = world({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "my-app"}})
    kube.postgres.databases["my_app"] = {"owner": "my_app", "public": True}
    kube.postgres.roles["my_app"] = {}
    url = "postgres://my_app:by%2Fhand@apps-pg-rw.databases:5432/my_app"
    kube.put(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "my-app-db", "namespace": "my-app"},
            "data": _cnpg.encode({"DATABASE_URL": url}),
        }
    )
    deployment(kube)
    result = run(kube)
    assert _cnpg.text_of(kube.objects[ROLE_SECRET], "password") == "by/hand"
    assert _cnpg.text_of(kube.objects[MIRROR], "password") == "by/hand"
    assert "patch Deployment my-app/web" not in kube.written
    assert result["rotation"] is None
    assert run(kube)["changed"] is False


@pytest.mark.parametrize("ref", [ROLE_SECRET, ROLE, DATABASE, MIRROR])
def test_a_creation_cut_off_anywhere_is_completed_with_the_same_password(ref):
    kube = world()
    dry = []
    real = kube.apply

    def apply(obj, *, dry_run=False, **options):
        if not dry_run and Ref.of(obj) == ref and not dry:
            dry.append(ref)
            raise StackError("power cut")
        return real(obj, dry_run=dry_run, **options)

    kube.apply = apply
    with pytest.raises(StackError, match="power cut"):
        run(kube)
    before = (kube.objects.get(ROLE_SECRET) or {}).get("data")
    run(kube)
    if before:
        assert kube.objects[ROLE_SECRET]["data"] == before
    assert run(kube)["changed"] is False


# -- refusals --------------------------------------------------------------------------------------------------
def stopped(kube, **params):
    with pytest.raises(StackError) as caught:
        run(kube, **params)
    return caught.value


def refused(kube, **params):
    error = stopped(kube, **params)
    assert kube.writes == []
    return error


def test_a_cluster_that_does_not_exist_yet():
    kube = world()
    kube.delete(CLUSTER)
    kube.writes.clear()
    plan = run(kube, check_mode=True)["plan"]
    assert plan[0]["note"] == "by the platform layer, before this can go on"
    error = refused(kube)
    assert isinstance(error, NeedsOperator)
    assert str(error) == (
        "Cluster databases/apps-pg does not exist. Let the platform layer create it first (playbook s3_platform)."
    )


@pytest.mark.parametrize(
    ("annotations", "spec", "message"),
    [
        ({"cnpg.io/hibernation": "on"}, {}, "Cluster databases/apps-pg is hibernated."),
        ({"cnpg.io/fencedInstances": '["*"]'}, {}, "Cluster databases/apps-pg is fenced (*)."),
        (
            {},
            {"replica": {"enabled": True}},
            "Cluster databases/apps-pg is a replica cluster: it cannot hold roles and databases of its own.",
        ),
    ],
)
def test_a_cluster_that_carries_nothing_out(annotations, spec, message):
    kube = world(cluster_object=cluster(**spec))
    kube.objects[CLUSTER]["metadata"]["annotations"] = annotations
    error = refused(kube)
    assert isinstance(error, NeedsOperator)
    assert error.message == message


def test_an_unhealthy_cluster():
    kube = world()
    kube.objects[CLUSTER]["status"]["phase"] = "Not enough disk space"
    error = refused(kube)
    assert isinstance(error, NeedsOperator)
    assert error.message == "Cluster databases/apps-pg did not become healthy within 120 s: Not enough disk space."


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"owner": "postgres"}, "The role name 'postgres' is reserved by PostgreSQL or CloudNativePG."),
        ({"owner": "pg_x"}, "The role name 'pg_x' is reserved by PostgreSQL or CloudNativePG."),
        ({"owner": "cnpg_x"}, "The role name 'cnpg_x' is reserved by PostgreSQL or CloudNativePG."),
        ({"database": "template1"}, "The database name 'template1' is reserved."),
        ({"database": "app"}, "The database 'app' was created with Cluster databases/apps-pg and belongs to it."),
        ({"owner": "app"}, "The role 'app' was created with Cluster databases/apps-pg and belongs to it."),
        (
            {"namespace": "databases"},
            "Application 'my-app' cannot live in 'databases', the namespace of the databases.",
        ),
    ],
)
def test_names_that_are_taken(params, message):
    assert refused(world(), **params).message == message


def test_another_applications_role_and_database():
    kube = converged()
    error = refused(kube, app="other", database="other_db", owner="my_app")
    assert error.message == "The role 'my_app' of Cluster databases/apps-pg belongs to application 'my-app'."
    error = refused(kube, app="other", database="my_app", owner="other")
    assert error.message == "The database 'my_app' of Cluster databases/apps-pg belongs to application 'my-app'."


def test_a_described_database_of_another_owner():
    kube = converged()
    kube.objects[DATABASE]["metadata"]["labels"] = {}
    error = refused(kube, owner="other")
    assert str(error) == (
        "The database 'my_app' of Cluster databases/apps-pg is owned by role 'my_app', not by 'other'. "
        "Set owner: my_app if it is this application's role, set adopt: true to hand the database and what that role "
        "owns in it over, or choose another database."
    )


def test_a_role_with_a_second_database():
    kube = converged()
    error = refused(kube, database="second", owner="my_app")
    assert error.message == "The role 'my_app' of Cluster databases/apps-pg also owns the database 'my_app'."


def test_a_database_that_no_object_describes():
    kube = world()
    kube.postgres.databases["my_app"] = {"owner": "somebody", "public": True}
    assert refused(kube).message == (
        "The database 'my_app' of Cluster databases/apps-pg is owned by role 'somebody', not by 'my_app'."
    )


def test_a_role_that_owns_something_else():
    kube = world()
    kube.postgres.roles["my_app"] = {}
    kube.postgres.databases["billing"] = {"owner": "my_app", "public": True}
    assert refused(kube).message == "Cluster databases/apps-pg already has a role 'my_app', which owns: billing."


def test_a_role_that_may_too_much():
    kube = world()
    kube.postgres.roles["my_app"] = {"privileges": ["superuser"], "memberships": ["pg_read_all_data"]}
    assert refused(kube).message == (
        "The role 'my_app' of Cluster databases/apps-pg has more than an application needs: "
        "superuser, pg_read_all_data."
    )


def test_role_and_database_left_by_an_earlier_removal_are_taken_up_again():
    kube = converged()
    run(kube, state="absent")
    assert "my_app" in kube.postgres.databases
    result = run(kube)
    assert result["proof"]["user"] == "my_app"


def test_an_immutable_setting():
    kube = converged(encoding="UTF8")
    assert refused(kube, encoding="LATIN1").message == (
        "Database databases/apps-pg-my-app has encoding UTF8, not LATIN1; PostgreSQL cannot change it."
    )


def test_a_secret_of_another_application():
    kube = converged()
    kube.objects[MIRROR]["metadata"]["labels"]["app.kubernetes.io/instance"] = "other"
    assert refused(kube).message == "Secret my-app/my-app-db belongs to application 'other'."


def test_a_secret_made_by_hand_for_another_database():
    kube = world(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "my-app"}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "my-app-db", "namespace": "my-app"},
            "data": _cnpg.encode({"DATABASE_URL": "postgres://u:canary@old:5432/x"}),
        },
    )
    error = refused(kube)
    assert error.message == "Secret my-app/my-app-db was made by somebody else and names another database (old:5432/x)."
    assert "canary" not in str(error)


def test_a_login_that_fails_names_the_server_s_words():
    kube = converged()
    kube.postgres.roles["my_app"] = {"password": "changed in SQL"}
    kube.objects[CLUSTER]["status"]["timelineID"] = 2
    with pytest.raises(StackError) as caught:
        run(kube)
    assert caught.value.message == (
        "Role 'my_app' cannot log in to database 'my_app' from namespace 'my-app': psql: error: FATAL: "
        'password authentication failed for user "my_app"'
    )


def test_a_proof_that_proves_the_contrary():
    kube = world()
    look = kube.postgres.look

    def still_open(database, owner):
        found = look(database, owner)
        if found["database"]:
            found["database"]["public_connect"] = True
        return found

    kube.postgres.look = still_open
    with pytest.raises(StackError) as caught:
        run(kube)
    assert str(caught.value) == (
        "The database 'my_app' is owned by role 'my_app', and every role can connect to it. "
        "Look at its access list: my_app=CTc/my_app"
    )
    assert "railiance.io/database-proof" not in kube.objects[MIRROR]["metadata"].get("annotations", {})


@pytest.mark.parametrize(
    "said", ["FATAL:  sorry, too many clients already", 'FATAL:  too many connections for role "my_app"']
)
def test_a_login_that_finds_no_connection_is_no_failure_of_the_password(said):
    kube = world()
    kube.postgres.log = f"psql: error: {said}"
    error = stopped(kube)
    assert isinstance(error, NeedsOperator)
    assert "every connection is taken" in error.message
    assert 'send this to the owner of the platform: "Please raise max_connections' in error.hint


def test_a_login_error_never_repeats_the_password():
    kube = converged()
    password = _cnpg.text_of(kube.objects[ROLE_SECRET], "password")
    kube.postgres.log = f'psql: error: invalid port in URI: "postgresql://my_app:{password}@x:y/z"'
    kube.objects[CLUSTER]["status"]["timelineID"] = 2
    error = stopped(kube)
    assert password not in str(error)
    assert "my_app:********@x:y/z" in str(error)


def test_others_who_may_connect_are_named():
    kube = world()
    kube.postgres.databases["my_app"] = {"owner": "my_app", "public": True, "granted": ["metrics"]}
    assert run(kube)["warnings"] == [
        "Beside 'my_app' may connect to database 'my_app', each by a grant of its own: metrics"
    ]


# -- inline roles ----------------------------------------------------------------------------------------------
def test_an_operator_before_1_30_needs_a_word():
    error = refused(world(missing_kinds=["DatabaseRole"]))
    assert isinstance(error, NeedsOperator)
    assert error.hint == "Let the platform add it, or allow it here with role_api: inline."


def test_an_inline_role_beside_others():
    other = {"name": "gitea", "login": True, "passwordSecret": {"name": "gitea"}}
    kube = world(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "gitea", "namespace": "databases"}, "data": {}},
        missing_kinds=["DatabaseRole"],
        cluster_object=cluster(managed={"roles": [other]}),
    )
    result = run(kube, role_api="inline")
    assert "replace Cluster databases/apps-pg" in kube.written
    roles = _cnpg.inline_roles(kube.objects[CLUSTER])
    assert roles[0] == other
    assert roles[1] == {
        "name": "my_app",
        "ensure": "present",
        "login": True,
        "connectionLimit": -1,
        "passwordSecret": {"name": "apps-pg-role-my-app"},
    }
    assert result["proof"]["user"] == "my_app"
    kube.writes.clear()
    assert run(kube, role_api="inline")["changed"] is False
    assert run(kube)["changed"] is False  # what is inline stays inline, and nobody has to allow it again
    assert kube.writes == []


def test_an_inline_writer_who_was_slower_tries_again(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    kube = world(missing_kinds=["DatabaseRole"])
    kube.errors[("replace", CLUSTER)] = Conflict("faster", status=409, reason="Conflict")
    assert run(kube, role_api="inline")["proof"]["user"] == "my_app"


def test_a_role_described_twice():
    kube = converged()
    kube.objects[CLUSTER]["spec"]["managed"] = {"roles": [{"name": "my_app", "login": True}]}
    assert refused(kube).message == (
        "The role 'my_app' is described twice: by DatabaseRole databases/apps-pg-my-app and inline in "
        "Cluster databases/apps-pg, where it counts."
    )


# -- absent ----------------------------------------------------------------------------------------------------
def test_absent_keeps_the_data():
    kube = converged()
    foretold = run(kube, check_mode=True, state="absent")
    assert kube.writes == []
    result = run(kube, state="absent")
    assert foretold["plan"] == result["plan"]
    assert kube.written == [
        "delete Secret my-app/my-app-db",
        "patch Namespace my-app",
        "delete Database databases/apps-pg-my-app",
        "delete DatabaseRole databases/apps-pg-my-app",
        "delete Secret databases/apps-pg-role-my-app",
    ]
    assert NAMESPACE in kube.objects
    assert run(kube, state="absent")["changed"] is False


def test_absent_with_its_data_sets_the_policy_before_deleting_database_then_role():
    kube = converged()
    run(kube, state="absent", drop_data=True)
    assert kube.written[2:6] == [
        "patch Database databases/apps-pg-my-app",
        "delete Database databases/apps-pg-my-app",
        "patch DatabaseRole databases/apps-pg-my-app",
        "delete DatabaseRole databases/apps-pg-my-app",
    ]


def test_a_policy_set_by_hand_does_not_drop_what_is_to_be_kept():
    kube = converged()
    kube.objects[DATABASE]["spec"]["databaseReclaimPolicy"] = "delete"
    policies = []
    before = kube.on_write

    def on_write(kube, verb, ref):
        if (verb, ref) == ("patch", DATABASE):
            policies.append(kube.objects[ref]["spec"]["databaseReclaimPolicy"])
        before(kube, verb, ref)

    kube.on_write = on_write
    run(kube, state="absent")
    assert policies == ["retain"]


def test_a_database_in_use_is_refused_before_anything_is_removed():
    kube = converged()
    kube.postgres.databases["my_app"]["connections"] = 3
    error = refused(kube, state="absent", drop_data=True)
    assert isinstance(error, NeedsOperator)
    assert str(error) == (
        "The database 'my_app' of Cluster databases/apps-pg cannot be dropped: 3 connections use it. "
        "Stop what uses it: kubectl -n my-app scale deployment --all --replicas=0"
    )
    assert kube.writes == []


def test_a_database_that_came_into_use_is_not_waited_for_in_silence():
    kube = converged()
    real = kube.delete

    def delete(ref, **options):
        kube.postgres.databases["my_app"]["connections"] = 3
        return ref == DATABASE or real(ref, **options)

    kube.delete = delete
    with pytest.raises(StackError) as caught:
        run(kube, state="absent", drop_data=True)
    assert caught.value.message == (
        "Database databases/apps-pg-my-app cannot be dropped: 3 connections use the database."
    )


def test_a_role_that_no_object_describes_is_not_called_dropped():
    kube = converged()
    for ref in (DATABASE, ROLE):
        kube.delete(ref)
    kube.postgres.databases.clear()
    kube.writes.clear()
    assert refused(kube, state="absent", drop_data=True).message == (
        "The role 'my_app' of Cluster databases/apps-pg still exists, but no object describes it."
    )


def test_dropping_what_no_object_describes_is_not_called_done():
    kube = converged()
    run(kube, state="absent")
    kube.writes.clear()
    assert refused(kube, state="absent", drop_data=True).hint == (
        "Run with state: present first, then with state: absent and drop_data: true."
    )


def test_absent_of_an_inline_role():
    kube = world(missing_kinds=["DatabaseRole"])
    run(kube, role_api="inline")
    kube.writes.clear()
    assert "belongs to the platform" in refused(kube, state="absent").message
    run(kube, role_api="inline", state="absent", drop_data=True)
    assert _cnpg.inline_roles(kube.objects[CLUSTER]) == []
    assert "my_app" not in kube.postgres.roles


# -- what PostgreSQL says ----------------------------------------------------------------------------------------
def test_a_database_opened_in_sql_is_closed_again():
    kube = converged()
    kube.postgres.databases["my_app"]["public"] = True
    foretold = run(kube, check_mode=True)
    result = run(kube)
    assert [step["action"] for step in foretold["plan"]] == [step["action"] for step in result["plan"]] == ["run"]
    assert result["proof"]["closed_now"] is True
    assert run(kube)["changed"] is False


def test_who_may_connect_is_read_in_every_run():
    kube = converged()
    kube.postgres.databases["my_app"]["granted"] = ["metrics"]
    result = run(kube)
    assert result["changed"] is False
    assert result["proof"]["may_connect"] == ["my_app", "metrics"]


def test_an_owner_changed_in_sql_is_told_apart():
    kube = converged()
    kube.postgres.databases["my_app"]["owner"] = "somebody"
    error = refused(kube)
    assert isinstance(error, NeedsOperator)
    assert str(error) == (
        "The database 'my_app' of Cluster databases/apps-pg is owned by role 'somebody' in PostgreSQL, although its "
        "object says 'my_app'. Whoever changed it in SQL takes it back there, as the superuser: "
        'ALTER DATABASE "my_app" OWNER TO "my_app"'
    )


# -- adopting ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("described", [False, True])
def test_adopting_hands_over_what_is_inside_before_the_database(described):
    kube = world()
    kube.postgres.databases["my_app"] = {"owner": "legacy", "public": True}
    if described:
        spec = {"cluster": {"name": "apps-pg"}, "name": "my_app", "owner": "legacy"}
        meta = {"name": "by-hand", "namespace": "databases"}
        kube.put({"apiVersion": API, "kind": "Database", "metadata": meta, "spec": spec})
    foretold = run(kube, check_mode=True, adopt=True)
    assert kube.writes == []
    result = run(kube, adopt=True)
    assert foretold["plan"] == result["plan"]
    step = [step for step in result["plan"] if step["note"] == "what the old owner owns in it is handed over"]
    assert [one["target"] for one in step] == ["Database my_app of Cluster databases/apps-pg"]
    assert kube.postgres.handed_over == ("my_app", "legacy", "my_app")
    assert kube.postgres.databases["my_app"]["owner"] == "my_app"
    assert run(kube, adopt=True)["changed"] is False


def test_another_applications_database_is_not_adopted():
    kube = converged()
    error = refused(kube, app="other", database="my_app", owner="other", adopt=True)
    assert error.message == "The database 'my_app' of Cluster databases/apps-pg belongs to application 'my-app'."


# -- settings ----------------------------------------------------------------------------------------------------
def test_settings_in_the_apis_own_words():
    kube = world()
    run(
        kube,
        database_connection_limit=20,
        locale_ctype="C",
        reclaim_policy="delete",
        extensions=[{"name": "pg_trgm", "ensure": "present", "version": None, "schema": None}],
        schemas=[{"name": "audit", "owner": None, "ensure": "present"}],
    )
    assert kube.objects[DATABASE]["spec"] == {
        "cluster": {"name": "apps-pg"},
        "name": "my_app",
        "owner": "my_app",
        "databaseReclaimPolicy": "delete",
        "connectionLimit": 20,
        "localeCType": "C",
        "extensions": [{"name": "pg_trgm", "ensure": "present"}],
        "schemas": [{"name": "audit", "owner": "my_app", "ensure": "present"}],
    }
    assert kube.objects[ROLE]["spec"]["databaseRoleReclaimPolicy"] == "delete"


def test_an_encoding_that_postgresql_cannot_change():
    kube = world()
    kube.postgres.databases["my_app"] = {"owner": "my_app", "public": True}
    assert refused(kube, encoding="LATIN1").message == (
        "The database 'my_app' of Cluster databases/apps-pg has encoding UTF8, not LATIN1; PostgreSQL cannot change it."
    )


def test_another_name_for_the_same_application():
    kube = converged()
    assert str(refused(kube, database="second", owner="second")) == (
        "DatabaseRole databases/apps-pg-my-app describes the role 'my_app' of cluster 'apps-pg'; its name and cluster "
        "cannot change to 'second' of 'apps-pg'. Leave the role as it is; or move: dump it, run with state: absent for "
        "the old names (the data stays), then with the new ones, and restore the dump."
    )


# -- capacity ----------------------------------------------------------------------------------------------------
def test_more_connections_than_the_cluster_has_left():
    kube = world()
    kube.postgres.promised = {"billing": 60, "postgres": 2}
    error = refused(kube, connection_limit=50)
    assert isinstance(error, NeedsOperator)
    assert str(error) == (
        "Application 'my-app' asks for 50 connections, and Cluster databases/apps-pg has 35 left (max_connections 100, "
        "reserved 3, promised or used: billing 60, postgres 2). Send this to the owner of the platform: "
        '"Please raise max_connections of Cluster databases/apps-pg from 100 to at least 115 (cnpg_clusters: '
        "parameters: max_connections) for application 'my-app'.\" Or ask for fewer."
    )


@pytest.mark.parametrize(
    ("limits", "refuses"),
    [
        ({"connection_limit": 35}, False),
        ({"connection_limit": 36}, True),
        ({"database_connection_limit": 36}, True),
        ({"connection_limit": 35, "database_connection_limit": 90}, False),
        ({}, False),
    ],
)
def test_what_counts_against_the_rest(limits, refuses):
    kube = world()
    kube.postgres.promised = {"billing": 62}
    if refuses:
        assert "asks for 36 connections" in refused(kube, **limits).message
    else:
        assert run(kube, **limits)["changed"] is True


@pytest.mark.parametrize("allowed", [50, -1])
def test_a_limit_the_role_has_is_not_refused_when_others_took_the_rest(allowed):
    kube = converged(connection_limit=50)
    kube.postgres.roles["my_app"]["allowed"] = allowed
    kube.postgres.promised = {"billing": 90}
    assert run(kube, connection_limit=50)["changed"] is False
