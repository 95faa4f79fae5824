# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an application's database must not do, and whose decision it is. Pure functions, private to this collection."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._cnpg import (
    HEALTHY,
    Wanted,
    annotations_of,
    for_cluster,
    labels_of,
    named,
)
from ansible_collections.railiance.stack.plugins.module_utils._cnpg_look import connections_left
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import INSTANCE, Object, Ref

#: What a role of an application never has.
_PRIVILEGES = ("superuser", "createdb", "createrole", "replication", "bypassrls")
#: PostgreSQL cannot change these of an existing database.
IMMUTABLE = (
    "template",
    "encoding",
    "locale",
    "localeProvider",
    "localeCollate",
    "localeCType",
    "icuLocale",
    "icuRules",
    "builtinLocale",
)


# -- the cluster -----------------------------------------------------------------------------------------------
def refuse_cluster(cluster: Object) -> None:
    """:raises NeedsOperator: for a cluster that will not carry anything out until somebody decides otherwise."""
    ref = Ref.of(cluster)
    notes = annotations_of(cluster)
    if notes.get("cnpg.io/hibernation") == "on":
        raise NeedsOperator(
            f"{ref} is hibernated.",
            "Let the platform wake it up: "
            f"kubectl -n {ref.namespace} annotate cluster {ref.name} --overwrite cnpg.io/hibernation=off",
        )
    try:
        fenced = json.loads(notes.get("cnpg.io/fencedInstances") or "[]")
    except ValueError:
        fenced = [notes["cnpg.io/fencedInstances"]]
    if fenced:
        raise NeedsOperator(
            f"{ref} is fenced ({', '.join(map(str, fenced))}).",
            "Let the platform lift the fence when its reason is gone: "
            f"kubectl -n {ref.namespace} annotate cluster {ref.name} cnpg.io/fencedInstances-",
        )
    replica = (cluster.get("spec") or {}).get("replica") or {}
    if replica.get("enabled") or (replica.get("primary") or ref.name) != (replica.get("self") or ref.name):
        raise NeedsOperator(
            f"{ref} is a replica cluster: it cannot hold roles and databases of its own.",
            "Give the application a database on the primary cluster.",
        )


def healthy(cluster: Object | None) -> bool:
    return ((cluster or {}).get("status") or {}).get("phase") == HEALTHY


def unhealthy(cluster: Object | None, ref: Ref, seconds: int) -> NeedsOperator:
    status = (cluster or {}).get("status") or {}
    phase, why = status.get("phase") or "no phase yet", status.get("phaseReason")
    return NeedsOperator(
        f"{ref} did not become healthy within {seconds} s: {phase}{f' ({why})' if why else ''}.",
        f"Let the platform repair it; look at it with: kubectl -n {ref.namespace} describe cluster {ref.name}",
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


# -- its objects -----------------------------------------------------------------------------------------------
def refuse_taken(wanted: Wanted, all_roles: list[Object], all_databases: list[Object]) -> None:
    """:raises NeedsOperator: when role or database belong to somebody else, or would have to be another one.

    :param all_roles: the DatabaseRoles of the cluster's namespace.
    :param all_databases: the Databases of the cluster's namespace.
    """
    roles, databases = for_cluster(all_roles, wanted.cluster), for_cluster(all_databases, wanted.cluster)
    role, database = named(roles, wanted.owner), named(databases, wanted.database)
    for obj, what in ((role, f"role '{wanted.owner}'"), (database, f"database '{wanted.database}'")):
        other = labels_of(obj).get(INSTANCE)
        if other and other != wanted.app:
            raise NeedsOperator(
                f"The {what} of {wanted.cluster_ref} belongs to application '{other}'.",
                f"Give application '{wanted.app}' a role and a database of its own.",
            )
    if database is not None:
        if database["spec"].get("owner") != wanted.owner and not wanted.adopt:
            raise _other_owner(wanted, str(database["spec"].get("owner")))
        _refuse_immutable(wanted, database)
    for other_database in databases:
        if other_database["spec"].get("owner") == wanted.owner and other_database is not database:
            raise NeedsOperator(
                f"The role '{wanted.owner}' of {wanted.cluster_ref} also owns the database "
                f"'{other_database['spec'].get('name')}'.",
                "One role has one database: choose another owner.",
            )
    if role is not None:
        refuse_privileges(wanted, role["spec"])
    _refuse_renamed(wanted, role, all_roles, "role", wanted.owner)
    _refuse_renamed(wanted, database, all_databases, "database", wanted.database)


def _other_owner(wanted: Wanted, owner: str) -> NeedsOperator:
    return NeedsOperator(
        f"The database '{wanted.database}' of {wanted.cluster_ref} is owned by role '{owner}', "
        f"not by '{wanted.owner}'.",
        f"Set owner: {owner} if it is this application's role, set adopt: true to hand the database and what that role "
        "owns in it over, or choose another database.",
    )


def _refuse_renamed(wanted: Wanted, found: Object | None, objects: list[Object], what: str, name: str) -> None:
    """The application's object may already describe another role or database: a name cannot change."""
    taken = next((obj for obj in objects if obj["metadata"]["name"] == wanted.object_name), None)
    if found is not None or taken is None:
        return
    now, cluster = taken["spec"].get("name"), (taken["spec"].get("cluster") or {}).get("name")
    raise NeedsOperator(
        f"{Ref.of(taken)} describes the {what} '{now}' of cluster '{cluster}'; its name and cluster cannot change "
        f"to '{name}' of '{wanted.cluster}'.",
        f"Leave the {what} as it is; or move: dump it, run with state: absent for the old names (the data stays), "
        "then with the new ones, and restore the dump.",
    )


def refuse_privileges(wanted: Wanted, spec: Object) -> None:
    """:raises NeedsOperator: when a role's description gives it more than an application needs."""
    _refuse_held(
        wanted, [*(privilege for privilege in _PRIVILEGES if spec.get(privilege)), *(spec.get("inRoles") or [])]
    )


def _refuse_held(wanted: Wanted, held: list[str]) -> None:
    if held:
        raise NeedsOperator(
            f"The role '{wanted.owner}' of {wanted.cluster_ref} has more than an application needs: {', '.join(held)}.",
            "Take it away there, or choose another owner.",
        )


def _refuse_immutable(wanted: Wanted, database: Object) -> None:
    for key in IMMUTABLE:
        asked, has = wanted.settings.get(key), database["spec"].get(key)
        if asked is not None and asked != has:
            raise NeedsOperator(
                f"{Ref.of(database)} has {key} {has or 'of the cluster'}, not {asked}; PostgreSQL cannot change it.",
                "Create a new database with the new setting and restore a dump into it, or leave the setting as it is.",
            )


# -- PostgreSQL itself -----------------------------------------------------------------------------------------
def refuse_found(wanted: Wanted, found: dict[str, Any], described: bool) -> None:
    """What stands in PostgreSQL, whatever the objects say.

    :param found: answer of :data:`_cnpg_look.APP_SQL`.
    :param described: whether an object says that the database has this owner.
    :raises NeedsOperator: when going on would take something from somebody.
    """
    database, role = found["database"], found["role"]
    if database and database["owner"] != wanted.owner:
        if described:
            raise NeedsOperator(
                f"The database '{wanted.database}' of {wanted.cluster_ref} is owned by role '{database['owner']}' in "
                f"PostgreSQL, although its object says '{wanted.owner}'.",
                "Whoever changed it in SQL takes it back there, as the superuser: "
                f'ALTER DATABASE "{wanted.database}" OWNER TO "{wanted.owner}"',
            )
        if not wanted.adopt:
            raise _other_owner(wanted, database["owner"])
    asked = wanted.settings.get("encoding")
    if database and asked and database["encoding"] != asked:
        raise NeedsOperator(
            f"The database '{wanted.database}' of {wanted.cluster_ref} has encoding {database['encoding']}, "
            f"not {asked}; PostgreSQL cannot change it.",
            "Create a new database with the new setting and restore a dump into it, or leave the setting as it is.",
        )
    if not role:
        return
    _refuse_held(wanted, [*role["privileges"], *role["memberships"]])
    foreign = sorted(set(role["databases"]) - {wanted.database})
    if foreign:
        raise NeedsOperator(
            f"{wanted.cluster_ref} already has a role '{wanted.owner}', which owns: {', '.join(foreign)}.",
            "One role has one database: choose another owner.",
        )


def refuse_capacity(wanted: Wanted, found: dict[str, Any]) -> None:
    """:raises NeedsOperator: when more connections are asked for than the cluster has left.

    A limit that the role already has is never refused, and one that it gets back neither.
    """
    role, asked, left = found["role"], wanted.connections, connections_left(found)
    granted = role["allowed"] if role else 0
    if asked < 0 or granted < 0 or asked <= granted or asked <= left:
        return
    most, reserved = found["connections"]["max"], found["connections"]["reserved"]
    promised = ", ".join(f"{name} {count}" for name, count in sorted(found["promised"].items())) or "none"
    raise NeedsOperator(
        f"Application '{wanted.app}' asks for {asked} connections, and {wanted.cluster_ref} has {max(left, 0)} left "
        f"(max_connections {most}, reserved {reserved}, promised or used: {promised}).",
        f'Send this to the owner of the platform: "Please raise max_connections of {wanted.cluster_ref} from {most} to '
        f"at least {most + asked - left} (cnpg_clusters: parameters: max_connections) for application "
        f"'{wanted.app}'.\" Or ask for fewer.",
    )
