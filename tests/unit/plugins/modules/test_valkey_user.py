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
        self.keys = {0: set(), 3: set()}
        self.told = []
        self.on_exec = self.answer

    def answer(self, namespace, pod, command, stdin):
        words = stdin.splitlines()[0].split()
        if words[:2] == ["ACL", "LIST"]:
            return Completed(0, "".join(f"user {name} {' '.join(rules)}\n" for name, rules in self.users.items()), "")
        if words[0] == "SELECT":
            return Completed(0, f"OK\n{self.each_key(int(words[1]), stdin.splitlines()[1])}\n", "")
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

    def each_key(self, database, line):
        """Two pages: the cursor goes from 0 over 7 back to 0."""
        cursor, pattern, command = line.split()[-3:]
        keys = sorted(self.keys[database])
        page = [key for key in (keys[:2] if cursor == "0" else keys[2:]) if key.startswith(pattern[:-1])]
        if command == "UNLINK":
            self.told.append(f"UNLINK {database}")
            page = [key for key in keys if key.startswith(pattern[:-1])] if cursor != "0" else []
            self.keys[database] -= set(page)
        return f"{'7' if cursor == '0' else '0'}\n{len(page)}"


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


def test_removal_takes_the_keys_along_only_when_told_so():
    kube = Valkey()
    work(module(), kube)
    kube.keys = {0: {"other:a"}, 3: {"other:a", "shop:a", "shop:b", "shopping:a"}}
    work(module(state="absent"), kube)
    assert "shop:a" in kube.keys[3]
    foretold = work(module(check_mode=True, state="absent", drop_data=True), kube)
    assert "shop:a" in kube.keys[3]
    done = work(module(state="absent", drop_data=True), kube)
    assert [step["target"] for step in done["plan"]] == ["keys shop:* in database 3 of Valkey platform/valkey"]
    assert foretold["plan"] == done["plan"]
    assert kube.keys == {0: {"other:a"}, 3: {"other:a", "shopping:a"}}
    assert work(module(state="absent", drop_data=True), kube)["changed"] is False


def test_an_application_that_never_had_a_user_needs_no_valkey():
    kube = Valkey(ready="False")
    assert work(module(state="absent"), kube)["changed"] is False
    assert kube.commands == []
    with pytest.raises(StackError, match="has no pod that is ready"):
        work(module(state="absent", drop_data=True), kube)
    for none_of_ours in (FakeKube(), Valkey(volumes=[{"name": "data"}])):
        assert work(module(state="absent", drop_data=True), none_of_ours)["changed"] is False


def test_a_removal_that_was_cut_off_is_taken_up():
    kube = Valkey()
    work(module(), kube)
    kube.errors[("delete", SECRET)] = StackError("cut off")
    with pytest.raises(StackError, match="cut off"):
        work(module(state="absent"), kube)
    assert [step["target"] for step in work(module(state="absent"), kube)["plan"]] == [str(SECRET), str(USERS)]


def test_keys_that_cannot_be_gone_through_are_named():
    kube = Valkey()
    kube.each_key = lambda database, line: "NOPERM no"
    with pytest.raises(StackError, match=r"could not go through the keys shop:\* of database 0: OK NOPERM no"):
        work(module(state="absent", drop_data=True), kube)


def test_a_valkey_of_somebody_else_needs_the_operator():
    with pytest.raises(NeedsOperator, match="does not read users from Secret platform/valkey-users"):
        work(module(), Valkey(volumes=[{"name": "data"}]))


def test_a_valkey_that_is_down_is_named():
    with pytest.raises(StackError, match="StatefulSet platform/valkey has no pod that is ready"):
        work(module(), Valkey(ready="False"))
    with pytest.raises(StackError, match="StatefulSet platform/valkey does not exist"):
        work(module(), FakeKube())
