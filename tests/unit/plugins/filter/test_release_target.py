from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.railiance.stack.plugins.filter.release_target import release_target


def revision(number, image, complete=True):
    return {"revision": number, "image": image, "complete": complete, "description": f"image {image}"}


HISTORY = [revision(5, "c", False), revision(4, "c"), revision(3, "b", False), revision(2, "b"), revision(1, "a")]


def test_previous_is_the_last_complete_one_with_another_image():
    assert release_target(HISTORY, "previous")["revision"] == 2


def test_current_is_the_newest_complete_one():
    assert release_target(HISTORY, "current")["revision"] == 4


@pytest.mark.parametrize("wanted", [1, "1"])
def test_a_revision_by_its_number(wanted):
    assert release_target(HISTORY, wanted)["image"] == "a"


@pytest.mark.parametrize("wanted", ["3", "9", "last"])
def test_what_is_not_there_or_was_not_complete_is_refused_with_what_there_is(wanted):
    with pytest.raises(AnsibleFilterError, match=r"Complete are: 4: image c; 2: image b; 1: image a\."):
        release_target(HISTORY, wanted)


@pytest.mark.parametrize(("history", "wanted"), [([], "1"), ([], "previous"), ([revision(1, "a", False)], "previous")])
def test_without_history_there_is_no_way_back(history, wanted):
    with pytest.raises(AnsibleFilterError, match="Complete are: none"):
        release_target(history, wanted)
