# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual environment that holds exactly pinned packages. Private to this collection."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.railiance.stack.plugins.module_utils._artifact import Bundle
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step

#: Runs a command, returns exit code, standard output and standard error.
Runner = Callable[[list[str]], "tuple[int, str, str]"]

# Runs in the environment's own interpreter, which knows best what it can import.
_LIST = (
    "import json, sys; from importlib.metadata import distributions; "
    "print(json.dumps({'python': list(sys.version_info[:2]), "
    "'packages': {d.metadata['Name']: d.version for d in distributions()}}))"
)
_ASK = "import json, sys; print(json.dumps({'python': list(sys.version_info[:2]), 'packages': {}}))"


def canonical(name: str) -> str:
    """A package's name as indexes compare it: ``PyYAML`` and ``pyyaml``, ``a_b`` and ``a-b`` are one."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_pins(requirements: list[str]) -> dict[str, str]:
    """``name==version`` lines as name to version. :raises StackError: for anything that is not pinned."""
    pins: dict[str, str] = {}
    for line in requirements:
        match = re.fullmatch(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*==\s*([A-Za-z0-9][A-Za-z0-9.!+_-]*)\s*", line)
        if not match:
            raise StackError(f"The requirement {line!r} is not pinned.", "Write it as name==version.")
        pins[canonical(match[1])] = match[2]
    return pins


def wheel_pins(bundle: Bundle, folder: str) -> dict[str, str]:
    """Name to version of the wheels that the bundle lists below ``folder``."""
    pins: dict[str, str] = {}
    for name in bundle.sums:
        if name.startswith(folder) and name.endswith(".whl"):
            # name-version(-build)?-python-abi-platform.whl; blanks and dashes are escaped in each part
            parts = os.path.basename(name).split("-")
            pins[canonical(parts[0])] = parts[1]
    return pins


@dataclass(frozen=True)
class Present:
    """What an interpreter says about itself."""

    python: tuple[int, int]
    packages: dict[str, str]


@dataclass
class PythonEnv:
    """Plans and carries out.

    :param path: folder of the virtual environment.
    :param pins: canonical name to version, everything that is to be in it.
    :param wheels: a bundle and its folder of wheels; ``None`` asks the package index of the node.
    :param run: runs commands.
    :param base: the interpreter that the environment is made with.
    """

    path: str
    pins: dict[str, str]
    run: Runner
    wheels: tuple[Bundle, str] | None = None
    base: str = "/usr/bin/python3"

    @property
    def python(self) -> str:
        return os.path.join(self.path, "bin", "python")

    def plan(self) -> Plan:
        """:raises StackError: when there is no base interpreter, or a wheel of the bundle is corrupted."""
        plan = Plan()
        base = self._ask(self.base, _ASK)
        if base is None:
            raise StackError(f"{self.base} does not run on this server.", "Install python3.")
        present = self._ask(self.python, _LIST) if os.path.lexists(self.python) else None
        exists = os.path.lexists(self.path)
        usable = present is not None and present.python == base.python
        if not usable:
            note = "" if not exists else "its interpreter does not run or is not the system's version"
            before = {"python": _dotted(present)} if exists else None
            plan.add(
                Step("update" if exists else "create", self.path, before, {"python": _dotted(base)}, self._make, note)
            )
        found = {canonical(name): version for name, version in present.packages.items()} if usable and present else {}
        wrong = {name: version for name, version in sorted(self.pins.items()) if found.get(name) != version}
        if wrong:
            self._verify(wrong)
            plan.add(
                Step(
                    "update" if usable else "create",
                    f"packages of {self.path}",
                    {name: found.get(name) for name in wrong},
                    dict(wrong),
                    lambda: self._install(wrong),
                    f"from {self._source()}",
                )
            )
        return plan

    def _ask(self, python: str, program: str) -> Present | None:
        rc, out, _err = self.run([python, "-I", "-c", program])
        if rc:
            return None
        try:
            answer = json.loads(out)
        except ValueError:
            return None
        major, minor = answer["python"]
        return Present((major, minor), answer["packages"])

    def _source(self) -> str:
        return self.wheels[0].path(self.wheels[1]) if self.wheels else "the package index"

    def _verify(self, pins: dict[str, str]) -> None:
        if not self.wheels:
            return
        bundle, folder = self.wheels
        for name in bundle.sums:
            if name.startswith(folder) and canonical(os.path.basename(name).split("-")[0]) in pins:
                bundle.verify(name)

    def _make(self) -> None:
        if os.path.lexists(self.path):
            shutil.rmtree(self.path)
        rc, out, err = self.run([self.base, "-m", "venv", self.path])
        if rc:
            shutil.rmtree(self.path, ignore_errors=True)
            raise StackError(
                f"The virtual environment {self.path} cannot be made: {_last(err, out)}.",
                "On Debian and Ubuntu the package python3-venv is needed.",
                rc=rc,
                stderr=err,
            )

    def _install(self, pins: dict[str, str]) -> None:
        argv = [self.python, "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-deps"]
        # Binary packages only: nothing is compiled on a server, and no build script of a package is run.
        argv += ["--only-binary=:all:", "--no-cache-dir"]
        if self.wheels:
            bundle, folder = self.wheels
            argv += ["--no-index", f"--find-links={bundle.path(folder)}"]
        rc, out, err = self.run([*argv, *(f"{name}=={version}" for name, version in pins.items())])
        if rc:
            raise StackError(
                f"The packages of {self.path} cannot be installed from {self._source()}: {_last(err, out)}.",
                "Check that the wheels of the bundle are for this server's Python."
                if self.wheels
                else "Check that the node reaches its package index, or set stack_bundle_dir.",
                rc=rc,
                stderr=err,
            )
        rc, out, err = self.run([self.python, "-I", "-m", "pip", "check", "--disable-pip-version-check"])
        if rc:
            raise StackError(
                f"The packages of {self.path} do not fit together: {_last(out, err)}.",
                "Complete the pinned requirements.",
                rc=rc,
                stdout=out,
            )


def _dotted(present: Present | None) -> str | None:
    return f"{present.python[0]}.{present.python[1]}" if present else None


def _last(*texts: str) -> str:
    """The last line that says something; pip's errors come last."""
    for text in texts:
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("WARNING")]
        if lines:
            return lines[-1].removeprefix("ERROR: ").rstrip(".")
    return "no message"
