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
  - Decides from the registry, not from a client's text. An unchanged tag costs three requests and no layer.
  - Content that is there under another of the tags is tagged with one manifest, without sending a layer.
  - Works with Gitea's registry and any other that speaks the same protocol.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details: The same reads are made in check mode, and no write. The digest of what would be sent is not known.
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - skopeo
  - kubernetes (only with O(token_secret))
options:
  registry:
    description: Host of the registry, with the port unless it is 443.
    type: str
    required: true
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
  replace:
    description: Let a tag that looks like a commit name other content.
    type: bool
    default: false
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
    description: Connect here instead of resolving the name. The certificate is still checked against the name.
    type: str
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

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.railiance.stack.plugins.module_utils._command import LocalRunner
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._host import Work, run_host_module
from ansible_collections.railiance.stack.plugins.module_utils._http import HttpsTransport
from ansible_collections.railiance.stack.plugins.module_utils._image_push import (
    Publication,
    look,
    plan_publication,
    verify,
)
from ansible_collections.railiance.stack.plugins.module_utils._kube_args import AUTH_ARG_SPEC
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step
from ansible_collections.railiance.stack.plugins.module_utils._registry import Login, Registry
from ansible_collections.railiance.stack.plugins.module_utils._skopeo import Skopeo

ARGUMENT_SPEC: dict[str, Any] = {
    **AUTH_ARG_SPEC,
    "registry": {"type": "str", "required": True},
    "repository": {"type": "str", "required": True},
    "tags": {"type": "list", "elements": "str", "required": True},
    "source": {"type": "str"},
    "replace": {"type": "bool", "default": False},
    # no_log=False: these name a Secret and a file, they hold none.
    "token_secret": {
        "type": "dict",
        "no_log": False,
        "options": {"namespace": {"type": "str", "required": True}, "name": {"type": "str", "required": True}},
    },
    "token_file": {"type": "path", "no_log": False},
    "ca_file": {"type": "path"},
    "address": {"type": "str"},
    "timeout": {"type": "int", "default": 1800},
}


def login_from_file(path: str) -> Login:
    try:
        username, _colon, token = Path(path).read_text(encoding="utf-8").strip().partition(":")
    except OSError as error:
        raise StackError(f"The token file {path} cannot be read: {error.strerror}.", "Write username:token.") from error
    if not username or not token:
        raise StackError(f"The token file {path} holds no login.", "Expected is one line: username:token")
    return Login(username, token, path)


def login_from_secret(module: AnsibleModule, namespace: str, name: str) -> Login:
    # Imported here: the cluster's client takes half a second that a token file saves.
    from ansible_collections.railiance.stack.plugins.module_utils._gitea import secret_values
    from ansible_collections.railiance.stack.plugins.module_utils._kube import Ref, connect_with

    ref = Ref("v1", "Secret", name, namespace)
    values = secret_values(connect_with(module.params).get(ref))
    if not values.get("username") or not values.get("token"):
        raise NeedsOperator(
            f"{ref} with username and token for the registry is missing.",
            "Role railiance.stack.git_access with git_access_register makes it; for another registry make it by hand.",
        )
    return Login(values["username"], values["token"], str(ref))


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
        "requests": registry.requests,
    }


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
            "requests": 0,
        },
    )


def work(module: AnsibleModule) -> Work:
    options = module.params
    ca_file, address = options["ca_file"] or "", options["address"] or ""
    secret = options["token_secret"]
    try:
        login = (
            login_from_file(options["token_file"])
            if options["token_file"]
            else login_from_secret(module, secret["namespace"], secret["name"])
        )
    except NeedsOperator as missing:
        if not module.check_mode:
            raise
        # An earlier step of the same run would make the Secret: the registry is empty then, or not there at all.
        module.warn(f"{missing.message} The registry is taken for empty.")
        return predicted(options)
    skopeo = Skopeo(LocalRunner(timeout=options["timeout"]))
    registry = Registry(
        HttpsTransport(f"https://{options['registry']}", ca_file=ca_file, address=address),
        options["repository"],
        login,
        lambda origin: HttpsTransport(origin, ca_file=ca_file),
    )
    source = skopeo.inspect(options["source"]) if options["source"] else None

    def upload(tag: str) -> None:
        skopeo.copy(options["source"], registry.host, f"{registry.name}:{tag}", login, ca_file, address)

    publication = plan_publication(look(registry, options["tags"], source), upload, replace=options["replace"])
    result = result_of(publication)

    def confirm() -> None:
        if publication.plan.changed:
            result.update(result_of(verify(publication)))

    return Work(publication.plan, result, always=confirm)


def main() -> None:
    run_host_module(
        ARGUMENT_SPEC,
        work,
        required_one_of=[["token_secret", "token_file"]],
        mutually_exclusive=[["token_secret", "token_file"]],
    )


if __name__ == "__main__":
    main()
