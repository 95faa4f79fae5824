"""Secrets of an application from a file that SOPS encrypted: decrypted where they are used, with SOPS itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sops import encrypted

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-5c1f0a"
ENTRY = {"name": "shop", "private": True, "image": {"reference": "r/o/i@sha256:0"}}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """The variables that open an encrypted file."""
    opening = encrypted(
        tmp_path_factory.mktemp("sops"), {"apps": {"shop": {"SMTP_PASSWORD": CANARY}, "other": ["no mapping"]}}
    )
    assert CANARY not in Path(opening["stack_secrets_file"]).read_text()
    return opening


@pytest.fixture
def validate(tmp_path, secrets):
    """The role's own look at an entry, and what it would put into the Secret."""

    def run(entry, **changes):
        tasks = [
            {"ansible.builtin.include_role": {"name": "railiance.stack.app_release", "tasks_from": "validate"}},
            {
                "ansible.builtin.copy": {
                    "content": "{{ __app_release_decrypted | to_json }}",
                    "dest": str(tmp_path / "out"),
                    "mode": "0600",
                },
                "no_log": True,
            },
        ]
        names = {
            "ansible_python_interpreter": sys.executable,
            "stack_gitea_host": "gitea.lab.test",
            "app_release_app": entry,
            **secrets,
            **changes,
        }
        # The role's variables outlive the include, as they do for the tasks that write the Secret.
        tasks[0]["ansible.builtin.include_role"]["public"] = True
        play = tmp_path / "play.yml"
        play.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "vars": names, "tasks": tasks}]))
        command = ["ansible-playbook", str(play), "-i", "localhost,", "-c", "local", "-vvv", "--diff"]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr, tmp_path / "out"

    return run


def test_the_applications_own_secrets_are_used_and_never_shown(validate):
    rc, output, written = validate(ENTRY)
    assert rc == 0, output
    assert json.loads(written.read_text()) == {"SMTP_PASSWORD": CANARY}
    assert CANARY not in output


def test_an_application_without_an_entry_has_none(validate):
    rc, output, written = validate({**ENTRY, "name": "third"})
    assert rc == 0, output
    assert json.loads(written.read_text()) == {}


def test_what_is_no_mapping_is_named(validate):
    rc, output, _written = validate({**ENTRY, "name": "other"})
    assert rc != 0
    assert "apps.other is no mapping of variable names to values." in " ".join(output.split())


def test_without_the_key_the_message_says_so_and_shows_nothing(validate, tmp_path):
    rc, output, _written = validate(ENTRY, sops_age_ssh_private_keyfile=str(tmp_path / "absent"))
    assert rc != 0
    assert "sops" in output.lower()
    assert CANARY not in output
