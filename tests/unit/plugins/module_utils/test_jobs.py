from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._jobs import (
    Clock,
    NotStarted,
    build_job,
    job_labels,
    job_name,
    run_job,
    sweep,
)
from ansible_collections.railiance.stack.plugins.module_utils._kube import ApiError, Ref, Timeout
from unit.fakes import FakeKube

REF = Ref("batch/v1", "Job", "app-migrate-1", "app")
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "app"}}
TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "x"}]}}


class Time:
    """A clock that runs only while somebody sleeps, with things that happen at given moments."""

    def __init__(self, *events):
        self.seconds = 0.0
        self.events = sorted(events, key=lambda event: event[0])

    def clock(self):
        return Clock(lambda: self.seconds, self.sleep)

    def sleep(self, seconds):
        self.seconds += seconds
        while self.events and self.events[0][0] <= self.seconds:
            self.events.pop(0)[1]()


def job(timeout=60):
    return build_job("app-migrate-1", "app", TEMPLATE, labels={"a": "b"}, timeout=timeout)


def pod(kube, phase="Running", **status):
    kube.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "app-migrate-1-x",
                "namespace": "app",
                "uid": "pod-uid",
                "labels": {"batch.kubernetes.io/job-name": "app-migrate-1"},
                "ownerReferences": [{"uid": kube.objects[REF]["metadata"]["uid"]}],
            },
            "status": {"phase": phase, **status},
        }
    )


def ended(code, reason="Completed"):
    return {"containerStatuses": [{"name": "app", "state": {"terminated": {"exitCode": code, "reason": reason}}}]}


def waiting(reason, message="no"):
    return {"containerStatuses": [{"name": "app", "state": {"waiting": {"reason": reason, "message": message}}}]}


def run(kube, time, timeout=60, **options):
    return run_job(kube, job(timeout), "app", timeout=timeout, clock=time.clock(), **options)


def test_a_job_runs_once_and_ends_and_disappears_by_itself():
    spec = job(60)["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (0, 90, 300)


def test_a_name_fits_and_is_the_same_for_the_same_purpose():
    assert job_name("a" * 63, "migrate", 1) == job_name("a" * 63, "migrate", 1)
    assert len(job_name("a" * 63, "migrate", 1)) == 63
    assert job_name("app", "migrate", 1) != job_name("app", "migrate", 2)


@pytest.mark.parametrize(("phase", "code", "reason"), [("Succeeded", 0, "Completed"), ("Failed", 3, "OOMKilled")])
def test_it_is_followed_to_its_end_and_deleted(phase, code, reason):
    kube = FakeKube(NAMESPACE)
    kube.pod_logs[("app", "app-migrate-1-x")] = "hello"
    time = Time((1, lambda: pod(kube)), (2, lambda: pod(kube, phase, **ended(code, reason))))
    outcome = run(kube, time)
    assert (outcome.rc, outcome.log, outcome.reason) == (code, "hello", reason)
    assert kube.written == ["create Job app/app-migrate-1", "delete Job app/app-migrate-1"]


def test_a_program_that_said_its_last_word_is_not_waited_for():
    kube = FakeKube(NAMESPACE)
    running = {"containerStatuses": [{"name": "app", "state": {"running": {}}}]}

    def say(text):
        kube.pod_logs[("app", "app-migrate-1-x")] = text

    time = Time(
        (1, lambda: (pod(kube, **running), say("working"))),
        (3, lambda: say("through 4\n")),
        (9, lambda: pod(kube, "Failed", **ended(4))),
    )

    def last_word(log):
        return int(log.split()[1]) if log.endswith("\n") else None

    outcome = run_job(kube, job(), "app", timeout=60, last_word=last_word, clock=time.clock())
    assert (outcome.rc, outcome.log) == (4, "through 4\n")
    assert 3 <= time.seconds < 4
    assert REF not in kube.objects


class Words:
    """A channel to a program that says these words one after the other; ``None`` breaks the connection."""

    def __init__(self, time, *words):
        self.time, self.words, self.is_open, self.sent = time, list(words), True, b""

    def send(self, data):
        self.sent += data

    def receive(self, timeout):
        word = self.words.pop(0) if self.words else b""
        self.time.sleep(0 if word else timeout)
        if word is None:
            self.is_open = False
            raise StackError("the connection broke")
        return word, b""

    def close(self):
        self.is_open = False


def last_word(log):
    return int(log.split()[-1]) if log.endswith("through 4\n") else None


def on_a_node(kube):
    pod(kube, "Pending")
    kube.objects[Ref("v1", "Pod", "app-migrate-1-x", "app")]["spec"] = {"nodeName": "node1"}


def test_a_program_is_told_to_begin_and_heard_before_its_pod_is_said_to_run():
    kube, time = FakeKube(NAMESPACE), Time((1, lambda: on_a_node(kube)))
    words = Words(time, b"working\n", b"through", b" 4\n")
    tried = []

    def attach(*where):
        tried.append(where)
        if len(tried) < 3:
            raise ApiError("container not found", status=404)
        return words

    kube.on_attach = attach
    outcome = run_job(kube, job(), "app", timeout=60, last_word=last_word, clock=time.clock())
    assert (outcome.rc, outcome.log, outcome.reason) == (4, "working\nthrough 4\n", "Error")
    assert (words.sent, words.is_open, tried) == (b"\n", False, [("app", "app-migrate-1-x", "app")] * 3)
    assert not [read for read in kube.reads if read.startswith("logs")]


def test_a_talkative_program_costs_no_request_a_word():
    kube, time = FakeKube(NAMESPACE), Time((1, lambda: on_a_node(kube)))
    kube.on_attach = lambda *where: Words(time, *[b"working\n"] * 500, b"through 4\n")
    outcome = run_job(kube, job(), "app", timeout=60, last_word=last_word, clock=time.clock())
    assert outcome.log == "working\n" * 500 + "through 4\n"
    assert len([read for read in kube.reads if read == "list Pod"]) < 20


def test_when_the_connection_breaks_the_log_tells():
    kube = FakeKube(NAMESPACE)
    kube.pod_logs[("app", "app-migrate-1-x")] = "working\nthrough 4\n"
    running = {"containerStatuses": [{"name": "app", "state": {"running": {}}}]}
    time = Time((1, lambda: on_a_node(kube)), (8, lambda: pod(kube, **running)))
    attached = []

    def attach(*where):
        attached.append(where)
        return Words(time, b"working\n", None)

    kube.on_attach = attach
    outcome = run_job(kube, job(), "app", timeout=60, last_word=last_word, clock=time.clock())
    assert (outcome.rc, outcome.log) == (4, "working\nthrough 4\n")
    assert len(attached) == 1


def test_only_a_program_that_is_listened_to_waits_for_its_listener():
    kube = FakeKube(NAMESPACE)
    asked = []
    kube.on_write = lambda kube, verb, ref: (
        asked.append(kube.objects.get(ref, {}).get("spec")) if verb == "create" else 0
    )
    for word in (None, last_word):
        time = Time((1, lambda: pod(kube, "Succeeded", **ended(0))))
        run_job(kube, job(), "app", timeout=60, last_word=word, clock=time.clock())
    plain, listened = (spec["template"]["spec"]["containers"][0] for spec in asked)
    assert plain == TEMPLATE["spec"]["containers"][0]
    assert listened == {**plain, "stdin": True, "stdinOnce": True}


def test_a_failed_init_container_counts():
    kube = FakeKube(NAMESPACE)
    init = [{"name": "init", "state": {"terminated": {"exitCode": 7, "reason": "Error"}}}]
    assert run(kube, Time((1, lambda: pod(kube, "Failed", initContainerStatuses=init)))).rc == 7


def test_a_missing_image_ends_it_with_its_events_and_without_leftovers():
    kube = FakeKube(NAMESPACE)
    kube.put(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "e", "namespace": "app"},
            "type": "Warning",
            "reason": "Failed",
            "message": "not found",
            "involvedObject": {"uid": "pod-uid"},
        }
    )
    time = Time((1, lambda: pod(kube, "Pending", **waiting("ImagePullBackOff", "Back-off pulling image x"))))
    with pytest.raises(NotStarted) as caught:
        run(kube, time)
    assert caught.value.message == (
        "The pod of Job app/app-migrate-1 could not start (ImagePullBackOff): Back-off pulling image x"
    )
    assert caught.value.result == {"reason": "ImagePullBackOff", "events": ["Failed: not found"]}
    assert 20 <= time.seconds < 25
    assert REF not in kube.objects


def test_an_image_that_arrives_late_is_waited_for():
    kube = FakeKube(NAMESPACE)
    time = Time(
        (1, lambda: pod(kube, "Pending", **waiting("ErrImagePull"))),
        (15, lambda: pod(kube)),
        (16, lambda: pod(kube, "Pending", **waiting("ImagePullBackOff"))),
        (30, lambda: pod(kube, "Succeeded", **ended(0))),
    )
    assert run(kube, time).rc == 0


def test_who_does_not_wait_for_an_image_waits_for_a_registry_that_has_a_moment():
    kube = FakeKube(NAMESPACE)
    time = Time(
        (1, lambda: pod(kube, "Pending", **waiting("ErrImagePull", "pull QPS exceeded"))),
        (15, lambda: pod(kube, "Succeeded", **ended(0))),
    )
    assert run(kube, time, image_may_arrive=False).rc == 0


def test_who_does_not_wait_for_an_image_ends_when_the_registry_does_not_have_it():
    kube = FakeKube(NAMESPACE)
    time = Time((1, lambda: pod(kube, "Pending", **waiting("ErrImagePull", "gitea/shop:2: not found"))))
    with pytest.raises(NotStarted, match="not found"):
        run(kube, time, image_may_arrive=False)
    assert time.seconds < 2


def test_the_words_for_one_image_take_turns_and_patience_does_not_begin_anew():
    kube = FakeKube(NAMESPACE)
    turns = [
        (at, lambda reason=reason: pod(kube, "Pending", **waiting(reason)))
        for at, reason in ((1, "ErrImagePull"), (12, "ImagePullBackOff"), (18, "ErrImagePull"))
    ]
    time = Time(*turns)
    with pytest.raises(NotStarted):
        run(kube, time)
    assert 21 <= time.seconds < 23


def test_a_pod_that_is_not_allowed_is_told_by_the_jobs_events():
    kube = FakeKube(NAMESPACE)

    def refuse():
        event = {"type": "Warning", "reason": "FailedCreate", "message": "exceeded quota"}
        meta = {"name": "e", "namespace": "app"}
        owner = {"uid": kube.objects[REF]["metadata"]["uid"]}
        kube.put({"apiVersion": "v1", "kind": "Event", "metadata": meta, **event, "involvedObject": owner})

    with pytest.raises(NotStarted, match="FailedCreate: exceeded quota"):
        run(kube, Time((1, refuse)))


def test_one_that_hangs_is_stopped_and_its_log_kept():
    kube = FakeKube(NAMESPACE)
    kube.pod_logs[("app", "app-migrate-1-x")] = "half way"
    with pytest.raises(Timeout) as caught:
        run(kube, Time((1, lambda: pod(kube))), timeout=20)
    assert caught.value.message == "Job app/app-migrate-1 did not end within 20 s and was stopped."
    assert caught.value.result["log"] == "half way"
    assert REF not in kube.objects


def test_a_second_run_waits_for_the_first():
    kube = FakeKube(NAMESPACE, job())
    time = Time(
        (5, lambda: kube.delete(REF)),
        (7, lambda: pod(kube, "Succeeded", **ended(0))),
    )
    assert run(kube, time).rc == 0
    assert time.seconds >= 7


def test_a_second_run_gives_up_when_the_first_does_not_end():
    kube = FakeKube(NAMESPACE, job())
    with pytest.raises(StackError) as caught:
        run(kube, Time(), timeout=10)
    assert str(caught.value) == (
        "Job app/app-migrate-1 of another run is still active. "
        "Wait for it, or look at it with: kubectl -n app logs job/app-migrate-1"
    )
    assert REF in kube.objects


def test_what_a_crashed_run_left_behind_is_removed_after_a_moment():
    finished = {**job(), "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    kube = FakeKube(NAMESPACE, finished)
    time = Time((12, lambda: pod(kube, "Succeeded", **ended(0))))
    assert run(kube, time).rc == 0
    assert kube.written[0] == "delete Job app/app-migrate-1"
    assert time.seconds >= 10  # its owner gets the time to read the log


def test_a_job_that_cannot_start_and_has_no_owner_any_more_makes_room():
    kube = FakeKube(NAMESPACE, job())
    pod(kube, "Pending", **waiting("ImagePullBackOff"))
    time = Time((35, lambda: pod(kube, "Succeeded", **ended(0))))
    assert run(kube, time).rc == 0
    assert kube.written[0] == "delete Job app/app-migrate-1"
    assert time.seconds >= 30  # its owner would have given it up by then


def test_waiting_for_another_run_does_not_shorten_the_own_one():
    kube = FakeKube(NAMESPACE, job())
    time = Time((50, lambda: kube.delete(REF)), (100, lambda: pod(kube, "Succeeded", **ended(0))))
    assert run(kube, time, timeout=60).rc == 0


def test_a_log_that_never_began_is_empty_and_other_errors_are_not_hidden():
    kube = FakeKube(NAMESPACE)
    answers = [ApiError("waiting to start", status=400), ApiError("forbidden", status=403)]

    def logs(*args, **kwargs):
        raise answers.pop(0)

    kube.logs = logs
    assert run(kube, Time((1, lambda: pod(kube, "Failed", **ended(1))))).log == ""
    with pytest.raises(ApiError, match="forbidden"):
        run(kube, Time((1, lambda: pod(kube, "Failed", **ended(1)))))


def test_what_killed_runs_left_is_swept_and_nothing_else():
    kube = FakeKube(NAMESPACE)
    for name, app, ended in (
        ("old", "app", "2026-01-01T10:00:00Z"),
        ("just-read", "app", "2026-01-01T10:00:55Z"),
        ("running", "app", ""),
        ("of-another", "other", "2026-01-01T10:00:00Z"),
    ):
        left = build_job(name, "app", TEMPLATE, labels=job_labels(app, "management-command"), timeout=60)
        conditions = [{"type": "Failed", "status": "True", "lastTransitionTime": ended}] if ended else []
        kube.put({**left, "status": {"conditions": conditions}})
    assert sweep(kube, "app", "app", now=datetime(2026, 1, 1, 10, 1, tzinfo=UTC)) == ["old"]
    assert [job["metadata"]["name"] for job in kube.find("batch/v1", "Job", "app")] == [
        "just-read",
        "running",
        "of-another",
    ]
