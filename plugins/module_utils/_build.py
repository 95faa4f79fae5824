# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images from exactly one commit, built with buildah on this host. Private to this collection."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import resource
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._command import NotInstalled, Ran, Runner
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._git import without_login
from ansible_collections.railiance.stack.plugins.module_utils._image_contract import Finding, is_secret_name
from ansible_collections.railiance.stack.plugins.module_utils._path_dependencies import broken
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step
from ansible_collections.railiance.stack.plugins.module_utils._skopeo import Skopeo, Source

#: The label that holds the fingerprint of everything a build was made from.
FINGERPRINT = "io.railiance.stack.build"
_ARCHIVE = re.compile(r"^(docker-archive|oci-archive):([^:]+)")


@dataclass(frozen=True)
class Wanted:
    """What is to be built.

    :param repository: a folder on this host, or an address that Git understands.
    :param commit: a commit's object name, also abbreviated when the repository is a folder.
    :param secrets: id to file; mounted for single steps, part of no layer.
    :param image: name and tag in this host's storage, ``localhost/apps/site:1``.
    :param memory_max: as systemd writes it, ``2G``; empty for no limit.
    :param free_mb: refuse to begin with less free space than this.
    :param path_dependencies: how grave a dependency is that the commit does not hold: fatal, advice, ignore.
    """

    repository: str
    commit: str
    image: str
    containerfile: str = "Dockerfile"
    build_args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    memory_max: str = ""
    free_mb: int = 0
    path_dependencies: str = "fatal"
    folder: str = "/var/lib/railiance/build"


@dataclass(frozen=True)
class Commit:
    """One commit of one repository on this host.

    :param git_folder: where its objects are.
    """

    name: str
    git_folder: str
    created: str = ""


class SourceTree:
    """The repository, as a folder or as a bare copy that is fetched when a commit is missing."""

    def __init__(self, repository: str, folder: str, run: Runner) -> None:
        self.repository = repository
        self.local = os.path.isdir(repository)
        copy = Path(folder) / "sources" / f"{hashlib.sha256(repository.encode()).hexdigest()[:16]}.git"
        self.git_folder = repository if self.local else str(copy)
        self._run = run

    def find(self, commit: str) -> Commit | None:
        """The commit, when it is here already; nothing is fetched."""
        if not os.path.isdir(self.git_folder):
            return None
        done = self._git(["log", "-1", "--format=%H %ct", f"{commit}^{{commit}}", "--"])
        if done.rc != 0:
            return None
        name, seconds = done.stdout.split()
        created = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
        return Commit(name, self.git_folder, created.isoformat().replace("+00:00", "Z"))

    def fetch(self, commit: str) -> Commit:
        """:raises StackError: when the repository cannot be read or does not hold the commit."""
        if not self.local and self.find(commit) is None:
            Path(self.git_folder).mkdir(parents=True, exist_ok=True)
            self._git(["init", "--quiet", "--bare"])
            refs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
            done = self._git(["fetch", "--quiet", "--prune", self.repository, *refs])
            if done.rc != 0:
                raise StackError(
                    f"The repository {without_login(self.repository)} cannot be read: {done.reason}.",
                    "Check its address, and that this host may read it without a prompt.",
                    rc=done.rc,
                    stderr=done.stderr[-2000:],
                )
        found = self.find(commit)
        if found is None:
            raise StackError(
                f"Commit {commit} is not in {without_login(self.repository)}.",
                "Push it there first, on a branch or with a tag.",
            )
        return found

    def names(self, commit: Commit) -> list[str]:
        """Every file of the commit."""
        done = self._git(["ls-tree", "-r", "-z", "--name-only", commit.name])
        return [name for name in done.stdout.split("\0") if name] if done.rc == 0 else []

    def text(self, commit: Commit, name: str) -> str:
        """One file of the commit; empty when it is none."""
        done = self._git(["cat-file", "blob", f"{commit.name}:{name}"])
        return done.stdout if done.rc == 0 else ""

    def export(self, commit: Commit, target: Path) -> None:
        """The files of exactly this commit, nothing else that lies around."""
        archive = target.with_suffix(".tar")
        done = self._git(["archive", "--format=tar", f"--output={archive}", commit.name])
        if done.rc == 0:
            target.mkdir()
            done = self._run(["tar", "-x", "-f", str(archive), "-C", str(target)])
        if done.rc != 0:
            raise StackError(f"Could not export commit {commit.name}: {done.reason}.", "", stderr=done.stderr[-2000:])
        archive.unlink()
        self._set_times(commit, target)

    def _set_times(self, commit: Commit, target: Path) -> None:
        """Give every file the time of the commit that changed it last.

        The builder's cache looks at times: with the commit's own, as in the archive, every commit would begin anew.
        """
        log = self._git(["log", "--no-renames", "--name-only", "-z", "--format=%x01%ct", commit.name, "--"])
        times = last_changes(log.stdout) if log.rc == 0 else {}
        folders: dict[Path, int] = {}
        for path in sorted(target.rglob("*"), key=lambda p: len(p.parts), reverse=True):
            seconds = folders.get(path, 0) if path.is_dir() and not path.is_symlink() else 0
            seconds = seconds or times.get(str(path.relative_to(target)), 0)
            os.utime(path, (seconds, seconds), follow_symlinks=False)
            folders[path.parent] = max(folders.get(path.parent, 0), seconds)

    def _git(self, arguments: list[str]) -> Ran:
        # The folder may belong to the operator; only this one path is trusted, and only for this call.
        safe = ["-c", f"safe.directory={self.git_folder}"]
        return self._run(["git", *safe, "-C", self.git_folder, *arguments])


class Builder:
    """Plans and builds one image.

    :param run: runs a program.
    :param root: whether this process is root under systemd, so that memory can be capped.
    """

    def __init__(self, wanted: Wanted, run: Runner, *, root: bool) -> None:
        self.wanted = wanted
        self.findings: list[Finding] = []
        self.log = ""
        self._run = run
        self._root = root
        self._tree = SourceTree(wanted.repository, wanted.folder, run)
        self._skopeo = Skopeo(run)

    @property
    def reference(self) -> str:
        """The image for skopeo."""
        return f"containers-storage:{self.wanted.image}"

    def built(self) -> Source | None:
        """The image as it is in this host's storage; a host without buildah has none."""
        command = ["buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", self.wanted.image]
        try:
            done = self._run(command)
        except NotInstalled:
            return None
        return self._skopeo.inspect(self.reference) if done.rc == 0 else None

    def plan(self) -> Plan:
        """Empty when the image was built from the same commit with the same inputs."""
        check(self.wanted)
        commit = self._tree.find(self.wanted.commit)
        if commit is None and self._tree.local:
            self._tree.fetch(self.wanted.commit)
        now = self.built()
        labels: dict[str, str] = ((now.config.get("config") or {}).get("Labels") or {}) if now else {}
        if commit and labels.get(FINGERPRINT) == fingerprint(self.wanted, commit.name):
            return Plan()
        if commit:
            self._check_dependencies(commit)
        revision = labels.get("org.opencontainers.image.revision", "")
        return Plan(
            [
                Step(
                    "update" if now else "create",
                    f"image {self.wanted.image}",
                    before={"config": now.config_digest, "revision": revision} if now else None,
                    after={"revision": commit.name if commit else self.wanted.commit},
                    do=self.build,
                )
            ]
        )

    def build(self) -> None:
        """:raises StackError: with the end of the build's output."""
        folder = Path(self.wanted.folder)
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        check_space(self._storage(), self.wanted.free_mb)
        known = self._tree.find(self.wanted.commit)
        commit = known or self._tree.fetch(self.wanted.commit)
        if known is None:
            self._check_dependencies(commit)
        with tempfile.TemporaryDirectory(prefix="context-", dir=folder) as name:
            context = Path(name) / "source"
            self._tree.export(commit, context)
            if not (context / self.wanted.containerfile).is_file():
                raise StackError(
                    f"Commit {commit.name[:12]} has no {self.wanted.containerfile}.",
                    "Name the file in containerfile, relative to the root of the repository.",
                )
            done = self._run(build_command(self.wanted, commit, str(context), capped=self._root))
        self.log = "\n".join([*done.stdout.splitlines(), *done.stderr.splitlines()][-40:])
        if done.rc != 0:
            raise StackError(
                f"Building {self.wanted.image} from commit {commit.name[:12]} failed: {done.reason}.",
                _hint(done, self.wanted),
                rc=done.rc,
                log=self.log,
            )

    def _check_dependencies(self, commit: Commit) -> None:
        """:raises StackError: when one cannot be found in a build of this commit, unless that is only advice."""
        if self.wanted.path_dependencies == "ignore":
            return
        lost = broken(self._tree.names(commit), lambda name: self._tree.text(commit, name))
        hint = "Publish it as a package and name its version, or put it into the repository."
        self.findings = [Finding("path-dependency", self.wanted.path_dependencies, phrase, hint) for phrase in lost]
        if lost and self.wanted.path_dependencies == "fatal":
            raise StackError(
                f"Commit {commit.name[:12]} cannot be built by itself: path-dependency: {'; '.join(lost)}.",
                hint,
                findings=[finding.as_dict() for finding in self.findings],
            )

    def _storage(self) -> str:
        done = self._run(["buildah", "info", "--format", "{{.store.GraphRoot}}"])
        if done.rc != 0:
            raise StackError(
                f"buildah does not work on this host: {done.reason}.",
                "Role railiance.stack.image_builder sets it up.",
                stderr=done.stderr[-2000:],
            )
        return done.stdout.strip()


# -- pure ----------------------------------------------------------------------------------------------------------
def check(wanted: Wanted) -> None:
    """:raises StackError: for build arguments that look like secrets, and for missing files."""
    for name in wanted.build_args:
        if is_secret_name(name):
            raise StackError(
                f"The build argument {name} looks like a secret, and build arguments stay in the image's history.",
                "Give it in build_secrets, and mount it in the step that needs it: RUN --mount=type=secret,id=…",
            )
    for name, path in wanted.secrets.items():
        if not os.path.isfile(path):
            raise StackError(f"The file {path} of build secret {name} does not exist on the build host.")
    for value in wanted.build_args.values():
        archive = _ARCHIVE.match(value)
        if archive and not os.path.isfile(archive[2]):
            raise StackError(f"The image archive {archive[2]} does not exist on the build host.")


def last_changes(log: str) -> dict[str, int]:
    """File to seconds of its newest commit, out of ``git log -z --name-only --format=%x01%ct``, newest first."""
    times: dict[str, int] = {}
    for entry in log.split("\x01")[1:]:
        seconds, _end, names = entry.partition("\0")
        for name in names.strip("\n\0").split("\0"):
            times.setdefault(name.lstrip("\n"), int(seconds))
    return times


def fingerprint(wanted: Wanted, commit: str) -> str:
    """Changes when a build would begin from something else; secrets' values are no part of an image."""
    archives = {}
    for value in wanted.build_args.values():
        if archive := _ARCHIVE.match(value):
            state = os.stat(archive[2])
            archives[archive[2]] = [state.st_size, state.st_mtime_ns]
    inputs: dict[str, Any] = {
        "commit": commit,
        "containerfile": wanted.containerfile,
        "build_args": dict(wanted.build_args),
        "labels": dict(wanted.labels),
        "archives": archives,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def build_command(wanted: Wanted, commit: Commit, context: str, *, capped: bool) -> list[str]:
    """The command line; holds file names of secrets, never their values."""
    labels = {
        "org.opencontainers.image.revision": commit.name,
        "org.opencontainers.image.source": without_login(wanted.repository),
        "org.opencontainers.image.created": commit.created,
        **wanted.labels,
        FINGERPRINT: fingerprint(wanted, commit.name),
    }
    command: list[str] = []
    if capped and wanted.memory_max:
        limits = ["--property", f"MemoryMax={wanted.memory_max}", "--property", "MemorySwapMax=0"]
        command += ["systemd-run", "--scope", "--quiet", "--collect", *limits, "--"]
    # The page's database and applications run on the same host: they go first.
    command += ["nice", "-n", "10", "buildah", "build"]
    # The docker format keeps HEALTHCHECK. Steps run in a chroot with the host's network: no daemon, no bridge.
    command += ["--isolation", "chroot", "--network", "host", "--format", "docker", "--layers"]
    command += own_limits()
    for name, value in sorted(wanted.build_args.items()):
        command += ["--build-arg", f"{name}={value}"]
    for name, value in sorted(labels.items()):
        command += ["--label", f"{name}={value}"]
    for name, path in sorted(wanted.secrets.items()):
        command += ["--secret", f"id={name},src={path}"]
    return [*command, "--file", f"{context}/{wanted.containerfile}", "--tag", wanted.image, context]


def own_limits() -> list[str]:
    """This process's own limits for the steps: buildah's default raises them, which a container does not allow."""
    options: list[str] = []
    for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        soft, hard = resource.getrlimit(number)
        if resource.RLIM_INFINITY not in (soft, hard):
            options += ["--ulimit", f"{name}={soft}:{hard}"]
    return options


def check_space(folder: str, free_mb: int, usage: Callable[[str], Any] = shutil.disk_usage) -> None:
    """:raises StackError: when the disk under ``folder`` has less free space."""
    free = usage(folder).free // 1024**2
    if free < free_mb:
        raise StackError(
            f"{folder} has {free} MB free, a build needs {free_mb} MB.",
            "Remove what is no longer needed (buildah prune --all), or build on another host: app_release_build_host.",
        )


def _hint(done: Ran, wanted: Wanted) -> str:
    said = f"{done.stdout}\n{done.stderr}".lower()
    if done.rc in (137, -9) or "signal: killed" in said or "exit status 137" in said:
        return f"It ran out of memory ({wanted.memory_max or 'no limit'}): raise memory_max, or build on another host."
    if "no space left" in said:
        return "The disk of the build host is full: buildah prune --all"
    if "certificate" in said:
        return "Inside the build a certificate is not trusted: mount the CA file as a build secret."
    return "The log in this result ends with the failing step."
