"""The key pair of the lab's user, the servers' identities and the client configuration that pins them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import command, state
from .naming import SSH_USER, ZONE
from .state import State


def private_key(here: State) -> Path:
    """Return the path of the lab user's private key."""
    return here.ssh / "id_ed25519"


def host_key(here: State, node: str) -> Path:
    """Return the path of the private key that identifies the server ``node``.

    It is kept beside the lab, not on the server: a server made anew is the same machine to its clients.
    """
    return here.ssh / f"{node}_host_ed25519"


def known_hosts(here: State) -> Path:
    """Return the path of the file with the servers' pinned keys."""
    return here.ssh / "known_hosts"


def configuration(here: State) -> Path:
    """Return the path of the client configuration: ``ssh -F <path> node1``."""
    return here.ssh / "config"


def ensure(here: State, nodes: Mapping[str, str]) -> None:
    """Make the keys that are missing and write known_hosts and the client configuration. ``nodes``: name -> address."""
    here.ssh.mkdir(mode=0o700, parents=True, exist_ok=True)
    _ensure_key(private_key(here), f"{SSH_USER}@{ZONE}")
    pinned = []
    for name, address in nodes.items():
        _ensure_key(host_key(here, name), name)
        kind, key, *_ = public_key(host_key(here, name)).split()
        pinned.append(f"{name},{name}.{ZONE},{address} {kind} {key}")
    state.write(known_hosts(here), "\n".join(pinned) + "\n", 0o600)
    state.write(configuration(here), client_configuration(here, nodes), 0o600)


def client_configuration(here: State, nodes: Mapping[str, str]) -> str:
    """Return the text of the client configuration."""
    blocks = [
        f"Host {name}\n    HostName {address}\n    HostKeyAlias {name}\n    User {SSH_USER}\n"
        f'    IdentityFile "{private_key(here)}"\n    IdentitiesOnly yes\n'
        f'    UserKnownHostsFile "{known_hosts(here)}"\n    GlobalKnownHostsFile none\n    StrictHostKeyChecking yes\n'
        for name, address in nodes.items()
    ]
    return "\n".join(blocks)


def public_key(private: Path) -> str:
    """Return the public half of the key pair at ``private``."""
    return private.with_name(f"{private.name}.pub").read_text(encoding="ascii").strip()


def works(here: State, node: str) -> bool:
    """Return whether the server lets its user in."""
    return command.succeeds(
        ["ssh", "-F", str(configuration(here)), "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", node, "true"]
    )


def replace_process(here: State, node: str, words: Sequence[str]) -> None:
    """Become an SSH session on ``node``; ``words`` is the command to run there, empty for a login shell.

    One word is a line for the shell there, as with ssh; several are a program and its arguments, kept apart.
    """
    argv = ["ssh", "-F", str(configuration(here)), node]
    if words:
        argv += ["--", words[0] if len(words) == 1 else shlex.join(words)]
    os.execvp("ssh", argv)  # noqa: S606 - there is no shell in between, as intended


def _ensure_key(private: Path, comment: str) -> None:
    public = private.with_name(f"{private.name}.pub")
    if private.exists() and public.exists():
        return
    # ssh-keygen writes the private half first and asks before it overwrites: what a cut left behind goes.
    private.unlink(missing_ok=True)
    public.unlink(missing_ok=True)
    command.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(private)])
