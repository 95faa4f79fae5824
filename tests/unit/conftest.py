"""Makes the checkout importable as the collection railiance.stack, next to the collections of the environment."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

import ansible_collections

_link = str(ROOT / ".collections" / "ansible_collections")
if _link not in ansible_collections.__path__:
    ansible_collections.__path__.append(_link)
sys.path.insert(0, str(ROOT / "tests"))
