"""What was built once: directories named after everything that went into them.

    <root>/<name>/<key>/            the files, complete and verified
    <root>/<name>/<key>/entry.json  what they are: name, key, inputs, and for each file sha256, size and mode
    <root>/logs/<name>-<key>.log    what the last build of it printed
    <root>/seen/<name>-<key>.json   the state of each file when it was last hashed
    <root>/locks/<name>-<key>       held while it is built or checked
    <root>/making/<name>-<key>…     builds under way; what nobody holds the lock of is debris

A directory gets its final name by one rename when its files are written and hashed, so a build that was cut off leaves
nothing that could be taken for a result. Every use checks the files again, and an entry that does not match its own
list is thrown away and built anew. A file is hashed unless the system vouches that nobody touched it since it was last
hashed: same inode, size, time of modification and time of status change, which no program can set. Two processes, of
one checkout or of two, may ask for the same entry: one builds, the other waits and finds it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .command import LabError

LISTING = "entry.json"
_CHUNK = 1 << 20
_OWN = frozenset({"logs", "seen", "locks", "making", "debian"})
Say = Callable[[str], None]


def _quiet(text: str) -> None:
    """Say nothing: the default of the functions that report what they do."""


def default_root() -> Path:
    """Return the cache directory: ``$RAILIANCE_LAB_CACHE`` or ``~/.cache/railiance-lab``."""
    told = os.environ.get("RAILIANCE_LAB_CACHE", "")
    return Path(told).expanduser().resolve() if told else Path.home() / ".cache" / "railiance-lab"


def make_key(inputs: Mapping[str, Any]) -> str:
    """Return the key of ``inputs`` (a mapping that JSON can express): 16 hexadecimal digits."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, as ``sha256sum`` prints it."""
    total = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()


def tree_sha256(directory: Path) -> str:
    """Return a hash over the names, execute bits and contents of all files below ``directory``."""
    total = hashlib.sha256()
    for name in _names(directory):
        path = directory / name
        total.update(f"{name}\0{path.stat().st_mode & 0o100}\0{file_sha256(path)}\0".encode())
    return total.hexdigest()


@dataclass(frozen=True)
class Order:
    """What to look up or build: ``name`` groups entries, ``inputs`` is everything that decides the content."""

    name: str
    inputs: Mapping[str, Any]

    @property
    def key(self) -> str:
        return make_key({"name": self.name, "inputs": self.inputs})

    @property
    def label(self) -> str:
        return f"{self.name}-{self.key}"


class Cache:
    """The entries below ``root``. Safe for several threads and processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, order: Order) -> Path:
        """Return where the entry is or will be."""
        return self.root / order.name / order.key

    def log_path(self, order: Order) -> Path:
        """Return the file that the entry's build writes to."""
        return self.root / "logs" / f"{order.label}.log"

    def has(self, order: Order) -> bool:
        """Return whether there is an entry, without a look at its files."""
        return (self.path(order) / LISTING).is_file()

    def get(self, order: Order, build: Callable[[Path], None], say: Say = _quiet) -> Path:
        """Return the directory of a good entry, calling ``build(directory)`` to make one when there is none.

        ``build`` fills an empty directory with regular files; a symbolic link or an empty result is an error. What it
        raises is passed on, and nothing is kept.
        """
        with self._locked(order, say):
            place = self.path(order)
            if place.exists():
                problem = self._check(order)
                if not problem:
                    self.touch(order)
                    return place
                say(f"{order.name}: the cached files are damaged ({problem}), building them again")
                self._discard(place)
            making = self.root / "making"
            making.mkdir(parents=True, exist_ok=True)
            for debris in making.glob(f"{order.label}.*"):
                shutil.rmtree(debris)
            work = Path(tempfile.mkdtemp(prefix=f"{order.label}.", dir=making))
            try:
                work.chmod(0o755)
                start = time.monotonic()
                build(work)
                self._seal(work, order, time.monotonic() - start)
                place.parent.mkdir(parents=True, exist_ok=True)
                work.rename(place)
            except BaseException:
                shutil.rmtree(work, ignore_errors=True)
                raise
            return place

    def find(self, order: Order, say: Say = _quiet) -> Path | None:
        """Return the directory of a good entry, None when there is none. A damaged one is removed."""
        with self._locked(order, say):
            place = self.path(order)
            if not place.exists():
                return None
            problem = self._check(order)
            if problem:
                say(f"{order.name}: the cached files are damaged ({problem})")
                self._discard(place)
                return None
            self.touch(order)
            return place

    def touch(self, order: Order) -> None:
        """Note that the entry is in use."""
        listing = self.path(order) / LISTING
        if listing.exists():
            os.utime(listing)

    def prune(self, days: float, say: Say = _quiet) -> int:
        """Remove entries that nobody used for ``days`` days, and debris; return how many entries went."""
        oldest = time.time() - days * 86400
        removed = 0
        for listing in self.root.glob(f"*/*/{LISTING}"):
            place = listing.parent
            name, key = place.parent.name, place.name
            if name in _OWN or listing.stat().st_mtime >= oldest:
                continue
            with self._try_lock(f"{name}-{key}") as mine:
                if mine and listing.exists() and listing.stat().st_mtime < oldest:
                    say(f"removing {name}/{key}, unused for {days:.0f} days")
                    self._discard(place)
                    (self.root / "logs" / f"{name}-{key}.log").unlink(missing_ok=True)
                    (self.root / "seen" / f"{name}-{key}.json").unlink(missing_ok=True)
                    removed += 1
        for debris in (self.root / "making").glob("*"):
            with self._try_lock(debris.name.rpartition(".")[0]) as mine:
                if mine:
                    shutil.rmtree(debris, ignore_errors=True)
        return removed

    def _check(self, order: Order) -> str:
        """Return how the entry differs from its list, hashing what changed since it was last hashed."""
        place = self.path(order)
        seen = self.root / "seen" / f"{order.label}.json"
        try:
            known: dict[str, list[int]] = json.loads(seen.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        # Taken before the hashes: what changes meanwhile differs next time.
        try:
            now = {name: _state(place / name) for name in _names(place)}
        except LabError as strange:
            return str(strange)
        problem = damage(place, {name for name, state in now.items() if known.get(name) == state})
        if not problem and now != known:
            seen.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=seen.parent, delete=False) as written:
                json.dump(now, written)
            Path(written.name).replace(seen)
        return problem

    def _discard(self, place: Path) -> None:
        """Take an entry out of its place in one step, then delete it."""
        making = self.root / "making"
        making.mkdir(parents=True, exist_ok=True)
        away = Path(tempfile.mkdtemp(prefix=f"{place.parent.name}-{place.name}.", dir=making))
        place.rename(away / "discarded")
        shutil.rmtree(away)

    def _seal(self, work: Path, order: Order, seconds: float) -> None:
        names = _names(work)
        if not names:
            raise LabError(f"The build of {order.name} ended well and produced no file.")
        paths = [work / name for name in names]
        for path in paths:
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        files = {
            name: {"sha256": digest, "size": path.stat().st_size, "mode": path.stat().st_mode & 0o777}
            for name, path, digest in zip(names, paths, _hashes(paths), strict=True)
        }
        listing = {
            "name": order.name,
            "key": order.key,
            "seconds": round(seconds, 1),
            "inputs": order.inputs,
            "files": files,
        }
        (work / LISTING).write_text(json.dumps(listing, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @contextmanager
    def _locked(self, order: Order, say: Say) -> Iterator[None]:
        with self._open_lock(order.label) as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"{order.name}: another run is at it, waiting")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _try_lock(self, label: str) -> Iterator[bool]:
        with self._open_lock(label) as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _open_lock(self, label: str) -> Any:
        locks = self.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        return (locks / label).open("w")


def listed(place: Path) -> dict[str, dict[str, Any]]:
    """Return the files of an entry: relative name -> sha256 (str), size and mode (int)."""
    try:
        listing: dict[str, Any] = json.loads((place / LISTING).read_text(encoding="utf-8"))
        files: dict[str, dict[str, Any]] = listing["files"]
    except (OSError, ValueError, KeyError) as problem:
        raise LabError(f"{place / LISTING} cannot be read: {problem}") from problem
    return files


def damage(place: Path, unchanged: Set[str] = frozenset()) -> str:
    """Return how the files of an entry differ from its list, an empty text when they do not.

    The content of the files named in ``unchanged`` is not looked at.
    """
    try:
        wanted = listed(place)
        there = _names(place)
    except LabError as problem:
        return str(problem)
    for name in sorted(set(wanted) ^ (set(there) - {LISTING})):
        return f"{name} is {'missing' if name in wanted else 'not on the list'}"
    paths = [place / name for name in wanted]
    for path, entry in zip(paths, wanted.values(), strict=True):
        if path.stat().st_size != entry["size"]:
            return f"{path.name} has {path.stat().st_size} bytes instead of {entry['size']}"
        if path.stat().st_mode & 0o777 != entry["mode"]:
            return f"{path.name} has another mode"
    doubtful = [name for name in wanted if name not in unchanged]
    paths = [place / name for name in doubtful]
    for name, path, digest in zip(doubtful, paths, _hashes(paths), strict=True):
        if digest != wanted[name]["sha256"]:
            return f"{path.name} has another sha256"
    return ""


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _hashes(paths: list[Path]) -> list[str]:
    # hashlib lets other threads run while it works, so all cores are used.
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(file_sha256, paths))


def _names(directory: Path) -> list[str]:
    names = []
    for path in sorted(directory.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise LabError(f"{path} is neither a file nor a directory; entries hold nothing else.")
        if path.is_file():
            names.append(str(path.relative_to(directory)))
    return names
