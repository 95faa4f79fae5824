# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the platform's PostgreSQL clusters as objects."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cnpg_clusters
short_description: CloudNativePG clusters as objects
version_added: 0.1.0
description:
  - Turns the entries of C(cnpg_clusters) into Clusters, their server certificates, NetworkPolicies, wait conditions and
    Secrets to make.
  - A cluster that exists keeps its instances, storage, resources, image and bootstrap unless its entry decides them.
  - Names every cluster whose major version would change.
author:
  - The railiance.stack authors (@railiance)
options:
  _input:
    description: The entries.
    type: list
    elements: dict
    required: true
  live:
    description: The Cluster objects that exist in the namespace.
    type: list
    elements: dict
    required: true
  defaults:
    description:
      - C(namespace), C(operator_namespace), C(image), C(postgresql_version), C(instances), C(storage_size),
        C(storage_class) and C(resources) of entries that do not say.
    type: dict
    required: true
positional: live, defaults
"""

EXAMPLES = r"""
- name: Show what would be applied
  ansible.builtin.debug:
    msg: "{{ cnpg_clusters | railiance.stack.cnpg_clusters(found.resources, defaults) }}"
"""

RETURN = r"""
_value:
  description:
    - C(problems), C(certificates), C(certificate_waits), C(policies), C(clusters), C(secrets) and C(waits), each a
      list.
  type: dict
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.plugin_utils._cnpg_clusters import plan_clusters


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"cnpg_clusters": plan_clusters}
