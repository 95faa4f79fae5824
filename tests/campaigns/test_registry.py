"""Faults of a registry, each provoked on a real Gitea, and where the token is never seen.

``make campaigns CAMPAIGN=registry``; what was measured is in docs/campaigns/registry.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time

import pytest
from conftest import INVENTORY, ROOT
from forge import NODE_CA, PRIVATE, PUBLIC, running_forge


@pytest.fixture(scope="module")
def forge(lab, node, kubectl):
    with running_forge(lab, node, kubectl, "reg-faults") as running:
        yield running
        running.remove_image(*(f"reg-faults/{n}:1" for n in ("big", "small", "shared", "slow", "secret")))


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
    assert refused["msg"].startswith(f"Could not push {image} to {forge.host}/{PUBLIC}/big:b16b16b: writing blob: ")
    assert refused["msg"].endswith(
        "StatusCode: 403. The account may push, so this is a limit: the organisation's packages take as much as the"
        " registry allows (Gitea: LIMIT_TOTAL_OWNER_SIZE, LIMIT_SIZE_CONTAINER). Remove versions with the playbook"
        " registry_prune, or raise it."
    )
    assert forge.versions(PUBLIC, "big") == []


def test_a_full_volume_and_the_push_after_it(forge, push):
    image = forge.image("reg-faults/small:1", 6_000_000, 400_000)
    with forge.full_disk(), forge.noted() as asked:
        failed = push("f111111", image)
    assert statuses(asked).count("500") >= 3, "every attempt met the full volume"
    assert failed["msg"].startswith(f"Could not push {image} to {forge.host}/{PRIVATE}/site:f111111: writing blob: ")
    assert failed["msg"].endswith(
        "received unexpected HTTP status: 500 Internal Server Error. The registry could not store it, most often"
        " because its volume is full: look at its log and its disk (kubectl -n gitea exec deployment/gitea -- df -h),"
        " then run this again; what arrived is kept."
    )
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


def test_two_pushes_of_one_layer_at_once(forge, push):
    """Five rounds; whatever the registry answers one of them, both end with their tag."""
    for number in range(5):
        image = forge.image("reg-faults/shared:1", 2_000_000, seed=f"shared-{number}")
        answers = {}

        def run(name, image=image, number=number, keep=answers.__setitem__):
            keep(name, push(f"{number:07x}", image, f"{PRIVATE}/{name}"))

        threads = [threading.Thread(target=run, args=(name,)) for name in ("left", "right")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {name: list(a["tags"].values()) for name, a in answers.items()} == {
            "left": ["created"],
            "right": ["created"],
        }
    failures = [line for line in forge.access_log() if line.endswith("500") and ("/left/" in line or "/right/" in line)]
    print(f"server errors on concurrent uploads: {len(failures)}")


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


def play_of(options, folder, **variables):
    play = {
        "hosts": "stack",
        "become": True,
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": "/opt/railiance/venv/bin/python", **variables},
        "tasks": [{"name": "Push", "railiance.stack.gitea_image_push": options}],
    }
    file = folder / "play.yml"
    file.write_text(json.dumps([play]))
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
    play = play_of(arguments(forge, "cacaca1", image), tmp_path, ansible_python_interpreter=f"{tools}/python")
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
