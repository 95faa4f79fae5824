# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of every module that speaks to a registry, and the login they name. Private to this collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._registry import Login

#: Values of a Secret, ``None`` when it does not exist.
ReadSecret = Callable[[Mapping[str, Any], str, str], "dict[str, str]"]

REGISTRY_ARG_SPEC: dict[str, Any] = {
    "registry": {"type": "str", "required": True},
    # no_log=False: these name a Secret and a file, they hold none.
    "token_secret": {
        "type": "dict",
        "no_log": False,
        "options": {"namespace": {"type": "str", "required": True}, "name": {"type": "str", "required": True}},
    },
    "token_file": {"type": "path", "no_log": False},
    "ca_file": {"type": "path"},
    "address": {"type": "str"},
}
LOGIN_RULES: dict[str, Any] = {
    "required_one_of": [["token_secret", "token_file"]],
    "mutually_exclusive": [["token_secret", "token_file"]],
}


def read_secret(params: Mapping[str, Any], namespace: str, name: str, check_mode: bool = False) -> dict[str, str]:
    """The values of a Secret; empty when it does not exist, and in check mode when its cluster does not yet."""
    # Imported here: the cluster's client takes a quarter of a second that a token file saves.
    from ansible_collections.railiance.stack.plugins.module_utils._kube import Ref, connect_with
    from ansible_collections.railiance.stack.plugins.module_utils._secret import decode

    return decode(connect_with(dict(params), check_mode).get(Ref("v1", "Secret", name, namespace)))


def login_of(params: Mapping[str, Any], read: ReadSecret = read_secret) -> Login:
    """Account and token that a module's options name.

    :raises NeedsOperator: when the Secret is missing or holds no login.
    """
    if params["token_file"]:
        return login_from_file(params["token_file"])
    namespace, name = params["token_secret"]["namespace"], params["token_secret"]["name"]
    values = read(params, namespace, name)
    if not values.get("username") or not values.get("token"):
        raise NeedsOperator(
            f"Secret {namespace}/{name} with username and token for the registry is missing.",
            "Role railiance.stack.git_access with git_access_register makes it; for another registry make it by hand.",
        )
    return Login(values["username"], values["token"], f"Secret {namespace}/{name}")


def login_from_file(path: str) -> Login:
    try:
        username, _colon, token = Path(path).read_text(encoding="utf-8").strip().partition(":")
    except OSError as error:
        raise StackError(f"The token file {path} cannot be read: {error.strerror}.", "Write username:token.") from error
    if not username or not token:
        raise StackError(f"The token file {path} holds no login.", "Expected is one line: username:token")
    return Login(username, token, path)
