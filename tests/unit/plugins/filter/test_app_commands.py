from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.railiance.stack.plugins.filter.app_commands import app_commands

ROOT = Path(__file__).resolve().parents[4]
DJANGO = {
    "name": "shop",
    "host": "shop.example.org",
    "source": {"repository": "r", "commit": "a" * 40},
    "database": {"cluster": "apps-pg"},
}
PLAIN = {"name": "counter", "runtime": "generic", "image": {"reference": "registry/counter@sha256:b"}}
POINTS = [{"name": "shop-3", "problem": "its file is missing"}, {"name": "shop-2", "problem": ""}]
HISTORY = [
    {"revision": 3, "complete": True, "image": "c", "description": ""},
    {"revision": 2, "complete": False, "image": "b", "description": ""},
    {"revision": 1, "complete": True, "image": "a", "description": ""},
]


def commands(entry, *more):
    return {
        one["when"]: one["command"].partition(" -i inventory/mine ")[2]
        for one in app_commands(entry, "inventory/mine", *more)
    }


def test_the_commands_have_the_applications_own_values():
    found = commands(DJANGO, HISTORY, POINTS)
    assert found["a bad version serves"] == "-e app=shop -e release=1"
    assert found["its data is damaged"] == "-e app=shop -e restore_point=shop-2"
    assert found["another version is to serve"] == f"-e app=shop -e commit={'a' * 40}"
    assert found["and then, everybody logs in again"] == "-e app=shop -e rotate=old_keys -e keep_days=0"


def test_what_is_not_known_is_left_to_the_playbook():
    assert commands(DJANGO)["a bad version serves"] == "-e app=shop"
    assert commands(DJANGO, HISTORY[:1])["a bad version serves"] == "-e app=shop"
    assert commands(DJANGO, HISTORY, POINTS[:1])["its data is damaged"] == "-e app=shop"


def test_what_an_application_has_not_is_not_offered():
    found = commands(PLAIN)
    assert found["another version is to serve"] == "-e app=counter -e image=registry/counter@sha256:b"
    assert not [when for when in found if "data is damaged" in when or "leaked" in when or "migrations" in when]


def test_a_line_is_situation_and_command():
    [one] = [one for one in app_commands(PLAIN, "i") if one["when"] == "it is to go with its data"]
    assert one["line"] == (
        "it is to go with its data: ansible-playbook playbooks/remove.yml -i i -e app=counter -e drop_data=true"
    )


@pytest.mark.parametrize("entry", [DJANGO, PLAIN])
def test_each_command_names_a_playbook_and_options_that_it_reads(entry):
    for one in app_commands(entry, "i", HISTORY, POINTS):
        playbook = ROOT / re.search(r"playbooks/\w+\.yml", one["command"])[0]
        roles = re.findall(r"role: railiance\.stack\.(\w+)", playbook.read_text())
        read = playbook.read_text() + "".join(
            (ROOT / "roles" / role / "defaults/main.yml").read_text() for role in roles
        )
        for option in re.findall(r"-e (\w+)=", one["command"]):
            assert re.search(rf"\{{ {option} \| default", read), (one["command"], option)
