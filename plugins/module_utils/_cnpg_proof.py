# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The login proof: closes a database to everybody but its owner, and shows that it is. Private to this collection.

A short Job in the application's namespace logs in with the application's own Secret, as the application will.
"""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._cnpg import Wanted
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._jobs import Outcome, build_job, job_name
from ansible_collections.railiance.stack.plugins.module_utils._kube import Object

CONTAINER = "psql"
_MARK = "railiance-database-proof "
#: Seconds that name resolution and network policies get to learn of a new pod.
_REACHABLE_SECONDS = 30
_POSTGRES_UID = 26

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
$do$
"""
_PROOF_SQL = """
select 'railiance-database-proof ' || json_build_object(
  'user', current_user,
  'database', current_database(),
  'server_version', split_part(current_setting('server_version'), ' ', 1),
  'owner', pg_get_userbyid(d.datdba),
  'acl', coalesce(d.datacl, acldefault('d', d.datdba))::text[],
  'public_connect', exists (select from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                            where a.grantee = 0 and a.privilege_type = 'CONNECT'),
  'closed_now', coalesce(current_setting('railiance.closed_now', true), '') = 'true',
  'may_connect', (select coalesce(json_agg(rolname order by rolname), '[]') from pg_roles
                  where rolcanlogin and not rolsuper and has_database_privilege(oid, d.oid, 'CONNECT')),
  'superusers', (select coalesce(json_agg(rolname order by rolname), '[]') from pg_roles
                 where rolcanlogin and rolsuper),
  'privileges', (select array_remove(array[case when rolsuper then 'superuser' end,
                   case when rolcreatedb then 'createdb' end, case when rolcreaterole then 'createrole' end,
                   case when rolreplication then 'replication' end, case when rolbypassrls then 'bypassrls' end], null)
                 from pg_roles where rolname = current_user),
  'memberships', (select coalesce(json_agg(g.rolname order by g.rolname), '[]') from pg_auth_members m
                  join pg_roles g on g.oid = m.roleid join pg_roles r on r.oid = m.member
                  where r.rolname = current_user))
from pg_database d where d.datname = current_database()
"""
_SCRIPT = f"""
tries=0
until pg_isready -q -t 2; do
  tries=$((tries + 1))
  if [ "$tries" -ge {_REACHABLE_SECONDS} ]; then echo "$PGHOST:$PGPORT does not answer" >&2; exit 4; fi
  sleep 1
done
exec psql -X -q -A -t -w -v ON_ERROR_STOP=1 -c "$CLOSE_SQL" -c "$PROOF_SQL"
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


def build_proof_job(wanted: Wanted, image: str, pull_secrets: list[Object]) -> Object:
    """The Job; its name is the same for the same database, so two runs wait for each other."""
    values = {
        "PGUSER": "username",
        "PGPASSWORD": "password",
        "PGHOST": "host",
        "PGPORT": "port",
        "PGDATABASE": "dbname",
    }
    labels = {**wanted.labels, "app.kubernetes.io/name": "database-proof"}
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
                "command": ["sh", "-c", _SCRIPT],
                "env": [
                    *(
                        {"name": name, "valueFrom": {"secretKeyRef": {"name": wanted.secret, "key": key}}}
                        for name, key in values.items()
                    ),
                    {"name": "PGCONNECT_TIMEOUT", "value": "10"},
                    {"name": "PGAPPNAME", "value": "railiance-database-proof"},
                    {"name": "CLOSE_SQL", "value": _CLOSE_SQL},
                    {"name": "PROOF_SQL", "value": _PROOF_SQL},
                ],
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
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


def parse_proof(wanted: Wanted, outcome: Outcome) -> dict[str, Any]:
    """The proof out of the Job's log.

    :raises StackError: when the login did not work or the database is not what it must be.
    """
    line = next((line for line in outcome.log.splitlines() if line.startswith(_MARK)), "")
    if outcome.rc != 0 or not line:
        said = " ".join(outcome.log.split())[-600:] or f"nothing ({outcome.reason or 'no reason given'})"
        raise StackError(
            f"Role '{wanted.owner}' cannot log in to database '{wanted.database}' from namespace "
            f"'{wanted.namespace}': {said}",
            f"Compare Secret {wanted.namespace}/{wanted.secret} with the role's password, and look at network policies "
            f"between '{wanted.namespace}' and '{wanted.cluster_namespace}'.",
            rc=outcome.rc,
        )
    proof: dict[str, Any] = json.loads(line[len(_MARK) :])
    _judge(wanted, proof)
    return proof


def _judge(wanted: Wanted, proof: dict[str, Any]) -> None:
    if proof["owner"] != wanted.owner:
        raise NeedsOperator(
            f"The database '{wanted.database}' is owned by role '{proof['owner']}', not by '{wanted.owner}'.",
            f"Set owner: {proof['owner']}, or choose another database.",
            proof=proof,
        )
    if proof["public_connect"]:
        raise StackError(
            f"Every role can still connect to the database '{wanted.database}'.",
            f"Look at its access list: {', '.join(proof['acl'])}",
            proof=proof,
        )
    held = [*proof["privileges"], *proof["memberships"]]
    if held:
        raise NeedsOperator(
            f"The role '{wanted.owner}' has more than an application needs: {', '.join(held)}.",
            "Take it away in PostgreSQL, or choose another owner.",
            proof=proof,
        )


def others(wanted: Wanted, proof: dict[str, Any]) -> list[str]:
    """Login roles beside the owner and superusers that may connect: each was granted it by name."""
    return [role for role in proof["may_connect"] if role != wanted.owner]
