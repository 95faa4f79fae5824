# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database for one application on a shared cluster: from the world as it is to a plan. Private to this collection."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils import _cnpg, _cnpg_proof, _cnpg_refuse, _workloads
from ansible_collections.railiance.stack.plugins.module_utils._cnpg import API, Wanted
from ansible_collections.railiance.stack.plugins.module_utils._cnpg_look import (
    ADOPT_SQL,
    APP_SQL,
    isolation,
    look,
    psql,
)
from ansible_collections.railiance.stack.plugins.module_utils._cnpg_operator import (
    NUDGE_ANNOTATION,
    wait_applied,
    wait_role,
    write_entry,
)
from ansible_collections.railiance.stack.plugins.module_utils._dsn import generate_password
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._jobs import run_job
from ansible_collections.railiance.stack.plugins.module_utils._kube import (
    INSTANCE,
    Kube,
    Object,
    Ref,
    Timeout,
    comparable,
    masked,
)
from ansible_collections.railiance.stack.plugins.module_utils._plan import Action, Plan, Step

#: Fields of a namespace are also applied by others of this collection: each has a name of its own.
MANAGER = "railiance.stack.cnpg_app_db"
_PENDING = "known afterwards"
#: Value of the annotation that counts restarts, while none of the workloads is known to have the new credentials.
_NOBODY = "none"
#: What this module keeps for itself in annotations: not part of a diff.
_OWN_NOTES = (NUDGE_ANNOTATION, _cnpg.PROOF_ANNOTATION, _cnpg.RESTARTED_ANNOTATION, _cnpg.CHANGED_ANNOTATION)


@dataclass(frozen=True)
class World:
    """What is there.

    :param roles: DatabaseRoles of this cluster.
    :param databases: Databases of this cluster.
    :param inline: this role's entry in the Cluster.
    :param by_entry: whether the role is (or is to be) an entry in the Cluster instead of a DatabaseRole.
    :param found: what PostgreSQL says, answer of :data:`_cnpg_look.APP_SQL`; ``None`` without a cluster or unasked.
    """

    cluster: Object | None
    roles: list[Object]
    databases: list[Object]
    namespace: Object | None
    mirror: Object | None
    role_secret: Object | None
    role_secret_ref: Ref
    inline: Object | None
    by_entry: bool
    found: dict[str, Any] | None

    def role(self, wanted: Wanted) -> Object | None:
        return _cnpg.named(self.roles, wanted.owner)

    def database(self, wanted: Wanted) -> Object | None:
        return _cnpg.named(self.databases, wanted.database)

    @property
    def secret_version(self) -> str:
        return str(((self.role_secret or {}).get("metadata") or {}).get("resourceVersion"))

    @property
    def password(self) -> str:
        return _cnpg.text_of(self.role_secret, "password")


class AppDatabase:
    """One application's database.

    :param password: makes new passwords.
    :param now: the time of day in seconds.
    """

    def __init__(
        self,
        kube: Kube,
        wanted: Wanted,
        password: Callable[[], str] = generate_password,
        now: Callable[[], float] = time.time,
    ) -> None:
        wanted.check()
        self.kube = kube
        self.wanted = wanted
        self._new_password = password
        self._now = now
        #: The proof that stands, recorded or new; ``None`` before the first one.
        self.proof: dict[str, Any] | None = None
        #: What a change of credentials cost; ``None`` when they did not change.
        self.rotation: dict[str, Any] | None = None
        #: Stands for the credentials the application's Secret holds.
        self.secret_version = ""
        self.role_api = ""
        self.warnings: list[str] = []
        self._password = ""
        self._old_passwords: list[str] = []
        self._changed_at: float | None = None

    # -- reading ---------------------------------------------------------------------------------------------
    def read(self, present: bool = True, ask: bool = True) -> World:
        """
        :param present: whether a role is to be there; how a new one is described does not matter otherwise.
        :param ask: whether PostgreSQL itself is asked; a proof asks it anyway.
        :raises NeedsOperator: when the cluster cannot or must not be used."""
        wanted, kube = self.wanted, self.kube
        cluster = kube.get(wanted.cluster_ref)
        if cluster is not None:
            cluster = self._healthy(cluster)
        all_roles = kube.find(API, "DatabaseRole", wanted.cluster_namespace)
        all_databases = kube.find(API, "Database", wanted.cluster_namespace)
        _cnpg_refuse.refuse_taken(wanted, all_roles, all_databases)
        roles = _cnpg.for_cluster(all_roles, wanted.cluster)
        inline, role = _cnpg.inline_role(cluster, wanted.owner), _cnpg.named(roles, wanted.owner)
        secret_name = _cnpg.role_secret_of(inline or (role or {}).get("spec")) or wanted.role_secret_name
        secret_ref = Ref("v1", "Secret", secret_name, wanted.cluster_namespace)
        namespace = kube.get(wanted.namespace_ref)
        world = World(
            cluster=cluster,
            roles=roles,
            databases=_cnpg.for_cluster(all_databases, wanted.cluster),
            namespace=namespace,
            mirror=kube.get(wanted.mirror_ref) if namespace else None,
            role_secret=kube.get(secret_ref),
            role_secret_ref=secret_ref,
            inline=inline,
            by_entry=self._by_entry(cluster, inline, role) if present else inline is not None,
            found=self._look(cluster) if cluster and ask else None,
        )
        self.role_api = "inline" if world.by_entry else "databaserole"
        self._refuse_secrets(world)
        return world

    def _look(self, cluster: Object) -> dict[str, Any]:
        return look(self.kube, cluster, APP_SQL, database=self.wanted.database, owner=self.wanted.owner)

    def _healthy(self, cluster: Object) -> Object:
        """The cluster, once it is healthy.

        :raises NeedsOperator: when it will not be.
        """
        _cnpg_refuse.refuse_cluster(cluster)
        _cnpg_refuse.refuse_bootstrap(self.wanted, cluster)
        if _cnpg_refuse.healthy(cluster):
            return cluster
        ref, seconds = self.wanted.cluster_ref, self.wanted.timeout
        try:
            return self.kube.wait(ref, _cnpg_refuse.healthy, "become healthy", timeout=seconds) or cluster
        except Timeout as error:
            raise _cnpg_refuse.unhealthy(self.kube.get(ref), ref, seconds) from error

    def _by_entry(self, cluster: Object | None, inline: Object | None, role: Object | None) -> bool:
        wanted = self.wanted
        if inline is not None:
            if role is not None:
                raise NeedsOperator(
                    f"The role '{wanted.owner}' is described twice: by {Ref.of(role)} and inline in "
                    f"{wanted.cluster_ref}, where it counts.",
                    "Remove one of the two descriptions; the role itself stays.",
                )
            if wanted.role_api == "databaserole":
                raise NeedsOperator(
                    f"The role '{wanted.owner}' is managed inline in {wanted.cluster_ref}.",
                    "Remove its entry from spec.managed.roles (the role stays), or do not ask for a DatabaseRole.",
                )
            _cnpg_refuse.refuse_privileges(wanted, inline)
            return True
        if role is not None:
            return False
        if wanted.role_api == "inline":
            return True
        if cluster is None or self.kube.serves(API, "DatabaseRole"):
            return False
        raise NeedsOperator(
            f"The operator of {wanted.cluster_ref} knows no DatabaseRole (CloudNativePG before 1.30), and the role "
            f"'{wanted.owner}' is not in spec.managed.roles.",
            "Let the platform add it, or allow it here with role_api: inline.",
        )

    def _refuse_secrets(self, world: World) -> None:
        wanted = self.wanted
        for secret, ref in ((world.role_secret, world.role_secret_ref), (world.mirror, wanted.mirror_ref)):
            other = _cnpg.labels_of(secret).get(INSTANCE)
            if other and other != wanted.app:
                raise NeedsOperator(
                    f"{ref} belongs to application '{other}'.",
                    f"Give application '{wanted.app}' a role and a Secret of its own.",
                )
        if world.mirror is not None and INSTANCE not in _cnpg.labels_of(world.mirror):
            address = _cnpg.text_of(world.mirror, "DATABASE_URL").partition("@")[2]
            if address and address != f"{wanted.host}:{_cnpg.PORT}/{wanted.database}":
                raise NeedsOperator(
                    f"{wanted.mirror_ref} was made by somebody else and names another database ({address}).",
                    "Rename that Secret, or choose another secret_name.",
                )

    # -- present ---------------------------------------------------------------------------------------------
    def plan_present(self, rotate: bool = False, generation: int | None = None) -> Plan:
        """
        :param rotate: whether the password is replaced.
        :param generation: replaces it when higher than that of the password in use.
        """
        world, wanted, plan = self.read(), self.wanted, Plan()
        database = world.database(wanted)
        if world.found is not None:
            described = database is not None and database["spec"].get("owner") == wanted.owner
            _cnpg_refuse.refuse_found(wanted, world.found, described)
            _cnpg_refuse.refuse_capacity(wanted, world.found)
        if world.cluster is None:
            plan.add(self._missing_cluster())
        self._plan_namespace(plan, world)
        self._plan_role_secret(plan, world, rotate, generation)
        if world.by_entry:
            self._plan_inline_role(plan, world)
        else:
            self._plan_role(plan, world)
        self._plan_adoption(plan, world)
        self._plan_database(plan, world)
        restart_due = self._plan_mirror(plan, world)
        self._plan_proof(plan, world, restart_due)
        return plan

    def _missing_cluster(self) -> Step:
        ref = self.wanted.cluster_ref

        def refuse() -> None:
            raise NeedsOperator(
                f"{ref} does not exist.", "Let the platform layer create it first (playbook s3_platform)."
            )

        return Step("create", str(ref), do=refuse, note="by the platform layer, before this can go on")

    def _plan_namespace(self, plan: Plan, world: World) -> None:
        wanted = self.wanted
        if world.namespace is None and not wanted.create_namespace:
            raise NeedsOperator(f"{wanted.namespace_ref} does not exist.", "Create it, or set create_namespace: true.")
        note = "the namespace is created" if world.namespace is None else ""
        self._converge(plan, world.namespace, _cnpg.build_namespace(wanted), note=note)

    def _plan_role_secret(self, plan: Plan, world: World, rotate: bool, generation: int | None) -> None:
        live, ref = world.role_secret, world.role_secret_ref
        notes = _cnpg.annotations_of(live)
        kept = {k: notes[k] for k in (_cnpg.GENERATION_ANNOTATION, _cnpg.CHANGED_ANNOTATION) if k in notes}
        rotate = self._rotates(world, rotate, generation)
        of_mirror = _cnpg.password_of_mirror(self.wanted, world.mirror)
        self._password, note = world.password, ""
        if rotate:
            self._password, note = self._new_password(), "a new password is generated"
            kept[_cnpg.CHANGED_ANNOTATION] = datetime.fromtimestamp(self._now(), UTC).isoformat()
        elif not self._password and of_mirror:
            self._password, note = of_mirror, "with the password that the application has"
        elif not self._password:
            self._password, note = self._new_password(), "a new password is generated"
        if generation is not None:
            kept[_cnpg.GENERATION_ANNOTATION] = str(generation)
        self._old_passwords = [p for p in dict.fromkeys((world.password, of_mirror)) if p and p != self._password]
        with contextlib.suppress(ValueError):  # of a password that was never replaced there is no time
            self._changed_at = datetime.fromisoformat(kept.get(_cnpg.CHANGED_ANNOTATION, "")).timestamp()
        secret_type = (live or {}).get("type") or "kubernetes.io/basic-auth"
        desired = _cnpg.build_role_secret(self.wanted, ref.name, self._password, secret_type, kept)

        def do() -> None:
            self.kube.apply(desired, manager=MANAGER)
            if world.role(self.wanted) is not None or world.inline is not None:
                self._wait_role(world)

        self._converge(plan, live, desired, do=do, note=note)

    def _rotates(self, world: World, rotate: bool, generation: int | None) -> bool:
        has = int(_cnpg.annotations_of(world.role_secret).get(_cnpg.GENERATION_ANNOTATION) or 0)
        if generation is not None and generation < has:
            raise StackError(
                f"generation {generation} is asked for, and the password of role '{self.wanted.owner}' is of "
                f"generation {has}.",
                f"A password never comes back: use {has}, or {has + 1} for a new one.",
            )
        replaced = bool(world.password) and (rotate or (generation is not None and generation > has))
        if replaced and not self.wanted.wait:
            raise StackError(
                "A rotation without waiting would lock the application out.", "Set wait: true, or do not rotate."
            )
        return replaced

    def _plan_role(self, plan: Plan, world: World) -> None:
        live = world.role(self.wanted)
        name = live["metadata"]["name"] if live else self.wanted.object_name
        desired = _cnpg.build_role(self.wanted, name, world.role_secret_ref.name)

        def do() -> None:
            self.kube.apply(desired, manager=MANAGER)
            self._wait_role(world)

        changed = self._converge(plan, live, desired, do=do, dry_run=world.cluster is not None)
        pending = _targets(plan, world.role_secret_ref)
        if not changed and not pending and not _cnpg.role_applied(live, world.secret_version):
            plan.add(_waiting(desired, lambda: self._wait_role(world)))

    def _plan_inline_role(self, plan: Plan, world: World) -> None:
        wanted = self.wanted
        entry = _cnpg.build_inline_role(wanted, world.inline, world.role_secret_ref.name)
        target = f"{wanted.cluster_ref} (spec.managed.roles, {wanted.owner})"
        if world.inline is not None and _cnpg.covers(world.inline, entry):
            if not _targets(plan, world.role_secret_ref) and not _cnpg.inline_applied(
                world.cluster, wanted.owner, world.secret_version
            ):
                plan.add(Step("run", target, do=lambda: self._wait_role(world), note="not applied yet"))
            return
        if wanted.role_api != "inline":
            raise NeedsOperator(
                f"The inline role '{wanted.owner}' of {wanted.cluster_ref} is not as this application needs it.",
                f"Let the platform set login: true and passwordSecret.name: {world.role_secret_ref.name}, "
                "or allow it here with role_api: inline.",
            )

        def do() -> None:
            write_entry(
                self.kube, wanted, lambda live: _cnpg.build_inline_role(wanted, live, world.role_secret_ref.name)
            )
            self._wait_role(world)

        plan.add(Step("update" if world.inline else "create", target, world.inline, entry, do))

    def _plan_adoption(self, plan: Plan, world: World) -> None:
        """What the old owner owns in the database changes hands before the database does, so that a run that is cut
        off in between finds the old owner still there and does it again."""
        wanted, cluster = self.wanted, world.cluster
        old_owner = ((world.found or {}).get("database") or {}).get("owner")
        if cluster is None or not old_owner or old_owner == wanted.owner:
            return

        def do() -> None:
            psql(self.kube, cluster, ADOPT_SQL, {"owner": wanted.owner, "old_owner": old_owner}, wanted.database)

        target = f"Database {wanted.database} of {wanted.cluster_ref}"
        note = "what the old owner owns in it is handed over"
        plan.add(Step("update", target, {"owner": old_owner}, {"owner": wanted.owner}, do, note))

    def _plan_database(self, plan: Plan, world: World) -> None:
        live = world.database(self.wanted)
        name = live["metadata"]["name"] if live else self.wanted.object_name
        desired = _cnpg.build_database(self.wanted, name)
        ref = Ref.of(desired)

        def do() -> None:
            self.kube.apply(desired, manager=MANAGER)
            self._wait_applied(ref)

        changed = self._converge(plan, live, desired, do=do, dry_run=world.cluster is not None)
        if not changed and not _cnpg.applied(live):
            plan.add(_waiting(desired, lambda: self._wait_applied(ref)))

    def _plan_mirror(self, plan: Plan, world: World) -> bool:
        """:returns: whether pods run, or may run, with other credentials than the Secret will hold."""
        wanted, live, password = self.wanted, world.mirror, self._password
        secret_type = (live or {}).get("type") or "Opaque"
        notes = _cnpg.annotations_of(live)
        has, runs = notes.get(_cnpg.SOURCE_ANNOTATION, ""), notes.get(_cnpg.RESTARTED_ANNOTATION)
        same = _cnpg.covers((live or {}).get("data"), _cnpg.encode(_cnpg.mirror_values(wanted, password)))
        replaced = live is not None and not same and _cnpg.password_of_mirror(wanted, live) != password
        users: list[_workloads.User] = []
        if same and has:
            version = has
            due = runs not in (None, version)
        else:
            version = "" if _targets(plan, world.role_secret_ref) else world.secret_version
            if replaced and version == has:
                # Somebody else wrote the Secret, and pods may have read that: the right values get a new version.
                version = f"{version}.{(live or {})['metadata']['resourceVersion']}"
            due = replaced
        if live is None or "." in version:
            self._changed_at = None
        if due or live is None:
            users = _workloads.users(self.kube, wanted.namespace, wanted.secret)
            due = due or any(user.version != (version or _PENDING) for user in users)
        self.secret_version = version or _PENDING
        restarted_for = (runs if same and runs else _NOBODY) if due else self.secret_version

        def do() -> None:
            if not version:
                source = self.kube.get(world.role_secret_ref) or {}
                self.secret_version = str(source["metadata"]["resourceVersion"])
            runs_with = restarted_for if due else self.secret_version
            self.kube.apply(
                _cnpg.build_mirror(wanted, password, secret_type, self.secret_version, runs_with), manager=MANAGER
            )

        desired = _cnpg.build_mirror(wanted, password, secret_type, self.secret_version, restarted_for)
        if same and has and runs is None:
            desired["metadata"]["annotations"].pop(_cnpg.RESTARTED_ANNOTATION)
        self._converge(plan, live, desired, do=do, note="" if live else "for the application")
        if due and wanted.wait:
            self._plan_restart(plan, users)
        return due

    def _plan_restart(self, plan: Plan, users: list[_workloads.User]) -> None:
        """New pods wherever the credentials are used, then a wait until they serve."""
        wanted = self.wanted
        started = [user for user in users if user.version == self.secret_version]
        stale = [user for user in users if user.version != self.secret_version]
        name = _workloads.VERSION_ANNOTATION + wanted.secret

        def restart(user: _workloads.User) -> Callable[[], None]:
            return lambda: _workloads.restart(self.kube, user, wanted.secret, self.secret_version)

        def wait() -> None:
            for user in stale:
                if user.ready:
                    _workloads.wait_rolled_out(self.kube, user, wanted.timeout)
                else:
                    self.warnings.append(f"{user.ref} was not available before its restart and is not waited for.")
            for user in started:
                try:
                    _workloads.wait_rolled_out(self.kube, user, wanted.timeout)
                except Timeout as error:
                    self.warnings.append(error.message)

        for user in stale:
            before, after = {name: user.version or None}, {name: self.secret_version}
            plan.add(Step("update", str(user.ref), before, after, restart(user), "restarted with the new credentials"))
        if any(user.ready for user in stale) or any(not user.ready for user in started):
            plan.add(Step("run", f"Workloads of {wanted.namespace_ref}", do=wait, note="wait until the new pods serve"))
        self.rotation = {"restarted": [str(user.ref) for user in users]}

    def _plan_proof(self, plan: Plan, world: World, restart_due: bool) -> None:
        """A change always asks for a new proof; otherwise the recorded one stands if it was made for what is there.

        Who may connect is looked at in every run: a restore into the same cluster opens a database again.
        """
        wanted, found = self.wanted, world.found
        recorded = _recorded(world.mirror)
        closed = (
            found is not None
            and bool(found["database"] and found["role"])
            and not found["database"]["public_connect"]
            and found["role"]["login"]
        )
        if found and closed and recorded:
            self.proof = {**recorded["proof"], **isolation(found)}
        if not wanted.wait:
            return
        current = world.cluster is not None and recorded.get("key") == self._key(world, world.cluster)
        if closed and current and not plan.changed and not restart_due:
            return
        target = f"Database {wanted.database} of {wanted.cluster_ref}"
        expected = {"connect": [wanted.owner], "login": wanted.owner}
        note = "revoke CONNECT from PUBLIC as the owner, log in as the application does"

        def do() -> None:
            if restart_due:
                self._account()
            self._prove()

        plan.add(Step("run", target, after=expected, do=do, note=note))

    def _key(self, world: World, cluster: Object) -> dict[str, Any]:
        role, database = world.role(self.wanted), world.database(self.wanted)
        return _cnpg_proof.proof_key(self.wanted, cluster, role, database, world.secret_version)

    def _account(self) -> None:
        """What the change of credentials cost: from the new password in PostgreSQL to the last pod that has it."""
        window = None if self._changed_at is None else round(max(0.0, self._now() - self._changed_at), 1)
        self.rotation = {**(self.rotation or {"restarted": []}), "window_seconds": window}

    def _prove(self) -> None:
        wanted, world = self.wanted, self.read(ask=False)
        cluster = world.cluster
        if cluster is None:
            raise NeedsOperator(f"{wanted.cluster_ref} went away.", "Let the platform layer create it again.")
        pull_secrets = list((cluster.get("spec") or {}).get("imagePullSecrets") or [])
        job = _cnpg_proof.build_proof_job(wanted, _cnpg.image_of(cluster), pull_secrets)
        outcome = run_job(
            self.kube, job, _cnpg_proof.CONTAINER, timeout=wanted.timeout, last_word=_cnpg_proof.last_word
        )
        self.proof = _cnpg_proof.parse_proof(wanted, outcome, self._password)
        if self.rotation is not None:
            refused = [_cnpg_proof.refuses(self.kube, cluster, wanted, password) for password in self._old_passwords]
            self.rotation.update(new_login="accepted", old_login="refused" if refused else "not known")
        record = {"key": self._key(world, cluster), "proof": self.proof}
        notes = {
            _cnpg.PROOF_ANNOTATION: json.dumps(record, sort_keys=True),
            _cnpg.RESTARTED_ANNOTATION: self.secret_version,
        }
        self.kube.patch(wanted.mirror_ref, {"metadata": {"annotations": notes}})

    # -- absent ----------------------------------------------------------------------------------------------
    def plan_absent(self, drop_data: bool) -> Plan:
        """What belongs to the application goes; role and database themselves only with ``drop_data``."""
        world, wanted, plan = self.read(present=False), self.wanted, Plan()
        database, role = world.database(wanted), world.role(wanted)
        if drop_data and world.found is not None:
            self._refuse_drop(world, world.found)
        if world.mirror is not None and INSTANCE in _cnpg.labels_of(world.mirror):
            self._delete(plan, world.mirror)
        if _cnpg.labels_of(world.namespace).get(_cnpg.CLIENT_LABEL) == wanted.cluster:
            self._unlabel(plan, world.namespace)
        if database is not None:
            self._release(plan, world, database, "databaseReclaimPolicy", drop_data)
        if role is not None:
            self._release(plan, world, role, "databaseRoleReclaimPolicy", drop_data)
        if world.inline is not None:
            self._plan_entry_away(plan, world, drop_data)
        if world.role_secret is not None and INSTANCE in _cnpg.labels_of(world.role_secret):
            self._delete(plan, world.role_secret)
        return plan

    def _refuse_drop(self, world: World, found: dict[str, Any]) -> None:
        wanted = self.wanted
        left = {
            f"The database '{wanted.database}'": found["database"] and world.database(wanted) is None,
            f"The role '{wanted.owner}'": found["role"] and world.role(wanted) is None and world.inline is None,
        }
        for what, undescribed in left.items():
            if undescribed:
                raise NeedsOperator(
                    f"{what} of {wanted.cluster_ref} still exists, but no object describes it.",
                    "Run with state: present first, then with state: absent and drop_data: true.",
                )
        connections = (found["database"] or {}).get("connections")
        if connections:
            raise NeedsOperator(
                f"The database '{wanted.database}' of {wanted.cluster_ref} cannot be dropped: {connections} "
                "connections use it.",
                f"Stop what uses it: kubectl -n {wanted.namespace} scale deployment --all --replicas=0",
            )

    def _delete(self, plan: Plan, live: Object) -> None:
        ref = Ref.of(live)
        before = masked(_shown(live), None)[0]
        plan.add(Step("delete", str(ref), before, None, lambda: self.kube.delete(ref)))

    def _unlabel(self, plan: Plan, live: Object | None) -> None:
        ref = self.wanted.namespace_ref
        before = _cnpg.labels_of(live)
        after = {key: value for key, value in before.items() if key != _cnpg.CLIENT_LABEL}
        body = {"metadata": {"labels": {_cnpg.CLIENT_LABEL: None}}}
        plan.add(Step("update", str(ref), {"labels": before}, {"labels": after}, lambda: self.kube.patch(ref, body)))

    def _release(self, plan: Plan, world: World, live: Object, policy_field: str, drop: bool) -> None:
        """Remove an object; what it stands for in PostgreSQL goes only with ``drop``."""
        ref, policy = Ref.of(live), "delete" if drop else "retain"

        def do() -> None:
            if live["spec"].get(policy_field, "retain") != policy:
                self.kube.patch(ref, {"spec": {policy_field: policy}})
            self.kube.delete(ref)
            try:
                self.kube.wait(ref, lambda obj: obj is None, "disappear", timeout=self.wanted.timeout, interval=0.1)
            except Timeout as error:
                raise self._explain_terminating(world, ref) from error

        what = "with everything in it" if drop else "kept in PostgreSQL"
        plan.add(Step("delete", str(ref), _shown(live), None, do, note=what))

    def _explain_terminating(self, world: World, ref: Ref) -> StackError:
        found = self._look(world.cluster) if world.cluster is not None else {}
        connections = (found.get("database") or {}).get("connections") or 0
        kept = sorted(set((found.get("role") or {}).get("databases") or []))
        if ref.kind == "Database" and connections:
            return StackError(
                f"{ref} cannot be dropped: {connections} connections use the database.",
                f"Stop what uses it: kubectl -n {self.wanted.namespace} scale deployment --all --replicas=0",
            )
        if ref.kind == "DatabaseRole" and kept:
            return StackError(
                f"{ref} cannot be dropped: the role still owns {', '.join(kept)}.", "Drop or hand over that first."
            )
        message = ((self.kube.get(ref) or {}).get("status") or {}).get("message") or "CloudNativePG gives no reason"
        return StackError(
            f"{ref} stays in Terminating: {message}.",
            f"Look at it with: kubectl -n {ref.namespace} describe {ref.kind.lower()} {ref.name}",
        )

    def _plan_entry_away(self, plan: Plan, world: World, drop: bool) -> None:
        wanted = self.wanted
        if wanted.role_api != "inline":
            raise NeedsOperator(
                f"The role '{wanted.owner}' is an entry in {wanted.cluster_ref}, which belongs to the platform.",
                "Let the platform remove it, or allow it here with role_api: inline.",
            )

        def do() -> None:
            if drop:
                entry = {"name": wanted.owner}
                write_entry(self.kube, wanted, lambda live: {**(live or entry), "ensure": "absent"})
                self._wait_dropped()
            write_entry(self.kube, wanted, lambda live: None)

        target = f"{wanted.cluster_ref} (spec.managed.roles, {wanted.owner})"
        note = "the role is dropped" if drop else "the role is kept in PostgreSQL"
        plan.add(Step("delete", target, world.inline, None, do, note=note))

    # -- doing -----------------------------------------------------------------------------------------------
    def _converge(
        self,
        plan: Plan,
        live: Object | None,
        desired: Object,
        *,
        do: Callable[[], Any] | None = None,
        note: str = "",
        dry_run: bool = False,
    ) -> bool:
        """Add a step unless the object already is as asked for.

        :param dry_run: whether a creation, too, can be foretold by the server.
        """
        if live is not None and _cnpg.covers(live, desired):
            return False
        after = desired
        if live is not None or dry_run:
            after = self.kube.apply(desired, dry_run=True, manager=MANAGER)
        before_shown, after_shown = masked(_shown(live), _shown(after))
        if live is not None and comparable(live) == comparable(after):
            return False
        action: Action = "create" if live is None else "update"
        do = do or (lambda: self.kube.apply(desired, manager=MANAGER))
        plan.add(Step(action, str(Ref.of(desired)), before_shown, after_shown, do, note))
        return True

    def _wait_role(self, world: World) -> None:
        live = world.role(self.wanted)
        name = live["metadata"]["name"] if live else self.wanted.object_name
        if self.wanted.wait:
            wait_role(self.kube, self.wanted, None if world.by_entry else name, world.role_secret_ref)

    def _wait_applied(self, ref: Ref) -> None:
        if self.wanted.wait:
            wait_applied(self.kube, self.wanted, ref, _cnpg.applied)

    def _wait_dropped(self) -> None:
        self.kube.wait(
            self.wanted.cluster_ref,
            lambda cluster: cluster is None or self._look(cluster)["role"] is None,
            f"drop role {self.wanted.owner}",
            timeout=self.wanted.timeout,
            interval=1,
        )


def _waiting(desired: Object, do: Callable[[], Any]) -> Step:
    return Step("run", str(Ref.of(desired)), do=do, note="CloudNativePG has not applied it yet")


def _shown(obj: Object | None) -> Object | None:
    """The object for a diff: without what the server and this module keep for themselves."""
    found = comparable(obj)
    if found is None:
        return None
    kept = {key: value for key, value in _cnpg.annotations_of(found).items() if key not in _OWN_NOTES}
    meta = {key: value for key, value in found["metadata"].items() if key != "annotations"}
    return {**found, "metadata": {**meta, **({"annotations": kept} if kept else {})}}


def _targets(plan: Plan, ref: Ref) -> bool:
    return any(step.target == str(ref) for step in plan.steps)


def _recorded(mirror: Object | None) -> dict[str, Any]:
    try:
        found = json.loads(_cnpg.annotations_of(mirror).get(_cnpg.PROOF_ANNOTATION) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) and "proof" in found else {}
