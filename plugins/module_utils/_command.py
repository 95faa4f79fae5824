# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs on the managed node: one way to run them, one way to fail. Private to this collection."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError


class NotInstalled(StackError):
    """The program is not on this host."""


@dataclass(frozen=True)
class Ran:
    """Outcome of a program."""

    rc: int
    stdout: str = ""
    stderr: str = ""

    @property
    def reason(self) -> str:
        """The last line a program said before it failed."""
        lines = [line.strip() for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        return lines[-1].rstrip(".") if lines else f"exit code {self.rc}"


class Runner(Protocol):
    """Runs a program to its end; tests put their own in place."""

    def __call__(self, command: list[str], *, environment: Mapping[str, str] | None = None) -> Ran:
        """:param environment: variables in addition to the runner's own.

        :raises NotInstalled: when the program is not on this host.
        :raises StackError: when it does not end in time.
        """


@dataclass(frozen=True)
class LocalRunner:
    """:class:`Runner` on this host, without standard input.

    :param user: run as this login, with its home; needs root.
    :param environment: variables of every program.
    """

    user: str = ""
    timeout: float = 300
    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, command: list[str], *, environment: Mapping[str, str] | None = None) -> Ran:
        options: dict[str, Any] = {}
        variables = dict(os.environ)
        if self.user:
            try:
                account = pwd.getpwnam(self.user)
            except KeyError as error:
                raise StackError(
                    f"The user {self.user} does not exist on this host.", "Set stack_user to a login."
                ) from error
            variables.update(HOME=account.pw_dir, USER=self.user, LOGNAME=self.user)
            if os.geteuid() == 0 and account.pw_uid != 0:
                groups = os.getgrouplist(self.user, account.pw_gid)
                options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}
        variables.update({"LC_ALL": "C.UTF-8", **self.environment, **(environment or {})})
        try:
            done = subprocess.run(
                command,
                env=variables,
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.timeout,
                check=False,
                **options,
            )
        except FileNotFoundError as error:
            raise NotInstalled(
                f"{command[0]} is not installed on this host.", f"Install the package that brings {command[0]}."
            ) from error
        except subprocess.TimeoutExpired as error:
            raise StackError(
                f"{' '.join(command[:3])} did not end within {self.timeout:.0f} s.",
                "Look at the load of the host and at the network, or raise the timeout.",
            ) from error
        return Ran(done.returncode, done.stdout, done.stderr)
