from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.plugin_utils._cnpg_clusters import live_major, major_of, plan_clusters

DEFAULTS = {
    "namespace": "databases",
    "operator_namespace": "cnpg-system",
    "image": "ghcr.io/cloudnative-pg/postgresql",
    "postgresql_version": "16",
    "instances": 1,
    "storage_size": "10Gi",
    "storage_class": "",
    "resources": {"requests": {"memory": "256Mi"}},
}
GITEA = {"name": "gitea-db", "database": "gitea", "secret": "gitea-db-credentials"}
FOUND = {
    "metadata": {"name": "gitea-db", "labels": {}},
    "spec": {
        "instances": 3,
        "imageName": "ghcr.io/cloudnative-pg/postgresql:16.4",
        "storage": {"size": "40Gi", "storageClass": "fast"},
        "bootstrap": {"recovery": {"source": "old"}},
        "managed": {"roles": [{"name": "x"}]},
    },
    "status": {"image": "ghcr.io/cloudnative-pg/postgresql:16.4"},
}


def plan(entry, *live):
    return plan_clusters([entry], list(live), DEFAULTS)


def test_a_new_cluster_closes_its_databases_before_anybody_can_connect():
    made = plan(GITEA)
    assert made["problems"] == []
    assert made["clusters"] == [
        {
            "apiVersion": "postgresql.cnpg.io/v1",
            "kind": "Cluster",
            "metadata": {
                "name": "gitea-db",
                "namespace": "databases",
                "labels": {"app.kubernetes.io/part-of": "railiance-stack", "railiance.io/network-policy": "true"},
            },
            "spec": {
                "instances": 1,
                "imageName": "ghcr.io/cloudnative-pg/postgresql:16",
                "storage": {"size": "10Gi"},
                "resources": {"requests": {"memory": "256Mi"}},
                "bootstrap": {
                    "initdb": {
                        "database": "gitea",
                        "owner": "gitea",
                        "postInitSQL": [
                            'REVOKE CONNECT ON DATABASE "postgres" FROM PUBLIC',
                            'REVOKE CONNECT ON DATABASE "template1" FROM PUBLIC',
                        ],
                        "postInitApplicationSQL": ['REVOKE CONNECT ON DATABASE "gitea" FROM PUBLIC'],
                        "secret": {"name": "gitea-db-credentials"},
                    }
                },
                "certificates": {"serverTLSSecret": "gitea-db-server-tls", "serverCASecret": "gitea-db-server-tls"},
            },
        }
    ]
    assert made["secrets"] == [{"name": "gitea-db-credentials", "username": "gitea"}]


def test_its_policy_admits_labelled_namespaces_the_operator_and_its_own_namespace():
    (policy,) = plan(GITEA)["policies"]
    assert policy["metadata"]["name"] == "gitea-db-clients"
    assert policy["spec"] == {
        "podSelector": {"matchLabels": {"cnpg.io/cluster": "gitea-db"}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [{"namespaceSelector": {"matchLabels": {"railiance.io/postgres-client": "gitea-db"}}}],
                "ports": [{"port": 5432, "protocol": "TCP"}],
            },
            {
                "from": [
                    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "cnpg-system"}}},
                    {"podSelector": {}},
                ]
            },
        ],
    }


def test_a_cluster_that_was_found_keeps_what_nobody_decided():
    made = plan(GITEA, FOUND)
    assert made["clusters"][0]["spec"] == {
        "instances": 3,
        "imageName": "ghcr.io/cloudnative-pg/postgresql:16.4",
        "storage": {"size": "40Gi", "storageClass": "fast"},
        "bootstrap": {"recovery": {"source": "old"}},
    }
    assert made["policies"] == []
    assert made["secrets"] == []
    assert "railiance.io/network-policy" not in made["clusters"][0]["metadata"]["labels"]


def test_an_entry_decides():
    entry = {
        **GITEA,
        "instances": 1,
        "postgresql_version": "16.13",
        "storage_size": "50Gi",
        "resources": {"limits": {"memory": "1Gi"}},
        "network_policy": True,
        "parameters": {"max_connections": 200},
    }
    made = plan(entry, FOUND)
    spec = made["clusters"][0]["spec"]
    assert (spec["instances"], spec["imageName"]) == (1, "ghcr.io/cloudnative-pg/postgresql:16.13")
    assert spec["storage"] == {"size": "50Gi", "storageClass": "fast"}
    assert spec["resources"] == {"limits": {"memory": "1Gi"}}
    assert spec["postgresql"] == {"parameters": {"max_connections": "200"}}
    assert len(made["policies"]) == 1


def test_a_second_run_over_its_own_cluster_says_the_same():
    first = plan(GITEA)
    again = plan(GITEA, first["clusters"][0])
    assert again == first


@pytest.mark.parametrize(("entry", "wanted"), [({}, 16), ({"image": "r.example/pg:17.2@sha256:00"}, 17)])
def test_another_major_version_is_refused(entry, wanted):
    running = {**FOUND, "status": {"pgDataImageInfo": {"majorVersion": 18}}}
    assert plan({**GITEA, **entry}, running)["problems"] == [
        f"Cluster databases/gitea-db runs PostgreSQL 18, and {wanted} is asked for: a major version never changes by"
        " itself. Set postgresql_version: '18' for gitea-db in cnpg_clusters, or upgrade it on purpose first."
    ]


@pytest.mark.parametrize(
    ("version", "major"),
    [
        ("17", 17),
        (16, 16),
        ("16.13", 16),
        ("ghcr.io/x/postgresql:17.6-3", 17),
        ("registry:5000/x/postgresql", None),
        ("x/postgresql:latest", None),
        (None, None),
    ],
)
def test_majors(version, major):
    assert major_of(version) == major


def test_a_cluster_from_a_catalog_has_a_major_and_gets_no_image():
    found = {"metadata": {"name": "gitea-db"}, "spec": {"imageCatalogRef": {"major": 16}}, "status": {}}
    assert live_major(found) == 16
    assert "imageName" not in plan(GITEA, found)["clusters"][0]["spec"]


def test_a_new_cluster_shows_a_certificate_that_clients_can_verify_for_years():
    made = plan(GITEA)
    _self_signed, authority, _issuer, server = made["certificates"]
    assert authority["spec"]["isCA"] is True
    assert authority["spec"]["privateKey"]["rotationPolicy"] == "Never"
    assert server["metadata"] == {
        "name": "gitea-db-server",
        "namespace": "databases",
        "labels": {"app.kubernetes.io/part-of": "railiance-stack"},
    }
    assert server["spec"]["secretTemplate"] == {"labels": {"cnpg.io/reload": "true"}}
    assert {"gitea-db-rw", "gitea-db-rw.databases", "gitea-db-ro.databases.svc.cluster.local"} <= set(
        server["spec"]["dnsNames"]
    )
    assert [wait["name"] for wait in made["certificate_waits"]] == ["gitea-db-server"]


@pytest.mark.parametrize("certificates", [None, {"serverTLSSecret": "own", "serverCASecret": "own"}])
def test_a_cluster_that_was_found_keeps_its_certificates(certificates):
    found = {**FOUND, "spec": {**FOUND["spec"], **({"certificates": certificates} if certificates else {})}}
    made = plan(GITEA, found)
    assert made["certificates"] == made["certificate_waits"] == []
    assert made["clusters"][0]["spec"].get("certificates") == certificates
