# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL itself knows: CloudNativePG's objects say what was asked for. Private to this collection."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Completed, Kube, Object, Ref

# Every look is one JSON object. Connections are those of clients; a promise is the least of a role's own limit and
# that of its only database, or what an unlimited role uses now.
_ROLES_SQL = """
(select r.oid, r.rolname, r.rolcanlogin, r.rolsuper, least(
          case when r.rolconnlimit >= 0 then r.rolconnlimit end,
          (select min(case when d.datconnlimit >= 0 then d.datconnlimit end) from pg_database d
           where d.datdba = r.oid having count(*) = 1)) as allowed,
        (select count(*) from pg_stat_activity a
         where a.usesysid = r.oid and a.backend_type = 'client backend') as used
 from pg_roles r)
"""
_CONNECTIONS_SQL = """
'connections', json_build_object(
  'max', current_setting('max_connections')::int,
  'reserved', current_setting('superuser_reserved_connections')::int
              + coalesce(current_setting('reserved_connections', true), '0')::int,
  'used', (select count(*) from pg_stat_activity where backend_type = 'client backend'))
"""

#: Two names as PostgreSQL knows them, and who may connect; with the psql variables ``database`` and ``owner``.
APP_SQL = f"""
json_build_object(
  'server_version', split_part(current_setting('server_version'), ' ', 1),
  'database', (select json_build_object(
      'owner', pg_get_userbyid(d.datdba),
      'encoding', pg_encoding_to_char(d.encoding),
      'acl', coalesce(d.datacl, acldefault('d', d.datdba))::text[],
      'public_connect', exists (select from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                                where a.grantee = 0 and a.privilege_type = 'CONNECT'),
      'may_connect', (select coalesce(json_agg(rolname order by rolname), '[]') from pg_roles
                      where rolcanlogin and not rolsuper and has_database_privilege(oid, d.oid, 'CONNECT')),
      'connections', (select count(*) from pg_stat_activity a
                      where a.datid = d.oid and a.backend_type = 'client backend'))
    from pg_database d where d.datname = :'database'),
  'role', (select json_build_object(
      'login', rolcanlogin,
      'privileges', array_remove(array[case when rolsuper then 'superuser' end,
        case when rolcreatedb then 'createdb' end, case when rolcreaterole then 'createrole' end,
        case when rolreplication then 'replication' end, case when rolbypassrls then 'bypassrls' end], null),
      'memberships', (select coalesce(json_agg(g.rolname order by g.rolname), '[]') from pg_auth_members m
                      join pg_roles g on g.oid = m.roleid where m.member = r.oid),
      'databases', (select coalesce(json_agg(datname order by datname), '[]') from pg_database where datdba = r.oid),
      'allowed', (select coalesce(allowed, -1) from {_ROLES_SQL} x where x.oid = r.oid))
    from pg_roles r where rolname = :'owner'),
  'superusers', (select coalesce(json_agg(rolname order by rolname), '[]') from pg_roles
                 where rolcanlogin and rolsuper),
  'promised', (select coalesce(json_object_agg(rolname, coalesce(allowed, used) order by rolname), '{{}}')
               from {_ROLES_SQL} x where rolname <> :'owner' and coalesce(allowed, used) > 0 and rolcanlogin),
  {_CONNECTIONS_SQL})
"""  # noqa: S608

CLUSTER_SQL = f"""
json_build_object(
  'server_version', split_part(current_setting('server_version'), ' ', 1),
  'databases', (select coalesce(json_agg(json_build_object(
      'name', datname, 'owner', pg_get_userbyid(datdba), 'size_bytes', pg_database_size(oid),
      'connection_limit', datconnlimit,
      'connections', (select count(*) from pg_stat_activity a
                      where a.datid = d.oid and a.backend_type = 'client backend')) order by datname), '[]')
    from pg_database d where not datistemplate),
  'roles', (select coalesce(json_agg(json_build_object(
      'name', rolname, 'login', rolcanlogin, 'superuser', rolsuper, 'connections', used,
      'connection_limit', coalesce(allowed, -1)) order by rolname), '[]')
    from {_ROLES_SQL} x where rolname !~ '^pg_'),
  'promised', (select coalesce(sum(coalesce(allowed, used)), 0) from {_ROLES_SQL} x where rolcanlogin),
  'wal_bytes', (select coalesce(sum(size), 0) from pg_ls_waldir()),
  {_CONNECTIONS_SQL})
"""  # noqa: S608

#: As the superuser, inside a database that changes hands: what its old owner owns gets the new one. ``REASSIGN OWNED``
#: would also hand over his other databases.
ADOPT_SQL = r"""
select format('alter %s %s owner to %I', kind, name, :'owner') from (
  select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
           when 'f' then 'foreign table' else 'table' end as kind,
         format('%I.%I', n.nspname, c.relname) as name, c.relowner as owner, c.oid, 'pg_class'::regclass as class
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f') or (c.relkind = 'S' and not exists (
    select from pg_depend s where s.classid = 'pg_class'::regclass and s.objid = c.oid and s.deptype in ('a', 'i')))
  union all
  select 'schema', format('%I', nspname), nspowner, oid, 'pg_namespace'::regclass from pg_namespace
  union all
  select 'routine', oid::regprocedure::text, proowner, oid, 'pg_proc'::regclass from pg_proc where prokind <> 'a'
  union all
  select 'aggregate', oid::regprocedure::text, proowner, oid, 'pg_proc'::regclass from pg_proc where prokind = 'a'
  union all
  select 'type', oid::regtype::text, typowner, oid, 'pg_type'::regclass from pg_type t
  where (typrelid = 0 or exists (select from pg_class c where c.oid = typrelid and c.relkind = 'c'))
    and not exists (select from pg_type e where e.typarray = t.oid)
) x
where owner = (select oid from pg_roles where rolname = :'old_owner') and oid >= 16384 and not exists (
  select from pg_depend e where e.classid = x.class and e.objid = x.oid and e.deptype = 'e')
\gexec
"""


def psql(kube: Kube, cluster: Object, sql: str, variables: dict[str, str], connect_to: str = "postgres") -> Completed:
    """Run SQL as the superuser in the primary's pod; names travel as psql variables, never inside the SQL.

    :raises StackError: when it fails.
    """
    ref = Ref.of(cluster)
    primary = str((cluster.get("status") or {}).get("currentPrimary"))
    command = ["psql", "-X", "-A", "-t", "-q", "-d", connect_to, "-v", "ON_ERROR_STOP=1"]
    for name, value in variables.items():
        command += ["-v", f"{name}={value}"]
    done = kube.exec(
        str(ref.namespace), primary, [*command, "-f", "-"], container="postgres", stdin=f"{sql}\n\\q\n", timeout=60
    )
    if done.rc != 0:
        raise StackError(
            f"Could not look into {ref}: psql in Pod {primary} ended with {done.rc}: {' '.join(done.stderr.split())}",
            f"Look at it with: kubectl -n {ref.namespace} logs {primary}",
            rc=done.rc,
            stderr=done.stderr,
        )
    return done


def look(kube: Kube, cluster: Object, sql: str, **variables: str) -> dict[str, Any]:
    """One JSON object that PostgreSQL makes of ``sql``."""
    found: dict[str, Any] = json.loads(psql(kube, cluster, f"select {sql};", variables).stdout)
    return found


def isolation(found: dict[str, Any]) -> dict[str, Any]:
    """Who may connect to the database and what its role may, out of :data:`APP_SQL`'s answer."""
    database, role = found["database"], found["role"]
    return {
        **{key: database[key] for key in ("owner", "acl", "public_connect", "may_connect")},
        "superusers": found["superusers"],
        "privileges": role["privileges"],
        "memberships": role["memberships"],
    }


def connections_left(found: dict[str, Any]) -> int:
    """Connections that nobody else was promised."""
    held = found["connections"]
    return int(held["max"] - held["reserved"] - sum(found["promised"].values()))
