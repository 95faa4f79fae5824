"""The same stack from an installed artifact in an empty folder, on the node itself, and from release downloads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import ansible_collections
import yaml

ROOT = Path(__file__).resolve().parents[2]
SITE_PACKAGES = next(Path(p) for p in ansible_collections.__path__ if "site-packages" in p)
DEPENDENCIES = ("kubernetes/core", "community/general", "community/sops", "ansible/posix")
REMOTE = "/home/operator/railiance.stack"


def test_the_installed_collection_converges_from_an_empty_folder(playbook, tmp_path):
    config = tmp_path / "empty.cfg"
    config.touch()
    collections = tmp_path / "collections"
    # Neither this checkout's configuration nor the collections it names take part.
    environment = {"ANSIBLE_CONFIG": str(config), "ANSIBLE_COLLECTIONS_PATH": str(collections)}
    galaxy = [Path(sys.executable).parent / "ansible-galaxy", "collection"]
    for arguments in (
        ["build", str(ROOT), "--output-path", str(tmp_path)],
        ["install", str(tmp_path / "railiance-stack-0.1.0.tar.gz"), "--no-deps", "-p", str(collections)],
    ):
        subprocess.run([*galaxy, *arguments], env={**os.environ, **environment}, check=True)
    for name in DEPENDENCIES:
        link = collections / "ansible_collections" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(SITE_PACKAGES / name)
    empty = tmp_path / "empty"
    empty.mkdir()
    run = playbook(
        "railiance.stack.deploy_stack",
        "-e",
        "stack_confirm=false",
        cwd=empty,
        ANSIBLE_CALLBACKS_ENABLED="railiance.stack.run_report",
        ANSIBLE_PIPELINING="1",
        **environment,
    )
    assert (run.rc, run.changed) == (0, []), run.messages


def test_the_workflow_for_pull_requests_foretells_and_refuses(tmp_path):
    """Its own commands, in a copy of the inventory; only the installation is this checkout."""
    workflow = yaml.safe_load((ROOT / "inventory/example/.gitea/workflows/check.yml").read_text())
    job = workflow["jobs"]["check"]
    commands = [step["run"] for step in job["steps"] if "run" in step and not step["name"].startswith("Install")]
    inventory = tmp_path / "inventory" / "lab"
    shutil.copytree(ROOT / "inventory/lab", inventory)
    (tmp_path / ".lab").symlink_to(ROOT / ".lab")
    settings = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "STACK_SSH_KEY": "the key", **job["env"]}

    def run(command):
        done = subprocess.run(["bash", "-ec", command], cwd=inventory, env={**os.environ, **settings}, check=False)
        return done.returncode

    assert [run(command) for command in commands] == [0, 0, 0]
    key = inventory / job["env"]["ANSIBLE_PRIVATE_KEY_FILE"]
    assert (key.read_text(), key.stat().st_mode & 0o777) == ("the key\n", 0o600)
    (inventory / "group_vars" / "stack.yml").write_text("stack_apps: [{name: shop, hots: shop.lab.test}]\n")
    assert run(commands[1]) != 0


def test_the_node_converges_itself(node, lab):
    """``-c local --become -l HOST`` from a checkout on the node, with ansible-core and nothing of ours installed."""
    version = subprocess.run(
        [sys.executable, "-c", "import ansible.release; print(ansible.release.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    node(
        "command -v ~/ansible/bin/ansible-playbook >/dev/null || { sudo apt-get install -y -qq python3-venv >/dev/null "
        f"&& python3 -m venv ~/ansible && ~/ansible/bin/pip install -q ansible-core=={version}; }}"
    )
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    checkout = subprocess.run(
        ["tar", "-cz", "--null", "-T", "-", ".lab/ca.crt", ".lab/acme-ca.crt"],
        cwd=ROOT,
        input=files,
        capture_output=True,
        check=True,
    ).stdout
    collections = subprocess.run(
        ["tar", "-cz", *DEPENDENCIES], cwd=SITE_PACKAGES, capture_output=True, check=True
    ).stdout
    node(f"rm -rf {REMOTE} && mkdir -p {REMOTE} && tar -xz -C {REMOTE}", stdin=checkout)
    # Beside the link that makes the checkout a collection.
    node(f"tar -xz -C {REMOTE}/.collections/ansible_collections", stdin=collections)
    facts = json.dumps(lab).replace(str(ROOT / ".lab"), f"{REMOTE}/.lab")
    node(f"cat > {REMOTE}/.lab/lab.json", stdin=facts.encode())
    report = f"{REMOTE}/.lab/report.json"
    node(
        f"cd {REMOTE} && RAILIANCE_RUN_REPORT={report} ANSIBLE_CALLBACKS_ENABLED=railiance.stack.run_report "
        "~/ansible/bin/ansible-playbook deploy-stack.yml -i inventory/lab -c local --become -l node1"
    )
    layers = json.loads(node(f"cat {report}"))["layers"]
    assert [t["name"] for layer in layers for t in layer["tasks"] if t["status"] == "changed"] == []


def test_release_downloads_bring_the_same_files(playbook, node, lab):
    """k3s and Helm by URL with the published checksum file, from a local server in the releases' own layout."""
    sums = "sha256sum /usr/local/bin/k3s /usr/local/bin/helm"
    before = node(sums)
    node("sudo rm /usr/local/bin/k3s /usr/local/bin/helm")
    urls = {
        "k3s_bundle_dir": "",
        "k3s_release_url": f"{lab['release_url']}/k3s-io/k3s/releases/download",
        "k3s_helm_release_url": lab["release_url"],
    }
    run = playbook("deploy-stack.yml", "--tags", "s2", "-e", json.dumps(urls))
    assert run.rc == 0, run.messages
    assert {"Install | Put the binary in place", "Tools | Install Helm"} <= set(run.changed)
    assert node(sums) == before
    again = playbook("deploy-stack.yml", "--tags", "s2", "-e", json.dumps(urls))
    assert (again.rc, again.changed) == (0, []), again.messages
