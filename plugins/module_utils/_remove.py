# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes when an application goes, and in which order. Private to this collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import (
    INSTANCE,
    Kube,
    Object,
    Ref,
    comparable,
    masked,
)
from ansible_collections.railiance.stack.plugins.module_utils._plan import Step
from ansible_collections.railiance.stack.plugins.module_utils._release import Look, Wanted

#: What the playbook superuser puts there for the moment of its run; a run that was killed leaves it.
_SUPERUSER = "superuser"

#: Goes first: nobody is sent to an application that is being taken apart.
_OUTSIDE = ("Ingress",)
#: Goes with the application, data or not.
_SERVING = ("Certificate", "NetworkPolicy")
#: Kept unless told otherwise: the same entry finds it again.
_DATA = ("ConfigMap", "Secret", "PersistentVolumeClaim")


def check_known(look: Look, app: str, entries: Sequence[str]) -> None:
    """:param entries: names of the applications that have an entry.

    :raises StackError: for an application that has none, and nothing in the cluster.
    """
    if app in entries or look.holds(app):
        return
    orphans = [name for name in look.released() if name not in entries]
    raise StackError(
        f"There is no application {app}: stack_apps has no such entry, and the cluster holds nothing of it.",
        f"stack_apps has: {', '.join(sorted(entries)) or 'none'}."
        f" Released without an entry: {', '.join(orphans) or 'none'}.",
    )


def deletions(
    kube: Kube, wanted: Wanted, found: Sequence[Object], drop_data: bool, timeout: float
) -> tuple[list[Step], list[Step]]:
    """What goes before the Helm release, and what goes after it.

    :param timeout: seconds for what is in a namespace to go with it.
    """
    left = kube.get(Ref("v1", "Secret", f"{wanted.name}-{_SUPERUSER}", wanted.namespace)) if drop_data else None
    found = [*found, *([left] if left else [])]
    kinds = (*_SERVING, *(_DATA if drop_data else ()))
    outside = [obj for kind in _OUTSIDE for obj in found if obj["kind"] == kind]
    inside = [obj for kind in kinds for obj in found if obj["kind"] == kind]
    namespace = [obj for obj in found if obj["kind"] == "Namespace" and drop_data and _its_own(kube, wanted, obj)]
    after = [deletion(kube, obj) for obj in inside]
    # Nothing can be created in a namespace that is about to go: the next release must not meet it.
    after += [deletion(kube, obj, wait=timeout) for obj in namespace]
    return [deletion(kube, obj) for obj in outside], after


def _its_own(kube: Kube, wanted: Wanted, namespace: Object) -> bool:
    """Whether the namespace was made for this application and runs nothing of anybody else."""
    if (namespace["metadata"].get("labels") or {}).get(INSTANCE) != wanted.name:
        return False
    others = [
        obj
        for api_version, kind in (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"))
        for obj in kube.find(api_version, kind, wanted.namespace)
        if (obj["metadata"].get("labels") or {}).get(INSTANCE) != wanted.name
    ]
    return not others


def databases_of(objects: Sequence[Object]) -> list[dict[str, Any]]:
    return [
        {
            "cluster": obj["spec"]["cluster"]["name"],
            "namespace": obj["metadata"]["namespace"],
            "name": obj["spec"]["name"],
            "owner": obj["spec"]["owner"],
        }
        for obj in objects
        if obj["kind"] == "Database"
    ]


def deletion(kube: Kube, obj: Object, wait: float = 0) -> Step:
    """The step that deletes one object; values of a Secret are not shown.

    :param wait: seconds until it must be gone; 0 does not wait.
    """
    ref = Ref.of(obj)

    def do() -> None:
        kube.delete(ref)
        if wait:
            kube.wait(ref, lambda live: live is None, "go", timeout=wait)

    return Step("delete", str(ref), masked(comparable(obj), None)[0], do=do)
