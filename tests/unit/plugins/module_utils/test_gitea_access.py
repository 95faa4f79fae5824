from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._gitea import (
    GiteaError,
    GiteaPod,
    grants,
    key_material,
    secret_object,
    secret_values,
)
from ansible_collections.railiance.stack.plugins.module_utils._gitea_access import (
    Bot,
    Name,
    SshKey,
    Token,
    Wanted,
    World,
    converge,
)
from ansible_collections.railiance.stack.plugins.module_utils._kube import Completed
from unit.fake_gitea import FakeGitea
from unit.fakes import FakeKube

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gitea"}}
ADMIN, TOKEN, PULL = (Name("gitea", name) for name in ("gitea-admin", "gitea-bot-token", "gitea-pull"))
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample operator@node1"
EVERYTHING = [
    "create Secret gitea/gitea-admin",
    "create Gitea user gitea_admin",
    "create Gitea organisation apps",
    "create Gitea repository apps/site",
    "create Gitea user stack-bot",
    "create Gitea team apps/automation",
    "create Gitea membership of stack-bot in apps/automation",
    "create Secret gitea/gitea-bot-token",
    "create Secret gitea/gitea-pull",
    "create Gitea SSH key 'node1' of stack-bot",
]


def wanted(**changes):
    settings = {
        "admin_secret": ADMIN,
        "admin_username": "gitea_admin",
        "organisations": {"apps": {"description": "Applications"}},
        "repositories": {("apps", "site"): {"private": True}},
        "ssh_keys": [SshKey("stack-bot", "node1", KEY)],
        "bot": Bot(
            "stack-bot",
            [
                Token(TOKEN, ["write:package", "read:repository"]),
                Token(PULL, ["read:package"], registry="gitea.test"),
            ],
        ),
    }
    return Wanted(**{**settings, **changes})


def steps(plan):
    return [f"{step.action} {step.target}" for step in plan.steps]


class Lab:
    """One cluster with one Gitea; ``check`` and ``run`` return the plan as text."""

    def __init__(self, deployed=True):
        self.kube = FakeKube(NAMESPACE)
        self.gitea = FakeGitea()
        self.world = World(self.kube, self.gitea, GiteaPod(self.gitea.run) if deployed else None)

    def check(self, want=None):
        return steps(converge(self.world, want or wanted(), check_mode=True))

    def run(self, want=None):
        return steps(converge(self.world, want or wanted(), check_mode=False))

    def secret(self, name):
        return secret_values(self.kube.get(name.ref))

    def pull_login(self):
        return json.loads(self.secret(PULL)[".dockerconfigjson"])["auths"]["gitea.test"]

    @property
    def all_writes(self):
        return self.kube.written + self.gitea.writes


@pytest.fixture
def lab():
    made = Lab()
    made.run()
    made.kube.writes.clear()
    made.gitea.writes.clear()
    return made


# -- create, in check mode, for real, repeated -------------------------------------------------------------------
def test_check_mode_before_gitea_is_deployed_predicts_everything_and_writes_nothing():
    empty = Lab(deployed=False)
    assert empty.check() == EVERYTHING
    assert empty.all_writes == []


def test_without_gitea_a_real_run_stops_before_writing():
    empty = Lab(deployed=False)
    with pytest.raises(StackError, match=r"Gitea is not deployed: its Deployment does not exist"):
        empty.run()
    assert empty.all_writes == []


def test_the_first_run_does_what_check_mode_predicted_and_the_second_nothing():
    lab = Lab()
    assert lab.check() == EVERYTHING
    assert lab.all_writes == []
    assert lab.run() == EVERYTHING
    lab.kube.writes.clear()
    lab.gitea.writes.clear()
    assert lab.check() == lab.run() == []
    assert lab.all_writes == []


def test_the_result_of_the_first_run_is_usable(lab):
    admin, bot = lab.secret(ADMIN), lab.secret(TOKEN)
    assert lab.gitea.users["gitea_admin"] | {"id": 0} == {
        "id": 0,
        "email": "gitea_admin@noreply.gitea.test",
        "password": admin["password"],
        "admin": True,
    }
    assert [(t["user"], t["sha1"], t["scopes"]) for t in lab.gitea.tokens] == [
        ("stack-bot", bot["token"], ["write:package", "read:repository"]),
        ("stack-bot", lab.pull_login()["password"], ["read:package"]),
    ]
    assert lab.pull_login()["auth"] == base64.b64encode(f"stack-bot:{lab.pull_login()['password']}".encode()).decode()
    assert lab.kube.get(PULL.ref)["type"] == "kubernetes.io/dockerconfigjson"
    assert bot["username"] == "stack-bot"
    assert lab.gitea.teams[0]["members"] == ["stack-bot"]
    assert lab.gitea.organisations["apps"]["visibility"] == "private"
    assert lab.gitea.repositories["apps/site"]["default_branch"] == "main"


def test_no_secret_is_in_a_command_a_plan_or_a_diff():
    lab = Lab()
    plan = converge(lab.world, wanted(), check_mode=False)
    shown = json.dumps([plan.describe(), plan.diff(), lab.gitea.commands])
    for values in (lab.secret(ADMIN), lab.secret(TOKEN), lab.pull_login()):
        for value in (values.get("password"), values.get("token")):
            assert value is None or value not in shown
    assert lab.gitea.users["stack-bot"]["password"] not in shown


# -- drift -------------------------------------------------------------------------------------------------------
def test_a_password_changed_elsewhere_is_set_back_to_the_secrets(lab):
    lab.gitea.users["gitea_admin"].update(password="changed in the web page")  # noqa: S106  a fake server's
    assert lab.check() == [
        "update Gitea user gitea_admin",
        "run Gitea organisations, repositories, keys and tokens",
    ]
    assert lab.all_writes == []
    assert lab.run() == ["update Gitea user gitea_admin"]
    assert lab.gitea.users["gitea_admin"]["password"] == lab.secret(ADMIN)["password"]
    assert [t["user"] for t in lab.gitea.tokens] == ["stack-bot", "stack-bot"]


def test_an_administrator_who_lost_the_role_gets_it_back(lab):
    lab.gitea.users["gitea_admin"]["admin"] = False
    assert lab.run() == ["update Gitea user gitea_admin"]
    assert lab.gitea.users["gitea_admin"]["admin"] is True


def test_settings_are_changed_and_what_was_not_named_is_left_alone(lab):
    lab.gitea.organisations["apps"].update(description="x", visibility="public")
    lab.gitea.repositories["apps/site"].update(private=False, default_branch="trunk")
    lab.gitea.teams[0]["units_map"]["repo.packages"] = "read"
    lab.gitea.teams[0]["members"].clear()
    expected = [
        "update Gitea organisation apps",
        "update Gitea repository apps/site",
        "update Gitea team apps/automation",
        "create Gitea membership of stack-bot in apps/automation",
    ]
    assert lab.check() == expected
    assert lab.all_writes == []
    assert lab.run() == expected
    assert lab.gitea.organisations["apps"]["visibility"] == "public"
    assert lab.gitea.repositories["apps/site"]["default_branch"] == "trunk"
    assert lab.run() == []


def test_another_key_under_the_same_title_is_replaced(lab):
    other = wanted(ssh_keys=[SshKey("stack-bot", "node1", KEY.replace("example", "rebuilt"))])
    assert lab.check(other) == lab.run(other) == ["update Gitea SSH key 'node1' of stack-bot"]
    assert [k["key"] for k in lab.gitea.keys] == ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIrebuilt"]
    assert lab.run(other) == []


def test_a_key_of_another_account_is_refused_with_the_reason(lab):
    with pytest.raises(StackError) as raised:
        lab.run(wanted(ssh_keys=[SshKey("gitea_admin", "mine", KEY)]))
    assert str(raised.value) == (
        "The SSH key mine for gitea_admin is registered with another account already. "
        "One key stands for one account: remove it there, or use another key here."
    )


def test_a_key_file_may_be_missing_in_check_mode_only(lab, tmp_path):
    want = wanted(ssh_keys=[SshKey("stack-bot", "new", path=str(tmp_path / "id.pub"))])
    assert lab.check(want) == ["create Gitea SSH key 'new' of stack-bot"]
    with pytest.raises(StackError, match="does not exist"):
        lab.run(want)
    (tmp_path / "id.pub").write_text(KEY.replace("example", "file"))
    assert lab.run(want) == ["create Gitea SSH key 'new' of stack-bot"]
    assert lab.run(want) == []


# -- the token ---------------------------------------------------------------------------------------------------
def forget_token(lab):
    del lab.gitea.tokens[0]


def refuse_secret(lab):
    lab.kube.put(secret_object(TOKEN.name, TOKEN.namespace, {"username": "stack-bot", "token": "0" * 40}))


def narrow_scopes(lab):
    lab.gitea.tokens[0]["scopes"] = ["read:package"]


def remove_secret(lab):
    del lab.kube.objects[TOKEN.ref]


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (forget_token, ["update Secret gitea/gitea-bot-token"]),
        (refuse_secret, ["update Secret gitea/gitea-bot-token", "delete Gitea token"]),
        (narrow_scopes, ["update Secret gitea/gitea-bot-token", "delete Gitea token"]),
        (remove_secret, ["create Secret gitea/gitea-bot-token", "delete Gitea token"]),
    ],
)
def test_a_token_that_does_not_serve_is_replaced_and_the_old_one_deleted(lab, harm, expected):
    harm(lab)
    predicted = lab.check()
    assert [line.split(" 'railiance")[0] for line in predicted] == expected
    assert lab.all_writes == []
    assert lab.run() == predicted
    assert {t["sha1"] for t in lab.gitea.tokens} == {lab.secret(TOKEN)["token"], lab.pull_login()["password"]}
    assert lab.run() == []


def test_tokens_that_this_module_did_not_make_are_left_alone(lab):
    lab.gitea._token("stack-bot", "made by hand", ["all"])
    forgotten = [t for t in lab.gitea.tokens if t["name"] != "made by hand"]
    lab.gitea.tokens.remove(forgotten[0])
    lab.run()
    assert "made by hand" in [t["name"] for t in lab.gitea.tokens]


def test_a_pull_secret_that_holds_something_else_is_written_anew(lab):
    lab.kube.objects[PULL.ref]["data"] = {".dockerconfigjson": base64.b64encode(b'{"auths": {}}').decode()}
    assert lab.check()[0] == "update Secret gitea/gitea-pull"
    lab.run()
    assert lab.pull_login()["password"] in [t["sha1"] for t in lab.gitea.tokens]
    assert (lab.run(), len(lab.gitea.tokens)) == ([], 2)


# -- an account that may be somebody's ---------------------------------------------------------------------------
def test_an_existing_account_without_its_secret_is_a_question_to_the_operator(lab):
    del lab.kube.objects[ADMIN.ref]
    with pytest.raises(NeedsOperator) as raised:
        lab.run()
    assert str(raised.value) == (
        "Gitea has an account gitea_admin, but Secret gitea/gitea-admin with its password is missing. Write its"
        " username and password into that Secret, name another account in admin_username, or have its password"
        " replaced with reset_admin: true."
    )
    assert lab.all_writes == []
    assert lab.run(wanted(reset_admin=True)) == [
        "create Secret gitea/gitea-admin",
        "update Gitea user gitea_admin",
    ]
    assert lab.gitea.users["gitea_admin"]["password"] == lab.secret(ADMIN)["password"]


def test_a_secret_without_a_login_is_named(lab):
    lab.kube.objects[ADMIN.ref]["data"] = {"username": base64.b64encode(b"x").decode()}
    with pytest.raises(StackError, match=r"Secret gitea/gitea-admin lacks username or password"):
        lab.check()


# -- killed anywhere ---------------------------------------------------------------------------------------------
class Killed(BaseException):
    pass


@pytest.mark.parametrize("write", range(1, 16))
def test_a_run_killed_right_after_any_write_is_completed_by_the_next(write):
    lab = Lab()
    count = 0

    def tick(*_unused):
        nonlocal count
        count += 1
        if count == write:
            raise Killed

    lab.kube.on_write = tick
    recorded = lab.gitea._wrote
    lab.gitea._wrote = lambda call: (recorded(call), tick())
    with pytest.raises(Killed):
        lab.run()
    lab.run()
    assert lab.run() == []
    assert lab.gitea.users["gitea_admin"]["password"] == lab.secret(ADMIN)["password"]
    assert [(t["user"], t["sha1"]) for t in lab.gitea.tokens] == [
        ("stack-bot", lab.secret(TOKEN)["token"]),
        ("stack-bot", lab.pull_login()["password"]),
    ]
    assert len(lab.gitea.keys) == len(lab.gitea.teams) == 1


def test_fifteen_is_the_number_of_writes():
    lab = Lab()
    lab.run()
    assert len(lab.all_writes) == 15


# -- pure --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("have", "want", "granted"),
    [
        (["all"], ["write:package"], True),
        (["write:package"], ["read:package", "write:package"], True),
        (["read:package"], ["write:package"], False),
        (["write:package"], ["write:package", "read:repository"], False),
        ([], ["read:package"], False),
    ],
)
def test_scopes(have, want, granted):
    assert grants(have, want) is granted


def test_a_key_is_its_type_and_material():
    assert key_material(KEY) == "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample"
    with pytest.raises(StackError, match="is no SSH public key"):
        key_material("-----BEGIN OPENSSH PRIVATE KEY-----")


def test_an_error_of_the_api_names_the_call_and_gitea_s_words(lab):
    lab.gitea.users["stack-bot"]["admin"] = False
    real = lab.gitea.request
    lab.gitea.request = lambda method, path, **rest: (
        type(real(method, path, **rest))(503, {}, b'{"message": "database is locked"}')
        if "/orgs/" in path
        else real(method, path, **rest)
    )
    with pytest.raises(GiteaError) as raised:
        lab.check()
    assert str(raised.value) == (
        "Could not read organisation apps at https://gitea.test: HTTP 503 database is locked. "
        "Gitea is starting or its database is away: look at its pod."
    )


def test_a_failing_command_in_the_pod_says_what_gitea_said():
    pod = GiteaPod(lambda command: Completed(1, "", "log\nCommand error: no database\n"))
    with pytest.raises(StackError) as raised:
        pod.has_user("x")
    assert raised.value.message == "Could not list the users in Gitea's pod: Command error: no database."
    assert raised.value.result["rc"] == 1
