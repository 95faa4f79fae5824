from __future__ import annotations

import json

from ansible_collections.railiance.stack.plugins.plugin_utils._report import Recorder, TaskRecord, read_result


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def record(name: str, status: str, host: str = "node1", **fields: object) -> TaskRecord:
    return TaskRecord(host, name, "swap", "railiance.stack.swap_file", status, 0.5, **fields)  # type: ignore[arg-type]


def run() -> tuple[Recorder, Clock]:
    clock = Clock()
    recorder = Recorder("deploy_stack.yml", check_mode=False, clock=clock)
    for key, title in (("s1", "S1 host"), ("s2", "S2 cluster runtime"), ("s2", "S2 more"), ("s3", "S3 platform")):
        recorder.expect(key, title)
    return recorder, clock


def test_plays_of_one_layer_are_counted_together_and_timed():
    recorder, clock = run()
    recorder.enter("s1", "S1 host")
    recorder.add(record("a", "ok"))
    clock.now = 2.0
    recorder.enter("s2", "S2 cluster runtime")
    recorder.add(record("b", "changed"))
    clock.now = 5.0
    recorder.enter("s2", "S2 more")
    recorder.add(record("c", "skipped"))
    clock.now = 6.5
    recorder.finish({})
    report = recorder.as_dict()
    assert [(r["layer"], r["status"], r["seconds"]) for r in report["layers"]] == [
        ("s1", "ok", 2.0),
        ("s2", "changed", 4.5),
        ("s3", "not_run", 0.0),
    ]
    assert report["outcome"] == "ok"
    assert report["seconds"] == 6.5
    assert recorder.summary()[1] == (
        "S2 cluster runtime  changed         ok   0  changed   1  failed  0  needs operator  0     4.5 s"
    )


def test_a_stop_for_the_operator_is_not_a_failure():
    recorder, _ = run()
    recorder.enter("s1", "S1 host")
    recorder.add(record("Look", "needs_operator", message="Create the DNS record.", hint="Then run again."))
    recorder.finish({"node1": 1})
    report = recorder.as_dict()
    assert report["outcome"] == "needs_operator"
    assert report["failures"] == []
    assert report["needs_operator"][0]["message"] == "Create the DNS record."
    assert report["layers"][0]["counts"]["needs_operator"] == 1
    assert report["layers"][0]["counts"]["failed"] == 0
    assert recorder.summary()[-1] == "needs operator: node1: Create the DNS record."


def test_only_the_last_failures_of_a_host_are_final_the_earlier_ones_were_rescued():
    recorder, _ = run()
    recorder.enter("s1", "S1 host")
    recorder.add(record("first", "failed"))
    recorder.add(record("second", "failed"))
    recorder.add(record("elsewhere", "failed", host="node2"))
    recorder.finish({"node1": 1})
    assert [(t.name, t.status) for t in recorder.layers[0].tasks] == [
        ("first", "rescued"),
        ("second", "failed"),
        ("elsewhere", "rescued"),
    ]
    assert recorder.layers[0].counts()["ok"] == 2


def test_an_unreachable_server_is_an_outcome_of_its_own():
    recorder, _ = run()
    recorder.enter("s1", "S1 host")
    recorder.add(record("a", "unreachable", message="the server cannot be reached"))
    recorder.finish({})
    assert recorder.outcome == "unreachable"
    assert recorder.summary()[-1] == "unreachable: node1: the server cannot be reached"


def test_a_foreign_modules_result_leaves_nothing_in_the_report():
    kept = read_result(
        "ansible.builtin.command",
        {"failed": True, "msg": "canary", "cmd": "canary", "needs_operator": True, "plan": [{"note": "canary"}]},
        failed=True,
    )
    assert "canary" not in json.dumps(kept)
    assert kept["needs_operator"] is False


def test_a_censored_result_leaves_nothing_in_the_report():
    kept = read_result(
        "railiance.stack.kube_secret", {"failed": True, "censored": "hidden", "msg": "canary"}, failed=True
    )
    assert kept == {"needs_operator": False, "message": "", "hint": "", "plan": []}


def test_own_modules_keep_their_sentence_and_their_plan_and_nothing_else():
    kept = read_result(
        "railiance.stack.swap_file",
        {
            "failed": True,
            "msg": "The disk is full.",
            "hint": "Free 4 GiB.",
            "needs_operator": True,
            "stdout": "canary",
            "plan": [{"action": "create", "target": "/swapfile", "note": "4096 MiB", "before": "canary"}],
        },
        failed=True,
    )
    assert kept == {
        "needs_operator": True,
        "message": "The disk is full.",
        "hint": "Free 4 GiB.",
        "plan": [{"action": "create", "target": "/swapfile", "note": "4096 MiB"}],
    }


def test_a_loop_reports_the_sentences_of_its_failed_items():
    kept = read_result(
        "railiance.stack.cnpg_app_db",
        {
            "failed": True,
            "msg": "One or more items failed",
            "results": [
                {"msg": "fine"},
                {"failed": True, "msg": "Database a is foreign.", "needs_operator": True},
                {"failed": True, "msg": "canary", "_ansible_no_log": True},
            ],
        },
        failed=True,
    )
    assert kept["message"] == "Database a is foreign."
    assert kept["needs_operator"] is True
