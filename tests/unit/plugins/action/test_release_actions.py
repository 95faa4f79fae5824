from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.action.release_stop import stop
from ansible_collections.railiance.stack.plugins.action.release_way import decide
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError

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
    assert (third["way"]["kind"], third["way"]["breaking"]) == ("back", ("shop.0002_add",))
    assert (third["schema"], third["unknown"]) == ({"shop": "0001_initial"}, [])


def test_alembic_goes_back_to_where_the_older_image_ends():
    plan = {"pending": [], "applied": ["a1", "b2"], "unknown": ["b2"], "way_back": [{"app": "", "migration": "a1"}]}
    history = [
        {"image": "shop@sha256:2", "schema": {"a1": "", "b2": ""}, "restore_point": {}, "complete": True},
        {"image": "shop@sha256:1", "schema": {"a1": ""}, "restore_point": {}, "complete": True},
    ]
    asked = decide({**OPTIONS, "plan": plan, "history": history})
    assert (asked["way"]["kind"], asked["targets"]) == ("back", [{"app": "", "migration": "a1"}])
    decided = decide(
        {**OPTIONS, "plan": plan, "history": history, "reverse": {"pending": [{**ADD, "migration": "b2"}]}}
    )
    assert (decided["way"]["migrations"], decided["schema"]) == (("b2",), {"a1": ""})


UNSEEN = {"pending": None, "applied": None, "unknown": None, "plan": [{"note": "known after the push"}]}


def test_what_is_not_known_yet_is_foretold_as_that():
    decided = decide({**OPTIONS, "plan": UNSEEN}, check_mode=True)
    assert decided["way"]["kind"] == "forward"
    assert decided["way"]["notes"] == ("what it does to the schema of shop is not known yet: known after the push",)


def test_what_is_not_known_stops_a_release():
    with pytest.raises(StackError) as stopped:
        decide({**OPTIONS, "plan": UNSEEN})
    assert stopped.value.message == (
        "Application 'shop': what shop@sha256:1 does to its schema is not known, so nothing was started: "
        "known after the push."
    )


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


ENDED = {"app": "shop", "broken": [], "restore_point": ""}


def test_the_end_says_what_failed_and_what_serves():
    failure = {"msg": "Task failed: Deployment shop/shop did not become available.", "hint": "Look.", "rc": 1}
    assert stop({**ENDED, "failure": failure, "task": "Rollout | Release the chart", "serving": "shop@sha256:1"}) == {
        "failed": True,
        "changed": False,
        "msg": "Rollout | Release the chart: Deployment shop/shop did not become available. "
        "shop@sha256:1 serves as before.",
        "hint": "Look.",
        "needs_operator": False,
    }


def test_a_stop_for_a_person_stays_one():
    failure = {"msg": "The DNS record is missing.", "needs_operator": True}
    ended = stop({**ENDED, "failure": failure, "task": "Expose | x", "serving": ""})
    assert ended["needs_operator"]
    assert ended["msg"] == (
        "Expose | x: The DNS record is missing. It was not released before; nothing of it is exposed."
    )


def test_what_cannot_be_put_back_is_not_said_to_serve():
    options = {**ENDED, "failure": {"msg": "No.", "hint": "Look."}, "task": "Rollout", "serving": "shop@sha256:1"}
    ended = stop({**options, "broken": ["shop.0005_drop"], "restore_point": "shop-1"})
    assert ended["msg"] == (
        "Rollout: No. shop@sha256:1 was not put back: it cannot work with what has happened to the schema, "
        "shop.0005_drop."
    )
    assert ended["hint"] == (
        "Look. Release a version that can, or go back to the database before it, which loses what was written since: "
        "ansible-playbook playbooks/restore.yml -e app=shop -e restore_point=shop-1 -e restore_writers=stop, then "
        "playbooks/rollback.yml."
    )
    assert stop({**options, "broken": ["shop.0005_drop"]})["hint"] == "Look. Release a version that can."


def test_a_run_that_was_overtaken_says_nothing_of_what_it_found_before():
    failure = {"msg": "Task failed: Helm release shop/shop is at revision 3.", "hint": "Run again.", "overtaken": True}
    told = stop({"app": "shop", "failure": failure, "task": "Record", "serving": "shop@sha256:1", "broken": []})
    assert (told["msg"], told["hint"]) == ("Record: Helm release shop/shop is at revision 3.", "Run again.")
