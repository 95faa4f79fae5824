"""Stands in for get-pip.py, which ansible-test downloads from a host of its own: the same, from the package index.

ansible-test runs it in a fresh virtual environment as ``get-pip.py [options] pip==X [setuptools==Y] [wheel==Z]``.
"""

from __future__ import annotations

import subprocess
import sys

OWN_OPTIONS = ("--no-setuptools", "--no-wheel")

arguments = [argument for argument in sys.argv[1:] if argument not in OWN_OPTIONS]
subprocess.run([sys.executable, "-m", "ensurepip", "--default-pip"], check=True)
subprocess.run([sys.executable, "-m", "pip", "install", *arguments], check=True)
