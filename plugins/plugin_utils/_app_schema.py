# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every mistake in a value that an argument spec describes, each with its path. Private to this collection.

Ansible's own validator names the first mistake without its place in a list; an operator wants all of them at once.
Values are never repeated: they may be secret.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.railiance.stack.plugins.plugin_utils._app_rules import app_rules, is_private

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_YES_NO = {"yes", "no", "true", "false", "on", "off", "1", "0", "y", "n", "t", "f"}


def check(value: Any, spec: Mapping[str, Any], path: str) -> Iterator[str]:
    """Mistakes of one value.

    :param spec: one option of an argument spec: ``type``, ``elements``, ``options``, ``choices``, ``required``.
    :param path: how a message calls the value, ``stack_apps[0].image``.
    """
    kind = str(spec.get("type", "str"))
    if not _fits(value, kind):
        yield f"{path}: expected {kind}, found {_name(value)}{_advice(value, kind)}"
        return
    choices = spec.get("choices")
    if choices and value not in choices:
        yield f"{path}: expected one of {', '.join(map(str, choices))}"
    options = spec.get("options")
    if kind == "dict" and options is not None:
        yield from _check_keys(value, options, path)
    if kind == "list":
        element = {"type": spec.get("elements", "raw")} | ({"options": options} if options is not None else {})
        for index, item in enumerate(value):
            yield from check(item, element, f"{path}[{index}]")


def _check_keys(value: Mapping[str, Any], options: Mapping[str, Any], path: str) -> Iterator[str]:
    for key, option in options.items():
        given = value.get(key)
        if given is None:
            # null is the same as not given, as Ansible has it.
            if option.get("required"):
                yield f"{path}.{key}: missing, expected {option.get('type', 'str')}"
        else:
            yield from check(given, option, f"{path}.{key}")
    for key in value:
        if key not in options:
            close = difflib.get_close_matches(str(key), options, n=1)
            yield f"{path}.{key}: unknown key" + (f", did you mean {close[0]}" if close else "")


def check_apps(apps: Any, spec: Mapping[str, Any], root: str = "stack_apps") -> list[str]:
    """Mistakes of the whole list of applications, and between its entries.

    :param apps: the raw list.
    :param spec: the option ``app_release_app`` of the role app_release.
    """
    if not isinstance(apps, Sequence) or isinstance(apps, str):
        return [f"{root}: expected list, found {_name(apps)}"]
    found: list[str] = []
    names: dict[str, str] = {}
    hosts: dict[str, str] = {}
    namespaces: dict[str, str] = {}
    for index, app in enumerate(apps):
        path = f"{root}[{index}]"
        found += check(app, {**spec, "type": "dict"}, path)
        if not isinstance(app, Mapping):
            continue
        name = app.get("name")
        if isinstance(name, str):
            if not _DNS_LABEL.fullmatch(name):
                found.append(f"{path}.name: {name} is no DNS label (lower-case letters, digits and dashes)")
            found += _once(names, name, f"{path}.name") or _once_alone(
                namespaces, str(app.get("namespace") or name), path
            )
        if not app.get("host") and not is_private(app):
            found.append(f"{path}.host: missing, expected str (or private: true for no public exposure)")
        extra = app.get("extra_hosts")
        for place, host in [("host", app.get("host"))] + [
            (f"extra_hosts[{i}]", one) for i, one in enumerate(extra if isinstance(extra, list) else [])
        ]:
            if isinstance(host, str) and host:
                if not _is_host(host):
                    found.append(f"{path}.{place}: {host} is no host name")
                found += _once(hosts, host.lower(), f"{path}.{place}")
        image = app.get("image")
        reference = image.get("reference") if isinstance(image, Mapping) else None
        source = app.get("source")
        commit = source.get("commit") if isinstance(source, Mapping) else None
        if isinstance(commit, str) and not _COMMIT.fullmatch(commit):
            found.append(f"{path}.source.commit: {commit} is no full SHA; git rev-parse {commit} prints it")
        if bool(source) == bool(reference):
            wrong = "both given, expected one" if reference else "missing, expected one of them"
            found.append(f"{path}.source, {path}.image.reference: {wrong}")
        found += [f"{path}.{rule}" for rule in app_rules(app)]
    return found


def hosts_of(apps: Any) -> list[str]:
    """Public host names of all entries, each once, in order; entries that are no such thing are passed over."""
    hosts: list[Any] = []
    for app in _entries(apps):
        extra = app.get("extra_hosts")
        if not is_private(app):
            hosts += [app.get("host"), *(extra if isinstance(extra, list) else [])]
    return list(dict.fromkeys(str(host) for host in hosts if isinstance(host, str) and _is_host(host)))


def registries_of(apps: Any) -> list[str]:
    """Registries of the prebuilt images of all entries, each once, in order."""
    images = [app.get("image") for app in _entries(apps)]
    references = [image.get("reference") for image in images if isinstance(image, Mapping)]
    return list(dict.fromkeys(one.partition("/")[0] for one in references if isinstance(one, str) and "/" in one))


def _entries(apps: Any) -> list[Mapping[str, Any]]:
    if not isinstance(apps, Sequence) or isinstance(apps, str):
        return []
    return [app for app in apps if isinstance(app, Mapping)]


def _once(seen: dict[str, str], value: str, path: str) -> list[str]:
    first = seen.setdefault(value, path)
    return [] if first == path else [f"{path}: {value} is taken by {first}"]


def _once_alone(seen: dict[str, str], namespace: str, path: str) -> list[str]:
    """A restore stops whatever runs in a namespace, and a removal may delete it: it holds one application."""
    first = seen.setdefault(namespace, path)
    if first == path:
        return []
    return [f"{path}.namespace: {namespace} is that of {first}; a restore of one would stop both. Give another one"]


def _is_host(host: str) -> bool:
    return len(host) <= 253 and "." in host and all(_DNS_LABEL.fullmatch(part) for part in host.lower().split("."))


def _fits(value: Any, kind: str) -> bool:
    if kind in ("str", "path"):
        return isinstance(value, str)
    if kind == "bool":
        return isinstance(value, bool) or (isinstance(value, str) and value.lower() in _YES_NO)
    if kind in ("int", "float"):
        number = int if kind == "int" else (int, float)
        if isinstance(value, str):
            return bool(re.fullmatch(r"[+-]?\d+" if kind == "int" else r"[+-]?\d+(\.\d*)?", value))
        return isinstance(value, number) and not isinstance(value, bool)
    if kind == "list":
        return isinstance(value, Sequence) and not isinstance(value, str)
    if kind == "dict":
        return isinstance(value, Mapping)
    return True


def _name(value: Any) -> str:
    for kind, types in (
        ("null", type(None)),
        ("bool", bool),
        ("int", int),
        ("float", float),
        ("str", str),
        ("dict", Mapping),
        ("list", Sequence),
    ):
        if isinstance(value, types):
            return kind
    return type(value).__name__


def _advice(value: Any, kind: str) -> str:
    return ", put it in quotes" if kind in ("str", "path") and isinstance(value, (bool, int, float)) else ""
