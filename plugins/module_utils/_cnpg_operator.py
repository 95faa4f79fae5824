# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting until CloudNativePG has carried something out, and writing into its Cluster. Private to this collection."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from ansible_collections.railiance.stack.plugins.module_utils import _cnpg
from ansible_collections.railiance.stack.plugins.module_utils._cnpg import API, Wanted
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Conflict, Kube, Object, Ref, Timeout

NUDGE_ANNOTATION = "railiance.io/nudge"
_CONFLICT_RETRIES = 60


def wait_role(kube: Kube, wanted: Wanted, role_name: str | None, secret_ref: Ref) -> None:
    """Until the role stands in PostgreSQL with the password its Secret holds now.

    :param role_name: the DatabaseRole; ``None`` for an entry in the Cluster.
    """
    secret = kube.get(secret_ref)
    if secret is None:
        raise StackError(f"{secret_ref} went away while it was used.", "Run again; nothing else must delete it.")
    version = str(secret["metadata"]["resourceVersion"])
    if role_name is None:
        _wait_inline(kube, wanted, version)
    else:
        ref = Ref(API, "DatabaseRole", role_name, wanted.cluster_namespace)
        wait_applied(kube, wanted, ref, lambda role: _cnpg.role_applied(role, version))


def _wait_inline(kube: Kube, wanted: Wanted, version: str) -> None:
    try:
        kube.wait(
            wanted.cluster_ref,
            lambda cluster: _cnpg.inline_applied(cluster, wanted.owner, version),
            f"apply role {wanted.owner}",
            timeout=wanted.timeout,
            interval=0.1,
        )
    except Timeout as error:
        status = (kube.get(wanted.cluster_ref) or {}).get("status") or {}
        refused = (status.get("managedRolesStatus") or {}).get("cannotReconcile") or {}
        reasons = "; ".join(refused.get(wanted.owner) or []) or "CloudNativePG gives no reason"
        raise StackError(
            f"The inline role '{wanted.owner}' was not applied within {wanted.timeout} s: {reasons}.",
            f"Look at it with: kubectl -n {wanted.cluster_namespace} describe cluster {wanted.cluster}",
        ) from error


def wait_applied(kube: Kube, wanted: Wanted, ref: Ref, ready: Callable[[Object | None], bool]) -> None:
    """Until CloudNativePG has carried an object out.

    It looks at a failed object again only after 30 s, or when the object changes. The first failure of a new role
    is ordinary (the operator has yet to allow the instance to read the new Secret), so the object is touched.
    """
    next_nudge, delay, nudges = time.monotonic() + 0.1, 0.4, 0

    def ready_or_nudge(obj: Object | None) -> bool:
        nonlocal next_nudge, delay, nudges
        if ready(obj):
            return True
        failed = ((obj or {}).get("status") or {}).get("applied") is False
        if failed and time.monotonic() >= next_nudge:
            nudges += 1
            kube.patch(ref, {"metadata": {"annotations": {NUDGE_ANNOTATION: str(nudges)}}})
            next_nudge, delay = time.monotonic() + delay, min(delay * 2, 5)
        return False

    try:
        kube.wait(ref, ready_or_nudge, "become applied", timeout=wanted.timeout, interval=0.05)
    except Timeout as error:
        status = (kube.get(ref) or {}).get("status") or {}
        message = status.get("message") or "CloudNativePG has not looked at it"
        raise StackError(
            f"{ref} was not applied within {wanted.timeout} s: {message}.",
            f"Look at it with: kubectl -n {ref.namespace} describe {ref.kind.lower()} {ref.name}",
        ) from error


def write_entry(kube: Kube, wanted: Wanted, change: Callable[[Object | None], Object | None]) -> None:
    """Change one entry of ``spec.managed.roles``. The list is one value to Kubernetes: whoever writes it writes
    everybody's roles, so it is read, changed and written under its version, again when somebody was faster."""
    for attempt in range(_CONFLICT_RETRIES):
        cluster = kube.get(wanted.cluster_ref)
        if cluster is None:
            raise NeedsOperator(f"{wanted.cluster_ref} does not exist.", "Let the platform layer create it first.")
        live = _cnpg.inline_role(cluster, wanted.owner)
        entry = change(live)
        if entry == live:
            return
        try:
            kube.replace(_cnpg.with_inline_role(cluster, wanted.owner, entry))
            return
        except Conflict:
            # Jitter, so that writers who met once do not meet again.
            time.sleep(random.uniform(0.02, 0.1) * min(attempt + 1, 10))  # noqa: S311
    raise StackError(
        f"{wanted.cluster_ref} was changed by others {_CONFLICT_RETRIES} times in a row.", "Run again later."
    )
