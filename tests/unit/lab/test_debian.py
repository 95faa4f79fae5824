"""Where Debian comes from is read from the machine; nothing of it is written down here."""

from __future__ import annotations

from pathlib import Path

import pytest
from labkit import debian
from labkit.command import LabError
from labkit.debian import Mirror

ONE, TWO = (f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----" for text in ("b25l", "dHdv"))


def test_the_archives_of_the_machines_release_are_taken() -> None:
    listed = (
        "nodistro main https://node.example/repo/\n"
        "bookworm contrib http://contrib.example/debian/\n"
        "bookworm main http://mirror.example/debian/\n"
        "bookworm-updates main http://updates.example/debian/\n"
        "bookworm-security main http://security.example/debian-security/\n"
    )
    assert debian.parse_index_targets(listed, "bookworm") == Mirror(
        "http://mirror.example/debian", "http://security.example/debian-security"
    )


def test_a_machine_that_is_no_debian_is_told_what_to_set() -> None:
    with pytest.raises(LabError, match="RAILIANCE_LAB_MIRROR"):
        debian.parse_index_targets("jammy main http://mirror.example/ubuntu\n", "bookworm")


def test_the_mirror_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAILIANCE_LAB_MIRROR", "http://a.example/debian http://a.example/debian-security")
    assert debian.mirror() == Mirror("http://a.example/debian", "http://a.example/debian-security")


def test_only_certificates_that_debian_lacks_are_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "bundle.crt"
    bundle.write_text(f"# comment\n{ONE}\n{TWO}\n")
    monkeypatch.setattr(debian, "HOST_TRUST", bundle)
    assert debian.host_trust() == [ONE, TWO]
    assert debian.host_trust(f"x\n{ONE}\n") == [TWO]


def test_a_finished_base_is_not_made_again(tmp_path: Path) -> None:
    there = tmp_path / "debian" / debian.base_key() / "rootfs.tar"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"packed")
    assert debian.base_rootfs(tmp_path) == there
