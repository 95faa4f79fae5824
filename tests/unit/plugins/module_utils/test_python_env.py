from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from ansible_collections.railiance.stack.plugins.module_utils import _python_env as python_env
from ansible_collections.railiance.stack.plugins.module_utils._artifact import Bundle
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._python_env import PythonEnv

PINS = {"kubernetes": "35.0.0", "pyyaml": "6.0.3"}


class Machine:
    """Interpreters that answer; venv and pip change what they answer."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "venv"
        self.base: list[int] | None = [3, 13]
        self.env: list[int] | None = None
        self.packages: dict[str, str] = {}
        self.commands: list[str] = []
        self.fail: dict[str, str] = {}

    def make(self) -> None:
        (self.path / "bin").mkdir(parents=True)
        (self.path / "bin" / "python").write_text("")
        self.env, self.packages = self.base, {}

    def run(self, argv: list[str]) -> tuple[int, str, str]:
        base = argv[0] == "/usr/bin/python3"
        version = self.base if base else self.env
        what = " ".join(argv[1:4])
        if "-c" in argv:
            answer = {"python": version, "packages": {} if base else self.packages}
            return (0, json.dumps(answer), "") if version else (127, "", "cannot execute")
        self.commands.append(" ".join(argv).replace(str(self.path), "VENV"))
        for part, message in self.fail.items():
            if part in " ".join(argv):
                return 1, "", message
        if what == f"-m venv {self.path}":
            self.make()
        elif argv[4] == "install":
            names = dict(pin.split("==") for pin in argv if "==" in pin)
            self.packages.update({"PyYAML" if name == "pyyaml" else name: names[name] for name in names})
        return 0, "", ""

    def keep(self, wheels: tuple[Bundle, str] | None = None, pins: dict[str, str] | None = None) -> list[str]:
        self.commands.clear()
        plan = PythonEnv(str(self.path), pins or PINS, self.run, wheels).plan()
        plan.execute()
        return [f"{step['action']} {step['target'].replace(str(self.path), 'VENV')}" for step in plan.describe()]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def bundle_with(tmp_path: Path, **wheels: bytes) -> tuple[Bundle, str]:
    folder = tmp_path / "bundle" / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, content in wheels.items():
        (folder / f"{name}-py3-none-any.whl").write_bytes(content)
        lines.append(f"{hashlib.sha256(content).hexdigest()}  wheels/{name}-py3-none-any.whl\n")
    (folder.parent / "SHA256SUMS").write_text("".join(lines))
    return Bundle(str(folder.parent)), "wheels/"


def test_a_clean_machine_gets_environment_and_packages_once(machine: Machine):
    assert machine.keep() == ["create VENV", "create packages of VENV"]
    assert machine.commands == [
        "/usr/bin/python3 -m venv VENV",
        "VENV/bin/python -I -m pip install --no-input --disable-pip-version-check --no-deps --only-binary=:all: "
        "--no-cache-dir kubernetes==35.0.0 pyyaml==6.0.3",
        "VENV/bin/python -I -m pip check --disable-pip-version-check",
    ]
    assert machine.keep() == []
    assert machine.commands == []


def test_planning_runs_nothing_but_questions(machine: Machine):
    plan = PythonEnv(str(machine.path), PINS, machine.run).plan()
    assert plan.changed
    assert machine.commands == []
    assert not machine.path.exists()


def test_only_what_differs_is_installed(machine: Machine):
    machine.keep()
    machine.packages["kubernetes"] = "30.1.0"
    assert machine.keep() == ["update packages of VENV"]
    assert machine.commands[0].endswith("--no-cache-dir kubernetes==35.0.0")


@pytest.mark.parametrize("version", [None, [3, 11]])
def test_an_environment_of_another_python_is_made_anew(machine: Machine, version: list[int] | None):
    machine.keep()
    (machine.path / "stale").write_text("")
    machine.env = version
    assert machine.keep() == ["update VENV", "create packages of VENV"]
    assert not (machine.path / "stale").exists()


def test_wheels_of_a_bundle_are_installed_without_an_index(machine: Machine, tmp_path: Path):
    bundle, folder = bundle_with(tmp_path, **{"kubernetes-35.0.0": b"k", "PyYAML-6.0.3": b"y"})
    pins = python_env.wheel_pins(bundle, folder)
    assert pins == PINS
    machine.keep((bundle, folder), pins)
    assert f"--no-index --find-links={bundle.directory}/wheels/ kubernetes==35.0.0 pyyaml==6.0.3" in machine.commands[1]


def test_a_corrupted_wheel_is_named_before_anything_is_made(machine: Machine, tmp_path: Path):
    wheels = bundle_with(tmp_path, **{"kubernetes-35.0.0": b"k", "PyYAML-6.0.3": b"y"})
    (tmp_path / "bundle/wheels/PyYAML-6.0.3-py3-none-any.whl").write_bytes(b"rotten")
    with pytest.raises(StackError, match=r"PyYAML-6\.0\.3-py3-none-any\.whl is corrupted: expected sha256"):
        machine.keep(wheels)
    assert not machine.path.exists()


def test_a_missing_venv_package_is_named_and_nothing_is_left(machine: Machine):
    machine.fail["venv"] = "The virtual environment was not created successfully because ensurepip is not available.\n"
    with pytest.raises(StackError) as caught:
        machine.keep()
    assert "ensurepip is not available" in caught.value.message
    assert caught.value.hint == "On Debian and Ubuntu the package python3-venv is needed."


def test_pips_last_word_is_the_message(machine: Machine):
    machine.fail["install"] = "WARNING: x\nERROR: No matching distribution found for kubernetes==35.0.0\n"
    with pytest.raises(StackError) as caught:
        machine.keep()
    assert caught.value.message.endswith(
        "from the package index: No matching distribution found for kubernetes==35.0.0."
    )


def test_pins_that_do_not_fit_together_are_named(machine: Machine):
    machine.fail["pip check"] = "kubernetes 35.0.0 requires six, which is not installed.\n"
    with pytest.raises(StackError, match=r"do not fit together: kubernetes 35\.0\.0 requires six"):
        machine.keep()


def test_a_server_without_python_is_named(machine: Machine):
    machine.base = None
    with pytest.raises(StackError, match="/usr/bin/python3 does not run"):
        machine.keep()


@pytest.mark.parametrize("line", ["kubernetes", "kubernetes>=35", "kubernetes==", "-r x", "a @ https://x/a.whl"])
def test_unpinned_requirements_are_refused(line: str):
    with pytest.raises(StackError, match="is not pinned"):
        python_env.parse_pins([line])
