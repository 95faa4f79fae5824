"""Faults of a registry, each provoked on a real Gitea, and where the token is never seen.

``make campaigns CAMPAIGN=registry``; what was measured is in docs/campaigns/registry.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import subprocess
import threading
import time

import pytest
from forge import NODE_CA, PRIVATE, PUBLIC, running_forge
from server import INVENTORY, ROOT, play


@pytest.fixture(scope="module")
def forge(lab, node, kubectl):
    with running_forge(lab, node, kubectl, "reg-faults") as running:
        yield running
        running.remove_image(*(f"reg-faults/{n}:1" for n in ("big", "small", "shared", "cut", "slow", "secret")))


@pytest.fixture(scope="module")
def push(task, forge):
    def run(tag, source, repository=f"{PRIVATE}/site", **options):
        return task("gitea_image_push", **arguments(forge, tag, source, repository), **options)

    return run


def arguments(forge, tag, source, repository=f"{PRIVATE}/site"):
    return {
        "registry": forge.host,
        "repository": repository,
        "tags": [tag],
        "source": source,
        "token_file": f"{forge.folder}/token-writer",
        "ca_file": NODE_CA,
    }


def statuses(asked):
    return [line.split()[-1] for line in asked]


def manifests_put(asked):
    return [line for line in asked if line.startswith("PUT") and "/manifests/" in line]


def masked(said):
    """Without what differs from run to run: sessions, digests, addresses, ports, bytes and seconds."""
    for pattern, name in MASKS:
        said = re.sub(pattern, name, said)
    return said


MASKS = (
    (r"sha256(:|%3A)[0-9a-f]{64}", "DIGEST"),
    (r"(?<=/uploads/)[0-9a-z-]+", "SESSION"),
    (r"\d+\.\d MB and \d+ s", "SIZE and TIME"),
    # skopeo has many words for one thing.
    (r'": (unexpected EOF|EOF|use of closed network connection|write tcp \S+: [a-z: ]+)\.', '": CUT.'),
)
STORE_FAILED = (
    "writing blob: uploading layer to https://{host}/v2/{repository}/blobs/uploads/SESSION?digest=DIGEST: received"
    " unexpected HTTP status: 500 Internal Server Error. The registry could not store it, most often because its"
    " volume is full: look at its log and its disk (kubectl -n gitea exec deployment/gitea -- df -h), then run this"
    " again; what arrived is kept."
)


def not_stored(forge, image, tag, repository=f"{PRIVATE}/site"):
    said = STORE_FAILED.format(host=forge.host, repository=repository)
    return f"Could not push {image} to {forge.host}/{repository}:{tag}: {said}"


def test_a_registry_that_does_not_answer_head_is_healthy(forge, node):
    said = node(f"python3 - <<'END'\n{_HEAD.format(host=forge.host, ca=NODE_CA)}\nEND")
    assert said.split() == ["405", "401"]


_HEAD = """
import http.client, ssl
context = ssl.create_default_context(cafile="{ca}")
for method in ("HEAD", "GET"):
    connection = http.client.HTTPSConnection("{host}", context=context)
    connection.request(method, "/v2/")
    print(connection.getresponse().status)
"""


def test_the_organisation_s_limit(forge, push):
    image = forge.image("reg-faults/big:1", 125_000_000)
    with forge.noted() as asked:
        refused = push("b16b16b", image, f"{PUBLIC}/big")
    assert "403" in statuses(asked)
    assert masked(refused["msg"]) == (
        f"Could not push {image} to {forge.host}/{PUBLIC}/big:b16b16b: writing blob: uploading layer to"
        f" https://{forge.host}/v2/{PUBLIC}/big/blobs/uploads/SESSION?digest=DIGEST: StatusCode: 403."
        " The account may push, so this is a limit: the organisation's packages take as much as the registry allows"
        " (Gitea: LIMIT_TOTAL_OWNER_SIZE, LIMIT_SIZE_CONTAINER). Remove versions with the playbook registry_prune, or"
        " raise it."
    )
    assert forge.versions(PUBLIC, "big") == []


def test_a_full_volume_and_the_push_after_it(forge, push):
    image = forge.image("reg-faults/small:1", 6_000_000, 400_000)
    with forge.full_disk(), forge.noted() as asked:
        failed = push("f111111", image)
    assert statuses(asked).count("500") >= 3, "every attempt met the full volume"
    assert masked(failed["msg"]) == not_stored(forge, image, "f111111")
    assert forge.versions(PRIVATE, "site") == []
    assert push("f111111", image)["tags"] == {"f111111": "created"}


def test_a_server_error_is_repeated(forge, push):
    """The volume is freed as soon as the first upload has failed: the push goes on by itself."""
    image = forge.image("reg-faults/small:1", 6_000_000, 400_000, seed="again")
    with forge.full_disk() as free, forge.noted() as asked:
        before = len(forge.access_log())
        answer = {}
        pushing = threading.Thread(target=lambda: answer.update(push("f222222", image)))
        pushing.start()
        while pushing.is_alive() and "500" not in statuses(forge.access_log(before)):
            pass
        free()
        pushing.join()
    assert answer["tags"] == {"f222222": "created"}, answer
    assert "500" in statuses(asked)


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive"])
def test_every_kind_of_source(forge, task, node, transport):
    """Foretold, done, repeated, and looked at before it is sent; the archive's own format is kept."""
    image = forge.image("reg-faults/shared:1", 400_000, "app/.env=API_TOKEN=abc\n", seed=transport)
    source = f"{transport}:{forge.folder}/{transport}" + (
        ":localhost/shared:1" if transport == "docker-archive" else ""
    )
    node(f"sudo skopeo copy --quiet {image} {source}")
    options = arguments(forge, "0d1c5f7", source, f"{PRIVATE}/from-{transport}")
    refused = task("gitea_image_push", check=True, **options)
    assert [f["detail"] for f in refused["findings"] if f["severity"] == "fatal"] == ["/app/.env in layer 2"], refused
    options["contract"] = {"allow_files": ["app/.env"]}
    foretold = task("gitea_image_push", check=True, **options)
    done, again = task("gitea_image_push", **options), task("gitea_image_push", **options)
    assert [foretold["changed"], done["changed"], again["changed"]] == [True, True, False], (foretold, done, again)
    assert forge.digest(f"{PRIVATE}/from-{transport}:0d1c5f7", "writer") == done["digest"] == again["digest"]


def test_two_pushes_of_one_layer_at_once(forge, push):
    """Three rounds; whatever the registry answers one of them, both end with their tag."""
    with forge.noted() as asked:
        for number in range(3):
            image = forge.image("reg-faults/shared:1", 2_000_000, seed=f"shared-{number}")
            answers = {}

            def run(name, image=image, number=number, keep=answers.__setitem__):
                keep(name, push(f"{number:07x}", image, f"{PRIVATE}/{name}"))

            threads = [threading.Thread(target=run, args=(name,)) for name in ("left", "right")]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert {name: a["tags"] for name, a in answers.items()} == {
                "left": {f"{number:07x}": "created"},
                "right": {f"{number:07x}": "created"},
            }
    print(f"server errors on concurrent uploads: {statuses(asked).count('500')}")


def test_a_server_error_on_one_blob_is_repeated(forge, push):
    """This Gitea takes concurrent uploads of one blob; older ones answer one of them with 500, as something between
    the ingress and Gitea does here. Once, the push goes on by itself; always, it names the next step."""
    image = forge.image("reg-faults/shared:1", 500_000, seed="between")
    with forge.server_errors(1), forge.noted() as asked:
        done = push("fee1111", image)
    assert done["tags"] == {"fee1111": "created"}, done
    assert forge.digest(f"{PRIVATE}/site:fee1111", "writer") == done["digest"]
    assert not [line for line in asked if line.endswith("500")], "Gitea itself failed nowhere"
    image = forge.image("reg-faults/shared:1", 500_000, seed="between always")
    with forge.server_errors(10**6), forge.noted() as asked:
        failed = push("fee2222", image)
    assert masked(failed["msg"]) == not_stored(forge, image, "fee2222")
    assert manifests_put(asked) == []
    assert "fee2222" not in forge.versions(PRIVATE, "site")


def test_a_cut_connection_is_repeated_and_a_later_push_sends_only_what_is_missing(forge, push):
    image = forge.image("reg-faults/cut:1", 8_000_000, 2_000_000)
    with forge.proxy(cut_after=4_000_000) as address, forge.noted() as asked:
        failed = push("cafe123", image, address=address)
    assert masked(failed["msg"]) == (
        f"Could not push {image} to {forge.host}/{PRIVATE}/site:cafe123: writing blob: Patch"
        f' "https://{forge.host}/v2/{PRIVATE}/site/blobs/uploads/SESSION": CUT. The other side closed the connection'
        " after SIZE and TIME. A proxy cut the upload of a large layer: raise the read timeout of its entry point"
        " (Traefik: respondingTimeouts.readTimeout), then run this again; what arrived is kept."
    )
    assert manifests_put(asked) == []
    assert "cafe123" not in forge.versions(PRIVATE, "site")
    with forge.proxy(cut_after=4_000_000, times=1) as address:
        done = push("cafe123", image, address=address)
    assert done["tags"] == {"cafe123": "created"}
    assert forge.digest(f"{PRIVATE}/site:cafe123", "writer") == done["digest"]


@contextlib.contextmanager
def distribution(forge, node):
    """Debian's docker-registry on the node, with a login and a certificate of its own. Its name and address."""
    place, name, port = f"{forge.folder}/distribution", "registry.no-such-name.test", 15443
    settings = f"""
version: 0.1
storage: {{filesystem: {{rootdirectory: {place}/data}}}}
http: {{addr: "127.0.0.1:{port}", tls: {{certificate: {place}/crt, key: {place}/key}}}}
auth: {{htpasswd: {{realm: test, path: {place}/users}}}}
log: {{accesslog: {{disabled: false}}}}
"""
    words = secrets.token_hex(8)
    script = f"""
mkdir -p {place}/data
cd {place}
apt-get download docker-registry >/dev/null 2>&1
dpkg -x *.deb .
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test -keyout key -out crt \\
  -addext subjectAltName=DNS:{name} 2>/dev/null
perl -e 'print "writer:", crypt("{words}", q($2y$05$abcdefghijklmnopqrstuu)), "\\n"' > users
(umask 077; echo writer:{words} > token; echo writer:wrong > wrong)
cat > config.yml <<'END'{settings}END
systemd-run --quiet --collect --unit {forge.namespace}-distribution $PWD/usr/bin/docker-registry serve $PWD/config.yml
for i in $(seq 200); do ss -Hltn sport = :{port} | grep -q . && exit 0; sleep 0.05; done; exit 1
"""
    node("sudo sh -eu", script.encode())
    try:
        yield f"{name}:{port}", f"127.0.0.1:{port}", place
    finally:
        node(f"sudo systemctl stop {forge.namespace}-distribution; sudo rm -rf {place}")


def test_a_registry_of_another_make(forge, task, node):
    """Foretold, done, repeated, tagged, refused; a login it does not know, all without the packages API."""
    one, two = (forge.image(f"reg-faults/{n}:1", 1_000_000, seed=n) for n in ("shared", "small"))
    with distribution(forge, node) as (host, address, place):

        def push(tags, source=one, *, login="token", check=False, **options):
            way = {"registry": host, "address": address, "ca_file": f"{place}/crt", "token_file": f"{place}/{login}"}
            return task(
                "gitea_image_push", check=check, repository="apps/site", tags=tags, source=source, **way, **options
            )

        def noted():
            log = node(f"sudo journalctl -u {forge.namespace}-distribution -o cat --no-pager")
            return re.findall(r'"(GET|HEAD|POST|PUT|PATCH|DELETE) (/v2/\S*) HTTP', log)

        # The journal may hold an earlier run.
        before = len(noted())
        foretold = push(["0d1c5f7", "latest"], check=True)
        assert {method for method, _path in noted()[before:]} == {"GET"}
        done, again = push(["0d1c5f7", "latest"]), push(["0d1c5f7", "latest"])
        assert [foretold["changed"], done["changed"], again["changed"]] == [True, True, False], (foretold, done, again)
        assert foretold["plan"] == done["plan"]
        assert done["tags"] == {"0d1c5f7": "created", "latest": "created"}
        assert (done["page"], again["bytes_sent"]) == ("", 0)
        assert again["digest"] == done["digest"]
        before = len(noted())
        assert push(["0d1c5f7", "stable"])["tags"] == {"0d1c5f7": "unchanged", "stable": "created"}
        writes = [path for method, path in noted()[before:] if method not in ("GET", "HEAD")]
        assert writes == ["/v2/apps/site/manifests/stable"]
        refused = push(["0d1c5f7"], two)
        assert refused["msg"].startswith(f"{host}/apps/site:0d1c5f7 names other content already: sha256:")
        unknown = push(["0d1c5f7"], login="wrong")
        assert unknown["msg"] == (
            f"Account writer ({place}/wrong) may not read {host}/apps/site. Correct user name and password, and give"
            " the account the right to read in apps."
        )
        kept = f"{place}/data/docker/registry/v2/repositories/apps/site/_manifests/tags/stable/current/link"
        assert node(f"sudo cat {kept}").strip() == done["digest"], "as it lies on the registry's disk"


def left_behind(node):
    return node("sudo find /dev/shm /tmp -maxdepth 1 -name 'railiance-*'").split()


def test_nothing_stays_after_a_termination(forge, node, tmp_path):
    """The module is asked to stop while a layer is on its way: authfile and skopeo are gone, no tag names anything."""
    image = forge.image("reg-faults/slow:1", 6_000_000)
    with forge.proxy(bytes_a_second=300_000) as address:
        play = play_of({**arguments(forge, "deadbee", image), "address": address}, tmp_path)
        process = subprocess.Popen(play, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        deadline = time.monotonic() + 60
        pid = ""
        while not pid and time.monotonic() < deadline:
            pid = node("pgrep -f '^skopeo copy .*deadbee$' || true").strip()
        assert pid, "skopeo never began"
        [folder] = left_behind(node)
        assert node(f"sudo stat -c '%a %U' {folder} {folder}/auth.json").split() == ["700", "root", "600", "root"]
        parent = node(f"ps -o ppid= -p {pid}").strip()
        node(f"sudo kill -TERM {parent}")
        assert process.wait(60) != 0
    assert node("pgrep -f '^skopeo copy .*deadbee$' || true") == ""
    assert left_behind(node) == []
    assert "deadbee" not in forge.versions(PRIVATE, "site")


def play_of(options, folder, **keywords):
    task = {"name": "Push", "railiance.stack.gitea_image_push": options}
    file = folder / "play.yml"
    file.write_text(json.dumps([play(task, **keywords)]))
    return ["ansible-playbook", str(file), "-i", str(INVENTORY), "-vvvv", "--diff"]


def test_the_token_is_seen_nowhere(forge, node, tmp_path):
    """execve traced, most talkative output, files left behind, logs of the registry and of the node: no hit."""
    token = forge.tokens["writer"]
    tools, trace = f"{forge.folder}/tools", f"{forge.folder}/trace"
    node(
        f"sudo sh -eu -c 'mkdir -p {tools}; cd {tools}; apt-get download strace libunwind8 >/dev/null 2>&1;"
        " for p in *.deb; do dpkg -x $p .; done'"
    )
    library = node(f"dirname $(sudo find {tools} -name 'libunwind-ptrace.so.0' | head -n 1)").strip()
    wrapper = (
        f"#!/bin/sh\nLD_LIBRARY_PATH={library} exec {tools}/usr/bin/strace -f -qq -e trace=execve -s 100000 -v"
        f' -o {trace} -E LD_LIBRARY_PATH= /opt/railiance/venv/bin/python "$@"\n'
    )
    node(f"sudo install -m 0755 /dev/stdin {tools}/python", wrapper.encode())
    image = forge.image("reg-faults/secret:1", 500_000)
    play = play_of(arguments(forge, "cacaca1", image), tmp_path, vars={"ansible_python_interpreter": f"{tools}/python"})
    done = subprocess.run(
        play, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "ANSIBLE_PIPELINING": "true"}
    )
    assert done.returncode == 0, done.stdout
    assert int(node(f"sudo grep -c 'execve.*skopeo.*copy' {trace}")) > 0, "the trace saw the push"
    assert token not in done.stdout + done.stderr
    # The pattern goes in by standard input: the search itself must not put it on a command line.
    assert node(f"sudo grep -c -F -f - {trace} || true", token.encode()).strip() == "0"
    hits = node("sudo grep -rlsF -f - /tmp /dev/shm /var/tmp /var/log /root || true", token.encode()).split()
    assert hits == []
    assert token not in node("sudo journalctl --since '-10 min' --no-pager")
    assert token not in forge.kubectl(f"logs deployment/gitea -n {forge.namespace} -c gitea")
    assert left_behind(node) == []
