#!/usr/bin/env python3
"""The lab: a clean server and the real stack's parts on this machine, from package registries alone.

Needs root on Debian, Python 3.11 and Go; nothing else: it installs the packages it uses and runs before the development
environment exists. README.md beside this file tells how it works.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from labkit import bundle, host, parts, verbs
from labkit.cache import Cache, default_root
from labkit.command import LabError
from labkit.console import Console

CHECKOUT = Path(__file__).resolve().parents[2]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(prog="lab.py", description="A clean server and what the stack needs beside it.")
    top.add_argument(
        "--cache", type=Path, default=default_root(), help="directory of built parts (default: %(default)s)"
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="build|up|down|status|shell|image|prune")
    verbs.add_parser("build", help="make the bundle, or find it in the cache; prints its directory")
    up = verbs.add_parser("up", help="bring the servers and the services up; builds the bundle when it is missing")
    up.add_argument("--nodes", type=int, help="how many servers (default: as many as there are, at least one)")
    up.add_argument("--fresh", action="store_true", help="throw the servers away first")
    up.add_argument("--without-bundle", action="store_true", help="only machines and services")
    verbs.add_parser("down", help="remove this checkout's machines, volumes and network")
    verbs.add_parser("status", help="show what runs and where")
    shell = verbs.add_parser("shell", help="log in to a server, or run a command there")
    shell.add_argument("--node", default="node1")
    shell.add_argument("words", nargs=argparse.REMAINDER, metavar="command")
    verbs.add_parser("image", help="make the server image when it is missing; prints its name")
    prune = verbs.add_parser("prune", help="remove parts from the cache that nobody used for some time")
    prune.add_argument("--days", type=float, default=30.0)
    return top


def build(arguments: argparse.Namespace, console: Console) -> Path:
    """Make the bundle and return its directory."""
    host.prepare(console.say)
    return bundle.build(Cache(arguments.cache), console)


def up(arguments: argparse.Namespace, console: Console) -> None:
    """Bring the lab up with the bundle in place."""
    host.prepare(console.say)
    cache = Cache(arguments.cache)
    directory = None if arguments.without_bundle else bundle.build(cache, console)
    coredns = bundle.program(cache, console, parts.COREDNS) / "coredns"
    with console.step("up"):
        verbs.up(
            CHECKOUT, arguments.cache, console.say,
            coredns=coredns, bundle=directory, nodes=arguments.nodes, fresh=arguments.fresh,
        )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Do what the command line says. Raises LabError."""
    with Console() as console:
        match arguments.verb:
            case "build" | "up":
                try:
                    if arguments.verb == "build":
                        print(build(arguments, console))
                    else:
                        up(arguments, console)
                finally:
                    console.close()
                    print(console.table(), file=sys.stderr)
                if arguments.verb == "up":
                    print(verbs.status(CHECKOUT))
            case "down":
                verbs.down(CHECKOUT, console.say)
            case "image":
                print(verbs.image(arguments.cache, console.say))
            case "prune":
                print(f"removed {Cache(arguments.cache).prune(arguments.days, console.say)} entries")
            case "status":
                print(verbs.status(CHECKOUT))
            case "shell":
                words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
                verbs.shell(CHECKOUT, words, arguments.node)


def main() -> int:
    """Run the command line; return the exit code."""
    arguments = parser().parse_args()
    arguments.cache = arguments.cache.expanduser().resolve()
    # A build that is told to end cleans up like one that is interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(arguments)
    except LabError as problem:
        print(f"lab: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; what was complete is kept", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
