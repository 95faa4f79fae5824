from __future__ import annotations

import contextlib
import gzip
import io
import json
import subprocess
import tarfile

import pytest
from ansible_collections.railiance.stack.plugins.module_utils import _image_files
from ansible_collections.railiance.stack.plugins.module_utils._command import LocalRunner, NotInstalled, Ran
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._image_contract import (
    SEVERITIES,
    Contract,
    File,
    build_arguments,
    is_secret_name,
    require,
)
from ansible_collections.railiance.stack.plugins.module_utils._image_files import (
    archive_files,
    image_files,
    program_output,
    storage_files,
)

GOOD = {
    "os": "linux",
    "architecture": "amd64",
    "config": {
        "User": "10001:10001",
        "ExposedPorts": {"8000/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "true"]},
        "Env": ["PATH=/bin", "SECRET_KEY_FILE=/run/secrets/key", "DATABASE_PASSWORD="],
    },
    "history": [{"created_by": "/bin/sh -c #(nop) ARG IMAGE_REVISION=1"}],
}


def file(path, content="x", layer=1):
    return File(path, len(content), layer, content.encode)


def names(config=GOOD, *files, **contract):
    return [finding.name for finding in Contract(**contract).findings(config, files)]


def config(**inner):
    return {**GOOD, "config": {**GOOD["config"], **inner}}


def test_an_image_that_keeps_the_contract_has_no_finding():
    assert names(GOOD, file("app/manage.py"), port=8000, platform="linux/amd64") == []


@pytest.mark.parametrize(
    ("image", "contract", "finding"),
    [
        (config(User=""), {}, "root-user"),
        (config(User="0:0"), {}, "root-user"),
        (config(User="root"), {}, "root-user"),
        (config(User="app"), {}, "named-user"),
        (config(ExposedPorts={}), {}, "no-port"),
        (GOOD, {"port": 9000}, "no-port"),
        (config(Healthcheck=None), {}, "no-health-check"),
        (config(Healthcheck={"Test": ["NONE"]}), {}, "no-health-check"),
        (GOOD, {"platform": "linux/arm64"}, "foreign-platform"),
        (config(Env=["DJANGO_SECRET_KEY=abc"]), {}, "secret-environment"),
        (config(Env=["DATABASE=postgresql://u:p@db/x"]), {}, "secret-environment"),
        (config(Env=["PIP_INDEX_URL=https://u:p@index.test/simple"]), {}, "index-credential"),
        ({**GOOD, "history": [{"created_by": "/bin/sh -c #(nop) ARG API_TOKEN=abc"}]}, {}, "secret-build-arg"),
        ({**GOOD, "history": [{"created_by": "|2 A=1 NPM_TOKEN=abc /bin/sh -c npm ci"}]}, {}, "secret-build-arg"),
        ({**GOOD, "history": [{"created_by": "pip install -i https://u:p@index.test/s x"}]}, {}, "index-credential"),
    ],
)
def test_each_finding_has_its_name(image, contract, finding):
    assert names(image, **contract) == [finding]


@pytest.mark.parametrize(
    ("path", "content", "finding"),
    [
        ("app/.env", "DEBUG=1\nSECRET_KEY=abc\n", "secret-file"),
        ("root/.ssh/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----", "secret-file"),
        ("etc/x/server.key", "-----BEGIN RSA PRIVATE KEY-----", "secret-file"),
        ("root/.config/sops/age/keys.txt", "AGE-SECRET-KEY-1ABC", "secret-file"),
        ("root/.docker/config.json", '{"auths": {"x": {"auth": "eA=="}}}', "secret-file"),
        ("root/.aws/credentials", "[default]\naws_secret_access_key = x", "secret-file"),
        ("root/.kube/config", "users:\n- user: {client-key-data: AAAA}", "secret-file"),
        ("root/.git-credentials", "https://u:p@host", "secret-file"),
        ("app/.npmrc", "//npm.test/:_authToken=abc\n", "index-credential"),
        ("etc/pip.conf", "[global]\nindex-url = https://u:p@index.test/simple", "index-credential"),
        ("root/.netrc", "machine index.test login u password p", "index-credential"),
        ("root/.pypirc", "[pypi]\nusername = u\npassword = p", "index-credential"),
    ],
)
def test_a_file_is_judged_by_what_it_holds(path, content, finding):
    found = Contract().findings(GOOD, [file("app/x"), file(path, content, 3)])
    assert [(f.name, f.severity, f.detail) for f in found] == [(finding, "fatal", f"/{path} in layer 3")]
    assert content not in json.dumps([f.as_dict() for f in found])
    assert names(GOOD, file(path, content), allowed_files=(f"/{path}",)) == []


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("app/.env", "DEBUG=1\n"),
        ("app/.env.example", "SECRET_KEY=change-me"),
        ("etc/ssl/certs/ca.pem", "-----BEGIN CERTIFICATE-----"),
        ("usr/lib/python3/test/key.pem", "-----BEGIN PRIVATE KEY-----"),
        ("app/.npmrc", "registry=https://npm.test/\n//npm.test/:_authToken=${NPM_TOKEN}\n"),
        ("etc/pip.conf", "[global]\nindex-url = https://index.test/simple"),
        ("app/config.json", '{"auth": "x"}'),
        ("app/.env", ""),
    ],
)
def test_what_only_looks_like_a_secret_is_none(path, content):
    assert names(GOOD, file(path, content)) == []


def test_only_files_with_a_suspicious_name_are_read():
    def unread():
        raise AssertionError("read")

    assert names(GOOD, File("app/manage.py", 10, 1, unread), File("a/id_rsa", 10**6, 1, unread)) == []


def test_severities_follow_the_option_and_the_grave_come_first():
    image = config(User="", Healthcheck=None)
    contract = Contract(severities={"no-health-check": "fatal", "no-port": "ignore"})
    found = contract.findings(image)
    assert [(f.name, f.severity) for f in found] == [("no-health-check", "fatal"), ("root-user", "advice")]
    assert not Contract(severities={"secret-file": "ignore", "index-credential": "ignore"}).looks_at_files
    with pytest.raises(StackError) as raised:
        require(found, "x:1")
    assert str(raised.value) == (
        "The image x:1 does not keep the contract: no-health-check: it declares no health check. "
        "Give the image HEALTHCHECK, and build it in Docker's format: OCI's drops it."
    )
    require([f for f in found if f.severity == "advice"], "x:1")


def test_an_unknown_finding_or_severity_is_named():
    with pytest.raises(StackError, match="'root' is no finding of the image contract"):
        Contract(severities={"root": "fatal"})
    with pytest.raises(StackError, match="'deadly' is no severity of a finding"):
        Contract(severities={"root-user": "deadly"})
    assert set(SEVERITIES.values()) == {"fatal", "advice"}


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("API_TOKEN", True),
        ("DB_PASSWORD", True),
        ("PGPASS", True),
        ("BYPASS_CACHE", False),
        ("SECRET_KEY_FILE", False),
        ("TOKEN_URL", False),
        ("IMAGE_SOURCE", False),
    ],
)
def test_names_of_secrets(name, secret):
    assert is_secret_name(name) is secret


def test_build_arguments_out_of_the_history():
    assert build_arguments("/bin/sh -c #(nop) ARG A=1") == [("A", "1")]
    assert build_arguments("|2 A=1 B= /bin/sh -c echo C=3") == [("A", "1"), ("B", "")]
    assert build_arguments("/bin/sh -c C=3 make") == []


# -- where the files come from -------------------------------------------------------------------------------------
def storage(root, image_id="a" * 64):
    """A storage with one image of two layers, the upper one hiding nothing."""
    (root / "overlay-images").mkdir(parents=True)
    (root / "overlay-images/images.json").write_text(json.dumps([{"id": image_id, "layer": "top"}]))
    (root / "overlay-layers").mkdir()
    layers = [{"id": "base"}, {"id": "top", "parent": "base"}]
    (root / "overlay-layers/layers.json").write_text(json.dumps(layers))
    for layer, path in (("base", "etc/hosts"), ("top", "app/.env")):
        file = root / "overlay" / layer / "diff" / path
        file.parent.mkdir(parents=True)
        file.write_text(layer)
        lines = [
            {"type": 2, "payload": "AAAA", "position": 0},
            {"type": 1, "name": f"./{path}", "size": len(layer), "payload": "x", "position": 1},
        ]
        with gzip.open(root / "overlay-layers" / f"{layer}.tar-split.gz", "wt") as out:
            out.write("\n".join(map(json.dumps, lines)))
    return root


def listed(files):
    return [(f.path, f.size, f.layer, f.read()) for f in files]


def test_a_storage_lists_every_layer_from_its_records(tmp_path):
    root = storage(tmp_path)
    expected = [("etc/hosts", 4, 1, b"base"), ("app/.env", 3, 2, b"top")]
    assert listed(storage_files(root, "overlay", "sha256:" + "a" * 64)) == expected
    for reference in ("containers-storage:localhost/x:1", f"containers-storage:[overlay@{root}+/run/x]localhost/x:1"):
        files = image_files(reference, "sha256:" + "a" * 64, lambda command: Ran(0, f"{root} overlay\n"))
        assert listed(files) == expected


def test_the_usual_storage_is_looked_into_before_buildah_is_asked(tmp_path, monkeypatch):
    usual, other = storage(tmp_path / "usual"), storage(tmp_path / "other", "b" * 64)
    monkeypatch.setattr(_image_files, "_usual_root", lambda: usual)
    asked = []

    def buildah(command):
        asked.append(command)
        return Ran(0, f"{other} overlay\n")

    assert len(listed(image_files("containers-storage:x", "sha256:" + "a" * 64, buildah))) == 2
    assert asked == []
    assert len(listed(image_files("containers-storage:x", "sha256:" + "b" * 64, buildah))) == 2
    assert len(asked) == 1


def test_a_link_in_a_layer_is_not_followed(tmp_path):
    root = storage(tmp_path)
    (root / "overlay/top/diff/app/.env").unlink()
    (root / "overlay/top/diff/app/.env").symlink_to("/etc/passwd")
    assert listed(storage_files(root, "overlay", "a" * 64))[1][3] == b""


@pytest.mark.parametrize(
    "lost", ["overlay-images/images.json", "overlay-layers/top.tar-split.gz", "overlay/top/diff/app"]
)
def test_a_storage_of_another_make_is_not_guessed_at(tmp_path, lost):
    root = storage(tmp_path)
    path = root / lost
    if path.is_dir():
        path = path.rename(root / "elsewhere").parent / "overlay/top/diff"
        path.rmdir()
    else:
        path.unlink()
    assert storage_files(root, "overlay", "a" * 64) is None


def archive(*layers):
    """What skopeo writes: an archive of archives."""

    def tar(members):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as file:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
        return out.getvalue()

    return tar({**{f"{n}.tar": tar(layer) for n, layer in enumerate(layers)}, "manifest.json": b"[]"})


def test_everything_else_is_read_through_skopeo():
    seen = []

    @contextlib.contextmanager
    def opener(command):
        seen.append(command)
        yield io.BytesIO(archive({"etc/hosts": b"base"}, {"./app/.env": b"top"}))

    def no_buildah(command):
        raise NotInstalled("no")

    expected = [("etc/hosts", 4, 1, b"base"), ("app/.env", 3, 2, b"top")]
    assert [(f.path, f.size, f.layer, f.read()) for f in archive_files("oci-archive:/x", opener)] == expected
    files = image_files("containers-storage:x", "sha256:1", no_buildah, opener)
    assert [(f.path, f.size, f.layer, f.read()) for f in files] == expected
    assert seen[0] == ["skopeo", "copy", "--quiet", "oci-archive:/x", "docker-archive:/dev/stdout"]


def test_a_program_that_fails_is_an_error_and_one_that_is_left_early_ends():
    with pytest.raises(StackError, match=r"The layers of -c cannot be read: no such image\. Build the image again"):
        list(archive_files("x", lambda command: program_output(["sh", "-c", "echo no such image >&2; exit 1"])))
    with contextlib.suppress(KeyError), program_output(["sh", "-c", "exec cat /dev/zero"]) as output:
        assert output.read(3) == b"\0\0\0"
        raise KeyError
    with pytest.raises(NotInstalled), program_output(["no-such-program"]):
        pass


def test_files_of_a_real_archive_are_the_same_through_skopeo(tmp_path):
    """skopeo writes to standard output as its archive; only the real program shows that it does."""
    layout = tmp_path / "image.tar"
    body = archive({"app/.env": b"SECRET_KEY=abc"})
    with tarfile.open(fileobj=io.BytesIO(body)) as outer:
        layer = outer.extractfile("0.tar").read()
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha(layer)]}}
    config_name = sha(json.dumps(config).encode())[7:] + ".json"
    manifest = [{"Config": config_name, "RepoTags": ["x:1"], "Layers": ["0.tar"]}]
    with tarfile.open(layout, "w") as out:
        for name, content in (
            (config_name, json.dumps(config).encode()),
            ("0.tar", layer),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    subprocess.run(["skopeo", "--version"], check=True, capture_output=True)
    files = image_files(f"docker-archive:{layout}", "", LocalRunner())
    assert [(f.path, f.read()) for f in files] == [("app/.env", b"SECRET_KEY=abc")]


def sha(content):
    import hashlib

    return "sha256:" + hashlib.sha256(content).hexdigest()
