"""Which entry a promotion or a rollback releases, worked out by a real ansible-playbook run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
OLD, NEW = "1" * 40, "2" * 40
R0, R1 = "registry/shop@sha256:0", "registry/shop@sha256:1"
BUILT = {"name": "shop", "source": {"repository": "x", "commit": NEW}, "image": {"repository": "apps/shop"}}
PREBUILT = {"name": "shop", "image": {"reference": R1}}

PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars_files: [{role}/defaults/main.yml, {role}/vars/main.yml]
  tasks:
    - ansible.builtin.copy:
        dest: "{{{{ answer }}}}"
        content: "{{{{ __app_version_changed | to_json }}}}"
        mode: "0600"
"""
REFUSAL = """
- hosts: localhost
  connection: local
  gather_facts: false
  roles: [railiance.stack.{role}]
"""


def play(tmp_path: Path, text: str, variables: dict[str, Any]) -> tuple[int, str]:
    path = tmp_path / "play.yml"
    path.write_text(text)
    given = tmp_path / "given.json"
    given.write_text(json.dumps({**variables, "ansible_python_interpreter": sys.executable}))
    done = subprocess.run(
        ["ansible-playbook", str(path), "-i", "localhost,", "-e", f"@{given}"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def back_to(commit: str) -> dict[str, Any]:
    return {"app_version_release": "previous", "__app_version_known": {"target": {"commit": commit, "image": R0}}}


@pytest.mark.parametrize(
    ("entry", "asked", "source", "reference"),
    [
        pytest.param(BUILT, {"app_version_commit": OLD}, OLD, None, id="promote a commit"),
        pytest.param(BUILT, {"app_version_image": R0}, None, R0, id="promote an image"),
        pytest.param(BUILT, {}, NEW, None, id="promote the entry's own"),
        pytest.param(BUILT, back_to(OLD), OLD, None, id="back to a commit"),
        pytest.param(BUILT, back_to(""), None, R0, id="back to what was released by image"),
        pytest.param(PREBUILT, back_to(""), None, R0, id="back to another image"),
        pytest.param(PREBUILT, back_to(OLD), None, R0, id="back to what was built when the entry had a source"),
    ],
)
def test_the_entry_carries_the_version_that_is_released(tmp_path, entry, asked, source, reference):
    answer = tmp_path / "answer.json"
    variables = {"app_version_app": "shop", "app_version_apps": [entry], "answer": str(answer), **asked}
    rc, output = play(tmp_path, PLAY.format(role=ROOT / "roles" / "app_version"), variables)
    assert rc == 0, output
    changed = json.loads(answer.read_text())
    assert (changed.get("source") or {}).get("commit") == source
    assert changed["image"].get("reference") == reference
    assert changed["image"].get("repository") == entry["image"].get("repository")


@pytest.mark.parametrize("commit", ["main", "v1.2", OLD[:12], OLD.replace("1", "A"), OLD + "0"])
def test_what_is_no_full_sha_is_refused_before_anything_is_looked_at(tmp_path, commit):
    wanted = {"app_version_app": "shop", "app_version_apps": [BUILT], "app_version_commit": commit}
    rc, output = play(tmp_path, REFUSAL.format(role="app_version"), wanted)
    assert rc != 0
    assert f"{commit} is no full SHA. git rev-parse {commit} prints it." in " ".join(output.split())


def test_an_entry_with_a_branch_for_a_commit_is_refused(tmp_path):
    entry = {**BUILT, "host": "shop.example.org", "image": {}, "source": {"repository": "x", "commit": "main"}}
    rc, output = play(
        tmp_path,
        REFUSAL.format(role="app_release"),
        {"app_release_app": entry, "app_release_registry": "gitea.example.org"},
    )
    assert rc != 0
    assert "source.commit main is no full SHA. git rev-parse main prints it." in " ".join(output.split())
