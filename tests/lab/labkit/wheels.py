"""The Python packages of the bundle: the Kubernetes client for the Python of the servers, as wheels from the index."""

from __future__ import annotations

import sys

from .cache import file_sha256
from .debian import HOST_TRUST
from .recipe import LAB, Part, Work

REQUIREMENTS = LAB / "wheels" / "requirements.txt"
# Raise it when downloading changes in a way that the inputs do not show.
RECIPE = 1
# What Debian 13 runs: CPython 3.13 with the C library of 2024.
TARGET = (
    "--python-version=3.13",
    "--implementation=cp",
    "--abi=cp313",
    "--abi=abi3",
    "--abi=none",
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux2014_x86_64",
)


def part() -> Part:
    """Return the part that downloads the wheels; its requirements name each one by version and hash."""
    inputs = {"recipe": RECIPE, "requirements": file_sha256(REQUIREMENTS), "target": TARGET}
    return Part("wheels", inputs, _make)


def _make(work: Work) -> None:
    # A pip of its own: not every machine has one for its system's Python.
    venv = work.scratch / "venv"
    work.run([sys.executable, "-m", "venv", str(venv)])
    work.run(
        [
            *(str(venv / "bin/python"), "-m", "pip", "download", "--disable-pip-version-check", "--no-input"),
            *("--no-deps", "--require-hashes", "--only-binary=:all:", *TARGET),
            *(f"--dest={work.target}", f"--requirement={REQUIREMENTS}"),
        ],
        # The certificates that this machine trusts: the index may be reached through a proxy with one of its own.
        env={"PIP_CERT": str(HOST_TRUST)},
    )
