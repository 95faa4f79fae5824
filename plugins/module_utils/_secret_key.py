# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new SECRET_KEY without a lost session, as changes of one Secret. Private to this collection.

While a rollout goes on, old and new pods answer side by side. A key must therefore be known to all of them before one
of them signs with it, and stay known for as long as anything that it signed is of use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Object

KEY, FALLBACKS = "SECRET_KEY", "SECRET_KEY_FALLBACKS"
PHASE_ANNOTATION = "railiance.io/secret-key-phase"
SINCE_ANNOTATION = "railiance.io/secret-key-since"
ANNOUNCED, SWITCHED = "announced", "switched"
_FORM = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Keys:
    """What the Secret holds.

    :param phase: ``announced`` when the first of the old keys is in truth the next one.
    :param since: when the key was switched to.
    """

    key: str
    others: tuple[str, ...] = ()
    phase: str = ""
    since: str = ""

    @classmethod
    def of(cls, values: Mapping[str, str], secret: Object) -> Keys:
        """:raises StackError: when there is no key to rotate."""
        if not values.get(KEY):
            raise StackError("The Secret has no SECRET_KEY.", "Release the application first.")
        notes = secret["metadata"].get("annotations") or {}
        others = tuple(part for part in values.get(FALLBACKS, "").split(",") if part)
        return cls(values[KEY], others, notes.get(PHASE_ANNOTATION, ""), notes.get(SINCE_ANNOTATION, ""))

    def values(self) -> dict[str, str]:
        return {KEY: self.key, FALLBACKS: ",".join(self.others)}

    def notes(self) -> dict[str, str]:
        return {PHASE_ANNOTATION: self.phase, SINCE_ANNOTATION: self.since}


def announced(keys: Keys, new: str) -> Keys:
    """Every pod learns the new key, and goes on signing with the old one."""
    return keys if keys.phase == ANNOUNCED else replace(keys, others=(new, *keys.others), phase=ANNOUNCED)


def switched(keys: Keys, now: datetime) -> Keys:
    """Every pod signs with the new key, and goes on knowing the old one."""
    if keys.phase != ANNOUNCED:
        return keys
    new, *old = keys.others
    return Keys(new, (keys.key, *old), SWITCHED, now.strftime(_FORM))


def retired(keys: Keys, now: datetime, keep: timedelta) -> Keys:
    """The old keys are forgotten.

    :param keep: for how long something that they signed is of use.
    :raises NeedsOperator: before that is over, or in the middle of a rotation.
    """
    if keys.phase == ANNOUNCED:
        raise NeedsOperator("A rotation of SECRET_KEY is not complete.", "Run rotate=secret_key again.")
    if not keys.others:
        return keys
    moment = old_until(keys, keep)
    if moment and now < moment:
        raise NeedsOperator(
            f"The old keys are needed until {moment.strftime(_FORM)}: sessions and links signed before "
            f"{keys.since} are {keep.days} days good.",
            "Run it again after that, or with a smaller keep_days; then whoever holds one has to log in again.",
        )
    return Keys(keys.key, (), "", keys.since)


def old_until(keys: Keys, keep: timedelta) -> datetime | None:
    """When nothing that the old keys signed is of use any more; ``None`` when nobody noted the switch."""
    if not keys.since:
        return None
    return datetime.strptime(keys.since, _FORM).replace(tzinfo=UTC) + keep
