#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact
short_description: Put one verified file on the node, from a bundle or a release URL
version_added: 0.1.0
description:
  - Puts one file at O(dest), from a bundle directory on the node or from a URL, after its sha256 was verified.
  - A file that already has the right content is neither read from its source nor downloaded again.
  - The destination is replaced in one step; a broken download leaves the old file in place.
  - Needs nothing but Python's standard library on the node.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - railiance.stack.attributes
attributes:
  check_mode:
    support: full
    details:
      - A bundle file is verified and O(checksum_url) is read in check mode too; nothing is downloaded or written.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - What was put where is remembered in C(/var/lib/railiance/artifacts.json); an unchanged file is not hashed again.
      - The checksum of a URL that was verified once is not fetched again; a release URL names one version.
options:
  dest:
    description: Absolute path of the file; its folder is created.
    type: path
    required: true
  name:
    description: Name of the file in the bundle and in the checksum file; the last part of O(url) when not given.
    type: str
  bundle_dir:
    description: Bundle directory on the node, with C(SHA256SUMS). Wins over O(url); empty for none.
    type: path
    default: ""
  url:
    description: Address of the file, http or https.
    type: str
    default: ""
  checksum:
    description: Expected sha256 of what O(url) gives, V(sha256:<64 hex digits>).
    type: str
    default: ""
  checksum_url:
    description:
      - Address of a checksum file in the format of C(sha256sum), as releases of k3s, Helm and SOPS have it.
      - One of O(checksum) and O(checksum_url) is required with O(url).
    type: str
    default: ""
  member:
    description: Path of one file in a tar archive; that file is put at O(dest), the archive is not kept.
    type: str
    default: ""
  mode:
    description: Permissions, octal.
    type: str
    default: "0644"
  owner:
    description: Owner; left as it is when not given.
    type: str
    default: ""
  group:
    description: Group; left as it is when not given.
    type: str
    default: ""
  ca_file:
    description: PEM file on the node, trusted for downloads in addition to the system's certificates.
    type: path
    default: ""
"""

EXAMPLES = r"""
- name: Install k3s
  railiance.stack.artifact:
    name: k3s
    bundle_dir: "{{ stack_bundle_dir }}"
    url: https://github.com/k3s-io/k3s/releases/download/v1.35.4%2Bk3s1/k3s
    checksum_url: https://github.com/k3s-io/k3s/releases/download/v1.35.4%2Bk3s1/sha256sum-amd64.txt
    dest: /usr/local/bin/k3s
    mode: "0755"

- name: Install Helm out of its archive
  railiance.stack.artifact:
    url: https://get.helm.sh/helm-v3.21.4-linux-amd64.tar.gz
    checksum_url: https://get.helm.sh/helm-v3.21.4-linux-amd64.tar.gz.sha256sum
    member: linux-amd64/helm
    dest: /usr/local/bin/helm
    mode: "0755"
"""

RETURN = r"""
sha256:
  description: Checksum of the file at O(dest); in check mode empty when a file of an archive is still to be extracted.
  returned: success
  type: str
source:
  description: Path or URL the file comes from.
  returned: success
  type: str
plan:
  description: The steps, C(action), C(target) and C(note); empty when nothing is to do.
  returned: success
  type: list
  elements: dict
expected_sha256:
  description: What the checksum file says.
  returned: when the content is not the expected one
  type: str
actual_sha256:
  description: What the content really has.
  returned: when the content is not the expected one
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.railiance.stack.plugins.module_utils._artifact import (
    STATE_FILE,
    State,
    Wanted,
    Web,
    parse_mode,
    plan_artifact,
)
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._host import Work, run_host_module

ARGUMENTS = {
    "dest": {"type": "path", "required": True},
    "name": {"type": "str"},
    "bundle_dir": {"type": "path", "default": ""},
    "url": {"type": "str", "default": ""},
    "checksum": {"type": "str", "default": ""},
    "checksum_url": {"type": "str", "default": ""},
    "member": {"type": "str", "default": ""},
    "mode": {"type": "str", "default": "0644"},
    "owner": {"type": "str", "default": ""},
    "group": {"type": "str", "default": ""},
    "ca_file": {"type": "path", "default": ""},
}


def look(module: AnsibleModule) -> Work:
    options: dict[str, str] = {key: value or "" for key, value in module.params.items()}
    ca_file, mode = options.pop("ca_file"), parse_mode(options.pop("mode"))
    wanted = Wanted(mode=mode, **options)
    if wanted.bundle_dir and not (wanted.name or wanted.url):
        raise StackError(f"name is missing for {wanted.dest}.", "Name the file in the bundle.")
    if not wanted.bundle_dir and not wanted.url:
        raise StackError(f"{wanted.dest} has no source.", "Set bundle_dir or url.")
    if not wanted.bundle_dir and bool(wanted.checksum) == bool(wanted.checksum_url):
        raise StackError(f"{wanted.url} needs exactly one of checksum and checksum_url.", "Set one of them.")
    state = State(STATE_FILE)
    found = plan_artifact(wanted, lambda: Web(ca_file), state)

    def sha256() -> str:
        record = state.get(wanted.dest)
        return found.sha256 or (record.sha256 if record else "")

    work = Work(found.plan, {"sha256": found.sha256 or "", "source": found.source})

    def settle() -> None:
        found.remember()
        work.result["sha256"] = sha256()

    work.always = settle
    return work


def main() -> None:
    run_host_module(ARGUMENTS, look)


if __name__ == "__main__":
    main()
