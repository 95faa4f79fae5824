"""Releases as Helm stores them."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any


def stored_release(
    name: str,
    revision: int,
    manifest: str,
    *,
    namespace: str = "",
    status: str = "deployed",
    labels: dict[str, str] | None = None,
    **record: Any,
) -> dict[str, Any]:
    """The Secret of one revision.

    :param namespace: the name of the release unless given.
    :param labels: beside Helm's own.
    :param record: further keys of the record, ``config`` among them.
    """
    namespace = namespace or name
    told = {
        "name": name,
        "namespace": namespace,
        "version": revision,
        "manifest": manifest,
        "info": {"status": status, "last_deployed": "2026-01-01T00:00:00Z", "description": "d"},
        **record,
    }
    text = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(told).encode()))).decode()
    own = {"owner": "helm", "name": name, "version": str(revision), "status": status}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {
            "name": f"sh.helm.release.v1.{name}.v{revision}",
            "namespace": namespace,
            "labels": {**own, **(labels or {})},
        },
        "data": {"release": text},
    }
