from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.action.release_stop import stop
from ansible_collections.railiance.stack.plugins.action.release_way import decide
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator

ADD = {"migration": "shop.0003_add", "reversible": True, "destructive": False, "operations": []}
PLAN = {"pending": [], "unknown": [], "applied": ["shop.0001_initial", "shop.0002_add"], "way_back": []}
OPTIONS = {
    "kept": [],
    "app": "shop",
    "image": "shop@sha256:1",
    "plan": PLAN,
    "reverse": None,
    "history": None,
    "accepted": [],
    "approved": [],
    "window": "",
}
OLDER = {**PLAN, "unknown": ["shop.0002_add"], "way_back": [{"app": "shop", "migration": "0001_initial"}]}
HISTORY = [
    {"image": "shop@sha256:2", "schema": {"shop": "0002_add"}, "restore_point": {}, "complete": True},
    {"image": "shop@sha256:1", "schema": {"shop": "0001_initial"}, "restore_point": {}, "complete": True},
]


def test_forward_and_the_schema_afterwards():
    decided = decide({**OPTIONS, "plan": {**PLAN, "pending": [ADD]}})
    assert (decided["way"]["kind"], decided["schema"], decided["unknown"]) == ("forward", {"shop": "0003_add"}, [])


def test_an_image_that_does_not_know_the_schema_goes_back_in_three_stages():
    first = decide({**OPTIONS, "plan": OLDER})
    assert (first["way"]["kind"], first["targets"]) == ("back", [])
    second = decide({**OPTIONS, "plan": OLDER, "history": HISTORY})
    assert (second["way"]["kind"], second["targets"]) == ("back", [{"app": "shop", "migration": "0001_initial"}])
    reverse = {"pending": [{**ADD, "migration": "shop.0002_add", "destructive": True, "compatible": False}]}
    third = decide({**OPTIONS, "plan": OLDER, "history": HISTORY, "reverse": reverse})
    assert (third["way"]["kind"], third["way"]["compatible"]) == ("back", False)
    assert (third["schema"], third["unknown"]) == ({"shop": "0001_initial"}, [])


def test_what_the_serving_image_did_not_know_either_stays():
    decided = decide({**OPTIONS, "plan": OLDER, "accepted": ["shop.0002_add"]})
    assert (decided["way"]["kind"], decided["unknown"]) == ("none", ["shop.0002_add"])


def test_records_that_nothing_has_to_be_done_about_are_told_and_left():
    plan = {**PLAN, "unknown": ["legacy.0001_initial"], "way_back": [{"app": "legacy", "migration": "zero"}]}
    decided = decide({**OPTIONS, "image": "shop@sha256:3", "plan": plan, "history": HISTORY})
    assert (decided["way"]["kind"], decided["unknown"]) == ("none", [])
    plan["applied"] = [*PLAN["applied"], "legacy.0001_initial"]
    decided = decide({**OPTIONS, "image": "shop@sha256:3", "plan": plan, "history": HISTORY})
    assert decided["way"]["notes"] == ("does not know, and leaves as it is: legacy.0001_initial",)
    assert decided["unknown"] == ["legacy.0001_initial"]


def test_a_stop_is_a_stop():
    with pytest.raises(NeedsOperator):
        decide({**OPTIONS, "plan": {**PLAN, "pending": [{**ADD, "destructive": True}]}})


def test_the_end_says_what_failed_and_what_serves():
    failure = {"msg": "Task failed: Deployment shop/shop did not become available.", "hint": "Look.", "rc": 1}
    assert stop({"failure": failure, "task": "Rollout | Release the chart", "serving": "shop@sha256:1"}) == {
        "failed": True,
        "changed": False,
        "msg": "Rollout | Release the chart: Deployment shop/shop did not become available. "
        "shop@sha256:1 serves as before.",
        "hint": "Look.",
        "needs_operator": False,
    }


def test_a_stop_for_a_person_stays_one():
    failure = {"msg": "The DNS record is missing.", "needs_operator": True}
    ended = stop({"failure": failure, "task": "Expose | x", "serving": ""})
    assert ended["needs_operator"]
    assert ended["msg"] == "Expose | x: The DNS record is missing. Nothing was exposed before it."
