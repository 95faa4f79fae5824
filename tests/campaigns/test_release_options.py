# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an entry may ask for beside its image, as the served application has it. One story, in order."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._http import Http
from ansible_collections.railiance.stack.plugins.module_utils._session import Session
from shop import Application, example_with
from sops import encrypted

APP = "rel-options"
TREE = f"/home/operator/{APP}"
SECOND = f"{APP}-too.lab.test"
LOGIN = f"{APP}-login"
BUNDLE = "docker-archive:/opt/railiance/bundle/base-images"
ENTRY = {
    "extra_hosts": [SECOND],
    "image": {
        "build_args": {"NODE_IMAGE": f"{BUNDLE}/node-20-slim.tar", "PYTHON_IMAGE": f"{BUNDLE}/python-3.13-slim.tar"},
        "build_secrets": {"build_ca": "/etc/ssl/certs/ca-certificates.crt"},
    },
    "database": {"cluster": "apps-pg"},
    "media": {"size": "64Mi"},
    "valkey": True,
    "seed": {"command": "seed_vergabearten", "idempotent": True, "production_safe": True},
}
TENDER = {"auftraggeber": "Smoke", "angebotsfrist": "2031-01-01T12:00"}
DIGEST = "import hashlib, os; print(hashlib.sha256(os.environ['SMTP_PASSWORD'].encode()).hexdigest())"
#: Logs in to Valkey as the application's user, and writes a key below its prefix and one beside it.
VALKEY = """
import os, socket
from urllib.parse import urlsplit
url, prefix = urlsplit(os.environ["VALKEY_URL"]), os.environ["VALKEY_PREFIX"]
with socket.create_connection((url.hostname, url.port or 6379), 5) as connection:
    answers = connection.makefile("rb")
    for words in (f"AUTH {url.username} {url.password}", f"SET {prefix}x 1", "SET other:x 1", f"DEL {prefix}x"):
        connection.sendall(words.encode() + b"\\r\\n")
        print(answers.readline().split()[0].decode())
"""


class Tenders(Application):
    """The example in Django, from a repository of its own on the node."""

    example = "vergabe-teilnahme"

    def run(self, code):
        """A piece of Python in the pod that serves."""
        packed = base64.b64encode(code.encode()).decode()
        return self.kubectl(f"-n {APP} exec deploy/{APP} -- sh -c 'echo {packed} | base64 -d | python -'").strip()


class Visitor(Session):
    """Somebody who is logged in, and can send files and fetch them."""

    def upload(self, page, name, content):
        """Through the page's own form; returns the address of the document."""
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.get(page).text)[1]
        parts = {'"csrfmiddlewaretoken"': token.encode(), f'"datei"; filename="{name}"': content}
        body = b"".join(
            f"--limit\r\nContent-Disposition: form-data; name={key}\r\n\r\n".encode() + value + b"\r\n"
            for key, value in parts.items()
        )
        headers = {
            "Content-Type": "multipart/form-data; boundary=limit",
            "Referer": self._base + page,
            "Origin": self._base,
        }
        answer = self._request("POST", f"{page}unterlagen/", headers, body + b"--limit--\r\n")
        assert answer.status == 302, answer.text
        return re.search(r'"(/ausschreibungen/unterlagen/\d+/)"', self.get(page).text)[1]


@pytest.fixture(scope="module")
def http(lab):
    return Http(ca_file=lab["ca_file"], address=lab["node_address"])


@pytest.fixture(scope="module")
def password():
    return secrets.token_urlsafe(18)


@pytest.fixture(scope="module")
def visitor(http, password):
    def send(method, url, headers, body):
        return http.request(method, url, headers=headers, body=body)

    def log_in(site):
        found = Visitor(site, send)
        assert found.submit("/anmelden/", {"username": "smoke", "password": password}) != "/anmelden/"
        return found

    return log_in


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Encrypt a value for the application; the arguments of a run that reads it."""
    folder = tmp_path_factory.mktemp("sops")

    def run(value):
        return ("-e", json.dumps(encrypted(folder, {"apps": {APP: {"SMTP_PASSWORD": value}}})))

    return run


@pytest.fixture(scope="module")
def tenders(task, node, kubectl, playbook, lab, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tenders")
    with example_with(Tenders, task, node, kubectl, playbook, lab, folder, APP, ENTRY) as tenders:
        yield tenders


def test_everything_an_entry_asks_for_is_there_and_outlasts_a_promotion_and_a_removal(
    tenders, task, node, lab, http, visitor, password, opened
):
    def promote(commit, value):
        run = tenders.play("promote", "-e", f"commit={commit}", "-v", *opened(value))
        assert run.rc == 0, run.messages
        assert value not in run.output
        assert tenders.run(DIGEST) == hashlib.sha256(value.encode()).hexdigest()
        assert tenders.run(VALKEY).split() == ["+OK", "+OK", "-NOPERM", ":1"]
        return run

    first = lab["apps"]["vergabe-teilnahme"]["commit"]
    values = [secrets.token_urlsafe(24) for turn in range(3)]
    promote(first, values[0])
    login = {"username": "smoke", "password": password}
    made = task("kube_secret", name=LOGIN, namespace=APP, secret_data=login)
    assert not made.get("failed"), made.get("msg")
    for verb, *arguments in (("seed",), ("superuser", "-e", "username=smoke", "-e", f"secret={LOGIN}")):
        run = tenders.play(verb, *arguments, *opened(values[0]))
        assert run.rc == 0, run.messages

    # Another host on the same certificate; its forms are trusted as well.
    too = visitor(f"https://{SECOND}")
    tender = {**TENDER, "vergabeart": tenders.sql("select min(id) from ausschreibungen_vergabeart")}
    page = too.submit("/ausschreibungen/neu/", {**tender, "titel": "Bleibt"})
    content = secrets.token_bytes(5000)
    document = too.upload(page, "angebot.pdf", b"%PDF-1.7\n" + content)
    assert too.get(document).body.endswith(content)

    tenders.describe(
        smoke_login={"path": "/anmelden/", "secret": LOGIN},
        smoke_record={
            "create": {"path": "/ausschreibungen/neu/", "fields": {**tender, "titel": "{mark}"}},
            "remove": {"path": "{location}loeschen/"},
        },
    )
    node(f"cd {TREE} && date > CAMPAIGN && git add -A && git -c user.name=t -c user.email=t@lab.test commit -qm next")
    image = tenders.image()
    looked = promote(node(f"git -C {TREE} rev-parse HEAD").strip(), values[1])
    assert tenders.image() != image
    assert password not in looked.output
    assert visitor(tenders.site).get(document).body.endswith(content)

    removed = tenders.play("remove")
    assert removed.rc == 0, removed.messages
    promote(first, values[2])
    assert tenders.image() == image
    assert visitor(tenders.site).get(document).body.endswith(content)
    # What each look from outside made is gone again.
    assert "smoke-" not in visitor(tenders.site).get("/ausschreibungen/").text


def test_a_login_that_fails_stops_the_release(tenders, task, node, opened, lab):
    task("kube_secret", name=LOGIN, namespace=APP, secret_data={"username": "smoke", "password": "not-" + LOGIN})
    image = tenders.image()
    failed = tenders.play("promote", "-e", f"commit={node(f'git -C {TREE} rev-parse HEAD').strip()}", *opened("other"))
    assert failed.rc != 0
    assert "log in at" in failed.messages[0]
    assert tenders.image() == image


def test_a_private_application_answers_in_the_cluster_only(tenders, node, kubectl, http, lab, opened):
    tenders.describe(host="", extra_hosts=[], private=True)
    run = tenders.play("promote", "-e", f"commit={lab['apps']['vergabe-teilnahme']['commit']}", *opened("inside"))
    assert run.rc == 0, run.messages
    assert kubectl(f"get ingress,certificate -n {APP} -o name") == ""
    address = kubectl(f"get service -n {APP} {APP} -o jsonpath={{.spec.clusterIP}}")
    ask = f"r.Request('http://{address}/health/', headers={{'Host': '{APP}.{APP}'}})"
    code = f"import urllib.request as r; print(r.urlopen({ask}, timeout=10).status)"
    assert node("python3 -", code.encode()).strip() == "200"
