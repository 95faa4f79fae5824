#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_exposure
short_description: Put a Service on the internet under its host names
version_added: 0.1.0
description:
  - Checks that nobody else in the cluster serves the hosts and that their DNS records lead here, then obtains the
    certificate, then creates the Ingress. Without a certificate nothing is exposed.
  - A new certificate is first obtained from O(staging_issuer), so that a mistake does not use up the limits of
    O(issuer). That trial is removed again.
  - When a certificate is refused, the message is the authority's own, and the attempt leaves nothing behind that
    would go on asking it.
  - DNS and the routes of others are looked at only when something is about to be exposed.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details: Fails for a taken host or a wrong DNS record as a real run would.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description: Name of the Ingress; the certificate and its Secret are called C(<name>-tls).
    type: str
    required: true
  namespace:
    description: Namespace of the Service and of everything made here.
    type: str
    required: true
  state:
    description:
      - V(absent) removes Ingress, certificate and their Secrets.
      - V(withdrawn) removes the Ingress only. The certificate stays for the next time; authorities issue few a week.
    type: str
    choices: [present, absent, withdrawn]
    default: present
  hosts:
    description: Public host names, all on one certificate. Required with O(state=present).
    type: list
    elements: str
  service:
    description: Name of the Service; O(name) when not given.
    type: str
  port:
    description: Name or number of the Service's port.
    type: str
    default: http
  ingress_class:
    description: Name of the IngressClass. Required with O(state=present).
    type: str
  issuer:
    description: ClusterIssuer of the certificate. Required with O(state=present).
    type: str
  staging_issuer:
    description: ClusterIssuer of the trial; empty for none. None is made either when it is O(issuer) itself.
    type: str
    default: ""
  labels:
    description: Labels of everything made here.
    type: dict
    default: {}
  annotations:
    description: Annotations of the Ingress.
    type: dict
    default: {}
  dns:
    description:
      - V(authoritative) asks the name servers of each host's zone.
      - V(resolver) asks the node's own resolver, for a zone that the outside sees differently or whose servers cannot
        be asked from here.
      - V(none) asks nobody.
    type: str
    choices: [authoritative, resolver, none]
    default: authoritative
  addresses:
    description:
      - Addresses, or the one name, at which the world reaches the load balancer.
      - Required with O(state=present) unless O(dns=none).
    type: list
    elements: str
    default: []
  zones:
    description: Zones in which you can create records. A wrong host in any other zone is somebody else's to correct.
    type: list
    elements: str
    default: []
  resolvers:
    description: Addresses of recursive name servers to begin with; those of the node when empty.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait for a certificate.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Expose the application
  railiance.stack.app_exposure:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    name: vergabe-teilnahme
    namespace: vergabe-teilnahme
    hosts: [vergabe.example.org]
    ingress_class: traefik
    issuer: letsencrypt-prod
    staging_issuer: letsencrypt-staging
    addresses: [203.0.113.10]

- name: Take it off the internet
  railiance.stack.app_exposure:
    kubeconfig: /etc/rancher/k3s/k3s.yaml
    name: vergabe-teilnahme
    namespace: vergabe-teilnahme
    state: absent
"""

RETURN = r"""
plan:
  description: The steps, C(action), C(target) and C(note); empty when nothing is to do.
  returned: success
  type: list
  elements: dict
  sample: [{action: create, target: Ingress shop/shop, note: ""}]
dns:
  description: What the name servers said, one entry a host; empty when nothing is about to be exposed.
  returned: success, or when a name does not lead here
  type: list
  elements: dict
  sample:
    - host: shop.example.org
      state: missing
      zone: example.org
      servers: [ns1.example.org, ns2.example.org]
      addresses: []
      records: [shop.example.org. 300 IN A 203.0.113.10]
taken:
  description: Who serves the hosts, C(host), C(path) and C(by).
  returned: when a host is taken
  type: list
  elements: dict
cause:
  description: Why there is no certificate, in the words of the authority or cert-manager.
  returned: when a certificate was not issued
  type: str
failed_step:
  description: The step that failed.
  returned: when a step failed
  type: str
done_steps:
  description: The steps that were carried out before.
  returned: when a step failed
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._dns import ask
from ansible_collections.railiance.stack.plugins.module_utils._dns_check import Ask, Finding, checker_of
from ansible_collections.railiance.stack.plugins.module_utils._exposure import Exposure, Wanted, plan_removal
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent", "withdrawn"], "default": "present"},
    "hosts": {"type": "list", "elements": "str"},
    "service": {"type": "str"},
    "port": {"type": "str", "default": "http"},
    "ingress_class": {"type": "str"},
    "issuer": {"type": "str"},
    "staging_issuer": {"type": "str", "default": ""},
    "labels": {"type": "dict", "default": {}},
    "annotations": {"type": "dict", "default": {}},
    "dns": {"type": "str", "choices": ["authoritative", "resolver", "none"], "default": "authoritative"},
    "addresses": {"type": "list", "elements": "str", "default": []},
    "zones": {"type": "list", "elements": "str", "default": []},
    "resolvers": {"type": "list", "elements": "str", "default": []},
    "wait_timeout": {"type": "int", "default": 300},
}


def work(module: Any, kube: Kube, ask_server: Ask = ask) -> dict[str, Any]:
    params = module.params
    wanted = Wanted(
        name=params["name"],
        namespace=params["namespace"],
        hosts=params["hosts"] or [],
        service=params["service"] or params["name"],
        port=params["port"],
        ingress_class=params["ingress_class"] or "",
        issuer=params["issuer"] or "",
        staging_issuer=params["staging_issuer"],
        labels=params["labels"],
        annotations=params["annotations"],
    )

    def names(hosts: list[str]) -> list[Finding]:
        addresses = [address for address in params["addresses"] if address]
        if params["dns"] == "none" or (module.check_mode and not addresses):  # the load balancer is still to come
            return []
        checker = checker_of(ask_server, params["resolvers"], addresses, params["zones"], params["dns"])
        return checker.look(hosts)

    exposure = Exposure(kube, wanted, names, timeout=params["wait_timeout"], predict=module.check_mode)
    if params["state"] == "present":
        plan = exposure.plan()
    else:
        plan = plan_removal(kube, wanted, keep_certificate=params["state"] == "withdrawn")
    result = {
        "changed": plan.changed,
        "plan": plan.describe(),
        "diff": plan.diff(),
        "dns": [finding.as_dict() for finding in exposure.findings],
    }
    for finding in exposure.findings:
        for note in finding.notes:
            module.warn(f"{finding.host}: {note}")
    if not module.check_mode:
        plan.execute()
    return result


def main() -> None:
    run_cluster_module(
        ARGUMENT_SPEC,
        work,
        required_if=[("state", "present", ("hosts", "ingress_class", "issuer"))],
    )


if __name__ == "__main__":
    main()
