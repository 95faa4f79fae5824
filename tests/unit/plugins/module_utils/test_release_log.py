from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._helm import Release
from ansible_collections.railiance.stack.plugins.module_utils._release_log import Errors, suspicious_lines
from unit.fakes import FakeKube

LOG = """\
INFO started
[2026-11-21 10:00:00 +0000] [7] [ERROR] Worker timed out
Traceback (most recent call last):
  File "/app/views.py", line 3, in get
    raise ValueError("no")

ValueError: no
{"level": "error", "message": "gone"}
[2026-11-21 10:00:00 +0000] [7] [ERROR] Worker timed out
panic: nil
no ERRORS here
"""


def test_lines_that_look_like_errors():
    assert Errors().lines(LOG) == [
        "[2026-11-21 10:00:00 +0000] [7] [ERROR] Worker timed out",
        "Traceback: ValueError: no",
        '{"level": "error", "message": "gone"}',
        "panic: nil",
    ]


def test_what_is_harmless_and_what_else_counts():
    assert Errors(["INFO", "Traceback"], ["ValueError"]).lines(LOG) == ["INFO started"]


def test_a_traceback_that_is_cut_off():
    assert Errors().lines("Traceback (most recent call last):\n  File x") == ["Traceback (most recent call last):"]


def test_a_pattern_that_is_none():
    with pytest.raises(StackError, match=r"'\(' is no regular expression: .* Correct log_patterns or log_ignore"):
        Errors(ignore=["("])


def deployment(image):
    container = {"name": "app", "image": image, "envFrom": [{"secretRef": {"name": "shop-env"}}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "shop"}}, "template": {"spec": {"containers": [container]}}},
    }


def pod(name, image, restarts=0, **meta):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "shop"}, **meta},
        "spec": {"containers": [{"name": "app", "image": image}]},
        "status": {"containerStatuses": [{"name": "app", "restartCount": restarts}]},
    }


def test_only_the_new_pods_count_and_secrets_are_hidden():
    value = base64.b64encode(b"hunter22").decode()
    metadata = {"name": "shop-env", "namespace": "shop"}
    kube = FakeKube(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"K": value}},
        pod("new", "i@2", restarts=3),
        pod("old", "i@1"),
        pod("ending", "i@2", deletionTimestamp="2026-11-21T10:00:00Z"),
    )
    for name in ("new", "old", "ending"):
        kube.pod_logs["shop", name] = f"ERROR in {name}: key hunter22 is wrong"
    release = Release("shop", "shop", 2, "deployed", json.dumps(deployment("i@2")))
    assert suspicious_lines(kube, "shop", release, Errors()) == [
        "container app of Pod new was restarted 3 times",
        "ERROR in new: key ******** is wrong",
    ]
