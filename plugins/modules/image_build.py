#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_build
short_description: Build an image from exactly one commit
version_added: 0.1.0
description:
  - Exports the files of one commit and builds them with buildah, without a daemon, in Docker's format.
  - Layers of earlier builds are used again. Nothing is built when the image in this host's storage was made from the
    same commit with the same inputs.
  - Labels the image with revision, source and the commit's date.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details: A commit that this host has not fetched yet is assumed to exist.
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - buildah
  - skopeo
  - git
options:
  source:
    description: Where the files come from.
    type: dict
    required: true
    suboptions:
      repository:
        description: Folder on this host, or an address that Git understands and that needs no prompt.
        type: str
      path:
        description: Folder on this host; the same as O(source.repository) with a folder.
        type: path
      commit:
        description: Commit to build.
        type: str
        required: true
  image:
    description: Name and tag in this host's storage, V(localhost/apps/site:1).
    type: str
    required: true
  containerfile:
    description: Containerfile, relative to the root of the repository.
    type: str
    default: Dockerfile
  build_args:
    description:
      - Build arguments. They stay in the image's history, so names that look like secrets are refused.
      - A base image may lie in an archive on this host, V(docker-archive:/srv/python.tar) or V(oci-archive:…).
    type: dict
    default: {}
  build_secrets:
    description: Files on this host that single steps may mount, id to path. They become part of no layer.
    type: dict
    default: {}
  labels:
    description: Further labels of the image.
    type: dict
    default: {}
  memory_max:
    description: Memory that the build may use, as systemd writes it. Needs root and systemd. Empty for no limit.
    type: str
    default: 2G
  free_mb:
    description: Free space that the storage must have before a build begins.
    type: int
    default: 2048
  path_dependencies:
    description:
      - How grave it is when a Python or Node dependency is a folder that the commit does not hold, such as a checkout
        beside it. V(fatal) stops before anything is built, V(advice) warns.
    type: str
    choices: [fatal, advice, ignore]
    default: fatal
  timeout:
    description: Seconds that the build may take.
    type: int
    default: 3600
"""

EXAMPLES = r"""
- name: Build a commit
  railiance.stack.image_build:
    source:
      repository: /home/operator/site
      commit: 0d1c5f7a9f3b2e64c8d7a6b5e4f3029181706f5e
    image: localhost/apps/site:0d1c5f7a9f3b2e64c8d7a6b5e4f3029181706f5e
    build_secrets:
      build_ca: /etc/ssl/certs/ca-certificates.crt
"""

RETURN = r"""
image_id:
  description: Identifier of the image in this host's storage; empty while it is not built.
  returned: always
  type: str
config_digest:
  description: Digest of the image's configuration, which identifies its content; empty while it is not built.
  returned: always
  type: str
  sample: sha256:4a38dd59c1708db41606085221f6f53ddbe1314851a04678f6aa2e2afac588fe
source:
  description: The image as module C(gitea_image_push) takes it.
  returned: always
  type: str
  sample: containers-storage:localhost/apps/site:1
findings:
  description: Dependencies that the commit does not hold.
  returned: always
  type: list
  elements: dict
  sample:
    - name: path-dependency
      severity: advice
      detail: pyproject.toml takes shared from ../common, which is outside of the repository
      hint: Publish it as a package and name its version, or put it into the repository.
log:
  description: End of the build's output.
  returned: when something was built
  type: str
plan:
  description: What was done, or would be.
  returned: always
  type: list
  elements: dict
  sample: [{"action": "create", "target": "image localhost/apps/site:1", "note": ""}]
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.railiance.stack.plugins.module_utils._build import Builder, Wanted
from ansible_collections.railiance.stack.plugins.module_utils._command import LocalRunner, NotInstalled
from ansible_collections.railiance.stack.plugins.module_utils._git import UNATTENDED
from ansible_collections.railiance.stack.plugins.module_utils._host import Work, run_host_module
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step


def look(module: AnsibleModule) -> Work:
    options = module.params
    source = options["source"]
    wanted = Wanted(
        repository=source["path"] or source["repository"],
        commit=source["commit"],
        image=options["image"],
        containerfile=options["containerfile"],
        build_args={name: str(value) for name, value in options["build_args"].items()},
        secrets={name: str(path) for name, path in options["build_secrets"].items()},
        labels={name: str(value) for name, value in options["labels"].items()},
        memory_max=options["memory_max"],
        free_mb=options["free_mb"],
        path_dependencies=options["path_dependencies"],
    )
    root = os.geteuid() == 0 and os.path.isdir("/run/systemd/system")
    builder = Builder(wanted, LocalRunner(timeout=options["timeout"], environment=UNATTENDED), root=root)
    result: dict[str, Any] = {"source": builder.reference}
    for finding in builder.findings:
        module.warn(f"{finding.name}: {finding.detail}. {finding.hint}")

    def describe() -> None:
        image = builder.built()
        digest = image.config_digest if image else ""
        result.update(config_digest=digest, image_id=digest.removeprefix("sha256:"))
        result["findings"] = [finding.as_dict() for finding in builder.findings]
        if builder.log:
            result["log"] = builder.log

    try:
        plan = builder.plan()
        describe()
    except NotInstalled as missing:
        if not module.check_mode:
            raise
        module.warn(f"{missing.message} Nothing is built there yet.")
        note = "known once the builder is installed"
        return Work(
            Plan([Step("create", f"image {wanted.image}", note=note)]), {**result, "config_digest": "", "image_id": ""}
        )
    return Work(plan, result, always=describe)


def main() -> None:
    run_host_module(
        {
            "source": {
                "type": "dict",
                "required": True,
                "options": {
                    "repository": {"type": "str"},
                    "path": {"type": "path"},
                    "commit": {"type": "str", "required": True},
                },
                "required_one_of": [["repository", "path"]],
                "mutually_exclusive": [["repository", "path"]],
            },
            "image": {"type": "str", "required": True},
            "containerfile": {"type": "str", "default": "Dockerfile"},
            "build_args": {"type": "dict", "default": {}},
            # no_log=False: file names, not values.
            "build_secrets": {"type": "dict", "default": {}, "no_log": False},
            "labels": {"type": "dict", "default": {}},
            "memory_max": {"type": "str", "default": "2G"},
            "free_mb": {"type": "int", "default": 2048},
            "path_dependencies": {"type": "str", "choices": ["fatal", "advice", "ignore"], "default": "fatal"},
            "timeout": {"type": "int", "default": 3600},
        },
        look,
    )


if __name__ == "__main__":
    main()
