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
        self.roles = {}  # name -> {"password", attributes}
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
        elif verb == "create" and ref.kind == "Job":
            self._run(kube, ref)

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
            proof = {"closed_now": closed_now, **self.proof(user, database)}
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

    def proof(self, user, database):
        return {
            "user": user,
            "database": database,
            "server_version": "17.5",
            "owner": self.databases[database]["owner"],
            "acl": [f"{user}=CTc/{user}"],
            "public_connect": self.databases[database]["public"],
            "may_connect": [user],
            "superusers": ["postgres"],
            "privileges": [],
            "memberships": [],
        }

    def on_exec(self, namespace, pod, command, stdin):
        assert (namespace, pod) == ("databases", "apps-pg-1")
        values = dict(part.split("=", 1) for part in command if part.startswith(("database=", "owner=")))
        database, role = self.databases.get(values["database"]), self.roles.get(values["owner"])
        answer = {"database": None, "role": None}
        if database:
            answer["database"] = {"owner": database["owner"], "connections": database.get("connections", 0)}
        if role is not None:
            owned = [name for name, entry in self.databases.items() if entry["owner"] == values["owner"]]
            answer["role"] = {"memberships": [], **role, "databases": owned}
        return Completed(0, json.dumps(answer) + "\n", "")


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
    assert (kube.writes, kube.dry_runs, kube.commands) == ([], [], [])
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
def refused(kube, **params):
    with pytest.raises(StackError) as caught:
        run(kube, **params)
    assert kube.writes == []
    return caught.value


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
    assert refused(kube).message == "Cluster databases/apps-pg is not healthy: Not enough disk space."


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
        "Set owner: my_app, or choose another database; its objects would not follow a new owner."
    )


def test_a_role_with_a_second_database():
    kube = converged()
    error = refused(kube, database="second", owner="my_app")
    assert error.message == "The role 'my_app' of Cluster databases/apps-pg also owns the database 'my_app'."


def test_a_database_that_no_object_describes():
    kube = world()
    kube.postgres.databases["my_app"] = {"owner": "somebody", "public": True}
    assert refused(kube).message == (
        "Cluster databases/apps-pg already has a database 'my_app', owned by role 'somebody'."
    )


def test_a_role_that_owns_something_else():
    kube = world()
    kube.postgres.roles["my_app"] = {}
    kube.postgres.databases["billing"] = {"owner": "my_app", "public": True}
    assert refused(kube).message == "Cluster databases/apps-pg already has a role 'my_app', which owns: billing."


def test_a_role_that_may_too_much():
    kube = world()
    kube.postgres.roles["my_app"] = {"superuser": True, "memberships": ["pg_read_all_data"]}
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"public_connect": True}, "Every role can still connect to the database 'my_app'."),
        ({"privileges": ["createdb"]}, "The role 'my_app' has more than an application needs: createdb."),
        ({"owner": "x"}, "The database 'my_app' is owned by role 'x', not by 'my_app'."),
    ],
)
def test_a_proof_that_proves_the_contrary(change, message):
    kube = world()
    proof = kube.postgres.proof
    kube.postgres.proof = lambda user, database: {**proof(user, database), **change}
    with pytest.raises(StackError) as caught:
        run(kube)
    assert caught.value.message == message
    assert "railiance.io/database-proof" not in kube.objects[MIRROR]["metadata"].get("annotations", {})


def test_others_who_may_connect_are_named():
    kube = world()
    proof = kube.postgres.proof
    kube.postgres.proof = lambda user, database: {**proof(user, database), "may_connect": ["metrics", user]}
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


def test_a_database_in_use_is_not_waited_for_in_silence():
    kube = converged()
    kube.postgres.databases["my_app"]["connections"] = 3
    real = kube.delete
    kube.delete = lambda ref, **options: ref == DATABASE or real(ref, **options)
    with pytest.raises(StackError) as caught:
        run(kube, state="absent", drop_data=True)
    assert str(caught.value) == (
        "Database databases/apps-pg-my-app cannot be dropped: 3 connections use the database. "
        "Stop what uses it: kubectl -n my-app scale deployment --all --replicas=0"
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
