# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's programs in a pod of the application, their streams on the node. Private to this collection.

The pod logs in with the application's own Secret, so it reads and writes what the application may, and no more.
Data passes through standard input and output only; nothing of it is written down in the pod.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from ansible_collections.railiance.stack.plugins.module_utils._cnpg import image_of
from ansible_collections.railiance.stack.plugins.module_utils._cnpg_proof import CONTAINER, build_client_pod
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._jobs import build_job, job_labels, running_job
from ansible_collections.railiance.stack.plugins.module_utils._kube import Channel, Kube, Object, Timeout

PURPOSE = "restore-point"
#: Everybody who waits for something in the pod looks at the deadline this often.
_TICK = 1.0
_REACHABLE_SECONDS = 30
_LOCK_SECONDS = 10

#: Sessions that must not be cut short, and values whose text is the same wherever it is made.
_SETTINGS_SQL = """
set client_min_messages = warning;
set statement_timeout = 0;
set idle_in_transaction_session_timeout = 0;
set row_security = off;
set search_path = pg_catalog;
set timezone = 'UTC';
set datestyle = 'ISO, YMD';
set intervalstyle = 'postgres';
set bytea_output = 'hex';
set extra_float_digits = 1;
set xmlbinary = 'base64';
"""
#: A line a table: its rows and a sum over them that does not depend on their order.
_CONTENT_SQL = r"""
select format(
  $query$select 'railiance-table ' || json_build_object('name', %L, 'rows', count(*), 'checksum',
     coalesce(sum(hashtextextended(railiance_row::text collate "C", 0)::numeric), 0)::text)
     from only %I.%I as railiance_row$query$,
  format('%I.%I', n.nspname, c.relname), n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by n.nspname, c.relname
\gexec
"""
_LOOK_SQL = """
select json_build_object(
  'database', current_database(),
  'user', current_user,
  'owner', (select pg_get_userbyid(datdba) from pg_database where datname = current_database()),
  'server_version', split_part(current_setting('server_version'), ' ', 1),
  'major', current_setting('server_version_num')::int / 10000,
  'table_bytes', (select coalesce(sum(pg_table_size(c.oid)), 0)::bigint from pg_class c
                  join pg_namespace n on n.oid = c.relnamespace
                  where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'),
  'sessions', (select coalesce(json_agg(json_build_object('user', usename, 'application', application_name,
                 'address', host(client_addr))), '[]') from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'))
"""
# pg_dump says what it cannot do before it connects; an address that leads nowhere keeps the question short.
_LOOK = f"""
tries=0
until pg_isready -q -t 2; do
  tries=$((tries + 1))
  if [ "$tries" -ge {_REACHABLE_SECONDS} ]; then echo "$PGHOST:$PGPORT does not answer" >&2; exit 4; fi
  sleep 1
done
case $(pg_dump -w -Fc --compress=zstd:3 -h /nowhere 2>&1) in
  *compress*|*-Z*) echo 6 ;;
  *) echo zstd:3 ;;
esac
pg_dump --version
exec psql -X -q -A -t -w -v ON_ERROR_STOP=1 -c "$1"
"""
#: psql keeps the snapshot open in which it counts, and runs pg_dump in it. The dump alone goes to standard output.
_DUMP_SQL = rf"""
{_SETTINGS_SQL}
begin isolation level repeatable read read only;
select pg_export_snapshot() as snapshot \gset
\setenv RAILIANCE_SNAPSHOT :snapshot
\o |cat >&2
{_CONTENT_SQL}
\o
\! pg_dump -w -Fc --compress="$COMPRESS" --snapshot="$RAILIANCE_SNAPSHOT" </dev/null && echo railiance-dumped >&2
commit;
"""
_DUMP = r"""
export COMPRESS="$2"
printf '%s\n' "$1" | psql -X -q -A -t -w -v ON_ERROR_STOP=1
"""
#: Reads every row of a dump and counts: a line for the header of each table's data.
_READ = r"""
{ head -c "$1" | pg_restore --data-only -f - || echo railiance-unreadable >&2; } | LC_ALL=C awk '
  inside && $0 == "\\." { print "railiance-copy " rows " " header; inside = 0; next }
  inside { rows++; next }
  /^COPY .* FROM stdin;$/ { inside = 1; rows = 0; header = $0 }
  END { print "railiance-read" }'
"""
_LIST = "pg_restore --list"
_REPLACE_SQL = rf"""
{_SETTINGS_SQL}
set lock_timeout = '{_LOCK_SECONDS}s';
begin;
select txid_current() as railiance_transaction \gset
drop owned by current_user cascade;
create schema if not exists public;
"""
_LOADED_SQL = rf"""
{_SETTINGS_SQL}
select format('revoke connect on database %I from public', current_database())
\gexec
\o |cat
{_CONTENT_SQL}
select 'railiance-isolation ' || json_build_object(
  'owner', pg_get_userbyid(d.datdba),
  'public_connect', exists (select from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                            where a.grantee = 0 and a.privilege_type = 'CONNECT'))
from pg_database d where d.datname = current_database();
select 'railiance-loaded' where txid_current() = :railiance_transaction;
\o
"""  # noqa: S608
_COMMIT_SQL = r"""
commit;
\o |cat
select 'railiance-committed';
\o
set client_min_messages = error;
analyze;
"""
# One transaction around everything. pg_restore ends it where large objects stand, so that is taken out. The commit
# comes on standard input, from somebody who has seen what is there now; without it everything is as it was.
_LOAD = r"""
head -c "$1" >/tmp/list && {
  printf '%s\n' "$3"
  { head -c "$2" | pg_restore --no-owner -L /tmp/list -f - || printf '\nrailiance-unreadable;\n'; } | LC_ALL=C awk '
    copying { if ($0 == "\\.") copying = 0; print; next }
    /^COPY .* FROM stdin;$/ { copying = 1 }
    /^-- Data for Name: .*; Type: BLOBS; / { objects = 1 }
    objects && $0 == "BEGIN;" { next }
    objects && $0 == "COMMIT;" { objects = 0; next }
    { print }'
  printf '%s\n' "$4"
  read -r decision
  [ "$decision" = commit ] && printf '%s\n' "$5"
} | psql -X -q -A -t -w -v ON_ERROR_STOP=1
"""


@dataclass(frozen=True)
class Database:
    """What the server says of the application's database.

    :param compress: the best that this pg_dump can do.
    :param table_bytes: what the tables take, without indexes.
    :param sessions: other connections, ``{user, application, address}``.
    """

    name: str
    owner: str
    server_version: str
    major: int
    compress: str
    table_bytes: int
    sessions: list[dict[str, str]]


#: Name of a table to its rows and its checksum.
Tables = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Loaded:
    """What is in the database before the restore is committed."""

    tables: Tables
    isolation: dict[str, Any]


class Session:
    """Commands in one pod, all before one deadline."""

    def __init__(self, kube: Kube, namespace: str, pod: str, deadline: float) -> None:
        self._kube, self._namespace, self._pod = kube, namespace, pod
        self._deadline = deadline

    def look(self) -> Database:
        """:raises StackError: when the login does not work, or the client is not of the server's version."""
        done = self._kube.exec(
            self._namespace, self._pod, _sh(_LOOK, _LOOK_SQL), container=CONTAINER, timeout=self._left()
        )
        lines = done.stdout.splitlines()
        if done.rc != 0 or len(lines) < 3:
            raise StackError(
                f"The database cannot be reached from namespace '{self._namespace}': "
                f"{_said(done.stderr or done.stdout)}.",
                "Compare the application's Secret with the role's password, and look at network policies.",
                rc=done.rc,
            )
        found: dict[str, Any] = json.loads(lines[2])
        client = lines[1].split()[2]
        if client.partition(".")[0] != str(found["major"]):
            raise StackError(
                f"The cluster's image brings pg_dump {client}, but its server is {found['server_version']}.",
                "Wait until the cluster runs its own image everywhere.",
            )
        return Database(
            name=found["database"],
            owner=found["owner"],
            server_version=found["server_version"],
            major=found["major"],
            compress=lines[0],
            table_bytes=found["table_bytes"],
            sessions=found["sessions"],
        )

    def dump(self, sink: IO[bytes], compress: str) -> tuple[Tables, int]:
        """Writes the dump of one consistent moment.

        :returns: what was in the tables at that moment, and the length of the dump.
        :raises OSError: of the sink.
        """
        said, size = bytearray(), 0
        with self._open(_sh(_DUMP, _DUMP_SQL, compress), stdin=False) as channel:
            for out, err in self._receive(channel):
                sink.write(out)
                size += len(out)
                said += err
        words = said.decode(errors="replace")
        if channel.returncode != 0 or "railiance-dumped" not in words.splitlines():
            raise StackError(f"The dump failed: {_said(words)}.", _hint(words), rc=channel.returncode)
        return _tables(words), size

    def read(self, chunks: Iterable[bytes], size: int) -> dict[str, int]:
        """Reads a whole dump back: the header of each table's data to its number of rows.

        :raises StackError: when PostgreSQL cannot read it.
        """
        out, err = self._feed(_sh(_READ, str(size)), chunks)
        if "railiance-unreadable" in err or not out.endswith("railiance-read\n"):
            raise StackError(f"The dump cannot be read back: {_said(err)}.", "Take another one.")
        found = [line.split(" ", 2) for line in out.splitlines() if line.startswith("railiance-copy ")]
        return {words[2]: int(words[1]) for words in found}

    def entries(self, chunks: Iterable[bytes]) -> str:
        """The dump's table of contents, as pg_restore wants it back.

        Comments of extensions are left out: they belong to who installed the extension, and come with it.
        """
        out, err = self._feed(_sh(_LIST), chunks)
        if not out:
            raise StackError(f"The dump cannot be read: {_said(err)}.", "Choose another restore point.")
        wanted = [line for line in out.splitlines() if " COMMENT - EXTENSION " not in line]
        return "\n".join(wanted) + "\n"

    def load(self, entries: str, chunks: Iterable[bytes], size: int, judge: Callable[[Loaded], None]) -> Loaded:
        """Puts the dump in the place of everything the role owns in its database, in one transaction.

        :param judge: sees what would be there and raises to leave everything as it was.
        """
        table_of_contents = entries.encode()
        command = _sh(_LOAD, str(len(table_of_contents)), str(size), _REPLACE_SQL, _LOADED_SQL, _COMMIT_SQL)
        out, err = bytearray(), bytearray()
        committed = False
        with self._open(command, stdin=True) as channel:

            def gather(timeout: float) -> None:
                some_out, some_err = channel.receive(timeout)
                out.extend(some_out)
                err.extend(some_err)

            for chunk in itertools.chain((table_of_contents,), chunks):
                channel.send(chunk)
                gather(0)
                if not channel.is_open:
                    break
                self._left()
            while channel.is_open and b"railiance-loaded\n" not in out:
                gather(min(_TICK, self._left()))
            if channel.is_open:
                loaded = _loaded(out.decode(errors="replace"))
                judge(loaded)
                channel.send(b"commit\n")
                committed = True
                while channel.is_open:
                    gather(min(_TICK, self._left()))
        words = err.decode(errors="replace")
        if not committed:
            raise StackError(
                f"The restore failed, the database is as it was: {_said(words)}.", _hint(words), rc=channel.returncode
            )
        if b"railiance-committed\n" not in out:
            raise StackError(
                f"The restore was not confirmed: {_said(words)}.",
                "Look into the database: it holds either what it held before or all of the restore point.",
            )
        return loaded

    # -- inside ------------------------------------------------------------------------------------------------
    def _open(self, command: list[str], *, stdin: bool) -> contextlib.closing[Channel]:
        return contextlib.closing(
            self._kube.open(self._namespace, self._pod, command, container=CONTAINER, stdin=stdin)
        )

    def _receive(self, channel: Channel) -> Iterator[tuple[bytes, bytes]]:
        while channel.is_open:
            yield channel.receive(min(_TICK, self._left()))

    def _feed(self, command: list[str], chunks: Iterable[bytes]) -> tuple[str, str]:
        """Standard output and error of a command that reads ``chunks``, or as much of them as it wants."""
        out, err = bytearray(), bytearray()
        with self._open(command, stdin=True) as channel:
            for chunk in chunks:
                channel.send(chunk)
                some_out, some_err = channel.receive(0)
                out += some_out
                err += some_err
                if not channel.is_open:
                    break
                self._left()
            for some_out, some_err in self._receive(channel):
                out += some_out
                err += some_err
        return out.decode(errors="replace"), err.decode(errors="replace")

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Timeout("Time is up before the database was through.", "Raise timeout.")
        return left


@contextlib.contextmanager
def session(
    kube: Kube,
    cluster: Object,
    *,
    app: str,
    namespace: str,
    secret: str,
    name: str,
    timeout: float,
) -> Iterator[Session]:
    """A session in a pod that lives as long as the block, with the image the cluster runs.

    :param name: a word that nobody else uses: the pod of a run that was killed must not stand in the way.
    """
    job = build_session_job(
        image_of(cluster),
        list((cluster.get("spec") or {}).get("imagePullSecrets") or []),
        app=app,
        namespace=namespace,
        secret=secret,
        name=name,
        timeout=int(timeout),
    )
    deadline = time.monotonic() + timeout
    with running_job(kube, job, CONTAINER, timeout=timeout) as pod:
        yield Session(kube, namespace, pod, deadline)


def build_session_job(
    image: str, pull_secrets: list[Object], *, app: str, namespace: str, secret: str, name: str, timeout: int
) -> Object:
    """A Job whose pod waits for commands; it ends by itself when nobody ends it."""
    labels = job_labels(app, PURPOSE)
    pod = build_client_pod(
        image,
        pull_secrets,
        secret,
        ["sleep", str(timeout)],
        application_name=f"railiance-{PURPOSE}",
        memory_limit="512Mi",
    )
    pod["containers"][0]["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    pod["volumes"] = [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}]
    return build_job(
        f"{app[:40].rstrip('-.')}-{PURPOSE}-{name}",
        namespace,
        {"metadata": {"labels": labels}, "spec": pod},
        labels=labels,
        timeout=timeout,
    )


# -- reading what was said ---------------------------------------------------------------------------------------
def _sh(script: str, *arguments: str) -> list[str]:
    return ["sh", "-c", script, "sh", *arguments]


def _tables(text: str) -> Tables:
    tables: Tables = {}
    for line in text.splitlines():
        if line.startswith("railiance-table "):
            table = json.loads(line.partition(" ")[2])
            tables[table.pop("name")] = table
    return tables


def _loaded(text: str) -> Loaded:
    isolation = next(line for line in text.splitlines() if line.startswith("railiance-isolation "))
    return Loaded(_tables(text), json.loads(isolation.partition(" ")[2]))


def _said(text: str) -> str:
    """The last words of a program, in one line, without our own marks."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "railiance-" not in line]
    return " ".join(lines)[-600:].rstrip(".") or "it said nothing"


def _hint(text: str) -> str:
    if "permission denied" in text or "must be owner" in text:
        return "The application's role must own everything in its database: look at what the message names."
    if "lock timeout" in text:
        return "Somebody still uses the database: stop it, then run again."
    return "Look at the message of PostgreSQL, then run again."
