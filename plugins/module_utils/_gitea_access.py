# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what in a Gitea: two plans, the administrator's account first. Private to this collection.

The second plan can only be read with the account that the first one makes; so :func:`converge` carries the first out
before it reads on, and in check mode predicts the second from an empty server.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._gitea import (
    Gitea,
    GiteaPod,
    bootstrap_tokens,
    generated_password,
    grants,
    key_material,
    secret_object,
    secret_values,
    send,
)
from ansible_collections.railiance.stack.plugins.module_utils._http import Response, Transport, basic
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step

_MASK = "********"


@dataclass(frozen=True)
class Name:
    """Names one Secret."""

    namespace: str
    name: str

    @property
    def ref(self) -> Ref:
        return Ref("v1", "Secret", self.name, self.namespace)


@dataclass(frozen=True)
class Token:
    """A token of the bot, and the Secret that keeps it.

    :param registry: keep it as a login for pulling images from this host (``kubernetes.io/dockerconfigjson``);
        empty for plain ``username`` and ``token``.
    """

    secret: Name
    scopes: list[str]
    registry: str = ""

    def stored(self, obj: Object | None) -> tuple[str, str]:
        """Username and token out of the Secret; empty texts when it holds none."""
        values = secret_values(obj)
        if not self.registry:
            return values.get("username", ""), values.get("token", "")
        try:
            login = json.loads(values.get(_DOCKER_KEY, "{}"))["auths"][self.registry]
            return str(login["username"]), str(login["password"])
        except (ValueError, KeyError, TypeError):
            return "", ""

    def secret_object(self, username: str, token: str) -> Object:
        if not self.registry:
            return secret_object(self.secret.name, self.secret.namespace, {"username": username, "token": token})
        login = {"username": username, "password": token, "auth": basic(username, token).removeprefix("Basic ")}
        values = {_DOCKER_KEY: json.dumps({"auths": {self.registry: login}})}
        return secret_object(self.secret.name, self.secret.namespace, values, "kubernetes.io/dockerconfigjson")


_DOCKER_KEY = ".dockerconfigjson"


@dataclass(frozen=True)
class Bot:
    """An account for machines: writes the organisations' code and packages, nothing else."""

    username: str
    tokens: list[Token]
    team: str = "automation"


@dataclass(frozen=True)
class SshKey:
    """``key`` is the public key itself, or ``path`` names the file on this machine that holds it."""

    user: str
    title: str
    key: str = ""
    path: str = ""

    def material(self) -> str | None:
        """Type and key; ``None`` when the file does not exist yet."""
        if self.key:
            return key_material(self.key)
        try:
            return key_material(Path(self.path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StackError(f"The SSH public key {self.path} cannot be read: {error.strerror}.") from error


@dataclass(frozen=True)
class Wanted:
    """The state asked for; settings of organisations and repositories hold only what was given."""

    admin_secret: Name
    admin_username: str
    organisations: dict[str, Object] = field(default_factory=dict)
    repositories: dict[tuple[str, str], Object] = field(default_factory=dict)
    ssh_keys: list[SshKey] = field(default_factory=list)
    bot: Bot | None = None
    reset_admin: bool = False


@dataclass(frozen=True)
class World:
    """:param pod: Gitea's command line; ``None`` when Gitea is not deployed (yet)."""

    kube: Kube
    http: Transport
    pod: GiteaPod | None


def converge(world: World, wanted: Wanted, *, check_mode: bool) -> Plan:
    """Plan and, unless in check mode, carry out; returns everything that was (or would be) done."""
    whole = Plan()
    for stage in (plan_admin, plan_access):
        plan = stage(world, wanted, whole)
        whole.steps += plan.steps
        if check_mode:
            continue
        if world.pod is None:
            raise StackError(
                "Gitea is not deployed: its Deployment does not exist.",
                "Run role railiance.stack.gitea first.",
            )
        plan.execute()
    return whole


# -- first: the administrator ------------------------------------------------------------------------------------
def plan_admin(world: World, wanted: Wanted, before: Plan) -> Plan:
    """The Secret with the login, and an account that it opens."""
    plan = Plan()
    secret = world.kube.get(wanted.admin_secret.ref)
    values = secret_values(secret)
    if secret is not None and not (values.get("username") and values.get("password")):
        raise StackError(
            f"{wanted.admin_secret.ref} lacks username or password.",
            "Write the administrator's login into it, or delete it to have one generated.",
        )
    login = (
        (values["username"], values["password"])
        if secret is not None
        else (wanted.admin_username, generated_password())
    )
    name, password = login
    pod = world.pod
    me = None if pod is None or secret is None else Gitea(world.http, name, password).who_am_i()
    exists = me is not None or (pod is not None and pod.has_user(name))
    if exists and secret is None and not wanted.reset_admin:
        raise NeedsOperator(
            f"Gitea has an account {name}, but {wanted.admin_secret.ref} with its password is missing.",
            "Write its username and password into that Secret, name another account in admin_username, or have its"
            " password replaced with reset_admin: true.",
        )
    if secret is None:
        made = secret_object(
            wanted.admin_secret.name,
            wanted.admin_secret.namespace,
            {"username": name, "password": password},
            "kubernetes.io/basic-auth",
        )
        plan.add(
            Step(
                "create",
                str(wanted.admin_secret.ref),
                after={"username": name, "password": _MASK},
                do=partial(world.kube.create, made),
            )
        )
    email = f"{name}@noreply.{_host(world.http)}"

    def create() -> None:
        _deployed(pod).create_admin(name, email)
        _deployed(pod).set_password(world.http, name, password)

    def repair() -> None:
        _deployed(pod).set_password(world.http, name, password)

    account = f"Gitea user {name}"
    if not exists:
        plan.add(Step("create", account, after={"is_admin": True, "password": _MASK}, do=create))
    elif me is None:
        plan.add(
            Step(
                "update",
                account,
                before={"password": "(refused)"},
                after={"password": f"{_MASK} (as in {wanted.admin_secret.ref})"},
                do=repair,
            )
        )
    elif not me.get("is_admin"):
        plan.add(Step("update", account, before={"is_admin": False}, after={"is_admin": True}, do=repair))
    return plan


# -- second: everything that the administrator can see -----------------------------------------------------------
def plan_access(world: World, wanted: Wanted, before: Plan) -> Plan:
    """Organisations, repositories, the bot with its teams and token, SSH keys."""
    secret = secret_values(world.kube.get(wanted.admin_secret.ref))
    api = Gitea(world.http, secret.get("username", ""), secret.get("password", ""))
    account_open = bool(secret) and world.pod is not None and _opens(api, before)
    if not account_open:
        if any(step.action == "update" for step in before.steps):
            note = "known once the administrator's account works"
            return Plan([Step("run", "Gitea organisations, repositories, keys and tokens", note=note)])
        api = Gitea(_EmptyServer(), "", "")
    plan = Plan()
    for name, settings in wanted.organisations.items():
        _plan_organisation(plan, api, name, settings)
    for (owner, name), settings in wanted.repositories.items():
        _plan_repository(plan, api, owner, name, settings)
    if wanted.bot:
        _plan_bot(plan, world, api, wanted.bot, list(wanted.organisations))
    for key in wanted.ssh_keys:
        _plan_ssh_key(plan, api, key)
    for token in bootstrap_tokens(api.tokens(api.username)) if account_open else []:
        _plan_token_removal(plan, api, api.username, token)
    return plan


def _opens(api: Gitea, before: Plan) -> bool:
    """An empty first plan has just proven the login; otherwise ask again (in check mode nothing was done)."""
    return not before.changed or api.who_am_i() is not None


def _plan_organisation(plan: Plan, api: Gitea, name: str, wanted: Object) -> None:
    target = f"Gitea organisation {name}"
    current = api.organisation(name)
    if current is None:
        settings = {"visibility": "private", **wanted}
        plan.add(Step("create", target, after=settings, do=partial(api.create_organisation, name, settings)))
    elif old := _differences(current, wanted):
        new = {key: wanted[key] for key in old}
        plan.add(Step("update", target, before=old, after=new, do=partial(api.edit_organisation, name, new)))


def _plan_repository(plan: Plan, api: Gitea, owner: str, name: str, wanted: Object) -> None:
    target = f"Gitea repository {owner}/{name}"
    current = api.repository(owner, name)
    if current is None:
        settings = {"private": True, "default_branch": "main", **wanted}
        plan.add(Step("create", target, after=settings, do=partial(api.create_repository, owner, name, settings)))
    elif old := _differences(current, wanted):
        new = {key: wanted[key] for key in old}
        plan.add(Step("update", target, before=old, after=new, do=partial(api.edit_repository, owner, name, new)))


#: The bot's team: code and packages of every repository, nothing else.
TEAM_SETTINGS: Object = {
    "permission": "write",
    "units_map": {"repo.code": "write", "repo.packages": "write"},
    "includes_all_repositories": True,
    "can_create_org_repo": False,
    "description": "Machine accounts: push code and images",
}
_TEAM_COMPARED = ("units_map", "includes_all_repositories", "can_create_org_repo")


def _plan_bot(plan: Plan, world: World, api: Gitea, bot: Bot, organisations: list[str]) -> None:
    if api.user(bot.username) is None:
        email = f"{bot.username}@noreply.{_host(world.http)}"
        plan.add(
            Step(
                "create",
                f"Gitea user {bot.username}",
                after={"is_admin": False, "email": email},
                do=partial(api.create_user, bot.username, email),
            )
        )
    for organisation in organisations:
        _plan_team(plan, api, organisation, bot)
    for token in bot.tokens:
        _plan_token(plan, world, api, bot.username, token)


def _plan_team(plan: Plan, api: Gitea, organisation: str, bot: Bot) -> None:
    target = f"Gitea team {organisation}/{bot.team}"
    team = api.team(organisation, bot.team)
    compared = {key: TEAM_SETTINGS[key] for key in _TEAM_COMPARED}
    if team is None:
        plan.add(
            Step("create", target, after=compared, do=partial(api.create_team, organisation, bot.team, TEAM_SETTINGS))
        )
    elif old := _differences({**team, "units_map": _granted(team.get("units_map"))}, compared):
        new = {key: compared[key] for key in old}
        plan.add(
            Step(
                "update", target, before=old, after=new, do=partial(api.edit_team, team["id"], bot.team, TEAM_SETTINGS)
            )
        )
    if team is None or not api.is_member(team["id"], bot.username):

        def join() -> None:
            found = api.team(organisation, bot.team)
            if found is None:
                raise StackError(f"Team {organisation}/{bot.team} has just disappeared.", "Run this again.")
            api.add_member(found["id"], bot.username)

        plan.add(Step("create", f"Gitea membership of {bot.username} in {organisation}/{bot.team}", after={}, do=join))


def _plan_token(plan: Plan, world: World, api: Gitea, username: str, wanted: Token) -> None:
    """A Secret with a token that Gitea accepts and that may do what is wanted; older ones of this Secret go.

    Gitea shows a token once. So a new one is minted, written, and only then the old ones are deleted: cut off in
    between, the next run finds either no Secret (mints again) or leftovers (deletes them).
    """
    prefix = f"railiance.stack {wanted.secret.namespace}/{wanted.secret.name} "
    stored = world.kube.get(wanted.secret.ref)
    owner, token = wanted.stored(stored)
    listed = api.tokens(username)
    current = next((t for t in listed if token and t.get("token_last_eight") == token[-8:]), None)
    usable = (
        current is not None
        and owner == username
        and grants(current.get("scopes") or [], wanted.scopes)
        and _token_accepted(world.http, token)
    )
    if not usable:
        reason = (
            ""
            if stored is None
            else "Gitea does not know the token"
            if current is None
            else "scopes or account differ, or the token is refused"
        )

        def mint() -> None:
            fresh = api.create_token(username, prefix + secrets.token_hex(4), wanted.scopes)
            world.kube.apply(wanted.secret_object(username, fresh))

        plan.add(
            Step(
                "create" if stored is None else "update",
                str(wanted.secret.ref),
                before=None if stored is None else {"token": _MASK, "scopes": (current or {}).get("scopes")},
                after={"username": username, "token": f"{_MASK} (new)", "scopes": sorted(wanted.scopes)},
                do=mint,
                note=reason,
            )
        )
    for old in listed:
        if str(old.get("name", "")).startswith(prefix) and not (usable and old is current):
            _plan_token_removal(plan, api, username, old)


def _plan_token_removal(plan: Plan, api: Gitea, user: str, token: Object) -> None:
    target = f"Gitea token {token['name']!r} of {user}"
    before = {"scopes": token.get("scopes")}
    note = "superseded or left behind"
    plan.add(Step("delete", target, before=before, do=partial(api.delete_token, user, token["id"]), note=note))


def _plan_ssh_key(plan: Plan, api: Gitea, key: SshKey) -> None:
    material = key.material()
    target = f"Gitea SSH key {key.title!r} of {key.user}"
    present = api.ssh_keys(key.user)
    if material is None:
        plan.add(
            Step("create", target, after={"path": key.path}, do=partial(_late_key, api, key), note="key not made yet")
        )
        return
    if any(key_material(str(k["key"])) == material for k in present):
        return
    replaced = next((k for k in present if k.get("title") == key.title), None)

    def register() -> None:
        if replaced is not None:
            api.delete_ssh_key(key.user, replaced["id"])
        api.add_ssh_key(key.user, key.title, material)

    plan.add(
        Step(
            "create" if replaced is None else "update",
            target,
            before=None if replaced is None else {"key": key_material(str(replaced["key"]))},
            after={"key": material},
            do=register,
        )
    )


def _late_key(api: Gitea, key: SshKey) -> None:
    material = key.material()
    if material is None:
        raise StackError(
            f"The SSH public key {key.path} does not exist.", "Role railiance.stack.git_access makes it: run it first."
        )
    api.add_ssh_key(key.user, key.title, material)


# -- helpers -----------------------------------------------------------------------------------------------------
class _EmptyServer:
    """Stands for a Gitea that holds nothing, so that check mode plans on a clean server with the same code."""

    base_url = "https://not.deployed.yet"

    def request(self, method: str, path: str, **_unused: Any) -> Response:
        return Response(404)


def _differences(current: Object, wanted: Object) -> Object:
    """Current values of the wanted keys that differ."""
    return {key: current.get(key) for key, value in wanted.items() if current.get(key) != value}


def _granted(units: dict[str, str] | None) -> dict[str, str]:
    """A team's units without those it has no access to; Gitea lists every unit."""
    return {unit: level for unit, level in (units or {}).items() if level != "none"}


def _token_accepted(http: Transport, token: str) -> bool:
    """401 is a refusal; 403 only says that this call lies outside the token's scopes."""
    return send(http, "GET", "/user", f"token {token}").status in (200, 403)


def _host(http: Transport) -> str:
    return http.base_url.split("://", 1)[1].split(":", 1)[0]


def _deployed(pod: GiteaPod | None) -> GiteaPod:
    if pod is None:
        raise StackError("Gitea is not deployed.", "Run role railiance.stack.gitea first.")
    return pod
