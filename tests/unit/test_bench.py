"""The arithmetic of the benchmark runner, and that a failing command measures nothing."""

from __future__ import annotations

import json

import pytest
from bench.bench import Pair, Side, measure, ratio, row, seconds_of_tasks, timed


def test_the_ratio_is_taken_pair_by_pair():
    assert ratio(Side([1.0, 2.0, 9.0], 1), Side([2.0, 4.0, 3.0], 1)) == (0.5, 0.5, 3.0)


@pytest.mark.parametrize(("goal", "word", "met"), [(0.6, "met", True), (0.4, "MISSED", False), (None, "", True)])
def test_a_goal_is_met_or_missed(goal, word, met):
    pair = Pair("no change", ["a"], ["b"], "ten tasks", goal=goal, runs=1)
    line, holds = row(pair, Side([1.0], 20), Side([2.0], 30))
    assert holds is met
    assert word in line
    assert "| 1.00 s | 2.00 s | ten tasks | 0.50 (0.50–0.50) |" in line


@pytest.mark.parametrize(("within", "word", "met"), [(1.0, "≤ +1.00 s (+0.50 s) met", True), (0.4, "MISSED", False)])
def test_seconds_more_are_allowed_or_not(within, word, met):
    pair = Pair("a push", ["a"], ["b"], "skopeo", within=within, runs=1)
    line, holds = row(pair, Side([2.5], 20), Side([2.0], 30))
    assert (holds, word in line) == (met, True)


def test_ours_alone_has_a_limit():
    line, holds = row(Pair("no change", ["a"], ["b"], "ten tasks", limit=1.6), Side([1.7], 20), Side([9.0], 30))
    assert (holds, "≤ 1.60 s MISSED" in line) == (False, True)


def test_the_seconds_of_the_tasks_are_those_of_the_answer():
    span = {"start": "2026-01-01T00:00:00.000000Z", "end": "2026-01-01T00:00:01.250000Z"}
    play = {"tasks": [{"task": {"duration": span}}, {"task": {"duration": span}}]}
    assert seconds_of_tasks(f"a warning\n{json.dumps({'plays': [play]})}\nand words") == 2.5


def test_both_sides_run_equally_often_and_the_world_is_put_back_before_each():
    put_back = []
    ours, theirs = measure(Pair("nothing", ["true"], ["true"], "true", before=lambda: put_back.append(1), runs=2))
    assert (len(ours.seconds), len(theirs.seconds), len(put_back)) == (2, 2, 6)


def test_a_command_that_fails_ends_the_run_with_its_words():
    with pytest.raises(SystemExit, match="ended with 3:\nno such table"):
        timed(["bash", "-c", "echo no such table; exit 3"])
