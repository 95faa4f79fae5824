# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform's PostgreSQL clusters as objects. Private to this collection.

A cluster that exists keeps what nobody decided about it: instances, storage, resources, image and how it was made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

API_VERSION = "postgresql.cnpg.io/v1"
HEALTHY = "Cluster in healthy state"
#: Namespaces with this label, set to a cluster's name, may connect to it.
CLIENT_LABEL = "railiance.io/postgres-client"
#: On a cluster that was made with a policy; one that was found without keeps its clients until somebody decides.
POLICY_LABEL = "railiance.io/network-policy"
#: The authority that signs the server certificates of the clusters made here: clients keep a copy of its certificate.
#: The operator's own authority lives for 90 days; a client that verifies with a copy would lose it between two runs.
CA_NAME = "databases-ca"
_CA_DURATION = "87600h0m0s"
_LABELS = {"app.kubernetes.io/part-of": "railiance-stack"}

Entry = Mapping[str, Any]
Object = dict[str, Any]


def plan_clusters(entries: Sequence[Entry], live: Sequence[Entry], defaults: Entry) -> dict[str, Any]:
    """Everything the role needs to know about its clusters.

    :param entries: ``cnpg_clusters``.
    :param live: Cluster objects of the namespace.
    :param defaults: namespace, operator_namespace, image, postgresql_version, instances, storage_size, storage_class,
        resources.
    :returns: ``problems`` (sentences), ``certificates``, ``policies`` and ``clusters`` (objects), ``secrets``
        (``{name, username}``), ``waits`` and ``certificate_waits`` (entries of ``wait_for``).
    """
    existing = {cluster["metadata"]["name"]: cluster for cluster in live}
    pairs = [(entry, existing.get(entry["name"])) for entry in entries]
    signed = [entry["name"] for entry, found in pairs if _has_our_certificate(entry, found)]
    namespace = defaults["namespace"]
    return {
        "certificates": [*_authority(namespace), *(_certificate(name, namespace) for name in signed)] if signed else [],
        "certificate_waits": [_certificate_wait(name, namespace) for name in signed],
        "problems": [line for entry, found in pairs if found and (line := version_problem(entry, found, defaults))],
        "policies": [_policy(entry, defaults) for entry, found in pairs if _has_policy(entry, found)],
        "clusters": [_cluster(entry, found, defaults) for entry, found in pairs],
        "secrets": [
            {"name": entry["secret"], "username": owner_of(entry)}
            for entry, found in pairs
            if entry.get("secret") and (found is None or _is_ours(found))
        ],
        "waits": [_wait(entry, defaults) for entry in entries],
    }


def owner_of(entry: Entry) -> str:
    return str(entry.get("owner") or entry.get("database") or "app")


def database_of(entry: Entry) -> str:
    return str(entry.get("database") or "app")


# -- versions --------------------------------------------------------------------------------------------------
def major_of(version: Any) -> int | None:
    """``17`` of ``"17"``, ``"17.6"``, ``ghcr.io/x/postgresql:17.6-3@sha256:…``; ``None`` when it cannot be told."""
    text = str(version or "").partition("@")[0]
    if "/" in text or ":" in text:
        text = text.rpartition("/")[2].partition(":")[2]
    match = re.match(r"\d+", text)
    return int(match[0]) if match else None


def live_major(cluster: Entry) -> int | None:
    """The major version a cluster runs, by what it says about its data first."""
    status, spec = cluster.get("status") or {}, cluster.get("spec") or {}
    told = (status.get("pgDataImageInfo") or {}).get("majorVersion")
    return (
        int(told)
        if told
        else major_of(status.get("image") or spec.get("imageName"))
        or major_of((spec.get("imageCatalogRef") or {}).get("major"))
    )


def wanted_major(entry: Entry, defaults: Entry) -> int | None:
    if entry.get("image"):
        return major_of(entry["image"])
    return major_of(entry.get("postgresql_version") or defaults["postgresql_version"])


def version_problem(entry: Entry, found: Entry, defaults: Entry) -> str:
    """A sentence when the entry asks for another major version than the cluster runs."""
    running, wanted = live_major(found), wanted_major(entry, defaults)
    if running is None or wanted is None or running == wanted:
        return ""
    name = entry["name"]
    return (
        f"Cluster {defaults['namespace']}/{name} runs PostgreSQL {running}, and {wanted} is asked for: a major version"
        f" never changes by itself. Set postgresql_version: '{running}' for {name} in cnpg_clusters, or upgrade it on"
        " purpose first."
    )


def _image(entry: Entry, found: Entry | None, defaults: Entry) -> dict[str, str]:
    """The image field; a running image of the right major stays unless a minor version or an image is asked for."""
    if entry.get("image"):
        return {"imageName": str(entry["image"])}
    version = str(entry.get("postgresql_version") or defaults["postgresql_version"])
    if found is not None and "." not in version:
        kept = (found.get("spec") or {}).get("imageName")
        return {"imageName": kept} if kept else {}
    return {"imageName": f"{defaults['image']}:{version}"}


# -- objects ---------------------------------------------------------------------------------------------------
def _cluster(entry: Entry, found: Entry | None, defaults: Entry) -> Object:
    now = (found or {}).get("spec") or {}
    spec: Object = {
        "instances": int(entry.get("instances") or now.get("instances") or defaults["instances"]),
        **_image(entry, found, defaults),
        "storage": _storage(entry, now, defaults),
        **_resources(entry, found, now, defaults),
        **_bootstrap(entry, found, now),
        **_certificates(entry, found, now),
    }
    if entry.get("parameters"):
        spec["postgresql"] = {"parameters": {key: str(value) for key, value in entry["parameters"].items()}}
    labels = {**_LABELS, **({POLICY_LABEL: "true"} if _has_policy(entry, found) else {})}
    return {
        "apiVersion": API_VERSION,
        "kind": "Cluster",
        "metadata": {"name": entry["name"], "namespace": defaults["namespace"], "labels": labels},
        "spec": spec,
    }


def _storage(entry: Entry, now: Entry, defaults: Entry) -> Object:
    live = now.get("storage") or {}
    storage: Object = {"size": entry.get("storage_size") or live.get("size") or defaults["storage_size"]}
    storage_class = live.get("storageClass") if now else entry.get("storage_class") or defaults["storage_class"]
    return {**storage, **({"storageClass": storage_class} if storage_class else {})}


def _resources(entry: Entry, found: Entry | None, now: Entry, defaults: Entry) -> Object:
    resources = entry.get("resources") or (now.get("resources") if found else defaults["resources"])
    return {"resources": resources} if resources else {}


def _bootstrap(entry: Entry, found: Entry | None, now: Entry) -> Object:
    """How the cluster is made. One that exists repeats what made it: that field can never change."""
    if found is not None:
        return {"bootstrap": now["bootstrap"]} if now.get("bootstrap") else {}
    database = database_of(entry)
    initdb: Object = {
        "database": database,
        "owner": owner_of(entry),
        # PostgreSQL lets every role connect to every database; here each one is closed before anybody can.
        "postInitSQL": [f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC' for name in ("postgres", "template1")],
        "postInitApplicationSQL": [f'REVOKE CONNECT ON DATABASE "{database}" FROM PUBLIC'],
    }
    if entry.get("secret"):
        initdb["secret"] = {"name": entry["secret"]}
    return {"bootstrap": {"initdb": initdb}}


# -- the server's certificate ----------------------------------------------------------------------------------
def server_secret(name: str) -> str:
    """The Secret with a cluster's server certificate, and under ``ca.crt`` what clients verify it with."""
    return f"{name}-server-tls"


def _has_our_certificate(entry: Entry, found: Entry | None) -> bool:
    """A new cluster, or one that was made this way; one that was found keeps the operator's certificates."""
    now = ((found or {}).get("spec") or {}).get("certificates") or {}
    return found is None or now.get("serverTLSSecret") == server_secret(entry["name"])


def _certificates(entry: Entry, found: Entry | None, now: Entry) -> Object:
    if not _has_our_certificate(entry, found):
        return {"certificates": now["certificates"]} if now.get("certificates") else {}
    secret = server_secret(entry["name"])
    return {"certificates": {"serverTLSSecret": secret, "serverCASecret": secret}}


def _issued(name: str, namespace: str, spec: Object) -> Object:
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(_LABELS)},
        "spec": spec,
    }


def _issuer(name: str, namespace: str, spec: Object) -> Object:
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Issuer",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(_LABELS)},
        "spec": spec,
    }


def _authority(namespace: str) -> list[Object]:
    """An authority of ten years, of which cert-manager keeps the key."""
    self_signed = f"{CA_NAME}-self-signed"
    certificate = {
        "isCA": True,
        "commonName": f"{CA_NAME} {namespace}",
        "secretName": CA_NAME,
        "duration": _CA_DURATION,
        # Clients hold copies of the certificate: a renewed one must belong to the same key.
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Never"},
        "issuerRef": {"kind": "Issuer", "name": self_signed},
    }
    return [
        _issuer(self_signed, namespace, {"selfSigned": {}}),
        _issued(CA_NAME, namespace, certificate),
        _issuer(CA_NAME, namespace, {"ca": {"secretName": CA_NAME}}),
    ]


def _certificate(name: str, namespace: str) -> Object:
    """The certificate that a cluster shows its clients, for every name that its Services answer to."""
    suffixes = ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")
    spec = {
        "secretName": server_secret(name),
        # The operator reloads a renewed certificate without a restart.
        "secretTemplate": {"labels": {"cnpg.io/reload": "true"}},
        "dnsNames": [f"{name}-{service}{suffix}" for service in ("rw", "r", "ro") for suffix in suffixes],
        "usages": ["server auth"],
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        "issuerRef": {"kind": "Issuer", "name": CA_NAME},
    }
    return _issued(name=f"{name}-server", namespace=namespace, spec=spec)


def _certificate_wait(name: str, namespace: str) -> Object:
    return {
        "api_version": "cert-manager.io/v1",
        "kind": "Certificate",
        "name": f"{name}-server",
        "namespace": namespace,
        "condition": {"type": "Ready", "status": "True"},
        "hint": f"Look at it with: kubectl -n {namespace} describe certificate {name}-server",
    }


# -- who may connect -------------------------------------------------------------------------------------------
def _is_ours(found: Entry) -> bool:
    labels = found["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in _LABELS.items()) and POLICY_LABEL in labels


def _has_policy(entry: Entry, found: Entry | None) -> bool:
    if entry.get("network_policy") is not None:
        return bool(entry["network_policy"])
    return found is None or POLICY_LABEL in (found["metadata"].get("labels") or {})


def _policy(entry: Entry, defaults: Entry) -> Object:
    """Who may connect: labelled namespaces, the operator, and the cluster's own namespace."""
    name = entry["name"]
    operator = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": defaults["operator_namespace"]}}}
    clients = {"namespaceSelector": {"matchLabels": {CLIENT_LABEL: name}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"{name}-clients", "namespace": defaults["namespace"], "labels": dict(_LABELS)},
        "spec": {
            "podSelector": {"matchLabels": {"cnpg.io/cluster": name}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [clients], "ports": [{"port": 5432, "protocol": "TCP"}]},
                {"from": [operator, {"podSelector": {}}]},
            ],
        },
    }


def _wait(entry: Entry, defaults: Entry) -> Object:
    name, namespace = entry["name"], defaults["namespace"]
    return {
        "api_version": API_VERSION,
        "kind": "Cluster",
        "name": name,
        "namespace": namespace,
        "path": "status.phase",
        "value": HEALTHY,
        "hint": f"Look at it with: kubectl -n {namespace} describe cluster {name}; kubectl -n {namespace} get pods",
    }
