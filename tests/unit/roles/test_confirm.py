"""The question before a layer, asked by a real ansible-playbook run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import subprocess
import termios
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  roles:
    - role: railiance.stack.confirm
      vars: {confirm_layer: S9, confirm_summary: nothing at all}
  tasks:
    - ansible.builtin.debug: {msg: THE LAYER RAN}
"""


def run(tmp_path: Path, answer: str | None, *arguments: str) -> tuple[int, str]:
    """The play on a terminal where ``answer`` is typed at the question, or without a terminal when it is ``None``."""
    play = tmp_path / "play.yml"
    play.write_text(PLAY)
    command = ["ansible-playbook", str(play), "-i", "localhost,", *arguments]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
    if answer is None:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr
    keyboard, terminal = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        # The play asks its controlling terminal.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  nothing else runs in this process
    )
    os.close(terminal)
    output = ""
    with contextlib.suppress(OSError):  # Linux ends a terminal nobody holds any more with EIO
        while process.poll() is None or select.select([keyboard], [], [], 0)[0]:
            if select.select([keyboard], [], [], 0.5)[0]:
                output += os.read(keyboard, 4096).decode(errors="replace")
            elif "[yes/no]" in output:
                # Silence after the question: what was typed before it listened is thrown away, so type (again).
                os.write(keyboard, f"{answer}\r".encode())
    os.close(keyboard)
    return process.wait(timeout=60), output


@pytest.mark.parametrize("answer", ["no", "", None])
def test_without_a_yes_nothing_of_the_layer_runs(tmp_path, answer):
    rc, output = run(tmp_path, answer)
    assert rc != 0
    assert "S9 was not confirmed, nothing of it was changed." in " ".join(output.split())
    assert "THE LAYER RAN" not in output


def test_a_yes_lets_the_layer_run(tmp_path):
    rc, output = run(tmp_path, "yes")
    assert rc == 0
    assert "THE LAYER RAN" in output


def test_unattended_runs_without_asking(tmp_path):
    rc, output = run(tmp_path, None, "-e", "stack_confirm=false")
    assert rc == 0
    assert "THE LAYER RAN" in output
