"""cnpg_cluster_info against real clusters."""

from __future__ import annotations

from postgres import Postgres


def test_the_shared_cluster(task, node):
    postgres = Postgres(node)
    result = task("cnpg_cluster_info", cluster="apps-pg")
    [found] = result["clusters"]
    assert result["changed"] is False
    assert (found["healthy"], found["instances"], found["ready_instances"]) == (True, 1, 1)
    assert found["version"] == postgres.sql("show server_version")[0].split()[0]
    databases = {one["name"]: one for one in found["databases"]}
    assert databases["postgres"]["owner"] == "postgres"
    assert databases["app"]["size_bytes"] > 1_000_000
    assert databases["vergabe_teilnahme"]["app"] == "vergabe-teilnahme"
    roles = {one["name"]: one for one in found["roles"]}
    assert (roles["postgres"]["superuser"], roles["vergabe_teilnahme"]["described"]) == (True, "databaserole")
    held = found["connections"]
    assert held["max"] == int(postgres.sql("show max_connections")[0])
    assert held["free"] == held["max"] - held["reserved"] - held["used"]
    assert found["storage"]["used_bytes"] > 0
    assert found["storage"]["size"] == "10Gi"


def test_every_cluster_of_the_namespace(task):
    found = task("cnpg_cluster_info")["clusters"]
    assert {"apps-pg", "gitea-db"} <= {one["name"] for one in found}
