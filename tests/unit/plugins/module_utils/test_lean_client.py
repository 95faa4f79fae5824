"""The Kubernetes client behaves as ever and loads a class when it is asked for; in a process of its own each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FIRST = """
from ansible_collections.railiance.stack.plugins.module_utils._lean_client import import_client
import_client()
"""
LOADED = "import sys; print(len([m for m in sys.modules if m.startswith('kubernetes.client.models.')]))\n"


def run(program: str, path: Path | None = None) -> str:
    found = os.pathsep.join([str(path), *sys.path] if path else sys.path)
    done = subprocess.run(
        [sys.executable, "-c", FIRST + program],
        env={**os.environ, "PYTHONPATH": found},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_model_is_loaded_for_nothing() -> None:
    assert run(f"import kubernetes, kubernetes.dynamic\n{LOADED}") == "0\n"


def test_a_class_is_there_when_it_is_asked_for() -> None:
    said = run(
        "from kubernetes.client import CoreV1Api, V1Pod, ApiClient, rest\n"
        "import kubernetes.client\n"
        "print(CoreV1Api.__module__, V1Pod.__module__, rest.__name__, kubernetes.client.models.V1Pod is V1Pod)\n"
    )
    assert said.split() == [
        "kubernetes.client.api.core_v1_api",
        "kubernetes.client.models.v1_pod",
        "kubernetes.client.rest",
        "True",
    ]


def test_what_is_not_in_the_client_is_missed_as_ever() -> None:
    said = run(
        "import kubernetes.client\n"
        "try:\n    from kubernetes.client import V1Nothing\nexcept ImportError as error:\n    print(error)\n"
        "try:\n    kubernetes.client.V1Nothing\nexcept AttributeError as error:\n    print(error)\n"
    )
    assert "cannot import name 'V1Nothing' from 'kubernetes.client'" in said
    assert "module 'kubernetes.client' has no attribute 'V1Nothing'" in said


def test_an_answer_can_still_be_read_into_its_model() -> None:
    said = run(
        "from kubernetes.client import ApiClient\n"
        "from types import SimpleNamespace\n"
        'answer = SimpleNamespace(data=\'{"kind": "Pod", "metadata": {"name": "web-0"}}\')\n'
        "print(ApiClient().deserialize(answer, 'V1Pod').metadata.name)\n"
    )
    assert said == "web-0\n"


def test_a_version_that_imports_nothing_ahead_is_left_as_it_is(tmp_path: Path) -> None:
    package = tmp_path / "kubernetes" / "client"
    package.mkdir(parents=True)
    (tmp_path / "kubernetes" / "__init__.py").write_text("from . import client\n")
    (package / "__init__.py").write_text("def __getattr__(name):\n    return f'own {name}'\n")
    assert run("import kubernetes\nprint(kubernetes.client.V1Pod)\n", tmp_path) == "own V1Pod\n"
