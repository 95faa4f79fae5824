# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudNativePG's objects for one application: what they look like, when they are applied, what is refused.

Pure functions over plain objects. Private to this collection.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._dsn import check_identifier, database_url
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Object, Ref

API = "postgresql.cnpg.io/v1"
HEALTHY = "Cluster in healthy state"
PORT = 5432

RELOAD_LABEL = "cnpg.io/reload"
APP_LABEL = "app.kubernetes.io/instance"
CLIENT_LABEL = "railiance.io/postgres-client"
#: On the application's Secret: which version of the credentials it was written from.
SOURCE_ANNOTATION = "railiance.io/credentials-version"
#: On the application's Secret: the login proof and what it was made for.
PROOF_ANNOTATION = "railiance.io/database-proof"

_RESERVED_ROLES = ("postgres", "streaming_replica")
_RESERVED_DATABASES = ("postgres", "template0", "template1")
#: What a role of an application never has.
_PRIVILEGES = ("superuser", "createdb", "createrole", "replication", "bypassrls")
#: PostgreSQL cannot change these of an existing database.
_IMMUTABLE = ("template", "encoding", "locale", "localeProvider", "localeCollate", "localeCType", "icuLocale")


@dataclass(frozen=True)
class Wanted:
    """What is asked for, checked.

    :param settings: further fields of ``Database.spec`` in the API's own words.
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
    create_namespace: bool = True
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
    def labels(self) -> dict[str, str]:
        return {
            APP_LABEL: self.app,
            "app.kubernetes.io/part-of": "railiance-stack",
            "app.kubernetes.io/managed-by": "railiance.stack",
        }

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


# -- refusing --------------------------------------------------------------------------------------------------
def refuse_cluster(cluster: Object) -> None:
    """:raises NeedsOperator: for a cluster that will not carry anything out until somebody decides otherwise."""
    ref = Ref.of(cluster)
    notes = annotations_of(cluster)
    if notes.get("cnpg.io/hibernation") == "on":
        raise NeedsOperator(
            f"{ref} is hibernated.",
            f"Wake it up: kubectl -n {ref.namespace} annotate cluster {ref.name} --overwrite cnpg.io/hibernation=off",
        )
    try:
        fenced = json.loads(notes.get("cnpg.io/fencedInstances") or "[]")
    except ValueError:
        fenced = [notes["cnpg.io/fencedInstances"]]
    if fenced:
        raise NeedsOperator(
            f"{ref} is fenced ({', '.join(map(str, fenced))}).",
            f"Lift the fence when its reason is gone: kubectl cnpg fencing off {ref.name} '*' -n {ref.namespace}",
        )
    if ((cluster.get("spec") or {}).get("replica") or {}).get("enabled"):
        raise NeedsOperator(
            f"{ref} is a replica cluster: it cannot hold roles and databases of its own.",
            "Give the application a database on the primary cluster.",
        )


def refuse_bootstrap(wanted: Wanted, cluster: Object) -> None:
    """:raises StackError: for the role or database the cluster was bootstrapped with; it has one manager already."""
    initdb = (((cluster.get("spec") or {}).get("bootstrap") or {}).get("initdb")) or {}
    database = initdb.get("database") or "app"
    owner = initdb.get("owner") or database
    for what, name, taken in (("database", wanted.database, database), ("role", wanted.owner, owner)):
        if name == taken:
            raise StackError(
                f"The {what} '{name}' was created with {wanted.cluster_ref} and belongs to it.",
                f"Choose another {what}.",
            )


def refuse_taken(wanted: Wanted, roles: list[Object], databases: list[Object]) -> None:
    """:raises NeedsOperator: when role or database belong to somebody else.

    :param roles: the DatabaseRoles of this cluster.
    :param databases: the Databases of this cluster.
    """
    role, database = named(roles, wanted.owner), named(databases, wanted.database)
    for obj, what in ((role, f"role '{wanted.owner}'"), (database, f"database '{wanted.database}'")):
        if obj is None:
            continue
        other = labels_of(obj).get(APP_LABEL)
        if other and other != wanted.app:
            raise NeedsOperator(
                f"The {what} of {wanted.cluster_ref} belongs to application '{other}'.",
                f"Give application '{wanted.app}' a role and a database of its own.",
            )
    if database is not None:
        owner = database["spec"].get("owner")
        if owner != wanted.owner:
            raise NeedsOperator(
                f"The database '{wanted.database}' of {wanted.cluster_ref} is owned by role '{owner}', "
                f"not by '{wanted.owner}'.",
                f"Set owner: {owner}, or choose another database; its objects would not follow a new owner.",
            )
        _refuse_immutable(wanted, database)
    for other_database in databases:
        if other_database["spec"].get("owner") == wanted.owner and other_database is not database:
            raise NeedsOperator(
                f"The role '{wanted.owner}' of {wanted.cluster_ref} also owns the database "
                f"'{other_database['spec'].get('name')}'.",
                "One role has one database: choose another owner.",
            )
    if role is not None:
        _refuse_privileges(wanted, role["spec"])


def _refuse_privileges(wanted: Wanted, spec: Object) -> None:
    held = [privilege for privilege in _PRIVILEGES if spec.get(privilege)] + list(spec.get("inRoles") or [])
    if held:
        raise NeedsOperator(
            f"The role '{wanted.owner}' of {wanted.cluster_ref} has more than an application needs: {', '.join(held)}.",
            "Take it away there, or choose another owner.",
        )


def _refuse_immutable(wanted: Wanted, database: Object) -> None:
    for key in _IMMUTABLE:
        asked, has = wanted.settings.get(key), database["spec"].get(key)
        if asked is not None and asked != has:
            raise NeedsOperator(
                f"{Ref.of(database)} has {key} {has or 'of the cluster'}, not {asked}; PostgreSQL cannot change it.",
                "Create a new database with the new setting and restore a dump into it, or leave the setting as it is.",
            )


def refuse_inline(wanted: Wanted, entry: Object) -> None:
    """:raises NeedsOperator: when an entry in the Cluster is no role for one application."""
    _refuse_privileges(wanted, entry)


def refuse_found(wanted: Wanted, found: dict[str, Any]) -> None:
    """What stands in PostgreSQL without an object that describes it.

    :param found: answer of :data:`LOOK_SQL`.
    :raises NeedsOperator: when creating an object would take something over from somebody.
    """
    database, role = found.get("database"), found.get("role")
    if database and database["owner"] != wanted.owner:
        raise NeedsOperator(
            f"{wanted.cluster_ref} already has a database '{wanted.database}', owned by role '{database['owner']}'.",
            f"Set owner: {database['owner']} if it is this application's, or choose another database.",
        )
    if not role:
        return
    _refuse_privileges(wanted, {**role, "inRoles": role["memberships"]})
    foreign = sorted(set(role["databases"]) - {wanted.database})
    if foreign:
        raise NeedsOperator(
            f"{wanted.cluster_ref} already has a role '{wanted.owner}', which owns: {', '.join(foreign)}.",
            "One role has one database: choose another owner.",
        )


#: What PostgreSQL itself knows of two names, as one JSON object; for psql, with the variables ``database``, ``owner``.
LOOK_SQL = """
select json_build_object(
  'database', (select json_build_object('owner', pg_get_userbyid(datdba),
                 'connections', (select count(*) from pg_stat_activity a where a.datid = d.oid))
               from pg_database d where datname = :'database'),
  'role', (select json_build_object(
             'superuser', rolsuper, 'createdb', rolcreatedb, 'createrole', rolcreaterole,
             'replication', rolreplication, 'bypassrls', rolbypassrls,
             'memberships', (select coalesce(json_agg(g.rolname), '[]') from pg_auth_members m
                             join pg_roles g on g.oid = m.roleid where m.member = r.oid),
             'databases', (select coalesce(json_agg(datname), '[]') from pg_database where datdba = r.oid))
           from pg_roles r where rolname = :'owner'));
\\q
"""


# -- building --------------------------------------------------------------------------------------------------
def encode(values: dict[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}


def build_namespace(wanted: Wanted) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": wanted.namespace, "labels": {CLIENT_LABEL: wanted.cluster}},
    }


def build_role_secret(wanted: Wanted, name: str, password: str, secret_type: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": wanted.cluster_namespace,
            "labels": {**wanted.labels, RELOAD_LABEL: "true"},
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
            "databaseRoleReclaimPolicy": "retain",
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
            "databaseReclaimPolicy": "retain",
            **wanted.settings,
        },
    }


def build_mirror(wanted: Wanted, password: str, secret_type: str, source_version: str) -> Object:
    """The application's Secret.

    :param source_version: stands for the credentials: it changes exactly when they do.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": wanted.secret,
            "namespace": wanted.namespace,
            "labels": wanted.labels,
            "annotations": {SOURCE_ANNOTATION: source_version},
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
