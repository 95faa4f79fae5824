"""The directories that containers see: the bundle, and the same files as a download site."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from . import state
from .command import LabError

SUMS = "SHA256SUMS"


def place(files: Mapping[str, Path], target: Path) -> bool:
    """Make ``target`` hold exactly ``files`` (relative name -> file); return whether something changed.

    ``target`` itself is never replaced, because running containers hold it. Files are hard links where that is
    possible: a bundle is large, and its files never change under their name.
    """
    target.mkdir(mode=0o755, parents=True, exist_ok=True)
    changed = False
    for path in sorted(target.rglob("*"), reverse=True):
        name = str(path.relative_to(target))
        if path.is_dir() and not path.is_symlink():
            if not any(wanted.startswith(f"{name}/") for wanted in files):
                path.rmdir()
                changed = True
        elif name not in files:
            path.unlink()
            changed = True
    for name, source in files.items():
        there = target / name
        if _same(source, there):
            continue
        there.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        incoming = there.with_name(f".incoming-{there.name}")
        incoming.unlink(missing_ok=True)
        try:
            os.link(source, incoming)
        except OSError:
            # Another file system, or one without links.
            shutil.copy2(source, incoming)
        incoming.replace(there)
        changed = True
    return changed


def bundle_files(bundle: Path) -> dict[str, Path]:
    """Return the files of a bundle by their relative names: the list SHA256SUMS and what stands in it."""
    root = bundle.resolve()
    names = [SUMS, *read_sums(root / SUMS)]
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        raise LabError(f"The bundle {root} lacks {', '.join(missing)}.")
    return {name: root / name for name in names}


def release_files(bundle: Mapping[str, Path], k3s_version: str, made: Path) -> dict[str, Path]:
    """Return the download site's files: upstream's paths (without the host) -> files on this machine.

    ``bundle`` maps names in the bundle to files. The checksum files that upstream publishes beside a program are
    written into the directory ``made`` from the bundle's SHA256SUMS. What the bundle lacks the site lacks.
    """
    site: dict[str, Path] = {}
    sums = read_sums(bundle[SUMS])

    def offer(name: str, path: str, checksum: str = "") -> None:
        site[f"{path}{name}"] = bundle[name]
        if checksum:
            state.write(made / checksum, f"{sums[name]}  {name}\n")
            site[f"{path}{checksum}"] = made / checksum

    for name, file in bundle.items():
        if name == "k3s":
            offer(name, f"k3s-io/k3s/releases/download/{k3s_version}/", "sha256sum-amd64.txt")
        elif re.fullmatch(r"helm-v[\d.]+-linux-amd64\.tar\.gz", name):
            offer(name, "", f"{name}.sha256sum")
        elif found := re.fullmatch(r"sops-(v[\d.]+)\.linux\.amd64", name):
            offer(name, f"getsops/sops/releases/download/{found[1]}/", f"sops-{found[1]}.checksums.txt")
        elif found := re.fullmatch(r"cnpg-([\d.]+)\.yaml", name):
            offer(name, f"cloudnative-pg/cloudnative-pg/releases/download/v{found[1]}/")
        elif name == "cert-manager.yaml":
            offer(name, f"cert-manager/cert-manager/releases/download/{_manifest_version(file)}/")
    return site


def read_sums(path: Path) -> dict[str, str]:
    """Read a file in `sha256sum` format: name -> checksum."""
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {name.lstrip("*"): checksum for checksum, name in lines}


def _manifest_version(path: Path) -> str:
    found = re.search(r"app\.kubernetes\.io/version: \"?(v[\d.]+)", path.read_text(encoding="utf-8"))
    if not found:
        raise LabError(f"{path} carries no app.kubernetes.io/version, so its release path is not known.")
    return found[1]


def _same(source: Path, there: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        here, copy = source.stat(), there.stat()
        return (here.st_ino, here.st_dev) == (copy.st_ino, copy.st_dev) or (
            here.st_dev != copy.st_dev and (here.st_size, here.st_mtime_ns) == (copy.st_size, copy.st_mtime_ns)
        )
    return False
