"""Example applications become the same commit on every machine."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from labkit import apps
from labkit.state import State


def git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(directory), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    app = root / "examples" / "shop"
    (app / "static").mkdir(parents=True)
    (app / "manage.py").write_text("print()\n")
    (app / "manage.py").chmod(0o755)
    (app / "shop.txt").write_text("one\n")
    (app / "static" / "built.js").write_text("built\n")
    (app / ".gitignore").write_text("static/\n")
    (root / "examples" / "README.md").write_text("of no application\n")
    git(tmp_path, "init", "--quiet", str(root))
    (root / ".gitignore").write_text("/.lab/\n")
    return root


def test_the_commit_depends_on_content_and_modes_alone(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = apps.repositories(State(checkout))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Else")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z")
    (checkout / "examples/shop/shop.txt").touch()
    assert apps.repositories(State(checkout)) == first
    # Written down, so that a change of the recipe, which changes every commit, does not pass unseen.
    assert [one.commit for one in first] == ["aedbacce147e8ae2f98c525331cdc7500bf5ec06"]
    (checkout / "examples/shop/shop.txt").chmod(0o755)
    assert apps.repositories(State(checkout))[0].commit != first[0].commit


def test_ignored_and_deleted_files_stay_out(checkout: Path) -> None:
    git(checkout, "add", "--all")
    (checkout / "examples/shop/shop.txt").unlink()
    (one,) = apps.repositories(State(checkout))
    assert one.path == "/home/operator/shop"
    assert git(one.directory, "ls-files").splitlines() == [".gitignore", "manage.py"]
    assert git(one.directory, "status", "--porcelain") == ""
    assert git(one.directory, "rev-parse", "HEAD", "main").splitlines() == [one.commit, one.commit]


def test_the_archive_belongs_to_the_servers_user(checkout: Path) -> None:
    (one,) = apps.repositories(State(checkout))
    with tarfile.open(fileobj=io.BytesIO(apps.archive(one, 1010, 37))) as packed:
        members = packed.getmembers()
    assert {(member.uid, member.gid, member.uname) for member in members} == {(1010, 37, "")}
    assert {"shop/manage.py", "shop/.git/HEAD"} <= {member.name for member in members}
    assert next(member.mode for member in members if member.name == "shop/manage.py") == 0o755
