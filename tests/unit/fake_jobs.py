"""A cluster whose Jobs end at once, and what a management command's pod says."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._jobs import PURPOSE_LABEL, TRIAL
from unit.fakes import FakeKube


def said(kind: str, **fields: Any) -> str:
    return f"look out railiance {json.dumps({'kind': kind, **fields})}\n"


def before(
    *pending: Any,
    applied: Any = ("shop.0001_initial",),
    unknown: Any = (),
    word: str | None = None,
    settings: Any = None,
) -> str:
    return said(
        "before",
        verdict=word or ("forward" if pending else "nothing"),
        go=bool(pending),
        pending=pending,
        applied=applied,
        unknown=unknown,
        way_back=[],
        settings=settings,
    )


#: Status of a pod that serves on this machine.
SERVES = {"phase": "Running", "podIP": "127.0.0.1"}


def play_job(
    kube: FakeKube,
    log: str,
    code: int = 0,
    pod_status: dict[str, Any] | None = None,
    trial: tuple[dict[str, Any], str] = (SERVES, ""),
) -> None:
    """Every Job of the namespace shop gets a pod that has ended and said ``log``; ``kube.jobs`` remembers them.

    :param trial: status and log of the pod of a Job that a new version is tried with.
    """
    kube.jobs = []

    def on_write(kube, verb, ref):
        if (verb, ref.kind) != ("create", "Job"):
            return
        job = kube.objects[ref]
        kube.jobs.append(job)
        tried = job["metadata"].get("labels", {}).get(PURPOSE_LABEL) == TRIAL
        name = "trial-pod" if tried else "job-pod"
        kube.pod_logs[("shop", name)] = trial[1] if tried else log
        ended = {"phase": "Failed" if code else "Succeeded"}
        ended["containerStatuses"] = [{"name": "app", "state": {"terminated": {"exitCode": code}}}]
        kube.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": "shop",
                    "labels": {"batch.kubernetes.io/job-name": ref.name},
                    "ownerReferences": [{"uid": job["metadata"]["uid"]}],
                },
                "status": trial[0] if tried else pod_status or ended,
            }
        )

    kube.on_write = on_write
