"""What the role app_release makes of an entry before anything starts, by a real ansible-playbook run."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
IMAGE = {"reference": "r/o/i@sha256:0"}
PUBLIC = {"name": "shop", "host": "shop.example.org", "image": IMAGE}
PRIVATE = {"name": "hub", "namespace": "team", "private": True, "image": IMAGE}
NAMES = ["shop", "shop.shop", "shop.shop.svc", "shop.shop.svc.cluster.local"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Each entry validated in one run: the message that stopped it, or the environment that it gets."""
    entries = {
        "public": PUBLIC,
        "private": PRIVATE,
        "extra_hosts alone": {**PUBLIC, "host": "", "extra_hosts": ["www.example.org"]},
        "token": {**PUBLIC, "config": {"environment": {"API_TOKEN": "canary-of-config"}}},
        "login": {**PRIVATE, "smoke_login": {"path": "/login/", "secret": "smoke"}},
        "pattern": {**PUBLIC, "log_patterns": ["("]},
        "twice": {**PUBLIC, "config": {"environment": {"ALLOWED_HOSTS": "*"}}},
    }
    validate = {"name": "railiance.stack.app_release", "tasks_from": "validate", "public": True}
    plays = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                "ansible_python_interpreter": sys.executable,
                "stack_gitea_host": "gitea.example.org",
                "app_release_app": entry,
            },
            "tasks": [
                {
                    "block": [
                        {"ansible.builtin.include_role": validate},
                        {"ansible.builtin.set_fact": {"answer": "{{ __app_release_environment }}"}},
                    ],
                    "rescue": [{"ansible.builtin.set_fact": {"answer": "{{ ansible_failed_result.msg }}"}}],
                },
                {"ansible.builtin.debug": {"msg": f"ANSWER {name}={{{{ answer | to_json | b64encode }}}}"}},
            ],
        }
        for name, entry in entries.items()
    ]
    play = tmp_path_factory.mktemp("entry") / "play.yml"
    play.write_text(json.dumps(plays))
    done = subprocess.run(
        ["ansible-playbook", str(play), "-i", "localhost,", "-c", "local"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {"output": done.stdout, **_answers(done.stdout)}


def _answers(output: str) -> dict[str, Any]:
    found = {}
    for line in output.splitlines():
        _, mark, rest = line.partition("ANSWER ")
        if mark:
            name, _, encoded = rest.strip("\" ',").partition("=")
            found[name] = json.loads(base64.b64decode(encoded))
    return found


def test_the_services_names_are_allowed_hosts(runs: dict[str, Any]):
    assert runs["public"]["ALLOWED_HOSTS"].split(",") == ["shop.example.org", *NAMES]
    assert runs["private"]["ALLOWED_HOSTS"].split(",") == [
        *("localhost", "hub", "hub.team", "hub.team.svc", "hub.team.svc.cluster.local")
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("extra_hosts alone", "host is missing. Give the public host name, or set private: true."),
        (
            "token",
            "config.environment.API_TOKEN: looks like a secret. Move it to secret_environment or the encrypted file.",
        ),
        ("pattern", "log_patterns[0]: is no regular expression: missing ), unterminated subpattern at position 0."),
        (
            "twice",
            "config.environment sets ALLOWED_HOSTS, which the release sets already. Set it in environment only.",
        ),
    ],
)
def test_what_stops_an_entry_before_anything_starts(runs: dict[str, Any], entry: str, message: str):
    assert runs[entry].startswith(f"stack_apps entry shop: {message}")


def test_a_login_from_outside_stops_a_private_application(runs: dict[str, Any]):
    assert runs["login"] == (
        "stack_apps entry hub: smoke_login: is done from outside, and the application is private. Remove it."
    )


def test_the_value_is_not_shown(runs: dict[str, Any]):
    assert "canary-of-config" not in runs["output"]
