#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gitea_access
short_description: Accounts, organisations, repositories, SSH keys and tokens of a Gitea in the cluster
description:
  - Makes sure that a Gitea running in the cluster has an administrator whose login is kept in a Secret, the given
    organisations and repositories, SSH public keys, and a machine account (bot) whose token is kept in a Secret.
  - The first password is set without any secret on a command line. The account is created in the pod with a random
    password that nobody keeps, a temporary token is minted there, the Secret's password is set with it through the API,
    and the token is deleted. Cut off at any point, the next run completes it.
  - Secret values are never returned, and appear in no diff.
  - What is not named in the options is left alone. Objects are never deleted, with the exception of tokens that this
    module made and that another one has superseded.
version_added: 0.1.0
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details: While Gitea is deployed but down, what it lacks cannot be predicted. A warning says so.
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - kubernetes
options:
  api_url:
    description: Public address of Gitea, V(https://name[:port]). Plain HTTP is refused.
    type: str
    required: true
  ca_file:
    description: PEM file on the managed node, trusted in addition to the system's certificates.
    type: path
  address:
    description: Connect here instead of resolving the name. The certificate is still checked against the name.
    type: str
  namespace:
    description: Namespace of Gitea.
    type: str
    default: gitea
  deployment:
    description: Deployment that runs Gitea.
    type: str
    default: gitea
  container:
    description: Container of that Deployment with the C(gitea) command.
    type: str
    default: gitea
  ssh_service:
    description: Service of type NodePort for Git over SSH.
    type: str
    default: gitea-ssh
  admin_secret:
    description:
      - Secret with V(username) and V(password) of the administrator.
      - Generated when missing and kept for ever after. A password changed elsewhere is set back to it.
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
  admin_username:
    description: Name of the administrator for a Secret that has to be generated.
    type: str
    default: gitea_admin
  reset_admin:
    description:
      - Replace the password of an existing account O(admin_username) although O(admin_secret) is missing.
      - Without it the module stops and asks, because the account may be somebody's.
    type: bool
    default: false
  organisations:
    description: Organisations that exist.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name in addresses.
        type: str
        required: true
      visibility:
        description: Who sees it and may pull its images; a new one is V(private) unless said otherwise.
        type: str
        choices: [public, limited, private]
      full_name:
        description: Name for display.
        type: str
      description:
        description: One line about it.
        type: str
  repositories:
    description: Repositories that exist; new ones are empty.
    type: list
    elements: dict
    default: []
    suboptions:
      organisation:
        description: Its organisation.
        type: str
        required: true
      name:
        description: Its name.
        type: str
        required: true
      private:
        description: Whether only members see it; a new one is private unless said otherwise.
        type: bool
      default_branch:
        description: Its main branch; V(main) for a new one unless said otherwise.
        type: str
      description:
        description: One line about it.
        type: str
  ssh_keys:
    description: SSH public keys that are registered.
    type: list
    elements: dict
    default: []
    suboptions:
      user:
        description: Whose key it is; the bot's when not given.
        type: str
      title:
        description: Its name in Gitea. A different key under the same title is replaced.
        type: str
        required: true
      key:
        description: The public key.
        type: str
      path:
        description: File on the managed node that holds the public key; may be absent in check mode.
        type: path
  bot:
    description: Machine account that may push code and images to every repository of O(organisations).
    type: dict
    suboptions:
      username:
        description: Name of the account.
        type: str
        default: stack-bot
      team:
        description: Team it is a member of in each organisation.
        type: str
        default: automation
      token_secret:
        description: Secret that gets V(username) and V(token).
        type: dict
        default: {}
        suboptions:
          namespace:
            description: Its namespace; O(namespace) when not given.
            type: str
          name:
            description: Its name.
            type: str
            default: gitea-bot-token
      pull_secret:
        description:
          - Secret of type V(kubernetes.io/dockerconfigjson) that gets a token which may read packages and nothing else.
          - Applications in the cluster pull private images with a copy of it.
        type: dict
        default: {}
        suboptions:
          namespace:
            description: Its namespace; O(namespace) when not given.
            type: str
          name:
            description: Its name.
            type: str
            default: gitea-pull
      scopes:
        description: What the token may do. A token that may do less, or that Gitea refuses, is replaced.
        type: list
        elements: str
        default: ["write:package", "write:repository"]
"""

EXAMPLES = r"""
- name: Give the stack its accounts and repositories
  railiance.stack.gitea_access:
    api_url: https://gitea.example.org
    organisations:
      - name: railiance
    repositories:
      - organisation: railiance
        name: vergabe-teilnahme
    bot:
      username: stack-bot
    ssh_keys:
      - title: node1
        path: /home/operator/.ssh/id_ed25519_gitea.pub
"""

RETURN = r"""
plan:
  description: What was done, or would be, in order.
  type: list
  elements: dict
  returned: always
  sample: [{"action": "create", "target": "Gitea organisation railiance", "note": ""}]
admin:
  description: Where the administrator's login is kept.
  type: dict
  returned: always
  sample: {"namespace": "gitea", "secret": "gitea-admin"}
deployed:
  description: Whether Gitea's Deployment exists.
  type: bool
  returned: always
ssh:
  description: Where Git over SSH answers on the node; V(port) is null while the Service does not exist.
  type: dict
  returned: always
  contains:
    host:
      description: Name of the server.
      type: str
    port:
      description: The live NodePort.
      type: int
    host_keys:
      description: Public host keys, read in the pod; empty while Gitea is not deployed.
      type: list
      elements: str
  sample: {"host": "gitea.example.org", "port": 30022, "host_keys": ["ssh-rsa AAAAB3Nza…"]}
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._gitea import NotReady, find_pod
from ansible_collections.railiance.stack.plugins.module_utils._gitea_access import (
    Bot,
    Name,
    SshKey,
    Token,
    Wanted,
    World,
    converge,
)
from ansible_collections.railiance.stack.plugins.module_utils._http import HttpsTransport
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Ref, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan

# no_log=False: these options name Secrets and public keys, they hold none.
_SECRET_NAME: dict[str, Any] = {"namespace": {"type": "str"}}
ARGUMENT_SPEC: dict[str, Any] = {
    "api_url": {"type": "str", "required": True},
    "ca_file": {"type": "path"},
    "address": {"type": "str"},
    "namespace": {"type": "str", "default": "gitea"},
    "deployment": {"type": "str", "default": "gitea"},
    "container": {"type": "str", "default": "gitea"},
    "ssh_service": {"type": "str", "default": "gitea-ssh"},
    "admin_secret": {
        "type": "dict",
        "default": {},
        "no_log": False,
        "options": {**_SECRET_NAME, "name": {"type": "str", "default": "gitea-admin"}},
    },
    "admin_username": {"type": "str", "default": "gitea_admin"},
    "reset_admin": {"type": "bool", "default": False},
    "organisations": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "visibility": {"type": "str", "choices": ["public", "limited", "private"]},
            "full_name": {"type": "str"},
            "description": {"type": "str"},
        },
    },
    "repositories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "organisation": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "private": {"type": "bool"},
            "default_branch": {"type": "str"},
            "description": {"type": "str"},
        },
    },
    "ssh_keys": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "no_log": False,
        "options": {
            "user": {"type": "str"},
            "title": {"type": "str", "required": True},
            "key": {"type": "str", "no_log": False},
            "path": {"type": "path"},
        },
        "required_one_of": [["key", "path"]],
        "mutually_exclusive": [["key", "path"]],
    },
    "bot": {
        "type": "dict",
        "options": {
            "username": {"type": "str", "default": "stack-bot"},
            "team": {"type": "str", "default": "automation"},
            "token_secret": {
                "type": "dict",
                "default": {},
                "no_log": False,
                "options": {**_SECRET_NAME, "name": {"type": "str", "default": "gitea-bot-token"}},
            },
            "pull_secret": {
                "type": "dict",
                "default": {},
                "no_log": False,
                "options": {**_SECRET_NAME, "name": {"type": "str", "default": "gitea-pull"}},
            },
            "scopes": {"type": "list", "elements": "str", "default": ["write:package", "write:repository"]},
        },
    },
}


def wanted_from(params: dict[str, Any]) -> Wanted:
    """The options in the shape that the plans work on; what was not given is left out."""
    namespace = params["namespace"]

    def given(entry: dict[str, Any], *names: str) -> dict[str, Any]:
        return {key: value for key, value in entry.items() if value is not None and key not in names}

    def secret_name(option: dict[str, Any]) -> Name:
        return Name(option.get("namespace") or namespace, option["name"])

    bot = params["bot"]
    keys = []
    for key in params["ssh_keys"]:
        user = key["user"] or (bot or {}).get("username")
        if not user:
            raise StackError(f"SSH key {key['title']} belongs to nobody.", "Give ssh_keys[].user, or a bot.")
        keys.append(SshKey(user, key["title"], key["key"] or "", key["path"] or ""))
    return Wanted(
        admin_secret=secret_name(params["admin_secret"]),
        admin_username=params["admin_username"],
        organisations={entry["name"]: given(entry, "name") for entry in params["organisations"]},
        repositories={
            (entry["organisation"], entry["name"]): given(entry, "organisation", "name")
            for entry in params["repositories"]
        },
        ssh_keys=keys,
        bot=None
        if bot is None
        else Bot(
            bot["username"],
            [
                Token(secret_name(bot["token_secret"]), bot["scopes"]),
                Token(
                    secret_name(bot["pull_secret"]), ["read:package"], params["api_url"].rstrip("/").rpartition("/")[2]
                ),
            ],
            bot["team"],
        ),
        reset_admin=params["reset_admin"],
    )


def ssh_port(kube: Kube, namespace: str, service: str) -> int | None:
    """The live NodePort; ``None`` when the Service does not exist."""
    found = kube.get(Ref("v1", "Service", service, namespace))
    ports = ((found or {}).get("spec") or {}).get("ports") or []
    return next((int(port["nodePort"]) for port in ports if port.get("nodePort")), None)


def work(module: Any, kube: Kube) -> dict[str, Any]:
    params = module.params
    wanted = wanted_from(params)
    http = HttpsTransport(params["api_url"], ca_file=params["ca_file"] or "", address=params["address"] or "")
    result = {"deployed": True}
    try:
        pod = find_pod(kube, params["namespace"], params["deployment"], params["container"])
    except NotReady as error:
        if not module.check_mode:
            raise
        # An earlier step of the same run may bring it up; what it holds cannot be asked until then.
        module.warn(f"{error.message} What it lacks is known once it runs.")
        pod, plan = None, Plan()
    else:
        result["deployed"] = pod is not None
        plan = converge(World(kube, http, pod), wanted, check_mode=module.check_mode)
    return {
        **result,
        "changed": plan.changed,
        "plan": plan.describe(),
        "diff": plan.diff(),
        "admin": {"namespace": wanted.admin_secret.namespace, "secret": wanted.admin_secret.name},
        "ssh": {
            "host": http.host,
            "port": ssh_port(kube, params["namespace"], params["ssh_service"]),
            "host_keys": pod.host_keys() if pod else [],
        },
    }


def main() -> None:
    run_cluster_module(ARGUMENT_SPEC, work)


if __name__ == "__main__":
    main()
