"""What the tests of the database modules share: SQL as the superuser, logins from pods, a cluster of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Node = Callable[..., str]


@dataclass(frozen=True)
class App:
    """One application of a test; a role's name must not begin with ``pg_``."""

    name: str
    cluster: str = "apps-pg"
    cluster_namespace: str = "databases"

    @property
    def database(self) -> str:
        return f"t_{self.name.replace('-', '_')}"

    @property
    def secret(self) -> str:
        return f"{self.name}-db"

    @property
    def role_secret(self) -> str:
        return f"{self.cluster}-role-{self.name}"

    @property
    def options(self) -> dict[str, Any]:
        return {
            "cluster": self.cluster,
            "cluster_namespace": self.cluster_namespace,
            "app": self.name,
            "database": self.database,
        }


class Postgres:
    """One cluster on the node, looked at beside the modules' back."""

    def __init__(self, node: Node, cluster: str = "apps-pg", namespace: str = "databases") -> None:
        self.node = node
        self.cluster = cluster
        self.namespace = namespace

    def kubectl(self, arguments: str, stdin: bytes | None = None) -> str:
        return self.node(f"sudo k3s kubectl {arguments}", stdin)

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        return dict(json.loads(self.kubectl(f"get {kind} {name} -n {namespace} -o json")))

    @property
    def image(self) -> str:
        return str(self.get("cluster.postgresql.cnpg.io", self.cluster, self.namespace)["status"]["image"])

    def sql(self, text: str, database: str = "postgres", name: str = "") -> list[str]:
        """Rows of a query as the superuser, ``|`` between columns; ``:name`` in it is the psql variable."""
        psql = f"psql -XAtq -v ON_ERROR_STOP=1 -v name={name} -d {database}"
        command = f"exec -i -n {self.namespace} {self.cluster}-1 -c postgres -- {psql}"
        return self.kubectl(command, text.encode()).splitlines()

    def exists(self, app: App) -> dict[str, bool]:
        """Whether role and database are there, whatever the objects say."""
        role = self.sql("select 1 from pg_roles where rolname = :'name'", name=app.database)
        database = self.sql("select 1 from pg_database where datname = :'name'", name=app.database)
        return {"role": role == ["1"], "database": database == ["1"]}

    def apply(self, *objects: dict[str, Any]) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.kubectl("apply --server-side --force-conflicts -f -", text.encode())

    def log(self, since: float) -> list[dict[str, Any]]:
        """PostgreSQL's own records since a moment."""
        seconds = int(time.time() - since) + 2
        lines = self.kubectl(f"logs -n {self.namespace} {self.cluster}-1 -c postgres --since={seconds}s").splitlines()
        records = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry["record"] for entry in records if entry.get("logger") == "postgres" and "record" in entry]

    def wait_healthy(self, seconds: int = 180) -> None:
        self.kubectl(
            f"wait cluster.postgresql.cnpg.io/{self.cluster} -n {self.namespace} --timeout={seconds}s "
            "--for=jsonpath='{.status.phase}'='Cluster in healthy state'"
        )

    def login_pod(self, app: App, databases: list[str], name: str = "login") -> dict[str, Any]:
        """A pod that tries each database with the application's own Secret and says what it was told."""
        script = (
            'for database in "$@"; do said=$(psql -XAtw -d "$database" -c "select current_user" 2>&1); '
            'echo "$? $database $said" | tr "\\n" " "; echo; done'
        )
        keys = {"PGUSER": "username", "PGPASSWORD": "password", "PGHOST": "host", "PGPORT": "port"}
        env = [{"name": k, "valueFrom": {"secretKeyRef": {"name": app.secret, "key": v}}} for k, v in keys.items()]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": app.name},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": "psql",
                        "image": self.image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["sh", "-c", script, "sh", *databases],
                        "env": env,
                    }
                ],
            },
        }

    def said(self, app: App, name: str = "login", seconds: int = 90) -> dict[str, tuple[int, str]]:
        """What that pod was told: database to exit code and words."""
        self.kubectl(f"wait pod/{name} -n {app.name} --timeout={seconds}s --for=jsonpath='{{.status.phase}}'=Succeeded")
        rows = [line.split(" ", 2) for line in self.kubectl(f"logs {name} -n {app.name}").splitlines()]
        return {row[1]: (int(row[0]), row[2].strip()) for row in rows}

    def forget(self, *apps: App) -> None:
        """Remove everything of the applications, whatever state a test left it in."""
        for app in apps:
            # Roles and databases stay when their objects go: they are dropped in SQL.
            name = f"{app.cluster}-{app.name}"
            self.kubectl(f"delete namespace {app.name} --ignore-not-found --wait=false")
            self.kubectl(f"delete databaserole,database {name} -n {self.namespace} --ignore-not-found")
            self.kubectl(f"delete secret {app.role_secret} -n {self.namespace} --ignore-not-found")
            self.sql('drop database if exists :"name" with (force)', name=app.database)
            self.sql('drop role if exists :"name"', name=app.database)
        self.kubectl(f"delete namespace {' '.join(app.name for app in apps)} --ignore-not-found")


def own_cluster(name: str, namespace: str, image: str, **spec: Any) -> list[dict[str, Any]]:
    """A small cluster that a test may break."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "postgresql.cnpg.io/v1",
            "kind": "Cluster",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "instances": 1,
                "imageName": image,
                "storage": {"size": "1Gi"},
                # Nobody's last session is waited for: a test that ends takes its cluster with it.
                "smartShutdownTimeout": 1,
                "stopDelay": 20,
                "postgresql": {"parameters": {"max_connections": "30", "shared_buffers": "32MB"}},
                **spec,
            },
        },
    ]
