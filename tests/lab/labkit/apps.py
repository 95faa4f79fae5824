"""Example applications as Git repositories with commits that are the same on every machine."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import command
from .naming import SSH_USER
from .state import State

# Author, committer and both dates decide the commit's id together with the content.
_WHO = "Railiance"
_MAIL = "railiance@lab.test"
_WHEN = "2026-01-01T00:00:00+00:00"
_BRANCH = "main"


@dataclass(frozen=True)
class Repository:
    """An application's repository: ``name``, ``directory`` on this machine, ``commit`` (40 hex digits)."""

    name: str
    directory: Path
    commit: str

    @property
    def path(self) -> str:
        """Where it stands on a server."""
        return f"/home/{SSH_USER}/{self.name}"


def repositories(here: State) -> list[Repository]:
    """Return a repository for every application below ``examples/``, made anew where its files changed."""
    listed = command.output(
        ["git", "-C", str(here.checkout), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "examples"]
    )
    files: dict[str, list[Path]] = {}
    for text in filter(None, listed.split("\0")):
        path = Path(text)
        # A file deleted but not committed is still listed; one directly below examples/ belongs to no application.
        if len(path.parts) > 2 and (here.checkout / path).is_file():
            files.setdefault(path.parts[1], []).append(path.relative_to(*path.parts[:2]))
    return [_repository(here, name, sorted(paths)) for name, paths in sorted(files.items())]


def archive(repository: Repository, uid: int, gid: int) -> bytes:
    """Return the repository as a tar file with the application's name as its one directory, owned by uid:gid."""

    def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid, member.gid, member.uname, member.gname = uid, gid, "", ""
        return member

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(repository.directory, arcname=repository.name, filter=owned)
    return packed.getvalue()


def _repository(here: State, name: str, paths: list[Path]) -> Repository:
    source = here.checkout / "examples" / name
    here.apps.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=here.apps, prefix=".making-") as work:
        made = Path(work) / name
        for path in paths:
            target = made / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, target)
            target.chmod(0o755 if (source / path).stat().st_mode & 0o100 else 0o644)
        commit = _commit(made)
        final = here.apps / name
        if not _is_at(final, commit):
            shutil.rmtree(final, ignore_errors=True)
            made.rename(final)
    return Repository(name, here.apps / name, commit)


def _commit(directory: Path) -> str:
    # The configuration of whoever runs the lab (hooks, signing, line ends) must not decide the commit.
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(directory), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": _WHO, "GIT_AUTHOR_EMAIL": _MAIL, "GIT_AUTHOR_DATE": _WHEN,
        "GIT_COMMITTER_NAME": _WHO, "GIT_COMMITTER_EMAIL": _MAIL, "GIT_COMMITTER_DATE": _WHEN,
    }  # fmt: skip
    git = ["git", "-C", str(directory)]
    command.run([*git, "init", "--quiet", f"--initial-branch={_BRANCH}", "--template="], env=environment)
    command.run([*git, "add", "--all", "--force"], env=environment)
    command.run([*git, "commit", "--quiet", "--message", f"Import {directory.name}"], env=environment)
    return command.output([*git, "rev-parse", "HEAD"], env=environment)


def _is_at(directory: Path, commit: str) -> bool:
    head = directory / ".git" / "refs" / "heads" / _BRANCH
    return head.exists() and head.read_text(encoding="ascii").strip() == commit
