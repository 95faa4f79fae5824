"""The clean servers: made from the image, given their identity, started, and thrown away."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from . import command, naming, podman, ssh
from .apps import Repository, archive
from .command import CommandError, LabError
from .naming import SSH_USER, ZONE, Names
from .state import State

BUNDLE_DIRECTORY = "/opt/railiance/bundle"
_BOOT_TIMEOUT = 90.0
# Units without which nobody gets in.
_LOGIN = ("systemd-user-sessions.service", "ssh.service")


def options(here: State, names: Names, node: str, subnet: ipaddress.IPv4Network) -> list[str]:
    """Return podman's options for the server ``node``."""
    return [
        f"--hostname={node}",
        *podman.fixed_address(naming.node_address(subnet, node)),
        f"--dns={naming.services_address(subnet)}",
        # No search domain: the zone's wildcard would answer every name that a pod looks up with it appended.
        "--dns-search=.",
        # A directory of a disk, so without the flags that podman adds to its volumes.
        *(f"--volume={volume}:{path}:dev,suid,exec" for volume, path in names.volumes(node).items()),
        f"--volume={here.bundle}:{BUNDLE_DIRECTORY}:ro",
    ]


def ensure(
    here: State, names: Names, node: str, subnet: ipaddress.IPv4Network, image: Callable[[], str], reference: str,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Make the server ``node`` run and let its user in.

    A server that exists is started as it is, also when the recipe has changed since: what is on it is somebody's work.
    """
    name = names.node(node)
    wanted = options(here, names, node, subnet)
    machine = podman.machines(names).get(name)
    if machine and machine.unfinished:
        remove(names, node)
        machine = None
    if machine is None:
        image()
        say(f"create {node}")
        for volume in names.volumes(node):
            podman.create_volume(names, volume)
        podman.create(names, name, reference, wanted)
        _personalise(here, name, node, naming.node_address(subnet, node))
    elif machine.spec != podman.spec(reference, wanted):
        say(f"{node} was made from an earlier recipe and is kept; `up --fresh` makes it anew")
    if machine is None or not machine.running:
        say(f"start {node}")
        podman.start(name)
        _wait_for_boot(name, node, clean=machine is None)
    elif not ssh.works(here, node):
        # It may be in the middle of a reboot.
        _wait_for_boot(name, node, clean=False)
    if not ssh.works(here, node):
        raise LabError(
            f"{node} runs, but SSH does not let {SSH_USER} in. See `ssh -v -F {ssh.configuration(here)} {node}` and "
            f"`podman exec {name} journalctl -u ssh`; `up --fresh` makes the server anew."
        )


def place(name: str, repository: Repository) -> bool:
    """Put the repository on the server unless it is there at this commit; return whether it was put.

    An earlier state of it is replaced. Its Git configuration stays: the address of ``origin`` belongs to the server.
    """
    home = f"/home/{SSH_USER}"
    git = f"{repository.path}/.git"
    script = (
        f'[ "$(cat {git}/refs/heads/main 2>/dev/null)" = {repository.commit} ] && exit 0; '
        'printf \'%s %s\' "$(id -u {user})" "$(id -g {user})"; exit 3'
    ).replace("{user}", SSH_USER)
    done = command.run(["podman", "exec", name, "sh", "-c", script], ok=(0, 3))
    if done.returncode == 0:
        return False
    uid, gid = (int(word) for word in done.stdout.split())
    incoming = f"{home}/.incoming-{repository.name}"
    replace = (
        f"set -e; rm -rf {incoming}; mkdir {incoming}; tar --extract --directory={incoming}; "
        f"if [ -f {git}/config ]; then cp -p {git}/config {incoming}/{repository.name}/.git/config; fi; "
        f"rm -rf {repository.path}; mv {incoming}/{repository.name} {repository.path}; rmdir {incoming}"
    )
    podman.execute(name, ["sh", "-c", replace], stdin=archive(repository, uid, gid))
    return True


def remove(names: Names, node: str) -> None:
    """Remove the server ``node`` and its volumes, its swap file taken out of use first."""
    podman.remove(names.node(node))
    own = names.volumes(node)
    for volume, directory in podman.volumes(names).items():
        if volume in own:
            remove_volume(volume, directory)


def remove_volume(volume: str, directory: Path) -> None:
    """Remove a volume; the kernel lets go of the swap files in it first."""
    if volume.endswith("-swap"):
        for path in directory.iterdir():
            swap_off(path)
    command.run(["podman", "volume", "rm", "--force", volume])


def swap_off(path: Path) -> None:
    """Take a swap file out of use; nothing happens when it is not in use."""
    done = command.run(["swapoff", str(path)], ok=None)
    # The kernel answers EINVAL for a file that it does not swap to. /proc/swaps cannot be asked: it shows the file
    # under a path of the server's, which is gone.
    if done.returncode and "Invalid argument" not in done.stderr:
        raise CommandError(["swapoff", str(path)], done.returncode, done.stdout, done.stderr)


def _personalise(here: State, name: str, node: str, address: str) -> None:
    """Give a created, not yet started server its host key, its user's key and its own name."""
    root = Path(command.output(["podman", "mount", name]))
    try:
        uid, gid, home = _account((root / "etc/passwd").read_text(encoding="utf-8"), SSH_USER)
        keys = root / home.lstrip("/") / ".ssh"
        keys.mkdir(mode=0o700)
        authorized = keys / "authorized_keys"
        authorized.write_text(ssh.public_key(ssh.private_key(here)) + "\n", encoding="ascii")
        authorized.chmod(0o600)
        for path in (keys, authorized):
            os.chown(path, uid, gid)
        private = ssh.host_key(here, node)
        shutil.copyfile(private, root / "etc/ssh/ssh_host_ed25519_key")
        (root / "etc/ssh/ssh_host_ed25519_key").chmod(0o600)
        (root / "etc/ssh/ssh_host_ed25519_key.pub").write_text(ssh.public_key(private) + "\n", encoding="ascii")
        (root / "etc/hosts").write_text(
            f"127.0.0.1\tlocalhost\n{address}\t{node}.{ZONE} {node}\n::1\tlocalhost ip6-localhost ip6-loopback\n",
            encoding="ascii",
        )
    finally:
        command.run(["podman", "unmount", name])


def _account(passwd: str, user: str) -> tuple[int, int, str]:
    found = re.search(rf"^{re.escape(user)}:[^:]*:(\d+):(\d+):[^:]*:([^:]*):", passwd, re.MULTILINE)
    if not found:
        raise LabError(f"The server image has no user {user}.")
    return int(found[1]), int(found[2]), found[3]


def _wait_for_boot(name: str, node: str, *, clean: bool) -> None:
    """Wait until systemd lets users in; on a ``clean`` server until it is `running`, with no failed unit."""
    answers = {"running"} if clean else {"running", "degraded", "starting"}
    deadline = time.monotonic() + _BOOT_TIMEOUT
    inside = ["podman", "exec", name, "systemctl"]
    said = ""
    while time.monotonic() < deadline:
        # Fails while the container or its bus is not there yet; the answer is in the words, not in the code.
        done = command.run([*inside, "is-system-running"], ok=None)
        said = done.stdout.strip() or done.stderr.strip()
        if said in answers and (clean or command.succeeds([*inside, "--quiet", "is-active", *_LOGIN])):
            return
        if clean and said == "degraded":
            break
        time.sleep(0.1)
    failed = command.run([*inside, "--failed", "--no-legend", "--plain"], ok=None)
    raise LabError(f"{node} did not come up: {said}. Failed units: {failed.stdout.strip() or 'none known'}")
