#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gitea_image_push
short_description: Publish an image in a container registry, exactly when needed
version_added: 0.1.0
description:
  - Compares what the tags name with the image, by the digest of its configuration, and sends what is missing.
  - Decides from the registry, not from a client's text. An unchanged tag costs four requests at most, and no layer.
  - Content that is there under another of the tags is tagged with one manifest, without sending a layer.
  - Before an image is sent it is looked at (O(contract)). Whether the account may push is asked before that.
  - With O(pull_proof) a disposable pod pulls what was pushed.
  - Works with Gitea's registry and any other that speaks the same protocol.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.registry
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details:
      - The same reads are made in check mode, and no write. The digest of what would be sent is not known.
      - No pod pulls.
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - skopeo
  - kubernetes (only with O(token_secret) or O(pull_proof))
  - buildah (to list the layers of an image in C(containers-storage:) quickly)
options:
  repository:
    description: Organisation and image, V(apps/site).
    type: str
    required: true
  tags:
    description:
      - Tags that name the image. One that looks like a commit keeps its content; others, such as V(latest), may move.
    type: list
    elements: str
    required: true
  source:
    description:
      - The image with skopeo's transport, V(containers-storage:localhost/site:1), V(oci-archive:/srv/site.tar).
      - Without it the module only looks.
    type: str
  compression_level:
    description:
      - Level of gzip for layers that are not compressed yet. V(1) takes the least time of the processors that the
        applications share; V(9) takes the least space in the registry.
      - An image is the same whatever it was compressed with, so another level sends nothing again.
    type: int
    choices: [1, 2, 3, 4, 5, 6, 7, 8, 9]
    default: 1
  replace:
    description: Let a tag that looks like a commit name other content.
    type: bool
    default: false
  contract:
    description:
      - What the image must be like. It is looked at before it is sent, in check mode too; an image that is there
        already is not looked at again.
      - Every layer counts, also files that a later layer removes.
    type: dict
    default: {}
    suboptions:
      port:
        description: TCP port that it exposes; 0 for any.
        type: int
        default: 0
      platform:
        description: What the node is, V(linux/amd64); this host's own unless given.
        type: str
      findings:
        description:
          - How grave a finding is, by its name. V(fatal) stops, V(advice) warns, V(ignore) says nothing.
          - V(root-user), V(named-user), V(no-port) and V(no-health-check) are V(advice) unless said otherwise.
          - V(foreign-platform), V(secret-file), V(secret-build-arg), V(secret-environment) and V(index-credential)
            are V(fatal).
        type: dict
        default: {}
      allow_files:
        description: Patterns of paths that may be in the image although they look like secrets.
        type: list
        elements: str
        default: []
  pull_proof:
    description:
      - Let the cluster pull the image by digest with a disposable pod, and fail when it cannot.
      - The pull Secret is used only when anonymous access is refused.
    type: dict
    suboptions:
      namespace:
        description: Where the pod runs and the Secret is.
        type: str
        default: gitea
      pull_secret:
        description: Secret of type V(kubernetes.io/dockerconfigjson).
        type: str
        default: gitea-pull
      when:
        description: Only after something was sent or tagged, or each time.
        type: str
        choices: [pushed, always]
        default: pushed
      timeout:
        description: Seconds that the pull may take.
        type: int
        default: 300
  timeout:
    description: Seconds that the transfer may take.
    type: int
    default: 1800
"""

EXAMPLES = r"""
- name: Publish the build of a commit
  railiance.stack.gitea_image_push:
    registry: gitea.example.org
    repository: apps/site
    tags: [0d1c5f7a9f3b2e64c8d7a6b5e4f3029181706f5e, latest]
    source: containers-storage:localhost/apps/site:0d1c5f7a9f3b2e64c8d7a6b5e4f3029181706f5e
    token_secret: {namespace: gitea, name: gitea-bot-token}

- name: Publish what runs as an application, and prove that the cluster can pull it
  railiance.stack.gitea_image_push:
    registry: gitea.example.org
    repository: apps/site
    tags: [0d1c5f7a9f3b2e64c8d7a6b5e4f3029181706f5e, latest]
    source: oci-archive:/srv/site.tar
    token_secret: {namespace: gitea, name: gitea-bot-token}
    contract:
      port: 8000
      findings: {root-user: fatal, no-port: fatal, no-health-check: fatal}
    pull_proof: {}

- name: Look whether it is there
  railiance.stack.gitea_image_push:
    registry: gitea.example.org
    repository: apps/site
    tags: [0d1c5f7a9f3b2e64c8d7a6b5e4f3029181706f5e]
    token_file: /etc/railiance/registry-token
"""

RETURN = r"""
exists:
  description: Whether every tag names an image; with O(source), the same one.
  returned: always
  type: bool
digest:
  description: Digest of the manifest that the first tag names; empty when it names nothing (yet).
  returned: always
  type: str
  sample: sha256:3fc9b689459d738f8c88a3a48aa9e33542016b7a4052e001aaa536fca74813cb
config_digest:
  description: Digest of the image's configuration, which identifies its content.
  returned: always
  type: str
reference:
  description: The image by its first tag.
  returned: always
  type: str
  sample: gitea.example.org/apps/site:0d1c5f7a9f3b2e64c8d7a6b5e4f3029181706f5e
reference_by_digest:
  description: The image by its digest; empty when it is not there (yet).
  returned: always
  type: str
size:
  description: Bytes of the image in the registry, compressed; 0 when it is not there (yet).
  returned: always
  type: int
tags:
  description:
    - What happened to each tag. V(unchanged), V(created), V(moved) or V(replaced).
    - Without O(source) V(present) or V(absent).
  returned: always
  type: dict
  sample: {"latest": "moved"}
page:
  description: Gitea's page of the first tag; empty for another registry.
  returned: always
  type: str
  sample: https://gitea.example.org/apps/-/packages/container/site/0d1c5f7a9f3b2e64c8d7a6b5e4f3029181706f5e
bytes_sent:
  description: Bytes that left for the registry, encryption included; 0 when nothing was sent.
  returned: always
  type: int
findings:
  description: What the contract says about an image that is, or would be, sent.
  returned: always
  type: list
  elements: dict
  sample:
    - name: no-health-check
      severity: advice
      detail: it declares no health check
      hint: "Give the image HEALTHCHECK, and build it in Docker's format: OCI's drops it."
pull_proof:
  description: Where the image was pulled, how long that took, and with which Secret; V(pulled) is false without proof.
  returned: with O(pull_proof)
  type: dict
  sample:
    pulled: true
    node: node1
    image_id: gitea.example.org/apps/site@sha256:3fc9b689459d738f8c88a3a48aa9e33542016b7a4052e001aaa536fca74813cb
    seconds: 1.4
    pull_secret: gitea-pull
requests:
  description: Number of requests this module made itself, without those that skopeo made.
  returned: always
  type: int
plan:
  description: What was done, or would be, in order.
  returned: always
  type: list
  elements: dict
  sample: [{"action": "create", "target": "image gitea.example.org/apps/site:latest", "note": "layers are sent"}]
"""

import platform
from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.railiance.stack.plugins.module_utils._command import LocalRunner
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator
from ansible_collections.railiance.stack.plugins.module_utils._host import Work, run_host_module
from ansible_collections.railiance.stack.plugins.module_utils._http import HttpsTransport
from ansible_collections.railiance.stack.plugins.module_utils._image_contract import Contract, Finding
from ansible_collections.railiance.stack.plugins.module_utils._image_files import image_files
from ansible_collections.railiance.stack.plugins.module_utils._image_push import (
    Publication,
    look,
    plan_publication,
    verify,
)
from ansible_collections.railiance.stack.plugins.module_utils._kube_args import AUTH_ARG_SPEC
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step
from ansible_collections.railiance.stack.plugins.module_utils._registry import Registry
from ansible_collections.railiance.stack.plugins.module_utils._registry_login import (
    LOGIN_RULES,
    REGISTRY_ARG_SPEC,
    login_of,
    read_secret,
)
from ansible_collections.railiance.stack.plugins.module_utils._skopeo import Skopeo

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
ARGUMENT_SPEC: dict[str, Any] = {
    **AUTH_ARG_SPEC,
    **REGISTRY_ARG_SPEC,
    "repository": {"type": "str", "required": True},
    "tags": {"type": "list", "elements": "str", "required": True},
    "source": {"type": "str"},
    "compression_level": {"type": "int", "choices": [1, 2, 3, 4, 5, 6, 7, 8, 9], "default": 1},
    "replace": {"type": "bool", "default": False},
    "contract": {
        "type": "dict",
        "default": {},
        "options": {
            "port": {"type": "int", "default": 0},
            "platform": {"type": "str"},
            "findings": {"type": "dict", "default": {}},
            "allow_files": {"type": "list", "elements": "str", "default": []},
        },
    },
    "pull_proof": {
        "type": "dict",
        "options": {
            "namespace": {"type": "str", "default": "gitea"},
            "pull_secret": {"type": "str", "default": "gitea-pull", "no_log": False},
            "when": {"type": "str", "choices": ["pushed", "always"], "default": "pushed"},
            "timeout": {"type": "int", "default": 300},
        },
    },
    "timeout": {"type": "int", "default": 1800},
}


def result_of(publication: Publication) -> dict[str, Any]:
    registry, tags = publication.registry, publication.tags
    first = publication.found[tags[0]]
    # A tag that would still be moved names something else: its digest is not this image's.
    named = first if publication.outcomes[tags[0]] in ("unchanged", "present") or publication.done else None
    return {
        "exists": all(publication.found.values())
        and (publication.done or set(publication.outcomes.values()) <= {"unchanged", "present"}),
        "digest": named.digest if named else "",
        "config_digest": named.config_digest
        if named
        else publication.source.config_digest
        if publication.source
        else "",
        "reference": f"{registry.name}:{tags[0]}",
        "reference_by_digest": f"{registry.name}@{named.digest}" if named else "",
        "size": named.size if named else 0,
        "tags": publication.outcomes,
        "page": registry.page(tags[0]),
        "bytes_sent": publication.bytes_sent + registry.bytes_sent,
        "findings": [finding.as_dict() for finding in publication.findings],
        "requests": registry.requests,
    }


def contract_of(options: dict[str, Any]) -> Contract:
    machine = platform.machine()
    return Contract(
        port=options["port"],
        platform=options["platform"] or f"linux/{_ARCHITECTURES.get(machine, machine)}",
        severities=options["findings"],
        allowed_files=tuple(options["allow_files"]),
    )


def pulled(module: AnsibleModule, registry: Registry, digest: str) -> dict[str, Any]:
    """The cluster's proof; the pull Secret only where anonymous access is refused."""
    from ansible_collections.railiance.stack.plugins.module_utils._kube import connect_with
    from ansible_collections.railiance.stack.plugins.module_utils._pull_proof import prove

    options = module.params["pull_proof"]
    open_to_all = Registry(registry.http, registry.repository, None).readable(digest)
    return prove(
        connect_with(module.params),
        f"{registry.name}@{digest}",
        options["namespace"],
        "" if open_to_all else options["pull_secret"],
        timeout=options["timeout"],
    ).as_dict()


def predicted(options: dict[str, Any]) -> Work:
    """What would be done with a registry that holds nothing."""
    name = f"{options['registry']}/{options['repository']}"
    steps = [
        Step("create", f"image {name}:{tag}", after={"source": options["source"]}, note="known after the push")
        for tag in options["tags"]
        if options["source"]
    ]
    return Work(
        Plan(steps),
        {
            "exists": False,
            "digest": "",
            "config_digest": "",
            "reference": f"{name}:{options['tags'][0]}",
            "reference_by_digest": "",
            "size": 0,
            "tags": dict.fromkeys(options["tags"], "created" if options["source"] else "absent"),
            "page": "",
            "bytes_sent": 0,
            "findings": [],
            "requests": 0,
        },
    )


def work(module: AnsibleModule) -> Work:
    options = module.params
    ca_file, address = options["ca_file"] or "", options["address"] or ""
    try:
        login = login_of(options, partial(read_secret, check_mode=module.check_mode))
    except NeedsOperator as missing:
        if not module.check_mode:
            raise
        # An earlier step of the same run would make the Secret: the registry is empty then, or not there at all.
        module.warn(f"{missing.message} The registry is taken for empty.")
        return predicted(options)
    run = LocalRunner(timeout=options["timeout"])
    skopeo = Skopeo(run)
    registry = Registry(
        HttpsTransport(f"https://{options['registry']}", ca_file=ca_file, address=address),
        options["repository"],
        login,
        lambda origin: HttpsTransport(origin, ca_file=ca_file),
    )
    source = skopeo.inspect(options["source"]) if options["source"] else None

    def upload(tag: str) -> int:
        name, level = f"{registry.name}:{tag}", options["compression_level"]
        return skopeo.copy(options["source"], registry.host, name, login, ca_file, address, level)

    def inspect() -> list[Finding]:
        if source is None:
            return []
        contract = contract_of(options["contract"])
        files = image_files(source.reference, source.config_digest, run) if contract.looks_at_files else ()
        return contract.findings(source.config, files)

    publication = plan_publication(
        look(registry, options["tags"], source), upload, replace=options["replace"], inspect=inspect
    )
    for finding in publication.findings:
        module.warn(f"{finding.name}: {source.reference if source else ''}: {finding.detail}. {finding.hint}")
    result = result_of(publication)
    if options["pull_proof"]:
        result["pull_proof"] = {"pulled": False}

    def confirm() -> None:
        if publication.plan.changed:
            result.update(result_of(verify(publication)))
        wanted = options["pull_proof"]
        if wanted and result["digest"] and (publication.plan.changed or wanted["when"] == "always"):
            result["pull_proof"] = pulled(module, registry, result["digest"])

    return Work(publication.plan, result, always=confirm)


def main() -> None:
    run_host_module(ARGUMENT_SPEC, work, **LOGIN_RULES)


if __name__ == "__main__":
    main()
