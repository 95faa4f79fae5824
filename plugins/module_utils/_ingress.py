# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ingress controller serves this cluster, and where. Private to this collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Object

_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
_WEB_PORTS = (80, 443)


class NotYet(StackError):
    """The controller may still be starting: k3s brings its own a while after the node is Ready."""


@dataclass(frozen=True)
class Ingress:
    """The way in.

    :param controller: the IngressClass' controller, for example ``traefik.io/ingress-controller``.
    :param service: ``namespace/name`` of the load balancer Service.
    :param address: IP address or host name that the load balancer answers on.
    :param ports: port name to number.
    """

    ingress_class: str
    controller: str
    is_default: bool
    service: str
    address: str
    ports: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def find_ingress(classes: Sequence[Object], services: Sequence[Object], wanted: str = "") -> Ingress:
    """The ingress controller to use.

    :param wanted: name of the IngressClass; empty takes the default one, or the only one.
    :raises NotYet: when there is no class, no Service or no address.
    :raises NeedsOperator: when several could be meant.
    """
    chosen = choose_class(classes, wanted)
    name, controller = chosen["metadata"]["name"], str((chosen.get("spec") or {}).get("controller") or "")
    service = _choose_service(services, name, controller)
    return Ingress(
        ingress_class=name,
        controller=controller,
        is_default=_is_default(chosen),
        service=f"{service['metadata']['namespace']}/{service['metadata']['name']}",
        address=_address(service),
        ports={str(port.get("name") or port["port"]): int(port["port"]) for port in service["spec"]["ports"]},
    )


def _is_default(ingress_class: Object) -> bool:
    return (ingress_class["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"


def choose_class(classes: Sequence[Object], wanted: str) -> Object:
    """The IngressClass named ``wanted``; else the default one, or the only one.

    :raises NotYet: when there is none.
    :raises NeedsOperator: when several could be meant.
    """
    names = sorted(obj["metadata"]["name"] for obj in classes)
    if not classes:
        raise NotYet(
            "The cluster has no ingress controller: there is no IngressClass.",
            "Let k3s bring Traefik (no traefik in disable of /etc/rancher/k3s/config.yaml), or install a controller.",
        )
    if wanted:
        for obj in classes:
            if obj["metadata"]["name"] == wanted:
                return obj
        raise NotYet(f"There is no IngressClass {wanted}; there is {', '.join(names)}.", "Correct ingress_use_class.")
    defaults = [obj for obj in classes if _is_default(obj)]
    candidates = defaults or list(classes)
    if len(candidates) > 1:
        raise NeedsOperator(
            f"Several ingress classes could be meant: {', '.join(sorted(o['metadata']['name'] for o in candidates))}.",
            "Name the one to use in ingress_use_class.",
        )
    return candidates[0]


def _choose_service(services: Sequence[Object], name: str, controller: str) -> Object:
    """The load balancer of the controller: its Service is named or labelled after it in every known installation."""
    balancers = [obj for obj in services if (obj.get("spec") or {}).get("type") == "LoadBalancer"]
    web = [obj for obj in balancers if any(p["port"] in _WEB_PORTS for p in obj["spec"].get("ports") or [])]
    if not web:
        raise NotYet(
            f"Ingress class {name} has no Service of type LoadBalancer with port 80 or 443.",
            "Give its controller one; k3s serves such a Service on the node's own address.",
        )
    words = {name, controller.split("/")[0].split(".")[0], controller.split("/")[-1]} - {"", "ingress-controller"}

    def speaks_of_it(obj: Object) -> bool:
        meta = obj["metadata"]
        texts = [meta["name"], (meta.get("labels") or {}).get("app.kubernetes.io/name") or ""]
        return any(word in text for word in words for text in texts)

    named = [obj for obj in web if speaks_of_it(obj)]
    if len(named) == 1 or len(web) == 1:
        return (named or web)[0]
    found = ", ".join(sorted(f"{o['metadata']['namespace']}/{o['metadata']['name']}" for o in named or web))
    raise NeedsOperator(
        f"It is not clear which load balancer belongs to ingress class {name}: {found}.",
        "Remove the one that is not used, or label its Service app.kubernetes.io/name after its controller.",
    )


def _address(service: Object) -> str:
    for entry in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []:
        if entry.get("ip") or entry.get("hostname"):
            return str(entry.get("ip") or entry["hostname"])
    meta = service["metadata"]
    raise NotYet(
        f"Service {meta['namespace']}/{meta['name']} has no load balancer address.",
        f"Look at it with: kubectl describe service {meta['name']} -n {meta['namespace']}",
    )
