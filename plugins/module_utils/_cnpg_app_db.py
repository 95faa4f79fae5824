# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database for one application on a shared cluster: from the world as it is to a plan. Private to this collection."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils import _cnpg, _cnpg_proof
from ansible_collections.railiance.stack.plugins.module_utils._cnpg import API, Wanted
from ansible_collections.railiance.stack.plugins.module_utils._dsn import generate_password
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._jobs import run_job
from ansible_collections.railiance.stack.plugins.module_utils._kube import (
    Conflict,
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
_NUDGE_ANNOTATION = "railiance.io/nudge"
_PENDING = "known afterwards"
_CONFLICT_RETRIES = 60


@dataclass(frozen=True)
class World:
    """What is there.

    :param roles: DatabaseRoles of this cluster.
    :param databases: Databases of this cluster.
    :param inline: this role's entry in the Cluster.
    :param by_entry: whether the role is (or is to be) an entry in the Cluster instead of a DatabaseRole.
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

    def role(self, wanted: Wanted) -> Object | None:
        return _cnpg.named(self.roles, wanted.owner)

    def database(self, wanted: Wanted) -> Object | None:
        return _cnpg.named(self.databases, wanted.database)


class AppDatabase:
    """One application's database.

    :param password: makes new passwords.
    """

    def __init__(self, kube: Kube, wanted: Wanted, password: Callable[[], str] = generate_password) -> None:
        wanted.check()
        self.kube = kube
        self.wanted = wanted
        self._password = password
        #: The proof that stands, recorded or new; ``None`` before the first one.
        self.proof: dict[str, Any] | None = None
        #: Stands for the credentials the application's Secret holds.
        self.secret_version = ""

    # -- reading ---------------------------------------------------------------------------------------------
    def read(self, present: bool = True) -> World:
        """
        :param present: whether a role is to be there; how a new one is described does not matter otherwise.
        :raises NeedsOperator: when the cluster cannot or must not be used."""
        wanted, kube = self.wanted, self.kube
        cluster = kube.get(wanted.cluster_ref)
        if cluster is not None:
            cluster = self._healthy(cluster)
        roles = _cnpg.for_cluster(kube.find(API, "DatabaseRole", wanted.cluster_namespace), wanted.cluster)
        databases = _cnpg.for_cluster(kube.find(API, "Database", wanted.cluster_namespace), wanted.cluster)
        _cnpg.refuse_taken(wanted, roles, databases)
        inline, role = _cnpg.inline_role(cluster, wanted.owner), _cnpg.named(roles, wanted.owner)
        spec = inline or (role or {}).get("spec") or {}
        secret_name = (spec.get("passwordSecret") or {}).get("name") or wanted.role_secret_name
        secret_ref = Ref("v1", "Secret", secret_name, wanted.cluster_namespace)
        namespace = kube.get(wanted.namespace_ref)
        world = World(
            cluster=cluster,
            roles=roles,
            databases=databases,
            namespace=namespace,
            mirror=kube.get(wanted.mirror_ref) if namespace else None,
            role_secret=kube.get(secret_ref),
            role_secret_ref=secret_ref,
            inline=inline,
            by_entry=self._by_entry(cluster, inline, role) if present else inline is not None,
        )
        self._refuse_secrets(world)
        return world

    def _healthy(self, cluster: Object) -> Object:
        """The cluster, once it is healthy.

        :raises NeedsOperator: when it will not be.
        """
        _cnpg.refuse_cluster(cluster)
        _cnpg.refuse_bootstrap(self.wanted, cluster)

        def healthy(obj: Object | None) -> bool:
            return ((obj or {}).get("status") or {}).get("phase") == _cnpg.HEALTHY

        if healthy(cluster):
            return cluster
        ref = self.wanted.cluster_ref
        try:
            return self.kube.wait(ref, healthy, "become healthy", timeout=self.wanted.timeout) or cluster
        except Timeout as error:
            phase = (cluster.get("status") or {}).get("phase") or "no phase yet"
            raise StackError(
                f"{ref} is not healthy: {phase}.",
                f"Look at it with: kubectl -n {ref.namespace} describe cluster {ref.name}",
            ) from error

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
            _cnpg.refuse_inline(wanted, inline)
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
            other = _cnpg.labels_of(secret).get(_cnpg.APP_LABEL)
            if other and other != wanted.app:
                raise NeedsOperator(
                    f"{ref} belongs to application '{other}'.",
                    f"Give application '{wanted.app}' a role and a Secret of its own.",
                )
        if world.mirror is not None and _cnpg.APP_LABEL not in _cnpg.labels_of(world.mirror):
            address = _cnpg.text_of(world.mirror, "DATABASE_URL").partition("@")[2]
            if address and address != f"{wanted.host}:{_cnpg.PORT}/{wanted.database}":
                raise NeedsOperator(
                    f"{wanted.mirror_ref} was made by somebody else and names another database ({address}).",
                    "Rename that Secret, or choose another secret_name.",
                )

    def look(self, world: World) -> dict[str, Any]:
        """What PostgreSQL itself knows: ``{database: {owner, connections} | None, role: {…} | None}``."""
        wanted = self.wanted
        primary = ((world.cluster or {}).get("status") or {}).get("currentPrimary")
        command = ["psql", "-X", "-A", "-t", "-q", "-d", "postgres", "-v", "ON_ERROR_STOP=1"]
        command += ["-v", f"database={wanted.database}", "-v", f"owner={wanted.owner}", "-f", "-"]
        done = self.kube.exec(
            wanted.cluster_namespace,
            str(primary),
            command,
            container="postgres",
            stdin=_cnpg.LOOK_SQL,
            timeout=30,
        )
        try:
            found: dict[str, Any] = json.loads(done.stdout)
        except ValueError as error:
            raise StackError(
                f"Could not look into {wanted.cluster_ref}: psql in Pod {primary} ended with {done.rc}.",
                f"Look at it with: kubectl -n {wanted.cluster_namespace} logs {primary}",
                rc=done.rc,
                stderr=done.stderr,
            ) from error
        return found

    # -- present ---------------------------------------------------------------------------------------------
    def plan_present(self, rotate: bool = False) -> Plan:
        world, wanted = self.read(), self.wanted
        described = (world.role(wanted) or world.inline) and world.database(wanted)
        if world.cluster is not None and not described:
            _cnpg.refuse_found(wanted, self.look(world))
        plan = Plan()
        if world.cluster is None:
            plan.add(self._missing_cluster())
        self._plan_namespace(plan, world)
        password = self._plan_role_secret(plan, world, rotate)
        if world.by_entry:
            self._plan_inline_role(plan, world)
        else:
            self._plan_role(plan, world)
        self._plan_database(plan, world)
        self._plan_mirror(plan, world, password)
        self._plan_proof(plan, world)
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

    def _plan_role_secret(self, plan: Plan, world: World, rotate: bool) -> str:
        """:returns: the password that will be valid."""
        live, ref = world.role_secret, world.role_secret_ref
        password = _cnpg.text_of(live, "password")
        fresh = rotate or not password
        if fresh:
            password = self._password()
        secret_type = (live or {}).get("type") or "kubernetes.io/basic-auth"
        desired = _cnpg.build_role_secret(self.wanted, ref.name, password, secret_type)

        def do() -> None:
            self.kube.apply(desired, manager=MANAGER)
            if world.role(self.wanted) is not None or world.inline is not None:
                self._wait_role(world)

        note = "a new password is generated" if fresh else ""
        self._converge(plan, live, desired, do=do, note=note)
        return password

    def _plan_role(self, plan: Plan, world: World) -> None:
        live = world.role(self.wanted)
        name = live["metadata"]["name"] if live else self.wanted.object_name
        desired = _cnpg.build_role(self.wanted, name, world.role_secret_ref.name)

        def do() -> None:
            self.kube.apply(desired, manager=MANAGER)
            self._wait_role(world)

        version = ((world.role_secret or {}).get("metadata") or {}).get("resourceVersion")
        changed = self._converge(plan, live, desired, do=do, dry_run=world.cluster is not None)
        pending = _targets(plan, world.role_secret_ref)
        if not changed and not pending and not _cnpg.role_applied(live, str(version)):
            plan.add(_waiting(desired, lambda: self._wait_role(world)))

    def _plan_inline_role(self, plan: Plan, world: World) -> None:
        wanted = self.wanted
        entry = _cnpg.build_inline_role(wanted, world.inline, world.role_secret_ref.name)
        target = f"{wanted.cluster_ref} (spec.managed.roles, {wanted.owner})"
        version = str(((world.role_secret or {}).get("metadata") or {}).get("resourceVersion"))
        if world.inline is not None and _cnpg.covers(world.inline, entry):
            if not _targets(plan, world.role_secret_ref) and not _cnpg.inline_applied(
                world.cluster, wanted.owner, version
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
            self._write_entry(lambda live: _cnpg.build_inline_role(wanted, live, world.role_secret_ref.name))
            self._wait_role(world)

        plan.add(Step("update" if world.inline else "create", target, world.inline, entry, do))

    def _plan_database(self, plan: Plan, world: World) -> None:
        live = world.database(self.wanted)
        name = live["metadata"]["name"] if live else self.wanted.object_name
        desired = _cnpg.build_database(self.wanted, name)
        ref = Ref.of(desired)

        def do() -> None:
            self.kube.apply(desired, manager=MANAGER)
            self._wait_applied(ref, _cnpg.applied)

        changed = self._converge(plan, live, desired, do=do, dry_run=world.cluster is not None)
        if not changed and not _cnpg.applied(live):
            plan.add(_waiting(desired, lambda: self._wait_applied(ref, _cnpg.applied)))

    def _plan_mirror(self, plan: Plan, world: World, password: str) -> None:
        wanted, live = self.wanted, world.mirror
        secret_type = (live or {}).get("type") or "Opaque"
        same = _cnpg.covers((live or {}).get("data"), _cnpg.encode(_cnpg.mirror_values(wanted, password)))
        version = _cnpg.annotations_of(live).get(_cnpg.SOURCE_ANNOTATION, "") if same else ""
        self.secret_version = version or _PENDING

        def do() -> None:
            if not version:
                source = self.kube.get(world.role_secret_ref) or {}
                self.secret_version = str(source["metadata"]["resourceVersion"])
            self.kube.apply(_cnpg.build_mirror(wanted, password, secret_type, self.secret_version), manager=MANAGER)

        desired = _cnpg.build_mirror(wanted, password, secret_type, self.secret_version)
        self._converge(plan, live, desired, do=do, note="" if live else "for the application")

    def _plan_proof(self, plan: Plan, world: World) -> None:
        """A change always asks for a new proof; otherwise the recorded one stands if it was made for what is there."""
        recorded = _recorded(world.mirror)
        if world.cluster and not plan.changed and recorded.get("key") == self._key(world, world.cluster):
            self.proof = recorded["proof"]
            return
        target = f"Database {self.wanted.database} of {self.wanted.cluster_ref}"
        expected = {"connect": [self.wanted.owner], "login": self.wanted.owner}
        note = "revoke CONNECT from PUBLIC as the owner, log in as the application does"
        plan.add(Step("run", target, after=expected, do=self._prove, note=note))

    def _key(self, world: World, cluster: Object) -> dict[str, Any]:
        version = str(((world.role_secret or {}).get("metadata") or {}).get("resourceVersion"))
        role, database = world.role(self.wanted), world.database(self.wanted)
        return _cnpg_proof.proof_key(self.wanted, cluster, role, database, version)

    def _prove(self) -> None:
        wanted, world = self.wanted, self.read()
        cluster = world.cluster
        if cluster is None:
            raise NeedsOperator(f"{wanted.cluster_ref} went away.", "Let the platform layer create it again.")
        pull_secrets = list((cluster.get("spec") or {}).get("imagePullSecrets") or [])
        job = _cnpg_proof.build_proof_job(wanted, _cnpg.image_of(cluster), pull_secrets)
        outcome = run_job(
            self.kube, job, _cnpg_proof.CONTAINER, timeout=wanted.timeout, last_word=_cnpg_proof.last_word
        )
        self.proof = _cnpg_proof.parse_proof(wanted, outcome)
        record = {"key": self._key(world, cluster), "proof": self.proof}
        text = json.dumps(record, sort_keys=True)
        self.kube.patch(wanted.mirror_ref, {"metadata": {"annotations": {_cnpg.PROOF_ANNOTATION: text}}})

    # -- absent ----------------------------------------------------------------------------------------------
    def plan_absent(self, drop_data: bool) -> Plan:
        """What belongs to the application goes; role and database themselves only with ``drop_data``."""
        world, wanted, plan = self.read(present=False), self.wanted, Plan()
        database, role = world.database(wanted), world.role(wanted)
        if drop_data and world.cluster is not None and database is None and self.look(world)["database"]:
            raise NeedsOperator(
                f"The database '{wanted.database}' of {wanted.cluster_ref} still exists, but no object describes it.",
                "Run with state: present first, then with state: absent and drop_data: true.",
            )
        if world.mirror is not None and _cnpg.APP_LABEL in _cnpg.labels_of(world.mirror):
            self._delete(plan, world.mirror)
        if _cnpg.labels_of(world.namespace).get(_cnpg.CLIENT_LABEL) == wanted.cluster:
            self._unlabel(plan, world.namespace)
        if database is not None:
            self._release(plan, world, database, "databaseReclaimPolicy", drop_data)
        if role is not None:
            self._release(plan, world, role, "databaseRoleReclaimPolicy", drop_data)
        if world.inline is not None:
            self._plan_entry_away(plan, world, drop_data)
        if world.role_secret is not None and _cnpg.APP_LABEL in _cnpg.labels_of(world.role_secret):
            self._delete(plan, world.role_secret)
        return plan

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
        found = self.look(world) if world.cluster is not None else {}
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
                self._write_entry(lambda live: {**(live or {"name": wanted.owner}), "ensure": "absent"})
                self._wait_dropped(world)
            self._write_entry(lambda live: None)

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
        """Until the role stands in PostgreSQL with the password its Secret holds now."""
        wanted = self.wanted
        secret = self.kube.get(world.role_secret_ref) or {}
        version = str(secret["metadata"]["resourceVersion"])
        if not world.by_entry:
            live = world.role(wanted)
            name = live["metadata"]["name"] if live else wanted.object_name
            ref = Ref(API, "DatabaseRole", name, wanted.cluster_namespace)
            self._wait_applied(ref, lambda role: _cnpg.role_applied(role, version))
            return
        try:
            self.kube.wait(
                wanted.cluster_ref,
                lambda cluster: _cnpg.inline_applied(cluster, wanted.owner, version),
                f"apply role {wanted.owner}",
                timeout=wanted.timeout,
                interval=0.1,
            )
        except Timeout as error:
            status = (self.kube.get(wanted.cluster_ref) or {}).get("status") or {}
            refused = (status.get("managedRolesStatus") or {}).get("cannotReconcile") or {}
            reasons = "; ".join(refused.get(wanted.owner) or []) or "CloudNativePG gives no reason"
            raise StackError(
                f"The inline role '{wanted.owner}' was not applied within {wanted.timeout} s: {reasons}.",
                f"Look at it with: kubectl -n {wanted.cluster_namespace} describe cluster {wanted.cluster}",
            ) from error

    def _wait_dropped(self, world: World) -> None:
        self.kube.wait(
            self.wanted.cluster_ref,
            lambda cluster: self.look(world)["role"] is None,
            f"drop role {self.wanted.owner}",
            timeout=self.wanted.timeout,
            interval=1,
        )

    def _wait_applied(self, ref: Ref, ready: Callable[[Object | None], bool]) -> None:
        """Until CloudNativePG has carried an object out.

        It looks at a failed object again only after 30 s, or when the object changes. The first failure of a new role
        is ordinary (the operator has yet to allow the instance to read the new Secret), so the object is touched.
        """
        next_nudge, delay, nudges = time.monotonic() + 0.2, 0.4, 0

        def ready_or_nudge(obj: Object | None) -> bool:
            nonlocal next_nudge, delay, nudges
            if ready(obj):
                return True
            failed = ((obj or {}).get("status") or {}).get("applied") is False
            if failed and time.monotonic() >= next_nudge:
                nudges += 1
                self.kube.patch(ref, {"metadata": {"annotations": {_NUDGE_ANNOTATION: str(nudges)}}})
                next_nudge, delay = time.monotonic() + delay, min(delay * 2, 5)
            return False

        try:
            self.kube.wait(ref, ready_or_nudge, "become applied", timeout=self.wanted.timeout, interval=0.1)
        except Timeout as error:
            status = (self.kube.get(ref) or {}).get("status") or {}
            message = status.get("message") or "CloudNativePG has not looked at it"
            raise StackError(
                f"{ref} was not applied within {self.wanted.timeout} s: {message}.",
                f"Look at it with: kubectl -n {ref.namespace} describe {ref.kind.lower()} {ref.name}",
            ) from error

    def _write_entry(self, change: Callable[[Object | None], Object | None]) -> None:
        """Change one entry of ``spec.managed.roles``. The list is one value to Kubernetes: whoever writes it writes
        everybody's roles, so it is read, changed and written under its version, again when somebody was faster."""
        wanted = self.wanted
        for attempt in range(_CONFLICT_RETRIES):
            cluster = self.kube.get(wanted.cluster_ref)
            if cluster is None:
                raise NeedsOperator(f"{wanted.cluster_ref} does not exist.", "Let the platform layer create it first.")
            live = _cnpg.inline_role(cluster, wanted.owner)
            entry = change(live)
            if entry == live:
                return
            try:
                self.kube.replace(_cnpg.with_inline_role(cluster, wanted.owner, entry))
                return
            except Conflict:
                # Jitter, so that writers who met once do not meet again.
                time.sleep(random.uniform(0.02, 0.1) * min(attempt + 1, 10))  # noqa: S311
        raise StackError(
            f"{wanted.cluster_ref} was changed by others {_CONFLICT_RETRIES} times in a row.", "Run again later."
        )


def _waiting(desired: Object, do: Callable[[], Any]) -> Step:
    return Step("run", str(Ref.of(desired)), do=do, note="CloudNativePG has not applied it yet")


def _shown(obj: Object | None) -> Object | None:
    """The object for a diff: without what the server and this module keep for themselves."""
    found = comparable(obj)
    if found is None:
        return None
    kept = {
        key: value
        for key, value in _cnpg.annotations_of(found).items()
        if key not in (_NUDGE_ANNOTATION, _cnpg.PROOF_ANNOTATION)
    }
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
