# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dependencies that are folders: a build of one commit has those of that commit, and no checkout beside it.

Private to this collection. Pure: text of the files and the commit's names in, what is missing out.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

#: Files that name dependencies; looked at in every folder of the commit.
_NAMES = re.compile(r"(^|/)(pyproject\.toml|uv\.lock|package\.json|requirements[^/]*\.(txt|in))$")
_REQUIREMENT = re.compile(
    r"^\s*(?:(?:-e|--editable)[ =]\s*)?(?:[\w.\[\],-]+\s*@\s*)?((?:file:|\.{1,2}/|\.{1,2}$)[^\s;#]*)"
)
_PATH_KEYS = ("path", "editable", "directory", "virtual")


def is_looked_at(name: str) -> bool:
    return bool(_NAMES.search(name)) and "node_modules/" not in name


def broken(names: Iterable[str], read: Callable[[str], str]) -> list[str]:
    """One phrase for each dependency that a build of these files would not find.

    :param names: every file of the commit.
    :param read: the text of one of them.
    """
    files = set(names)
    folders = {folder for name in files for folder in _parents(name)}
    found: dict[str, None] = {}
    for name in sorted(filter(is_looked_at, files)):
        for dependency, path in _paths(name, read(name)):
            place = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
            if path.startswith("/") or place.startswith(".."):
                found[f"{name} takes {dependency} from {path}, which is outside of the repository"] = None
            elif place != "." and place not in files and place not in folders:
                found[f"{name} takes {dependency} from {path}, which is not in the commit"] = None
    return list(found)


def _parents(name: str) -> Iterator[str]:
    folder = posixpath.dirname(name)
    while folder:
        yield folder
        folder = posixpath.dirname(folder)


def _paths(name: str, text: str) -> Iterator[tuple[str, str]]:
    """``(dependency, path)`` of every dependency that is a folder or file; nothing of a file that cannot be read."""
    try:
        if name.endswith("package.json"):
            yield from _of_package_json(json.loads(text))
        elif name.endswith(("pyproject.toml", "uv.lock")):
            # Not in the Python of every managed node; a build host has one that is new enough.
            import tomllib

            content = tomllib.loads(text)
            yield from _of_lock(content) if name.endswith("uv.lock") else _of_pyproject(content)
        else:
            for line in text.splitlines():
                if match := _REQUIREMENT.match(line):
                    yield match[1], _local(match[1])
    except (ImportError, ValueError, AttributeError, TypeError):
        return


def _of_pyproject(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    tool, project = content.get("tool") or {}, content.get("project") or {}
    for name, source in ((tool.get("uv") or {}).get("sources") or {}).items():
        yield from _with_path(name, source)
    poetry = tool.get("poetry") or {}
    groups = [poetry, *(poetry.get("group") or {}).values()]
    for group in groups:
        for key in ("dependencies", "dev-dependencies"):
            for name, wanted in (group.get(key) or {}).items():
                yield from _with_path(name, wanted)
    lists = [project.get("dependencies") or [], *(project.get("optional-dependencies") or {}).values()]
    lists += (content.get("dependency-groups") or {}).values()
    for requirement in (one for many in lists for one in many if isinstance(one, str)):
        name, at_sign, address = requirement.partition("@")
        if at_sign and address.strip().startswith("file:"):
            yield name.strip(), _local(address.strip())


def _of_lock(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for package in content.get("package") or []:
        yield from _with_path(str(package.get("name")), package.get("source") or {})


def _with_path(name: str, source: Any) -> Iterator[tuple[str, str]]:
    for one in source if isinstance(source, list) else [source]:
        if isinstance(one, dict):
            for key in _PATH_KEYS:
                if isinstance(one.get(key), str):
                    yield name, one[key]


def _of_package_json(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("dependencies", "devDependencies", "optionalDependencies"):
        for name, wanted in (content.get(key) or {}).items():
            scheme, colon, path = str(wanted).partition(":")
            if colon and scheme in ("file", "link", "portal"):
                yield name, path


def _local(address: str) -> str:
    """The path of ``file:../x``, ``file:///srv/x`` or ``../x``."""
    path = address.removeprefix("file:")
    return "/" + path.lstrip("/") if path.startswith("//") else path
