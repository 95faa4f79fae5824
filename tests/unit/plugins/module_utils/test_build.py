from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._build import (
    FINGERPRINT,
    Builder,
    Commit,
    SourceTree,
    Wanted,
    build_command,
    check,
    check_space,
    fingerprint,
    last_changes,
)
from ansible_collections.railiance.stack.plugins.module_utils._command import LocalRunner, Ran
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError

COMMIT = Commit("0d1c5f7a9f3b2e64c8d7a6b5e4f3029181706f5e", "/srv/site", "2026-01-01T00:00:00Z")


class Host:
    """Runs git and tar for real, plays buildah and skopeo, and keeps what they were called with."""

    def __init__(self, folder):
        self.folder = folder
        self.repository = str(folder / "site")
        self.calls = []
        self.image = None
        self.answer = Ran(0, "COMMIT\n", "")
        self.seen = {}
        self._real = LocalRunner(environment={"HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"})
        self.git("init", "--quiet", "--initial-branch=main", self.repository, where="/")
        Path(self.repository, "Dockerfile").write_text("FROM scratch\n")
        Path(self.repository, "a").mkdir()
        Path(self.repository, "a", "ü b").write_text("1")
        self.first = self.commit("2026-01-01T00:00:00Z")
        Path(self.repository, "new").write_text("2")
        self.second = self.commit("2026-01-02T00:00:00Z")
        Path(self.repository, "untracked").write_text("x")

    def git(self, *arguments, where=None):
        date = {"GIT_AUTHOR_DATE": self.date, "GIT_COMMITTER_DATE": self.date} if hasattr(self, "date") else {}
        done = self._real(["git", "-C", where or self.repository, *arguments], environment=date)
        assert done.rc == 0, done.stderr
        return done.stdout.strip()

    def commit(self, date):
        self.date = date
        self.git("add", "--all")
        self.git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", "x")
        return self.git("rev-parse", "HEAD")

    def __call__(self, command, *, environment=None):
        if command[0] in ("git", "tar"):
            return self._real(command, environment=environment)
        self.calls.append(command)
        if command[:2] == ["buildah", "info"]:
            return Ran(0, "/\n", "")
        if command[:2] == ["buildah", "inspect"]:
            return Ran(0 if self.image else 125, "", "image not known")
        if command[0] == "skopeo":
            return Ran(0, json.dumps(self.image), "")
        context = Path(command[-1])
        self.seen = {
            str(path.relative_to(context)): int(path.stat().st_mtime) for path in context.rglob("*") if path.is_file()
        }
        labels = [command[i + 1] for i, word in enumerate(command) if word == "--label"]
        if self.answer.rc == 0:
            self.image = {"config": {"Labels": dict(label.split("=", 1) for label in labels)}}
        return self.answer

    def builder(self, commit=None, **changes):
        wanted = Wanted(
            **{
                "repository": self.repository,
                "commit": commit or self.second,
                "image": "localhost/apps/site:1",
                "folder": str(self.folder / "build"),
                **changes,
            }
        )
        return Builder(wanted, self, root=False)

    def run(self, **changes):
        plan = self.builder(**changes).plan()
        plan.execute()
        return [f"{step.action} {step.target}" for step in plan.steps]

    @property
    def builds(self):
        return [call for call in self.calls if "build" in call]


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_planning_builds_nothing_and_the_second_run_neither(host):
    assert host.builder().plan().changed
    assert host.builds == []
    assert host.run() == ["create image localhost/apps/site:1"]
    assert host.run() == []
    assert len(host.builds) == 1


def test_the_context_is_exactly_the_commit_with_each_file_as_old_as_its_last_change(host):
    host.run()
    assert host.seen == {"Dockerfile": 1767225600, "a/ü b": 1767225600, "new": 1767312000}
    assert os.listdir(host.folder / "build") == []
    host.run(commit=host.first)
    assert host.seen == {"Dockerfile": 1767225600, "a/ü b": 1767225600}


def test_another_commit_argument_or_label_is_another_build(host):
    host.run()
    assert host.run(commit=host.first) == ["update image localhost/apps/site:1"]
    assert host.run(commit=host.first, build_args={"A": "1"}) != []
    assert host.run(commit=host.first, build_args={"A": "1"}, labels={"x": "y"}) != []
    assert host.run(commit=host.first, build_args={"A": "1"}, labels={"x": "y"}) == []
    assert host.image["config"]["Labels"]["org.opencontainers.image.revision"] == host.first
    assert host.image["config"]["Labels"]["org.opencontainers.image.created"] == "2026-01-01T00:00:00Z"


def test_an_abbreviated_commit_is_the_same_build(host):
    host.run()
    assert host.run(commit=host.second[:10]) == []


def test_a_commit_that_is_not_there(host):
    with pytest.raises(StackError) as raised:
        host.builder(commit="f" * 40).plan()
    assert str(raised.value) == (
        f"Commit {'f' * 40} is not in {host.repository}. Push it there first, on a branch or with a tag."
    )


def test_a_remote_repository_is_fetched_once_and_not_while_planning(host):
    url = f"file://{host.repository}"
    builder = host.builder(repository=url)
    assert builder.plan().changed
    assert not (host.folder / "build").exists()
    builder.plan().execute()
    assert set(host.seen) == {"Dockerfile", "a/ü b", "new"}
    tree = SourceTree(url, str(host.folder / "build"), host)
    assert tree.find(host.second).created == "2026-01-02T00:00:00Z"
    with pytest.raises(StackError, match=r"The repository file:///nowhere cannot be read"):
        host.builder(repository="file:///nowhere").build()


def test_a_failed_build_ends_with_its_log_and_leaves_nothing(host):
    host.answer = Ran(1, "STEP 1\nSTEP 2\n", "Error: building at STEP 2: exit status 137\n")
    with pytest.raises(StackError) as raised:
        host.run(memory_max="1G")
    assert raised.value.message == (
        f"Building localhost/apps/site:1 from commit {host.second[:12]} failed:"
        " Error: building at STEP 2: exit status 137."
    )
    assert raised.value.hint == "It ran out of memory (1G): raise memory_max, or build on another host."
    assert raised.value.result["log"].splitlines()[0] == "STEP 1"
    assert os.listdir(host.folder / "build") == []


def test_a_host_without_buildah_has_no_image_and_cannot_build(host):
    def without(command, *, environment=None):
        if command[0] == "buildah":
            return LocalRunner(environment={"PATH": "/nowhere"})(command)
        return host(command, environment=environment)

    builder = Builder(host.builder().wanted, without, root=False)
    plan = builder.plan()
    assert plan.changed
    with pytest.raises(StackError, match="buildah is not installed on this host"):
        plan.execute()


def test_a_missing_containerfile_is_named(host):
    with pytest.raises(StackError, match=rf"Commit {host.second[:12]} has no deploy/Dockerfile"):
        host.run(containerfile="deploy/Dockerfile")


def test_the_command_holds_file_names_of_secrets_and_caps_the_memory():
    wanted = Wanted(
        "https://me:hunter2@forge.test/a/b.git",
        "x",
        "localhost/a/b:1",
        build_args={"PYTHON": "docker.io/library/python:3.13-slim"},
        secrets={"index": "/etc/netrc"},
        memory_max="2G",
    )
    command = build_command(wanted, COMMIT, "/context", capped=True)
    text = " ".join(command)
    assert command[: command.index("nice")] == [
        *("systemd-run", "--scope", "--quiet", "--collect"),
        *("--property", "MemoryMax=2G", "--property", "MemorySwapMax=0", "--"),
    ]
    assert "--isolation chroot --network host --format docker --layers" in text
    assert "--secret id=index,src=/etc/netrc" in text
    assert f"--label {FINGERPRINT}={fingerprint(wanted, COMMIT.name)}" in text
    assert text.endswith("--file /context/Dockerfile --tag localhost/a/b:1 /context")
    assert "hunter2" not in text
    assert "systemd-run" not in build_command(wanted, COMMIT, "/context", capped=False)


@pytest.mark.parametrize("name", ["DB_PASSWORD", "api_key", "NpmToken", "SECRET"])
def test_a_build_argument_that_looks_like_a_secret_is_refused(name):
    with pytest.raises(StackError, match=f"The build argument {name} looks like a secret"):
        check(Wanted("/x", "y", "z", build_args={name: "1"}))


def test_missing_files_are_named_before_anything_is_built(tmp_path):
    with pytest.raises(StackError, match="of build secret ca does not exist"):
        check(Wanted("/x", "y", "z", secrets={"ca": str(tmp_path / "none")}))
    with pytest.raises(StackError, match=r"The image archive /none\.tar does not exist"):
        check(Wanted("/x", "y", "z", build_args={"BASE": "docker-archive:/none.tar"}))


def test_a_replaced_base_archive_is_another_build(tmp_path):
    archive = tmp_path / "base.tar"
    archive.write_text("1")
    wanted = Wanted("/x", "y", "z", build_args={"BASE": f"docker-archive:{archive}:python:3"})
    before = fingerprint(wanted, "c")
    assert fingerprint(wanted, "c") == before
    archive.write_text("22")
    assert fingerprint(wanted, "c") != before


def test_too_little_space_is_said_before_the_build():
    check_space("/x", 100, lambda folder: SimpleNamespace(free=200 * 1024**2))
    with pytest.raises(StackError) as raised:
        check_space("/x", 300, lambda folder: SimpleNamespace(free=200 * 1024**2))
    assert raised.value.message == "/x has 200 MB free, a build needs 300 MB."


def test_last_changes_takes_the_newest_commit_of_a_file():
    assert last_changes("\x012\0\na\0b\0\x011\0\nb\0c d\0") == {"a": 2, "b": 2, "c d": 1}
    assert last_changes("") == {}
