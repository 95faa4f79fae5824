#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: git_remote
short_description: Point working copies to a remote and push what it lacks
version_added: 0.1.0
description:
  - Sets the address of a remote, compares branches and tags with it, pushes what it lacks, and gives branches without
    an upstream one, so that a plain C(git push) works.
  - Runs Git as the user who owns the working copies, with that user's SSH configuration and never with a prompt.
  - A branch that is ahead on the remote is left alone. One that has diverged stops the module.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details: The remote is asked for its branches in check mode too. When it does not answer, a warning says so.
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - git
options:
  user:
    description: Login whose working copies these are.
    type: str
    required: true
  repositories:
    description: The working copies.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Folder of the working copy.
        type: path
        required: true
      url:
        description: Address of the remote.
        type: str
        required: true
      name:
        description: Name of the remote.
        type: str
        default: origin
      push:
        description: Push branches and tags that the remote lacks.
        type: bool
        default: true
      remote_is_new:
        description: The remote repository does not exist yet, so in check mode it is not asked.
        type: bool
        default: false
"""

EXAMPLES = r"""
- name: Push the application to the forge
  railiance.stack.git_remote:
    user: operator
    repositories:
      - path: /home/operator/vergabe-teilnahme
        url: ssh://git@gitea-local/apps/vergabe-teilnahme.git
"""

RETURN = r"""
plan:
  description: What was done, or would be, in order.
  type: list
  elements: dict
  returned: always
  sample: [{"action": "run", "target": "git push /srv/site to ssh://git@gitea-local/apps/site.git", "note": ""}]
"""

from dataclasses import replace

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.railiance.stack.plugins.module_utils._command import NotInstalled
from ansible_collections.railiance.stack.plugins.module_utils._git import (
    Remote,
    Unreadable,
    WorkingCopy,
    as_user,
    plan_remote,
)
from ansible_collections.railiance.stack.plugins.module_utils._host import Work, run_host_module
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step


def look(module: AnsibleModule) -> Work:
    run = as_user(module.params["user"])
    plan = Plan()
    for entry in module.params["repositories"]:
        # Only a prediction may leave the remote out.
        wanted = Remote(**{**entry, "remote_is_new": entry["remote_is_new"] and module.check_mode})
        copy = WorkingCopy(wanted.path, run)
        try:
            plan.steps += plan_remote(copy, wanted).steps
        except NotInstalled as error:
            if not module.check_mode:
                raise
            module.warn(f"{error.message} What is to do is known once it is.")
            target = f"git push {wanted.path} to {wanted.url}"
            plan.add(Step("run", target, note="known once git is installed"))
        except Unreadable as error:
            if not module.check_mode:
                raise
            # An earlier step of the same run may mend the way there; what the remote lacks is known after it.
            module.warn(f"{error.message} What it lacks is known once it answers.")
            plan.steps += plan_remote(copy, replace(wanted, push=False)).steps
    return Work(plan)


def main() -> None:
    run_host_module(
        {
            "user": {"type": "str", "required": True},
            "repositories": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "url": {"type": "str", "required": True},
                    "name": {"type": "str", "default": "origin"},
                    "push": {"type": "bool", "default": True},
                    "remote_is_new": {"type": "bool", "default": False},
                },
            },
        },
        look,
    )


if __name__ == "__main__":
    main()
