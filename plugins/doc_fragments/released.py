# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options that name released applications.

Both say the same of an application: the sanity tests want strings that are not put together.
"""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  app:
    description: The application, as the filter P(railiance.stack.release_identity#filter) describes it.
    type: dict
    required: true
    suboptions:
      name:
        description: Name of the application.
        type: str
        required: true
      namespace:
        description: Its namespace; the name when not given.
        type: str
      settings:
        description: Stands for the settings of its release.
        type: str
      version:
        description: The commit, or the reference of a prebuilt image.
        type: str
      database:
        description: Its database, with C(namespace) and C(cluster) of its cluster, C(owner) and C(name).
        type: dict
      pull_secret:
        description: The Secret whose copy pulls its image, with C(namespace) and C(name).
        type: dict
      ingress_class:
        description: The class asked for its Ingress, empty for the cluster's own; not given for what is not exposed.
        type: str
"""

    #: Several of them.
    APPS = r"""
options:
  apps:
    description: The applications, each as the filter P(railiance.stack.release_identity#filter) describes it.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the application.
        type: str
        required: true
      namespace:
        description: Its namespace; the name when not given.
        type: str
      settings:
        description: Stands for the settings of its release.
        type: str
      version:
        description: The commit, or the reference of a prebuilt image.
        type: str
      database:
        description: Its database, with C(namespace) and C(cluster) of its cluster, C(owner) and C(name).
        type: dict
      pull_secret:
        description: The Secret whose copy pulls its image, with C(namespace) and C(name).
        type: dict
      ingress_class:
        description: The class asked for its Ingress, empty for the cluster's own; not given for what is not exposed.
        type: str
"""
