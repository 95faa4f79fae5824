from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import socket
import threading
from pathlib import Path

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._command import LocalRunner, Ran
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._http import Response
from ansible_collections.railiance.stack.plugins.module_utils._image_push import look, plan_publication, verify
from ansible_collections.railiance.stack.plugins.module_utils._registry import (
    Login,
    Registry,
    check_tags,
    is_commit_like,
)
from ansible_collections.railiance.stack.plugins.module_utils._skopeo import (
    Skopeo,
    Source,
    message,
    private_folder,
    push_hint,
    tunnel,
)
from unit.fake_registry import FakeRegistry, digest, manifest

OLD, NEW = "sha256:" + "0" * 64, "sha256:" + "a" * 64
COMMIT = "0d1c5f7a9f3b2e64c8d7a6b5e4f3029181706f5e"
SOURCE = Source("containers-storage:localhost/site:1", NEW, {})
BOT = Login("stack-bot", "secret", "Secret gitea/gitea-bot-token")


class Push:
    """One push of SOURCE to a fake registry."""

    def __init__(self, registry=None, tags=(COMMIT, "latest"), source=SOURCE, replace=False, login=BOT):
        self.fake = registry or FakeRegistry()
        self.registry = Registry(self.fake, "apps/site", login)
        self.uploads = []

        def upload(tag):
            self.uploads.append(tag)
            self.fake.put("apps/site", tag, manifest(NEW))
            return 1000

        self.publication = plan_publication(look(self.registry, list(tags), source), upload, replace=replace)

    def execute(self):
        self.publication.plan.execute()
        verify(self.publication)
        return self

    @property
    def outcomes(self):
        return self.publication.outcomes


def holding(**tags):
    """A registry whose tags name images by their config digest."""
    fake = FakeRegistry()
    for tag, config in tags.items():
        fake.put("apps/site", {"commit": COMMIT}.get(tag, tag), manifest(config))
    return fake


# -- what happens ------------------------------------------------------------------------------------------------
def test_a_new_image_is_sent_once_and_its_other_tags_are_manifests():
    push = Push()
    assert push.outcomes == {COMMIT: "created", "latest": "created"}
    assert (push.uploads, push.fake.writes) == ([], [])
    push.execute()
    assert push.uploads == [COMMIT]
    assert push.fake.writes == ["PUT /v2/apps/site/manifests/latest"]
    assert push.fake.tags["apps/site:latest"] == push.fake.tags[f"apps/site:{COMMIT}"]


def test_an_unchanged_tag_costs_three_requests_and_writes_nothing():
    push = Push(holding(commit=NEW), tags=[COMMIT])
    assert not push.publication.plan.changed
    assert push.fake.calls == ["GET /v2/", "GET /v2/token", f"GET /v2/apps/site/manifests/{COMMIT}"]
    assert push.registry.requests == 3


def test_content_under_another_tag_is_tagged_by_one_manifest_without_an_upload():
    push = Push(holding(commit=NEW)).execute()
    assert push.outcomes == {COMMIT: "unchanged", "latest": "created"}
    assert push.uploads == []
    assert push.fake.writes == ["PUT /v2/apps/site/manifests/latest"]


def test_a_moving_tag_moves():
    push = Push(holding(latest=OLD)).execute()
    assert push.outcomes == {COMMIT: "created", "latest": "moved"}
    assert push.publication.found["latest"].config_digest == NEW


def test_a_commit_s_tag_with_other_content_is_refused():
    with pytest.raises(StackError) as raised:
        Push(holding(commit=OLD))
    assert str(raised.value) == (
        f"forge.test/apps/site:{COMMIT} names other content already: sha256:000000000000, not sha256:aaaaaaaaaaaa. "
        "A commit's image does not change. Push under another tag, or give replace: true if it shall."
    )


def test_it_is_replaced_when_told_to():
    push = Push(holding(commit=OLD, latest=OLD), replace=True).execute()
    assert push.outcomes == {COMMIT: "replaced", "latest": "moved"}
    assert push.uploads == [COMMIT]


def test_planning_writes_nothing():
    for fake in (FakeRegistry(), holding(latest=OLD), holding(commit=NEW)):
        push = Push(fake)
        assert push.publication.plan.changed
        assert (push.uploads, fake.writes) == ([], [])


def test_without_a_source_it_only_looks_and_proves_the_permission_when_something_is_missing():
    push = Push(holding(commit=NEW), source=None)
    assert push.outcomes == {COMMIT: "present", "latest": "absent"}
    assert push.fake.calls[-1] == "GET /v2/apps/site/blobs/uploads/00000000-0000-0000-0000-000000000000"
    assert Push(holding(commit=NEW), tags=[COMMIT], source=None).registry.requests == 3


def test_an_index_of_several_platforms_is_other_content():
    fake = FakeRegistry()
    fake.put("apps/site", COMMIT, b'{"schemaVersion": 2, "manifests": []}')
    with pytest.raises(StackError, match="an index of several platforms"):
        Push(fake)


def test_a_tag_that_names_something_else_afterwards_is_an_error():
    push = Push(tags=["latest"])
    push.publication.plan.steps[0].do()
    push.fake.put("apps/site", "latest", manifest(OLD))
    with pytest.raises(StackError, match="latest does not name the pushed image"):
        verify(push.publication)


# -- faults ------------------------------------------------------------------------------------------------------
def test_a_refused_token():
    with pytest.raises(NeedsOperator) as raised:
        Push(FakeRegistry(password="other"))  # noqa: S106  a fake server's
    assert str(raised.value) == (
        "forge.test refuses the token of account stack-bot (Secret gitea/gitea-bot-token): it has expired or was"
        " revoked. Run role railiance.stack.git_access with git_access_register for a new one, or mint one with the"
        " scope write:package at https://forge.test/user/settings/applications"
    )


def test_a_token_that_may_only_read_is_found_out_before_anything_is_sent():
    fake = FakeRegistry(scopes="pull")
    with pytest.raises(NeedsOperator, match=r"stack-bot \(Secret .*\) may not push to forge.test/apps/site"):
        Push(fake)
    assert fake.writes == []


def test_an_unknown_owner():
    with pytest.raises(NeedsOperator, match=r"forge.test has no owner apps of images\. Create the organisation"):
        Push(FakeRegistry(owners="others"))


def test_a_limit_of_the_registry_is_named():
    push = Push(holding(commit=NEW))
    push.fake.put_answer = Response(403, {}, b'{"errors": [{"code": "DENIED", "message": "maximum size exceeded"}]}')
    with pytest.raises(StackError) as raised:
        push.execute()
    assert raised.value.message == (
        "Could not tag forge.test/apps/site:latest: HTTP 403 (DENIED maximum size exceeded)."
    )
    assert "limit is reached" in raised.value.hint


def test_a_server_that_is_no_registry():
    class Page(FakeRegistry):
        def request(self, method, path, **_unused):
            return Response(302, {"location": "/login"})

    with pytest.raises(StackError, match=r"https://forge.test/v2/ does not answer like a registry: HTTP 302"):
        Push(Page())


def test_a_token_server_elsewhere_is_asked_there():
    class Elsewhere(FakeRegistry):
        def request(self, method, path, **rest):
            answer = super().request(method, path, **rest)
            if path == "/v2/":
                return Response(401, {"www-authenticate": 'Bearer realm="https://auth.test/v2/token",service="r"'})
            return answer

    fake, other = Elsewhere(), FakeRegistry()
    asked = []
    registry = Registry(fake, "apps/site", BOT, lambda origin: asked.append(origin) or other)
    assert registry.manifest("latest") is None
    assert (asked, other.calls) == (["https://auth.test"], ["GET /v2/token"])


@pytest.mark.parametrize("name", ["Site", "apps", "apps/Site", "apps//site", "apps/site:1", "../x/y"])
def test_a_repository_is_checked_before_anything_is_asked(name):
    with pytest.raises(StackError, match="is no repository of a registry"):
        Registry(FakeRegistry(), name, BOT)


def test_tags_are_checked():
    check_tags(["latest", COMMIT, "v1.2.3_x"])
    for tags, words in (([], "No tag"), ([".x"], "is no tag"), (["a b"], "is no tag"), (["V1", "v1"], "Tags repeat")):
        with pytest.raises(StackError, match=words):
            check_tags(tags)


@pytest.mark.parametrize(
    ("tag", "expected"),
    [(COMMIT, True), (COMMIT[:7], True), ("sha-0d1c5f7", True), ("latest", False), ("v1.2", False), ("abc", False)],
)
def test_which_tags_keep_their_content(tag, expected):
    assert is_commit_like(tag) is expected


def test_a_manifest_is_known_by_the_digest_of_its_bytes():
    fake = holding(commit=NEW)
    found = Registry(fake, "apps/site", BOT).manifest(COMMIT)
    assert (found.digest, found.config_digest, found.size) == (digest(manifest(NEW)), NEW, 110)


# -- skopeo ------------------------------------------------------------------------------------------------------
def test_the_token_is_in_a_private_file_only_while_skopeo_runs():
    seen = {}

    def run(command, *, environment=None):
        authfile = Path(command[command.index("--authfile") + 1])
        trusted = Path(command[command.index("--dest-cert-dir") + 1])
        seen.update(
            command=command,
            environment=environment,
            mode=oct(authfile.stat().st_mode & 0o777),
            folder=oct(authfile.parent.stat().st_mode & 0o777),
            auths=json.loads(authfile.read_text()),
            ca=(trusted / "ca.crt").exists(),
            file=authfile,
        )
        return Ran(0)

    Skopeo(run).copy(SOURCE.reference, "forge.test", "forge.test/apps/site:1", BOT, ca_file=__file__)
    assert (seen["mode"], seen["folder"], seen["ca"]) == ("0o600", "0o700", True)
    assert seen["auths"] == {"auths": {"forge.test": {"auth": base64.b64encode(b"stack-bot:secret").decode()}}}
    assert not seen["file"].parent.exists()
    assert "secret" not in " ".join(seen["command"])
    assert seen["command"][-2:] == [SOURCE.reference, "docker://forge.test/apps/site:1"]


def test_the_private_file_is_gone_after_a_request_to_stop():
    folder = None

    def interrupted():
        nonlocal folder
        with private_folder() as folder:
            (folder / "secret").write_text("x")
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()

    with pytest.raises(SystemExit) as raised:
        interrupted()
    assert raised.value.code == 143
    assert not folder.exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_failed_push_says_what_and_what_next():
    log = (
        'time="2026-11-21T08:00:17Z" level=warning msg="retry"\n'
        'time="2026-11-21T08:00:17Z" level=fatal msg="writing blob: unexpected EOF"\n'
    )
    with pytest.raises(StackError) as raised:
        Skopeo(lambda command, environment=None: Ran(1, "", log)).copy("dir:/x", "forge.test", "forge.test/a/b:1", BOT)
    assert raised.value.message == "Could not push dir:/x to forge.test/a/b:1: writing blob: unexpected EOF."
    assert "respondingTimeouts.readTimeout" in raised.value.hint
    assert "secret" not in json.dumps(raised.value.result)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("x509: certificate signed by unknown authority", "ca_file"),
        ("lookup forge.test: no such host", "DNS record of forge.test"),
        ("unauthorized: authentication required", "revoked meanwhile"),
        ("no space left on device", "disk"),
        ("something new", "Run this again"),
    ],
)
def test_hints(said, words):
    assert words in push_hint(said, "forge.test")


def test_a_registry_of_another_make_has_another_word_for_an_unknown_upload():
    fake = FakeRegistry()
    fake.no_upload = "BLOB_UPLOAD_INVALID"
    assert Push(fake).publication.plan.changed


def test_a_registry_of_another_make_has_no_page_to_mint_a_token():
    fake = FakeRegistry(password=secrets.token_hex())
    fake.service = "registry"
    with pytest.raises(NeedsOperator) as refused:
        Push(fake)
    assert refused.value.hint == "Correct user name and password."
    fake = FakeRegistry(scopes="pull")
    fake.service = "registry"
    with pytest.raises(NeedsOperator) as refused:
        Push(fake)
    assert refused.value.hint == "Correct user name and password, and give the account the right to write in apps."


def test_a_connection_that_was_cut_needs_no_words_of_skopeo_s():
    said = 'Patch "https://forge.test/v2/": something new'
    assert push_hint(said, "forge.test").startswith("Run this again")
    assert push_hint(said, "forge.test", cut=True).startswith("A proxy cut the upload")
    assert push_hint("StatusCode: 403", "forge.test", cut=True).startswith("The account may push, so this is a limit")


def test_an_image_is_known_by_the_digest_of_its_configuration():
    config = '{"config":{"User":"1000"}}'
    source = Skopeo(lambda command: Ran(0, config)).inspect("dir:/x")
    assert (source.config_digest, source.config["config"]["User"]) == (digest(config.encode()), "1000")
    with pytest.raises(StackError, match=r"The image dir:/x cannot be read: no such thing\. Build it first"):
        Skopeo(lambda command: Ran(1, "", "no such thing\n")).inspect("dir:/x")


def test_message_takes_skopeo_s_log_format_off():
    assert message(Ran(1, "", 'time="x" level=fatal msg="a \\"b\\"."\n')) == 'a "b"'
    assert message(Ran(1, "", "")) == "exit code 1"


def served(answer):
    """A server on the loopback address that answers one connection: ``answer(connection)``."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        with server:
            connection, _ = server.accept()
            with connection:
                answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    return server.getsockname()[1]


def connected(way, target):
    client = socket.create_connection(("127.0.0.1", way.port), 5)
    client.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n") and (byte := client.recv(1)):  # no further: what follows may already be there
        head += byte
    return client, head.decode().split("\r\n")[0]


def test_the_tunnel_takes_the_registry_s_name_to_its_address_and_counts():
    def echo(connection):
        connection.sendall(connection.recv(100).upper())
        connection.recv(100)

    with tunnel("forge.test", f"127.0.0.1:{served(echo)}") as way:
        client, said = connected(way, "forge.test:443")
        with client:
            client.sendall(b"hello")
            assert (said, client.recv(100)) == ("HTTP/1.1 200 Connection established", b"HELLO")
    assert (way.sent, way.story) == (5, "")


def test_the_tunnel_resolves_every_other_name_and_says_why_not():
    port = served(lambda connection: (connection.sendall(b"other"), connection.recv(1)))
    with tunnel("forge.test", "127.0.0.1:1") as way:
        client, said = connected(way, f"localhost:{port}")
        with client:
            assert (said, client.recv(100)) == ("HTTP/1.1 200 Connection established", b"other")
        client, said = connected(way, "forge.test:443")
        client.close()
    assert said == "HTTP/1.1 502 Connection refused"


def test_the_tunnel_tells_of_a_connection_that_the_other_side_cut():
    def cut(connection):
        connection.recv(2_000_000, socket.MSG_WAITALL)

    with tunnel("forge.test", f"127.0.0.1:{served(cut)}") as way:
        client, _said = connected(way, "forge.test:443")
        with client:
            client.sendall(bytes(2_000_000))
            assert client.recv(1) == b""
    assert way.story == " The other side closed the connection after 2.0 MB and 0 s."


def test_a_program_that_is_missing_or_hangs_is_named():
    with pytest.raises(StackError, match=r"no-such-program is not installed on this host"):
        LocalRunner()(["no-such-program"])
    with pytest.raises(StackError, match=r"sleep 5 did not end within 0 s"):
        LocalRunner(timeout=0.05)(["sleep", "5"])
    assert LocalRunner(environment={"A": "1"})(["sh", "-c", "echo $A$B"], environment={"B": "2"}).stdout == "12\n"
