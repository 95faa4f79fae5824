# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helm releases that change only when something differs. Private to this collection.

Helm itself says neither what an upgrade would change nor whether the cluster has drifted from a release. Here the
chart is rendered with the given values, compared with the stored release, and every object is asked of the server.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._apply import abridged, check_objects, with_namespaces
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import (
    Completed,
    Kube,
    Object,
    Ref,
    Timeout,
    comparable,
    masked,
)
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step
from ansible_collections.railiance.stack.plugins.module_utils._ready import readiness, stuck_pods, wait_ready

#: A label on the release that names the run at work on it; the same text is on Helm's command line while it lives.
RUN_LABEL = "railiance.io/run"
#: In the values of a release: what it is, for whoever reads it back.
RECORD = "release"
_HISTORY = 10
#: Seconds Helm may take beyond its own timeout before it counts as hung.
_GRACE = 60
#: Kinds whose spec can be replaced as a whole.
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "CronJob")

#: ``runner(command, stdin, timeout) -> Completed``; raises StackError when the program cannot be run.
Runner = Callable[[list[str], str, float], Completed]


def subprocess_runner(environment: dict[str, str]) -> Runner:
    """Runs commands on this host with ``environment`` added to its own."""

    def run(command: list[str], stdin: str, timeout: float) -> Completed:
        try:
            done = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
                env={**os.environ, **environment},
            )
        except OSError as error:
            raise StackError(
                f"Helm could not be started as {command[0]}: {error.strerror}.",
                "Run the playbook s2_cluster, which installs it, or set binary_path.",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise Timeout(f"Helm did not end within {timeout:.0f} s.", "Run again.", cmd=command) from error
        return Completed(done.returncode, done.stdout, done.stderr)

    return run


# -- what is there ---------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Release:
    """One stored revision.

    :param text: the manifest as rendered then.
    :param values: what it was rendered with, beside the chart's own values.
    :param run: value of the run label, empty for a release that this collection did not make.
    """

    name: str
    namespace: str
    revision: int
    status: str
    text: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    changed_at: str = ""
    run: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def manifest(self) -> list[Object]:
        return parse_manifest(self.text, f"the stored release {self.name}")

    @property
    def pending(self) -> bool:
        return self.status.startswith("pending-") or self.status == "uninstalling"

    @property
    def secret(self) -> Ref:
        return Ref("v1", "Secret", f"sh.helm.release.v1.{self.name}.v{self.revision}", self.namespace)


def read_releases(kube: Kube, namespace: str, name: str) -> list[Release]:
    """Every stored revision, newest first."""
    stored = kube.find("v1", "Secret", namespace, f"owner=helm,name={name}")
    return newest_first(stored)


def newest_first(stored: Sequence[Object]) -> list[Release]:
    """The revisions among the Secrets of one release."""
    found = [read_release(obj) for obj in stored if is_release(obj)]
    return sorted(found, key=lambda release: release.revision, reverse=True)


def is_release(secret: Object) -> bool:
    return bool(secret.get("type", "helm.sh/release.v1") == "helm.sh/release.v1")


def read_release(obj: Object) -> Release:
    record = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(obj["data"]["release"]))))
    info, labels = record.get("info") or {}, obj["metadata"].get("labels") or {}
    return Release(
        name=record["name"],
        namespace=record.get("namespace") or obj["metadata"]["namespace"],
        revision=int(record["version"]),
        status=str(info.get("status") or labels.get("status") or "unknown"),
        text=record.get("manifest") or "",
        values=record.get("config") or {},
        description=str(info.get("description") or ""),
        changed_at=str(info.get("last_deployed") or ""),
        run=labels.get(RUN_LABEL, ""),
        labels=labels,
    )


def parse_manifest(text: str, where: str) -> list[Object]:
    """Rendered YAML as objects."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        documents = [doc for doc in yaml.load_all(text, Loader=loader) if doc]
    except yaml.YAMLError as error:
        raise StackError(f"{where} renders to something that is no YAML: {error}.", "Correct the chart.") from error
    return check_objects(documents, where)


# -- interrupted runs ------------------------------------------------------------------------------------------
def this_host(machine_id: str = "/etc/machine-id") -> str:
    """A short name of this host that says nothing about it."""
    try:
        identity = Path(machine_id).read_bytes()
    except OSError:
        identity = os.uname().nodename.encode()
    return hashlib.sha256(identity).hexdigest()[:12]


def new_run() -> str:
    return f"{this_host()}.{secrets.token_hex(8)}"


def run_is_alive(run: str, proc: str = "/proc") -> bool:
    """Whether a process on this host has this run on its command line."""
    needle = f"{RUN_LABEL}={run}".encode()
    for entry in Path(proc).glob("[0-9]*/cmdline"):
        try:
            if needle in entry.read_bytes():
                return True
        except OSError:
            continue  # it ended meanwhile
    return False


def left_behind(release: Release, alive: Callable[[str], bool]) -> bool:
    """Whether a pending release belongs to a run that was cut off.

    :raises StackError: when that run is still at work.
    :raises NeedsOperator: when nobody here can know.
    """
    where = f"Helm release {release.namespace}/{release.name}"
    if release.run.split(".")[0] != this_host():
        raise NeedsOperator(
            f"{where} is {release.status} since {release.changed_at}: another Helm is at work on it or was cut off.",
            "When none is running any more, delete the record and run again:"
            f" kubectl delete secret {release.secret.name} -n {release.namespace}",
        )
    if alive(release.run):
        raise StackError(
            f"{where} is {release.status}: another run on this node is at work on it.", "Run again when it is done."
        )
    return True


def check_newest(target: str, releases: Sequence[Release], allowed: Sequence[int]) -> None:
    """Stop a run that another one has overtaken.

    :param releases: newest first.
    :param allowed: revisions of which one must be the newest, 0 for no release at all.
    :raises StackError: when none of them is, with ``overtaken``.
    """
    newest = releases[0].revision if releases else 0
    if newest in allowed:
        return
    found = f"is at revision {newest} ({releases[0].description})" if releases else "is gone"
    known = f"revision {max(allowed)}" if any(allowed) else "no release"
    raise StackError(
        f"{target} {found}; this run knows {known}. Another run has changed it meanwhile, so this one leaves it"
        " as it is.",
        "When no other run is at work, run the one again whose version is to serve.",
        overtaken=True,
    )


# -- one release -----------------------------------------------------------------------------------------------
@dataclass
class Chart:
    """What is to be released.

    :param path: chart on this host.
    :param options: further options of every call of Helm, such as ``--kube-context``.
    """

    name: str
    namespace: str
    path: str
    values: dict[str, Any]
    binary: str = "/usr/local/bin/helm"
    options: list[str] = field(default_factory=list)
    create_namespace: bool = False
    take_ownership: bool = False
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    wait: bool = True
    timeout: int = 300

    @property
    def target(self) -> str:
        return f"Helm release {self.namespace}/{self.name}"

    def template_command(self, is_upgrade: bool) -> list[str]:
        return [
            *(self.binary, "template", self.name, self.path, "--namespace", self.namespace, *self.options),
            *("--values", "-", "--no-hooks", "--validate"),
            *(["--is-upgrade"] if is_upgrade else []),
        ]

    def upgrade_command(self, run: str) -> list[str]:
        labels = ",".join(f"{key}={value}" for key, value in {**self.labels, RUN_LABEL: run}.items())
        return [
            *(self.binary, "upgrade", self.name, self.path, "--install", "--namespace", self.namespace, *self.options),
            *("--values", "-", "--no-hooks", "--history-max", str(_HISTORY), "--timeout", f"{self.timeout}s"),
            *("--labels", labels),
            *(["--description", self.description] if self.description else []),
            *(["--wait"] if self.wait else []),
            *(["--create-namespace"] if self.create_namespace else []),
            *(["--take-ownership"] if self.take_ownership else []),
        ]

    def uninstall_command(self) -> list[str]:
        return [
            *(self.binary, "uninstall", self.name, "--namespace", self.namespace, *self.options),
            *("--no-hooks", "--ignore-not-found", "--timeout", f"{self.timeout}s"),
            # Until the pods are gone, too: what they hold open, such as a database, cannot be removed before.
            *(["--wait", "--cascade", "foreground"] if self.wait else []),
        ]


@dataclass
class Helm:
    """Plans and carries out one release.

    :param runner: starts Helm.
    :param alive: whether a run is still at work on this host.
    """

    kube: Kube
    runner: Runner
    alive: Callable[[str], bool] = run_is_alive

    def __post_init__(self) -> None:
        self.rendered: list[Object] = []
        #: Revision and status once the plan is carried out.
        self.expected: tuple[int, str] = (0, "absent")
        #: The revision that this run has stored, 0 while there is none; another run may have come in between.
        self.made = 0

    def render(self, chart: Chart, is_upgrade: bool) -> list[Object]:
        """The chart with its values, as objects with their namespaces filled in; none before there is a cluster.

        Helm asks the cluster what it can do, and is itself not there before k3s is.
        """
        if not self.kube.exists:
            return []
        done = self._run(chart.template_command(is_upgrade), chart, f"render the chart {chart.path}")
        return with_namespaces(self.kube, parse_manifest(done.stdout, f"The chart {chart.path}"), chart.namespace)

    def plan(
        self,
        chart: Chart,
        inspect: Callable[[list[Object]], object] | None = None,
        only_after: Sequence[int] = (),
    ) -> Plan:
        """What an upgrade would do; the step that runs Helm comes first, what it does to each object after it.

        :param inspect: gets the rendered objects before the cluster is asked about them.
        :param only_after: revisions of which one must be the newest; any when empty.
        """
        releases = read_releases(self.kube, chart.namespace, chart.name)
        newest = releases[0] if releases else None
        unfinished = list(takewhile(lambda release: release.status != "deployed", releases))
        if only_after:
            check_newest(chart.target, releases, only_after)
        plan = Plan()
        if newest and newest.pending and left_behind(newest, self.alive):
            plan.add(self._forget(newest))
            releases = releases[1:]
        current = releases[0] if releases else None
        rendered = self.rendered = self.render(chart, is_upgrade=current is not None)
        if inspect:
            inspect(rendered)
        stored = with_namespaces(self.kube, current.manifest, chart.namespace) if current else []
        for step in self._leftovers(unfinished, rendered, chart.namespace):
            plan.add(step)
        changes = [*self._changes(stored, rendered), *self._removals(stored, rendered)]
        if plan.changed or changes or current is None or current.status != "deployed":
            plan.add(self._upgrade(chart, current))
        for step in changes:
            plan.add(step)
        revision = current.revision if current else 0
        self.expected = (revision + 1 if plan.changed else revision, "deployed")
        return plan

    def plan_removal(self, chart: Chart) -> Plan:
        releases = read_releases(self.kube, chart.namespace, chart.name)
        if not releases:
            return Plan()

        def uninstall() -> Completed:
            return self._run(chart.uninstall_command(), chart, f"uninstall the release {chart.namespace}/{chart.name}")

        objects = [str(Ref.of(obj)) for obj in with_namespaces(self.kube, releases[0].manifest, chart.namespace)]
        return Plan(
            [Step("delete", chart.target, {"revision": releases[0].revision, "objects": objects}, do=uninstall)]
        )

    def wait(self, chart: Chart) -> None:
        """Wait for the workloads of a release that was planned and needed no upgrade.

        :raises Timeout: naming what their pods are stuck at.
        """
        deadline = time.monotonic() + chart.timeout
        for ref in (Ref.of(obj) for obj in self.rendered):
            if known := readiness(ref):
                wait_ready(self.kube, ref, *known, deadline, chart.timeout)

    # -- steps ---------------------------------------------------------------------------------------------
    def _forget(self, release: Release) -> Step:
        def delete() -> bool:
            return self.kube.delete(release.secret)

        return Step(
            "delete",
            str(release.secret),
            {"status": release.status},
            do=delete,
            note="left behind by a run that was cut off",
        )

    def _upgrade(self, chart: Chart, current: Release | None) -> Step:
        def upgrade() -> Completed:
            run = new_run()
            try:
                return self._run(
                    chart.upgrade_command(run),
                    chart,
                    f"upgrade the release {chart.namespace}/{chart.name}",
                    chart.timeout + _GRACE,
                )
            finally:
                self.made = self._made_by(run, chart)

        before = {"revision": current.revision, "status": current.status} if current else None
        after = {"revision": current.revision + 1 if current else 1, "status": "deployed"}
        return Step("update" if current else "create", chart.target, before, after, upgrade)

    def _made_by(self, run: str, chart: Chart) -> int:
        selector = f"owner=helm,name={chart.name},{RUN_LABEL}={run}"
        stored = self.kube.find("v1", "Secret", chart.namespace, selector)
        return max((int(obj["metadata"]["labels"]["version"]) for obj in stored), default=0)

    def _leftovers(self, unfinished: Sequence[Release], rendered: Sequence[Object], namespace: str) -> list[Step]:
        """Workloads that may hold what a release that did not succeed added to them.

        Helm compares with the last revision that did succeed, so it would leave a variable or a command of the failed
        one where it is: in the version that is put back, and in every one after it.
        """
        tried: dict[Ref, list[Any]] = {}
        for release in unfinished:
            for obj in with_namespaces(self.kube, release.manifest, namespace):
                tried.setdefault(Ref.of(obj), []).append(obj.get("spec"))
        steps = []
        for obj in rendered:
            ref, spec = Ref.of(obj), obj.get("spec")
            live = self.kube.get(ref) if obj["kind"] in _WORKLOADS else None
            if live is not None and any(other != spec for other in tried.get(ref, [])):
                before = comparable(live) or {}
                shown = abridged(*masked(before, {**before, "spec": spec}))
                do = functools.partial(self._replace_spec, ref, spec)
                steps.append(Step("update", str(ref), *shown, do, "without what an unfinished release left in it"))
        return steps

    def _replace_spec(self, ref: Ref, spec: Any) -> Object:
        patch = [{"op": "replace", "path": "/spec", "value": spec}]
        return self.kube.patch(ref, patch, "application/json-patch+json")

    def _changes(self, stored: Sequence[Object], rendered: Sequence[Object]) -> list[Step]:
        """What the upgrade does to each rendered object: declared changes first, then drift."""
        old = {Ref.of(obj): obj for obj in stored}
        steps = []
        for obj in rendered:
            ref = Ref.of(obj)
            live = self.kube.get(ref)
            if live is None:
                steps.append(_shown("create", ref, None, obj))
            elif ref in old and old[ref] != obj:
                steps.append(_shown("update", ref, old[ref], obj))
            else:
                before, after = comparable(live), comparable(self.kube.apply(obj, dry_run=True))
                if before != after:
                    steps.append(_shown("update", ref, before, after, "differs from the release" if ref in old else ""))
        return steps

    def _removals(self, stored: Sequence[Object], rendered: Sequence[Object]) -> list[Step]:
        kept = {Ref.of(obj) for obj in rendered}
        return [_shown("delete", Ref.of(obj), obj, None) for obj in stored if Ref.of(obj) not in kept]

    def _run(self, command: list[str], chart: Chart, what: str, timeout: float = 120) -> Completed:
        done = self.runner(command, json.dumps(chart.values), timeout)
        if done.rc:
            raise StackError(
                f"Helm could not {what}: {_last_error(done.stderr)}.",
                self._why(chart) or "Helm's own words are in stderr.",
                rc=done.rc,
                stdout=done.stdout if command[1] != "template" else "",
                stderr=done.stderr,
                cmd=command,
            )
        return done

    def _why(self, chart: Chart) -> str:
        """What the pods of this release are stuck at."""
        releases = read_releases(self.kube, chart.namespace, chart.name)
        objects = with_namespaces(self.kube, releases[0].manifest, chart.namespace) if releases else []
        causes = [cause for obj in objects if readiness(Ref.of(obj)) for cause in stuck_pods(self.kube, obj)]
        return f"{'; '.join(causes)}." if causes else ""


def _shown(action: Any, ref: Ref, before: Object | None, after: Object | None, note: str = "") -> Step:
    """A step that Helm's run carries out; it is only shown."""
    return Step(action, str(ref), *abridged(*masked(before, after)), note=note)


def _last_error(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
    return (lines[-1] if lines else "it gave no reason").removeprefix("Error: ").rstrip(".")


def environment(params: dict[str, Any], folder: str) -> dict[str, str]:
    """What Helm needs to reach the same cluster; nothing of it is on its command line."""
    kubeconfig = params.get("kubeconfig")
    if isinstance(kubeconfig, dict):
        path = Path(folder, "kubeconfig")
        path.touch(mode=0o600)
        path.write_text(json.dumps(kubeconfig), encoding="utf-8")
        kubeconfig = str(path)
    if not kubeconfig and (params.get("host") or params.get("api_key")):
        raise StackError("helm_release reaches the cluster through a kubeconfig only.", "Set kubeconfig.")
    return {"KUBECONFIG": str(Path(str(kubeconfig)).expanduser())} if kubeconfig else {}
