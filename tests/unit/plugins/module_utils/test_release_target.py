from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator
from ansible_collections.railiance.stack.plugins.module_utils._release_target import release_target


def revision(number, image, complete=True, status="superseded", commit=""):
    return {
        "revision": number,
        "image": image,
        "complete": complete,
        "description": f"image {image}",
        "status": status,
        "commit": commit,
    }


HISTORY = [revision(5, "c", False), revision(4, "c"), revision(3, "b", False), revision(2, "b"), revision(1, "a")]


def test_previous_is_the_last_complete_one_with_another_image():
    assert release_target(HISTORY, "previous")["revision"] == 2


def serving(number, image, complete=True, commit=""):
    return revision(number, image, complete, "deployed", commit)


@pytest.mark.parametrize(
    ("history", "found"),
    [
        ([serving(2, "b"), revision(1, "a")], 2),
        # What failed or was cut off on top of it does not serve.
        ([revision(3, "c", False, "failed"), serving(2, "b"), revision(1, "a")], 2),
        # Put back, or cut off while the same version was released again.
        ([serving(4, "b", False), revision(3, "c", False, "failed"), revision(2, "b"), revision(1, "a")], 4),
    ],
)
def test_current_is_what_serves(history, found):
    assert release_target(history, "current")["revision"] == found


@pytest.mark.parametrize(
    ("commit", "version"), [("f" * 40, f"commit={'f' * 40}"), ("", "image=b")], ids=["built", "prebuilt"]
)
def test_what_serves_and_was_never_complete_is_no_ground_to_stand_on(commit, version):
    with pytest.raises(NeedsOperator) as caught:
        release_target([serving(2, "b", False, commit), revision(1, "a")], "current")
    assert str(caught.value) == (
        "Revision 2 serves (image b), and the release of that version is not complete."
        f" Complete it with promote -e {version}, or go back with rollback; then run this again."
    )


def test_a_version_that_was_complete_once_is_none_after_another():
    history = [serving(3, "b", False), revision(2, "a"), revision(1, "b")]
    with pytest.raises(NeedsOperator, match=r"Revision 3 serves .* is not complete"):
        release_target(history, "current")


def test_without_a_deployed_revision_nothing_serves():
    with pytest.raises(NeedsOperator, match=r"^No revision serves\. Release the application first"):
        release_target([revision(1, "a", False, "failed")], "current")


def test_a_revision_by_its_number():
    assert release_target(HISTORY, "1")["image"] == "a"


@pytest.mark.parametrize("wanted", ["3", "9", "last"])
def test_what_is_not_there_or_was_not_complete_is_refused_with_what_there_is(wanted):
    with pytest.raises(NeedsOperator, match=r"Complete are: 4: image c; 2: image b; 1: image a\."):
        release_target(HISTORY, wanted)


@pytest.mark.parametrize(("history", "wanted"), [([], "1"), ([], "previous"), ([revision(1, "a", False)], "previous")])
def test_without_history_there_is_no_way_back(history, wanted):
    with pytest.raises(NeedsOperator, match="Complete are: none"):
        release_target(history, wanted)
