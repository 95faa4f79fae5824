"""What tests on the lab's server share: playbooks, single tasks, commands on the node, kubectl.

`tests/stack` runs in file order on one server, as an operator would go: `make stack` resets the server first.
`tests/integration` takes the converged server that `tests/stack` leaves, one module a file, in namespaces of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import server


@pytest.fixture(scope="session")
def lab() -> dict[str, Any]:
    return server.read_lab()


@pytest.fixture(scope="session")
def playbook() -> Callable[..., server.Run]:
    return server.playbook


@pytest.fixture(scope="session")
def tasks() -> Callable[..., list[dict[str, Any]]]:
    return server.tasks


@pytest.fixture(scope="session")
def task() -> Callable[..., dict[str, Any]]:
    return server.task


@pytest.fixture(scope="session")
def node(lab: dict[str, Any]) -> Callable[..., str]:
    return server.node_of(lab)


@pytest.fixture(scope="session")
def kubectl(node: Callable[..., str]) -> Callable[..., Any]:
    return server.kubectl_of(node)
