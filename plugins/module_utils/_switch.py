# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From one version of an application to another, when nothing but the version differs. Private to this collection.

What a release does in many steps is done here in one process: a module costs a second before it does anything. Whatever
needs more than the straight way (other settings, pending migrations) is left to those steps, and nothing was changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._chart import chart_of, check, live_pod, served, services
from ansible_collections.railiance.stack.plugins.module_utils._decision import schema
from ansible_collections.railiance.stack.plugins.module_utils._django import Request
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._helm import (
    RECORD,
    Helm,
    Release,
    Runner,
    check_newest,
    read_releases,
)
from ansible_collections.railiance.stack.plugins.module_utils._http import Http
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube
from ansible_collections.railiance.stack.plugins.module_utils._manage import Manage, Task
from ansible_collections.railiance.stack.plugins.module_utils._manage_pod import pick_container
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan
from ansible_collections.railiance.stack.plugins.module_utils._release import ROLLING_OUT, STATE_LABEL, Look, Wanted
from ansible_collections.railiance.stack.plugins.module_utils._release_log import SHOWN, read_log
from ansible_collections.railiance.stack.plugins.module_utils._release_note import note
from ansible_collections.railiance.stack.plugins.module_utils._site import check_held, log_in, look_until
from ansible_collections.railiance.stack.plugins.module_utils._smoke import Outcome
from ansible_collections.railiance.stack.plugins.module_utils._trial import try_out

#: Values that only the steps before a release can make; they are as the last release had them.
_KEPT = ("secretKeys", "secretVersions")
_INSIDE_SECONDS, _OUTSIDE_SECONDS = 20, 60


@dataclass(frozen=True)
class Start:
    """What serves, and whether the straight way leads on from it.

    :param reason: why it does not; empty when it does.
    :param same_settings: whether only the version differs.
    :param release: the newest revision.
    """

    reason: str
    same_settings: bool
    release: Release | None = None
    served: Mapping[str, Any] | None = None

    def otherwise(self, reason: str) -> dict[str, Any]:
        """The result that leaves the release to its steps."""
        return {
            "changed": False,
            "released": False,
            "reason": reason,
            "same_settings": self.same_settings,
            "kept": self.release.values if self.release and self.same_settings else {},
        }


def start_of(kube: Kube, wanted: Wanted) -> Start:
    look = Look(kube, wanted)
    verdict = look.verdict(wanted)
    if not verdict.converged and not verdict.same_settings:
        return Start(verdict.reason, same_settings=False)
    releases = look.releases(wanted.namespace, wanted.name)
    return Start("", same_settings=True, release=releases[0], served=served(releases))


class Switch:
    """:param path: the chart's folder.

    :param warn: tells the operator what does not stop the release.
    """

    def __init__(
        self,
        kube: Kube,
        runner: Runner,
        params: Mapping[str, Any],
        path: str,
        start: Start,
        warn: Callable[[str], object],
    ) -> None:
        self._kube, self._params, self._start, self._warn = kube, params, start, warn
        self._wanted = Wanted.of(dict(params["app"]))
        self._helm = Helm(kube, runner)
        before = start.release.values if start.release else {}
        values = {**params["values"], **{key: before[key] for key in _KEPT if key in before}}
        # Helm looks every two seconds whether the pods serve; here it is seen at once.
        self._chart = chart_of(params, path, self._wanted.name, self._wanted.namespace, values=values, wait=False)
        self._chart.labels[STATE_LABEL] = ROLLING_OUT
        self._plan = Plan()

    def run(self, check_mode: bool) -> dict[str, Any]:
        """:raises StackError: with ``served`` and whether something ``started`` to change."""
        try:
            return self._run(check_mode)
        except StackError as error:
            error.result.setdefault("started", False)
            error.result["served"] = self._start.served
            raise

    def _run(self, check_mode: bool) -> dict[str, Any]:
        found = self._look_ahead(check_mode)
        reason = self._in_the_way(found)
        if reason:
            return self._start.otherwise(reason)
        self._chart.values[RECORD] = {
            "commit": self._params["commit"],
            "schema": schema(found.get("applied") or []),
            "unknown": found.get("unknown") or [],
            "restore_point": {},
        }
        result = {
            **self._start.otherwise(""),
            "changed": self._plan.changed,
            "released": True,
            "plan": self._plan.describe(),
            "diff": self._plan.diff(),
            "revision": self._helm.expected[0],
        }
        return result if check_mode else {**result, **self._carry_out(self._try())}

    # -- before anything starts --------------------------------------------------------------------------------
    def _look_ahead(self, check_mode: bool) -> dict[str, Any]:
        """What the new image would do to the schema, as the module django_manage tells it.

        Its pod is the one that serves, with the new image: nothing else differs. While it starts, the chart is
        rendered, and the policy, the server and Helm's plan are asked.
        """
        migrations = self._params["migrations"]
        if migrations["driver"] == "none":
            self._prepare()
            return {"pending": [], "applied": [], "unknown": []}
        task = Task(
            Request("migrate", driver=migrations["driver"], extra_args=tuple(migrations["arguments"]), plan=True),
            app=self._wanted.name,
            namespace=self._wanted.namespace,
            workload=self._wanted.name,
            image=str(self._chart.values["image"]),
            directory=migrations["directory"],
            timeout=self._params["wait_timeout"],
            public_hosts=self._public_hosts(),
        )
        manage = Manage(self._kube, task, meanwhile=self._prepare)
        return manage.foretell() if check_mode else manage.run()

    def _public_hosts(self) -> tuple[str, ...]:
        """Those that Django's settings must fit; none for what is not exposed or is another kind of program."""
        policy = self._params["policy"]
        return tuple(policy["hosts"]) if policy["django"] and self._params["url"] else ()

    def _prepare(self) -> None:
        """:raises StackError: for what the policy or the server has against the release."""
        policy, target = self._params["policy"], self._chart.target
        newest = self._start.release.revision if self._start.release else 0
        self._plan = self._helm.plan(
            self._chart, lambda rendered: check(self._kube, rendered, policy, target), only_after=[newest]
        )

    def _in_the_way(self, found: Mapping[str, Any]) -> str:
        """Why the release needs its steps; empty when it does not."""
        pending = found["pending"]
        if pending is None:
            return "what it does to the schema is not known yet"
        if pending:
            return f"migrations are pending: {', '.join(one['migration'] for one in pending)}"
        accepted = (self._start.served or {}).get("unknown") or []
        unknown = [name for name in found["unknown"] or [] if name not in accepted]
        return f"it does not know migrations that are applied: {', '.join(unknown)}" if unknown else ""

    def _try(self) -> list[Outcome]:
        """What a pod of the new version answers that nobody is sent to; nothing when no other pods are to come.

        Not before the schema was looked at: there are images that migrate when they start.
        """
        params, live = self._params, live_pod(self._kube, self._chart)
        image = str(self._chart.values["image"])
        if not params["trial"] or not live or pick_container(live)["image"] == image:
            return []
        name, namespace, seconds = self._wanted.name, self._wanted.namespace, params["wait_timeout"]
        checks, host = params["checks"], params["public_host"]
        return try_out(self._kube, live, checks, host, app=name, namespace=namespace, image=image, timeout=seconds)

    # -- what users notice -------------------------------------------------------------------------------------
    def _carry_out(self, outcomes: list[Outcome]) -> dict[str, Any]:
        try:
            self._plan.execute()
            self._helm.wait(self._chart)
            outcomes = outcomes + self._look()
            revision = self._helm.made or self._helm.expected[0]
            releases = read_releases(self._kube, self._wanted.namespace, self._wanted.name)
            check_newest(self._chart.target, releases, [revision])
            release = releases[0]
            lines = read_log(self._kube, self._wanted, release, self._params, self._warn) if self._plan.changed else []
        except StackError as error:
            error.result["started"] = self._plan.changed
            error.result["revision"] = self._helm.made
            raise
        return {
            "revision": revision,
            "outcomes": [outcome.as_dict() for outcome in outcomes],
            "suspicious": lines[:SHOWN],
            **note(self._kube, self._wanted, release, check_mode=False, warn=self._warn),
        }

    def _look(self) -> list[Outcome]:
        """:raises StackError: when a check does not hold, inside the cluster or from outside."""
        params, outcomes = self._params, []
        address = services(self._kube, self._helm.rendered).get(self._wanted.name)
        if address:
            url = f"http://{address}"
            outcomes = look_until(url, params["checks"], Http(plain=True), _INSIDE_SECONDS, params["public_host"])
            check_held(url, outcomes)
        if params["url"]:
            http = Http(ca_file=params["ca_file"])
            outside = look_until(params["url"], params["checks"], http, _OUTSIDE_SECONDS)
            check_held(params["url"], outside)
            visit = log_in(params["url"], params, http, lambda: self._kube)
            check_held(params["url"], visit)
            outcomes = [*outcomes, *outside, *visit]
        return outcomes
