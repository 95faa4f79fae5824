# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an entry of stack_apps asks for, in a form that can be compared. Private to this collection."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_COLLECTION = Path(__file__).resolve().parents[2]
#: What decides how a release comes out; another version of any of it is another release.
_CODE = ("roles/app_release", "plugins/action", "plugins/filter", "plugins/modules", "plugins/module_utils")
_LENGTH = 16


def identity(app: Mapping[str, Any], settings: Mapping[str, Any], collection: Path = _COLLECTION) -> dict[str, Any]:
    """One entry as the module release_info takes it.

    ``settings`` in the answer stands for everything but the version.

    :param settings: variables of the role that the release depends on; ``pull_secret`` among them.
    """
    image, source, database = app.get("image") or {}, app.get("source") or {}, app.get("database")
    prebuilt = str(image.get("reference") or "")
    constant = {key: value for key, value in app.items() if key not in ("secret_environment", "source", "image")}
    constant["source"] = {key: value for key, value in source.items() if key != "commit"}
    constant["image"] = {key: value for key, value in image.items() if key != "reference"}
    private = bool(settings.get("pull_secret")) and pulls_privately(prebuilt, str(settings.get("registry") or ""))
    asked: dict[str, Any] = {
        "name": str(app["name"]),
        "namespace": str(app.get("namespace") or app["name"]),
        "settings": _digest([constant, private, stretched(app), settings, code(collection)]),
        "version": prebuilt or str(source.get("commit") or ""),
    }
    if database is not None:
        name = database.get("name") or asked["name"].replace("-", "_")
        asked["database"] = {
            "cluster": str(database.get("cluster") or "apps-pg"),
            "namespace": "databases",
            "owner": str(database.get("owner") or name),
            "name": str(name),
        }
    if private:
        asked["pull_secret"] = {key: str(settings["pull_secret"][key]) for key in ("namespace", "name")}
    if not app.get("private"):
        asked["ingress_class"] = str(settings.get("ingress_class") or "")
    return asked


def pulls_privately(prebuilt: str, registry: str) -> bool:
    """Whether an image comes from the stack's own registry: what is built does, what was built elsewhere may."""
    return not prebuilt or prebuilt.startswith(f"{registry}/")


def stretched(app: Mapping[str, Any]) -> str:
    """Stands for the secret environment; made slowly, because a weak value must not be guessed from it."""
    secrets = app.get("secret_environment") or {}
    if not secrets:
        return ""
    text = json.dumps({key: str(value) for key, value in secrets.items()}, sort_keys=True)
    return hashlib.scrypt(text.encode(), salt=str(app["name"]).encode(), n=2**14, r=8, p=1, dklen=16).hex()


@functools.cache
def code(collection: Path) -> str:
    """Stands for the files of the collection that take part in a release."""
    found = hashlib.sha256()
    for path in sorted(path for part in _CODE for path in (collection / part).rglob("*") if path.is_file()):
        if path.suffix not in (".pyc", ".md"):
            found.update(f"{path.relative_to(collection)}\0".encode() + path.read_bytes())
    return found.hexdigest()[:_LENGTH]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:_LENGTH]
