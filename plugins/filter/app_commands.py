# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: what an operator runs for one application, in which situation."""

from __future__ import annotations

DOCUMENTATION = r"""
name: app_commands
short_description: What an operator runs for one application
version_added: 0.1.0
description:
  - Turns an entry of C(stack_apps) into the command of each situation that the application can be in. Each is one
    line, to be run in the checkout. Commands for what the application has not are left out.
author:
  - The railiance.stack authors (@railiance)
options:
  _input:
    description: One entry.
    type: dict
    required: true
  inventory:
    description: What follows C(-i).
    type: str
    required: true
  history:
    description: Its revisions as M(railiance.stack.release_info) returns them; names the one to go back to.
    type: list
    elements: dict
    default: []
  restore_points:
    description: As M(railiance.stack.restore_point_info) returns them; the newest good one is named.
    type: list
    elements: dict
    default: []
positional: inventory, history, restore_points
"""

EXAMPLES = r"""
- name: Show what can be run
  ansible.builtin.debug:
    msg: "{{ stack_apps[0] | railiance.stack.app_commands('inventory/mine') | map(attribute='line') }}"
"""

RETURN = r"""
_value:
  description: C(when) names the situation, C(command) is the command, C(line) both.
  type: list
  elements: dict
  sample:
    - when: a bad version serves
      command: ansible-playbook playbooks/rollback.yml -i inventory/mine -e app=shop
      line: "a bad version serves: ansible-playbook playbooks/rollback.yml -i inventory/mine -e app=shop"
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator
from ansible_collections.railiance.stack.plugins.module_utils._release_target import release_target

Rows = Sequence[Mapping[str, Any]]


def app_commands(
    entry: Mapping[str, Any], inventory: str, history: Rows = (), restore_points: Rows = ()
) -> list[dict[str, str]]:
    app = str(entry["name"])
    django = (entry.get("runtime") or "django") == "django"
    database, source = entry.get("database") is not None, entry.get("source") or {}
    migrates = (entry.get("migrate") or {}).get("driver") or ("django" if django else "none")
    version = f"commit={source['commit']}" if source else f"image={(entry.get('image') or {}).get('reference')}"
    good = [one["name"] for one in restore_points if not one["problem"]]

    found = [
        ("what serves, and is it well", "status", ""),
        ("a pod crashed, what it said last", "logs", "previous=true"),
        ("the cause is gone, new pods at once", "restart", ""),
        ("a bad version serves", "rollback", _back(history)),
        ("another version is to serve", "promote", version),
    ]
    if database:
        # Without a name the playbook lists them.
        found.append(("its data is damaged", "restore", f"restore_point={good[0]}" if good else ""))
        found.append(("before something risky", "restore_point", "reason=by-hand"))
        found.append(("its database password leaked", "rotate", "rotate=database_password"))
    if django:
        found.append(("its SECRET_KEY leaked", "rotate", "rotate=secret_key"))
        found.append(("and then, everybody logs in again", "rotate", "rotate=old_keys keep_days=0"))
    if migrates != "none":
        found.append(("its database lacks migrations", "migrate", ""))
    found.append(("it is to go, its data stays", "remove", ""))
    found.append(("it is to go with its data", "remove", "drop_data=true"))
    return [_row(when, _command(verb, inventory, app, more)) for when, verb, more in found]


def _back(history: Rows) -> str:
    """The revision that a way back leads to; empty where the playbook chooses, or says that there is none."""
    try:
        return f"release={release_target(history, 'previous')['revision']}" if history else ""
    except NeedsOperator:
        return ""


def _command(verb: str, inventory: str, app: str, more: str) -> str:
    options = "".join(f" -e {option}" for option in more.split())
    return f"ansible-playbook playbooks/{verb}.yml -i {inventory} -e app={app}{options}"


def _row(when: str, command: str) -> dict[str, str]:
    return {"when": when, "command": command, "line": f"{when}: {command}"}


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"app_commands": app_commands}
