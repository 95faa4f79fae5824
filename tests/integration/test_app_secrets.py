"""Secrets of an application from a file that SOPS encrypted: decrypted where they are used, with SOPS itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-5c1f0a"
ENTRY = {"name": "shop", "private": True, "image": {"reference": "r/o/i@sha256:0"}}


@pytest.fixture(scope="module")
def sops():
    [program] = (ROOT / ".lab" / "bundle").glob("sops-*")
    return program


@pytest.fixture(scope="module")
def secrets(tmp_path_factory, sops):
    """An encrypted file and the SSH key that opens it."""
    folder = tmp_path_factory.mktemp("sops")
    key = folder / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    plain = json.dumps({"apps": {"shop": {"SMTP_PASSWORD": CANARY}, "other": ["no mapping"]}})
    done = subprocess.run(
        [sops, "encrypt", "--age", key.with_suffix(".pub").read_text().strip(), "--input-type", "json",
         "--output-type", "yaml", "/dev/stdin"],
        input=plain, capture_output=True, text=True, check=True,
    )  # fmt: skip
    file = folder / "secrets.sops.yml"
    file.write_text(done.stdout)
    assert CANARY not in file.read_text()
    return file, key


@pytest.fixture
def validate(tmp_path, sops, secrets):
    """The role's own look at an entry, and what it would put into the Secret."""
    file, key = secrets

    def run(entry, opened_with=key):
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
            "stack_secrets_file": str(file),
            "sops_binary": str(sops),
            "sops_age_ssh_private_keyfile": str(opened_with),
            "sops_age_keyfile": "/dev/null",
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
    rc, output, _written = validate(ENTRY, opened_with=tmp_path / "absent")
    assert rc != 0
    assert "sops" in output.lower()
    assert CANARY not in output
