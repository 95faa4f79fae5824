# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudNativePG's objects for one application: what they look like and when they are applied.

Pure functions over plain objects. Private to this collection.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from ansible_collections.railiance.stack.plugins.module_utils._dsn import check_identifier, database_url
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Object, Ref, app_labels

API = "postgresql.cnpg.io/v1"
HEALTHY = "Cluster in healthy state"
PORT = 5432

RELOAD_LABEL = "cnpg.io/reload"
CLIENT_LABEL = "railiance.io/postgres-client"
#: On the application's Secret: which version of the credentials it was written from.
SOURCE_ANNOTATION = "railiance.io/credentials-version"
#: On the application's Secret: the version of the credentials its workloads run with; absent means the same.
RESTARTED_ANNOTATION = "railiance.io/restarted-for"
#: On the application's Secret: the login proof and what it was made for.
PROOF_ANNOTATION = "railiance.io/database-proof"
#: On the role's Secret: which generation of the password it holds, and since when.
GENERATION_ANNOTATION = "railiance.io/password-generation"
CHANGED_ANNOTATION = "railiance.io/password-changed-at"

_RESERVED_ROLES = ("postgres", "streaming_replica")
_RESERVED_DATABASES = ("postgres", "template0", "template1")


@dataclass(frozen=True)
class Wanted:
    """What is asked for, checked.

    :param settings: further fields of ``Database.spec`` in the API's own words.
    :param reclaim_policy: what becomes of role and database when somebody else deletes their objects.
    :param adopt: whether a database of another owner may be taken over.
    :param wait: whether to wait for CloudNativePG and to log in at the end.
    """

    cluster: str
    cluster_namespace: str
    app: str
    namespace: str
    database: str
    owner: str
    secret: str
    role_api: str = "auto"
    connection_limit: int = -1
    settings: dict[str, Any] = field(default_factory=dict)
    reclaim_policy: str = "retain"
    adopt: bool = False
    create_namespace: bool = True
    wait: bool = True
    timeout: int = 120

    @property
    def object_name(self) -> str:
        """Name of the Database and DatabaseRole objects: two clusters may share a namespace."""
        return f"{self.cluster}-{self.app}"

    @property
    def role_secret_name(self) -> str:
        """Never ``<cluster>-<app>``: CloudNativePG keeps Secrets like ``<cluster>-app`` there itself."""
        return f"{self.cluster}-role-{self.app}"

    @property
    def host(self) -> str:
        return f"{self.cluster}-rw.{self.cluster_namespace}"

    @property
    def cluster_ref(self) -> Ref:
        return Ref(API, "Cluster", self.cluster, self.cluster_namespace)

    @property
    def namespace_ref(self) -> Ref:
        return Ref("v1", "Namespace", self.namespace)

    @property
    def mirror_ref(self) -> Ref:
        return Ref("v1", "Secret", self.secret, self.namespace)

    @property
    def connections(self) -> int:
        """Connections the application may have at once; -1 for no limit."""
        limits = [limit for limit in (self.connection_limit, self.settings.get("connectionLimit", -1)) if limit >= 0]
        return min(limits, default=-1)

    @property
    def labels(self) -> dict[str, str]:
        return app_labels(self.app)

    def check(self) -> None:
        """:raises StackError: when a name cannot or must not be used."""
        check_identifier("The database name", self.database)
        check_identifier("The owner role", self.owner)
        if self.owner in _RESERVED_ROLES or self.owner.startswith(("pg_", "cnpg_")):
            raise StackError(
                f"The role name '{self.owner}' is reserved by PostgreSQL or CloudNativePG.", "Choose another owner."
            )
        if self.database in _RESERVED_DATABASES:
            raise StackError(f"The database name '{self.database}' is reserved.", "Choose another database.")
        if self.namespace == self.cluster_namespace:
            raise StackError(
                f"Application '{self.app}' cannot live in '{self.cluster_namespace}', the namespace of the databases.",
                "Give the application a namespace of its own.",
            )


# -- reading ---------------------------------------------------------------------------------------------------
def text_of(secret: Object | None, key: str) -> str:
    """A value of a Secret as text, without surrounding white space (CloudNativePG trims it, too)."""
    value = ((secret or {}).get("data") or {}).get(key) or ""
    try:
        return base64.b64decode(value).decode().strip()
    except (binascii.Error, UnicodeDecodeError) as error:
        name = (secret or {}).get("metadata", {}).get("name")
        raise StackError(f"Secret {name} has a {key} that is no text.", f"Correct {key}.") from error


def labels_of(obj: Object | None) -> dict[str, str]:
    return dict(((obj or {}).get("metadata") or {}).get("labels") or {})


def annotations_of(obj: Object | None) -> dict[str, str]:
    return dict(((obj or {}).get("metadata") or {}).get("annotations") or {})


def inline_roles(cluster: Object | None) -> list[Object]:
    return list((((cluster or {}).get("spec") or {}).get("managed") or {}).get("roles") or [])


def inline_role(cluster: Object | None, name: str) -> Object | None:
    return next((role for role in inline_roles(cluster) if role.get("name") == name), None)


def for_cluster(objects: list[Object], cluster: str) -> list[Object]:
    return [obj for obj in objects if ((obj.get("spec") or {}).get("cluster") or {}).get("name") == cluster]


def role_secret_of(spec: Object | None) -> str:
    """Name of the Secret that a role's description points to; empty when there is none."""
    return str(((spec or {}).get("passwordSecret") or {}).get("name") or "")


def password_of_mirror(wanted: Wanted, mirror: Object | None) -> str:
    """The password an application's Secret holds for this role and database, whoever made it; empty when none."""
    if text_of(mirror, "username") == wanted.owner and text_of(mirror, "password"):
        return text_of(mirror, "password")
    try:
        parts = urlsplit(text_of(mirror, "DATABASE_URL"))
    except ValueError:
        return ""
    same = unquote(parts.username or "") == wanted.owner and unquote(parts.path[1:]) == wanted.database
    return unquote(parts.password or "") if same else ""


def named(objects: list[Object], name: str) -> Object | None:
    """The object whose PostgreSQL name is ``name``, whatever it is called in Kubernetes."""
    return next((obj for obj in objects if obj["spec"].get("name") == name), None)


def image_of(cluster: Object) -> str:
    """:raises StackError: when the operator has not said it yet."""
    image = (cluster.get("status") or {}).get("image") or (cluster.get("spec") or {}).get("imageName")
    if not image:
        raise StackError(f"{Ref.of(cluster)} does not say which image it runs.", "Wait until it is healthy.")
    return str(image)


def applied(obj: Object | None) -> bool:
    """Whether CloudNativePG has carried out the object as it stands now."""
    if obj is None:
        return False
    status = obj.get("status") or {}
    return bool(status.get("applied")) and status.get("observedGeneration") == obj["metadata"].get("generation")


def role_applied(role: Object | None, secret_version: str) -> bool:
    """Whether the role stands in PostgreSQL with the password of that version of its Secret."""
    return applied(role) and ((role or {}).get("status") or {}).get("secretResourceVersion") == secret_version


def inline_applied(cluster: Object | None, role: str, secret_version: str) -> bool:
    status = ((cluster or {}).get("status") or {}).get("managedRolesStatus") or {}
    return (
        role in ((status.get("byStatus") or {}).get("reconciled") or [])
        and role not in (status.get("cannotReconcile") or {})
        and ((status.get("passwordStatus") or {}).get(role) or {}).get("resourceVersion") == secret_version
    )


# -- building --------------------------------------------------------------------------------------------------
def encode(values: dict[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}


def build_namespace(wanted: Wanted) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": wanted.namespace, "labels": {CLIENT_LABEL: wanted.cluster}},
    }


def build_role_secret(
    wanted: Wanted, name: str, password: str, secret_type: str, annotations: dict[str, str]
) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": wanted.cluster_namespace,
            "labels": {**wanted.labels, RELOAD_LABEL: "true"},
            **({"annotations": annotations} if annotations else {}),
        },
        "type": secret_type,
        "data": encode({"username": wanted.owner, "password": password}),
    }


def build_role(wanted: Wanted, name: str, secret: str) -> Object:
    """A DatabaseRole; what is not named here is reset to PostgreSQL's harmless default by CloudNativePG."""
    return {
        "apiVersion": API,
        "kind": "DatabaseRole",
        "metadata": {"name": name, "namespace": wanted.cluster_namespace, "labels": wanted.labels},
        "spec": {
            "cluster": {"name": wanted.cluster},
            "name": wanted.owner,
            "login": True,
            "connectionLimit": wanted.connection_limit,
            "passwordSecret": {"name": secret},
            "databaseRoleReclaimPolicy": wanted.reclaim_policy,
        },
    }


def build_inline_role(wanted: Wanted, entry: Object | None, secret: str) -> Object:
    """An entry of ``spec.managed.roles``; what somebody else set in it stays."""
    return {
        **(entry or {}),
        "name": wanted.owner,
        "ensure": "present",
        "login": True,
        "connectionLimit": wanted.connection_limit,
        "passwordSecret": {"name": secret},
    }


def with_inline_role(cluster: Object, name: str, entry: Object | None) -> Object:
    """The cluster with an entry added, replaced (in its place) or, with ``None``, removed."""
    roles = [role for role in inline_roles(cluster) if role.get("name") != name]
    if entry is not None:
        names = [role.get("name") for role in inline_roles(cluster)]
        roles.insert(names.index(name) if name in names else len(roles), entry)
    spec = dict(cluster.get("spec") or {})
    return {**cluster, "spec": {**spec, "managed": {**(spec.get("managed") or {}), "roles": roles}}}


def build_database(wanted: Wanted, name: str) -> Object:
    return {
        "apiVersion": API,
        "kind": "Database",
        "metadata": {"name": name, "namespace": wanted.cluster_namespace, "labels": wanted.labels},
        "spec": {
            "cluster": {"name": wanted.cluster},
            "name": wanted.database,
            "owner": wanted.owner,
            "databaseReclaimPolicy": wanted.reclaim_policy,
            **wanted.settings,
        },
    }


def build_mirror(wanted: Wanted, password: str, secret_type: str, version: str, restarted_for: str) -> Object:
    """The application's Secret.

    :param version: stands for the credentials: it changes exactly when they do.
    :param restarted_for: the version that the application's workloads run with.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": wanted.secret,
            "namespace": wanted.namespace,
            "labels": wanted.labels,
            "annotations": {SOURCE_ANNOTATION: version, RESTARTED_ANNOTATION: restarted_for},
        },
        "type": secret_type,
        "data": encode(mirror_values(wanted, password)),
    }


def mirror_values(wanted: Wanted, password: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url(wanted.owner, password, wanted.host, PORT, wanted.database),
        "username": wanted.owner,
        "password": password,
        "host": wanted.host,
        "port": str(PORT),
        "dbname": wanted.database,
    }


def covers(live: Any, desired: Any) -> bool:
    """Whether everything asked for is already so; what is not asked for may be anything.

    Lists count as a whole, position by position.
    """
    if isinstance(desired, dict):
        return isinstance(live, dict) and all(key in live and covers(live[key], desired[key]) for key in desired)
    if isinstance(desired, list):
        return isinstance(live, list) and len(live) == len(desired) and all(map(covers, live, desired))
    return bool(live == desired)
