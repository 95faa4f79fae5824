"""restore_point against a real cluster: taken, listed, an irreversible change, put back; and what it refuses."""

from __future__ import annotations

import pytest

APP = "it-restore-point"
DATABASE = "it_restore_point"
DIRECTORY = "/var/lib/railiance/it-restore-points"
PLACE = {"directory": DIRECTORY, "identity": f"{DIRECTORY}.key"}
SEED = """
set role it_restore_point;
create table item (id bigserial primary key, name text, price numeric, data bytea);
insert into item (name, price, data) select 'a' || chr(10) || chr(92) || '.' || i, i * 1.1, sha256(i::text::bytea)
  from generate_series(1, 2000) i;
create table "Order (x" (id int primary key, "select" text);
insert into "Order (x" values (1, null), (2, chr(92) || '.');
create table nothing ();
insert into nothing default values;
select lo_from_bytea(0, 'hello');
"""
DAMAGE = """
set role it_restore_point;
update item set price = price + 1;
drop table "Order (x";
create table later (id bigint primary key references item (id));
insert into later values (1);
"""


@pytest.fixture(scope="module")
def sql(node):
    def run(text: str) -> str:
        command = f"sudo k3s kubectl exec -i -n databases apps-pg-1 -c postgres -- psql -X -q -At -d {DATABASE}"
        return node(command, text.encode()).strip()

    return run


@pytest.fixture(scope="module")
def point(task):
    def run(**arguments):
        return task("restore_point", **{"app": APP, "cluster": "apps-pg", "min_free": 1, **PLACE, **arguments})

    return run


@pytest.fixture(autouse=True, scope="module")
def _database(task, node, sql):
    node("test -x /usr/bin/age || (sudo apt-get -q update && sudo apt-get -q -y install --no-install-recommends age)")
    created = task("cnpg_app_db", app=APP, cluster="apps-pg")
    assert not created.get("failed"), created
    sql(SEED)
    yield
    task("cnpg_app_db", app=APP, cluster="apps-pg", state="absent", drop_data=True)
    node(f"sudo k3s kubectl delete namespace {APP} --wait=false; sudo rm -rf {DIRECTORY} {DIRECTORY}.key")


def test_an_irreversible_change_is_taken_back(point, task, sql, kubectl, node):
    foretold = point(check=True)
    taken = point(reason="before the change")
    assert foretold["plan"] == taken["plan"]
    first = taken["restore_point"]
    assert first["tables"] == {'public."Order (x"': 2, "public.item": 2000, "public.nothing": 1}
    listed = task("restore_point_info", app=APP, directory=DIRECTORY, verify=True)["restore_points"]
    assert [(p["name"], p["problem"], p["reason"]) for p in listed] == [(first["name"], "", "before the change")]
    assert node(f"sudo head -c 21 {first['path']}") == "age-encryption.org/v1"

    sql(DAMAGE)
    refused = point(state="restored", name=first["name"])
    assert refused["needs_operator"], refused
    assert refused["hint"] == f"Set confirm_overwrite: {DATABASE}"
    done = point(state="restored", name=first["name"], confirm_overwrite=DATABASE)
    assert done["replaced"]["public.later"] == {"rows_before": 1, "rows_after": None, "different": True}
    assert done["replaced"]["public.item"] == {"rows_before": 2000, "rows_after": 2000, "different": True}

    again = point()["restore_point"]
    assert again["checksums"] == first["checksums"]
    assert sql("select to_regclass('later') is null, lo_get(oid) from pg_largeobject_metadata") == "t|\\x68656c6c6f"
    assert "=T/" in sql("select datacl from pg_database where datname = current_database()")
    assert kubectl(f"get job -n {APP} -o name") == ""

    back = point(state="restored", name=done["safety"]["name"], confirm_overwrite=DATABASE)
    assert back["restore_point"]["tables"]["public.later"] == 1
    assert sql("select count(*) from later") == "1"


def test_a_damaged_file_is_refused_with_both_checksums(point, node):
    taken = point()["restore_point"]
    node(f"printf x | sudo dd of={taken['path']} bs=1 seek=300 conv=notrunc status=none")
    refused = point(state="restored", name=taken["name"], confirm_overwrite=DATABASE)
    assert refused["expected"] == taken["sha256"]
    assert refused["actual"] in refused["msg"]
    assert refused["actual"] != refused["expected"]


def test_without_the_private_key_nothing_is_restored(point, node):
    recipient = node("age-keygen 2>/dev/null | age-keygen -y").strip()
    taken = point(recipients=[recipient], identity=f"{DIRECTORY}.absent")["restore_point"]
    assert taken["recipients"] == [recipient]
    arguments = {"state": "restored", "name": taken["name"], "confirm_overwrite": DATABASE, "check": True}
    refused = point(identity=f"{DIRECTORY}.absent", **arguments)
    assert f"The private key {DIRECTORY}.absent is not on this host" in refused["msg"]


def test_too_little_room_is_a_sentence_and_leaves_nothing(point, node):
    before = node(f"sudo ls -A {DIRECTORY}")
    refused = point(min_free=1 << 30)
    assert f"and {1 << 30} MiB must stay free. Make room there" in refused["msg"]
    assert node(f"sudo ls -A {DIRECTORY}") == before


def test_only_the_last_ones_are_kept(point, task):
    foretold = point(check=True, keep=1)
    done = point(keep=1)
    assert foretold["removed"] == done["removed"] != []
    left = task("restore_point_info", app=APP, directory=DIRECTORY)["restore_points"]
    assert [entry["name"] for entry in left] == [done["restore_point"]["name"]]
