# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at the cluster, and what it says about the stack. Private to this collection.

:func:`take` reads, everything else here is pure: from the picture to a list of :class:`Check`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from ansible_collections.railiance.stack.plugins.module_utils._kube import INSTANCE
from ansible_collections.railiance.stack.plugins.module_utils._ready import pod_problems

Object = dict[str, Any]

#: What a look reads: one LIST call each; kinds the cluster does not serve are empty lists.
KINDS: dict[str, tuple[str, str]] = {
    "nodes": ("v1", "Node"),
    "deployments": ("apps/v1", "Deployment"),
    "statefulsets": ("apps/v1", "StatefulSet"),
    "pods": ("v1", "Pod"),
    "cronjobs": ("batch/v1", "CronJob"),
    "ingresses": ("networking.k8s.io/v1", "Ingress"),
    "issuers": ("cert-manager.io/v1", "ClusterIssuer"),
    "certificates": ("cert-manager.io/v1", "Certificate"),
    "clusters": ("postgresql.cnpg.io/v1", "Cluster"),
    "databases": ("postgresql.cnpg.io/v1", "Database"),
    "database_roles": ("postgresql.cnpg.io/v1", "DatabaseRole"),
    "argo_applications": ("argoproj.io/v1alpha1", "Application"),
}
HEALTHY_CLUSTER = "Cluster in healthy state"


class Lister(Protocol):
    def find(
        self, api_version: str, kind: str, namespace: str | None = None, label_selector: str | None = None
    ) -> list[Object]: ...


Picture = dict[str, list[Object]]


@dataclass(frozen=True)
class Check:
    """One thing that must hold.

    :param layer: ``S2`` … ``S5``.
    :param name: the object in kubectl's words.
    :param detail: what was seen.
    :param hint: the next step; empty when ``ok``.
    :param required: whether the stack counts as unhealthy without it; other people's objects are only reported.
    """

    layer: str
    name: str
    ok: bool
    detail: str
    hint: str = ""
    required: bool = True

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def take(kube: Lister) -> Picture:
    """Read the cluster once."""
    return {key: kube.find(api_version, kind) for key, (api_version, kind) in KINDS.items()}


def checks(picture: Picture, apps: list[dict[str, str]]) -> list[Check]:
    """Everything the picture says.

    :param apps: ``[{name, namespace}]`` of the applications that must be there.
    """
    return [
        *_nodes(picture),
        *_runtime(picture),
        *_issuers(picture),
        *_platform(picture),
        *_argocd(picture),
        *_gitea(picture),
        *(check for app in apps for check in _application(picture, app["name"], app["namespace"])),
        *_other_certificates(picture, {"gitea", *(app["namespace"] for app in apps)}),
    ]


def checks_of(picture: Picture, app: dict[str, str]) -> list[Check]:
    """What one application needs to serve: its own objects and the database clusters it is in; no neighbour's.

    :param app: ``name`` and ``namespace``.
    """
    own = [database for database in picture["databases"] if _instance(database) == app["name"]]
    used = {(_namespace(one), ((one.get("spec") or {}).get("cluster") or {}).get("name")) for one in own}
    return [
        *(_cluster(cluster) for cluster in picture["clusters"] if (_namespace(cluster), _name(cluster)) in used),
        *_application(picture, app["name"], app["namespace"]),
    ]


def healthy(found: Iterable[Check]) -> bool:
    return all(check.ok for check in found if check.required)


def table(found: list[Check]) -> list[str]:
    """One line a check, for a person."""
    width = max((len(check.name) for check in found), default=0)
    return [
        f"{check.layer}  {'ok' if check.ok else 'FAIL' if check.required else 'note':<4}  "
        f"{check.name:<{width}}  {check.detail}"
        for check in found
    ]


# -- layers ----------------------------------------------------------------------------------------------------
def _nodes(picture: Picture) -> list[Check]:
    if not picture["nodes"]:
        return [Check("S2", "Node", False, "the cluster has no node", "systemctl status k3s")]
    return [
        _condition("S2", f"Node {_name(node)}", node, "Ready", f"kubectl describe node {_name(node)}")
        for node in picture["nodes"]
    ]


def _runtime(picture: Picture) -> list[Check]:
    return [
        _workload("S2", "Deployment", deployment)
        for deployment in picture["deployments"]
        if _namespace(deployment) in ("kube-system", "cert-manager")
    ]


def _issuers(picture: Picture) -> list[Check]:
    if not picture["issuers"]:
        return [Check("S2", "ClusterIssuer", False, "there is none", "run the playbook s2_cluster")]
    return [
        _condition("S2", f"ClusterIssuer {_name(i)}", i, "Ready", f"kubectl describe clusterissuer {_name(i)}")
        for i in picture["issuers"]
    ]


def _platform(picture: Picture) -> list[Check]:
    found = [_workload("S3", "Deployment", d) for d in picture["deployments"] if _namespace(d) == "cnpg-system"]
    found.extend(_cluster(cluster) for cluster in picture["clusters"])
    found.extend(_workload("S3", "StatefulSet", s) for s in picture["statefulsets"] if _namespace(s) == "platform")
    return found


def _cluster(cluster: Object) -> Check:
    status = cluster.get("status") or {}
    phase = str(status.get("phase") or "no status yet")
    ready, wanted = status.get("readyInstances") or 0, (cluster.get("spec") or {}).get("instances") or 1
    return _check(
        "S3",
        f"Cluster {_path(cluster)}",
        phase == HEALTHY_CLUSTER and ready == wanted,
        f"{phase}, {ready}/{wanted} instances",
        f"kubectl -n {_namespace(cluster)} describe cluster {_name(cluster)}",
    )


def _argocd(picture: Picture) -> list[Check]:
    found = []
    for application in picture["argo_applications"]:
        status = application.get("status") or {}
        health = (status.get("health") or {}).get("status") or "Unknown"
        sync = (status.get("sync") or {}).get("status") or "Unknown"
        found.append(
            Check("S4", f"Application {_path(application)}", health == "Healthy", f"{health}, {sync}", required=False)
        )
    return found


def _gitea(picture: Picture) -> list[Check]:
    return _served(picture, "gitea", "gitea")


def _application(picture: Picture, name: str, namespace: str) -> list[Check]:
    found = [*_served(picture, name, namespace), *_schedules(picture, name, namespace)]
    for kind, key in (("DatabaseRole", "database_roles"), ("Database", "databases")):
        for obj in picture[key]:
            if _instance(obj) != name:
                continue
            status = obj.get("status") or {}
            found.append(
                _check(
                    "S5",
                    f"{kind} {_path(obj)}",
                    bool(status.get("applied")),
                    "applied" if status.get("applied") else str(status.get("message") or "not applied yet"),
                    f"kubectl -n {_namespace(obj)} describe {kind.lower()} {_name(obj)}",
                )
            )
    return found


def _schedules(picture: Picture, name: str, namespace: str) -> list[Check]:
    """What became of the last run of each scheduled command."""
    found = []
    for cronjob in picture["cronjobs"]:
        if (_instance(cronjob), _namespace(cronjob)) == (name, namespace):
            ok, detail = _last_run(cronjob)
            hint = f"kubectl -n {namespace} logs -l app.kubernetes.io/name={_name(cronjob)}"
            found.append(_check("S5", f"CronJob {_path(cronjob)}", ok, detail, hint))
    return found


def _last_run(cronjob: Object) -> tuple[bool, str]:
    spec, status = cronjob.get("spec") or {}, cronjob.get("status") or {}
    started, succeeded = str(status.get("lastScheduleTime") or ""), str(status.get("lastSuccessfulTime") or "")
    when = str(spec.get("schedule") or "")
    if spec.get("suspend"):
        return True, f"suspended ({when})"
    if status.get("active"):
        return True, f"runs now ({when})"
    # Both are RFC 3339 in UTC: the later one is the greater one.
    if succeeded and succeeded >= started:
        return True, f"last run succeeded at {succeeded} ({when})"
    return (False, f"the run of {started} did not succeed ({when})") if started else (True, f"has not run yet ({when})")


def _served(picture: Picture, name: str, namespace: str) -> list[Check]:
    """Deployment, certificate and Ingress of one application."""
    deployment = next((d for d in picture["deployments"] if (_name(d), _namespace(d)) == (name, namespace)), None)
    if deployment is None:
        return [Check("S5", f"Deployment {namespace}/{name}", False, "does not exist", "run the playbook s5_apps")]
    found = [_with_pods(_workload("S5", "Deployment", deployment), picture["pods"], deployment)]
    # What nobody labelled counts for whoever is in the namespace.
    there = {
        key: [obj for obj in picture[key] if _namespace(obj) == namespace and _instance(obj) in ("", name)]
        for key in ("certificates", "ingresses")
    }
    for certificate in there["certificates"]:
        hint = f"kubectl -n {namespace} describe certificate {_name(certificate)}"
        check = _condition("S5", f"Certificate {_path(certificate)}", certificate, "Ready", hint)
        until = (certificate.get("status") or {}).get("notAfter")
        found.append(replace(check, detail=f"{check.detail}, valid until {until}") if until else check)
    for ingress in there["ingresses"]:
        hosts = [rule.get("host") or "*" for rule in (ingress.get("spec") or {}).get("rules") or []]
        found.append(Check("S5", f"Ingress {_path(ingress)}", True, ", ".join(hosts)))
    return found


def _with_pods(check: Check, pods: list[Object], workload: Object) -> Check:
    """The check of a workload with what its pods say: how often they were started again, and what is wrong."""
    labels = ((workload.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    own = [
        pod
        for pod in pods
        if labels
        and _namespace(pod) == _namespace(workload)
        and labels.items() <= (_meta(pod).get("labels") or {}).items()
    ]
    statuses = [one for pod in own for one in (pod.get("status") or {}).get("containerStatuses") or []]
    restarts = sum(one.get("restartCount") or 0 for one in statuses)
    words = [f"started again {restarts} times"] if restarts else []
    words.extend(problem for pod in own for problem in pod_problems(pod))
    return replace(check, detail="; ".join([check.detail, *words]))


def _other_certificates(picture: Picture, ours: set[str]) -> list[Check]:
    found = [
        _condition("S2", f"Certificate {_path(c)}", c, "Ready", f"kubectl -n {_namespace(c)} describe certificate")
        for c in picture["certificates"]
        if _namespace(c) not in ours
    ]
    return [replace(check, required=False) for check in found if not check.ok]


# -- objects ---------------------------------------------------------------------------------------------------
def _check(layer: str, name: str, ok: bool, detail: str, hint: str) -> Check:
    return Check(layer, name, ok, detail, "" if ok else hint)


def _workload(layer: str, kind: str, obj: Object) -> Check:
    wanted = (obj.get("spec") or {}).get("replicas", 1)
    status = obj.get("status") or {}
    ready = status.get("readyReplicas") or 0
    current = status.get("observedGeneration") == _meta(obj).get("generation")
    return _check(
        layer,
        f"{kind} {_path(obj)}",
        current and ready >= wanted and (status.get("updatedReplicas") or 0) >= wanted,
        f"{ready}/{wanted} ready",
        f"kubectl -n {_namespace(obj)} describe {kind.lower()} {_name(obj)}",
    )


def _condition(layer: str, name: str, obj: Object, condition: str, hint: str) -> Check:
    for found in (obj.get("status") or {}).get("conditions") or []:
        if found.get("type") == condition:
            ok = found.get("status") == "True"
            detail = condition if ok else str(found.get("message") or found.get("reason") or f"not {condition}")
            return _check(layer, name, ok, detail, hint)
    return _check(layer, name, False, f"no condition {condition} yet", hint)


def _meta(obj: Object) -> Object:
    return dict(obj.get("metadata") or {})


def _instance(obj: Object) -> str:
    return str((_meta(obj).get("labels") or {}).get(INSTANCE) or "")


def _name(obj: Object) -> str:
    return str(_meta(obj).get("name") or "")


def _namespace(obj: Object) -> str:
    return str(_meta(obj).get("namespace") or "")


def _path(obj: Object) -> str:
    return f"{_namespace(obj)}/{_name(obj)}"
