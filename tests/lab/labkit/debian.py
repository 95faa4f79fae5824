"""The Debian base that every image of the lab starts from: the server, the services, the operands.

For whoever builds an image here: call :func:`base_image` and write ``FROM <what it returns>``. It is made
once per cache (`debootstrap`, about half a minute) and shared, on disk too, as the lowest layer of them all.
Its apt sources are those of this machine, so `apt-get update && apt-get install` works in a build step;
:func:`host_trust` gives the certificates that a build step or a server here must trust besides Debian's own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import command
from .command import LabError

SUITE = "trixie"
INCLUDE = ("ca-certificates",)
# Raise it when the recipe below changes in a way that its inputs do not show.
RECIPE = 1
BASE_REPOSITORY = "localhost/railiance-lab-debian"
HOST_TRUST = Path("/etc/ssl/certs/ca-certificates.crt")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Mirror:
    """Where this machine gets Debian from: ``main`` and ``security`` archive URIs."""

    main: str
    security: str


def mirror() -> Mirror:
    """Read the archive addresses from this machine's own apt configuration.

    ``RAILIANCE_LAB_MIRROR`` ("main-uri security-uri") overrides them, for hosts that are no Debian.
    """
    told = os.environ.get("RAILIANCE_LAB_MIRROR", "").split()
    if len(told) == 2:
        return Mirror(*told)
    listed = command.output(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]
    )
    return parse_index_targets(listed, _host_codename())


def parse_index_targets(listed: str, codename: str) -> Mirror:
    """Pick the archive of ``codename`` and its security archive from ``release component uri`` lines."""
    found: dict[str, str] = {}
    for line in listed.splitlines():
        release, component, uri = line.split(maxsplit=2)
        if component == "main":
            found.setdefault(release.replace("/updates", "-security"), uri.rstrip("/"))
    if codename not in found:
        raise LabError(
            f"apt on this machine lists no archive of {codename}, so it is not known where Debian comes from. "
            "Set RAILIANCE_LAB_MIRROR to 'main-uri security-uri'."
        )
    main = found[codename]
    return Mirror(main, found.get(f"{codename}-security", f"{main}-security"))


def sources(archive: Mirror) -> str:
    """Return the apt sources file (deb822) of a Debian system that uses ``archive``."""
    return "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {_KEYRING}\n"
        for uri, suites in (
            (archive.main, f"{SUITE} {SUITE}-updates"),
            (archive.security, f"{SUITE}-security"),
        )
    )


def certificates(bundle: str) -> list[str]:
    """Split a PEM bundle into its certificates, each without the text around it."""
    return _PEM.findall(bundle)


def host_trust(known: str = "") -> list[str]:
    """Return the certificates this machine trusts and the PEM bundle ``known`` does not hold.

    A lab behind a firewall that re-signs TLS needs them; elsewhere the list is short or empty.
    """
    have = set(certificates(known))
    return [pem for pem in certificates(HOST_TRUST.read_text(encoding="utf-8")) if pem not in have]


def base_key() -> str:
    """Return the key of the base: a hash over what decides its content."""
    return hashlib.sha256(repr((RECIPE, SUITE, INCLUDE)).encode()).hexdigest()[:16]


def base_reference() -> str:
    """Return the name under which podman and buildah know the base."""
    return f"{BASE_REPOSITORY}:{base_key()}"


def base_rootfs(cache: Path, say: Callable[[str], None] = lambda text: None) -> Path:
    """Return the base's root file system as a tar file, making it when ``cache`` does not hold it.

    The file appears under its name only when it is complete: a run that was cut off leaves a
    temporary directory that the next one removes.
    """
    target = cache / "debian" / base_key() / "rootfs.tar"
    if target.exists():
        return target
    with locked(cache / "debian"):
        if target.exists():
            return target
        for left in (cache / "debian").glob("making-*"):
            shutil.rmtree(left)
        work = Path(tempfile.mkdtemp(prefix="making-", dir=cache / "debian"))
        archive = mirror()
        say(f"debootstrap {SUITE}")
        root = work / "root"
        command.run(
            ["debootstrap", "--variant=minbase", f"--include={','.join(INCLUDE)}", SUITE, str(root), archive.main]
        )
        (root / "etc/apt/sources.list").unlink(missing_ok=True)
        (root / "etc/apt/sources.list.d/debian.sources").write_text(sources(archive), encoding="utf-8")
        for leftover in (root / "var/cache/apt/archives").glob("*.deb"):
            leftover.unlink()
        for leftover in (root / "var/lib/apt/lists").glob("*_*"):
            leftover.unlink()
        (root / "var/log/bootstrap.log").unlink(missing_ok=True)
        packed = work / "rootfs.tar"
        command.run(["tar", "--create", f"--file={packed}", f"--directory={root}", "--numeric-owner", "--xattrs", "."])
        shutil.rmtree(root)
        work.chmod(0o755)
        work.rename(target.parent)
    return target


def base_image(cache: Path, say: Callable[[str], None] = lambda text: None) -> str:
    """Return the reference of the base image in this machine's container storage, importing it when missing."""
    reference = base_reference()
    if not command.succeeds(["podman", "image", "exists", reference]):
        packed = base_rootfs(cache, say)
        say("import the Debian base")
        with locked(cache / "debian"):
            if not command.succeeds(["podman", "image", "exists", reference]):
                command.run(["podman", "import", "--change=CMD=/bin/bash", str(packed), reference])
    return reference


def _host_codename() -> str:
    for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        if name == "VERSION_CODENAME":
            return value.strip().strip('"')
    raise LabError("This machine's /etc/os-release names no VERSION_CODENAME; set RAILIANCE_LAB_MIRROR.")


@contextmanager
def locked(directory: Path, name: str = ".lock") -> Iterator[None]:
    """Hold the lock ``name`` in ``directory``: two checkouts share one cache and may want the same thing at once."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
