# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets whose generated values are made once and kept for ever. Private to this collection."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import re
import secrets
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import (
    Conflict,
    Kube,
    Object,
    Ref,
    comparable,
    masked,
)
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step

#: Letters and digits only: such a password is the same in a URL, a shell and a configuration file.
_ALPHABET = string.ascii_letters + string.digits
_SHORTEST = 16
_ATTEMPTS = 5
_FIELD = re.compile(r"\{([^{}]+)\}")
#: Names of the keys that were given once; what is not given any more goes, and nothing else does.
GIVEN_ANNOTATION = "railiance.io/given-keys"


def generate(length: int) -> str:
    """A random password of letters and digits.

    :raises StackError: when it would be too short to be one.
    """
    if length < _SHORTEST:
        raise StackError(f"A generated value of {length} characters is too short.", f"Use at least {_SHORTEST}.")
    return "".join(secrets.choice(_ALPHABET) for dummy in range(length))


def decode(obj: Object | None) -> dict[str, str]:
    """The values of a Secret that are text."""
    values: dict[str, str] = {}
    for key, value in ((obj or {}).get("data") or {}).items():
        with contextlib.suppress(UnicodeDecodeError):
            values[key] = base64.b64decode(value).decode()
    return values


def content_version(obj: Object | None) -> str:
    """Changes when, and only when, the values of a Secret change; a pod template that carries it makes new pods.

    Salted with the Secret's uid and cut short, so that it tells that something changed and nothing about what.
    Empty for a Secret that does not exist yet.
    """
    if obj is None:
        return ""
    digest = hashlib.sha256(str((obj.get("metadata") or {}).get("uid")).encode())
    for key, value in sorted((obj.get("data") or {}).items()):
        digest.update(f"{len(key)}:{key}{len(value)}:{value}".encode())
    return digest.hexdigest()[:12]


def encode(values: dict[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}


@dataclass(frozen=True)
class WantedSecret:
    """One Secret as asked for.

    :param data: key to text, or to one of ``{generate: length}``, ``{copy: {namespace, name, key}}``,
        ``{url: template}`` whose ``{key}`` fields are this Secret's own values, percent-encoded.
    :param given: keys of ``data`` that go when a later call does not give them; ``None`` leaves what was given before.
    """

    ref: Ref
    type: str = "Opaque"
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    given: frozenset[str] | None = None

    def values(
        self, live: dict[str, str], read: Callable[[Ref], Object | None], predict: bool = False
    ) -> dict[str, str]:
        """Every text value of the finished Secret.

        :param live: what the Secret holds now.
        :param read: gets another Secret.
        :param predict: a Secret to copy from may still be missing; its value then counts as empty.
        """
        values = dict(live)
        templates: dict[str, str] = {}
        for key, wanted in self.data.items():
            if not isinstance(wanted, dict):
                values[key] = str(wanted)
                continue
            how, argument = self._how(key, wanted)
            if how == "generate":
                values[key] = live[key] if live.get(key) else generate(int(argument))
            elif how == "copy":
                values[key] = self._copied(key, argument, read, predict)
            else:
                templates[key] = argument
        for key, template in templates.items():
            values[key] = self._filled(key, template, values)
        return values

    def _how(self, key: str, wanted: dict[str, Any]) -> tuple[str, Any]:
        if len(wanted) == 1 and next(iter(wanted)) in ("generate", "copy", "url"):
            return next(iter(wanted.items()))
        raise StackError(
            f"{self.ref}: key {key} is none of a text, generate, copy or url.", "Give exactly one of them in data."
        )

    def _copied(self, key: str, source: dict[str, str], read: Callable[[Ref], Object | None], predict: bool) -> str:
        ref = Ref("v1", "Secret", source["name"], source.get("namespace") or self.ref.namespace)
        value = decode(read(ref)).get(source.get("key") or key)
        if value is None and predict:
            return ""
        if value is None:
            raise StackError(
                f"{self.ref}: key {key} is copied from {ref}, which does not exist or has no such key.",
                "Run the role that creates it first.",
            )
        return value

    def _filled(self, key: str, template: str, values: dict[str, str]) -> str:
        def value(match: re.Match[str]) -> str:
            if match[1] not in values:
                raise StackError(f"{self.ref}: url of key {key} uses {match[0]}, which is no key.", "Correct data.")
            return quote(values[match[1]], safe="")

        return _FIELD.sub(value, template)

    def merged(self, live: Object | None, values: dict[str, str]) -> Object:
        """The object to write: everything that is there, plus what is asked for, without what is given no longer."""
        old = live or {}
        meta = dict(old.get("metadata") or {"name": self.ref.name, "namespace": self.ref.namespace})
        meta.pop("managedFields", None)
        for part, wanted in (("labels", self.labels), ("annotations", self.annotations)):
            if wanted:
                meta[part] = {**(meta.get(part) or {}), **wanted}
        data = {**(old.get("data") or {}), **encode(values)}
        if self.given is not None:
            for key in given_keys(live) - self.data.keys():
                data.pop(key, None)
            note_given(meta, self.given)
        return {
            **old,
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": meta,
            "type": self.type,
            # The server keeps no empty map.
            **({"data": data} if data else {}),
        }


def given_keys(obj: Object | None) -> set[str]:
    """The keys that a Secret holds because somebody gave them, as its annotation tells."""
    annotations = ((obj or {}).get("metadata") or {}).get("annotations") or {}
    return {key for key in annotations.get(GIVEN_ANNOTATION, "").split(",") if key}


def note_given(meta: Object, keys: Iterable[str]) -> None:
    """Note the names in the metadata of a Secret, which may have no annotations."""
    annotations = {key: value for key, value in (meta.get("annotations") or {}).items() if key != GIVEN_ANNOTATION}
    if noted := ",".join(sorted(keys)):
        annotations[GIVEN_ANNOTATION] = noted
    meta["annotations"] = annotations


def plan_secret(kube: Kube, wanted: WantedSecret, predict: bool = False) -> Plan:
    """The one step that makes the Secret what it should be; empty when it is."""
    return plan_version(kube, wanted, predict)[0]


def plan_version(kube: Kube, wanted: WantedSecret, predict: bool = False) -> tuple[Plan, str]:
    """The same, with the version that the Secret has afterwards; empty when it is still to be created.

    :param predict: the plan is only shown, so what earlier steps would have made may be missing.
    :raises StackError: when it exists with another type, which Kubernetes cannot change.
    """
    live = kube.get(wanted.ref)
    if live is not None and live.get("type", "Opaque") != wanted.type:
        raise StackError(
            f"{wanted.ref} exists with type {live.get('type', 'Opaque')}, not {wanted.type}, and a type cannot change.",
            "Move its values aside, delete it, and run again.",
        )
    target = wanted.merged(live, wanted.values(decode(live), kube.get, predict))
    version = content_version(target if live else None)
    if comparable(live) == comparable(target):
        return Plan(), version
    before, after = masked(comparable(live), comparable(target))
    write = functools.partial(_write, kube, wanted, target)
    return Plan([Step("update" if live else "create", str(wanted.ref), before, after, write)]), version


def _write(kube: Kube, wanted: WantedSecret, target: Object) -> None:
    """Create, or replace exactly the version that was read; whoever was faster keeps the values made first."""
    for attempt in range(_ATTEMPTS):
        try:
            if "resourceVersion" in target["metadata"]:
                kube.replace(target)
            else:
                kube.create(target)
            return
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
        live = kube.get(wanted.ref)
        target = wanted.merged(live, wanted.values(decode(live), kube.get))
