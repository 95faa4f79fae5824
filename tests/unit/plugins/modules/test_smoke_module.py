"""smoke against a real server on this machine: plain HTTP by way of a Service's address."""

from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator
from ansible_collections.railiance.stack.plugins.module_utils._smoke import credentials_of
from ansible_collections.railiance.stack.plugins.modules.smoke import work
from unit.fakes import FakeKube, FakeModule


def smoke(port, check=False, **options):
    params = {
        "url": f"http://127.0.0.1:{port}",
        "address": None,
        "host": "shop.example.org",
        "ca_file": None,
        "timeout": 0,
        "checks": [{"path": "/health/", "status": 200, "headers": {}}],
        "login": None,
        "record": None,
        **options,
    }
    return work(FakeModule(check_mode=check, **params), FakeKube)


def test_inside_the_cluster_the_application_sees_its_public_host(server):
    [found] = smoke(server.server_port)
    assert found.ok
    assert server.seen == [("/health/", "shop.example.org")]
    assert server.schemes == ["https"]


KEYS = {"namespace": "shop", "name": "login", "username_key": "username", "password_key": "password"}


def secret(data):
    metadata = {"name": "login", "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}


def test_credentials_of_a_secret():
    assert credentials_of(FakeKube(secret({"username": "ann", "password": "p"})), KEYS) == ("ann", "p")


@pytest.mark.parametrize("objects", [[], [secret({"username": "ann"})]], ids=["none", "half"])
def test_credentials_that_are_missing(objects):
    with pytest.raises(NeedsOperator) as caught:
        credentials_of(FakeKube(*objects), KEYS)
    assert caught.value.message == (
        "Secret shop/login does not exist or lacks one of username and password, so nobody can log in."
    )


def test_check_mode_logs_nobody_in(server):
    login = {"path": "/login/", "secret": KEYS, "username_field": "username", "password_field": "password"}
    found = smoke(server.server_port, check=True, login=login)
    assert [one.name.split()[0] for one in found] == ["GET"]
    assert [path for path, host in server.seen] == ["/health/"]
