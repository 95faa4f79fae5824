#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gitea_registry_prune
short_description: Delete what nobody needs any more from a Gitea's registry
version_added: 0.1.0
description:
  - Deletes versions of images and Python wheels that no rule keeps, and says why each of the others stays.
  - An image stays when a pod, a workload or one of Helm's last revisions in this cluster names it, by tag or by digest;
    when it is one of the newest releases or of the releases before one that runs; when its tag is kept; when it is
    younger than O(min_age_hours); and when an index that stays consists of it.
  - A release is an image whose tag is a commit or a version number. Other tags, such as those of a smoke test, stay for
    O(min_age_hours) only.
  - Deleting a version frees no space yet. Gitea's own task does, a day after the upload. The result says when, and
    O(clean_up) starts the task.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.registry
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details: The list of what would go and what stays is the same as without check mode.
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - kubernetes
options:
  owners:
    description: Organisations or users whose packages are looked at.
    type: list
    elements: str
    required: true
  types:
    description: Types of packages.
    type: list
    elements: str
    choices: [container, pypi]
    default: [container, pypi]
  names:
    description: Patterns of packages that are looked at; all others stay.
    type: list
    elements: str
    default: ["*"]
  keep_releases:
    description: How many releases of an image stay, counted from each one that runs and from the newest.
    type: int
    default: 3
  keep_wheels:
    description: How many versions of a Python package stay.
    type: int
    default: 3
  keep_tags:
    description: Patterns of tags that always stay.
    type: list
    elements: str
    default: [latest, main, stable]
  min_age_hours:
    description: Everything younger stays.
    type: float
    default: 48
  clean_up:
    description: Start Gitea's task that frees the space; it frees what is old enough.
    type: bool
    default: false
  admin_secret:
    description:
      - Secret with V(username) and V(password) of Gitea's administrator, who may ask when the task runs, and start it.
      - Without it the task's usual time is told.
    type: dict
    default: {}
    suboptions:
      namespace:
        description: Its namespace; O(namespace) when not given.
        type: str
      name:
        description: Its name.
        type: str
        default: gitea-admin
  namespace:
    description: Namespace of Gitea.
    type: str
    default: gitea
  older_than:
    description: How old a blob must be for Gitea's task, C(cron.cleanup_packages) C(OLDER_THAN).
    type: str
    default: 24h
"""

EXAMPLES = r"""
- name: Delete what nobody needs any more; with --check only list it
  railiance.stack.gitea_registry_prune:
    registry: gitea.example.org
    owners: [apps]
    token_secret: {namespace: gitea, name: gitea-bot-token}
    keep_releases: 5
  register: pruned
"""

RETURN = r"""
removed:
  description: What was deleted, or would be.
  returned: success
  type: list
  elements: dict
  sample:
    - owner: apps
      type: container
      name: site
      version: smoke-20260101
      digest: sha256:3fc9b689459d738f8c88a3a48aa9e33542016b7a4052e001aaa536fca74813cb
      created: "2026-01-01T03:04:05+00:00"
      size: 81234567
      reasons: []
kept:
  description: What stays, with the reasons.
  returned: success
  type: list
  elements: dict
  sample:
    - owner: apps
      type: container
      name: site
      version: latest
      digest: sha256:3fc9b689459d738f8c88a3a48aa9e33542016b7a4052e001aaa536fca74813cb
      created: "2026-01-01T03:04:05+00:00"
      size: 81234567
      reasons: [tag latest is kept]
table:
  description: The same for a person, one line a version.
  returned: success
  type: list
  elements: str
  sample:
    - "delete  container apps/site:smoke-20260101      81.2 MB"
    - "keep    container apps/site:latest              81.2 MB  tag latest is kept"
space:
  description: Bytes that only the deleted versions held, the time after which Gitea's task frees them, and a sentence.
  returned: success
  type: dict
  sample:
    bytes: 81234567
    after: "2026-01-02T03:04:05+00:00"
    text: 81.2 MB are free once Gitea's task cleanup_packages (@midnight) has run after 2026-01-02 03:04 UTC.
plan:
  description: What was done, or would be, in order.
  returned: success
  type: list
  elements: dict
"""

import datetime
from functools import partial
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._http import HttpsTransport
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Ref, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._packages import TYPES, Packages
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step
from ansible_collections.railiance.stack.plugins.module_utils._registry import Login
from ansible_collections.railiance.stack.plugins.module_utils._registry_login import (
    LOGIN_RULES,
    REGISTRY_ARG_SPEC,
    login_of,
)
from ansible_collections.railiance.stack.plugins.module_utils._registry_prune import (
    Rules,
    in_order,
    judge,
    needed_images,
    parse_duration,
    space,
    table,
)
from ansible_collections.railiance.stack.plugins.module_utils._secret import decode

ARGUMENT_SPEC: dict[str, Any] = {
    **REGISTRY_ARG_SPEC,
    "owners": {"type": "list", "elements": "str", "required": True},
    "types": {"type": "list", "elements": "str", "choices": list(TYPES), "default": list(TYPES)},
    "names": {"type": "list", "elements": "str", "default": ["*"]},
    "keep_releases": {"type": "int", "default": 3},
    "keep_wheels": {"type": "int", "default": 3},
    "keep_tags": {"type": "list", "elements": "str", "default": ["latest", "main", "stable"]},
    "min_age_hours": {"type": "float", "default": 48},
    "clean_up": {"type": "bool", "default": False},
    # no_log=False: it names a Secret, it holds none.
    "admin_secret": {
        "type": "dict",
        "default": {},
        "no_log": False,
        "options": {"namespace": {"type": "str"}, "name": {"type": "str", "default": "gitea-admin"}},
    },
    "namespace": {"type": "str", "default": "gitea"},
    "older_than": {"type": "str", "default": "24h"},
}


def administrator(kube: Kube, options: dict[str, Any]) -> Login | None:
    name = Ref(
        "v1", "Secret", options["admin_secret"]["name"], options["admin_secret"]["namespace"] or options["namespace"]
    )
    values = decode(kube.get(name))
    return Login(values["username"], values["password"], str(name)) if {"username", "password"} <= set(values) else None


def work(module: Any, kube: Kube) -> dict[str, Any]:
    options = module.params
    older_than = parse_duration(options["older_than"])
    rules = Rules(
        releases=options["keep_releases"],
        wheels=options["keep_wheels"],
        tags=tuple(options["keep_tags"]),
        youngest=datetime.timedelta(hours=options["min_age_hours"]),
        names=tuple(options["names"]),
    )
    http = HttpsTransport(
        f"https://{options['registry']}", ca_file=options["ca_file"] or "", address=options["address"] or ""
    )
    login = login_of(options)
    api, admin = Packages(http, login), Packages(http, administrator(kube, options) or login)
    # The registry first: what is pushed and released in between is young, and stays.
    versions = [version for owner in options["owners"] for version in api.versions(owner, options["types"])]
    now = datetime.datetime.now(datetime.UTC)
    verdicts = judge(versions, needed_images(kube, options["registry"], rules.releases), rules, now)
    task = admin.cleanup_task()
    plan = Plan(
        Step(
            "delete",
            str(version),
            before={"digest": version.digest, "created": version.created.isoformat(), "size": version.size},
            do=partial(api.delete, version),
        )
        for version in in_order(verdicts)
    )
    if options["clean_up"] and plan.changed:
        plan.add(Step("run", "Gitea's task cleanup_packages", do=admin.run_cleanup, note="frees what is old enough"))
    if not module.check_mode:
        plan.execute()
    return {
        "changed": plan.changed,
        "plan": plan.describe(),
        "diff": plan.diff(),
        "removed": [verdict.as_dict() for verdict in verdicts if not verdict.reasons],
        "kept": [verdict.as_dict() for verdict in verdicts if verdict.reasons],
        "table": table(verdicts),
        "space": space(verdicts, task, older_than, now),
    }


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work, **LOGIN_RULES)


if __name__ == "__main__":
    main()
