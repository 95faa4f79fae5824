from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._decision import (
    Approval,
    Way,
    back,
    broken,
    forward,
    restore_points,
    schema,
    schema_of,
    taken_before,
    targets,
)
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator

IMAGE = "shop@sha256:1"


def migration(name, description, *, reversible=True, destructive=False, compatible=True, reason=""):
    facts = {"reversible": reversible, "destructive": destructive, "compatible": compatible}
    return {"migration": name, **facts, "operations": [{"description": description, "reason": reason, **facts}]}


ADD = migration("shop.0002_add", "Add field x")
DROP = migration(
    "shop.0003_drop", "Remove field y", reversible=False, destructive=True, compatible=False, reason="the column goes"
)
PYTHON = migration("shop.0004_fill", "Raw Python operation", reversible=False, destructive=True)
RENAME = migration("shop.0005_rename", "Rename field z", compatible=False)


def test_nothing_pending_leaves_the_schema_alone():
    assert forward("shop", [], Approval()) == Way("none")


def test_what_only_adds_needs_no_approval():
    assert forward("shop", [ADD], Approval()) == Way("forward", migrations=("shop.0002_add",))


@pytest.mark.parametrize(
    "approval",
    [
        Approval(),
        Approval(("shop.0003_drop",)),
        Approval(("shop.0003_drop",), "  "),
        Approval(("shop.0001_other",), "tonight"),
    ],
)
def test_what_the_serving_version_cannot_bear_needs_a_name_and_a_window(approval):
    with pytest.raises(NeedsOperator) as stop:
        forward("shop", [ADD, DROP], approval)
    assert stop.value.message == (
        "Application 'shop': shop.0003_drop: Remove field y (the column goes) destroys data. Once it is committed the "
        "version that serves now cannot go on. A restore of the dump taken before it loses everything written since."
    )
    assert stop.value.hint == (
        "Split it into two releases (first stop using what goes, then drop it), or announce a window and run with: "
        '-e \'{"app_release_approved": ["shop.0003_drop"], "app_release_window": "when users were told"}\''
    )


def test_what_only_destroys_needs_no_window():
    with pytest.raises(NeedsOperator) as stop:
        forward("shop", [PYTHON], Approval())
    assert stop.value.hint.endswith('run with: -e \'{"app_release_approved": ["shop.0004_fill"]}\'')
    assert "cannot go on" not in stop.value.message
    assert forward("shop", [PYTHON], Approval(("shop.0004_fill",))).breaking == ()


def test_what_only_breaks_is_told_as_that():
    with pytest.raises(NeedsOperator, match="Rename field z destroys data or breaks the version that serves"):
        forward("shop", [RENAME], Approval())


def test_what_is_approved_goes_and_says_so():
    way = forward("shop", [ADD, DROP], Approval(("shop.0003_drop",), "tonight, 22:00 to 22:30"))
    assert way == Way(
        "forward",
        ("shop.0002_add", "shop.0003_drop"),
        ("shop.0003_drop",),
        (
            "approved: shop.0003_drop: Remove field y (the column goes) destroys data. "
            "Announced: tonight, 22:00 to 22:30.",
        ),
    )


def test_the_way_back_is_the_schema_of_then():
    applied = ["auth.0001_initial", "legacy.0001_initial", "shop.0001_initial", "shop.0002_add", "new.0001_initial"]
    unknown = ["legacy.0001_initial", "new.0001_initial", "shop.0002_add"]
    then = {"auth": "0001_initial", "legacy": "0001_initial", "shop": "0001_initial"}
    assert targets(unknown, applied, then, []) == [
        {"app": "new", "migration": "zero"},
        {"app": "shop", "migration": "0001_initial"},
    ]


def test_tables_of_an_application_that_a_new_image_lacks_are_left_alone():
    told = [{"app": "legacy", "migration": "zero"}, {"app": "shop", "migration": "0001_initial"}]
    assert targets(["legacy.0001_initial", "shop.0002_add"], [], None, told) == told[1:]


def test_a_way_back_that_loses_says_what():
    reverse = {**ADD, "destructive": True, "compatible": False}
    assert back("shop", IMAGE, [reverse], True, []) == Way(
        "back",
        ("shop.0002_add",),
        ("shop.0002_add",),
        ("loses what was written since in what they added: shop.0002_add",),
    )


def test_an_image_that_never_served_does_not_take_the_schema_back():
    with pytest.raises(NeedsOperator) as stop:
        back("shop", IMAGE, [ADD], False, [])
    assert stop.value.message == (
        "Application 'shop': shop@sha256:1 was never released here and does not know shop.0002_add, which the database "
        "has."
    )


def test_no_way_back_names_the_restore_point():
    points = [{"name": "shop-20261121T100000Z-4f2c1a", "created": "2026-11-21T10:00:00Z"}]
    with pytest.raises(NeedsOperator) as stop:
        back("shop", IMAGE, [PYTHON], True, points)
    assert str(stop.value) == (
        "Application 'shop' cannot go back to shop@sha256:1: shop.0004_fill: Raw Python operation cannot be reversed. "
        "Restore the dump taken before them at 2026-11-21T10:00:00Z, which loses everything written since, and go back "
        "then: ansible-playbook playbooks/restore.yml -e app=shop -e restore_point=shop-20261121T100000Z-4f2c1a "
        "-e restore_writers=stop. Or release a version that goes forward."
    )
    with pytest.raises(NeedsOperator) as stop:
        back("shop", IMAGE, [PYTHON], True, [])
    assert stop.value.hint == "No dump taken before them is recorded. Release a version that goes forward."


def test_of_a_release_that_was_cut_off_the_dump_itself_tells():
    kept = [{"name": "c", "reason": "by hand"}, {"name": "b", "reason": "before shop.0004_fill"}, {"name": "a"}]
    assert taken_before(kept, [ADD, PYTHON]) == [kept[1]]


def revision(image, point=None, complete=True):
    kept = {"path": point} if point else {}
    return {"image": image, "restore_point": kept, "schema": {"shop": f"000{image}"}, "complete": complete}


def test_the_history_tells_schema_and_dumps():
    history = [revision("4", "d"), revision("3", complete=False), revision("3", "c"), revision("2", "b"), revision("1")]
    assert restore_points(history, "2") == [{"path": "c"}, {"path": "d"}]
    assert restore_points(history, "4") == []
    assert schema_of(history, "3") == {"shop": "0003"}
    assert schema_of(history, "never") is None


def test_the_schema_is_the_last_migration_of_each():
    assert schema(["shop.0001_a", "shop.0010_b", "auth.0002_c", "shop.0002_d"]) == {"auth": "0002_c", "shop": "0010_b"}


# -- after a failure -------------------------------------------------------------------------------------------
FORWARD = {"kind": "forward", "migrations": ["shop.0002_add", "shop.0003_drop"], "breaking": ["shop.0003_drop"]}
BACK = {"kind": "back", "migrations": ["shop.0002_add"], "breaking": ["shop.0002_add"]}
ROLLOUT = {"failed": True, "msg": "no"}


@pytest.mark.parametrize(
    ("way", "results", "expected"),
    [
        (FORWARD, [{"applied": ["shop.0002_add", "shop.0003_drop"]}, ROLLOUT], ["shop.0003_drop"]),
        (FORWARD, [{"skipped": True}, {"applied": ["shop.0002_add"], "failed": True}], []),
        (FORWARD, [{}, {"applied": None, "failed": True}], ["shop.0003_drop"]),
        (FORWARD, [{}, {"applied": ["shop.0002_add", "shop.0003_drop"], "failed": True}], ["shop.0003_drop"]),
        ({**FORWARD, "breaking": []}, [{"applied": None}, ROLLOUT], []),
        (BACK, [{"skipped": True}, ROLLOUT], []),
        (BACK, [{"applied": []}, ROLLOUT], ["shop.0002_add"]),
        (BACK, [{}, {"applied": ["shop.0002_add"], "failed": True}], []),
    ],
)
def test_what_has_happened_to_the_schema_decides_what_can_be_put_back(way, results, expected):
    assert broken(way, results) == expected
