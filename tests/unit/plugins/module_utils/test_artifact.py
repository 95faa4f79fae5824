from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.railiance.stack.plugins.module_utils import _artifact as artifact
from ansible_collections.railiance.stack.plugins.module_utils._artifact import Bundle, State, Wanted, Web
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError

CONTENT = b"#!/bin/sh\necho k3s version v1.35.4+k3s1\n"
HELM = b"helm program"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tarball(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    return buffer.getvalue()


class Site:
    """A real HTTP server with files in memory and a list of what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.cut: set[str] = set()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                if self.path == "/moved":
                    self.send_response(302)
                    self.send_header("Location", "/k3s")
                    self.end_headers()
                    return
                content = site.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if self.path in site.cut else content)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "images").mkdir(parents=True)
    archive = tarball(linux__helm=HELM)
    files = {"k3s": CONTENT, "helm.tar.gz": archive, "images/a.tar": b"image a", "images/b.tar": b"image b"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "SHA256SUMS").write_text("".join(f"{sha(content)}  ./{name}\n" for name, content in files.items()))
    return folder


class Node:
    """One destination and its state file; runs the plan as the module does."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / "node"
        self.dest = self.root / "bin" / "k3s"
        self.state = tmp_path / "state" / "artifacts.json"

    def plan(self, **options: Any) -> artifact.Found:
        wanted = Wanted(**{"dest": str(self.dest), "mode": 0o755, **options})
        return artifact.plan_artifact(wanted, Web, State(str(self.state)))

    def run(self, **options: Any) -> bool:
        found = self.plan(**options)
        found.plan.execute()
        found.remember()
        return found.plan.changed


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


# -- checksum files --------------------------------------------------------------------------------------------
K3S_SUMS = f"{'a' * 64}  k3s-airgap-images-amd64.tar\n{'b' * 64}  k3s\n{'c' * 64}  k3s-arm64\n"


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        pytest.param(K3S_SUMS, "k3s", "b" * 64, id="k3s sha256sum-amd64.txt"),
        pytest.param(f"{'D' * 64}  helm-v3-linux-amd64.tar.gz\n", "helm-v3-linux-amd64.tar.gz", "d" * 64, id="helm"),
        pytest.param(f"{'e' * 64}\n", "helm-v3-linux-amd64.tar.gz", "e" * 64, id="helm .sha256, the sum alone"),
        pytest.param(f"{'f' * 64} *dist/sops\n", "sops", "f" * 64, id="binary mark and a folder"),
    ],
)
def test_checksum_files_of_upstreams_are_understood(text: str, name: str, expected: str):
    assert artifact.pick_sum(text, name, "sums") == expected


def test_a_file_that_is_not_listed_is_named_with_what_is():
    with pytest.raises(StackError) as caught:
        artifact.pick_sum(K3S_SUMS, "helm", "https://x/sums.txt")
    assert str(caught.value) == (
        "https://x/sums.txt has no sha256 for helm; it lists k3s, k3s-airgap-images-amd64.tar, k3s-arm64. "
        "Give the checksum file that was released together with this file."
    )


@pytest.mark.parametrize("checksum", ["md5:" + "a" * 32, "a" * 64, "sha256:" + "a" * 63, "sha256:" + "g" * 64])
def test_other_checksums_are_refused(checksum: str):
    with pytest.raises(StackError, match="is not of the form sha256:<64 hex digits>"):
        artifact.literal_sum(checksum)


# -- from a bundle ---------------------------------------------------------------------------------------------
def test_a_bundle_file_is_installed_once_with_its_mode(node: Node, bundle: Path):
    assert node.run(name="k3s", bundle_dir=str(bundle))
    assert node.dest.read_bytes() == CONTENT
    assert stat.S_IMODE(node.dest.stat().st_mode) == 0o755
    assert [p.name for p in node.dest.parent.iterdir()] == ["k3s"]
    assert not node.run(name="k3s", bundle_dir=str(bundle))


def test_planning_writes_nothing(node: Node, bundle: Path, tmp_path: Path):
    found = node.plan(name="k3s", bundle_dir=str(bundle))
    assert found.plan.changed
    assert found.plan.diff()[0]["after"]["sha256"] == sha(CONTENT)
    assert not node.root.exists()
    assert not node.state.exists()


def test_an_unchanged_file_is_not_read_again(node: Node, bundle: Path, monkeypatch: pytest.MonkeyPatch):
    node.run(name="k3s", bundle_dir=str(bundle))

    def never(path: object) -> str:
        raise AssertionError(f"{path} was hashed")

    monkeypatch.setattr(artifact, "hash_file", never)
    (bundle / "k3s").unlink()
    assert not node.run(name="k3s", bundle_dir=str(bundle))


def test_a_tampered_file_is_replaced_even_with_its_old_times(node: Node, bundle: Path):
    node.run(name="k3s", bundle_dir=str(bundle))
    before = node.dest.stat()
    node.dest.write_bytes(b"x" * len(CONTENT))
    os.utime(node.dest, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert node.run(name="k3s", bundle_dir=str(bundle))
    assert node.dest.read_bytes() == CONTENT


def test_a_wrong_mode_alone_is_corrected_without_reading_the_source(node: Node, bundle: Path):
    node.run(name="k3s", bundle_dir=str(bundle))
    node.dest.chmod(0o600)
    (bundle / "k3s").write_bytes(b"rotten")
    assert node.run(name="k3s", bundle_dir=str(bundle))
    assert stat.S_IMODE(node.dest.stat().st_mode) == 0o755
    assert not node.run(name="k3s", bundle_dir=str(bundle))


def test_a_corrupted_bundle_file_is_named_with_both_sums_and_changes_nothing(node: Node, bundle: Path):
    (bundle / "k3s").write_bytes(b"rotten")
    with pytest.raises(StackError) as caught:
        node.plan(name="k3s", bundle_dir=str(bundle))
    assert str(caught.value) == (
        f"Bundle file {bundle}/k3s is corrupted: expected sha256 {sha(CONTENT)}, actual {sha(b'rotten')}. "
        f"Copy it to the bundle again, then check with: (cd {bundle} && sha256sum -c SHA256SUMS)"
    )
    assert not node.dest.exists()


def test_a_file_that_rots_between_plan_and_copy_leaves_the_old_one(node: Node, bundle: Path):
    node.run(name="k3s", bundle_dir=str(bundle))
    (bundle / "k3s").write_bytes(b"new")
    (bundle / "SHA256SUMS").write_text(f"{sha(b'new')}  k3s\n")
    found = node.plan(name="k3s", bundle_dir=str(bundle))
    (bundle / "k3s").write_bytes(b"rotten")
    with pytest.raises(StackError, match="is corrupted"):
        found.plan.execute()
    assert node.dest.read_bytes() == CONTENT
    assert [p.name for p in node.dest.parent.iterdir()] == ["k3s"]


def test_a_missing_bundle_and_an_unlisted_file_are_named(node: Node, bundle: Path):
    with pytest.raises(StackError, match=r"^The bundle /nowhere has no readable SHA256SUMS: No such file"):
        node.plan(name="k3s", bundle_dir="/nowhere")
    with pytest.raises(StackError, match=r"does not list sops in SHA256SUMS"):
        node.plan(name="sops", bundle_dir=str(bundle))
    (bundle / "k3s").unlink()
    with pytest.raises(StackError, match=r"k3s is listed in SHA256SUMS but cannot be read"):
        node.plan(name="k3s", bundle_dir=str(bundle))


def test_a_member_is_extracted_and_recognised_afterwards(node: Node, bundle: Path):
    options = {"name": "helm.tar.gz", "bundle_dir": str(bundle), "member": "linux/helm"}
    assert node.run(**options)
    assert node.dest.read_bytes() == HELM
    assert not node.run(**options)
    assert node.plan(**options).sha256 == sha(HELM)


def test_a_members_file_that_somebody_else_put_there_is_replaced(node: Node, bundle: Path):
    node.dest.parent.mkdir(parents=True)
    node.dest.write_bytes(b"older helm")
    assert node.run(name="helm.tar.gz", bundle_dir=str(bundle), member="linux/helm")
    assert node.dest.read_bytes() == HELM


@pytest.mark.parametrize(
    ("member", "message"), [("linux/tiller", "holds no linux/tiller"), ("folder", "is no regular file")]
)
def test_a_wrong_member_is_named_and_leaves_nothing(node: Node, bundle: Path, member: str, message: str):
    with pytest.raises(StackError, match=message):
        node.run(name="helm.tar.gz", bundle_dir=str(bundle), member=member)
    assert list(node.dest.parent.iterdir()) == []


def test_a_file_that_is_no_archive_is_named(node: Node, bundle: Path):
    with pytest.raises(StackError, match=r"k3s cannot be read as a tar archive"):
        node.run(name="k3s", bundle_dir=str(bundle), member="linux/helm")


# -- from a URL ------------------------------------------------------------------------------------------------
def test_a_download_is_verified_by_the_released_checksum_file(node: Node, site: Site):
    site.files = {"/v1.35.4%2Bk3s1/k3s": CONTENT, "/sums.txt": f"{'a' * 64}  other\n{sha(CONTENT)}  k3s\n".encode()}
    options = {"url": f"{site.url}/v1.35.4%2Bk3s1/k3s", "checksum_url": f"{site.url}/sums.txt"}
    assert node.run(**options)
    assert node.dest.read_bytes() == CONTENT
    site.asked.clear()
    assert not node.run(**options)
    assert site.asked == []


def test_planning_a_download_reads_the_checksum_only(node: Node, site: Site):
    site.files = {"/k3s": CONTENT, "/sums.txt": f"{sha(CONTENT)}  k3s\n".encode()}
    assert node.plan(url=f"{site.url}/k3s", checksum_url=f"{site.url}/sums.txt").plan.changed
    assert site.asked == ["/sums.txt"]


def test_a_file_that_is_already_right_is_not_downloaded(node: Node, site: Site):
    node.dest.parent.mkdir(parents=True)
    node.dest.write_bytes(CONTENT)
    node.dest.chmod(0o755)
    assert not node.run(url=f"{site.url}/k3s", checksum=f"sha256:{sha(CONTENT)}")
    assert site.asked == []


def test_redirects_are_followed(node: Node, site: Site):
    site.files = {"/k3s": CONTENT}
    assert node.run(url=f"{site.url}/moved", checksum=f"sha256:{sha(CONTENT)}")


def test_a_new_url_is_a_new_version(node: Node, site: Site):
    site.files = {"/1/k3s": CONTENT, "/2/k3s": b"newer"}
    assert node.run(url=f"{site.url}/1/k3s", checksum=f"sha256:{sha(CONTENT)}")
    assert node.run(url=f"{site.url}/2/k3s", checksum=f"sha256:{sha(b'newer')}")
    assert node.dest.read_bytes() == b"newer"


def test_a_wrong_download_is_named_with_both_sums_and_leaves_the_old_file(node: Node, site: Site):
    node.dest.parent.mkdir(parents=True)
    node.dest.write_bytes(b"old")
    site.files = {"/k3s": CONTENT}
    with pytest.raises(StackError) as caught:
        node.run(url=f"{site.url}/k3s", checksum="sha256:" + "a" * 64)
    assert caught.value.message == (
        f"The download of {site.url}/k3s is not the released file: expected sha256 {'a' * 64}, actual {sha(CONTENT)}."
    )
    assert node.dest.read_bytes() == b"old"
    assert [p.name for p in node.dest.parent.iterdir()] == ["k3s"]


def test_a_download_that_breaks_off_is_named(node: Node, site: Site):
    site.files, site.cut = {"/k3s": CONTENT}, {"/k3s"}
    with pytest.raises(StackError, match=rf"broke off after {len(CONTENT) // 2} of {len(CONTENT)} bytes"):
        node.run(url=f"{site.url}/k3s", checksum=f"sha256:{sha(CONTENT)}")


def test_a_version_that_was_never_released_is_named(node: Node, site: Site):
    with pytest.raises(StackError) as caught:
        node.run(url=f"{site.url}/v9/k3s", checksum="sha256:" + "a" * 64)
    assert str(caught.value) == (
        f"{site.url}/v9/k3s cannot be downloaded: the server answered 404 Not Found. "
        "Check that this version was released under this address."
    )


def test_a_server_that_cannot_be_reached_is_named_with_the_next_step(node: Node, site: Site):
    site.server.shutdown()
    site.server.server_close()
    with pytest.raises(StackError) as caught:
        node.run(url=f"{site.url}/k3s", checksum="sha256:" + "a" * 64)
    assert caught.value.message == (
        f"{site.url}/k3s cannot be downloaded: 127.0.0.1 cannot be reached ([Errno 111] Connection refused)."
    )
    assert "stack_bundle_dir" in caught.value.hint


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "k3s"])
def test_only_http_and_https_are_fetched(node: Node, url: str):
    with pytest.raises(StackError, match="is no http or https address"):
        node.run(url=url, checksum="sha256:" + "a" * 64)


def test_a_ca_file_that_holds_no_certificate_is_named(tmp_path: Path):
    (tmp_path / "ca.crt").write_text("nothing")
    with pytest.raises(StackError, match=rf"^The CA file {tmp_path}/ca.crt cannot be used"):
        Web(str(tmp_path / "ca.crt"))


# -- destination -----------------------------------------------------------------------------------------------
def test_a_directory_is_never_replaced(node: Node, bundle: Path):
    node.dest.mkdir(parents=True)
    with pytest.raises(StackError, match="is a directory, not a file"):
        node.plan(name="k3s", bundle_dir=str(bundle))


def test_a_link_is_replaced_by_the_file_and_its_target_stays(node: Node, bundle: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.write_bytes(CONTENT)
    node.dest.parent.mkdir(parents=True)
    node.dest.symlink_to(other)
    assert node.run(name="k3s", bundle_dir=str(bundle))
    assert not node.dest.is_symlink()
    assert other.read_bytes() == CONTENT


def test_a_damaged_state_file_only_costs_a_look(node: Node, bundle: Path):
    node.run(name="k3s", bundle_dir=str(bundle))
    node.state.write_text("{")
    assert not node.run(name="k3s", bundle_dir=str(bundle))


@pytest.mark.parametrize("mode", ["755x", "rwx", "07555", "999"])
def test_other_modes_are_refused(mode: str):
    with pytest.raises(StackError, match="is not octal"):
        artifact.parse_mode(mode)


# -- image archives --------------------------------------------------------------------------------------------
class Images:
    def __init__(self, bundle: Path, tmp_path: Path) -> None:
        self.bundle, self.dest, self.state = bundle, tmp_path / "images", tmp_path / "state.json"

    def run(self) -> list[tuple[str, str]]:
        plan, _, remember = artifact.plan_folder(
            Bundle(str(self.bundle)), "images/", str(self.dest), State(str(self.state))
        )
        plan.execute()
        remember()
        return [(step["action"], Path(step["target"]).name) for step in plan.describe()]

    def list(self, *names: str) -> None:
        lines = [f"{sha((self.bundle / name).read_bytes())}  {name}\n" for name in names]
        (self.bundle / "SHA256SUMS").write_text("".join(lines))


@pytest.fixture(params=["link", "copy"])
def images(request: pytest.FixtureRequest, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Images:
    if request.param == "copy":

        def across(source: str, target: str) -> None:
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", across)
    return Images(bundle, tmp_path)


def test_archives_are_brought_in_once_and_removed_with_the_bundle(images: Images, monkeypatch: pytest.MonkeyPatch):
    assert images.run() == [("create", "a.tar"), ("create", "b.tar")]
    assert (images.dest / "a.tar").read_bytes() == b"image a"
    (images.dest / "own.tar").write_bytes(b"the operator's")
    with monkeypatch.context() as patch:
        patch.setattr(artifact, "hash_stream", lambda *_: pytest.fail("an untouched archive was read"))
        assert images.run() == []
    images.list("images/a.tar")
    assert images.run() == [("delete", "b.tar")]
    assert sorted(p.name for p in images.dest.iterdir()) == ["a.tar", "own.tar"]


def test_an_archive_of_a_newer_bundle_replaces_the_old_one(images: Images):
    images.run()
    (images.bundle / "images/a.tar").unlink()
    (images.bundle / "images/a.tar").write_bytes(b"image a, newer")
    images.list("images/a.tar", "images/b.tar")
    assert images.run() == [("update", "a.tar")]
    assert (images.dest / "a.tar").read_bytes() == b"image a, newer"
    assert images.run() == []


def test_a_corrupted_archive_is_named_before_anything_is_changed(images: Images):
    (images.bundle / "images/b.tar").write_bytes(b"rotten")
    with pytest.raises(StackError, match=r"images/b\.tar is corrupted: expected sha256"):
        images.run()
    assert not images.dest.exists()


def test_an_archive_that_is_there_without_a_record_is_recognised(images: Images):
    images.dest.mkdir()
    for name in ("a.tar", "b.tar"):
        (images.dest / name).write_bytes((images.bundle / "images" / name).read_bytes())
    assert images.run() == []
    assert set(State(str(images.state)).paths()) == {str(images.dest / "a.tar"), str(images.dest / "b.tar")}
