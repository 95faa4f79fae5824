# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that SOPS encrypted with a key made for it, and the variables that open it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from server import ROOT


def program() -> Path:
    """SOPS from the lab's bundle."""
    [found] = (ROOT / ".lab" / "bundle").glob("sops-*")
    return found


def encrypted(folder: Path, content: dict[str, Any]) -> dict[str, str]:
    """Write ``secrets.sops.yml``, for the key that is there or a new one.

    :returns: the variables of a run that reads it.
    """
    key = folder / "id_ed25519"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    recipient = key.with_suffix(".pub").read_text().strip()
    command = [program(), "encrypt", "--age", recipient, "--input-type", "json", "--output-type", "yaml", "/dev/stdin"]
    done = subprocess.run(command, input=json.dumps(content), capture_output=True, text=True, check=True)
    file = folder / "secrets.sops.yml"
    file.write_text(done.stdout)
    return {
        "stack_secrets_file": str(file),
        "sops_binary": str(program()),
        "sops_age_ssh_private_keyfile": str(key),
        "sops_age_keyfile": "/dev/null",
    }
