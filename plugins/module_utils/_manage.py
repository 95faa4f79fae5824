# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One management command of one application: where it runs, and what came of it. Private to this collection."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils import _django, _runner
from ansible_collections.railiance.stack.plugins.module_utils._django import Migrations, Request, Seed, Target, Verdict
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._jobs import (
    BEGINS_ALONE_AFTER,
    IMAGE_REASONS,
    Clock,
    NotStarted,
    build_job,
    job_labels,
    job_name,
    run_job,
)
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref, selector_of
from ansible_collections.railiance.stack.plugins.module_utils._manage_pod import (
    Mask,
    build_pod,
    pick_container,
    secret_references,
    without_claims_to_come,
)
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step
from ansible_collections.railiance.stack.plugins.module_utils._policy import settings_violations
from ansible_collections.railiance.stack.plugins.module_utils._runner import Command, Ran

_PASSWORD_VARIABLE = "DJANGO_SUPERUSER_PASSWORD"  # noqa: S105  the name Django gives it
_LAST_LINES = 15
#: The time of a command is kept in its container, which can end what hangs in the database. The Job gets more: for the
#: pod to start, and for the end.
_AROUND_SECONDS = 45


@dataclass(frozen=True)
class Task:
    """What is asked for.

    :param superuser: environment of createsuperuser, without its password.
    :param password: name and key of the Secret with that password.
    :param public_hosts: names by which the world reaches it; a look refuses Django's settings that do not fit them.
    """

    request: Request
    app: str
    namespace: str
    workload: str
    pod_template: Object | None = None
    container: str = ""
    image: str = ""
    image_available: bool = True
    mode: str = "job"
    directory: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    password: tuple[str, str] | None = None
    timeout: int = 300
    public_hosts: tuple[str, ...] = ()

    @classmethod
    def of(cls, params: dict[str, Any]) -> Task:
        """:raises StackError: for options that cannot mean anything."""
        request = Request(
            command=params["command"],
            driver=params["driver"],
            python=params["python"],
            manage=params["manage"],
            settings=params["settings"] or "",
            pythonpath=params["pythonpath"] or "",
            database=params["database"] or "",
            apps=tuple(params["apps"]),
            cache_table=params["cache_table"] or "",
            fixtures=tuple(params["fixtures"]),
            tags=tuple(params["tags"]),
            clear=params["clear"],
            link=params["link"],
            deploy=params["deploy"],
            fail_level=params["fail_level"] or "",
            skip_checks=params["skip_checks"],
            verbosity=params["verbosity"],
            extra_args=tuple(params["extra_args"]),
            changed_pattern=params["changed_pattern"] or "",
            targets=tuple(Target(one["app"] or "", one["migration"] or "") for one in params["targets"]),
            plan=params["plan"],
            seed=Seed(**params["seed"]) if params["seed"] else None,
        )
        _django.check_request(request)
        if params["mode"] == "exec" and (params["image"] or params["pod_template"]):
            raise StackError(
                "A running pod keeps its image: image and pod_template go with mode: job only.",
                "Remove them, or use mode: job.",
            )
        environment = {name: str(value) for name, value in params["environment"].items()}
        for name, value in (("USERNAME", params["username"]), ("EMAIL", params["email"])):
            if value:
                environment[f"DJANGO_SUPERUSER_{name}"] = value
        secret = params["password_secret"]
        return cls(
            request=request,
            app=params["app"],
            namespace=params["namespace"] or params["app"],
            workload=params["workload"] or params["app"],
            pod_template=params["pod_template"],
            container=params["container"] or "",
            image=params["image"] or "",
            image_available=params["image_available"],
            mode=params["mode"],
            directory=params["project_path"] or "",
            environment=environment,
            password=(secret["name"], secret["key"]) if secret else None,
            timeout=params["timeout"],
            public_hosts=tuple(params["public_hosts"]),
        )


class Manage:
    """Runs the task, or says what it would do.

    :param meanwhile: done while the Job's pod starts.
    """

    def __init__(
        self, kube: Kube, task: Task, clock: Clock | None = None, meanwhile: Callable[[], object] | None = None
    ) -> None:
        self.kube = kube
        self.task = task
        self._clock = clock
        self._meanwhile = meanwhile

    # -- check mode ------------------------------------------------------------------------------------------
    def foretell(self, image_may_come: bool = True) -> dict[str, Any]:
        """The result without a change: at most a read-only look.

        :param image_may_come: in check mode an image may be one that a step before would have pushed.
        :raises NotStarted: when the image cannot be pulled and nothing is left that could bring it.
        """
        commands = _django.reading(self.task.request, self._lock_name())
        if not commands:
            return self._foretold("not run in check mode", changed=not _django.changes_nothing(self.task.request))
        unknown = self._not_there_yet()
        if unknown:
            return self._foretold(unknown)
        try:
            return self._carry_out(commands, looking=True)
        except NotStarted as error:
            if error.reason not in IMAGE_REASONS or not image_may_come:
                raise
            return self._foretold(f"known once the image can be pulled: {error.message}")

    def _not_there_yet(self) -> str:
        """Why nothing can be read yet; empty when it can."""
        task = self.task
        if not task.image_available:
            return "known after the push"
        if self.kube.get(Ref("v1", "Namespace", task.namespace)) is None:
            return f"known once Namespace {task.namespace} exists"
        template = task.pod_template or self._deployment_template()
        if template is None:
            return f"known once Deployment {task.namespace}/{task.workload} exists"
        for name, optional in sorted(secret_references(template).items()):
            if not optional and self._secret(name) is None:
                return f"known once Secret {task.namespace}/{name} exists"
        return ""

    def _foretold(self, note: str, changed: bool = True) -> dict[str, Any]:
        plan = Plan([Step("run", self._target(), note=note)] if changed else [])
        return self._result(plan, Verdict(changed), [], executed_by=None, image=self.task.image)

    # -- for real --------------------------------------------------------------------------------------------
    def run(self) -> dict[str, Any]:
        """:raises StackError: when the command fails, with rc, stdout, stderr and cmd."""
        if self.task.request.plan:
            return self.foretell(image_may_come=False)
        return self._carry_out(_django.commands(self.task.request, self._lock_name()))

    def _carry_out(self, commands: list[Command], looking: bool = False) -> dict[str, Any]:
        """:param looking: nothing is to change, so nobody needs a password."""
        task = self.task
        template = task.pod_template or self._deployment_template()
        if template is None:
            raise StackError(
                f"Deployment {task.namespace}/{task.workload} does not exist, and no pod_template is given.",
                "Release the application first, or pass the pod template of the release.",
            )
        secrets = [secret for name in secret_references(template) if (secret := self._secret(name))]
        password = None if looking else self._password_secret()
        mask = Mask([*secrets, *([password] if password else [])])
        image = task.image or pick_container(template, task.container)["image"]
        try:
            log, executed = self._start(template, commands, looking, password)
        except StackError as error:
            raise _masked_error(error, mask) from None
        ran, stray = _runner.parse(log, commands)
        if _runner.stopped(log):
            raise _masked_error(self._stopped(_runner.stopped(log), commands, ran, executed), mask)
        verdict = _django.judge(task.request, ran)
        if verdict is None:
            raise _masked_error(self._failure(commands, ran, stray, executed), mask)
        found = verdict.migrations
        if found and found.verdict == "impossible" and not looking:
            raise _masked_error(_no_way_back(found, executed), mask)
        if found and found.settings and looking and task.public_hosts:
            self._check_settings(found.settings)
        pending = [_named(one) for one in found.pending] if found else []
        plan = Plan([_step(self._target(), pending)] if verdict.changed else [])
        cmd = _django.failed_step(commands, ran)[0].line
        result = self._result(plan, verdict, cmd, executed_by=task.mode, image=image)
        return {key: value if key in _NAMES else _masked(value, mask) for key, value in result.items()}

    def _check_settings(self, settings: dict[str, Any]) -> None:
        """:raises StackError: naming the settings of Django that are not fit for the public."""
        broken = settings_violations(settings, self.task.public_hosts)
        if broken:
            raise StackError(
                f"{self.task.namespace}/{self.task.app} is not released: {' '.join(broken)}",
                "Correct the settings; the release gives the right values in the environment variables of these names.",
                violations=broken,
            )

    def _lock_name(self) -> str:
        """Name of the Job that may change something: the same for every command and every image of an application.

        It also names the sessions in PostgreSQL.
        """
        return job_name(self.task.app, "manage", self.task.namespace)

    def _start(
        self, template: Object, commands: list[Command], looking: bool, password: Object | None
    ) -> tuple[str, str]:
        """:returns: the log and where it comes from."""
        if self.task.mode == "job":
            return self._in_job(template, commands, looking)
        return self._in_pod(commands, password)

    def _in_job(self, template: Object, commands: list[Command], looking: bool) -> tuple[str, str]:
        task = self.task
        template = without_claims_to_come(self.kube, template, task.namespace)
        container = pick_container(template, task.container)["name"]
        env: list[Object] = [{"name": name, "value": value} for name, value in task.environment.items()]
        if task.password and not looking:
            name, key = task.password
            env.append({"name": _PASSWORD_VARIABLE, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}})
        labels = job_labels(task.app, "management-command")
        argv = _runner.runner_argv(
            task.request.python, commands, task.directory, timeout=task.timeout, wait=BEGINS_ALONE_AFTER
        )
        pod = build_pod(template, container, argv, labels=labels, image=task.image, env=env)
        name = self._lock_name()
        if looking or _django.changes_nothing(task.request):
            purpose = task.request.command.replace("_", "-").lower()[:30] + "-look"
            name = job_name(task.app, purpose, task.namespace, task.request.driver)
        job = build_job(
            name,
            task.namespace,
            pod,
            labels=labels,
            timeout=task.timeout + _AROUND_SECONDS,
        )
        outcome = run_job(
            self.kube,
            job,
            container,
            timeout=task.timeout + _AROUND_SECONDS,
            last_word=_runner.last_word,
            clock=self._clock,
            meanwhile=self._meanwhile,
            image_may_arrive=not looking,
        )
        where = f"Job {task.namespace}/{job['metadata']['name']}"
        if outcome.reason not in ("", "Completed", "Error"):
            where += f" ({outcome.reason})"
        return outcome.log, where

    def _in_pod(self, commands: list[Command], password: Object | None) -> tuple[str, str]:
        task = self.task
        pod = self._running_pod()
        name = pod["metadata"]["name"]
        container = pick_container(pod, task.container)["name"]
        handed = dict(task.environment)
        if task.password and password:
            handed[_PASSWORD_VARIABLE] = _decoded(password, task.password[1])
        argv = _runner.runner_argv(
            task.request.python, commands, task.directory, stdin=bool(handed), timeout=task.timeout
        )
        stdin = json.dumps(handed) if handed else None
        done = self.kube.exec(task.namespace, name, argv, container=container, stdin=stdin, timeout=float(task.timeout))
        return done.stdout + done.stderr, f"Pod {task.namespace}/{name}"

    # -- what is there ---------------------------------------------------------------------------------------
    def _secret(self, name: str) -> Object | None:
        return self.kube.get(Ref("v1", "Secret", name, self.task.namespace))

    def _deployment(self) -> Object | None:
        return self.kube.get(Ref("apps/v1", "Deployment", self.task.workload, self.task.namespace))

    def _deployment_template(self) -> Object | None:
        deployment = self._deployment()
        return dict(deployment["spec"]["template"]) if deployment else None

    def _running_pod(self) -> Object:
        task = self.task
        deployment = self._deployment() or {}
        labels = ((deployment.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        selector = selector_of(labels)
        pods = self.kube.find("v1", "Pod", task.namespace, selector) if selector else []
        ready = [pod for pod in pods if _ready(pod)]
        if not ready:
            raise StackError(
                f"Deployment {task.namespace}/{task.workload} has no pod that is ready.",
                f"Look at it with: kubectl -n {task.namespace} get pods; or use mode: job.",
            )
        return max(ready, key=lambda pod: str(pod["metadata"].get("creationTimestamp") or ""))

    def _password_secret(self) -> Object | None:
        """:raises NeedsOperator: when there is no password: Django would create a user who cannot log in."""
        if self.task.password is None:
            return None
        name, key = self.task.password
        secret = self._secret(name)
        if not _decoded(secret, key):
            raise NeedsOperator(
                f"Secret {self.task.namespace}/{name} has no {key}: a user without a password cannot log in.",
                f"Put the password under {key} of that Secret.",
            )
        return secret

    # -- telling ---------------------------------------------------------------------------------------------
    def _target(self) -> str:
        return f"{self.task.request.command} of {self.task.namespace}/{self.task.app}"

    def _result(
        self,
        plan: Plan,
        verdict: Verdict,
        cmd: list[str],
        *,
        executed_by: str | None,
        image: str,
    ) -> dict[str, Any]:
        result: dict[str, Any] = {
            "changed": plan.changed and not self.task.request.plan,
            "plan": plan.describe(),
            "diff": plan.diff(),
            "rc": verdict.rc,
            "stdout": verdict.stdout,
            "stderr": verdict.stderr,
            "cmd": cmd,
            "executed_by": executed_by,
            "image": image,
        }
        if self.task.request.command == "migrate":
            result.update(verdict.migrations.result() if verdict.migrations else _django.NOT_KNOWN)
        if verdict.rows is not None:
            result.update(rows=verdict.rows, logins=verdict.logins)
        return result

    def _failure(self, commands: list[Command], ran: dict[str, Ran], stray: str, where: str) -> StackError:
        command, outcome = _django.failed_step(commands, ran)
        refused = _django.told(outcome).get("refused")
        if refused:
            return NeedsOperator(
                f"{refused['message']} Nothing of it was kept.",
                "Correct the command, or leave it out in production.",
                **self._ended(command, outcome, stray),
            )
        said = outcome.stderr.strip() or _django.without_marks(outcome.stdout).strip() or stray
        ended = f"ended with {outcome.rc}" if outcome.rc >= 0 else "did not end by itself"
        return StackError(
            f"'{_words(command)}' {ended} in {where}: " + "\n".join(said.splitlines()[-_LAST_LINES:]),
            "Correct the cause and run again.",
            **self._ended(command, outcome, stray),
            **self._state(ran),
        )

    def _stopped(self, why: str, commands: list[Command], ran: dict[str, Ran], where: str) -> StackError:
        """The time was over, or the pod was told to end."""
        command, outcome = _django.failed_step(commands, ran)
        told = _django.told(ran.get("look"))
        what = f"'{_words(command)}'"
        if why == "timeout":
            message = f"{what} did not end within {self.task.timeout} s in {where} and was stopped."
        else:
            message = f"{where} was told to end while {what} ran."
        hint = "Raise the timeout, or find out what it waits for."
        if "before" not in told and "waiting" in told:
            message += f" It waited for another migration of this database: {told['waiting']['holder']}."
            hint = "Wait until that one is through, then run again."
        sessions = (told.get("ended") or {}).get("sessions") or []
        for session in sessions:
            blocked = f", blocked by {session['blocked_by']}" if session["blocked_by"] else ""
            message += f" Its session in PostgreSQL was ended: {session['query']}{blocked}."
        return StackError(message, hint, sessions=sessions, **self._ended(command, outcome, ""), **self._state(ran))

    def _ended(self, command: Command, outcome: Ran, stray: str) -> dict[str, Any]:
        return {
            "rc": outcome.rc,
            "stdout": _django.without_marks(outcome.stdout),
            "stderr": "\n".join(filter(None, [outcome.stderr, stray])),
            "cmd": command.line,
            "executed_by": self.task.mode,
        }

    def _state(self, ran: dict[str, Ran]) -> dict[str, Any]:
        """What was pending and what the database records now, of a run that failed."""
        if self.task.request.command != "migrate":
            return {}
        found = _django.look_result(ran)
        return found.result() if found else _django.NOT_KNOWN


def _words(command: Command) -> str:
    return " ".join(command.line[1:4])


def _named(migration: dict[str, Any]) -> str:
    return str(migration["migration"]) + (" (backward)" if migration["direction"] == "backward" else "")


def _no_way_back(found: Migrations, where: str) -> NeedsOperator:
    steps = [
        f"{one['migration']} ({operation['description']})"
        for one in found.pending
        for operation in one["operations"]
        if not operation["reversible"]
    ]
    return NeedsOperator(
        f"There is no way back: {', '.join(steps)} cannot be reversed. Nothing was changed.",
        "Restore the database from a restore point made before, or write a new migration that goes forward.",
        executed_in=where,
        **found.result(),
    )


def _step(target: str, pending: list[str]) -> Step:
    if not pending:
        return Step("run", target)
    return Step("run", target, {"pending": pending}, {"pending": []}, note=f"pending: {len(pending)}")


def _ready(pod: Object) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _decoded(secret: Object | None, key: str) -> str:
    return base64.b64decode(((secret or {}).get("data") or {}).get(key) or "").decode()


#: Names that people chose and other tasks compare; a Secret that happens to hold the same word does not hide them.
_NAMES = frozenset({"migration", "direction", "applied", "unknown", "way_back", "plan", "diff", "image", "cmd"})


def _masked(value: Any, mask: Mask) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list):
        return [_masked(one, mask) for one in value]
    if isinstance(value, dict):
        return {key: one if key in _NAMES else _masked(one, mask) for key, one in value.items()}
    return value


def _masked_error(error: StackError, mask: Mask) -> StackError:
    """The error with its texts masked, of the same kind."""
    error.message = mask(error.message)
    error.args = (error.message,)
    error.result = _masked(error.result, mask)
    return error
