# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Server-side apply of manifests with an exact prediction. Private to this collection.

What an apply would do is asked of the server (dry run), so defaults, admission and fields of other managers are in the
answer. Objects that belong to somebody else are recognised and left alone.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import (
    FIELD_MANAGER,
    ApiError,
    Kube,
    NotServed,
    Object,
    Ref,
    comparable,
    masked,
)
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step
from ansible_collections.railiance.stack.plugins.module_utils._ready import Ready, readiness, wait_ready

#: Parallel requests of one look. More gains nothing: the API server of a single node is the limit.
_PARALLEL = 4
#: Seconds for which a look waits for an admission webhook that is just coming up.
_WEBHOOK_PATIENCE = 60
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
#: Applied before everything else, in this order; the rest keeps the order of the manifest.
_FIRST = ("Namespace", "CustomResourceDefinition")

_S = TypeVar("_S")
_T = TypeVar("_T")


# -- manifests -------------------------------------------------------------------------------------------------
def load_manifests(paths: Iterable[str]) -> list[Object]:
    """Every object of the YAML files, ``List`` objects opened.

    :raises StackError: naming the file that is missing, no YAML, or holds something else than objects.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader takes a tenth of the time
    objects: list[Object] = []
    for path in paths:
        try:
            documents = list(yaml.load_all(Path(path).read_bytes(), Loader=loader))
        except OSError as error:
            raise StackError(f"Could not read the manifest {path}: {error.strerror}.", "Check src.") from error
        except yaml.YAMLError as error:
            raise StackError(f"The manifest {path} is no valid YAML: {error}.", "Correct the file.") from error
        objects.extend(check_objects((doc for doc in documents if doc), path))
    return objects


def check_objects(documents: Iterable[Any], where: str) -> list[Object]:
    """The documents as objects, ``List`` objects opened.

    :raises StackError: when one lacks apiVersion, kind or a name.
    """
    objects: list[Object] = []
    for number, document in enumerate(documents, 1):
        if isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and "items" in document:
            objects.extend(check_objects(document["items"] or [], where))
            continue
        name = (document.get("metadata") or {}).get("name") if isinstance(document, dict) else None
        if not name or not document.get("apiVersion") or not document.get("kind"):
            raise StackError(
                f"Document {number} of {where} is no Kubernetes object: it needs apiVersion, kind and metadata.name.",
                "Correct the manifest.",
            )
        objects.append(document)
    return objects


def in_order(objects: Sequence[Object]) -> list[Object]:
    """Namespaces and CRDs first, objects of kinds that those CRDs bring last, else the manifest's order."""
    brought = brought_kinds(objects)

    def rank(obj: Object) -> int:
        if obj["kind"] in _FIRST:
            return _FIRST.index(obj["kind"])
        return len(_FIRST) + (_group_kind(obj) in brought)

    return sorted(objects, key=rank)


def brought_kinds(objects: Iterable[Object]) -> set[tuple[str, str]]:
    """Group and kind of every CRD among the objects."""
    return {
        (obj["spec"]["group"], obj["spec"]["names"]["kind"])
        for obj in objects
        if obj["kind"] == "CustomResourceDefinition"
    }


def _group_kind(obj: Object) -> tuple[str, str]:
    return obj["apiVersion"].rpartition("/")[0], obj["kind"]


# -- owners ----------------------------------------------------------------------------------------------------
def foreign_owner(obj: Object) -> str:
    """Who else keeps this object as it is, in words; empty when nobody claims it."""
    meta = obj.get("metadata") or {}
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    release = annotations.get("meta.helm.sh/release-name")
    if release and labels.get("app.kubernetes.io/managed-by") == "Helm":
        return f"the Helm release {annotations.get('meta.helm.sh/release-namespace', '')}/{release}"
    for owner in meta.get("ownerReferences") or []:
        if owner.get("controller"):
            return f"{owner['kind']} {owner['name']}"
    for where, key, words in (
        (annotations, "argocd.argoproj.io/tracking-id", "the Argo CD application {}"),
        (labels, "argocd.argoproj.io/instance", "the Argo CD application {}"),
        (labels, "helm.toolkit.fluxcd.io/name", "the Flux HelmRelease {}"),
        (labels, "kustomize.toolkit.fluxcd.io/name", "the Flux Kustomization {}"),
        (annotations, "objectset.rio.cattle.io/owner-name", "the k3s add-on {}"),
    ):
        if where.get(key):
            return words.format(str(where[key]).split(":", 1)[0])
    return ""


def applied_by_us(obj: Object) -> bool:
    """Whether this collection applied or created the object before."""
    entries = (obj.get("metadata") or {}).get("managedFields") or []
    return any(entry.get("manager") == FIELD_MANAGER and not entry.get("subresource") for entry in entries)


def _hand_installed(obj: Object) -> bool:
    return obj["kind"] in _WORKLOADS and not applied_by_us(obj)


# -- looking ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Look:
    """One object of the manifest beside the cluster.

    :param live: as it is, ``None`` when absent.
    :param predicted: as it would be; the manifest's own object where the server cannot be asked yet.
    :param note: what a reader of the plan cannot see.
    """

    wanted: Object
    live: Object | None
    predicted: Object
    note: str = ""

    @property
    def ref(self) -> Ref:
        return Ref.of(self.wanted)


def look(kube: Kube, live: dict[Ref, Object | None], objects: Sequence[Object], retry_until: float) -> list[Look]:
    """Ask the server what applying each object would give.

    :param live: what :func:`read_live` found.
    :param retry_until: ``time.monotonic()`` until which an admission webhook may still come up.
    """
    served = _served(kube, objects)
    namespaces = {obj["metadata"].get("namespace") for obj in objects if live[Ref.of(obj)] is None} - {None}
    missing = {name for name in namespaces if kube.get(Ref("v1", "Namespace", str(name))) is None}

    def ask(obj: Object) -> Look:
        ref = Ref.of(obj)
        if (ref.api_version, ref.kind) not in served:
            return Look(obj, None, obj, "defaults are known once the cluster serves this kind")
        if ref.namespace in missing:
            return Look(obj, None, obj, "defaults are known once its namespace exists")
        predicted = _hinted(ref, lambda: with_webhook_retry(lambda: kube.apply(obj, dry_run=True), retry_until))
        before, note = live[ref], ""
        if before is not None and comparable(before) == comparable(predicted):
            # An object without content of its own (a ServiceAccount) has no fields that anybody could own.
            taken_over = applied_by_us(predicted) and not applied_by_us(before)
            note = "only who keeps these fields changes" if taken_over else ""
        return Look(obj, before, predicted, note)

    return _parallel(ask, objects)


def read_live(kube: Kube, objects: Sequence[Object]) -> dict[Ref, Object | None]:
    """Every object as it is now, ``None`` where there is none."""
    served = _served(kube, objects)
    refs = [Ref.of(obj) for obj in objects]
    known = [ref for ref in refs if (ref.api_version, ref.kind) in served]
    found: dict[Ref, Object | None] = dict(zip(known, _parallel(kube.get, known), strict=True))
    return {ref: found.get(ref) for ref in refs}


def _served(kube: Kube, objects: Sequence[Object]) -> set[tuple[str, str]]:
    """Kinds that can be asked for; looked up here because discovery may not be filled from several threads."""
    kinds = sorted({(obj["apiVersion"], obj["kind"]) for obj in objects})
    return {kind for kind in kinds if kube.serves(*kind)}


def _hinted(ref: Ref, call: Callable[[], _T]) -> _T:
    """The call, with the next step for what Kubernetes never changes in place."""
    try:
        return call()
    except ApiError as error:
        if error.status == 422 and ("immutable" in str(error) or "Forbidden: updates to" in str(error)):
            error.hint = f"Keep this field as it is, or delete {ref} yourself when losing it is fine, and run again."
        raise


def with_webhook_retry(call: Callable[[], _T], until: float) -> _T:
    """The call, repeated while its admission webhook comes up: the pod is ready before its certificate is known."""
    while True:
        try:
            return call()
        except ApiError as error:
            if "failed calling webhook" not in str(error) or time.monotonic() >= until:
                raise
        time.sleep(0.5)


def _parallel(work: Callable[[_S], _T], items: Sequence[_S]) -> list[_T]:
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return list(pool.map(work, items))


# -- planning --------------------------------------------------------------------------------------------------
@dataclass
class Manifest:
    """What one call applies.

    :param objects: as wanted, in the order they are applied.
    :param adopt: take objects over from other owners.
    :param component: objects that are applied all or not at all: see the module's option ``as_component``.
    :param timeout: for everything that is waited for together; 0 waits for nothing.
    """

    kube: Kube
    objects: list[Object]
    adopt: bool = False
    component: frozenset[Ref] = frozenset()
    timeout: float = 300

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.timeout
        self.notes: list[str] = []
        self.looks: list[Look] = []

    def plan(self) -> Plan:
        """Look at the cluster; afterwards ``notes`` says what is left alone and ``looks`` holds the rest."""
        live = read_live(self.kube, self.objects)
        left = self._left_alone(live)
        ours = [obj for obj in self.objects if Ref.of(obj) not in left]
        self.looks = look(self.kube, live, ours, min(self.deadline, time.monotonic() + _WEBHOOK_PATIENCE))
        return Plan(step for found in self.looks if (step := self._step(found)))

    def _left_alone(self, live: dict[Ref, Object | None]) -> set[Ref]:
        if self.adopt:
            return set()
        present = {ref: obj for ref, obj in live.items() if obj is not None}
        owned = {ref: owner for ref, obj in present.items() if (owner := foreign_owner(obj))}
        single = {ref: owner for ref, owner in owned.items() if ref not in self.component}
        self.notes += [f"{ref} belongs to {owner} and is left alone." for ref, owner in single.items()]
        return set(single) | self._component_left_alone(present, owned)

    def _component_left_alone(self, present: dict[Ref, Object], owned: dict[Ref, str]) -> set[Ref]:
        parts = {ref: obj for ref, obj in present.items() if ref in self.component}
        of_others = {ref: owned[ref] for ref in parts if ref in owned}
        by_hand = {ref: "whoever installed it by hand" for ref, obj in parts.items() if _hand_installed(obj)}
        for ref, owner in (of_others or by_hand).items():
            self.notes.append(f"{ref} belongs to {owner}: the component is used as it is, nothing of it is applied.")
            return set(self.component)
        return set()

    def _step(self, found: Look) -> Step | None:
        before, after = comparable(found.live), comparable(found.predicted)
        if before == after and not found.note:
            return None
        shown_before, shown_after = abridged(*masked(before, after))
        return Step(
            "update" if found.live else "create",
            str(found.ref),
            shown_before,
            shown_after,
            functools.partial(self._apply, found.wanted),
            found.note,
        )

    # -- acting --------------------------------------------------------------------------------------------
    def _apply(self, obj: Object) -> Object:
        if _group_kind(obj) in brought_kinds(self.objects):
            self._wait_for_kind(obj)
        return with_webhook_retry(lambda: self.kube.apply(obj), self.deadline)

    def _wait_for_kind(self, obj: Object) -> None:
        """Objects of a kind this call brings come after their CRD and the workloads that answer for it."""
        if not self.timeout:
            return
        for found in self.looks:
            if found.ref.kind in ("CustomResourceDefinition", *_WORKLOADS):
                self._wait(found.ref)
        if not self.kube.serves(obj["apiVersion"], obj["kind"]):
            raise NotServed(f"The cluster does not serve {obj['kind']} ({obj['apiVersion']}) although its CRD exists.")

    def wait(self, applied: bool) -> None:
        """Wait until every object of the call is ready.

        :param applied: whether something was written; otherwise what was seen at the look may already be ready.
        """
        if not self.timeout:
            return
        for found in self.looks:
            known = readiness(found.ref)
            if known is None:
                continue
            if applied or found.live is None or not known[1](found.live):
                self._wait(found.ref)

    def _wait(self, ref: Ref) -> None:
        known = readiness(ref)
        if known:
            self.wait_for(ref, *known)

    def wait_for(self, ref: Ref, what: str, ready: Ready, hint: str = "") -> Object:
        return wait_ready(self.kube, ref, what, ready, self.deadline, self.timeout, hint)


def with_namespaces(kube: Kube, objects: Sequence[Object], namespace: str) -> list[Object]:
    """The objects with ``namespace`` filled in where a namespaced one has none.

    A kind that is neither served nor brought by a CRD among the objects stays as it is written.
    """
    scopes: dict[tuple[str, str], bool] = {
        (obj["spec"]["group"], obj["spec"]["names"]["kind"]): obj["spec"].get("scope") == "Namespaced"
        for obj in objects
        if obj["kind"] == "CustomResourceDefinition"
    }

    def is_namespaced(obj: Object) -> bool:
        if _group_kind(obj) in scopes:
            return scopes[_group_kind(obj)]
        try:
            return kube.is_namespaced(obj["apiVersion"], obj["kind"])
        except NotServed:
            return False

    return [
        obj
        if obj["metadata"].get("namespace") or not is_namespaced(obj)
        else {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}
        for obj in objects
    ]


def abridged(before: Object | None, after: Object | None) -> tuple[Object | None, Object | None]:
    """Both sides of a diff with the schemas of CRDs as checksums: a megabyte that nobody reads."""
    return _abridge(before), _abridge(after)


def _abridge(obj: Object | None) -> Object | None:
    if obj is None or obj.get("kind") != "CustomResourceDefinition":
        return obj
    versions = [
        {**version, "schema": f"sha256:{_checksum(version['schema'])}"} if "schema" in version else version
        for version in obj["spec"].get("versions") or []
    ]
    return {**obj, "spec": {**obj["spec"], "versions": versions}}


def _checksum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
