"""The lab's bundle: what goes into it, its checksums, and what a damaged or failed part does to it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from labkit import bundle, images
from labkit.cache import Cache
from labkit.command import LabError
from labkit.console import Console
from labkit.images import File
from labkit.recipe import Part, Work


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def console() -> Console:
    return Console(stream=io.StringIO())


class Kitchen:
    """Parts that write one file each and remember that they were asked."""

    def __init__(self, broken: str = "") -> None:
        self.asked: list[str] = []
        self.broken = broken

    def part(self, name: str, file: str, *needs: Part, version: int = 1) -> Part:
        def make(work: Work) -> None:
            self.asked.append(name)
            if name == self.broken:
                work.run(["sh", "-c", "echo the compiler said no; exit 3"])
            path = work.target / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name} {version}\n")
            if file == "k3s":
                path.chmod(0o755)

        return Part(name, {"version": version}, make, needs)

    def layout(self, version: int = 1) -> tuple[list[Part], dict[str, Part]]:
        program = self.part("program", "k3s", version=version)
        image = self.part("image", "thing-1.tar", program)
        manifest = self.part("manifest", "cert-manager.yaml")
        return [program, image, manifest], {"k3s": program, "images/*.tar": image, "*.yaml": manifest}

    def build(self, cache: Cache, console: Console, version: int = 1) -> Path:
        everything, layout = self.layout(version)
        whole = bundle.bundle_part(layout)
        bundle.make_all(cache, [*everything, whole], console)
        return cache.path(whole.order) / bundle.DIRECTORY


def test_sha256sum_accepts_the_bundle(cache: Cache, console: Console) -> None:
    place = Kitchen().build(cache, console)
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=place, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0
    assert checked.stdout.splitlines() == ["cert-manager.yaml: OK", "images/thing-1.tar: OK", "k3s: OK"]
    assert os.access(place / "k3s", os.X_OK)


def test_the_bundle_links_the_files_of_its_parts(cache: Cache, console: Console) -> None:
    kitchen = Kitchen()
    place = kitchen.build(cache, console)
    program = kitchen.layout()[0][0]
    assert (place / "k3s").stat().st_ino == (cache.path(program.order) / "k3s").stat().st_ino


def test_a_second_build_makes_nothing(cache: Cache, console: Console) -> None:
    kitchen = Kitchen()
    first = kitchen.build(cache, console)
    assert sorted(kitchen.asked) == ["image", "manifest", "program"]
    kitchen.asked.clear()
    assert kitchen.build(cache, console) == first
    assert kitchen.asked == []


def test_a_changed_part_changes_what_needs_it_and_nothing_else(cache: Cache, console: Console) -> None:
    kitchen = Kitchen()
    first = kitchen.build(cache, console)
    kitchen.asked.clear()
    second = kitchen.build(cache, console, version=2)
    assert second != first
    assert sorted(kitchen.asked) == ["image", "program"]


def test_a_file_damaged_in_the_bundle_is_made_again(cache: Cache, console: Console) -> None:
    kitchen = Kitchen()
    place = kitchen.build(cache, console)
    kitchen.asked.clear()
    # The same file by its other name, in the part's own entry.
    (place / "images" / "thing-1.tar").write_text("image X\n")
    again = kitchen.build(cache, console)
    assert kitchen.asked == ["image"]
    assert (again / "images" / "thing-1.tar").read_text() == "image 1\n"
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=again, check=True)


def test_a_failed_part_names_its_log_and_leaves_no_bundle(cache: Cache, console: Console) -> None:
    kitchen = Kitchen(broken="program")
    with pytest.raises(LabError) as raised:
        kitchen.build(cache, console)
    everything, layout = kitchen.layout()
    program, image, manifest = everything
    log = cache.log_path(program.order)
    assert str(raised.value).startswith(f"program: `sh` ended with code 3; the last lines of {log}:")
    assert "the compiler said no" in log.read_text()
    assert not cache.has(program.order)
    assert not cache.has(image.order)
    # What does not need it is there for the next run.
    assert cache.has(manifest.order)
    assert not cache.has(bundle.bundle_part(layout).order)
    assert "image" not in kitchen.asked
    rows = [line.split()[:3] for line in console.table().splitlines()]
    assert ["image", "not", "reached"] in rows


def test_a_part_without_its_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    with pytest.raises(LabError, match=r"holds no images-\*\.tar for the bundle"):
        bundle.assemble(tmp_path / "part", "images-*.tar", tmp_path / "bundle")


def test_two_parts_must_not_bring_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "k3s").write_text("")
    bundle.assemble(tmp_path / "part", "k3s", tmp_path / "bundle")
    with pytest.raises(LabError, match="Two parts of the bundle bring k3s"):
        bundle.assemble(tmp_path / "part", "k3s", tmp_path / "bundle")


def test_a_written_image_is_a_docker_archive_with_its_reference(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    entries = [
        File("/operator/manager_amd64", program, 0o755),
        File("/manager", link="operator/manager_amd64"),
        File("/tmp", mode=0o1777, directory=True),  # noqa: S108  a path in the image
        File("/home/nonroot", mode=0o700, directory=True, owner=65532),
    ]
    archives = [tmp_path / "one.tar", tmp_path / "two.tar"]
    for archive in archives:
        images.write_archive(archive, "ghcr.io/x/y:1", {"User": "65532", "Entrypoint": ["/manager"]}, entries)
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with tarfile.open(archives[0]) as packed:
        (manifest,) = json.loads(packed.extractfile("manifest.json").read())
        config = json.loads(packed.extractfile(manifest["Config"]).read())
        with tarfile.open(fileobj=packed.extractfile(manifest["Layers"][0])) as layer:
            found = {one.name: one for one in layer.getmembers()}
    assert manifest["RepoTags"] == ["ghcr.io/x/y:1"]
    assert config["config"]["User"] == "65532"
    assert config["config"]["Entrypoint"] == ["/manager"]
    assert [name for name in found if found[name].isdir()] == ["home", "home/nonroot", "operator", "tmp"]
    assert found["tmp"].mode == 0o1777
    assert found["home/nonroot"].uid == 65532
    assert found["operator/manager_amd64"].mode == 0o755
    assert found["manager"].linkname == "operator/manager_amd64"


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("docker.io/valkey/valkey:8.1", "valkey-8.1.tar"),
        ("quay.io/jetstack/cert-manager-webhook:v1.11.5", "cert-manager-webhook-v1.11.5.tar"),
    ],
)
def test_archives_are_named_after_their_image(reference: str, name: str) -> None:
    assert images.archive_name(reference) == name


def test_every_image_and_part_has_a_place_of_its_own() -> None:
    everything, layout = bundle.plan()
    names = [part.name for part in everything]
    assert len(set(names)) == len(names)
    for position, part in enumerate(everything):
        assert {need.name for need in part.needs} <= set(names[:position]), part.name
    assert {part.name for part in layout.values()} <= set(names)
    references = [image.reference for image in [*images.node_images(), *images.base_images()]]
    assert sorted(references) == sorted(
        [
            "docker.io/rancher/mirrored-pause:3.6",
            "docker.io/rancher/mirrored-coredns-coredns:1.14.6",
            "docker.io/rancher/mirrored-library-traefik:3.7.9",
            "docker.io/rancher/local-path-provisioner:v0.0.30",
            "docker.io/rancher/mirrored-library-busybox:1.37.0",
            *(f"quay.io/jetstack/cert-manager-{one}:v1.11.5" for one in ("controller", "webhook", "cainjector")),
            "quay.io/jetstack/cert-manager-acmesolver:v1.11.5",
            "ghcr.io/cloudnative-pg/cloudnative-pg:1.30.0",
            "ghcr.io/cloudnative-pg/postgresql:17",
            "docker.io/valkey/valkey:8.1",
            "docker.gitea.com/gitea:1.26.4-rootless",
            "docker.io/library/python:3.13-slim",
            "docker.io/library/node:20-slim",
        ]
    )


def test_a_yaml_stream_splits_at_its_marks() -> None:
    assert bundle.documents("---\na: 1\n---\n---\nb: '---'\n") == ["a: 1\n", "b: '---'\n"]
