"""What the API and the operator need for a new role and database: three creates, two waits, no looks, no proof."""

from __future__ import annotations

import base64
import secrets
import sys
import time

from kubernetes import client, config

GROUP = ("postgresql.cnpg.io", "v1", "databases")


def main(app: str, database: str) -> None:
    config.load_kube_config("/etc/rancher/k3s/k3s.yaml")
    core, custom = client.CoreV1Api(), client.CustomObjectsApi()
    meta = {"name": f"apps-pg-{app}", "namespace": "databases"}
    labels = {"app.kubernetes.io/instance": app}
    secret = {"username": database, "password": secrets.token_urlsafe(30)}
    core.create_namespaced_secret(
        "databases",
        {
            "metadata": {"name": f"apps-pg-role-{app}", "labels": {"cnpg.io/reload": "true", **labels}},
            "type": "kubernetes.io/basic-auth",
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in secret.items()},
        },
    )
    role = {"name": database, "login": True, "passwordSecret": {"name": f"apps-pg-role-{app}"}}
    for plural, kind, spec in (
        ("databaseroles", "DatabaseRole", role),
        ("databases", "Database", {"name": database, "owner": database}),
    ):
        body = {
            "apiVersion": "postgresql.cnpg.io/v1",
            "kind": kind,
            "metadata": {**meta, "labels": labels},
            "spec": {"cluster": {"name": "apps-pg"}, **spec},
        }
        custom.create_namespaced_custom_object(*GROUP, plural, body)
        nudge = time.monotonic() + 0.2
        while True:
            found = custom.get_namespaced_custom_object(*GROUP, plural, meta["name"])
            status = found.get("status") or {}
            if status.get("applied"):
                break
            if status.get("applied") is False and time.monotonic() > nudge:
                # The operator's own patience is 30 s; a change makes it look again.
                annotations = {"nudge": str(time.monotonic())}
                custom.patch_namespaced_custom_object(
                    *GROUP, plural, meta["name"], {"metadata": {"annotations": annotations}}
                )
                nudge = time.monotonic() + 0.5
            time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
