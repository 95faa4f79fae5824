# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A user of an application's own in the stack's Valkey. Private to this collection.

The application's Secret holds the password. The platform's Secret ``valkey-users`` holds one line of Valkey's
configuration an application, with the password's hash; Valkey reads it when it starts. What runs is told at once.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref, selector_of
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step
from ansible_collections.railiance.stack.plugins.module_utils._ready import has_condition
from ansible_collections.railiance.stack.plugins.module_utils._secret import (
    WantedSecret,
    decode,
    generate,
    plan_secret,
    plan_version,
)

_LENGTH = 32
#: Everything but what reaches beyond the own keys: other databases, the names of all keys, the server itself.
_COMMANDS = "+@all -@admin -@dangerous -scan -randomkey -dbsize -function -select +select|{database}"
#: Commands on standard input, the administrator's password in the environment: nothing of it is an argument.
_CLIENT = [
    "sh",
    "-c",
    "REDISCLI_AUTH=$(cat /run/secrets/valkey/password); export REDISCLI_AUTH; exec valkey-cli -h 127.0.0.1",
]
#: Gives the keys of a pattern to a command, a few thousand of all keys a call; answers with the cursor and a count.
_SOME_KEYS = (
    "local cursor, found = ARGV[1], 0; for i = 1, 20 do"
    " local page = redis.call('SCAN', cursor, 'MATCH', ARGV[2], 'COUNT', 500); cursor = page[1];"
    " if #page[2] > 0 then found = found + redis.call(ARGV[3], unpack(page[2])) end;"
    " if cursor == '0' then break end; end; return {cursor, found}"
)


@dataclass(frozen=True)
class User:
    """One application's user.

    :param valkey: namespace and name of the StatefulSet and its Service.
    :param database: the one database that may be selected.
    """

    app: str
    namespace: str
    valkey: tuple[str, str] = ("platform", "valkey")
    database: int = 3
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def prefix(self) -> str:
        return f"{self.app}:"

    @property
    def secret(self) -> Ref:
        return Ref("v1", "Secret", f"{self.app}-valkey", self.namespace)

    @property
    def users(self) -> Ref:
        return Ref("v1", "Secret", f"{self.valkey[1]}-users", self.valkey[0])

    def rules(self, password: str) -> list[str]:
        """What the user may, in the words that Valkey answers with."""
        commands = _COMMANDS.format(database=self.database).split()
        hashed = f"#{hashlib.sha256(password.encode()).hexdigest()}"
        return ["on", hashed, f"~{self.prefix}*", "resetchannels", f"&{self.prefix}*", *commands]

    def line(self, password: str) -> str:
        return " ".join(["user", self.app, *self.rules(password)])


def plan_user(kube: Kube, user: User, *, predict: bool = False) -> tuple[Plan, str]:
    """The Secret of the application, the line for the next start, and the running Valkey; and the Secret's version."""
    pod = _pod(kube, user)
    password = decode(kube.get(user.secret)).get("password") or generate(_LENGTH)
    namespace, name = user.valkey
    wanted = WantedSecret(
        user.secret,
        labels=dict(user.labels),
        data={
            "username": user.app,
            "password": password,
            "VALKEY_PREFIX": user.prefix,
            "VALKEY_URL": {"url": f"redis://{{username}}:{{password}}@{name}.{namespace}:6379/{user.database}"},
        },
    )
    plan, version = plan_version(kube, wanted, predict)
    line = WantedSecret(user.users, data={user.app: user.line(password)})
    for step in plan_secret(kube, line, predict).steps:
        plan.add(step)
    now = _rules_now(kube, user, pod)
    if now is None or now != user.rules(password):
        target = f"user {user.app} of Valkey {namespace}/{name}"

        def tell() -> str:
            return _ask(kube, user, pod, " ".join(["ACL", "SETUSER", user.app, "reset", *user.rules(password)]))

        shown = {"keys": f"{user.prefix}*", "commands": _COMMANDS.format(database=user.database)}
        plan.add(Step("create" if now is None else "update", target, None, shown, tell))
    return plan, version


def plan_removal(kube: Kube, user: User, *, drop_data: bool = False) -> Plan:
    """The user goes; what it wrote goes with ``drop_data`` only.

    The line for the next start goes last: a run that is cut off is taken up by the next one.
    """
    plan = Plan()
    users, secret = kube.get(user.users), kube.get(user.secret)
    named = user.app in ((users or {}).get("data") or {})
    stateful_set = kube.get(_stateful_set(user)) if named or secret is not None or drop_data else None
    # Another owner's Valkey never had a user of ours.
    if stateful_set is not None and _reads(stateful_set, user):
        pod = _pod(kube, user)
        where = f"of Valkey {'/'.join(user.valkey)}"
        if _rules_now(kube, user, pod) is not None:
            forget = functools.partial(_ask, kube, user, pod, f"ACL DELUSER {user.app}")
            plan.add(Step("delete", f"user {user.app} {where}", do=forget))
        for database in sorted({0, user.database}) if drop_data else ():
            if _each_key(kube, user, pod, database, "EXISTS"):
                unlink = functools.partial(_each_key, kube, user, pod, database, "UNLINK")
                plan.add(Step("delete", f"keys {user.prefix}* in database {database} {where}", do=unlink))
    if secret is not None:
        plan.add(Step("delete", str(user.secret), do=lambda: kube.delete(user.secret)))
    if named:

        def forget_line() -> None:
            kube.patch(user.users, {"data": {user.app: None}})

        plan.add(Step("update", str(user.users), {"user": user.app}, {"user": None}, forget_line))
    return plan


def _stateful_set(user: User) -> Ref:
    return Ref("apps/v1", "StatefulSet", user.valkey[1], user.valkey[0])


def _reads(stateful_set: Object, user: User) -> bool:
    """Whether this Valkey has its users from the Secret."""
    volumes = stateful_set["spec"]["template"]["spec"].get("volumes") or []
    return any((one.get("secret") or {}).get("secretName") == user.users.name for one in volumes)


def _pod(kube: Kube, user: User) -> Object:
    """The pod that answers.

    :raises NeedsOperator: when this Valkey does not read its users from the Secret.
    """
    ref = _stateful_set(user)
    found = kube.get(ref)
    if found is None:
        raise StackError(f"{ref} does not exist.", "Run the playbook s3_platform, which installs Valkey.")
    if not _reads(found, user):
        raise NeedsOperator(
            f"{ref} does not read users from {user.users}: it is another owner's, or older than this collection.",
            "Run the playbook s3_platform. Where another owner installed it: make a user there, and give its address to"
            " the application in secret_environment instead of valkey: true.",
        )
    labels = found["spec"]["selector"]["matchLabels"]
    selector = selector_of(labels)
    for pod in kube.find("v1", "Pod", ref.namespace, selector):
        if has_condition(pod, "Ready"):
            return pod
    raise StackError(f"{ref} has no pod that is ready.", f"Look at it with: kubectl -n {ref.namespace} get pods")


def _rules_now(kube: Kube, user: User, pod: Object) -> list[str] | None:
    """What the running Valkey lets the user do; ``None`` when it does not know them."""
    for line in _ask(kube, user, pod, "ACL LIST").splitlines():
        words = line.split()
        if words[:2] == ["user", user.app]:
            # The one word that the server adds.
            return [word for word in words[2:] if word != "sanitize-payload"]
    return None


def _each_key(kube: Kube, user: User, pod: Object, database: int, command: str) -> int:
    """Give every key of the user to a command that counts: ``EXISTS`` or ``UNLINK``. Looks at part of them at a time,
    so that others get their turn."""
    cursor, found = "0", 0
    while True:
        asked = f'SELECT {database}\nEVAL "{_SOME_KEYS}" 0 {cursor} {user.prefix}* {command}'
        answer = _ask(kube, user, pod, asked).split()
        if len(answer) < 3 or not (answer[1].isdigit() and answer[2].isdigit()):
            raise StackError(
                f"Valkey {'/'.join(user.valkey)} could not go through the keys {user.prefix}* of database {database}: "
                f"{' '.join(answer)[:200]}.",
                "Look at its log.",
            )
        cursor, found = answer[1], found + int(answer[2])
        if cursor == "0":
            return found


def _ask(kube: Kube, user: User, pod: Object, command: str) -> str:
    meta = pod["metadata"]
    done = kube.exec(meta["namespace"], meta["name"], _CLIENT, stdin=f"{command}\nQUIT\n", timeout=30)
    words = " ".join(command.split()[:2])
    said = done.stdout.strip() or done.stderr.strip()
    if done.rc or said.startswith(("ERR", "NOAUTH", "WRONGPASS", "Could not")):
        raise StackError(f"Valkey {'/'.join(user.valkey)} refused {words}: {said[:200]}.", "Look at its log.")
    return done.stdout
