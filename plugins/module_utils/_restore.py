# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore points of an application's database: taken, verified, put back. Private to this collection."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils import _cnpg
from ansible_collections.railiance.stack.plugins.module_utils._artifact import hash_file, replacing
from ansible_collections.railiance.stack.plugins.module_utils._cnpg_refuse import refuse_cluster
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._jobs import job_labels
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref, selector_of
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step
from ansible_collections.railiance.stack.plugins.module_utils._restore_age import Age, Key, check_recipients
from ansible_collections.railiance.stack.plugins.module_utils._restore_session import (
    PURPOSE,
    Database,
    Loaded,
    Session,
    session,
)
from ansible_collections.railiance.stack.plugins.module_utils._restore_store import (
    MODE,
    Record,
    Store,
    new_name,
    timestamp,
)
from ansible_collections.railiance.stack.plugins.module_utils._restore_writers import Writers

KNOWN_AFTERWARDS = "known afterwards"
_KEYS = ("DATABASE_URL", "username", "password", "host", "port", "dbname")


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    :param database: checked against the Secret's, when given.
    :param recipients: public keys; when there are none, that of ``identity``, which is generated once.
    :param identity: file on this host with the private key.
    :param keep: how many restore points of the application stay; 0 keeps all.
    :param keep_free: bytes that must stay free in the directory.
    """

    app: str
    namespace: str
    cluster: str
    cluster_namespace: str
    database: str
    secret: str
    directory: str
    identity: str
    recipients: list[str] = field(default_factory=list)
    reason: str = ""
    keep: int = 10
    keep_free: int = 512 << 20
    timeout: int = 3600
    wait_timeout: int = 300

    @property
    def cluster_ref(self) -> Ref:
        return Ref(_cnpg.API, "Cluster", self.cluster, self.cluster_namespace)

    @property
    def secret_ref(self) -> Ref:
        return Ref("v1", "Secret", self.secret, self.namespace)


#: Opens a session: ``open_session(cluster, secret values' database)``.
OpenSession = Callable[[Object], AbstractContextManager[Session]]


class RestorePoints:
    """One application's restore points on this host.

    :param predict: the plan is only shown, so age may still be missing.
    :param now: seconds since the epoch.
    """

    def __init__(
        self,
        kube: Kube,
        wanted: Wanted,
        *,
        predict: bool = False,
        age: Age | None = None,
        open_session: OpenSession | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        check_recipients(wanted.recipients)
        self.kube, self.wanted = kube, wanted
        self.store = Store(wanted.directory)
        self.age = age or Age()
        self._predict = predict
        self._open_session = open_session or self._session
        self._now = now
        #: What was taken, or restored.
        self.record: Record | None = None
        #: What was taken before a restore.
        self.safety: Record | None = None
        self.loaded: Loaded | None = None
        #: Names of the restore points that were removed, or would be.
        self.removed: list[str] = []
        #: Sentences an operator has to read.
        self.warnings: list[str] = []

    # -- taking ------------------------------------------------------------------------------------------------
    def plan_present(self) -> Plan:
        plan = Plan()
        cluster = self._look()
        self._plan_place(plan)
        writers = Writers(self.kube, self.wanted.namespace, self.wanted.wait_timeout)
        plan.add(self._taking(cluster, writers, self.wanted.reason, lambda record: setattr(self, "record", record)))
        earlier = [record.name for record in self.store.records(self.wanted.app)]
        surplus = len(earlier) + 1 - self.wanted.keep if self.wanted.keep else 0
        for name in earlier[: max(0, surplus)]:
            self._plan_removal(plan, name, f"only the last {self.wanted.keep} are kept")
        return plan

    def _taking(self, cluster: Object, writers: Writers, reason: str, done: Callable[[Record], None]) -> Step:
        wanted = self.wanted
        return Step(
            "create",
            f"restore point {wanted.app}-<time>-<random> in {wanted.directory}",
            None,
            {"application": wanted.app, "cluster": str(wanted.cluster_ref), "reason": reason, "encrypted": True},
            lambda: done(self._take(cluster, writers.images, reason)),
            "dumped, encrypted, read back and compared",
        )

    def _look(self) -> Object:
        """The cluster.

        :raises StackError: for everything that is known to fail before anything is done.
        """
        wanted = self.wanted
        if not self._predict:
            self.age.check_installed()
        cluster = self.kube.get(wanted.cluster_ref)
        if cluster is None:
            raise NeedsOperator(f"{wanted.cluster_ref} does not exist.", "Let the platform layer create it.")
        refuse_cluster(cluster)
        secret = self.kube.get(wanted.secret_ref)
        if secret is None:
            raise StackError(
                f"{wanted.secret_ref} does not exist.", "Give the application its database first (cnpg_app_db)."
            )
        missing = [key for key in _KEYS if not _cnpg.text_of(secret, key)]
        if missing:
            raise StackError(f"{wanted.secret_ref} has no {', '.join(missing)}.", "Run cnpg_app_db again.")
        dbname, host = _cnpg.text_of(secret, "dbname"), _cnpg.text_of(secret, "host")
        if wanted.database and dbname != wanted.database:
            raise StackError(
                f"{wanted.secret_ref} leads to database '{dbname}', not to '{wanted.database}'.",
                "Correct database or secret.",
            )
        if not host.startswith(f"{wanted.cluster}-") or host.partition(".")[2].split(".")[0] not in (
            wanted.cluster_namespace,
            "",
        ):
            raise StackError(
                f"{wanted.secret_ref} leads to host '{host}', which is not {wanted.cluster_ref}.",
                "Correct cluster, cluster_namespace or secret.",
            )
        return cluster

    def _plan_place(self, plan: Plan) -> None:
        """The directory and the key."""
        wanted, mode = self.wanted, self.store.mode
        if mode != MODE:
            before = None if mode is None else {"mode": f"{mode:04o}"}
            plan.add(
                Step(
                    "create" if mode is None else "update",
                    wanted.directory,
                    before,
                    {"mode": f"{MODE:04o}"},
                    self.store.prepare,
                )
            )
        if not wanted.recipients and not os.path.exists(wanted.identity):
            plan.add(
                Step(
                    "create",
                    wanted.identity,
                    None,
                    {"mode": "0600"},
                    self._generate_key,
                    "the private key of all restore points here; copy it off this host",
                )
            )

    def _generate_key(self) -> None:
        path = self.wanted.identity
        key, public = self.age.generate()
        with replacing(path, 0o600) as file:
            file.write(key.text.encode())
        self.warnings.append(
            f"{path} is new and the only key to the restore points encrypted to {public}. Copy it off this host now: "
            "when the host is lost with it, they cannot be read."
        )

    def _take(self, cluster: Object, images: dict[str, str], reason: str) -> Record:
        """Dump, encrypt, read back, compare, record."""
        wanted, store = self.wanted, self.store
        recipients, key = self._keys()
        with store.locked(wanted.timeout):
            store.clean(wanted.app)
            self._clean_jobs()
            started = self._now()
            name = new_name(wanted.app, started)
            try:
                with self._open_session(cluster) as remote:
                    database = remote.look()
                    self._check_database(database)
                    store.check_room(
                        store.expected_size(wanted.app, database.name, database.table_bytes), wanted.keep_free
                    )
                    partial = store.partial(name)
                    with self.age.encrypting(recipients, partial) as sink:
                        tables, dump_size = remote.dump(sink, database.compress)
                    compare(tables, remote.read(self.age.decrypting(partial, key), dump_size))
                record = Record(
                    name=name,
                    app=wanted.app,
                    namespace=wanted.namespace,
                    cluster=wanted.cluster,
                    cluster_namespace=wanted.cluster_namespace,
                    database=database.name,
                    server_version=database.server_version,
                    created=timestamp(started),
                    reason=reason,
                    size=os.stat(partial).st_size,
                    sha256=hash_file(partial),
                    dump_size=dump_size,
                    table_bytes=database.table_bytes,
                    recipients=wanted.recipients or recipients,
                    images=images,
                    tables=tables,
                )
                store.keep(record)
            except BaseException:
                store.discard(name)
                raise
        return record

    def _keys(self) -> tuple[list[str], Key]:
        """Who may read a new restore point, and with which key it is read back.

        Without a private key on this host, one in memory is a recipient, too, until the restore point is verified.
        """
        wanted = self.wanted
        if os.path.exists(wanted.identity):
            own = self.age.public_keys(wanted.identity)
            if not wanted.recipients:
                return own, Key(path=wanted.identity)
            if set(own) & set(wanted.recipients):
                return wanted.recipients, Key(path=wanted.identity)
        key, public = self.age.generate()
        return [*wanted.recipients, public], key

    def _check_database(self, database: Database) -> None:
        if self.wanted.database and database.name != self.wanted.database:
            raise StackError(
                f"The login led to database '{database.name}', not to '{self.wanted.database}'.",
                f"Compare {self.wanted.secret_ref} with the cluster.",
            )

    def _clean_jobs(self) -> None:
        """Jobs of runs that were killed: whoever holds the lock has none yet."""
        labels = selector_of(job_labels(self.wanted.app, PURPOSE))
        for job in self.kube.find("batch/v1", "Job", self.wanted.namespace, labels):
            self.kube.delete(Ref.of(job))

    def _session(self, cluster: Object) -> AbstractContextManager[Session]:
        wanted = self.wanted
        return session(
            self.kube,
            cluster,
            app=wanted.app,
            namespace=wanted.namespace,
            secret=wanted.secret,
            name=f"{int(self._now() * 1000) % 0xFFFFFFFF:08x}",
            timeout=wanted.timeout,
        )

    # -- putting back ------------------------------------------------------------------------------------------
    def plan_restored(self, name: str, confirm: str, writers_then: str) -> Plan:
        """
        :param confirm: the name of the database whose content is given up.
        :param writers_then: ``restart``, ``stop`` or ``leave``.
        """
        wanted, plan = self.wanted, Plan()
        cluster = self._look()
        record = self.store.get(name, wanted.app)
        database = _cnpg.text_of(self.kube.get(wanted.secret_ref), "dbname")
        if record.database != database or record.cluster != wanted.cluster:
            raise StackError(
                f"The restore point {name} is of database '{record.database}' on cluster '{record.cluster}', not of "
                f"'{database}' on '{wanted.cluster}'.",
                "Choose one of this database.",
            )
        if confirm != database:
            raise NeedsOperator(
                f"Restoring {name} replaces everything in database '{database}' by what it held at {record.created}; "
                "what was written since is lost, except for the restore point that is taken first.",
                f"Set confirm_overwrite: {database}",
            )
        self._check_identity()
        self.store.check(record)
        self.record = record
        self._plan_place(plan)
        writers = Writers(self.kube, wanted.namespace, wanted.wait_timeout)
        self._warn_images(record, writers)
        if writers_then != "leave":
            for step in writers.stopping():
                plan.add(step)
        reason = f"before the restore of {name}"
        plan.add(self._taking(cluster, writers, reason, lambda taken: setattr(self, "safety", taken)))
        plan.add(
            Step(
                "update",
                f"Database {database} of {wanted.cluster_ref}",
                {"content": "as it is now"},
                {"content": name, "created": record.created, "rows": record.rows},
                lambda: self._restore(cluster, record),
                "one transaction; committed when every table is as it was recorded",
            )
        )
        if writers_then == "restart":
            for step in writers.starting():
                plan.add(step)
        return plan

    def resume_writers(self) -> None:
        """After a restore that failed: the database is as it was, so the application may go on."""
        Writers(self.kube, self.wanted.namespace, self.wanted.wait_timeout).resume()

    def _check_identity(self) -> None:
        path = self.wanted.identity
        if not os.path.exists(path):
            raise NeedsOperator(
                f"The private key {path} is not on this host; without it no restore point can be read.",
                "Put the key there, owner root, mode 0600, and remove it afterwards if it does not belong here.",
            )
        if not self._predict:
            self.age.public_keys(path)

    def _warn_images(self, record: Record, writers: Writers) -> None:
        for container, image in writers.images.items():
            then = record.images.get(container, image)
            if then != image:
                self.warnings.append(
                    f"{container} runs {image} now; {record.name} was taken when it ran {then}. "
                    "Release the version that fits the restored schema."
                )

    def _restore(self, cluster: Object, record: Record) -> None:
        wanted = self.wanted
        key = Key(path=wanted.identity)
        path = self.store.path(record.name)

        def judge(loaded: Loaded) -> None:
            differing = differences(record, loaded)
            if differing:
                raise StackError(
                    f"Restored from {record.name}, the database would not be what was recorded: {differing}.",
                    "It was left as it is. Choose another restore point.",
                )
            if loaded.isolation["public_connect"]:
                raise StackError(
                    f"Every role could connect to the database '{record.database}' after the restore.",
                    "It was left as it is; look at its access list.",
                )

        with self.store.locked(wanted.timeout), self._open_session(cluster) as remote:
            database = remote.look()
            self._check_database(database)
            if database.sessions:
                users = sorted({f"{s['user']} ({s['application'] or s['address']})" for s in database.sessions})
                raise StackError(
                    f"{len(database.sessions)} other sessions use the database '{database.name}': {', '.join(users)}.",
                    "Stop what they belong to; writers: restart stops the application's own workloads.",
                )
            major = int(record.server_version.partition(".")[0])
            if major > database.major:
                raise StackError(
                    f"{record.name} comes from PostgreSQL {record.server_version}, the cluster runs "
                    f"{database.server_version}.",
                    "Restore it into a cluster of the same or a later version.",
                )
            entries = remote.entries(self.age.decrypting(path, key))
            self.loaded = remote.load(entries, self.age.decrypting(path, key), record.dump_size, judge)

    # -- removing ----------------------------------------------------------------------------------------------
    def plan_absent(self, name: str) -> Plan:
        plan = Plan()
        if self.store.find(name, self.wanted.app) is not None:
            self._plan_removal(plan, name, "")
        return plan

    def _plan_removal(self, plan: Plan, name: str, note: str) -> None:
        self.removed.append(name)
        plan.add(Step("delete", f"restore point {name}", {"name": name}, None, lambda: self.store.remove(name), note))


def compare(tables: dict[str, dict[str, Any]], headers: dict[str, int]) -> None:
    """:raises StackError: when the dump read back does not hold what was counted while it was made.

    :param headers: ``COPY <table> (…) FROM stdin;`` to rows.
    """
    wrong = []
    for name, table in tables.items():
        found = [rows for header, rows in headers.items() if header.startswith(f"COPY {name} ")]
        if found != [table["rows"]]:
            wrong.append(f"{name} has {table['rows']} rows, the dump {found[0] if found else 'none of it'}")
    if len(headers) > len(tables) and not wrong:
        wrong.append(f"the dump has {len(headers)} tables, the database {len(tables)}")
    if wrong:
        raise StackError(f"The dump does not hold what was in the database: {'; '.join(wrong)}.", "Take another one.")


def differences(record: Record, loaded: Loaded) -> str:
    """Which tables are not as recorded, in words; empty when all are."""
    names = sorted(set(record.tables) | set(loaded.tables))
    wrong = []
    for name in names:
        then, now = record.tables.get(name), loaded.tables.get(name)
        if then != now:
            rows = [str(table["rows"]) if table else "none" for table in (then, now)]
            wrong.append(f"{name} has {rows[1]} rows instead of {rows[0]}" if rows[0] != rows[1] else f"{name} differs")
    return "; ".join(wrong)


def replaced(before: Record, after: Record) -> dict[str, dict[str, Any]]:
    """Of each table, what the restore did to it."""
    return {
        name: {
            "rows_before": before.rows.get(name),
            "rows_after": after.rows.get(name),
            "different": before.tables.get(name) != after.tables.get(name),
        }
        for name in sorted(set(before.tables) | set(after.tables))
    }
