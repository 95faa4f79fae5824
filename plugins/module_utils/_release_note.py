# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The note on a Helm release that says that it is complete. Private to this collection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._helm import Release
from ansible_collections.railiance.stack.plugins.module_utils._jobs import sweep
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube
from ansible_collections.railiance.stack.plugins.module_utils._release import (
    ROLLING_OUT,
    STATE_LABEL,
    Look,
    Wanted,
    drifted,
    labels_of,
    unready,
)


def note(
    kube: Kube, wanted: Wanted, release: Release, check_mode: bool, warn: Callable[[str], object]
) -> dict[str, Any]:
    """Put the note there unless something is not as it was released, and delete what killed runs left.

    :param release: the newest one.
    :param warn: tells the operator why the note is missing: the version serves, but nothing will count on it.
    :returns: ``noted``, ``reason`` and, when it was put there, ``swept``.
    """
    look = Look(kube, wanted)
    troubles = [
        *([f"it is {release.status}"] if release.status != "deployed" else []),
        *(trouble for obj in look.objects(wanted) if (trouble := unready(obj))),
        *drifted(kube, release),
    ]
    result: dict[str, Any] = {"noted": not troubles, "reason": "; ".join(troubles)}
    if check_mode:
        return result
    if troubles:
        warn(
            f"Revision {release.revision} of Helm release {wanted.namespace}/{wanted.name} serves but is not complete:"
            f" {result['reason']}. Until it is, each deploy releases it again, and neither rollback nor rotate counts"
            " on it. Find out what changes or stops that object, then release the same version again."
        )
        if release.labels.get(STATE_LABEL) == ROLLING_OUT:
            kube.patch(release.secret, {"metadata": {"labels": {STATE_LABEL: None}}})
        return result
    labels = labels_of(wanted, look.state(wanted))
    if any(release.labels.get(key) != value for key, value in labels.items()):
        kube.patch(release.secret, {"metadata": {"labels": labels}})
    return {**result, "swept": sweep(kube, wanted.namespace, wanted.name)}
