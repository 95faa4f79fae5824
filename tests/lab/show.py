#!/usr/bin/env python3
"""The end of `make demo`: what runs, where, and one complete curl line that answers 200."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "application": "https://vergabe.lab.test/ausschreibungen/dashboard/",
    "health": "https://vergabe.lab.test/health/",
    "forge and registry": "https://gitea.lab.test/user/login",
}


def curl(lab: dict[str, str], url: str) -> list[str]:
    """The complete command: the lab's CA, the node's address, the status code as output."""
    host = url.split("/")[2]
    return [
        "curl",
        "--cacert",
        lab["ca_file"],
        "--resolve",
        f"{host}:443:{lab['node_address']}",
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}\\n",
        url,
    ]


def main() -> int:
    lab = json.loads((ROOT / ".lab" / "lab.json").read_text())
    playbook = ["ansible-playbook", "playbooks/status.yml", "-i", "inventory/lab"]
    code = subprocess.run(playbook, cwd=ROOT, check=False).returncode
    print("\nServed over TLS with a verified chain:")
    for name, url in PAGES.items():
        answer = subprocess.run(curl(lab, url), capture_output=True, text=True, check=False)
        status = answer.stdout.strip() if answer.returncode == 0 else answer.stderr.strip()
        print(f"  {name:<20} {url:<55} {status}")
        code = code or (0 if status == "200" else 1)
    print("\nLook yourself:\n  " + shlex.join(curl(lab, PAGES["application"])))
    return code


if __name__ == "__main__":
    sys.exit(main())
