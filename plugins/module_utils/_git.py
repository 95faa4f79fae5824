# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Git on the managed node, as the user who owns the working copy. Private to this collection."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.railiance.stack.plugins.module_utils._command import LocalRunner, Ran, Runner
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step

#: Git never asks, neither itself nor through SSH.
UNATTENDED = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=15"}


def as_user(user: str) -> Runner:
    return LocalRunner(user=user, environment=UNATTENDED)


@dataclass(frozen=True)
class Remote:
    """A working copy and the remote it pushes to.

    :param remote_is_new: the remote repository does not exist yet: plan without asking it.
    """

    path: str
    url: str
    name: str = "origin"
    push: bool = True
    remote_is_new: bool = False


class Unreadable(StackError):
    """The remote does not answer without a prompt."""


class WorkingCopy:
    """One repository on this host."""

    def __init__(self, path: str, run: Runner) -> None:
        self.path = path
        self._run = run

    def remote_url(self, remote: str) -> str | None:
        """:raises StackError: when the path is no repository."""
        inside = self._git(["rev-parse", "--git-dir"])
        if inside.rc != 0:
            raise StackError(
                f"{self.path} is no Git repository that its owner can read: {inside.reason}.",
                "Name an existing working copy in git_access_repositories.",
            )
        found = self._git(["config", "--get", f"remote.{remote}.url"])
        return found.stdout.strip() or None

    def set_remote(self, remote: str, url: str, exists: bool) -> None:
        self._must(["remote", "set-url" if exists else "add", remote, url], f"set remote {remote} of {self.path}")

    def local_refs(self) -> dict[str, str]:
        """Branches and tags: full name to object."""
        done = self._must(
            ["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags"],
            f"list the branches of {self.path}",
        )
        return dict(line.split(" ", 1) for line in done.stdout.splitlines())

    def remote_refs(self, url: str) -> dict[str, str]:
        """:raises Unreadable: when the remote does not answer without a prompt."""
        done = self._git(["ls-remote", "--quiet", "--heads", "--tags", url])
        if done.rc != 0:
            raise Unreadable(
                f"{url} does not answer: {_first_line(done)}.",
                "Its SSH key must be registered and its host key pinned: role railiance.stack.git_access does both.",
                rc=done.rc,
                stderr=done.stderr[-2000:],
            )
        pairs = (line.split("\t", 1) for line in done.stdout.splitlines())
        return {name: digest for digest, name in pairs if not name.endswith("^{}")}

    def contains(self, ancestor: str, descendant: str) -> bool:
        """Whether ``descendant`` builds on ``ancestor``; false when this repository does not know one of them."""
        return self._git(["merge-base", "--is-ancestor", ancestor, descendant]).rc == 0

    def push(self, remote: str, refs: list[str]) -> None:
        self._must(["push", "--quiet", remote, *(f"{ref}:{ref}" for ref in refs)], f"push {self.path} to {remote}")

    def branches_with_upstream(self) -> set[str]:
        """Branches that a plain ``git push`` knows a place for."""
        done = self._git(["config", "--name-only", "--get-regexp", r"^branch\..*\.remote$"])
        return {line.removeprefix("branch.").removesuffix(".remote") for line in done.stdout.splitlines()}

    def set_upstream(self, remote: str, branches: list[str]) -> None:
        for branch in branches:
            what = f"set the upstream of {branch} in {self.path}"
            self._must(["config", f"branch.{branch}.remote", remote], what)
            self._must(["config", f"branch.{branch}.merge", f"refs/heads/{branch}"], what)

    def _git(self, arguments: list[str]) -> Ran:
        return self._run(["git", "-C", self.path, *arguments])

    def _must(self, arguments: list[str], what: str) -> Ran:
        done = self._git(arguments)
        if done.rc != 0:
            raise StackError(
                f"Could not {what}: {done.reason}.",
                "",
                rc=done.rc,
                stderr=done.stderr[-2000:],
                cmd=["git", "-C", self.path, *arguments],
            )
        return done


def plan_remote(copy: WorkingCopy, wanted: Remote) -> Plan:
    """The remote's address, a push of what the remote lacks, and the upstream of branches that have none.

    A branch that the remote is ahead of is left alone; one that has diverged is a person's decision.

    :raises StackError: when the remote does not answer, or histories have diverged.
    """
    plan = Plan()
    current = copy.remote_url(wanted.name)
    if current != wanted.url:
        plan.add(
            Step(
                "create" if current is None else "update",
                f"remote {wanted.name} of {wanted.path}",
                before=None if current is None else {"url": without_login(current)},
                after={"url": wanted.url},
                do=lambda: copy.set_remote(wanted.name, wanted.url, current is not None),
            )
        )
    if not wanted.push:
        return plan
    local = copy.local_refs()
    remote = {} if wanted.remote_is_new else copy.remote_refs(wanted.url)
    missing = {}
    for ref, digest in local.items():
        there = remote.get(ref)
        if there == digest or (there and ref.startswith("refs/heads/") and copy.contains(digest, there)):
            continue
        if there and not copy.contains(there, digest):
            raise StackError(
                f"{ref} of {wanted.path} and of {wanted.url} have diverged: {digest[:12]} here, {there[:12]} there.",
                f"Merge or rebase it by hand: git -C {wanted.path} pull --rebase {wanted.name}",
            )
        missing[ref] = digest
    if missing:
        plan.add(
            Step(
                "run",
                f"git push {wanted.path} to {wanted.url}",
                before={ref: remote.get(ref) for ref in missing},
                after=missing,
                do=lambda: copy.push(wanted.name, list(missing)),
            )
        )
    branches = [ref.removeprefix("refs/heads/") for ref in local if ref.startswith("refs/heads/")]
    if lonely := sorted(set(branches) - copy.branches_with_upstream()):
        plan.add(
            Step(
                "update",
                f"upstream of {', '.join(lonely)} in {wanted.path}",
                before=dict.fromkeys(lonely),
                after={branch: f"{wanted.name}/{branch}" for branch in lonely},
                do=lambda: copy.set_upstream(wanted.name, lonely),
                note="so that a plain git push works",
            )
        )
    return plan


def without_login(url: str) -> str:
    """An address may carry a password: ``https://user:password@host/…``."""
    scheme, separator, rest = url.partition("://")
    if not separator or "@" not in rest.split("/", 1)[0]:
        return url
    return f"{scheme}://********@{rest.split('@', 1)[1]}"


def _first_line(done: Ran) -> str:
    """SSH and the server say the cause first; Git's own advice follows."""
    return next((line.strip().rstrip(".") for line in done.stderr.splitlines() if line.strip()), done.reason)
