from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._command import LocalRunner
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._git import (
    UNATTENDED,
    Remote,
    WorkingCopy,
    as_user,
    plan_remote,
    without_login,
)


class Repository:
    """A working copy and an empty remote in a folder of the test, with the real git."""

    def __init__(self, folder):
        self.path, self.url = str(folder / "copy"), str(folder / "remote.git")
        identity = {f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        quiet = {**identity, "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **UNATTENDED}
        self.run = LocalRunner(environment=quiet)
        self.git("init", "--quiet", "--bare", self.url, where="/")
        self.git("init", "--quiet", "--initial-branch=main", self.path, where="/")
        self.commit("one")

    def git(self, *arguments, where=None):
        done = self.run(["git", "-C", where or self.path, *arguments])
        assert done.rc == 0, done.stderr
        return done.stdout.strip()

    def commit(self, text):
        self.git("commit", "--quiet", "--allow-empty", "-m", text)

    def plan(self, **changes):
        return plan_remote(WorkingCopy(self.path, self.run), Remote(**{"path": self.path, "url": self.url, **changes}))

    def targets(self, **changes):
        return [f"{step.action} {step.target.split()[0]}" for step in self.plan(**changes).steps]


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


def test_a_new_remote_gets_everything_and_the_second_run_nothing(repository):
    repository.git("tag", "-a", "v1", "-m", "v1")
    repository.git("branch", "side")
    assert repository.targets() == ["create remote", "run git", "update upstream"]
    assert repository.git("for-each-ref", where=repository.url) == ""
    plan = repository.plan()
    plan.execute()
    assert set(plan.steps[1].after) == {"refs/heads/main", "refs/heads/side", "refs/tags/v1"}
    assert repository.git("for-each-ref", where=repository.url) == repository.git(
        "for-each-ref", "refs/heads", "refs/tags"
    )
    assert repository.git("remote", "get-url", "origin") == repository.url
    assert repository.git("rev-parse", "--abbrev-ref", "main@{push}") == "origin/main"
    assert repository.targets() == []


def test_a_new_commit_is_pushed(repository):
    repository.plan().execute()
    repository.commit("two")
    plan = repository.plan()
    assert list(plan.steps[0].after) == ["refs/heads/main"]
    plan.execute()
    assert repository.targets() == []


def test_an_upstream_that_somebody_chose_stays(repository):
    repository.plan().execute()
    repository.git("config", "branch.main.remote", "elsewhere")
    repository.git("branch", "side/way")
    assert [step.target for step in repository.plan().steps][1:] == [f"upstream of side/way in {repository.path}"]
    repository.plan().execute()
    assert repository.git("config", "branch.main.remote") == "elsewhere"


def test_a_remote_that_is_ahead_is_left_alone(repository):
    repository.commit("two")
    repository.plan().execute()
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    assert repository.targets() == []


def test_diverged_histories_are_a_person_s_decision(repository):
    repository.commit("two")
    repository.plan().execute()
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    repository.commit("other")
    with pytest.raises(StackError, match=r"refs/heads/main of .* have diverged") as raised:
        repository.plan()
    assert raised.value.hint == f"Merge or rebase it by hand: git -C {repository.path} pull --rebase origin"


def test_a_remote_with_another_address_is_changed_without_showing_a_login(repository):
    repository.git("remote", "add", "origin", "https://me:hunter2@forge.test/a/b.git")
    plan = repository.plan(push=False)
    assert plan.steps[0].before == {"url": "https://********@forge.test/a/b.git"}
    assert (plan.steps[0].action, len(plan.steps)) == ("update", 1)


def test_a_remote_that_is_not_there_yet_is_not_asked(repository):
    assert repository.targets(url="/nowhere.git", remote_is_new=True) == ["create remote", "run git", "update upstream"]
    with pytest.raises(StackError, match=r"/nowhere\.git does not answer: fatal: '/nowhere\.git' does not appear"):
        repository.plan(url="/nowhere.git")


def test_a_folder_that_is_no_repository_is_named(repository, tmp_path):
    plain = tmp_path / "plain"
    plain.mkdir()
    with pytest.raises(StackError, match=r"plain is no Git repository that its owner can read"):
        plan_remote(WorkingCopy(str(plain), repository.run), Remote(str(plain), "x"))


def test_a_user_that_does_not_exist_is_named():
    with pytest.raises(StackError, match="The user nobody-of-this-name does not exist"):
        as_user("nobody-of-this-name")(["true"])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@h/a", "https://********@h/a"),
        ("ssh://git@h/a", "ssh://********@h/a"),
        ("https://h/a@b", "https://h/a@b"),
        ("/srv/a@b", "/srv/a@b"),
    ],
)
def test_addresses_are_shown_without_logins(url, shown):
    assert without_login(url) == shown


def test_git_never_asks():
    assert UNATTENDED["GIT_TERMINAL_PROMPT"] == "0"
    assert "BatchMode=yes" in UNATTENDED["GIT_SSH_COMMAND"]
