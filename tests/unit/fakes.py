"""In-memory stand-ins shared by the unit tests."""

from __future__ import annotations

import base64
import copy
import itertools
from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._kube import (
    FIELD_MANAGER,
    ApiError,
    Completed,
    Conflict,
    NotServed,
    Object,
    Ref,
    Timeout,
)

#: Kinds without a namespace among those the tests use.
CLUSTER_KINDS = frozenset(
    {
        "Namespace",
        "Node",
        "CustomResourceDefinition",
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterIssuer",
        "IngressClass",
        "StorageClass",
        "PersistentVolume",
        "APIService",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "ClusterImageCatalog",
    }
)


class FakeModule:
    """What a ``work`` function uses of a module: ``params``, ``check_mode``, ``warn``."""

    def __init__(self, check_mode: bool = False, **params: Any) -> None:
        self.params = params
        self.check_mode = check_mode
        self._diff = True
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


class FakeKube:
    """The methods of ``Kube`` over a dict.

    ``objects`` is the cluster, ``writes`` every write that was carried out (dry runs are in ``dry_runs``),
    ``reads`` every look. ``apply`` merges maps and replaces lists. A dry run stores nothing.

    :param objects: what exists from the start.
    :param missing_kinds: kinds that the cluster does not serve.
    """

    exists = True

    def __init__(self, *objects: Object, missing_kinds: Iterable[str] = ()) -> None:
        self._versions = itertools.count(1)
        self.objects: dict[Ref, Object] = {}
        self.missing_kinds = set(missing_kinds)
        self.writes: list[tuple[str, Ref]] = []
        self.dry_runs: list[tuple[str, Ref]] = []
        self.reads: list[str] = []
        self.commands: list[tuple[list[str], str | None]] = []
        #: Answers of ``exec``: ``handler(namespace, pod, command, stdin) -> Completed``.
        self.on_exec: Callable[[str, str, list[str], str | None], Completed] | None = None
        #: Answers of ``attach``: ``handler(namespace, pod, container) -> channel``; nobody can attach without one.
        self.on_attach: Callable[[str, str, str], Any] | None = None
        #: Called after every stored write, to play a controller: ``handler(kube, verb, ref)``.
        self.on_write: Callable[[FakeKube, str, Ref], None] | None = None
        #: Raised once by the next matching call: ``{("apply", ref): error}``; key ``(verb, None)`` matches every ref.
        self.errors: dict[tuple[str, Ref | None], Exception] = {}
        self.pod_logs: dict[tuple[str, str], str] = {}
        for obj in objects:
            self.put(obj)

    # -- for tests -------------------------------------------------------------------------------------------
    def put(self, obj: Object) -> Object:
        """Place an object as if it had been there already; not a write."""
        stored = self._stamp(copy.deepcopy(obj), None)
        self.objects[Ref.of(stored)] = stored
        return stored

    @property
    def written(self) -> list[str]:
        """The writes as ``verb Kind namespace/name``."""
        return [f"{verb} {ref}" for verb, ref in self.writes]

    # -- reading ---------------------------------------------------------------------------------------------
    def serves(self, api_version: str, kind: str) -> bool:
        return kind not in self.missing_kinds

    def is_namespaced(self, api_version: str, kind: str) -> bool:
        self._known(api_version, kind)
        return kind not in CLUSTER_KINDS

    def get(self, ref: Ref) -> Object | None:
        self.reads.append(f"get {ref}")
        self._raise("get", ref)
        return copy.deepcopy(self.objects.get(ref)) if ref.kind not in self.missing_kinds else None

    def find(
        self, api_version: str, kind: str, namespace: str | None = None, label_selector: str | None = None
    ) -> list[Object]:
        self.reads.append(f"list {kind}")
        wanted = dict(part.split("=", 1) for part in (label_selector or "").split(",") if part)
        found = []
        for ref, obj in self.objects.items():
            labels = obj["metadata"].get("labels") or {}
            if (
                (ref.api_version, ref.kind) == (api_version, kind)
                and namespace in (None, ref.namespace)
                and all(labels.get(key) == value for key, value in wanted.items())
            ):
                found.append(copy.deepcopy(obj))
        return found

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        tail: int = 200,
        *,
        since: int | None = None,
        previous: bool = False,
    ) -> str:
        self.reads.append(f"logs {namespace}/{pod}{' (previous)' if previous else ''}")
        self._raise("logs", Ref("v1", "Pod", pod, namespace))
        return self.pod_logs.get((namespace, f"{pod} before" if previous else pod), "")

    # -- writing ---------------------------------------------------------------------------------------------
    def apply(self, obj: Object, *, dry_run: bool = False, force: bool = True, manager: str = FIELD_MANAGER) -> Object:
        ref = Ref.of(obj)
        self._known(ref.api_version, ref.kind)
        self._namespace_exists(ref)
        self._raise("apply", ref)
        old = self.objects.get(ref)
        return self._keep("apply", ref, _merge(copy.deepcopy(old or {}), obj), dry_run, manager)

    def create(self, obj: Object, *, dry_run: bool = False) -> Object:
        generated = obj["metadata"].get("generateName")
        if generated and "name" not in obj["metadata"]:
            obj = {**obj, "metadata": {**obj["metadata"], "name": f"{generated}{next(self._versions)}"}}
        ref = Ref.of(obj)
        self._known(ref.api_version, ref.kind)
        self._namespace_exists(ref)
        self._raise("create", ref)
        if ref in self.objects:
            raise Conflict(f"Could not create {ref}: already exists (409).", status=409, reason="AlreadyExists")
        return self._keep("create", ref, copy.deepcopy(obj), dry_run)

    def replace(self, obj: Object, *, dry_run: bool = False) -> Object:
        ref = Ref.of(obj)
        self._raise("replace", ref)
        old = self.objects.get(ref)
        if old is None:
            raise ApiError(f"Could not replace {ref}: not found (404).", status=404, reason="NotFound")
        version = obj["metadata"].get("resourceVersion")
        if version is not None and version != old["metadata"]["resourceVersion"]:
            raise Conflict(
                f"Could not replace {ref}: the object has been modified (409).", status=409, reason="Conflict"
            )
        return self._keep("replace", ref, copy.deepcopy(obj), dry_run)

    def patch(self, ref: Ref, body: Any, content_type: str = "application/merge-patch+json") -> Object:
        if content_type == "application/json-patch+json" and all(one["op"] == "replace" for one in body):
            # Of JSON patches the fake cluster knows the replacement of top-level keys.
            body = {one["path"].strip("/"): one["value"] for one in body}
            self.objects.get(ref, {}).update(dict.fromkeys(body))
        elif content_type != "application/merge-patch+json":
            raise NotImplementedError(f"the fake cluster knows no {content_type}")
        self._raise("patch", ref)
        old = self.objects.get(ref)
        if old is None:
            raise ApiError(f"Could not patch {ref}: not found (404).", status=404, reason="NotFound")
        return self._keep("patch", ref, _merge(copy.deepcopy(old), body, nulls=True), False)

    def delete(self, ref: Ref, propagation: str = "Background") -> bool:
        self._raise("delete", ref)
        if self.objects.pop(ref, None) is None:
            return False
        self.writes.append(("delete", ref))
        if self.on_write:
            self.on_write(self, "delete", ref)
        return True

    def exec(
        self,
        namespace: str,
        pod: str,
        command: list[str],
        *,
        container: str | None = None,
        stdin: str | None = None,
        timeout: float = 120,
    ) -> Completed:
        self.commands.append((command, stdin))
        return self.on_exec(namespace, pod, command, stdin) if self.on_exec else Completed(0, "", "")

    def attach(self, namespace: str, pod: str, container: str) -> Any:
        if self.on_attach is None:
            raise ApiError(f"Could not attach to Pod {namespace}/{pod}: container not found (404).", status=404)
        return self.on_attach(namespace, pod, container)

    # -- waiting ---------------------------------------------------------------------------------------------
    def wait(
        self,
        ref: Ref,
        ready: Callable[[Object | None], bool],
        what: str,
        *,
        timeout: float = 120,
        interval: float = 0.25,
    ) -> Object | None:
        """Looks once: nothing happens by itself here."""
        obj = self.get(ref)
        if not ready(obj):
            raise Timeout(f"{ref} did not {what} within {timeout:.0f} s.")
        return obj

    # -- inside ----------------------------------------------------------------------------------------------
    def _known(self, api_version: str, kind: str) -> None:
        if kind in self.missing_kinds:
            raise NotServed(
                f"The cluster does not serve {kind} ({api_version}).",
                "Install the component that brings this kind first.",
                status=404,
                reason="NotServed",
            )

    def _namespace_exists(self, ref: Ref) -> None:
        if ref.namespace and Ref("v1", "Namespace", ref.namespace) not in self.objects:
            raise ApiError(
                f'Could not write {ref}: namespaces "{ref.namespace}" not found (404).', status=404, reason="NotFound"
            )

    def _raise(self, verb: str, ref: Ref) -> None:
        for key in ((verb, ref), (verb, None)):
            if key in self.errors:
                raise self.errors.pop(key)

    def _keep(self, verb: str, ref: Ref, obj: Object, dry_run: bool, manager: str = FIELD_MANAGER) -> Object:
        old = self.objects.get(ref)
        new = self._stamp(obj, old, manager)
        if dry_run:
            self.dry_runs.append((verb, ref))
            return new
        self.objects[ref] = new
        self.writes.append((verb, ref))
        if self.on_write:
            self.on_write(self, verb, ref)
        return copy.deepcopy(self.objects.get(ref, new))

    def _stamp(self, obj: Object, old: Object | None, manager: str = "") -> Object:
        """What the server adds: uid, resourceVersion, generation, and ``data`` out of ``stringData``."""
        for key, value in (obj.pop("stringData", None) or {}).items():
            obj.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()
        meta = obj["metadata"]
        if manager:
            entries = [e for e in meta.get("managedFields") or [] if e.get("manager") != manager]
            meta["managedFields"] = [*entries, {"manager": manager, "operation": "Apply"}]
        before = (old or {}).get("metadata") or {}
        meta["uid"] = before.get("uid") or meta.get("uid") or f"uid-{next(self._versions)}"
        same = old is not None and _content(old) == _content(obj)
        meta["resourceVersion"] = before["resourceVersion"] if same else str(next(self._versions))
        if "spec" in obj:
            changed = old is not None and old.get("spec") != obj.get("spec")
            meta["generation"] = before.get("generation", meta.get("generation", 1)) + (1 if changed else 0)
        return obj


def _content(obj: Object) -> Object:
    meta = {key: value for key, value in obj["metadata"].items() if key not in ("resourceVersion", "generation")}
    return {**obj, "metadata": meta}


def _merge(old: Any, new: Any, nulls: bool = False) -> Any:
    """Maps are merged, everything else is replaced; with ``nulls`` a null removes a key."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return copy.deepcopy(new)
    for key, value in new.items():
        if nulls and value is None:
            old.pop(key, None)
        else:
            old[key] = _merge(old.get(key), value, nulls)
    return old
