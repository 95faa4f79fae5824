#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_way
short_description: Decide what a release may do to the database schema
version_added: 0.1.0
description:
  - Takes what M(railiance.stack.django_manage) says about an image and a database, and answers whether the schema
    stays, goes forward, or goes back; or stops, before anything has started, because only a person can decide.
  - A destructive migration needs approval by name and an announced window. A version that does not know what is applied
    needs the newer one to take it back, if it can.
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
  image:
    description: The image that is to be released.
    type: str
    default: ""
  plan:
    description: What M(railiance.stack.django_manage) says with C(plan=true) and that image.
    type: dict
    required: true
  reverse:
    description: The same for the image that serves, with RV(targets). Given in the third stage.
    type: dict
  history:
    description: The revisions, RV(railiance.stack.release_info#module:history). Given in the second stage.
    type: list
    elements: dict
  accepted:
    description: Applied migrations that the image that serves did not know either.
    type: list
    elements: str
    default: []
  kept:
    description: The restore points of the application as M(railiance.stack.restore_point_info) returns them.
    type: list
    elements: dict
    default: []
  approved:
    description: Migrations that destroy or break something and that a person has approved.
    type: list
    elements: str
    default: []
  window:
    description: When users have been told that the application may fail.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Look at the schema
  railiance.stack.django_manage:
    command: migrate
    plan: true
    app: shop
    image: "{{ image }}"
  register: plan

- name: Decide
  railiance.stack.release_way:
    app: shop
    image: "{{ image }}"
    plan: "{{ plan }}"
"""

RETURN = r"""
way:
  description: Where the schema goes. V(back) in a stage before the last one asks for what that stage lacks.
  returned: success
  type: dict
  contains:
    kind:
      description: V(none), V(forward) or V(back).
      type: str
    migrations:
      description: What is applied or reversed, in order.
      type: list
      elements: str
    breaking:
      description: Those of them after which the version that serves cannot go on.
      type: list
      elements: str
    notes:
      description: What a reader must know before it starts.
      type: list
      elements: str
targets:
  description: Where each Django application must go back to, C(app) and C(migration).
  returned: success
  type: list
  elements: dict
schema:
  description: The last migration of each Django application once that is done.
  returned: success
  type: dict
  sample: {ausschreibungen: 0004_entscheidung_bis_vorbelegen}
unknown:
  description: Applied migrations that the image does not know and that stay.
  returned: success
  type: list
  elements: str
"""
