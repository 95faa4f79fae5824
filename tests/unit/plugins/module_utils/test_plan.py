from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step


def test_an_empty_plan_changes_nothing():
    plan = Plan()
    assert not plan.changed
    assert plan.diff() == []
    assert plan.execute() == []


def test_steps_run_in_order_and_return_what_they_did():
    done: list[str] = []

    def note(name: str) -> str:
        done.append(name)
        return name

    plan = Plan([Step("create", "A", after=1, do=lambda: note("a")), Step("update", "B", 1, 2, do=lambda: note("b"))])
    assert plan.changed
    assert plan.execute() == ["a", "b"]
    assert done == ["a", "b"]


def test_the_diff_shows_each_step_and_runs_none():
    def never() -> None:
        raise AssertionError("a diff must not act")

    plan = Plan(
        [Step("create", "Secret x/y", after={"a": 1}, do=never), Step("delete", "Job x/z", before="old", do=never)]
    )
    assert plan.diff() == [
        {
            "before_header": "Secret x/y (current)",
            "after_header": "Secret x/y (create)",
            "before": {},
            "after": {"a": 1},
        },
        {"before_header": "Job x/z (current)", "after_header": "Job x/z (delete)", "before": "old", "after": {}},
    ]


def test_a_failing_step_says_what_was_done_before_it():
    def broken() -> None:
        raise StackError("No.", "Do that.")

    plan = Plan([Step("create", "A"), Step("run", "B", do=broken), Step("create", "C")])
    with pytest.raises(StackError) as caught:
        plan.execute()
    assert caught.value.result == {"failed_step": "run B", "done_steps": ["create A"]}
    assert str(caught.value) == "No. Do that."


def test_an_operator_decision_is_an_error_of_its_own_kind():
    assert issubclass(NeedsOperator, StackError)
