# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod for one command, copied from an application's, and what must not be seen of it. Private to this collection."""

from __future__ import annotations

import base64
import binascii
import copy
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref

#: Entries of credential Secrets that are no secrets; hiding "app" or "5432" would make a log unreadable.
_PLAIN_KEYS = frozenset({"username", "host", "port", "dbname"})
_SHORTEST_SECRET = 4
_MASK = "********"
#: What a pod that serves has and one of a Job has not.
_SERVING = ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "restartPolicy")
#: Rules that place a serving pod beside or away from its kind, and how it ends.
_PLACING = (
    *("topologySpreadConstraints", "restartPolicy", "activeDeadlineSeconds", "hostname", "subdomain"),
    "terminationGracePeriodSeconds",
)


def pick_container(template: Object, name: str = "") -> Object:
    """The application's container: the named one, or the first.

    :raises StackError: when there is none of that name.
    """
    containers = (template.get("spec") or {}).get("containers") or []
    for container in containers:
        if not name or container["name"] == name:
            return dict(container)
    known = ", ".join(container["name"] for container in containers) or "none"
    raise StackError(f"The pod has no container '{name}'; it has: {known}.", "Correct container.")


def build_pod(
    template: Object,
    container: str,
    argv: list[str] | None = None,
    *,
    labels: dict[str, str],
    image: str = "",
    env: list[Object] | None = None,
) -> Object:
    """The pod template of a Job that runs ``argv`` as the application would.

    Environment, volumes, service account, pull Secrets and security stay; probes, ports and side containers go. The
    labels are replaced: a Service must not send requests here.

    :param argv: the application's own command when not given.
    :param image: replaces the application's image, in init containers too.
    :param env: further entries, in place of those of the same name.
    """
    pod = copy.deepcopy(template)
    spec, app = pod["spec"], pick_container(pod, container)
    old_image = app["image"]
    new_image = image or old_image
    added = {entry["name"] for entry in env or []}
    serving = _SERVING if argv is None else (*_SERVING, "args")
    app = {key: value for key, value in app.items() if key not in serving}
    app["image"] = new_image
    if argv is not None:
        app["command"] = [_literal(word) for word in argv]
    app["env"] = [entry for entry in app.get("env") or [] if entry["name"] not in added] + list(env or [])
    spec = {key: value for key, value in spec.items() if key not in _PLACING}
    spec["containers"] = [app]
    init = [one for one in spec.pop("initContainers", None) or [] if one.get("restartPolicy") != "Always"]
    if init:
        spec["initContainers"] = [{**one, "image": new_image} if one["image"] == old_image else one for one in init]
    spec["restartPolicy"] = "Never"
    annotations = (pod.get("metadata") or {}).get("annotations")
    return {"metadata": {"labels": dict(labels), **({"annotations": annotations} if annotations else {})}, "spec": spec}


def claims(template: Object) -> list[str]:
    """Names of the PersistentVolumeClaims that a pod mounts."""
    volumes = (template.get("spec") or {}).get("volumes") or []
    return [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]


def without_claims_to_come(kube: Kube, template: Object, namespace: str) -> Object:
    """The pod with an empty directory for each claim that a release is still to make: nothing can be in it."""
    refs = [Ref("v1", "PersistentVolumeClaim", name, namespace) for name in claims(template)]
    missing = {ref.name for ref in refs if kube.get(ref) is None}
    pod = copy.deepcopy(template)
    for volume in (pod.get("spec") or {}).get("volumes") or []:
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") in missing:
            del volume["persistentVolumeClaim"]
            volume["emptyDir"] = {}
    return pod


def _literal(word: str) -> str:
    """A word that Kubernetes passes on as it is: it would read ``$(NAME)`` and ``$$``."""
    return word.replace("$", "$$")


def secret_references(template: Object) -> dict[str, bool]:
    """Names of the Secrets a pod reads, and whether it can do without."""
    spec = template.get("spec") or {}
    found: dict[str, bool] = {}

    def add(name: str, source: Object) -> None:
        found[name] = found.get(name, True) and bool(source.get("optional"))

    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        for entry in container.get("env") or []:
            reference = (entry.get("valueFrom") or {}).get("secretKeyRef")
            if reference:
                add(reference["name"], reference)
        for source in container.get("envFrom") or []:
            if source.get("secretRef"):
                add(source["secretRef"]["name"], source["secretRef"])
    for volume in spec.get("volumes") or []:
        if volume.get("secret"):
            add(volume["secret"]["secretName"], volume["secret"])
        for source in (volume.get("projected") or {}).get("sources") or []:
            if source.get("secret"):
                add(source["secret"]["name"], source["secret"])
    return found


class Mask:
    """Hides the values of Secrets in text.

    :param secrets: the Secrets; entries that name a user, host, port or database are no secrets.
    """

    def __init__(self, secrets: Iterable[Object]) -> None:
        forms: set[str] = set()
        for secret in secrets:
            for key, value in (secret.get("data") or {}).items():
                if key not in _PLAIN_KEYS:
                    forms |= _forms(value)
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, _MASK)
        return text


def _forms(encoded: str) -> set[str]:
    """Every way a value may show up: as it is, line by line, quoted for an address, in base64, a URL's password."""
    try:
        value = base64.b64decode(encoded).decode()
    except (binascii.Error, UnicodeDecodeError):
        return {encoded} if encoded else set()
    values = {value, value.strip(), *value.splitlines()}
    try:
        password = urlsplit(value).password
    except ValueError:
        password = None
    if password:
        values |= {password, unquote(password)}
    forms = {encoded, *values, *(quote(one, safe="") for one in values), *(repr(one)[1:-1] for one in values)}
    return {form for form in forms if len(form) >= _SHORTEST_SECRET}
