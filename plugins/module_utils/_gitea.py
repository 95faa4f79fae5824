# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gitea's API, and the command line inside its pod for the one thing the API cannot do: the first password.

Private to this collection. Nothing here returns a secret to a module's result.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._http import Response, Transport, basic
from ansible_collections.railiance.stack.plugins.module_utils._kube import Completed, Kube, Object, Ref, selector_of

#: Names of tokens that live only while the administrator's password is being set.
BOOTSTRAP_TOKEN = "railiance.stack-bootstrap-"  # noqa: S105
_TOKEN = re.compile(r"^[0-9a-f]{40}$")
_IMPLIED = {"write": ("read",)}


def generated_password(length: int = 32) -> str:
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _index in range(length))


class GiteaError(StackError):
    """Gitea answered with an error; ``status`` is the HTTP code."""

    def __init__(self, message: str, hint: str = "", *, status: int) -> None:
        super().__init__(message, hint, status=status)
        self.status = status


class NotReady(StackError):
    """Gitea is deployed, but no pod of it is ready."""


class Gitea:
    """Typed calls of the API, as one user.

    :param http: the way to the server.
    :param username: whose calls these are.
    :param password: the account's password or a token; sent as basic authentication.
    """

    def __init__(self, http: Transport, username: str, password: str) -> None:
        self._http = http
        self.username = username
        self._authorization = basic(username, password)

    # -- the caller ------------------------------------------------------------------------------------------
    def who_am_i(self) -> Object | None:
        """The caller's account; ``None`` when the password is refused or must be changed first."""
        answer = self._send("GET", "/user")
        if answer.status in (401, 403):
            return None
        return dict(self._checked(answer, "read the own account").json())

    # -- users -----------------------------------------------------------------------------------------------
    def user(self, name: str) -> Object | None:
        return self._read(f"/users/{quote(name)}", f"read user {name}")

    def create_user(self, name: str, email: str) -> None:
        """An account that nobody logs in to: its password is thrown away."""
        body = {"username": name, "email": email, "password": generated_password(), "must_change_password": False}
        self._write("POST", "/admin/users", f"create user {name}", body)

    def ssh_keys(self, user: str) -> list[Object]:
        return self._list(f"/users/{quote(user)}/keys", f"list the SSH keys of {user}")

    def add_ssh_key(self, user: str, title: str, key: str) -> None:
        body = {"title": title, "key": key, "read_only": False}
        try:
            self._write("POST", f"/admin/users/{quote(user)}/keys", f"add SSH key {title} to {user}", body)
        except GiteaError as error:
            if error.status == 422 and "used as non-deploy key" in error.message:
                raise StackError(
                    f"The SSH key {title} for {user} is registered with another account already.",
                    "One key stands for one account: remove it there, or use another key here.",
                ) from error
            raise

    def delete_ssh_key(self, user: str, key_id: int) -> None:
        self._write("DELETE", f"/admin/users/{quote(user)}/keys/{key_id}", f"remove SSH key {key_id} of {user}")

    # -- tokens ----------------------------------------------------------------------------------------------
    def tokens(self, user: str) -> list[Object]:
        """``[{id, name, scopes, token_last_eight}]``."""
        return self._list(f"/users/{quote(user)}/tokens", f"list the tokens of {user}")

    def create_token(self, user: str, name: str, scopes: list[str]) -> str:
        body = {"name": name, "scopes": scopes}
        answer = self._write("POST", f"/users/{quote(user)}/tokens", f"create token {name} of {user}", body)
        return str(answer.json()["sha1"])

    def delete_token(self, user: str, token_id: int) -> None:
        self._write("DELETE", f"/users/{quote(user)}/tokens/{token_id}", f"delete token {token_id} of {user}")

    # -- organisations and repositories ----------------------------------------------------------------------
    def organisation(self, name: str) -> Object | None:
        return self._read(f"/orgs/{quote(name)}", f"read organisation {name}")

    def create_organisation(self, name: str, settings: Object) -> None:
        self._write("POST", "/orgs", f"create organisation {name}", {"username": name, **settings})

    def edit_organisation(self, name: str, settings: Object) -> None:
        self._write("PATCH", f"/orgs/{quote(name)}", f"change organisation {name}", settings)

    def repository(self, owner: str, name: str) -> Object | None:
        return self._read(f"/repos/{quote(owner)}/{quote(name)}", f"read repository {owner}/{name}")

    def create_repository(self, owner: str, name: str, settings: Object) -> None:
        body = {"name": name, "auto_init": False, **settings}
        self._write("POST", f"/orgs/{quote(owner)}/repos", f"create repository {owner}/{name}", body)

    def edit_repository(self, owner: str, name: str, settings: Object) -> None:
        self._write("PATCH", f"/repos/{quote(owner)}/{quote(name)}", f"change repository {owner}/{name}", settings)

    # -- teams -----------------------------------------------------------------------------------------------
    def team(self, organisation: str, name: str) -> Object | None:
        teams = self._list(f"/orgs/{quote(organisation)}/teams", f"list the teams of {organisation}")
        return next((team for team in teams if team.get("name", "").lower() == name.lower()), None)

    def create_team(self, organisation: str, name: str, settings: Object) -> Object:
        what = f"create team {organisation}/{name}"
        return dict(self._write("POST", f"/orgs/{quote(organisation)}/teams", what, {"name": name, **settings}).json())

    def edit_team(self, team_id: int, name: str, settings: Object) -> None:
        self._write("PATCH", f"/teams/{team_id}", f"change team {name}", {"name": name, **settings})

    def is_member(self, team_id: int, user: str) -> bool:
        return self._read(f"/teams/{team_id}/members/{quote(user)}", f"look for {user} in team {team_id}") is not None

    def add_member(self, team_id: int, user: str) -> None:
        self._write("PUT", f"/teams/{team_id}/members/{quote(user)}", f"add {user} to team {team_id}")

    # -- inside ----------------------------------------------------------------------------------------------
    def _read(self, path: str, what: str) -> Object | None:
        answer = self._send("GET", path)
        return None if answer.status == 404 else dict(self._checked(answer, what).json())

    def _list(self, path: str, what: str) -> list[Object]:
        """All pages; a user that does not exist (yet) has none of anything."""
        items: list[Object] = []
        page = 1
        while True:
            answer = self._send("GET", f"{path}?page={page}&limit=50")
            if answer.status == 404:
                return items
            part = self._checked(answer, what).json() or []
            items += part
            if len(part) < 50:
                return items
            page += 1

    def _write(self, method: str, path: str, what: str, body: Object | None = None) -> Response:
        return self._checked(self._send(method, path, body), what)

    def _send(self, method: str, path: str, body: Object | None = None) -> Response:
        return send(self._http, method, path, self._authorization, body)

    def _checked(self, answer: Response, what: str) -> Response:
        return checked(self._http, answer, what)


def send(http: Transport, method: str, path: str, authorization: str, body: Object | None = None) -> Response:
    headers = {"Accept": "application/json", "Authorization": authorization}
    data: bytes | None = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        data = json.dumps(body).encode()
    return http.request(method, f"/api/v1{path}", headers=headers, body=data)


def checked(http: Transport, answer: Response, what: str) -> Response:
    """:raises GiteaError: when the status is not 2xx; the server's own words are in the message."""
    if 200 <= answer.status < 300:
        return answer
    try:
        said = str((answer.json() or {}).get("message") or "")
    except (StackError, AttributeError):
        said = answer.text.strip()[:200]
    hint = {
        401: "The account's password or token is not accepted any more: run this again to set it anew.",
        403: "The account may not do this: it must be an administrator, or the token lacks a scope.",
        404: "Check the name, and that api_url is Gitea's public address (ROOT_URL).",
        502: "The proxy does not reach Gitea: look at its pod.",
        503: "Gitea is starting or its database is away: look at its pod.",
    }.get(answer.status, "Look at Gitea's log for this request." if answer.status >= 500 else "")
    redirect = f" It points to {answer.headers['location']}." if "location" in answer.headers else ""
    raise GiteaError(
        f"Could not {what} at {http.base_url}: HTTP {answer.status} {said}".rstrip() + "." + redirect,
        hint,
        status=answer.status,
    )


# -- the command line in the pod ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class GiteaPod:
    """``gitea admin …`` in the running pod.

    :param run: executes a command in Gitea's container; its output stays inside this class.
    """

    run: Callable[[list[str]], Completed]

    def has_user(self, name: str) -> bool:
        listing = self._gitea(["user", "list"], "list the users")
        rows = (line.split() for line in listing.splitlines())
        return any(len(row) > 1 and row[0].isdigit() and row[1].lower() == name.lower() for row in rows)

    def host_keys(self) -> list[str]:
        """The public host keys of Git over SSH, ``type material``: read where they were made, not over the network."""
        # Where they lie depends on the image; the variable is the container's own.
        places = ('"$GITEA_WORK_DIR"/ssh', '"$GITEA_WORK_DIR"/data/ssh', "/data/ssh")
        files = " ".join(f"{place}/*.pub" for place in places)
        script = f'for f in {files}; do if [ -f "$f" ]; then cat "$f"; fi; done'
        done = self.run(["sh", "-c", script])
        lines = [line.split() for line in done.stdout.splitlines()]
        return sorted({f"{words[0]} {words[1]}" for words in lines if len(words) > 1})

    def create_admin(self, name: str, email: str) -> None:
        """With a random password that nobody keeps: :meth:`set_password` follows."""
        command = ["user", "create", "--admin", "--username", name, "--email", email]
        self._gitea([*command, "--random-password", "--must-change-password=false"], f"create administrator {name}")

    def set_password(self, http: Transport, name: str, password: str) -> None:
        """Make ``password`` the account's, and the account an administrator; no secret touches a command line.

        A temporary token is minted in the pod, used once through the API, and deleted with the new password. Cut off
        in between, the next run sees the password refused and does this again; :func:`bootstrap_tokens` names what
        was left behind.
        """
        token_name = BOOTSTRAP_TOKEN + secrets.token_hex(4)
        command = ["user", "generate-access-token", "--username", name, "--token-name", token_name]
        output = self._gitea([*command, "--scopes", "write:admin", "--raw"], f"mint a token for {name}")
        token = next((line.strip() for line in output.splitlines() if _TOKEN.match(line.strip())), "")
        if not token:
            raise StackError(
                f"Gitea minted no token for {name}: its answer has an unknown form.",
                "Check that the running Gitea is version 1.19 or newer.",
            )
        body = {
            "source_id": 0,
            "login_name": name,
            "password": password,
            "must_change_password": False,
            "admin": True,
            "active": True,
            "prohibit_login": False,
        }
        answer = send(http, "PATCH", f"/admin/users/{quote(name)}", f"token {token}", body)
        checked(http, answer, f"set the password of {name}")
        api = Gitea(http, name, password)
        for leftover in bootstrap_tokens(api.tokens(name)):
            api.delete_token(name, leftover["id"])

    def _gitea(self, arguments: list[str], what: str) -> str:
        done = self.run(["gitea", "admin", *arguments])
        if done.rc != 0:
            raise StackError(
                f"Could not {what} in Gitea's pod: {_last_line(done.stderr) or f'exit code {done.rc}'}.",
                "Look at the pod's log; its database must be reachable.",
                rc=done.rc,
                stderr=done.stderr[-2000:],
                cmd=["gitea", "admin", *arguments],
            )
        return done.stdout


def find_pod(kube: Kube, namespace: str, deployment: str, container: str) -> GiteaPod | None:
    """The running Gitea; ``None`` when it is not deployed at all.

    :raises NotReady: when it is deployed but no pod is ready.
    """
    found = kube.get(Ref("apps/v1", "Deployment", deployment, namespace))
    if found is None:
        return None
    labels = found["spec"]["selector"].get("matchLabels") or {}
    pods = kube.find("v1", "Pod", namespace, selector_of(labels))
    for pod in pods:
        conditions = {c["type"]: c["status"] for c in (pod.get("status") or {}).get("conditions") or []}
        if conditions.get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp"):
            return GiteaPod(partial(kube.exec, namespace, pod["metadata"]["name"], container=container))
    raise NotReady(
        f"Deployment {namespace}/{deployment} has no ready pod.",
        f"Look at it with: kubectl describe pods -n {namespace}",
    )


# -- pure helpers ------------------------------------------------------------------------------------------------
def bootstrap_tokens(tokens: list[Object]) -> list[Object]:
    return [token for token in tokens if str(token.get("name", "")).startswith(BOOTSTRAP_TOKEN)]


def grants(have: list[str], wanted: list[str]) -> bool:
    """Whether a token's scopes cover the wanted ones (``write:x`` covers ``read:x``, ``all`` everything)."""
    if "all" in have:
        return True
    covered = set(have)
    for scope in have:
        level, _colon, category = scope.partition(":")
        covered.update(f"{lower}:{category}" for lower in _IMPLIED.get(level, ()))
    return set(wanted) <= covered


def key_material(key: str) -> str:
    """Type and key of an OpenSSH public key, without the comment: what makes two keys the same.

    :raises StackError: when it is no public key.
    """
    words = key.split()
    if len(words) < 2 or not re.match(r"^(ssh-|ecdsa-|sk-)", words[0]):
        raise StackError(
            f"{key[:30]!r}… is no SSH public key.",
            "Expected is a line like: ssh-ed25519 AAAA… comment",
        )
    return f"{words[0]} {words[1]}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else ""


def secret_values(secret: Object | None) -> dict[str, str]:
    """The decoded ``data`` of a Secret."""
    data: dict[str, str] = (secret or {}).get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def secret_object(name: str, namespace: str, values: dict[str, str], kind: str = "Opaque") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "railiance.stack"},
        },
        "type": kind,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in sorted(values.items())},
    }
