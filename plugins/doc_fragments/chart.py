# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of what the modules that release a chart share."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  chart_files:
    description: Files of the chart, path to base64. Filled in from O(chart) by the action plugin.
    type: dict
  policy:
    description:
      - Check the objects as those of a web application, and ask the server for each of them (dry run). Every violation
        is named at once.
      - No value of a Secret and no Secret in the manifests, resources requested and limited, probes with the public
        Host and C(X-Forwarded-Proto), no DEBUG.
    type: dict
    suboptions:
      hosts:
        description: Public host names.
        type: list
        elements: str
        default: []
      django:
        description: Whether ALLOWED_HOSTS, CSRF_TRUSTED_ORIGINS and SECURE_PROXY_SSL_HEADER must fit the hosts.
        type: bool
        default: false
      login:
        description: Secret with the user and the password that the release will be looked at with; it must be there.
        type: dict
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
  wait_timeout:
    description: Seconds to wait.
    type: int
    default: 300
  description:
    description: Description of the revision.
    type: str
    default: ""
  labels:
    description: Labels of the revision.
    type: dict
    default: {}
  binary_path:
    description: Helm on the node, version 3.17 or later.
    type: path
    default: /usr/local/bin/helm
"""
