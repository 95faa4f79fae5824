"""The bundle as servers see it, and the same files as upstream's download paths."""

from __future__ import annotations

from pathlib import Path

import pytest
from labkit import mounts
from labkit.command import LabError


def files_of(directory: Path) -> dict[str, str]:
    files = [path for path in directory.rglob("*") if path.is_file() and path.name != "SHA256SUMS"]
    return {str(path.relative_to(directory)): path.read_text() for path in files}


def make(directory: Path, content: dict[str, str]) -> Path:
    """Make a bundle of ``content`` with its list of checksums."""
    sums = "".join(f"{index}{'0' * 63}  {name}\n" for index, name in enumerate(content))
    for name, text in content.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    (directory / "SHA256SUMS").write_text(sums)
    return directory


def test_the_directory_is_filled_and_never_replaced(tmp_path: Path) -> None:
    target = tmp_path / "seen"
    first = make(tmp_path / "first", {"k3s": "one", "images/a.tar": "a", "old/gone": "x"})
    assert mounts.place(mounts.bundle_files(first), target)
    held = target.stat().st_ino
    second = make(tmp_path / "second", {"k3s": "two", "images/a.tar": "a"})
    assert mounts.place(mounts.bundle_files(second), target)
    assert files_of(target) == {"k3s": "two", "images/a.tar": "a"}
    assert not (target / "old").exists()
    assert target.stat().st_ino == held
    assert not mounts.place(mounts.bundle_files(second), target)


def test_files_take_no_space_twice(tmp_path: Path) -> None:
    bundle = make(tmp_path / "bundle", {"k3s": "one"})
    mounts.place(mounts.bundle_files(bundle), tmp_path / "seen")
    assert (tmp_path / "seen/k3s").stat().st_ino == (bundle / "k3s").stat().st_ino


def test_a_cut_off_copy_is_cleared_away(tmp_path: Path) -> None:
    bundle = make(tmp_path / "bundle", {"k3s": "one"})
    target = tmp_path / "seen"
    target.mkdir()
    (target / ".incoming-k3s").write_text("hal")
    mounts.place(mounts.bundle_files(bundle), target)
    assert files_of(target) == {"k3s": "one"}


def test_only_what_the_list_names_is_shown_and_all_of_it(tmp_path: Path) -> None:
    bundle = make(tmp_path / "bundle", {"k3s": "one", "images/a.tar": "a"})
    (bundle / "entry.json").write_text("{}")
    assert set(mounts.bundle_files(bundle)) == {"SHA256SUMS", "k3s", "images/a.tar"}
    (bundle / "images/a.tar").unlink()
    with pytest.raises(LabError, match=r"lacks images/a\.tar\.$"):
        mounts.bundle_files(bundle)


def test_the_download_site_has_upstreams_paths_and_checksums(tmp_path: Path) -> None:
    names = ["k3s", "helm-v3.21.4-linux-amd64.tar.gz", "sops-v3.13.2.linux.amd64", "cnpg-1.30.0.yaml"]
    content = {name: name for name in names} | {
        "cert-manager.yaml": 'labels:\n  app.kubernetes.io/version: "v1.11.5"\n',
        "images/a.tar": "a",
    }
    bundle = make(tmp_path / "bundle", content)
    site = mounts.release_files(mounts.bundle_files(bundle), "v1.35.4+k3s1", tmp_path / "made")
    k3s = "k3s-io/k3s/releases/download/v1.35.4+k3s1"
    sops = "getsops/sops/releases/download/v3.13.2"
    assert set(site) == {
        f"{k3s}/k3s",
        f"{k3s}/sha256sum-amd64.txt",
        "helm-v3.21.4-linux-amd64.tar.gz",
        "helm-v3.21.4-linux-amd64.tar.gz.sha256sum",
        f"{sops}/sops-v3.13.2.linux.amd64",
        f"{sops}/sops-v3.13.2.checksums.txt",
        "cloudnative-pg/cloudnative-pg/releases/download/v1.30.0/cnpg-1.30.0.yaml",
        "cert-manager/cert-manager/releases/download/v1.11.5/cert-manager.yaml",
    }
    assert site[f"{k3s}/sha256sum-amd64.txt"].read_text() == f"0{'0' * 63}  k3s\n"
    assert site[f"{sops}/sops-v3.13.2.checksums.txt"].read_text() == f"2{'0' * 63}  sops-v3.13.2.linux.amd64\n"


def test_a_manifest_without_a_version_is_named(tmp_path: Path) -> None:
    bundle = make(tmp_path / "bundle", {"cert-manager.yaml": "kind: Namespace\n"})
    with pytest.raises(LabError, match=r"cert-manager\.yaml carries no app\.kubernetes\.io/version"):
        mounts.release_files(mounts.bundle_files(bundle), "", tmp_path / "made")
