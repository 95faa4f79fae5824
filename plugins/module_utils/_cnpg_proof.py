# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The login proof: closes a database to everybody but its owner, and shows that it is. Private to this collection.

A short Job in the application's namespace logs in with the application's own Secret, as the application will.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from ansible_collections.railiance.stack.plugins.module_utils._cnpg import Wanted
from ansible_collections.railiance.stack.plugins.module_utils._cnpg_look import APP_SQL, isolation
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._jobs import (
    BEGINS_ALONE_AFTER,
    Outcome,
    build_job,
    job_labels,
    job_name,
)
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref

CONTAINER = "psql"
_MARK = "railiance-database-proof "
#: Seconds that name resolution and network policies get to learn of a new pod.
_REACHABLE_SECONDS = 30
_POSTGRES_UID = 26
_MASK = "********"
#: PostgreSQL's words for no free connection: of the server, of the role, of the database.
_FULL = ("too many clients", "remaining connection slots", "too many connections for")

# Kubernetes reads $(NAME) and $$ in env values, so the quotes of this block are $do$.
_CLOSE_SQL = """
do $do$
begin
  if exists (select from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
             where d.datname = current_database() and a.grantee = 0 and a.privilege_type = 'CONNECT') then
    execute format('revoke connect on database %I from public', current_database());
    perform set_config('railiance.closed_now', 'true', false);
  end if;
end
$do$;
"""
_PROOF_SQL = f"""
select '{_MARK}' || json_build_object(
  'user', current_user,
  'database', current_database(),
  'closed_now', coalesce(current_setting('railiance.closed_now', true), '') = 'true',
  'look', {APP_SQL});
"""
# The first login takes the parts, the second one the address; both as the application reads them.
_SCRIPT = f"""
timeout {BEGINS_ALONE_AFTER} head -n 1 >/dev/null
tries=0
until pg_isready -q -t 2; do
  tries=$((tries + 1))
  if [ "$tries" -ge {_REACHABLE_SECONDS} ]; then echo "$PGHOST:$PGPORT does not answer" >&2; exit 4; fi
  sleep 1
done
printf '%s\\n' '\\getenv url DATABASE_URL' '\\connect :"url"' "$CLOSE_SQL" "$PROOF_SQL" |
  psql -X -q -A -t -w -v ON_ERROR_STOP=1 -v database="$PGDATABASE" -v owner="$PGUSER" -f -
"""


def proof_key(
    wanted: Wanted, cluster: Object, role: Object | None, database: Object | None, secret_version: str
) -> dict[str, Any]:
    """What a proof is valid for. A restore makes a new cluster, a failover a new timeline."""
    return {
        "cluster": cluster["metadata"].get("uid"),
        "timeline": (cluster.get("status") or {}).get("timelineID"),
        "role": _version(role),
        "database": _version(database),
        "secret": secret_version,
    }


def _version(obj: Object | None) -> str:
    meta = (obj or {}).get("metadata") or {}
    return f"{meta.get('uid')}/{meta.get('generation')}" if meta else "inline"


def build_client_pod(
    image: str,
    pull_secrets: list[Object],
    secret: str,
    command: list[str],
    *,
    application_name: str,
    environment: dict[str, str] | None = None,
    memory_limit: str = "128Mi",
) -> Object:
    """A pod with PostgreSQL's client programs, which find the application's database through its Secret."""
    keys = {
        "PGUSER": "username",
        "PGPASSWORD": "password",
        "PGHOST": "host",
        "PGPORT": "port",
        "PGDATABASE": "dbname",
        "DATABASE_URL": "DATABASE_URL",
    }
    plain = {"PGCONNECT_TIMEOUT": "10", "PGAPPNAME": application_name, **(environment or {})}
    pod: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _POSTGRES_UID,
            "runAsGroup": _POSTGRES_UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": command,
                "env": [
                    *(
                        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
                        for name, key in keys.items()
                    ),
                    *({"name": name, "value": value} for name, value in plain.items()),
                ],
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": memory_limit}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }
    if pull_secrets:
        pod["imagePullSecrets"] = pull_secrets
    return pod


def build_proof_job(wanted: Wanted, image: str, pull_secrets: list[Object]) -> Object:
    """The Job; its name is the same for the same database, so two runs wait for each other."""
    labels = job_labels(wanted.app, "database-proof")
    pod = build_client_pod(
        image,
        pull_secrets,
        wanted.secret,
        ["sh", "-c", _SCRIPT],
        application_name="railiance-database-proof",
        environment={"CLOSE_SQL": _CLOSE_SQL, "PROOF_SQL": _PROOF_SQL},
    )
    return build_job(
        job_name(wanted.app, "database", wanted.cluster_namespace, wanted.cluster, wanted.database),
        wanted.namespace,
        {"metadata": {"labels": labels}, "spec": pod},
        labels=labels,
        timeout=wanted.timeout,
    )


def last_word(log: str) -> int | None:
    """psql is through when the whole line with the proof is there."""
    return 0 if any(line.startswith(_MARK) and line.endswith("\n") for line in log.splitlines(keepends=True)) else None


def parse_proof(wanted: Wanted, outcome: Outcome, password: str) -> dict[str, Any]:
    """The proof out of the Job's log.

    :param password: never repeated, whatever the server or psql said.
    :raises StackError: when the login did not work or the database is not what it must be.
    """
    line = next((line for line in outcome.log.splitlines() if line.startswith(_MARK)), "")
    if outcome.rc != 0 or not line:
        said = " ".join(outcome.log.replace(password, _MASK).replace(quote(password, safe=""), _MASK).split())[-600:]
        if any(words in said for words in _FULL):
            raise NeedsOperator(
                f"Role '{wanted.owner}' cannot log in to database '{wanted.database}', every connection is taken: "
                f"{said}",
                "Let fewer pods connect, or send this to the owner of the platform: "
                f'"Please raise max_connections of {wanted.cluster_ref}."',
                rc=outcome.rc,
            )
        said = said or f"nothing ({outcome.reason or 'no reason given'})"
        raise StackError(
            f"Role '{wanted.owner}' cannot log in to database '{wanted.database}' from namespace "
            f"'{wanted.namespace}': {said}",
            f"Compare Secret {wanted.namespace}/{wanted.secret} with the role's password, and look at network policies "
            f"between '{wanted.namespace}' and '{wanted.cluster_namespace}'.",
            rc=outcome.rc,
        )
    said_by_server: dict[str, Any] = json.loads(line[len(_MARK) :])
    found = said_by_server.pop("look")
    proof = {**said_by_server, "server_version": found["server_version"], **isolation(found)}
    _judge(wanted, proof)
    return proof


def _judge(wanted: Wanted, proof: dict[str, Any]) -> None:
    """What a look before the change could not foresee; the rest is refused before anything is changed."""
    if proof["owner"] != wanted.owner or proof["public_connect"]:
        raise StackError(
            f"The database '{wanted.database}' is owned by role '{proof['owner']}', and "
            f"{'every role' if proof['public_connect'] else 'not every role'} can connect to it.",
            f"Look at its access list: {', '.join(proof['acl'])}",
            proof=proof,
        )


def others(wanted: Wanted, proof: dict[str, Any]) -> list[str]:
    """Login roles beside the owner and superusers that may connect: each was granted it by name."""
    return [role for role in proof["may_connect"] if role != wanted.owner]


# The password comes on standard input: nothing else of a process in a pod is hidden from the node.
_OLD_LOGIN = 'IFS= read -r PGPASSWORD; export PGPASSWORD; exec psql -X -w -q -h 127.0.0.1 -U "$1" -d "$2" -c "select 1"'


def refuses(kube: Kube, cluster: Object, wanted: Wanted, password: str) -> bool:
    """That PostgreSQL does not take an old password any more; asked in the primary's pod, over TCP.

    :raises StackError: when it does.
    """
    ref = Ref.of(cluster)
    done = kube.exec(
        str(ref.namespace),
        str((cluster.get("status") or {}).get("currentPrimary")),
        ["sh", "-c", _OLD_LOGIN, "sh", wanted.owner, wanted.database],
        container="postgres",
        stdin=password,
        timeout=30,
    )
    if done.rc != 0 and "password authentication failed" in done.stderr:
        return True
    raise StackError(
        f"The old password of role '{wanted.owner}' was not refused by {ref}.",
        "Look at its pg_hba rules: a rule that asks for no password comes before the one that does.",
        rc=done.rc,
        stderr=done.stderr,
    )
