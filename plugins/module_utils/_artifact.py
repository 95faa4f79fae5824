# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files from a bundle directory or a release URL, verified before they count. Private to this collection.

Nothing here imports Kubernetes: this runs on a server that has nothing but Python's standard library.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import posixpath
import pwd
import re
import shutil
import ssl
import stat
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step

#: Where this collection remembers what it put where, so that an unchanged file is not hashed or fetched again.
STATE_FILE = "/var/lib/railiance/artifacts.json"
_BLOCK = 1 << 20
_SUM_LINE = re.compile(r"^(?P<sum>[0-9a-fA-F]{64})(?:\s+[ *]?(?P<name>\S.*?))?\s*$")


# -- checksums -------------------------------------------------------------------------------------------------
def parse_sums(text: str) -> dict[str, str]:
    """``sha256sum`` output as name to sum; a line that holds a sum alone has the name ``""``.

    Names lose a leading ``./``; lines that are no checksum are ignored.
    """
    sums: dict[str, str] = {}
    for line in text.splitlines():
        match = _SUM_LINE.match(line.strip())
        if match:
            name = match["name"] or ""
            sums[name[2:] if name.startswith("./") else name] = match["sum"].lower()
    return sums


def pick_sum(text: str, name: str, where: str) -> str:
    """The sum of ``name`` in a checksum file.

    :param where: what a message calls the checksum file.
    :raises StackError: when the file does not list it.
    """
    sums = parse_sums(text)
    by_base = {posixpath.basename(key): value for key, value in sums.items()}
    found = sums.get(name) or by_base.get(posixpath.basename(name)) or (sums.get("") if len(sums) == 1 else None)
    if not found:
        listed = ", ".join(sorted(filter(None, sums))[:8]) or "no file at all"
        raise StackError(
            f"{where} has no sha256 for {name}; it lists {listed}.",
            "Give the checksum file that was released together with this file.",
        )
    return found


def literal_sum(checksum: str) -> str:
    """``sha256:<64 hex digits>`` without its prefix.

    :raises StackError: for another algorithm or length.
    """
    match = re.fullmatch(r"sha256:([0-9a-fA-F]{64})", checksum.strip())
    if not match:
        raise StackError(f"checksum {checksum!r} is not of the form sha256:<64 hex digits>.", "Correct checksum.")
    return match[1].lower()


def hash_stream(source: IO[bytes], target: IO[bytes] | None = None) -> str:
    """The sha256 of everything left in ``source``, copied to ``target`` on the way."""
    digest = hashlib.sha256()
    while block := source.read(_BLOCK):
        digest.update(block)
        if target is not None:
            target.write(block)
    return digest.hexdigest()


def hash_file(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hash_stream(file)


# -- what was put where ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Record:
    """One file as it was left.

    :param sha256: of the file itself.
    :param origin: sha256 of what it came from; differs from ``sha256`` for a member of an archive.
    :param member: path in the archive, or ``""``.
    :param source: path or URL it came from.
    """

    sha256: str
    origin: str
    member: str
    source: str
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: str, sha256: str, origin: str, member: str, source: str) -> Record:
        info = os.stat(path)
        return cls(sha256, origin, member, source, info.st_size, info.st_mtime_ns, info.st_ctime_ns)

    def describes(self, path: str) -> bool:
        """Whether the file was not touched since; the change time cannot be set back by a user."""
        try:
            info = os.lstat(path)
        except OSError:
            return False
        return stat.S_ISREG(info.st_mode) and (info.st_size, info.st_mtime_ns, info.st_ctime_ns) == (
            self.size,
            self.mtime_ns,
            self.ctime_ns,
        )


class State:
    """The records of this server; a missing or damaged file only means that files are verified again."""

    def __init__(self, path: str = STATE_FILE) -> None:
        self.path = path
        self._records = self._load()

    def get(self, dest: str) -> Record | None:
        return self._records.get(dest)

    def paths(self) -> set[str]:
        return set(self._records)

    def put(self, dest: str, record: Record) -> None:
        """Remember, on disk at once; unchanged records are not written."""
        if self._records.get(dest) == record:
            return
        self._records[dest] = record
        self._save()

    def drop(self, dest: str) -> None:
        if self._records.pop(dest, None):
            self._save()

    def _load(self) -> dict[str, Record]:
        try:
            with open(self.path, encoding="utf-8") as file:
                return {dest: Record(**fields) for dest, fields in json.load(file).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _save(self) -> None:
        text = json.dumps({dest: asdict(self._records[dest]) for dest in sorted(self._records)}, indent=1)
        with replacing(self.path, 0o644) as file:
            file.write(text.encode() + b"\n")


@contextlib.contextmanager
def replacing(dest: str, mode: int, owner: tuple[int, int] = (-1, -1)) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``dest`` when the block ends without an error, complete and synced.

    :param owner: user and group ID, -1 to leave it.
    :raises StackError: when the file cannot be written.
    """
    folder = os.path.dirname(dest)
    temporary = ""
    try:
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{os.path.basename(dest)}.")
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fchown(file.fileno(), *owner)
            os.fsync(file.fileno())
        os.replace(temporary, dest)
        temporary = ""
    except OSError as error:
        raise StackError(
            f"{dest} cannot be written: {error.strerror}.", f"Check space and permissions of {folder}."
        ) from error
    finally:
        if temporary:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


# -- sources ---------------------------------------------------------------------------------------------------
class Bundle:
    """A bundle directory with its ``SHA256SUMS``.

    :raises StackError: when the directory or its list cannot be read.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        try:
            self.sums = parse_sums(Path(directory, "SHA256SUMS").read_text(encoding="utf-8"))
        except OSError as error:
            raise StackError(
                f"The bundle {directory} has no readable SHA256SUMS: {error.strerror}.",
                "Copy the bundle to the node, or set stack_bundle_dir to '' to download the releases.",
            ) from error

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def expected(self, name: str) -> str:
        """:raises StackError: when the bundle does not list the file."""
        if name not in self.sums:
            raise StackError(
                f"The bundle {self.directory} does not list {name} in SHA256SUMS.",
                "Add the file and its line to the bundle, or choose a version that the bundle holds.",
            )
        return self.sums[name]

    def open(self, name: str) -> IO[bytes]:
        """:raises StackError: when the listed file is not there."""
        try:
            return open(self.path(name), "rb")
        except OSError as error:
            raise StackError(
                f"Bundle file {self.path(name)} is listed in SHA256SUMS but cannot be read: {error.strerror}.",
                f"Copy it to the bundle again, then check with: (cd {self.directory} && sha256sum -c SHA256SUMS)",
            ) from error

    def verify(self, name: str) -> None:
        """:raises StackError: when the file is missing or does not have its listed content."""
        with self.open(name) as file:
            actual = hash_stream(file)
        if actual != self.expected(name):
            raise self.refuse(name, actual)

    def refuse(self, name: str, actual: str) -> StackError:
        return StackError(
            f"Bundle file {self.path(name)} is corrupted: expected sha256 {self.sums[name]}, actual {actual}.",
            f"Copy it to the bundle again, then check with: (cd {self.directory} && sha256sum -c SHA256SUMS)",
            expected_sha256=self.sums[name],
            actual_sha256=actual,
        )


def base_name(url: str) -> str:
    """File name in a URL, decoded: GitHub writes ``+`` as ``%2B``."""
    return urllib.parse.unquote(posixpath.basename(urllib.parse.urlsplit(url).path))


class Web:
    """Downloads over http and https, nothing else; proxies come from the environment.

    :param ca_file: PEM file trusted in addition to the system's certificates.
    :param ca: the same, its content.
    :raises StackError: when the CA certificates cannot be used.
    """

    def __init__(self, ca_file: str = "", timeout: float = 60, ca: str = "") -> None:
        context = ssl.create_default_context()
        if ca_file or ca:
            try:
                context.load_verify_locations(cafile=ca_file or None, cadata=ca or None)
            except (OSError, ssl.SSLError) as error:
                raise StackError(
                    f"The CA {f'file {ca_file}' if ca_file else 'certificates'} cannot be used: {error}.",
                    "It must hold certificates in PEM form.",
                ) from error
        self._timeout = timeout
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.UnknownHandler(),
        ):
            self._opener.add_handler(handler)

    def probe(self, url: str, *, any_answer: bool = False) -> None:
        """:param any_answer: a refusal is an answer too. :raises StackError: when there is none."""
        try:
            with self._open(url):
                return
        except StackError as error:
            if not (any_answer and isinstance(error.__cause__, urllib.error.HTTPError)):
                raise

    def text(self, url: str) -> str:
        with self._open(url) as answer:
            return str(answer.read(_BLOCK).decode("utf-8", "replace"))

    def download(self, url: str, target: IO[bytes]) -> str:
        """Returns the sha256 of what came. :raises StackError: when it does not come whole."""
        with self._open(url) as answer:
            digest = hash_stream(answer, target)
            announced = answer.headers.get("Content-Length")
        size = target.tell()
        if announced and announced.isdigit() and int(announced) != size:
            raise StackError(
                f"The download of {url} broke off after {size} of {announced} bytes.",
                "Run again; if it happens repeatedly, look at the proxy between the node and the server.",
            )
        return digest

    @contextlib.contextmanager
    def _open(self, url: str) -> Iterator[Any]:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StackError(f"{url!r} is no http or https address.", "Correct the URL.")
        try:
            with self._opener.open(url, timeout=self._timeout) as answer:
                yield answer
        except urllib.error.HTTPError as error:
            raise StackError(
                f"{url} cannot be downloaded: the server answered {error.code} {error.reason}.",
                "Check that this version was released under this address."
                if error.code == 404
                else "Open the address on the node with curl to see what answers.",
            ) from error
        except (OSError, urllib.error.URLError) as error:
            raise _unreachable(url, parts.hostname, getattr(error, "reason", error)) from error


def _unreachable(url: str, host: str, reason: object) -> StackError:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return StackError(
            f"{url} cannot be downloaded: the certificate of {host} is not trusted ({reason.verify_message}).",
            "If it comes from a private authority, name its certificate in stack_ca_file.",
        )
    return StackError(
        f"{url} cannot be downloaded: {host} cannot be reached ({reason}).",
        f"Check that the node resolves and reaches {host} (DNS, proxy, firewall), "
        "or put the file in a bundle directory and set stack_bundle_dir.",
    )


# -- one artifact ----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Wanted:
    """What is asked for, as the module's options say it."""

    dest: str
    mode: int
    name: str = ""
    owner: str = ""
    group: str = ""
    bundle_dir: str = ""
    url: str = ""
    checksum: str = ""
    checksum_url: str = ""
    member: str = ""


@dataclass(frozen=True)
class Attributes:
    mode: int
    uid: int
    gid: int

    def as_dict(self) -> dict[str, Any]:
        return {"mode": f"{self.mode:04o}", "owner": self.uid, "group": self.gid}


@dataclass
class Found:
    """Answer of :func:`plan_artifact`."""

    plan: Plan
    source: str
    sha256: str | None
    remember: Callable[[], None]


def parse_mode(mode: str) -> int:
    """:raises StackError: for anything but three or four octal digits."""
    if not re.fullmatch(r"0?[0-7]{3}", mode):
        raise StackError(f"mode {mode!r} is not octal, such as '0755'.", "Quote it in YAML.")
    return int(mode, 8)


def owner_ids(owner: str, group: str) -> tuple[int, int]:
    """User and group ID, -1 where nothing is asked for. :raises StackError: for a name that does not exist."""
    try:
        uid = pwd.getpwnam(owner).pw_uid if owner else -1
        gid = grp.getgrnam(group).gr_gid if group else -1
    except KeyError as error:
        raise StackError(f"There is no such user or group: {error.args[0]}.", "Create it first.") from error
    return uid, gid


def plan_artifact(wanted: Wanted, web: Callable[[], Web], state: State) -> Found:
    """Look at the destination and its source, and plan what is needed to bring them together.

    A file that this collection extracted from an archive is recognised by its record; one that somebody else put there
    is replaced, because the archive alone tells nothing about it until it is fetched.

    :param web: makes the downloader when one is needed.
    :raises StackError: for a source that is missing or corrupted, also in check mode.
    """
    name = wanted.name or base_name(wanted.url)
    bundle = Bundle(wanted.bundle_dir) if wanted.bundle_dir else None
    source = bundle.path(name) if bundle else wanted.url
    record = state.get(wanted.dest)
    if record and not record.describes(wanted.dest):
        record = None

    if bundle:
        expected = bundle.expected(name)
    elif wanted.checksum:
        expected = literal_sum(wanted.checksum)
    elif record and record.source == source and record.member == wanted.member:
        # A release URL names one version: what was verified once from there needs no second look at its checksum.
        expected = record.origin
    else:
        expected = pick_sum(web().text(wanted.checksum_url), name, wanted.checksum_url)

    current = _current_sha(wanted.dest, record)
    if wanted.member:
        right = record is not None and (record.origin, record.member) == (expected, wanted.member)
    else:
        right = current == expected
    before = _attributes(wanted.dest)
    owner = owner_ids(wanted.owner, wanted.group)
    after = _asked(wanted, owner, before)
    content = current if right else (None if wanted.member else expected)

    def remember(sha256: str | None = current) -> None:
        if sha256:
            state.put(wanted.dest, Record.of(wanted.dest, sha256, expected, wanted.member, source))

    plan = Plan()
    if not right:
        if bundle:
            bundle.verify(name)

        def install() -> None:
            remember(_install(wanted, name, bundle, web, expected, after))

        plan.add(
            Step(
                "update" if before else "create",
                wanted.dest,
                before and {"sha256": current, **before.as_dict()},
                {"sha256": content or f"of {wanted.member} in {expected}", **after.as_dict()},
                install,
                f"from {source}",
            )
        )
    elif before and before != after:

        def adjust() -> None:
            os.chown(wanted.dest, *owner)
            os.chmod(wanted.dest, wanted.mode)

        plan.add(Step("update", wanted.dest, before.as_dict(), after.as_dict(), adjust, "mode or owner"))

    def settle() -> None:
        # After an installation the record is there already; after a look or a chmod it is renewed.
        if right:
            remember()

    return Found(plan, source, content, settle)


def _current_sha(dest: str, record: Record | None) -> str | None:
    if record:
        return record.sha256
    if os.path.isdir(dest):
        raise StackError(f"{dest} is a directory, not a file.", "Name the file itself in dest.")
    # A link is replaced by a file, as is everything else that is not one.
    if os.path.islink(dest) or not os.path.isfile(dest):
        return None
    try:
        return hash_file(dest)
    except OSError as error:
        raise StackError(f"{dest} cannot be read: {error.strerror}.", "Run with become.") from error


def _attributes(dest: str) -> Attributes | None:
    try:
        info = os.lstat(dest)
    except FileNotFoundError:
        return None
    return Attributes(stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid)


def _asked(wanted: Wanted, owner: tuple[int, int], before: Attributes | None) -> Attributes:
    uid, gid = owner
    return Attributes(
        wanted.mode,
        uid if uid != -1 else before.uid if before else os.geteuid(),
        gid if gid != -1 else before.gid if before else os.getegid(),
    )


def _install(
    wanted: Wanted,
    name: str,
    bundle: Bundle | None,
    web: Callable[[], Web],
    expected: str,
    after: Attributes,
) -> str:
    """Verify, then replace the destination in one step; returns the sha256 of the new file."""

    def copy(target: IO[bytes]) -> str:
        if bundle:
            with bundle.open(name) as file:
                actual = hash_stream(file, target)
            if actual != expected:
                raise bundle.refuse(name, actual)
            return actual
        actual = web().download(wanted.url, target)
        if actual != expected:
            raise StackError(
                f"The download of {wanted.url} is not the released file: expected sha256 {expected}, actual {actual}.",
                "Check the checksum given for this version, and what answers under this address.",
                expected_sha256=expected,
                actual_sha256=actual,
            )
        return actual

    with replacing(wanted.dest, after.mode, (after.uid, after.gid)) as target:
        if not wanted.member:
            return copy(target)
        with tempfile.TemporaryFile(dir=os.path.dirname(wanted.dest)) as archive:
            copy(archive)
            archive.seek(0)
            return extract(archive, wanted.member, target, bundle.path(name) if bundle else wanted.url)


def extract(archive: IO[bytes], member: str, target: IO[bytes], label: str) -> str:
    """Copy one regular file out of a tar archive and return its sha256.

    :raises StackError: when the archive is none or does not hold the file.
    """
    try:
        with tarfile.open(fileobj=archive, mode="r:*") as tar:
            try:
                info = tar.getmember(member)
            except KeyError:
                raise StackError(
                    f"{label} holds no {member}; it holds {', '.join(tar.getnames()[:8])}.", "Correct member."
                ) from None
            content = tar.extractfile(info) if info.isreg() else None
            if content is None:
                raise StackError(f"{member} in {label} is no regular file.", "Correct member.")
            return hash_stream(content, target)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise StackError(f"{label} cannot be read as a tar archive: {error}.", "Correct name or url.") from error


# -- a folder of archives --------------------------------------------------------------------------------------
def plan_folder(bundle: Bundle, prefix: str, dest: str, state: State) -> tuple[Plan, list[str], Callable[[], None]]:
    """Bring every bundle file under ``prefix`` into the folder ``dest``, verified once.

    Files that came from a bundle earlier and are not in it any more are removed; files of somebody else stay.
    A hard link costs no space; across file systems the file is copied.

    :returns: the plan, the names wanted in ``dest``, and what keeps the records after the plan.
    :raises StackError: for a bundle file that is missing or corrupted, also in check mode.
    """
    plan = Plan()
    names = sorted(name for name in bundle.sums if name.startswith(prefix) and "/" not in name[len(prefix) :])
    kept: dict[str, Record] = {}
    for name in names:
        target, expected = os.path.join(dest, name[len(prefix) :]), bundle.sums[name]
        record = state.get(target)
        if record and record.describes(target) and record.sha256 == expected:
            continue
        if os.path.isfile(target) and not os.path.islink(target) and hash_file(target) == expected:
            kept[target] = Record.of(target, expected, expected, "", bundle.path(name))
            continue
        bundle.verify(name)
        exists = os.path.lexists(target)
        plan.add(
            Step(
                "update" if exists else "create",
                target,
                {"sha256": record.sha256 if record else "another"} if exists else None,
                {"sha256": expected},
                _placer(bundle, name, target, state),
                f"from {bundle.path(name)}",
            )
        )
    for stale in sorted(_ours(state, dest) - {os.path.join(dest, name[len(prefix) :]) for name in names}):
        record = state.get(stale)
        plan.add(
            Step(
                "delete", stale, {"sha256": record and record.sha256}, None, _remover(stale, state), "not in the bundle"
            )
        )

    def remember() -> None:
        for target, record in kept.items():
            state.put(target, record)

    return plan, [name[len(prefix) :] for name in names], remember


def _ours(state: State, dest: str) -> set[str]:
    return {path for path in state.paths() if os.path.dirname(path) == dest and os.path.lexists(path)}


def _placer(bundle: Bundle, name: str, target: str, state: State) -> Callable[[], None]:
    def place() -> None:
        expected = bundle.sums[name]
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not _linked(bundle.path(name), target):
            # The content was verified while planning, a moment ago; a gigabyte is not hashed twice.
            with bundle.open(name) as file, replacing(target, 0o644) as copy:
                shutil.copyfileobj(file, copy, _BLOCK)
        state.put(target, Record.of(target, expected, expected, "", bundle.path(name)))

    return place


def _linked(source: str, target: str) -> bool:
    """Try a hard link under a temporary name first, so that ``target`` is never half there."""
    temporary = f"{target}.link"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    try:
        os.link(source, temporary)
    except OSError:
        return False
    os.replace(temporary, target)
    return True


def _remover(path: str, state: State) -> Callable[[], None]:
    def remove() -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        state.drop(path)

    return remove
