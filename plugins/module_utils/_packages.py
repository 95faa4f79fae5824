# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gitea's packages: what an owner has, what it weighs, and deleting single versions. Private to this collection."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._gitea import checked, send
from ansible_collections.railiance.stack.plugins.module_utils._http import Response, Transport, basic
from ansible_collections.railiance.stack.plugins.module_utils._registry import Login, Registry

#: Types this collection looks after: images and Python wheels.
TYPES = ("container", "pypi")
#: Gitea's own name for the list of an image's blobs.
_MANIFEST = "manifest.json"
_PAGE = 50
_CLEANUP_TASK = "cleanup_packages"


@dataclass(frozen=True)
class Version:
    """One version of one package.

    :param blobs: what it consists of, sha256 to bytes; other versions may share them.
    :param digest: of an image's manifest, ``sha256:…``; empty for other packages.
    :param children: digests of an index's manifests.
    """

    owner: str
    type: str
    name: str
    version: str
    created: datetime.datetime
    page: str = ""
    digest: str = ""
    blobs: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    children: tuple[str, ...] = ()

    @property
    def package(self) -> tuple[str, str, str]:
        return self.owner, self.type, self.name

    @property
    def size(self) -> int:
        return sum(self.blobs.values())

    def __str__(self) -> str:
        mark = "@" if self.version.startswith("sha256:") else ":" if self.type == "container" else " "
        return f"{self.type} {self.owner}/{self.name}{mark}{self.version}"


@dataclass(frozen=True)
class CleanupTask:
    """Gitea's own task that frees what no version consists of any more.

    :param next_run: ``None`` when the account may not ask.
    """

    schedule: str = "@midnight"
    next_run: datetime.datetime | None = None


class Packages:
    """The packages API of one Gitea.

    :param http: the way to the server.
    :param login: account and token.
    """

    def __init__(self, http: Transport, login: Login) -> None:
        self._http = http
        self._login = login
        self._authorization = basic(login.username, login.token)

    # -- reading ---------------------------------------------------------------------------------------------
    def versions(self, owner: str, kinds: Iterable[str] = TYPES) -> list[Version]:
        """Every version of an owner's packages of these types, with its parts.

        :raises NeedsOperator: when the owner does not exist, or the account may not read its packages.
        """
        return [self._with_parts(version) for kind in kinds for version in self._list(owner, kind)]

    def cleanup_task(self) -> CleanupTask:
        """When space is freed; the account must be an administrator to know the exact time."""
        answer = self._send("GET", "/admin/cron?limit=50")
        if answer.status in (401, 403, 404):
            return CleanupTask()
        for task in self._checked(answer, "list the scheduled tasks").json() or []:
            if task.get("name") == _CLEANUP_TASK:
                return CleanupTask(str(task["schedule"]), parse_time(task["next"]))
        return CleanupTask()

    # -- writing ---------------------------------------------------------------------------------------------
    def delete(self, version: Version) -> None:
        """What is gone already is as good as deleted."""
        answer = self._send("DELETE", _path(version))
        if answer.status in (401, 403):
            raise NeedsOperator(
                f"Account {self._login.username} may not delete {version} at {self._http.base_url}.",
                f"The token needs the scope write:package, and the account write permission in {version.owner}."
                f" Mint one at {self._http.base_url}/user/settings/applications",
            )
        if answer.status != 404:
            self._checked(answer, f"delete {version}")

    def run_cleanup(self) -> None:
        """:raises NeedsOperator: when the account is no administrator."""
        answer = self._send("POST", f"/admin/cron/{_CLEANUP_TASK}")
        if answer.status in (401, 403):
            raise NeedsOperator(
                f"Account {self._login.username} may not start Gitea's task {_CLEANUP_TASK}.",
                "Name the administrator's Secret in admin_secret, or wait for the task's own time.",
            )
        self._checked(answer, f"start the task {_CLEANUP_TASK}")

    # -- inside ----------------------------------------------------------------------------------------------
    def _list(self, owner: str, kind: str) -> list[Version]:
        found: list[Version] = []
        page = 1
        while True:
            answer = self._send("GET", f"/packages/{quote(owner)}?type={kind}&page={page}&limit={_PAGE}")
            if answer.status == 404:
                raise NeedsOperator(
                    f"{self._http.base_url} has no owner {owner} of packages that account {self._login.username} sees.",
                    "Name an existing organisation, or give the account permission in it.",
                )
            if answer.status in (401, 403):
                raise NeedsOperator(
                    f"Account {self._login.username} may not read the packages of {owner}.",
                    f"Its token needs the scope read:package. Mint one at"
                    f" {self._http.base_url}/user/settings/applications",
                )
            part = self._checked(answer, f"list the packages of {owner}").json() or []
            found += [
                Version(
                    owner,
                    kind,
                    str(entry["name"]),
                    str(entry["version"]),
                    parse_time(entry["created_at"]),
                    str(entry.get("html_url") or ""),
                )
                for entry in part
            ]
            if len(part) < _PAGE:
                return found
            page += 1

    def _with_parts(self, version: Version) -> Version:
        answer = self._send("GET", f"{_path(version)}/files")
        if answer.status == 404:
            # Deleted since it was listed.
            return version
        files: list[dict[str, Any]] = self._checked(answer, f"list the files of {version}").json() or []
        blobs = {str(file["sha256"]): int(file["size"]) for file in files}
        if version.type != "container":
            return replace(version, blobs=blobs)
        digest = next((f"sha256:{file['sha256']}" for file in files if file["name"] == _MANIFEST), "")
        # An index has no file but itself; what it is made of only the manifest says.
        children = self._children(version) if len(files) == 1 else ()
        return replace(version, blobs=blobs, digest=digest, children=children)

    def _children(self, version: Version) -> tuple[str, ...]:
        manifest = Registry(self._http, f"{version.owner}/{version.name}", self._login).manifest(version.version)
        if manifest is None:
            raise StackError(f"{version} disappeared while it was read.", "Run this again.")
        return manifest.children

    def _send(self, method: str, path: str) -> Response:
        return send(self._http, method, path, self._authorization)

    def _checked(self, answer: Response, what: str) -> Response:
        return checked(self._http, answer, what)


def _path(version: Version) -> str:
    name, number = quote(version.name, safe=""), quote(version.version, safe="")
    return f"/packages/{quote(version.owner)}/{version.type}/{name}/{number}"


def parse_time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(datetime.UTC)


def unique_bytes(versions: Iterable[Version]) -> int:
    """What they take on the disk: a blob that several share is there once."""
    return sum({name: size for version in versions for name, size in version.blobs.items()}.values())
