# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was released, and whether it is still so. Private to this collection.

A converged run leaves two short texts on the Helm release: one stands for the settings it was made with, one for every
object as it was left. One look at the cluster, for all applications together, shows what both are now. Nothing is kept
anywhere else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._apply import with_namespaces
from ansible_collections.railiance.stack.plugins.module_utils._cnpg import inline_role
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._helm import RECORD, Release, is_release, newest_first
from ansible_collections.railiance.stack.plugins.module_utils._ingress import choose_class
from ansible_collections.railiance.stack.plugins.module_utils._kube import INSTANCE, Kube, Object, Ref, comparable
from ansible_collections.railiance.stack.plugins.module_utils._ready import has_condition, readiness
from ansible_collections.railiance.stack.plugins.module_utils._secret import content_version

PART_OF = "app.kubernetes.io/part-of"
STACK = "railiance-stack"
#: On the Helm release: the version, the settings it was made with, and every object as the run left it.
VERSION_LABEL = "railiance.io/version"
SETTINGS_LABEL = "railiance.io/settings"
STATE_LABEL = "railiance.io/state"
#: What Helm takes for "without this label"; a first revision keeps it as it is.
UNSET = "null"
#: Stored without waiting for its pods, and nobody has seen yet that they serve: what was there before may still do.
ROLLING_OUT = "rolling-out"

#: What an application may consist of; a kind that the cluster does not serve is an empty list.
KINDS: tuple[tuple[str, str], ...] = (
    ("v1", "Namespace"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("v1", "ConfigMap"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("cert-manager.io/v1", "Certificate"),
    ("postgresql.cnpg.io/v1", "Database"),
    ("postgresql.cnpg.io/v1", "DatabaseRole"),
)

#: Of these, what holds data, and what mounts volumes.
_DATA = ("Database", "PersistentVolumeClaim")
_WORKLOADS = ("Deployment", "StatefulSet", "CronJob")

#: An application in the options of a module; no_log=False: it names a Secret.
APP_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str"},
    "settings": {"type": "str"},
    "version": {"type": "str"},
    "database": {"type": "dict"},
    "pull_secret": {"type": "dict", "no_log": False},
    "ingress_class": {"type": "str"},
}


@dataclass(frozen=True)
class Wanted:
    """One application as its entry describes it.

    :param settings: stands for the entry without its version, for the role's settings and for the role itself.
    :param version: the commit, or the reference of a prebuilt image.
    :param cluster: namespace and name of its database cluster.
    :param owner: its role in that cluster.
    :param database: its database there; empty when only the cluster is known.
    :param pull_secret: namespace and name of the Secret whose copy pulls its image.
    :param ingress_class: the class asked for, empty for the cluster's own; ``None`` for what is not exposed.
    """

    name: str
    namespace: str
    settings: str = ""
    version: str = ""
    cluster: tuple[str, str] | None = None
    owner: str = ""
    database: str = ""
    pull_secret: tuple[str, str] | None = None
    ingress_class: str | None = None

    @classmethod
    def of(cls, params: dict[str, Any]) -> Wanted:
        database, pull = params.get("database") or {}, params.get("pull_secret") or {}
        return cls(
            name=params["name"],
            namespace=params.get("namespace") or params["name"],
            settings=params.get("settings") or "",
            version=params.get("version") or "",
            cluster=(database["namespace"], database["cluster"]) if database else None,
            owner=(database or {}).get("owner") or params["name"].replace("-", "_"),
            database=(database or {}).get("name") or "",
            pull_secret=(pull["namespace"], pull["name"]) if pull else None,
            ingress_class=params.get("ingress_class"),
        )


@dataclass(frozen=True)
class Verdict:
    """What the look says about one application.

    :param reason: why its release must run; empty when every object is as the last run left it.
    :param same_settings: whether only the version differs.
    """

    reason: str = ""
    same_settings: bool = False

    @property
    def converged(self) -> bool:
        return not self.reason


class Look:
    """The objects of all applications, read once; of one of them where only that one is asked for."""

    def __init__(self, kube: Kube, only: Wanted | None = None) -> None:
        self.kube = kube
        self._objects: dict[str, list[Object]] = {}
        self._releases: dict[tuple[str, str], list[Object]] = {}
        self._namespaces: dict[tuple[str, str], Object] = {}
        self._others: dict[Ref, Object | None] = {}
        self._classes: list[Object] | None = None
        selector = f"{PART_OF}={STACK}" + (f",{INSTANCE}={only.name}" if only else "")
        for api_version, kind in KINDS:
            for obj in kube.find(api_version, kind, label_selector=selector):
                self._sort_in(obj)

    def _sort_in(self, obj: Object) -> None:
        meta = obj["metadata"]
        app = (meta.get("labels") or {}).get(INSTANCE, "")
        if obj["kind"] == "Namespace":
            self._namespaces[(meta["name"], app)] = obj
        elif obj["kind"] == "Secret" and obj.get("type") == "helm.sh/release.v1":
            self._releases.setdefault((meta["namespace"], app), []).append(obj)
        else:
            self._objects.setdefault(app, []).append(obj)

    def _other(self, ref: Ref) -> Object | None:
        if ref not in self._others:
            self._others[ref] = self.kube.get(ref)
        return self._others[ref]

    # -- one application -----------------------------------------------------------------------------------------
    def releases(self, namespace: str, app: str) -> list[Release]:
        """Every stored revision, newest first."""
        return newest_first(self._releases.get((namespace, app), []))

    def newest(self, namespace: str, app: str) -> Release | None:
        stored = self._releases.get((namespace, app), [])
        last = max(stored, key=lambda obj: int(obj["metadata"]["labels"]["version"]), default=None)
        return newest_first([last])[0] if last is not None and is_release(last) else None

    def objects(self, wanted: Wanted) -> list[Object]:
        """What belongs to it now, its namespace included."""
        namespace = self._namespaces.get((wanted.namespace, wanted.name))
        places = {wanted.namespace, *([wanted.cluster[0]] if wanted.cluster else [])}
        found = [obj for obj in self._objects.get(wanted.name, []) if obj["metadata"].get("namespace") in places]
        return [*([namespace] if namespace else []), *found]

    def everything(self, app: str) -> list[Object]:
        """What carries its name, wherever it is."""
        return list(self._objects.get(app, []))

    def state(self, wanted: Wanted) -> str:
        """Stands for every object, and for what else the last run relied on."""
        around: dict[str, Any] = {}
        if wanted.cluster:
            cluster = self._other(Ref("postgresql.cnpg.io/v1", "Cluster", wanted.cluster[1], wanted.cluster[0]))
            # A restore makes another cluster, a failover another timeline: what was proven does not hold there.
            around["cluster"] = [
                ((cluster or {}).get("metadata") or {}).get("uid"),
                ((cluster or {}).get("status") or {}).get("timelineID"),
                inline_role(cluster, wanted.owner),
            ]
        if wanted.pull_secret:
            around["pull"] = content_version(
                self._other(Ref("v1", "Secret", wanted.pull_secret[1], wanted.pull_secret[0]))
            )
        return digest([around, sorted((_seen(obj) for obj in self.objects(wanted)), key=_place)])

    def verdict(self, wanted: Wanted) -> Verdict:
        release = self.newest(wanted.namespace, wanted.name)
        if release is None:
            return Verdict("it was never released")
        if release.status != "deployed":
            return Verdict(f"its last release is {release.status}")
        if reason := self._differs(wanted, release):
            return Verdict(reason)
        released = release.labels.get(VERSION_LABEL, "")
        if version_label(wanted.version) != released:
            return Verdict(f"{released[:12] or 'another version'} is released", same_settings=True)
        return Verdict()

    def _differs(self, wanted: Wanted, release: Release) -> str:
        if release.labels.get(SETTINGS_LABEL) != wanted.settings:
            return "its settings, or the role, changed"
        if release.labels.get(STATE_LABEL) != self.state(wanted):
            return "an object is not as the last run left it"
        for obj in self.objects(wanted):
            if trouble := unready(obj) or self._led_elsewhere(wanted, obj):
                return trouble
        return ""

    def _led_elsewhere(self, wanted: Wanted, obj: Object) -> str:
        """Why an Ingress is not served by the controller that it should be; empty when it is."""
        if obj["kind"] != "Ingress" or wanted.ingress_class is None:
            return ""
        if self._classes is None:
            self._classes = self.kube.find("networking.k8s.io/v1", "IngressClass")
        try:
            chosen = choose_class(self._classes, wanted.ingress_class)["metadata"]["name"]
        except StackError as error:
            return str(error)
        return "" if obj["spec"].get("ingressClassName") == chosen else f"{Ref.of(obj)} is not of class {chosen}"

    def namespace_of(self, app: str) -> str:
        """Where an application without an entry was released, or left its configuration; its name when it never was."""
        released = [place for place, name in sorted(self._releases) if name == app]
        left = [obj["metadata"]["namespace"] for obj in self.everything(app) if obj["kind"] == "ConfigMap"]
        return next(iter([*released, *left]), app)

    def released(self) -> list[str]:
        """Names of the applications that have a release."""
        return sorted({app for _place, app in self._releases})

    def holds(self, app: str) -> bool:
        """Whether anything in the cluster carries its name, be it what a removal left."""
        namespaces = [(obj["metadata"].get("labels") or {}).get(INSTANCE) for obj in self._namespaces.values()]
        return bool(self.everything(app)) or app in self.released() or app in namespaces

    # -- all of them ---------------------------------------------------------------------------------------------
    def orphans(self, names: Iterable[str]) -> list[dict[str, str]]:
        """Releases of applications that no entry names."""
        known = set(names)
        return [{"name": app, "namespace": place} for place, app in sorted(self._releases) if app not in known]

    def kept(self, apps: Sequence[Wanted]) -> list[dict[str, str]]:
        """Databases and volumes that nothing asks for: of removed applications, or of former entries.

        :param apps: every application with an entry.
        :returns: ``kind``, ``name``, ``namespace``, ``app`` and ``why``.
        """
        entries = {app.name: app for app in apps}
        return [
            {"kind": ref.kind, "name": ref.name, "namespace": str(ref.namespace), "app": app, "why": why}
            for app, objects in sorted(self._objects.items())
            for obj in objects
            if obj["kind"] in _DATA and (why := self._unwanted(obj, app, entries.get(app)))
            for ref in [Ref.of(obj)]
        ]

    def _unwanted(self, obj: Object, app: str, wanted: Wanted | None) -> str:
        """Why an object that holds data is no longer needed; empty when it is."""
        workloads = [one for one in self._objects.get(app, []) if one["kind"] in _WORKLOADS]
        if not any(name == app for dummy, name in self._releases):
            # With an entry the next release finds it again; what serves without a release is another part of the stack.
            return "" if wanted or workloads else "it was kept when the application was removed"
        if obj["kind"] == "Database":
            spec = obj["spec"]
            place = (obj["metadata"]["namespace"], spec["cluster"]["name"])
            named = wanted is None or (wanted.cluster == place and wanted.database in ("", spec["name"]))
            return "" if named else "its entry names another database, or none"
        mounted = any(obj["metadata"]["name"] in _claims(one) for one in workloads)
        return "" if mounted or not workloads else "none of its pods mounts it"


def drifted(kube: Kube, release: Release) -> list[str]:
    """Objects of the release that differ from it now: asked of the server."""
    found = []
    for obj in with_namespaces(kube, release.manifest, release.namespace):
        live = kube.get(Ref.of(obj))
        if live is None or comparable(live) != comparable(kube.apply(obj, dry_run=True)):
            found.append(f"{Ref.of(obj)} differs from the release")
    return found


def _claims(workload: Object) -> set[str]:
    """The volumes that the pods of a workload mount."""
    spec = workload.get("spec") or {}
    template = ((spec.get("jobTemplate") or {}).get("spec") or spec).get("template") or {}
    volumes = (template.get("spec") or {}).get("volumes") or []
    found = [(volume.get("persistentVolumeClaim") or {}).get("claimName") for volume in volumes]
    return {name for name in found if name}


# -- the record ------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Record:
    """What one revision released, as its values tell.

    :param schema: the last migration of each Django application that was applied then, name to migration.
    :param restore_point: the dump taken before its migrations; empty when there were none.
    """

    commit: str = ""
    image: str = ""
    schema: dict[str, str] = field(default_factory=dict)
    restore_point: dict[str, Any] = field(default_factory=dict)


def record_of(release: Release) -> Record:
    kept = release.values.get(RECORD) or {}
    return Record(
        commit=str(kept.get("commit") or ""),
        image=str(release.values.get("image") or ""),
        schema=dict(kept.get("schema") or {}),
        restore_point=dict(kept.get("restore_point") or {}),
    )


def summary(release: Release) -> dict[str, Any]:
    """One revision for a reader."""
    record = record_of(release)
    return {
        "revision": release.revision,
        "status": release.status,
        "at": release.changed_at,
        "description": release.description,
        "commit": record.commit,
        "image": record.image,
        "complete": is_complete(release),
    }


def is_complete(release: Release) -> bool:
    """Whether its last step has said so."""
    return release.labels.get(STATE_LABEL, UNSET) not in (UNSET, ROLLING_OUT)


def history(releases: Sequence[Release]) -> list[dict[str, Any]]:
    """The revisions for a reader and for a rollback, newest first."""
    found = []
    for number, release in enumerate(releases, start=1):
        before = releases[number] if number < len(releases) else None
        record, earlier = record_of(release), record_of(before).schema if before else {}
        found.append(
            {
                **summary(release),
                "schema": record.schema,
                "migrations": sorted(
                    f"{app}.{last}" for app, last in record.schema.items() if before and earlier.get(app) != last
                ),
                "restore_point": record.restore_point,
            }
        )
    return found


# -- pure helpers ----------------------------------------------------------------------------------------------
def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def unready(obj: Object) -> str:
    """Why an object is not what the last run left although its text is the same; empty when it is."""
    ref = Ref.of(obj)
    if known := readiness(ref):
        return "" if known[1](obj) else f"{ref} is not ready"
    if ref.kind == "Certificate":
        return "" if has_condition(obj, "Ready") else f"{ref} is not ready"
    if ref.kind in ("Database", "DatabaseRole"):
        return "" if (obj.get("status") or {}).get("applied") else f"{ref} is not applied"
    return ""


def _seen(obj: Object) -> Object:
    """The object as it counts; the values of a Secret as a text that tells only whether they changed."""
    seen = comparable(obj) or {}
    if obj["kind"] == "Secret":
        return {**seen, "data": content_version(obj)}
    return seen


def _place(obj: Object) -> str:
    return f"{obj['apiVersion']} {Ref.of(obj)}"


def version_label(version: str) -> str:
    """The version as a label may hold it: of an image its digest, cut to what fits."""
    return str(version.rpartition("@sha256:")[2][:63])


def labels_of(wanted: Wanted, state: str) -> dict[str, str]:
    """What a complete release carries."""
    return {
        INSTANCE: wanted.name,
        PART_OF: STACK,
        VERSION_LABEL: version_label(wanted.version),
        SETTINGS_LABEL: wanted.settings,
        STATE_LABEL: state,
    }
