# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rendered objects of a web application must and must not hold. Private to this collection.

Pure functions; a violation is one sentence that names the object and what to do, never a value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._kube import Object, Ref
from ansible_collections.railiance.stack.plugins.module_utils._manage_pod import Mask
from ansible_collections.railiance.stack.plugins.module_utils._plain import DEBUG, is_on, looks_secret
from ansible_collections.railiance.stack.plugins.module_utils._secret import decode

_SHORTEST = 8
_PROXY_HEADER = "HTTP_X_FORWARDED_PROTO,https"
_LISTS = ("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "SECURE_PROXY_SSL_HEADER")


@dataclass(frozen=True)
class Rules:
    """What the release is checked against.

    :param hosts: public host names.
    :param django: whether Django's own settings are looked at.
    """

    hosts: tuple[str, ...] = ()
    django: bool = False


def violations(objects: Sequence[Object], secrets: Mapping[str, Object], rules: Rules) -> list[str]:
    """Every rule that is broken.

    :param objects: as rendered.
    :param secrets: the Secrets that their pods read, by name; those that exist.
    """
    return [
        *_secrets_in_manifests(objects, secrets),
        *(text for obj in objects for pod in pods(obj) for text in _pod(obj, pod, secrets, rules)),
    ]


# -- secrets ---------------------------------------------------------------------------------------------------
def _secrets_in_manifests(objects: Sequence[Object], secrets: Mapping[str, Object]) -> Iterator[str]:
    mask = Mask({**secret, "data": _long_values(secret)} for secret in secrets.values())
    for obj in objects:
        if obj["kind"] == "Secret":
            yield f"{Ref.of(obj)} is part of the chart: Helm would keep its values. Keep it outside of the release."
            continue
        text = json.dumps(obj, ensure_ascii=False)
        if mask(text) != text:
            yield f"{Ref.of(obj)} holds the value of a Secret. Refer to the Secret instead."


def _long_values(secret: Object) -> dict[str, str]:
    """Without those that anything may hold, such as "true" or a port."""
    return {key: value for key, value in (secret.get("data") or {}).items() if len(value) * 3 // 4 > _SHORTEST}


def _plain_secrets(where: str, environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if looks_secret(name, value):
            yield f"{where}: {name} looks like a secret. Move it from environment to secret_environment."


# -- pods ------------------------------------------------------------------------------------------------------
def pods(obj: Object) -> Iterator[Object]:
    """The pod template of a workload; nothing for any other object."""
    spec = obj.get("spec") or {}
    if obj["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    if obj["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"):
        yield spec.get("template") or {}


def _pod(obj: Object, template: Object, secrets: Mapping[str, Object], rules: Rules) -> Iterator[str]:
    for container in (template.get("spec") or {}).get("containers") or []:
        where = f"{Ref.of(obj)}, container {container['name']}"
        plain = {entry["name"]: str(entry["value"]) for entry in container.get("env") or [] if "value" in entry}
        yield from _resources(where, container)
        yield from _plain_secrets(where, plain)
        environment = {**_from_secrets(container, secrets), **plain}
        for name in DEBUG:
            if is_on(name, environment.get(name, "")):
                yield f"{where}: {name} is on. A public application never runs with it; remove it."
        if _serves(container):
            yield from _probes(where, container, rules)
            if rules.django:
                yield from _django(where, environment, rules)


def _from_secrets(container: Object, secrets: Mapping[str, Object]) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in container.get("envFrom") or []:
        found |= decode(secrets.get((entry.get("secretRef") or {}).get("name", "")))
    for entry in container.get("env") or []:
        reference = (entry.get("valueFrom") or {}).get("secretKeyRef") or {}
        value = decode(secrets.get(reference.get("name", ""))).get(reference.get("key", ""))
        if value is not None:
            found[entry["name"]] = value
    return found


def _serves(container: Object) -> bool:
    return any(port.get("name") == "http" for port in container.get("ports") or [])


def _resources(where: str, container: Object) -> Iterator[str]:
    resources = container.get("resources") or {}
    for part, names in (("requests", ("cpu", "memory")), ("limits", ("memory",))):
        missing = [name for name in names if not (resources.get(part) or {}).get(name)]
        if missing:
            yield f"{where}: resources.{part} lacks {' and '.join(missing)}. One application must not starve others."


def _probes(where: str, container: Object, rules: Rules) -> Iterator[str]:
    for name in ("readinessProbe", "livenessProbe"):
        if not container.get(name):
            yield f"{where}: {name} is missing. Without it traffic reaches a pod that does not answer."
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        request = (container.get(name) or {}).get("httpGet")
        if not request:
            continue
        headers = {str(h["name"]).lower(): str(h["value"]) for h in request.get("httpHeaders") or []}
        if rules.hosts and headers.get("host") not in rules.hosts:
            yield f"{where}: {name} does not send a public Host. Django answers 400 to any other."
        if headers.get("x-forwarded-proto") != "https":
            yield f"{where}: {name} does not send X-Forwarded-Proto: https. The answer would be a redirect."


# -- what Django is told, and what it made of it ---------------------------------------------------------------
def settings_violations(settings: Mapping[str, Any], hosts: Sequence[str]) -> list[str]:
    """The same rules for the settings that Django came to in the image, whatever it was told.

    :param settings: ``module``, ``DEBUG`` and the lists of :func:`_hosts`.
    :param hosts: public host names.
    """
    where = settings["module"] or "The settings"
    debug = (
        [f"{where}: DEBUG is on. A public application never runs with it; turn it off."] if settings["DEBUG"] else []
    )
    return [*debug, *_hosts(where, settings, hosts)]


def _django(where: str, environment: Mapping[str, str], rules: Rules) -> Iterator[str]:
    yield from _hosts(where, {name: _parts(environment.get(name)) for name in _LISTS}, rules.hosts)


def _hosts(where: str, lists: Mapping[str, Sequence[str]], hosts: Sequence[str]) -> Iterator[str]:
    """:param lists: each of :data:`_LISTS`."""
    allowed, origins, header = (lists[name] for name in _LISTS)
    if "*" in allowed:
        yield f"{where}: ALLOWED_HOSTS allows every host. Name the public ones."
    elif missing := [host for host in hosts if not _covered(host, allowed, ".")]:
        yield f"{where}: ALLOWED_HOSTS lacks {', '.join(missing)}. Django would answer 400."
    if missing := [f"https://{host}" for host in hosts if not _covered(f"https://{host}", origins, "https://*.")]:
        yield f"{where}: CSRF_TRUSTED_ORIGINS lacks {', '.join(missing)}. Forms would be refused."
    if ",".join(header) != _PROXY_HEADER:
        yield f"{where}: SECURE_PROXY_SSL_HEADER is not {_PROXY_HEADER}. Django would take requests for plain HTTP."


def _covered(name: str, given: Sequence[str], wildcard: str) -> bool:
    """Whether a name is given, or one that stands for everything below a domain.

    :param wildcard: how the latter begins, ``.example.org`` or ``https://*.example.org``.
    """
    domains = [one.removeprefix(wildcard) for one in given if one.startswith(wildcard)]
    bare = name.removeprefix("https://")
    # A host with a leading dot covers the domain itself, an origin with a star does not.
    return name in given or any(bare.endswith(f".{one}") or (wildcard == "." and bare == one) for one in domains)


def _parts(value: Any) -> list[str]:
    return [part.strip() for part in str(value or "").split(",") if part.strip()]
