# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate of cert-manager, from the request to the Secret, and why there is none. Private to this collection."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref, Timeout
from ansible_collections.railiance.stack.plugins.module_utils._ready import has_condition

API = "cert-manager.io/v1"
_ACME = "acme.cert-manager.io/v1"

#: Words in the authority's or cert-manager's message, and the next step that follows from them.
_HINTS = (
    (("rateLimited", "too many"), "The authority's limit is reached: wait until the time it names, then run again."),
    (("CAA",), "A CAA record of the domain forbids this authority: add it there."),
    (("NXDOMAIN", "no such host", "DNS problem", "No valid IP addresses"), "Correct the DNS record of the host."),
    (
        ("connection refused", "imeout", "no route to host", "connection reset", "deadline exceeded"),
        "Open port 80 of the server to the internet; the authority asks there.",
    ),
    (
        ("unauthorized", "wrong status code", "did not return the expected response", "Invalid response"),
        "Another server or proxy answers at the host on port 80: let it pass /.well-known/acme-challenge/ on.",
    ),
    (("rejectedIdentifier", "policy"), "The authority does not issue for this name: use a public domain."),
)


def build(ref: Ref, hosts: Sequence[str], issuer: str, labels: dict[str, str]) -> Object:
    """The Certificate; its Secret has the same name."""
    return {
        "apiVersion": API,
        "kind": "Certificate",
        "metadata": {"name": ref.name, "namespace": ref.namespace, "labels": dict(labels)},
        "spec": {
            "secretName": ref.name,
            "dnsNames": list(hosts),
            "issuerRef": {"kind": "ClusterIssuer", "name": issuer},
        },
    }


def is_issued(live: Object | None, wanted: Object) -> bool:
    """Whether the certificate that is there is the one wanted."""
    if live is None or not _is_ready(live):
        return False
    spec, asked = live.get("spec") or {}, wanted["spec"]
    return (
        spec.get("secretName") == asked["secretName"]
        and sorted(spec.get("dnsNames") or []) == sorted(asked["dnsNames"])
        and (spec.get("issuerRef") or {}).get("name") == asked["issuerRef"]["name"]
    )


def has_failed(live: Object) -> bool:
    """Whether cert-manager has given up for now; it tries again after an hour at the earliest."""
    failed = _condition(live, "Issuing")
    return failed.get("status") == "False" and failed.get("reason") == "Failed"


def check_issuer(kube: Kube, name: str, predict: bool = False) -> None:
    """An issuer that is not ready issues nothing: better known before anything is asked of it.

    :param predict: the issuer may come with an earlier step of the run.
    :raises StackError: with what the issuer itself says.
    """
    ref = Ref(API, "ClusterIssuer", name)
    issuer = kube.get(ref)
    if issuer is None:
        if predict:
            return
        raise NeedsOperator(
            f"{ref} does not exist. Nothing has been exposed.",
            "Name one of: kubectl get clusterissuers, in stack_cluster_issuer; or run the playbook s2_cluster.",
        )
    if not has_condition(issuer, "Ready"):
        said = _condition(issuer, "Ready").get("message") or "it says nothing yet"
        server = ((issuer.get("spec") or {}).get("acme") or {}).get("server")
        raise StackError(
            f"{ref} is not ready: {str(said).rstrip('.')}. Nothing has been exposed.",
            f"Check that the cluster reaches {server} and trusts its certificate, then run the playbook s2_cluster."
            if server
            else f"Look at it with: kubectl describe clusterissuer {name}",
        )


def wait_issued(kube: Kube, ref: Ref, timeout: float, interval: float = 0.25) -> Object:
    """Wait until the certificate is there.

    :raises StackError: with what the authority said, as soon as cert-manager gives up, or after ``timeout``.
    """
    deadline = time.monotonic() + timeout
    while True:
        live = kube.get(ref)
        if live is not None and _is_ready(live):
            return live
        if live is not None and has_failed(live):
            raise _failure(kube, ref, live, StackError, "was refused")
        if time.monotonic() >= deadline:
            raise _failure(kube, ref, live or {}, Timeout, f"did not come within {timeout:.0f} s")
        time.sleep(interval)


def _failure(kube: Kube, ref: Ref, live: Object, kind: type[StackError], what: str) -> StackError:
    spec = live.get("spec") or {}
    why = cause(kube, ref, live)
    issuer = (spec.get("issuerRef") or {}).get("name") or "its issuer"
    hint = next((hint for words, hint in _HINTS if any(word in why for word in words)), "")
    return kind(
        f"The certificate for {', '.join(spec.get('dnsNames') or [ref.name])} of ClusterIssuer {issuer} {what}:"
        f" {why.rstrip('.')}.",
        hint or f"Look at the issuer with: kubectl describe clusterissuer {issuer}",
        cause=why,
    )


def cause(kube: Kube, ref: Ref, live: Object) -> str:
    """What stands in the way, in the words of whoever knows most: challenge, order, request, certificate."""
    certificate = (live.get("metadata") or {}).get("uid")
    requests = _owned(kube.find(API, "CertificateRequest", ref.namespace), {certificate})
    orders = _owned(kube.find(_ACME, "Order", ref.namespace), _uids(requests))
    challenges = _owned(kube.find(_ACME, "Challenge", ref.namespace), _uids(orders))
    said = [
        f"{(challenge.get('spec') or {}).get('dnsName')}: {reason}"
        for challenge in challenges
        if (reason := (challenge.get("status") or {}).get("reason"))
    ]
    for order in orders:
        status = order.get("status") or {}
        if status.get("state") in ("invalid", "errored", "expired"):
            said += [str(status["reason"])] if status.get("reason") else []
            said += _refused(status.get("authorizations") or [])
    for obj in (*requests, live):
        if said:
            break
        for kind in ("Ready", "Issuing"):
            found = _condition(obj, kind)
            said += [str(found["message"])] if found.get("status") == "False" and found.get("message") else []
    nothing = "cert-manager gives no cause, its log may: kubectl -n cert-manager logs deploy/cert-manager"
    return "; ".join(dict.fromkeys(said)) or nothing


def _refused(authorizations: list[Object]) -> list[str]:
    return [f"{one.get('identifier')} is invalid" for one in authorizations if one.get("initialState") == "invalid"]


def _owned(objects: list[Object], uids: set[Any]) -> list[Object]:
    owned = [
        obj
        for obj in objects
        if any(owner.get("uid") in uids for owner in obj["metadata"].get("ownerReferences") or [])
    ]
    return sorted(owned, key=lambda obj: str(obj["metadata"].get("creationTimestamp") or ""), reverse=True)[:5]


def _uids(objects: list[Object]) -> set[Any]:
    return {obj["metadata"].get("uid") for obj in objects}


def _is_ready(live: Object) -> bool:
    ready = _condition(live, "Ready")
    generation = live["metadata"].get("generation", 0)
    return ready.get("status") == "True" and ready.get("observedGeneration", generation) >= generation


def _condition(obj: Object, kind: str) -> Object:
    for condition in (obj.get("status") or {}).get("conditions") or []:
        if condition.get("type") == kind:
            return dict(condition)
    return {}
