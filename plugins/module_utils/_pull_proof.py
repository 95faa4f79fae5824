# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proof that the cluster can pull an image: a disposable pod that does nothing else. Private to this collection."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._jobs import IMAGE_REASONS, Clock, short_hash
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref, Timeout

#: No image has it: the container does not start, and that is all that may happen to an image that is only pulled.
_NO_PROGRAM = "/railiance.stack-pull-proof-starts-nothing"
#: Seconds that a refused pull is given to get over it: the registry may just be restarting.
_PATIENCE = 8.0


@dataclass(frozen=True)
class Pulled:
    """What the node said.

    :param image_id: the image by digest, as the container runtime has it.
    :param seconds: from asking for the pod to the image being there.
    """

    node: str
    image_id: str
    seconds: float
    pull_secret: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "pulled": True,
            "node": self.node,
            "image_id": self.image_id,
            "seconds": round(self.seconds, 1),
            "pull_secret": self.pull_secret,
        }


def build_pod(image: str, namespace: str, pull_secret: str = "") -> Object:
    """A pod that makes the node ask the registry for the image, also when the node has it already."""
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "activeDeadlineSeconds": 600,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "image",
                "image": image,
                "imagePullPolicy": "Always",
                "command": [_NO_PROGRAM],
                "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}, "limits": {"memory": "32Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }
    if pull_secret:
        spec["imagePullSecrets"] = [{"name": pull_secret}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"pull-proof-{short_hash(image, time.time_ns())}",
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "railiance.stack", "railiance.io/purpose": "pull-proof"},
        },
        "spec": spec,
    }


def prove(
    kube: Kube, image: str, namespace: str, pull_secret: str = "", *, timeout: float = 300, clock: Clock | None = None
) -> Pulled:
    """Let the cluster pull ``image`` by digest and remove the pod again.

    :param pull_secret: name of a Secret in the namespace; empty pulls anonymously.
    :raises StackError: with the container runtime's own words when the pull fails.
    """
    clock = clock or Clock()
    pod = build_pod(image, namespace, pull_secret)
    ref = Ref.of(pod)
    if pull_secret and kube.get(Ref("v1", "Secret", pull_secret, namespace)) is None:
        raise NeedsOperator(
            f"{image} may not be pulled anonymously, and Secret {namespace}/{pull_secret} is missing.",
            "Name a Secret of type kubernetes.io/dockerconfigjson in pull_proof.pull_secret; role"
            " railiance.stack.git_access with git_access_register makes gitea-pull in Gitea's namespace.",
        )
    started = clock.now()
    kube.create(pod)
    try:
        return _follow(kube, ref, image, pull_secret, started, timeout, clock)
    finally:
        kube.delete(ref)


def _follow(kube: Kube, ref: Ref, image: str, pull_secret: str, started: float, timeout: float, clock: Clock) -> Pulled:
    refused_since: float | None = None
    while True:
        pod = kube.get(ref)
        if pod is None:
            raise StackError(f"{ref} was deleted while it pulled {image}.", "Run again; nothing else must delete it.")
        status: Object = next(iter((pod.get("status") or {}).get("containerStatuses") or []), {})
        if status.get("imageID"):
            node = str((pod.get("spec") or {}).get("nodeName") or "")
            return Pulled(node, str(status["imageID"]), clock.now() - started, pull_secret)
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in IMAGE_REASONS:
            refused_since = clock.now() if refused_since is None else refused_since
            if clock.now() - refused_since >= _PATIENCE or waiting["reason"] == "InvalidImageName":
                said = str(waiting.get("message") or waiting["reason"])
                raise StackError(f"The cluster cannot pull {image}: {said.rstrip('.')}.", pull_hint(said), image=image)
        else:
            refused_since = None
        if clock.now() - started >= timeout:
            raise Timeout(
                f"{ref} did not pull {image} within {timeout:.0f} s.",
                f"Look at the node's disk and network, and at: kubectl get events -n {ref.namespace}",
            )
        clock.sleep(0.1)


def pull_hint(said: str) -> str:
    """The next step for what the container runtime said."""
    words = said.lower()
    for signs, hint in (
        (
            ("unauthorized", "forbidden", "authorization failed", "denied"),
            "Give a valid Secret in pull_proof.pull_secret.",
        ),
        (("x509", "certificate"), "The node does not trust the registry: run the playbooks s1_host and s2_cluster."),
        (("no such host",), "The node cannot resolve the registry's name: create its DNS record."),
        (("no space left",), "The node's disk is full: remove images that nothing runs."),
        (("not found",), "The registry does not hold it (any more): push it again."),
    ):
        if any(sign in words for sign in signs):
            return hint
    return "Look at the registry's log and at containerd's on the node."
