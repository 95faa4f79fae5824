#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_stop
short_description: End a release with what failed in it
version_added: 0.1.0
description:
  - Fails with the message, hint and kind of an earlier failure, and says what serves now.
  - Runs on the controller.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
options:
  app:
    description: Name of the application.
    type: str
    required: true
  failure:
    description: The result of the task that failed.
    type: dict
    required: true
  task:
    description: Its name.
    type: str
    required: true
  serving:
    description: The image that served before; empty when none did.
    type: str
    default: ""
  broken:
    description: Migrations that have happened and that O(serving) cannot work with; it was not put back then.
    type: list
    elements: str
    default: []
  restore_point:
    description: Name of the restore point taken before them.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Stop with what failed
  railiance.stack.release_stop:
    app: shop
    failure: "{{ ansible_failed_result }}"
    task: "{{ ansible_failed_task.name }}"
    serving: gitea.example.org/apps/shop@sha256:0123
"""

RETURN = r"""
msg:
  description: What failed, why, and what serves now.
  returned: always
  type: str
"""
