from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]
PLAYBOOK = """
- name: S1 host
  hosts: all
  gather_facts: false
  tags: [s1]
  tasks:
    - name: Show
      ansible.builtin.debug:
        msg: canary-output
    - name: Hide
      ansible.builtin.assert:
        that: false
        fail_msg: canary-hidden
      no_log: true
      ignore_errors: true
    - name: Recover
      block:
        - name: Break
          ansible.builtin.assert:
            that: false
            fail_msg: mended
      rescue:
        - name: Mend
          ansible.builtin.debug:
            msg: mended
- name: S2 cluster runtime
  hosts: all
  gather_facts: false
  tags: [s2]
  tasks:
    - name: Stop
      ansible.builtin.assert:
        that: false
        fail_msg: node1 has no k3s.
- name: S3 platform services
  hosts: all
  gather_facts: false
  tags: [s3]
  tasks:
    - name: Never
      ansible.builtin.debug:
        msg: never
"""


def play(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    return subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "node1,", "-c", "local", "play.yml"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
            "ANSIBLE_CALLBACKS_ENABLED": "railiance.stack.run_report",
            "LC_ALL": "C.UTF-8",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def report(tmp_path: Path) -> tuple[dict[str, Any], str]:
    path = tmp_path / "new" / "report.json"
    done = play(tmp_path, RAILIANCE_RUN_REPORT=str(path))
    assert done.returncode == 2, done.stdout + done.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["report.json"]
    return json.loads(path.read_text()), done.stdout


def test_a_real_run_is_reported_layer_by_layer(report: tuple[dict[str, Any], str]):
    data, out = report
    assert data["outcome"] == "failed"
    assert [(r["layer"], r["title"], r["status"]) for r in data["layers"]] == [
        ("s1", "S1 host", "ok"),
        ("s2", "S2 cluster runtime", "failed"),
        ("s3", "S3 platform services", "not_run"),
    ]
    assert [(t["name"], t["status"]) for t in data["layers"][0]["tasks"]] == [
        ("Show", "ok"),
        ("Hide", "ignored"),
        ("Break", "rescued"),
        ("Mend", "ok"),
    ]
    assert data["failures"][0]["message"] == "node1 has no k3s."
    assert "failed: node1: node1 has no k3s." in out
    assert "S3 platform services  not run" in out


def test_the_report_holds_no_output(report: tuple[dict[str, Any], str]):
    assert "canary" not in json.dumps(report[0])


def test_a_report_that_cannot_be_written_is_a_warning(tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = play(tmp_path, RAILIANCE_RUN_REPORT=str(tmp_path / "file" / "report.json"))
    assert done.returncode == 2
    assert "could not be written" in done.stdout + done.stderr
