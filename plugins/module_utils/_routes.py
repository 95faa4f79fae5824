# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who serves which host and path of a cluster. Private to this collection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ansible_collections.railiance.stack.plugins.module_utils._apply import foreign_owner
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref

#: Every kind that can claim a host; one that is not served claims nothing.
KINDS = (
    ("networking.k8s.io/v1", "Ingress"),
    ("traefik.io/v1alpha1", "IngressRoute"),
    ("traefik.io/v1alpha1", "IngressRouteTCP"),
    ("traefik.containo.us/v1alpha1", "IngressRoute"),
    ("traefik.containo.us/v1alpha1", "IngressRouteTCP"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
)
#: cert-manager's own route for the time of a challenge.
_SOLVER = "acme.cert-manager.io/http01-solver"
_HOST = re.compile(r"\bHost(?:SNI)?\(([^)]*)\)")
_PATH = re.compile(r"\bPath(?:Prefix)?\(([^)]*)\)")
_QUOTED = re.compile(r"[`\"']([^`\"']*)[`\"']")


@dataclass(frozen=True)
class Route:
    """One object serves one path of one host."""

    ref: Ref
    host: str
    path: str
    owner: str = ""

    def __str__(self) -> str:
        return f"{self.ref}" + (f" of {self.owner}" if self.owner else "")


def read_routes(kube: Kube) -> list[Route]:
    """Every route of the cluster, one LIST a kind."""
    return [route for kind in KINDS for obj in kube.find(*kind) for route in routes_of(obj)]


def routes_of(obj: Object) -> Iterator[Route]:
    """What one object claims. A rule without a host claims none: every named host comes before it."""
    if _SOLVER in (obj["metadata"].get("labels") or {}):
        return
    ref, owner, spec = Ref.of(obj), foreign_owner(obj), obj.get("spec") or {}
    for host, path in _claims(obj["kind"], spec):
        yield Route(ref, host.lower(), path or "/", owner)


def _claims(kind: str, spec: Object) -> Iterator[tuple[str, str]]:
    if kind == "Ingress":
        for rule in spec.get("rules") or []:
            for path in (rule.get("http") or {}).get("paths") or [{}]:
                if rule.get("host"):
                    yield rule["host"], path.get("path") or "/"
    elif kind == "HTTPRoute":
        matches = [match for rule in spec.get("rules") or [] for match in rule.get("matches") or [{}]]
        for host in spec.get("hostnames") or []:
            for match in matches or [{}]:
                yield host, (match.get("path") or {}).get("value") or "/"
    else:
        for route in spec.get("routes") or []:
            rule = route.get("match") or ""
            for host in _words(_HOST, rule):
                for path in _words(_PATH, rule) or ["/"]:
                    yield host, path


def _words(function: re.Pattern[str], rule: str) -> list[str]:
    return [word for arguments in function.findall(rule) for word in _QUOTED.findall(arguments) if word != "*"]


def check_free(routes: Iterable[Route], ours: Ref, hosts: Sequence[str]) -> None:
    """Every path of the hosts must be free for us.

    An object of our own namespace may take a part of a host away from us; one of another namespace may not.

    :raises NeedsOperator: naming who has it.
    """
    taken = [
        route
        for route in routes
        if route.ref != ours
        and route.host in {host.lower() for host in hosts}
        and (route.ref.namespace != ours.namespace or route.path == "/")
    ]
    if not taken:
        return
    named = list(dict.fromkeys(f"{route.host}{route.path} is served by {route}" for route in taken))
    first = taken[0].ref
    raise NeedsOperator(
        f"{ours} would claim what is taken: {'; '.join(named)}. Nothing has been exposed.",
        f"Give the application another host, or remove the other one: kubectl -n {first.namespace} delete"
        f" {first.kind.lower()} {first.name}",
        taken=[{"host": route.host, "path": route.path, "by": str(route.ref)} for route in taken],
    )
