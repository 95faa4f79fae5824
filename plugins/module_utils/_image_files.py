# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of every layer of an image, also of those that a later layer hides. Private to this collection."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from ansible_collections.railiance.stack.plugins.module_utils._command import NotInstalled, Runner
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._image_contract import File

#: Opens what a program writes; tests put their own in place.
Opener = Callable[[list[str]], contextlib.AbstractContextManager[IO[bytes]]]
_STORAGE = "containers-storage:"
_READ = 64 * 1024


def image_files(reference: str, config_digest: str, run: Runner, opener: Opener | None = None) -> Iterator[File]:
    """Every file that any layer adds.

    An image in this host's storage is listed from the storage's own records, in a moment. Everything else, and a
    storage of another make, is read through skopeo.

    :param reference: with skopeo's transport.
    :raises StackError: when the image cannot be read.
    """
    for root, driver in _storages(reference, run) if reference.startswith(_STORAGE) else ():
        files = storage_files(root, driver, config_digest)
        if files is not None:
            return files
    return archive_files(reference, opener or program_output)


# -- this host's storage ---------------------------------------------------------------------------------------------
def _storages(reference: str, run: Runner) -> Iterator[tuple[Path, str]]:
    """Folder and driver of where it may be: ``containers-storage:[overlay@/srv/storage+/run/x]a`` says it.

    Otherwise the usual place comes first: an image is named by its content, so one that is found there is the right
    one, and buildah takes a tenth of a second to say where else to look.
    """
    rest = reference.removeprefix(_STORAGE)
    if rest.startswith("["):
        driver, _at, root = rest[1:].partition("]")[0].partition("@")
        if root:
            yield Path(root.partition("+")[0]), driver
        return
    yield _usual_root(), "overlay"
    try:
        done = run(["buildah", "info", "--format", "{{.store.GraphRoot}} {{.store.GraphDriverName}}"])
    except NotInstalled:
        return
    words = done.stdout.split()
    if done.rc == 0 and len(words) == 2:
        yield Path(words[0]), words[1]


def _usual_root() -> Path:
    return Path("/var/lib" if os.geteuid() == 0 else Path.home() / ".local/share") / "containers/storage"


def storage_files(root: Path, driver: str, config_digest: str) -> Iterator[File] | None:
    """The files of an image in the storage at ``root``; ``None`` when its records are not as expected."""
    image_id = config_digest.removeprefix("sha256:")
    try:
        images = _records(root / f"{driver}-images" / "images.json")
        layers = {
            layer["id"]: layer
            for name in ("layers.json", "volatile-layers.json")
            for layer in _records(root / f"{driver}-layers" / name)
        }
        top = next((str(image["layer"]) for image in images if image["id"] == image_id), "")
        chain: list[str] = []
        while top:
            chain.insert(0, top)
            top = str(layers[top].get("parent") or "")
        lists = [root / f"{driver}-layers" / f"{layer}.tar-split.gz" for layer in chain]
        folders = [_content(root, driver, layer) for layer in chain]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if not chain or not all(path.is_file() for path in lists) or not all(path.is_dir() for path in folders):
        return None
    return _listed(lists, folders)


def _records(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_bytes() or b"[]")) if path.exists() else []


def _content(root: Path, driver: str, layer: str) -> Path:
    return root / driver / layer / "diff" if driver == "overlay" else root / driver / "dir" / layer


def _listed(lists: list[Path], folders: list[Path]) -> Iterator[File]:
    for number, (path, folder) in enumerate(zip(lists, folders, strict=True), 1):
        with gzip.open(path) as lines:
            for line in lines:
                # {"type": 1, "name": "./etc/hosts", "size": 12, …}: entries of other types are the archive's padding.
                if b'"name"' not in line or b'"size"' not in line:
                    continue
                entry = json.loads(line)
                if entry.get("type") == 1:
                    name = str(entry["name"]).removeprefix("./").lstrip("/")
                    yield File(name, int(entry.get("size") or 0), number, _reader(folder / name))


def _reader(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return b""
        with os.fdopen(handle, "rb") as file:
            return file.read(_READ)

    return read


# -- everything else -------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def program_output(command: list[str]) -> Iterator[IO[bytes]]:
    """:raises StackError: when the program fails although its output was read to the end."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError as error:
        raise NotInstalled(f"{command[0]} is not installed on this host.", f"Install {command[0]}.") from error
    with process:
        if process.stdout is None or process.stderr is None:
            raise StackError(f"{command[0]} has no output.")
        try:
            yield process.stdout
            process.stdout.read()
        except BaseException:
            process.kill()
            raise
        said = process.stderr.read().decode("utf-8", "replace")
    if process.returncode != 0:
        raise StackError(
            f"The layers of {command[-2]} cannot be read: {(said.strip().splitlines() or ['no reason given'])[-1]}.",
            "Build the image again, or name its transport: containers-storage:, oci-archive:, docker-archive:, oci:",
            stderr=said[-2000:],
        )


def archive_files(reference: str, opener: Opener) -> Iterator[File]:
    """The same through skopeo, which reads every transport and every compression."""
    number = 0
    with opener(["skopeo", "copy", "--quiet", reference, "docker-archive:/dev/stdout"]) as output:
        try:
            with tarfile.open(fileobj=output, mode="r|") as archive:
                for member in archive:
                    if not member.isreg() or not member.name.endswith(".tar"):
                        continue
                    number += 1
                    with tarfile.open(fileobj=archive.extractfile(member), mode="r|") as layer:
                        for entry in layer:
                            if entry.isreg():
                                yield File(entry.name.removeprefix("./"), entry.size, number, _streamed(layer, entry))
        except tarfile.ReadError as error:
            # An empty answer: the program's own words say why.
            if number:
                raise StackError(f"The layers of {reference} cannot be read: {error}.", "Build it again.") from error


def _streamed(layer: tarfile.TarFile, entry: tarfile.TarInfo) -> Callable[[], bytes]:
    """Reads while the stream is at this file; afterwards it is gone."""

    def read() -> bytes:
        content = layer.extractfile(entry)
        return content.read(_READ) if content else b""

    return read
