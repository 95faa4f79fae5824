"""cnpg_app_db against a real CloudNativePG: each state foretold, reached and kept; who gets in; what is refused."""

from __future__ import annotations

import time

import pytest
from postgres import App, Postgres, own_cluster

ONE, TWO, THREE, OLD = (App(f"pg-it-{number}") for number in ("one", "two", "three", "old"))
#: For states that would disturb others: a cluster of its own.
OWN = App("pg-it-own", cluster="pg-small", cluster_namespace="pg-it-databases")


@pytest.fixture(scope="module")
def postgres(node):
    return Postgres(node)


@pytest.fixture(scope="module")
def small(node, postgres):
    """Started with the first test and waited for by the one that needs it."""
    return Postgres(node, OWN.cluster, OWN.cluster_namespace)


@pytest.fixture(autouse=True, scope="module")
def _clean(postgres, small):
    postgres.apply(*own_cluster(OWN.cluster, OWN.cluster_namespace, postgres.image))
    yield
    postgres.kubectl(f"delete namespace {OWN.cluster_namespace} {OWN.name} --ignore-not-found --wait=false")
    postgres.forget(ONE, TWO, THREE, OLD)
    postgres.kubectl(f"delete namespace {OWN.cluster_namespace} {OWN.name} --ignore-not-found")


def shown(result):
    """Plan and diff: what is foretold must be what happens."""
    return result.get("msg"), result.get("plan"), result.get("diff")


@pytest.fixture
def foretold_done_repeated(tasks):
    """In check mode, for real, and again; the result of the run that changed something."""

    def run(app, again=None, **options):
        first = {**app.options, **options}
        last = first if again is None else {**app.options, **again}
        foretold, done, repeated = tasks("cnpg_app_db", {**first, "check": True}, first, last)
        changed = [foretold.get("changed"), done.get("changed"), repeated.get("changed")]
        assert changed == [True, True, False], (shown(foretold), shown(done), shown(repeated))
        assert foretold["plan"] == done["plan"]
        assert foretold["diff"] == done["diff"]
        return done

    return run


# -- one application, from its creation to its end -----------------------------------------------------------------
def test_create(foretold_done_repeated, postgres):
    done = foretold_done_repeated(ONE)
    assert done["proof"]["may_connect"] == [ONE.database]
    assert done["proof"]["closed_now"] is True
    assert done["proof"]["server_version"].startswith("17.")
    namespace = postgres.get("namespace", ONE.name, "default")
    assert namespace["metadata"]["labels"]["railiance.io/postgres-client"] == "apps-pg"


def test_change(foretold_done_repeated, postgres):
    foretold_done_repeated(
        ONE,
        connection_limit=7,
        database_connection_limit=9,
        extensions=[{"name": "pg_trgm"}],
        schemas=[{"name": "audit"}],
    )
    assert postgres.sql("select rolconnlimit from pg_roles where rolname = :'name'", name=ONE.database) == ["7"]
    limit = "select datconnlimit from pg_database where datname = :'name'"
    assert postgres.sql(limit, name=ONE.database) == ["9"]
    assert "pg_trgm" in postgres.sql("select extname from pg_extension", ONE.database)
    owner = "select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'audit'"
    assert postgres.sql(owner, ONE.database) == [ONE.database]


def test_rotate_restarts_the_workload(foretold_done_repeated, postgres):
    web = postgres.login_pod(ONE, [])
    container = {**web["spec"]["containers"][0], "command": ["sleep", "infinity"]}
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}
    postgres.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": ONE.name},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        }
    )
    postgres.kubectl(f"rollout status deployment/web -n {ONE.name} --timeout=60s")
    before = postgres.get("secret", ONE.secret, ONE.name)["data"]["password"]
    options = {"connection_limit": 7, "generation": 1}
    done = foretold_done_repeated(ONE, **options)
    assert postgres.get("secret", ONE.secret, ONE.name)["data"]["password"] != before
    assert done["rotation"]["restarted"] == [f"Deployment {ONE.name}/web"]
    assert (done["rotation"]["new_login"], done["rotation"]["old_login"]) == ("accepted", "refused")
    assert 0 < done["rotation"]["window_seconds"] < 60
    print(f"new connections failed for at most {done['rotation']['window_seconds']} s")
    template = postgres.get("deployment", "web", ONE.name)["spec"]["template"]
    assert template["metadata"]["annotations"] == {f"secret.railiance.io/{ONE.secret}": done["secret_version"]}
    inside = postgres.kubectl(f"exec -n {ONE.name} deploy/web -- psql -XAtw -d {ONE.database} -c 'select current_user'")
    assert inside.strip() == ONE.database


def test_a_database_opened_in_sql_is_closed_again(foretold_done_repeated, postgres):
    postgres.sql(f'grant connect on database "{ONE.database}" to public')
    done = foretold_done_repeated(ONE, connection_limit=7)
    assert [step["action"] for step in done["plan"]] == ["run"]
    assert done["proof"]["closed_now"] is True


def test_three_applications_reach_their_own_database_and_no_other(tasks, postgres):
    settings = {"template": "template0", "encoding": "UTF8", "locale_collate": "C", "locale_ctype": "C"}
    for made in tasks("cnpg_app_db", TWO.options, {**THREE.options, **settings}):
        assert made["proof"]["may_connect"] == [made["database"]]
    collation = "select datcollate, datctype from pg_database where datname = :'name'"
    assert postgres.sql(collation, name=THREE.database) == ["C|C"]
    apps = (ONE, TWO, THREE)
    databases = [*(app.database for app in apps), "postgres", "app"]
    since = time.time()
    postgres.apply(*(postgres.login_pod(app, databases) for app in apps))
    told = {app: postgres.said(app) for app in apps}
    states = {(r.get("user_name"), r.get("database_name")): r["sql_state_code"] for r in postgres.log(since)}
    cells = {}
    for app in apps:
        for database in databases:
            rc, words = told[app][database]
            state = "" if rc == 0 else states[(app.database, database)]
            cells[app.database, database] = (rc, state)
            print(f"{app.database:16} -> {database:16} {state or 'reached':8} {words}")
    assert len(cells) == 15
    for (role, database), (rc, state) in cells.items():
        assert (rc == 0, state) == ((True, "") if role == database else (False, "42501")), (role, database)


def test_adopt(task, foretold_done_repeated, postgres):
    """A database made by hand, with objects of its old owner inside; the old owner keeps his other database."""
    postgres.sql("create role t_legacy login; create role t_other login")
    try:
        postgres.sql(f'create database "{OLD.database}" owner t_legacy')
        postgres.sql("create database t_legacy_own owner t_legacy")
        made = (
            "set role t_legacy; create schema s; create table s.t (id serial primary key); create view s.v as select 1;"
            "create function s.f() returns int language sql as 'select 1'; create type s.e as enum ('a');"
            "insert into s.t default values"
        )
        postgres.sql(made, OLD.database)
        refused = task("cnpg_app_db", **OLD.options)
        assert refused["needs_operator"] is True
        assert f"is owned by role 't_legacy', not by '{OLD.database}'" in refused["msg"]
        foretold_done_repeated(OLD, adopt=True)
        owned = "select count(*) from pg_shdepend where refobjid = 't_legacy'::regrole and dbid <> 0"
        assert postgres.sql(owned, OLD.database) == ["0"]
        mine = 'set role :"name"; insert into s.t default values; select count(*), s.f() from s.t, s.v'
        assert postgres.sql(mine, OLD.database, name=OLD.database) == ["2|1"]
        own = "select pg_get_userbyid(datdba) from pg_database where datname = 't_legacy_own'"
        assert postgres.sql(own) == ["t_legacy"]
    finally:
        postgres.sql("drop database if exists t_legacy_own")
        postgres.sql(f'drop database if exists "{OLD.database}" with (force)')
        postgres.sql("drop role if exists t_legacy; drop role if exists t_other")


def test_absent_keeps_the_data_and_present_takes_it_up_again(task, foretold_done_repeated, postgres):
    postgres.sql("create table kept (id int)", THREE.database)
    foretold_done_repeated(THREE, state="absent")
    assert postgres.exists(THREE) == {"role": True, "database": True}
    assert task("cnpg_app_db", **THREE.options)["changed"]
    assert postgres.sql("select count(*) from kept", THREE.database) == ["0"]


def test_delete_with_its_data(foretold_done_repeated, postgres):
    foretold_done_repeated(THREE, state="absent", drop_data=True)
    assert postgres.exists(THREE) == {"role": False, "database": False}


def test_a_database_in_use_is_not_dropped(task, postgres):
    pod = postgres.login_pod(ONE, [], name="busy")
    pod["spec"]["containers"][0]["command"] = ["psql", "-XAtw", "-d", ONE.database, "-c", "select pg_sleep(600)"]
    postgres.apply(pod)
    waiting = "select count(*) from pg_stat_activity where datname = :'name' and query like '%pg_sleep(600)%'"
    deadline = time.monotonic() + 60
    while postgres.sql(waiting, name=ONE.database) != ["1"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    refused = task("cnpg_app_db", **ONE.options, state="absent", drop_data=True)
    assert refused["needs_operator"] is True
    assert "cannot be dropped: 1 connections use it." in refused["msg"]
    assert postgres.get("secret", ONE.secret, ONE.name)["data"]
    postgres.kubectl(f"delete pod busy -n {ONE.name}")


# -- refusals ------------------------------------------------------------------------------------------------------
REFUSED = [
    ({"app": "pg-it-thief", "owner": ONE.database}, "belongs to application 'pg-it-one'"),
    ({"encoding": "LATIN1"}, "has encoding of the cluster, not LATIN1"),
    ({"database": "t_elsewhere"}, "its name and cluster cannot change to 't_elsewhere'"),
    ({"owner": "app"}, "The role 'app' was created with Cluster databases/apps-pg"),
    ({"connection_limit": 5000}, 'Send this to the owner of the platform: "Please raise'),
]


def test_refused_without_touching_anything(tasks, postgres):
    def versions():
        mine = "'app.kubernetes.io/instance in (pg-it-one, pg-it-thief)'"
        shown = "custom-columns=KIND:.kind,NAME:.metadata.name,VERSION:.metadata.resourceVersion"
        return postgres.kubectl(f"get databaserole,database,secret -n databases -l {mine} -o {shown}")

    before = versions()
    assert before.count(ONE.name) == 3
    results = tasks("cnpg_app_db", *({**ONE.options, **options} for options, _words in REFUSED))
    for (options, words), result in zip(REFUSED, results, strict=True):
        assert (result.get("failed"), words in result["msg"]) == (True, True), (options, result["msg"])
    assert versions() == before


def test_capacity_of_a_small_cluster(task, small):
    small.wait_healthy()
    refused = task("cnpg_app_db", **OWN.options, connection_limit=40)
    assert refused["needs_operator"] is True
    assert "(max_connections 30, reserved 3, promised or used: " in refused["msg"]
    assert task("cnpg_app_db", **OWN.options, connection_limit=20, check=True)["changed"]


def test_an_inline_role_is_left_inline(task, foretold_done_repeated, small):
    """As on an operator before 1.30: the Cluster describes the role, and nothing makes a DatabaseRole of it."""
    small.wait_healthy()
    done = foretold_done_repeated(OWN, role_api="inline")
    assert done["role_api"] == "inline"
    assert task("cnpg_app_db", **OWN.options)["changed"] is False
    found = task("cnpg_cluster_info", cluster=OWN.cluster, cluster_namespace=OWN.cluster_namespace)["clusters"][0]
    [role] = [role for role in found["roles"] if role["name"] == OWN.database]
    assert role["described"] == "inline"
    role_of_operator = {
        "apiVersion": "postgresql.cnpg.io/v1",
        "kind": "DatabaseRole",
        "metadata": {"name": f"{OWN.cluster}-{OWN.name}", "namespace": OWN.cluster_namespace},
        "spec": {"cluster": {"name": OWN.cluster}, "name": OWN.database, "login": True},
    }
    small.apply(role_of_operator)
    assert "is described twice" in task("cnpg_app_db", **OWN.options)["msg"]
    small.kubectl(f"delete databaserole {OWN.cluster}-{OWN.name} -n {OWN.cluster_namespace}")
    assert "belongs to the platform" in task("cnpg_app_db", **OWN.options, state="absent")["msg"]
    foretold_done_repeated(OWN, role_api="inline", state="absent", drop_data=True)
    assert small.exists(OWN) == {"role": False, "database": False}
    spec = small.get("cluster", OWN.cluster, OWN.cluster_namespace)["spec"]
    assert not spec.get("managed", {}).get("roles")


def test_clusters_that_carry_nothing_out(task, small):
    small.wait_healthy()
    name, namespace = OWN.cluster, OWN.cluster_namespace
    small.kubectl(f"annotate cluster {name} -n {namespace} cnpg.io/fencedInstances='[\"*\"]'")
    assert f"Cluster {namespace}/{name} is fenced (*)." in task("cnpg_app_db", **OWN.options)["msg"]
    small.kubectl(f"annotate cluster {name} -n {namespace} cnpg.io/fencedInstances- cnpg.io/hibernation=on")
    assert f"Cluster {namespace}/{name} is hibernated." in task("cnpg_app_db", **OWN.options)["msg"]
    found = task("cnpg_cluster_info", cluster=name, cluster_namespace=namespace)["clusters"][0]
    assert (found["healthy"], found["problem"]) == (False, f"Cluster {namespace}/{name} is hibernated.")
    source = {"name": "origin", "connectionParameters": {"host": "origin.invalid"}}
    replica = {"replica": {"enabled": True, "source": "origin"}, "externalClusters": [source]}
    bootstrap = {"pg_basebackup": {"source": "origin"}}
    small.apply(*own_cluster("pg-replica", namespace, small.image, bootstrap=bootstrap, **replica))
    told = task("cnpg_app_db", **{**OWN.options, "cluster": "pg-replica"})
    assert "is a replica cluster: it cannot hold roles and databases of its own" in told["msg"]
    small.apply(*own_cluster("pg-sick", namespace, "registry.invalid/postgresql:17"))
    sick = task("cnpg_app_db", **{**OWN.options, "cluster": "pg-sick"}, wait_timeout=2)
    assert (sick["needs_operator"], "did not become healthy within 2 s" in sick["msg"]) == (True, True), sick["msg"]
