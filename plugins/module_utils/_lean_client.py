# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Import the Kubernetes client without its eight hundred models and APIs. Private to this collection.

``import kubernetes`` takes 0.4 s, most of it for classes that nothing here uses: every module of this collection would
pay that at every task. Later versions of the client load a name when it is asked for; this does the same for the one
that kubernetes.core works with. A version that imports nothing ahead is left as it is.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from types import CodeType, ModuleType
from typing import Any

#: Packages that import every class of theirs, one line for each.
_PACKAGES = ("kubernetes.client", "kubernetes.client.api", "kubernetes.client.models")
_LINE = re.compile(r"^from (kubernetes\.client\.\S+) import (\w+)(?: as \2)?$", re.MULTILINE)


class _Loader(SourceFileLoader):
    """Runs a package without the lines that import a class; such a name is imported when it is first asked for."""

    @property
    def text(self) -> str:
        return self.get_source(self.name) or ""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(_LINE.sub("", self.text).encode(), self.path)

    def exec_module(self, module: ModuleType) -> None:
        homes = {name: home for home, name in _LINE.findall(self.text)}

        def load(name: str) -> Any:
            if name not in homes:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            value = getattr(importlib.import_module(homes[name]), name)
            setattr(module, name, value)
            return value

        vars(module)["__getattr__"] = load
        super().exec_module(module)


def import_client() -> None:
    """``import kubernetes``.

    :raises ImportError: when it is not installed.
    """
    loaders = [] if "kubernetes" in sys.modules else list(_loaders())
    if len(loaders) == len(_PACKAGES) and all(_LINE.search(loader.text) for loader in loaders):
        for loader in loaders:
            _put(loader)
    importlib.import_module("kubernetes")


def _loaders() -> Iterator[_Loader]:
    """One for each package that is there as source; nothing is imported to find them."""
    top = PathFinder.find_spec("kubernetes")
    places = top.submodule_search_locations if top else None
    for name in _PACKAGES:
        inner = [f"{place}/{part}" for place in places or [] for part in name.split(".")[1:-1]]
        spec = PathFinder.find_spec(name, inner or places) if places else None
        if spec and isinstance(spec.loader, SourceFileLoader):
            yield _Loader(spec.loader.name, spec.loader.path)


def _put(loader: _Loader) -> None:
    spec = spec_from_file_location(loader.name, loader.path, loader=loader)
    if spec is None:
        return
    module = sys.modules[loader.name] = module_from_spec(spec)
    parent, _dot, name = loader.name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], name, module)
    loader.exec_module(module)
