"""The lab's server from the controller: playbooks, single tasks, commands on the node, kubectl."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
INVENTORY = ROOT / "inventory" / "lab"
#: Makes ansible-playbook answer with JSON alone.
JSON_ANSWER = {
    "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    "ANSIBLE_CALLBACKS_ENABLED": "railiance.stack.run_report",
}


@dataclass(frozen=True)
class Run:
    """One ansible-playbook run: its exit code, its output and its run report."""

    rc: int
    output: str
    report: dict[str, Any]

    @property
    def changed(self) -> list[str]:
        return [
            task["name"] for layer in self.report["layers"] for task in layer["tasks"] if task["status"] == "changed"
        ]

    @property
    def messages(self) -> list[str]:
        return [
            task.get("message", "") for task in self.report.get("failures", []) + self.report.get("needs_operator", [])
        ]

    def layer_seconds(self) -> dict[str, float]:
        return {layer["layer"]: layer["seconds"] for layer in self.report["layers"]}


def read_lab() -> dict[str, Any]:
    """What ``lab.py up`` wrote about this checkout's lab."""
    return json.loads((ROOT / ".lab" / "lab.json").read_text())


def playbook(name: str, *arguments: str, cwd: Path = ROOT, inventory: Path = INVENTORY, **environment: str) -> Run:
    """Run a playbook; output goes to the terminal as it comes."""
    command = ["ansible-playbook", name, "-i", str(inventory), *arguments]
    start = time.monotonic()
    print(f"\n$ {' '.join(command)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "RAILIANCE_RUN_REPORT": str(report), "ANSIBLE_NOCOLOR": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            print(line, end="", flush=True)
        rc = process.wait()
        print(f"({time.monotonic() - start:.0f} s)", flush=True)
        return Run(rc, "".join(lines), json.loads(report.read_text()) if report.exists() else {"layers": []})


def play(*tasks: dict[str, Any], **keywords: Any) -> dict[str, Any]:
    """A play on the node, as the playbooks of the collection have it; ``keywords`` of a play come on top."""
    return {
        "hosts": "stack",
        "become": True,
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": "/opt/railiance/venv/bin/python"},
        "module_defaults": {"group/railiance.stack.stack": {"kubeconfig": "/etc/rancher/k3s/k3s.yaml"}},
        "tasks": list(tasks),
        **keywords,
    }


def tasks(module: str, *calls: dict[str, Any]) -> list[dict[str, Any]]:
    """``tasks("cnpg_app_db", {"app": "shop", "check": True}, {"app": "shop"}) -> results``: one playbook on the node.

    A task that fails is a result as well, and the next one runs: ``failed`` and ``msg`` say so, and the caller looks.
    """
    called = [
        {
            "name": module,
            f"railiance.stack.{module}": {name: value for name, value in call.items() if name != "check"},
            "check_mode": call.get("check", False),
            "ignore_errors": True,
        }
        for call in calls
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(json.dumps([play(*called)]))
        file.flush()
        done = subprocess.run(
            ["ansible-playbook", file.name, "-i", str(INVENTORY), "--diff"],
            cwd=ROOT,
            env={**os.environ, **JSON_ANSWER},
            capture_output=True,
            text=True,
            check=False,
        )
    assert "{" in done.stdout, f"{module} did not run: {done.stdout}{done.stderr}"
    answer = json.loads(done.stdout[done.stdout.index("{") :])
    results = [next(iter(one["hosts"].values())) for one in answer["plays"][0]["tasks"]]
    assert len(results) == len(calls), f"not every {module} ran: {done.stdout}{done.stderr}"
    return results


def task(module: str, **arguments: Any) -> dict[str, Any]:
    """``task("cnpg_app_db", app="shop", check=True) -> result``: one task on the node, as in an operator's playbook."""
    [result] = tasks(module, arguments)
    return result


def output_of(command: list[str], stdin: bytes | None = None) -> str:
    """What a command says; a non-zero exit is an error."""
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout.decode()}\n{done.stderr.decode()}"
    return done.stdout.decode()


def until(look: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Wait until there is something to see, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, what
        time.sleep(0.3)
    return found


def ssh(lab: dict[str, Any], command: str) -> list[str]:
    """The command line that runs a command on the node as the operator."""
    return ["ssh", "-F", lab["ssh_config"], "-o", "BatchMode=yes", lab["node_name"], command]


def node_of(lab: dict[str, Any]) -> Callable[..., str]:
    """``node("command") -> stdout`` over SSH; a non-zero exit is an error."""

    def node(command: str, stdin: bytes | None = None) -> str:
        return output_of(ssh(lab, command), stdin)

    return node


def kubectl_of(node: Callable[..., str]) -> Callable[..., Any]:
    """``kubectl("get deploy -n x y -o json")``: text, or the parsed object when JSON was asked for."""

    def kubectl(arguments: str) -> Any:
        answer = node(f"sudo k3s kubectl {arguments}")
        return json.loads(answer) if "-o json" in arguments.split("jsonpath")[0] else answer

    return kubectl
