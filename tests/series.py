"""Images of the applications in tests/apps, each with some of their migrations, and a database for them on the lab.

The images are built and pushed by the collection's own modules; they differ in their last layer only.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

APPS = Path(__file__).parent / "apps"
APP = "mg-shop"
_TREE = f"/home/operator/{APP}"
_REGISTRY = "gitea.lab.test"
_TOKEN = {"namespace": "gitea", "name": "gitea-bot-token"}

#: What the images of the series know.
IMAGES = {
    "initial": "0001 a1",
    "additive": "0001 0002 a1 a2",
    "data": "0001 0002 0003 a1 a2",
    "data again": "0003 0002 0001 a1 a2",
    "broken": "0001 0002 0003 a1 a2 broken",
    "irreversible": "0001 0002 0003 0004 a1 a2 a3",
    "destructive": "0001 0002 0003 0005 a1 a2",
    "half": "0001 0002 0003 0006 a1 a2",
    "hanging": "0001 0002 0003 0007 a1 a2",
}


@dataclass
class Series:
    """One application on the lab.

    :param references: image by digest, by name.
    """

    task: Callable[..., dict[str, Any]]
    node: Callable[..., str]
    kubectl: Callable[..., Any]
    references: dict[str, str]
    app: str = APP

    @property
    def database(self) -> str:
        return self.app.replace("-", "_")

    def manage(self, image: str, command: str = "migrate", *, check: bool = False, **options: Any) -> dict[str, Any]:
        """``django_manage`` with one of the images, as a release would call it."""
        given = {"pod_template": self.template(), "image": self.references[image], **options}
        return self.task("django_manage", check=check, command=command, app=APP, **given)

    def template(self) -> dict[str, Any]:
        database = {"secretKeyRef": {"name": f"{APP}-db", "key": "DATABASE_URL"}}
        container = {
            "name": "app",
            "image": self.references["initial"],
            "env": [{"name": "DATABASE_URL", "valueFrom": database}],
            "resources": {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "384Mi"}},
        }
        spec = {
            "automountServiceAccountToken": False,
            "imagePullSecrets": [{"name": "gitea-pull"}],
            "containers": [container],
        }
        return {"metadata": {"labels": {"app.kubernetes.io/name": APP}}, "spec": spec}

    def sql(self, text: str) -> str:
        """One statement as PostgreSQL's superuser in the primary."""
        primary = self.kubectl("get cluster apps-pg -n databases -o jsonpath={.status.currentPrimary}")
        command = f"exec -i -n databases {primary} -c postgres -- psql -XqAt -v ON_ERROR_STOP=1 -d {self.database} -f -"
        return self.node(f"sudo k3s kubectl {command}", text.encode()).strip()

    def checksums(self) -> dict[str, str]:
        """Rows and a checksum of every table but the notes of Django and Alembic."""
        tables = self.sql(
            "select string_agg(relname, ' ' order by relname) from pg_stat_user_tables"
            " where relname !~ '^(django|auth|alembic)_' and relname <> 'cache'"
        ).split()
        union = " union all ".join(
            f"select '{table}', count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) from {table} t"  # noqa: S608
            for table in tables
        )
        rows = [line.split("|") for line in self.sql(union).splitlines()] if tables else []
        return {table: f"{count} {checksum}" for table, count, checksum in rows}

    def sessions(self) -> list[str]:
        """What the application's role does in its database."""
        return self.sql(
            "select application_name || ': ' || left(query, 60) from pg_stat_activity"
            " where datname = current_database() and usename = current_database() order by 1"
        ).splitlines()

    def jobs(self) -> list[str]:
        return [one["metadata"]["name"] for one in self.kubectl(f"get jobs -n {self.app} -o json")["items"]]

    def empty(self) -> None:
        """The database as new, with the tables gone."""
        self.sql(
            f"drop owned by {self.database} cascade; create schema if not exists public authorization {self.database}"
        )


def push(task: Callable[..., dict[str, Any]], node: Callable[..., str], *images: str) -> dict[str, str]:
    """Build and push; returns each image by digest.

    :param images: which of the images are needed.
    """
    commit = _upload(node)
    python = "docker-archive:/opt/railiance/bundle/base-images/python-3.13-slim.tar"
    references = {}
    for name in images:
        tag = name.replace(" ", "-")
        local = f"localhost/{APP}:{tag}"
        built = task(
            "image_build",
            source={"repository": _TREE, "commit": commit},
            containerfile="Containerfile",
            image=local,
            build_args={
                "KEEP": IMAGES[name],
                "PYTHON_IMAGE": python,
            },
            build_secrets={"build_ca": "/etc/ssl/certs/ca-certificates.crt"},
        )
        assert not built.get("failed"), built.get("msg")
        pushed = task(
            "gitea_image_push",
            registry=_REGISTRY,
            repository=f"apps/{APP}",
            tags=[tag],
            source=f"containers-storage:{local}",
            token_secret=_TOKEN,
            ca_file="/etc/railiance/ca.crt",
        )
        assert not pushed.get("failed"), pushed.get("msg")
        references[name] = pushed["reference_by_digest"]
    return references


def set_up(
    task: Callable[..., dict[str, Any]], node: Callable[..., str], kubectl: Callable[..., Any], *images: str
) -> Series:
    """:param images: which of the images are needed."""
    references = push(task, node, *images)
    made = task("cnpg_app_db", app=APP, namespace=APP, cluster="apps-pg")
    assert not made.get("failed"), made.get("msg")
    copied = task(
        "kube_secret",
        name="gitea-pull",
        namespace=APP,
        type="kubernetes.io/dockerconfigjson",
        data={".dockerconfigjson": {"copy": {"namespace": "gitea", "name": "gitea-pull", "key": ".dockerconfigjson"}}},
    )
    assert not copied.get("failed"), copied.get("msg")
    return Series(task, node, kubectl, references)


def tear_down(series: Series) -> None:
    gone = series.task("cnpg_app_db", app=APP, namespace=APP, cluster="apps-pg", state="absent", drop_data=True)
    series.kubectl(f"delete namespace {APP} --ignore-not-found")
    forget(series.node)
    assert not gone.get("failed"), gone.get("msg")


def forget(node: Callable[..., str]) -> None:
    """Remove the tree and the images that were built from it."""
    node(f"rm -rf {_TREE}; sudo buildah rmi $(sudo buildah images -q localhost/{APP}) >/dev/null 2>&1 || true")


def _upload(node: Callable[..., str]) -> str:
    """The tree as a repository on the node; returns its commit."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(APPS.rglob("*")):
            if "__pycache__" not in path.parts:
                archive.add(path, path.relative_to(APPS), recursive=False)
    node(f"rm -rf {_TREE} && mkdir {_TREE} && tar -x -C {_TREE}", packed.getvalue())
    identity = "-c user.name=tests -c user.email=tests@lab.test"
    node(f"cd {_TREE} && git init -q && git add -A && git {identity} commit -qm series")
    return node(f"git -C {_TREE} rev-parse HEAD").strip()


def told(result: dict[str, Any]) -> list[tuple[str, str, bool, bool, bool]]:
    """What was said of the application's own migrations: name, direction, reversible, destructive, compatible."""
    return [
        (one["migration"], one["direction"], one["reversible"], one["destructive"], one["compatible"])
        for one in result["pending"]
        if one["migration"].startswith("shop.")
    ]


def applied(result: dict[str, Any]) -> list[str]:
    return [one for one in result["applied"] if one.startswith("shop.")]
