"""The two places that name a role's variables, its argument spec and its defaults, must agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = sorted(path for path in (Path(__file__).resolve().parents[3] / "roles").iterdir() if (path / "tasks").is_dir())
pytestmark = pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)


def options_of(role: Path) -> dict[str, dict[str, Any]]:
    """The options of all entry points together."""
    entries = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    assert "main" in entries
    options: dict[str, dict[str, Any]] = {}
    for entry in entries.values():
        assert entry.get("short_description")
        options |= entry.get("options") or {}
    return options


def defaults_of(role: Path) -> dict[str, Any]:
    path = role / "defaults" / "main.yml"
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def commented_of(role: Path) -> set[str]:
    """Names of required variables, which defaults show commented out: ``# name: …``."""
    path = role / "defaults" / "main.yml"
    return set(re.findall(r"^# (\w+):", path.read_text(), re.MULTILINE)) if path.exists() else set()


def walk(options: dict[str, dict[str, Any]], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, option in options.items():
        yield f"{path}{name}", option
        yield from walk(option.get("options") or {}, f"{path}{name}.")


def templated(value: Any) -> bool:
    return "{{" in repr(value) or "{%" in repr(value)


def test_every_role_has_a_spec_and_a_description(role: Path):
    assert (role / "meta" / "argument_specs.yml").is_file()
    meta = yaml.safe_load((role / "meta" / "main.yml").read_text())
    assert meta["galaxy_info"]["description"]


def test_defaults_and_spec_name_the_same_variables(role: Path):
    options, defaults = options_of(role), defaults_of(role)
    optional = {name for name, option in options.items() if not option.get("required")}
    required = set(options) - optional
    assert set(defaults) - set(options) == set(), "in defaults/main.yml, not in meta/argument_specs.yml"
    assert optional - set(defaults) == set(), "optional in meta/argument_specs.yml, not in defaults/main.yml"
    assert required - commented_of(role) - set(defaults) == set(), (
        "required in meta/argument_specs.yml: show it commented out in defaults/main.yml, or give it a value there"
    )


def test_defaults_have_the_same_values(role: Path):
    defaults = defaults_of(role)
    different = {
        name: (option.get("default"), defaults[name])
        for name, option in options_of(role).items()
        if name in defaults and not templated(defaults[name]) and option.get("default") != defaults[name]
    }
    assert different == {}


def test_variables_carry_the_roles_name(role: Path):
    assert [name for name in options_of(role) if not name.startswith(f"{role.name}_")] == []


def test_every_option_is_described_and_typed(role: Path):
    for name, option in walk(options_of(role)):
        assert option.get("description"), name
        assert option.get("type"), name
        assert option["type"] != "list" or option.get("elements"), f"{name} has no elements"
