# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of what is done at a site beside its checks."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  login:
    description: Log in with a form that has a field for the user and one for the password.
    type: dict
    suboptions:
      path:
        description: Path of the page with the form.
        type: str
        required: true
      secret:
        description:
          - Secret with the user and the password, C(namespace), C(name) and, unless they are C(username) and
            C(password), C(username_key) and C(password_key). Needs the connection options of the cluster.
        type: dict
        required: true
        suboptions:
          namespace:
            description: Its namespace.
            type: str
            required: true
          name:
            description: Its name.
            type: str
            required: true
          username_key:
            description: Key of the user.
            type: str
            default: username
          password_key:
            description: Key of the password.
            type: str
            default: password
      username_field:
        description: Name of the field for the user.
        type: str
        default: username
      password_field:
        description: Name of the field for the password.
        type: str
        default: password
  record:
    description:
      - A record to make, read back and remove after O(login). In paths and values V({mark}) stands for a text that is
        new in each run, V({location}) for the path the site leads to after making it, V({id}) for the last number in
        that path.
    type: dict
    suboptions:
      create:
        description: The form that makes it, C(path) and C(fields).
        type: dict
        required: true
        suboptions:
          path:
            description: Path of the page with the form.
            type: str
            required: true
          fields:
            description: Values of its fields; the others stay as the page has them.
            type: dict
            default: {}
      read:
        description: Path of a page that shows V({mark}).
        type: str
        default: "{location}"
      remove:
        description: The form that removes it, C(path) and C(fields).
        type: dict
        required: true
        suboptions:
          path:
            description: Path of the page with the form.
            type: str
            required: true
          fields:
            description: Values of its fields; the others stay as the page has them.
            type: dict
            default: {}
"""
