# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short-lived Jobs: started once, followed to their end, cleaned up. Private to this collection."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import (
    ApiError,
    Channel,
    Conflict,
    Kube,
    Object,
    Ref,
    Timeout,
    app_labels,
    selector_of,
)

PURPOSE_LABEL = "app.kubernetes.io/name"
#: What a Job is for whose pod serves until its owner ends it; nobody needs one any more once a release is complete.
TRIAL = "release-trial"
#: A Job that its owner does not clean up any more (the machine went down) goes away by itself.
_TTL_SECONDS = 300
#: How much longer than its owner's patience a Job may live: the owner reads the log first.
_GRACE_SECONDS = 30
#: A finished Job of another run belongs to that run for this long; afterwards it counts as left behind.
_LEFT_BEHIND_SECONDS = 10
_LOG_LINES = 20_000

#: Waiting reasons of a container that do not heal by themselves. The kubelet takes turns in the words for one image.
IMAGE_REASONS = frozenset({"InvalidImageName", "ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff"})
_HOPELESS_REASONS = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_STUCK_REASONS = IMAGE_REASONS | {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
#: In containerd's message when a registry does not have the image.
_NOT_FOUND = "not found"
#: Seconds that a pod is given to get over it: an image may just arrive, a Secret just be written.
_PATIENCE = 20.0


#: Reads the exit code out of a log: ``None`` while the program has not said its last word.
LastWord = Callable[[str], "int | None"]
#: Waits for a pod of which ``holds(pod)`` is true, and returns it.
PodWhen = Callable[[Callable[[Object], bool]], Object]
#: Seconds after which a program begins although nobody has told it to by a line on its standard input.
BEGINS_ALONE_AFTER = 5


@dataclass(frozen=True)
class Outcome:
    """How a Job's pod ended.

    :param rc: exit code of the watched container; -1 when there is none.
    :param reason: Kubernetes' word for the end, ``Completed``, ``Error``, ``OOMKilled``.
    """

    rc: int
    log: str
    reason: str = ""
    pod: str = ""


class NotStarted(StackError):
    """The pod of a Job could not start. ``reason`` is Kubernetes' word for it."""

    def __init__(self, message: str, hint: str, *, reason: str, events: list[str]) -> None:
        super().__init__(message, hint, reason=reason, events=events)
        self.reason = reason


@dataclass(frozen=True)
class Clock:
    """Time, replaceable in tests."""

    now: Callable[[], float] = field(default=time.monotonic)
    sleep: Callable[[float], None] = field(default=time.sleep)


def short_hash(*parts: Any) -> str:
    """Eight hex digits that stand for the parts, the same in every run."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def job_name(app: str, purpose: str, *identity: Any) -> str:
    """A name that two runs with the same purpose share, so that the second one finds the first."""
    suffix = f"-{purpose}-{short_hash(app, purpose, *identity)}"
    return app[: 63 - len(suffix)].rstrip("-.") + suffix


def job_labels(app: str, what: str) -> dict[str, str]:
    """Labels of a Job for an application, by which :func:`sweep` finds it."""
    return {PURPOSE_LABEL: what, **app_labels(app)}


def build_job(
    name: str,
    namespace: str,
    pod_template: Object,
    *,
    labels: dict[str, str],
    timeout: int,
    annotations: dict[str, str] | None = None,
) -> Object:
    """A Job that runs its pod once, ends by itself and disappears by itself."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(labels),
            **({"annotations": dict(annotations)} if annotations else {}),
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": timeout + _GRACE_SECONDS,
            "ttlSecondsAfterFinished": _TTL_SECONDS,
            "template": pod_template,
        },
    }


def run_job(
    kube: Kube,
    job: Object,
    container: str,
    *,
    timeout: float,
    image_may_arrive: bool = True,
    last_word: LastWord | None = None,
    clock: Clock | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Outcome:
    """Start a Job, follow it to its end, read its log and delete it.

    The name is a lock: while another run's Job of that name is active this one waits for it.

    :param container: whose exit code and log count.
    :param image_may_arrive: ``False`` ends it as soon as the registry says that it does not have the image. Any other
        trouble with an image is waited for in any case, as is this one otherwise: registries and networks have moments.
    :param last_word: the exit code, as soon as the log shows that the program is through. It is listened to from its
        start, one to two seconds before the kubelet notices that it runs: it must wait for a line on its standard input
        before it says anything, at most ``BEGINS_ALONE_AFTER`` seconds.
    :param meanwhile: done while the pod starts, which takes a second.
    :raises NotStarted: when the pod cannot start (image, Secret, admission).
    :raises Timeout: when it does not end in time; it is stopped then.
    """
    clock = clock or Clock()
    if last_word:
        job = _with_input(job, container)
    ref = Ref.of(job)
    created = _create_alone(kube, job, ref, clock.now() + timeout, clock)
    deadline = clock.now() + timeout
    try:
        if meanwhile:
            meanwhile()
        trouble = _Trouble(kube, ref, created["metadata"]["uid"], clock, image_may_arrive=image_may_arrive)
        return _follow(kube, ref, created["metadata"]["uid"], container, deadline, timeout, trouble, last_word, clock)
    finally:
        kube.delete(ref)


def sweep(kube: Kube, namespace: str, app: str, *, now: datetime | None = None) -> list[str]:
    """Delete the Jobs for an application whose owner was killed, once a release is complete; returns their names."""
    now = now or datetime.now(UTC)

    def left(job: Object) -> bool:
        ended = _ended_at(job)
        if job["metadata"]["labels"].get(PURPOSE_LABEL) == TRIAL:
            return True
        return ended is not None and (now - ended).total_seconds() >= _LEFT_BEHIND_SECONDS

    jobs = kube.find("batch/v1", "Job", namespace, selector_of(app_labels(app)))
    return [ref.name for ref in (Ref.of(job) for job in jobs if left(job)) if kube.delete(ref)]


@contextlib.contextmanager
def running_job(
    kube: Kube,
    job: Object,
    container: str,
    *,
    timeout: float,
    clock: Clock | None = None,
) -> Iterator[str]:
    """The name of a Job's pod while the block works in it; the Job is deleted at the end of the block.

    :param container: that has to run.
    :raises NotStarted: when the pod cannot start (image, Secret, admission).
    :raises Timeout: when it does not run in time.
    """
    with started_job(kube, job, container, timeout=timeout, clock=clock) as pod_when:
        pod = pod_when(lambda pod: _running(pod, container) or _answers(kube, pod, container))
        yield pod["metadata"]["name"]


@contextlib.contextmanager
def started_job(
    kube: Kube,
    job: Object,
    container: str,
    *,
    timeout: float,
    clock: Clock | None = None,
) -> Iterator[PodWhen]:
    """What waits for a Job's pod until a condition holds of it; the Job is deleted at the end of the block.

    It raises NotStarted when the pod cannot start (image, Secret, admission), StackError with its ``log`` when it ends
    before, and Timeout.

    :param container: whose end counts.
    """
    clock = clock or Clock()
    ref = Ref.of(job)
    deadline = clock.now() + timeout
    uid = _create_alone(kube, job, ref, deadline, clock)["metadata"]["uid"]
    trouble = _Trouble(kube, ref, uid, clock)

    def pod_when(holds: Callable[[Object], bool]) -> Object:
        while True:
            pod = _pod_of(kube, ref, uid)
            if pod is not None and holds(pod):
                return pod
            if pod is not None and _over(pod):
                outcome = _outcome(kube, pod, container)
                raise StackError(f"The pod of {ref} ended with {outcome.rc} ({outcome.reason}).", log=outcome.log)
            trouble.check(pod)
            if clock.now() >= deadline:
                raise Timeout(
                    f"The pod of {ref} was not ready within {timeout:.0f} s.",
                    "Look at its events for what it waits for.",
                    log=log_of(kube, pod, container) if pod else "",
                    events=_events(kube, ref, uid, pod),
                )
            clock.sleep(trouble.pace)

    try:
        yield pod_when
    finally:
        kube.delete(ref)


def _create_alone(kube: Kube, job: Object, ref: Ref, deadline: float, clock: Clock) -> Object:
    left_since: float | None = None
    while True:
        try:
            return kube.create(job)
        except Conflict:
            other = kube.get(ref)
        if other is None:
            continue
        finished = _end(other) is not None
        if finished or _stuck(kube, ref, other):
            left_since = clock.now() if left_since is None else left_since
            # An owner that lives reads the log, or gives a pod up that cannot start.
            if clock.now() - left_since >= (_LEFT_BEHIND_SECONDS if finished else _PATIENCE + _LEFT_BEHIND_SECONDS):
                kube.delete(ref)
        else:
            left_since = None
        if clock.now() >= deadline:
            raise StackError(
                f"{ref} of another run is still active.",
                f"Wait for it, or look at it with: kubectl -n {ref.namespace} logs job/{ref.name}",
            )
        clock.sleep(0.5)


def _end(job: Object) -> Object | None:
    """The condition that says so, when a Job has ended."""
    conditions = (job.get("status") or {}).get("conditions") or []
    ends = (c for c in conditions if c.get("type") in ("Complete", "Failed") and c.get("status") == "True")
    return next(ends, None)


def _ended_at(job: Object) -> datetime | None:
    end = _end(job)
    return datetime.fromisoformat(end["lastTransitionTime"].replace("Z", "+00:00")) if end else None


def _stuck(kube: Kube, ref: Ref, job: Object) -> bool:
    pod = _pod_of(kube, ref, job["metadata"]["uid"])
    return pod is not None and bool(_trouble(pod)[0])


def _follow(
    kube: Kube,
    ref: Ref,
    uid: str,
    container: str,
    deadline: float,
    timeout: float,
    trouble: _Trouble,
    last_word: LastWord | None,
    clock: Clock,
) -> Outcome:
    with contextlib.closing(_Listener(kube, container, last_word, clock)) as listener:
        while True:
            pod = _pod_of(kube, ref, uid)
            if pod is not None:
                if _over(pod):
                    return _outcome(kube, pod, container)
                log, rc = listener.hear(pod)
                if rc is not None:
                    return Outcome(rc, log, "Completed" if rc == 0 else "Error", pod["metadata"]["name"])
            trouble.check(pod)
            if clock.now() >= deadline:
                raise Timeout(
                    f"{ref} did not end within {timeout:.0f} s and was stopped.",
                    "Raise the timeout, or find out what it waits for in its log and events.",
                    log=log_of(kube, pod, container) if pod else "",
                    events=_events(kube, ref, uid, pod),
                )
            listener.wait(trouble.pace)


class _Listener:
    """Hears a container's program from its first word to its last.

    The kubelet shows a log only when it has noticed that the container runs, one to two seconds late; who attaches asks
    the container runtime. Where nobody can attach, or the connection breaks, the log is read.

    :param last_word: where there is none, there is nothing to listen for.
    """

    def __init__(self, kube: Kube, container: str, last_word: LastWord | None, clock: Clock) -> None:
        self._kube, self._container, self._clock = kube, container, clock
        self._last_word = last_word
        self._channel: Channel | None = None
        self._tries = True
        self._heard = bytearray()

    def hear(self, pod: Object) -> tuple[str, int | None]:
        """What the program has said so far, and its exit code when it is through."""
        if self._last_word is None:
            return "", None
        running = _running(pod, self._container)
        if self._channel is None and self._tries and (running or _placed(pod)):
            self._attach(pod, last=running)
        if self._channel is None:
            log = log_of(self._kube, pod, self._container) if running and not self._tries else ""
            return log, self._last_word(log)
        log = self._heard.decode(errors="replace")
        rc = self._last_word(log)
        if rc is None and not self._channel.is_open:
            self.close()
        return log, rc

    def wait(self, seconds: float) -> None:
        """So long, or until the program has ended. Its words come one by one, and each look at its pod is a request."""
        until = self._clock.now() + seconds
        while self._channel is not None and self._channel.is_open and (left := until - self._clock.now()) > 0:
            with contextlib.suppress(StackError):  # the connection broke: it is not open any more
                for words in self._channel.receive(left):
                    self._heard += words
        if self._channel is None:
            self._clock.sleep(seconds)

    def _attach(self, pod: Object, last: bool) -> None:
        """:param last: whether the kubelet knows of the container: then it must work."""
        try:
            self._channel = self._kube.attach(pod["metadata"]["namespace"], pod["metadata"]["name"], self._container)
            self._channel.send(b"\n")
        except StackError:
            self._tries = not last
            if self._channel is not None:
                self.close()

    def close(self) -> None:
        """From now on only the log tells."""
        if self._channel is not None:
            self._channel.close()
            self._channel, self._tries = None, False


def _with_input(job: Object, container: str) -> Object:
    """The Job with a container that one listener can attach to."""
    job = copy.deepcopy(job)
    for one in job["spec"]["template"]["spec"]["containers"]:
        if one["name"] == container:
            one.update(stdin=True, stdinOnce=True)
    return job


def _answers(kube: Kube, pod: Object, container: str) -> bool:
    """Whether something can be run in the container: one to two seconds before the pod's status says that it runs."""
    if not _placed(pod):
        return False
    try:
        return kube.exec(pod["metadata"]["namespace"], pod["metadata"]["name"], ["true"], container=container).rc == 0
    except StackError:
        return False


class _Trouble:
    """Watches a Job from its creation for what keeps its pod from running."""

    def __init__(self, kube: Kube, ref: Ref, uid: str, clock: Clock, *, image_may_arrive: bool = True) -> None:
        self._kube, self._ref, self._uid = kube, ref, uid
        self._clock, self._image_may_arrive = clock, image_may_arrive
        self._started = clock.now()
        self._stuck_since: float | None = None

    @property
    def pace(self) -> float:
        """Seconds between two looks."""
        return 0.1 if self._clock.now() - self._started < 5 else 0.5

    def check(self, pod: Object | None) -> None:
        """:raises StackError: when the pod will not get on."""
        now = self._clock.now()
        reason, message = _trouble(pod) if pod else ("", "")
        if not reason:
            self._stuck_since = None
        else:
            self._stuck_since = now if self._stuck_since is None else self._stuck_since
            absent = not self._image_may_arrive and reason in IMAGE_REASONS and _NOT_FOUND in message
            if absent or reason in _HOPELESS_REASONS or now - self._stuck_since >= _PATIENCE:
                raise _not_started(self._kube, self._ref, pod, self._uid, reason, message)
        if pod is None and now - self._started >= 5:
            _check_without_pod(self._kube, self._ref, self._uid)


def _check_without_pod(kube: Kube, ref: Ref, uid: str) -> None:
    """A Job without a pod: refused by admission or quota, or deleted by someone else."""
    if kube.get(ref) is None:
        raise StackError(f"{ref} was deleted while it ran.", "Run again; nothing else must delete it.")
    events = _events(kube, ref, uid, None)
    if any(event.startswith("FailedCreate") for event in events):
        raise _not_started(kube, ref, None, uid, "FailedCreate", events[-1])


def _pod_of(kube: Kube, ref: Ref, uid: str) -> Object | None:
    pods = [
        pod
        for pod in kube.find("v1", "Pod", ref.namespace, f"batch.kubernetes.io/job-name={ref.name}")
        if any(owner.get("uid") == uid for owner in pod["metadata"].get("ownerReferences") or [])
    ]
    return max(pods, key=lambda pod: pod["metadata"].get("creationTimestamp") or "", default=None)


def _statuses(pod: Object) -> list[Object]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _over(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _placed(pod: Object) -> bool:
    """Whether a node has it: its containers may run, whatever its status says."""
    return bool((pod.get("spec") or {}).get("nodeName"))


def _running(pod: Object, container: str) -> bool:
    return any(s.get("name") == container and "running" in (s.get("state") or {}) for s in _statuses(pod))


def _trouble(pod: Object) -> tuple[str, str]:
    """Why a pod does not get on: (reason, message), empty when it does."""
    for status in _statuses(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _STUCK_REASONS:
            return str(waiting["reason"]), str(waiting.get("message") or "")
    return "", ""


def _outcome(kube: Kube, pod: Object, container: str) -> Outcome:
    rc, reason = -1, str((pod.get("status") or {}).get("reason") or "")
    for status in _statuses(pod):
        ended = (status.get("state") or {}).get("terminated")
        if ended and (status.get("name") == container or (rc == -1 and ended.get("exitCode"))):
            rc, reason = int(ended.get("exitCode") or 0), str(ended.get("reason") or reason)
    return Outcome(rc, log_of(kube, pod, container), reason, pod["metadata"]["name"])


def log_of(kube: Kube, pod: Object, container: str) -> str:
    try:
        return kube.logs(pod["metadata"]["namespace"], pod["metadata"]["name"], container, tail=_LOG_LINES)
    except ApiError as error:
        if error.status in (400, 404):  # the container never ran: there is no log
            return ""
        raise


def _events(kube: Kube, ref: Ref, uid: str, pod: Object | None) -> list[str]:
    """Warnings about the Job and its pod, ``Reason: message``, oldest first."""
    uids = {uid, (pod or {}).get("metadata", {}).get("uid")}
    found = [
        event
        for event in kube.find("v1", "Event", ref.namespace)
        if event.get("type") == "Warning" and (event.get("involvedObject") or {}).get("uid") in uids
    ]
    found.sort(key=lambda event: event.get("lastTimestamp") or event["metadata"].get("creationTimestamp") or "")
    lines = [f"{event.get('reason')}: {event.get('message')}" for event in found]
    return list(dict.fromkeys(lines))[-10:]


def _not_started(kube: Kube, ref: Ref, pod: Object | None, uid: str, reason: str, message: str) -> NotStarted:
    events = _events(kube, ref, uid, pod)
    detail = message or (events[-1] if events else "no message")
    hint = (
        "Push the image first, or correct its name and the pull Secret."
        if reason in IMAGE_REASONS
        else "Create what the message names, then run again."
    )
    return NotStarted(f"The pod of {ref} could not start ({reason}): {detail}", hint, reason=reason, events=events)
