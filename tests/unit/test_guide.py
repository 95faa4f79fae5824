"""The guide names every playbook once, with options that it takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = re.findall(r"^\| `(\w+)` \|(.*)$", (ROOT / "docs/day-two.md").read_text(), re.MULTILINE)


def read_by(playbook: str) -> str:
    """The playbook and the defaults of its roles: where options come from."""
    text = (ROOT / "playbooks" / f"{playbook}.yml").read_text()
    roles = re.findall(r"role: railiance\.stack\.(\w+)", text)
    imported = re.findall(r"import_playbook: (\w+)\.yml", text)
    defaults = "".join((ROOT / "roles" / role / "defaults/main.yml").read_text() for role in roles)
    return text + defaults + "".join(read_by(other) for other in imported)


def test_every_playbook_has_one_row():
    assert sorted(name for name, _row in ROWS) == sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))


@pytest.mark.parametrize(("playbook", "row"), ROWS, ids=[name for name, _row in ROWS])
def test_its_options_are_read(playbook, row):
    text = read_by(playbook)
    for option in re.findall(r"-e (\w+)=", row):
        # A default of a role, or a variable that stands in one.
        assert re.search(rf"^{option}:|\b{option} \|", text, re.MULTILINE), option
