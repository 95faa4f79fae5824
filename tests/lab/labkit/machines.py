"""The images of the lab's two kinds of machine: the clean server and the services beside it."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from . import cache, command, debian

LAB = Path(__file__).resolve().parents[1]
SERVER_RECIPE = LAB / "server"
SERVICES_RECIPE = LAB / "services"
SERVER_REPOSITORY = "localhost/railiance-lab-server"
SERVICES_REPOSITORY = "localhost/railiance-lab-services"
Say = Callable[[str], None]


def _quiet(text: str) -> None:
    """Say nothing: the default of the functions that report what they do."""


def server_key() -> str:
    """Return the key of the server image: base, recipe and the certificates that this machine trusts."""
    parts = (debian.base_key(), cache.tree_sha256(SERVER_RECIPE), cache.file_sha256(debian.HOST_TRUST))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def services_key() -> str:
    """Return the key of the services image."""
    return hashlib.sha256(repr((server_key(), cache.tree_sha256(SERVICES_RECIPE))).encode()).hexdigest()[:16]


def server_reference() -> str:
    """Return the name of the server image; it changes only when what is inside changes."""
    return f"{SERVER_REPOSITORY}:{server_key()}"


def services_reference() -> str:
    """Return the name of the services image."""
    return f"{SERVICES_REPOSITORY}:{services_key()}"


def server_image(root: Path, say: Say = _quiet) -> str:
    """Return the reference of the server image, building it when missing. ``root`` is the cache."""
    reference = server_reference()
    if _exists(reference):
        return reference
    base = debian.base_image(root, say)
    with debian.locked(root / "locks", "server-image"):
        if not _exists(reference):
            say("build the server image")
            with tempfile.TemporaryDirectory(prefix="railiance-server-") as work:
                context = Path(work, "context")
                shutil.copytree(SERVER_RECIPE, context)
                _write_trust(context / "trust", debian.base_rootfs(root, say))
                _build(context, base, reference)
    return reference


def services_image(root: Path, say: Say = _quiet) -> str:
    """Return the reference of the services image, building it when missing. ``root`` is the cache."""
    reference = services_reference()
    if _exists(reference):
        return reference
    base = server_image(root, say)
    with debian.locked(root / "locks", "services-image"):
        if not _exists(reference):
            say("build the services image")
            _build(SERVICES_RECIPE, base, reference)
    return reference


def _exists(reference: str) -> bool:
    return command.succeeds(["podman", "image", "exists", reference])


def _build(context: Path, base: str, reference: str) -> None:
    # The name is given when the last step is done: an interrupted build leaves nothing under it.
    command.run(
        [
            "buildah", "bud", "--isolation=chroot", "--network=host", "--layers=false", "--pull-never",
            f"--build-arg=BASE={base}", f"--tag={reference}", str(context),
        ]
    )  # fmt: skip


def _write_trust(directory: Path, base_rootfs: Path) -> None:
    with tarfile.open(base_rootfs) as packed:
        member = packed.extractfile("./etc/ssl/certs/ca-certificates.crt")
        known = member.read().decode() if member else ""
    directory.mkdir()
    for number, pem in enumerate(debian.host_trust(known)):
        (directory / f"host-{number:03}.crt").write_text(pem + "\n", encoding="ascii")
