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
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

#: Packages that import every class of theirs, one line for each.
_PACKAGES = ("kubernetes.client", "kubernetes.client.api", "kubernetes.client.models")
_LINE = re.compile(r"^from (kubernetes\.client\.\S+) import (\w+)(?: as \2)?$", re.MULTILINE)


class _Loader(SourceFileLoader):
    """Runs a package without the lines that import a class; such a name is imported when it is first asked for."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(_LINE.sub("", self._text(fullname)).encode(), self.path)

    def exec_module(self, module: ModuleType) -> None:
        homes = {name: home for home, name in _LINE.findall(self._text(module.__name__))}

        def load(name: str) -> Any:
            if name not in homes:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            value = getattr(importlib.import_module(homes[name]), name)
            setattr(module, name, value)
            return value

        vars(module)["__getattr__"] = load
        super().exec_module(module)

    def _text(self, fullname: str) -> str:
        return self.get_source(fullname) or ""


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in _PACKAGES else None
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def install() -> None:
    """For every later ``import kubernetes`` of this process."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
