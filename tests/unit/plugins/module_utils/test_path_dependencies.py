from __future__ import annotations

import json

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._path_dependencies import broken, is_looked_at


def lost(**files):
    """What is broken in a commit of these files; ``__`` stands for a dot, and every commit has src/own/x.py."""
    tree = {name.replace("__", "."): text for name, text in files.items()} | {"src/own/x.py": ""}
    return broken(tree, tree.__getitem__)


@pytest.mark.parametrize(
    "text",
    [
        '[tool.uv.sources]\nshared = {path = "../common", editable = true}',
        '[tool.uv.sources]\nshared = [{path = "../common", marker = "x"}]',
        '[tool.poetry.dependencies]\nshared = {path = "../common"}',
        '[tool.poetry.group.dev.dependencies]\nshared = {path = "../common"}',
    ],
)
def test_a_checkout_beside_the_repository_is_found(text):
    assert lost(pyproject__toml=text) == [
        "pyproject.toml takes shared from ../common, which is outside of the repository"
    ]


def test_every_kind_of_file_is_read():
    assert lost(
        pyproject__toml='[project]\ndependencies = ["a @ file:///srv/a", "b>=1", "c @ https://x.test/c.whl"]',
        uv__lock=(
            '[[package]]\nname = "d"\nsource = {editable = "src/gone"}\n'
            '[[package]]\nname = "e"\nsource = {editable = "."}'
        ),
        requirements__txt="-e ../f\nflask==3\ng @ file:./src/own\n# ../no\n-r base.txt\n./gone\n",
        package__json=json.dumps({"dependencies": {"h": "file:../h", "i": "^1.0.0", "j": "link:src/own"}}),
    ) == [
        "package.json takes h from ../h, which is outside of the repository",
        "pyproject.toml takes a from /srv/a, which is outside of the repository",
        "requirements.txt takes ../f from ../f, which is outside of the repository",
        "requirements.txt takes ./gone from ./gone, which is not in the commit",
        "uv.lock takes d from src/gone, which is not in the commit",
    ]


def test_a_folder_of_the_same_commit_is_fine():
    assert lost(pyproject__toml='[tool.uv.sources]\nown = {path = "src/own"}\nself = {workspace = true}') == []
    tree = {"web/package.json": '{"dependencies": {"own": "file:../src/own"}}', "src/own/x.js": ""}
    assert broken(tree, tree.__getitem__) == []


def test_a_file_that_cannot_be_read_says_nothing():
    assert lost(pyproject__toml="[", package__json="[]", uv__lock="package = 3") == []


def test_only_these_files_are_looked_at():
    assert [is_looked_at(n) for n in ("pyproject.toml", "web/package.json", "requirements-dev.txt")] == [True] * 3
    assert not is_looked_at("web/node_modules/x/package.json")
    assert not is_looked_at("notes/pyproject.toml.md")
