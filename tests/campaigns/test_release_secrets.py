# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of a release are looked for everywhere but in their Secrets, after a release and after each rotation."""

from __future__ import annotations

import base64
import gzip
import json
import secrets
import subprocess
from contextlib import ExitStack, contextmanager

import pytest
from shop import shop_with

APP = "rel-secrets"

TOOLS = f"/var/tmp/{APP}-trace"  # noqa: S108
TRACE = f"{TOOLS}/trace"
KINDS = "deploy,rs,pods,jobs,cronjobs,cm,svc,ingress,certificate,certificaterequest,events"


@pytest.fixture(scope="module")
def shop(task, node, kubectl, playbook, lab, tmp_path_factory):
    with shop_with(APP, task, node, kubectl, playbook, lab, tmp_path_factory.mktemp("shop"), "initial", "data") as shop:
        yield shop


@pytest.fixture(scope="module")
def traced(node):
    """A Python for the modules that notes every program they start, with arguments and environment."""
    node(
        f"sudo sh -eu -c 'mkdir -p {TOOLS}; cd {TOOLS}; apt-get download strace libunwind8 >/dev/null 2>&1;"
        " for p in *.deb; do dpkg -x $p .; done'"
    )
    library = node(f"dirname $(sudo find {TOOLS} -name 'libunwind-ptrace.so.0' | head -n 1)").strip()
    wrapper = (
        f"#!/bin/sh\nLD_LIBRARY_PATH={library} exec {TOOLS}/usr/bin/strace -f -qq -e trace=execve -s 100000 -v -A"
        f' -o {TRACE} -E LD_LIBRARY_PATH= /opt/railiance/venv/bin/python "$@"\n'
    )
    node(f"sudo install -m 0755 /dev/stdin {TOOLS}/python", wrapper.encode())
    yield ("-e", f"stack_python={TOOLS}/python", "-vvvv", "--diff")
    node(f"sudo rm -rf {TOOLS}")


@contextmanager
def watched(lab, folder):
    """Every state that pods, Jobs and events of the namespace go through meanwhile."""
    ssh = ["ssh", "-F", lab["ssh_config"], "node1", "sudo timeout 600 k3s kubectl get --watch -o json"]
    files = {kind: folder / f"{kind}.json" for kind in ("pods", "jobs", "events")}
    seen = {}
    with ExitStack() as stack:
        for kind, file in files.items():
            command = [*ssh[:-1], f"{ssh[-1]} -n {APP} {kind}"]
            watching = subprocess.Popen(command, stdout=stack.enter_context(file.open("w")), stderr=subprocess.DEVNULL)
            stack.callback(watching.wait)
            stack.callback(watching.terminate)
        yield seen
    seen |= {kind: file.read_text() for kind, file in files.items()}


def values(kubectl, name, *keys):
    """The secret values themselves."""
    data = kubectl(f"get secret -n {APP} {name} -o json")["data"]
    return [part for key in keys if key in data for part in base64.b64decode(data[key]).decode().split(",") if part]


def test_no_secret_of_a_release_is_anywhere_but_in_its_secret(shop, traced, node, kubectl, lab, tmp_path):
    canary = f"canary-{secrets.token_hex(16)}"
    shop.describe(secret_environment={"SMTP_PASSWORD": canary})
    runs, hidden = [], {canary}
    with watched(lab, tmp_path) as seen:
        for verb, *arguments in (
            ("promote", f"image={shop.references['initial']}"),
            ("promote", f"image={shop.references['data']}"),
            ("rotate", "rotate=secret_key"),
            ("rotate", "rotate=old_keys", "keep_days=0"),
            ("rotate", "rotate=database_password"),
            ("restart",),
            ("rollback",),
        ):
            run = shop.play(verb, *(word for one in arguments for word in ("-e", one)), *traced)
            assert run.rc == 0, run.messages
            runs.append(run)
            hidden |= {*values(kubectl, f"{APP}-env", "SECRET_KEY", "SECRET_KEY_FALLBACKS")}
            hidden |= {*values(kubectl, f"{APP}-db", "password")}
    assert len(hidden) == 5, "the canary, two keys, two passwords"
    helm = kubectl(f"get secret -n {APP} -l owner=helm -o json")["items"]
    kept = [gzip.decompress(base64.b64decode(base64.b64decode(one["data"]["release"]))).decode() for one in helm]
    told = {
        "output, diffs and results": "".join(run.output for run in runs),
        "run reports": json.dumps([run.report for run in runs]),
        "manifests": json.dumps(kubectl(f"get {KINDS} -n {APP} -o json")),
        **{f"{kind}, watched": text for kind, text in seen.items()},
        "Helm releases": "".join(kept) + json.dumps([one["metadata"] for one in helm]),
        "logs of pods": kubectl(f"logs -n {APP} -l app.kubernetes.io/instance={APP} --all-containers --tail=-1"),
        "journal of the node": node("sudo journalctl --since '-20 min' --no-pager"),
    }
    assert all(told.values()), {where: len(text) for where, text in told.items()}
    forms = [form for value in hidden for form in (value, base64.b64encode(value.encode()).decode())]
    hits = [where for where, text in told.items() for form in forms if form in text]
    assert int(node(f"sudo grep -c 'execve.*helm.*upgrade' {TRACE}")) > 0, "the trace saw Helm"
    searched = "\n".join(forms).encode()
    # The patterns go in by standard input: the search itself must not put them on a command line.
    if node(f"sudo grep -c -F -f - {TRACE} || true", searched).strip() != "0":
        hits.append("arguments or environment of a program on the node")
    hits += node("sudo grep -rlsF -f - /tmp /dev/shm /var/tmp /var/log /root /etc/railiance || true", searched).split()
    assert hits == []
    print({where: len(text) for where, text in told.items()})
