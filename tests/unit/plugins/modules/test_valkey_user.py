from __future__ import annotations

import hashlib

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Completed, Ref
from ansible_collections.railiance.stack.plugins.module_utils._secret import decode
from ansible_collections.railiance.stack.plugins.modules.valkey_user import ARGUMENT_SPEC, work
from unit.fakes import FakeKube, FakeModule

SECRET = Ref("v1", "Secret", "shop-valkey", "shop")
USERS = Ref("v1", "Secret", "valkey-users", "platform")
LABELS = {"app": "valkey"}


def module(check_mode=False, **params):
    defaults = {key: spec["default"] for key, spec in ARGUMENT_SPEC.items() if "default" in spec}
    return FakeModule(check_mode, **{**defaults, "app": "shop", "namespace": None, **params})


class Valkey(FakeKube):
    """A cluster whose Valkey keeps users as the real one does: rules in order, a password as its hash."""

    def __init__(self, ready="True", volumes=None):
        stateful_set = {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "valkey", "namespace": "platform"},
            "spec": {
                "selector": {"matchLabels": LABELS},
                "template": {"spec": {"volumes": volumes or [{"secret": {"secretName": "valkey-users"}}]}},
            },
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "valkey-0", "namespace": "platform", "labels": LABELS},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }
        namespaces = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("shop", "platform")
        ]
        super().__init__(stateful_set, pod, *namespaces)
        self.users = {"default": ["on", "sanitize-payload", "#00", "~*", "&*", "+@all"]}
        self.told = []
        self.on_exec = self.answer

    def answer(self, namespace, pod, command, stdin):
        words = stdin.splitlines()[0].split()
        if words[:2] == ["ACL", "LIST"]:
            return Completed(0, "".join(f"user {name} {' '.join(rules)}\n" for name, rules in self.users.items()), "")
        self.told.append(" ".join(words[:3]))
        if words[:2] == ["ACL", "SETUSER"]:
            rules = [word for word in words[3:] if word != "reset"]
            # In the server's order, with its own additions.
            self.users[words[2]] = [rules[0], "sanitize-payload", *rules[1:]]
            return Completed(0, "OK\n", "")
        if words[:2] == ["ACL", "DELUSER"]:
            del self.users[words[2]]
            return Completed(0, "1\n", "")
        return Completed(0, f"ERR unknown command {words}\n", "")


def test_a_user_is_made_once_and_for_the_next_start_too():
    kube = Valkey()
    result = work(module(), kube)
    assert [step["target"] for step in result["plan"]] == [
        "Secret shop/shop-valkey",
        "Secret platform/valkey-users",
        "user shop of Valkey platform/valkey",
    ]
    secret = decode(kube.objects[SECRET])
    hashed = hashlib.sha256(secret["password"].encode()).hexdigest()
    assert secret["VALKEY_URL"] == f"redis://shop:{secret['password']}@valkey.platform:6379/3"
    assert secret["VALKEY_PREFIX"] == "shop:"
    [line] = decode(kube.objects[USERS]).values()
    assert line.startswith(f"user shop on #{hashed} ~shop:* resetchannels &shop:* +@all -@admin -@dangerous")
    assert line.endswith("-select +select|3")
    assert secret["password"] not in line
    again = work(module(), kube)
    assert (again["changed"], again["secret_version"]) == (False, result["secret_version"])


def test_check_mode_only_looks():
    kube = Valkey()
    result = work(module(check_mode=True), kube)
    assert result["changed"] is True
    assert (kube.writes, kube.told, result["secret_version"]) == ([], [], "")


def test_check_mode_foretells_the_version_of_the_secret():
    kube = Valkey()
    now = work(module(), kube)["secret_version"]
    kube.objects[SECRET]["data"].pop("VALKEY_PREFIX")
    assert work(module(check_mode=True), kube)["secret_version"] == now


def test_no_command_line_holds_a_secret():
    kube = Valkey()
    work(module(), kube)
    password = decode(kube.objects[SECRET])["password"]
    assert all(password not in " ".join(command) for command, _stdin in kube.commands)


@pytest.mark.parametrize(
    "drift",
    [
        pytest.param(lambda rules: rules[:-1], id="database"),
        pytest.param(lambda rules: [*rules, "+flushall"], id="command"),
        pytest.param(lambda rules: [rule for rule in rules if rule != "on"] + ["on"], id="order"),
        pytest.param(lambda rules: [*rules[:3], "~*", *rules[3:]], id="keys"),
        pytest.param(lambda rules: [rule for rule in rules if not rule.startswith("#")], id="password"),
        pytest.param(lambda rules: ["off", *rules[1:]], id="switched off"),
    ],
)
def test_a_user_that_was_changed_by_hand_is_set_back(drift):
    kube = Valkey()
    work(module(), kube)
    right = kube.users["shop"]
    kube.users["shop"] = drift(right)
    result = work(module(), kube)
    assert [step["action"] for step in result["plan"]] == ["update"]
    assert kube.users["shop"] == right


def test_removal_leaves_other_users():
    kube = Valkey()
    work(module(), kube)
    work(module(app="other", namespace="shop"), kube)
    foretold = work(module(check_mode=True, state="absent"), kube)
    done = work(module(state="absent"), kube)
    again = work(module(state="absent"), kube)
    assert [foretold["changed"], done["changed"], again["changed"]] == [True, True, False]
    assert foretold["plan"] == done["plan"]
    assert set(kube.users) == {"default", "other"}
    assert set(kube.objects[USERS]["data"]) == {"other"}
    assert SECRET not in kube.objects


def test_a_valkey_of_somebody_else_needs_the_operator():
    with pytest.raises(NeedsOperator, match="does not read users from Secret platform/valkey-users"):
        work(module(), Valkey(volumes=[{"name": "data"}]))


def test_a_valkey_that_is_down_is_named():
    with pytest.raises(StackError, match="StatefulSet platform/valkey has no pod that is ready"):
        work(module(), Valkey(ready="False"))
    with pytest.raises(StackError, match="StatefulSet platform/valkey does not exist"):
        work(module(), FakeKube())
