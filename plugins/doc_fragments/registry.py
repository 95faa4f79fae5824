# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The way to a registry and the login there."""

    DOCUMENTATION = r"""
options:
  registry:
    description: Host of the registry, with the port unless it is 443.
    type: str
    required: true
  token_secret:
    description: Secret in the cluster with V(username) and V(token).
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
  token_file:
    description: File on the managed node with V(username:token) in one line.
    type: path
  ca_file:
    description: PEM file on the managed node, trusted in addition to the system's certificates.
    type: path
  address:
    description:
      - Connect here instead of resolving the name, V(192.0.2.7) or with another port V(192.0.2.7:8443).
      - The certificate is still checked against the name.
    type: str
"""
