"""A Gitea in memory: the answers of the API calls that this collection makes, and its command line in the pod."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._http import Response
from ansible_collections.railiance.stack.plugins.module_utils._kube import Completed


class FakeGitea:
    """:class:`Transport` and command line of one Gitea; ``writes`` holds every call that changed something."""

    base_url = "https://gitea.test"

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {}
        self.tokens: list[dict[str, Any]] = []
        self.keys: list[dict[str, Any]] = []
        self.organisations: dict[str, dict[str, Any]] = {}
        self.repositories: dict[str, dict[str, Any]] = {}
        self.teams: list[dict[str, Any]] = []
        self.writes: list[str] = []
        self.reads: list[str] = []
        self.commands: list[list[str]] = []
        self._ids = 0

    # -- the command line ------------------------------------------------------------------------------------
    def run(self, command: list[str]) -> Completed:
        self.commands.append(command)
        assert command[:3] == ["gitea", "admin", "user"]
        verb, options = command[3], command[4:]
        value = dict(itertools.pairwise(options)).get
        if verb == "list":
            rows = [f"{u['id']}    {name}  {u['email']} true" for name, u in self.users.items()]
            return Completed(0, "\n".join(["ID   Username Email IsActive", *rows]) + "\n", "")
        if verb == "create":
            name = str(value("--username"))
            if name in self.users:
                return Completed(1, "", f"Command error: user already exists [name: {name}]\n")
            self._user(name, str(value("--email")), "random", admin="--admin" in options)
            self._wrote(f"exec create {name}")
            return Completed(0, "generated random password is 'random'\nNew user has been created!\n", "")
        assert verb == "generate-access-token"
        token = self._token(str(value("--username")), str(value("--token-name")), [str(value("--scopes"))])
        self._wrote("exec token")
        return Completed(0, f"{token['sha1']}\n", "")

    # -- the API ---------------------------------------------------------------------------------------------
    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        path, _, query = path.partition("?")
        sent = json.loads(body or b"{}")
        caller, scopes = self._caller((headers or {}).get("Authorization", ""))
        call = f"{method} {path.removeprefix('/api/v1')}"
        if caller is None:
            self.reads.append(call)
            return _answer(401, {"message": "user does not exist"})
        if scopes is not None and call == "GET /user":
            self.reads.append(call)
            return _answer(403, {"message": "token does not have at least one of required scope(s)"})
        status, result = self._route(call, sent, caller, dict(part.split("=") for part in query.split("&") if part))
        if method == "GET":
            self.reads.append(call)
        elif status < 300:
            self._wrote(call)
        return _answer(status, result)

    def _route(self, call: str, sent: dict[str, Any], caller: str, query: dict[str, str]) -> tuple[int, Any]:
        def match(pattern: str) -> list[str] | None:
            found = re.fullmatch(pattern.replace("{}", "([^/]+)"), call)
            return list(found.groups()) if found else None

        def page(items: list[Any]) -> tuple[int, Any]:
            start = (int(query["page"]) - 1) * int(query["limit"])
            return 200, items[start : start + int(query["limit"])]

        if call == "GET /user":
            return 200, {"login": caller, "is_admin": self.users[caller]["admin"]}
        if got := match("GET /users/{}"):
            return (200, {"login": got[0]}) if got[0] in self.users else (404, {})
        if call == "POST /admin/users":
            self._user(sent["username"], sent["email"], sent["password"], admin=False)
            return 201, {}
        if got := match("PATCH /admin/users/{}"):
            assert sent["login_name"] == got[0]
            self.users[got[0]].update(password=sent["password"], admin=sent["admin"])
            return 200, {}
        if got := match("GET /users/{}/keys"):
            return page([k for k in self.keys if k["user"] == got[0]])
        if got := match("POST /admin/users/{}/keys"):
            if any(k["key"] == sent["key"] for k in self.keys):
                return 422, {"message": "Key content has been used as non-deploy key"}
            self.keys.append({"id": self._id(), "user": got[0], "title": sent["title"], "key": sent["key"]})
            return 201, {}
        if got := match("DELETE /admin/users/{}/keys/{}"):
            self.keys = [k for k in self.keys if str(k["id"]) != got[1]]
            return 204, None
        if got := match("GET /users/{}/tokens"):
            return page([{k: v for k, v in t.items() if k != "sha1"} for t in self.tokens if t["user"] == got[0]])
        if got := match("POST /users/{}/tokens"):
            return 201, self._token(got[0], sent["name"], sent["scopes"])
        if got := match("DELETE /users/{}/tokens/{}"):
            self.tokens = [t for t in self.tokens if str(t["id"]) != got[1]]
            return 204, None
        if call == "POST /orgs":
            self.organisations[sent["username"]] = sent
            return 201, {}
        if got := match("(GET|PATCH) /orgs/{}"):
            return self._edit(self.organisations, got[1], sent)
        if got := match("POST /orgs/{}/repos"):
            self.repositories[f"{got[0]}/{sent['name']}"] = sent
            return 201, {}
        if got := match("(GET|PATCH) /repos/{}/{}"):
            return self._edit(self.repositories, f"{got[1]}/{got[2]}", sent)
        if got := match("GET /orgs/{}/teams"):
            return page([t for t in self.teams if t["org"] == got[0]])
        if got := match("POST /orgs/{}/teams"):
            units = {"repo.issues": "none", **sent.pop("units_map")}
            team = {"id": self._id(), "org": got[0], "members": [], "units_map": units, **sent}
            self.teams.append(team)
            return 201, team
        if got := match("PATCH /teams/{}"):
            self._team(got[0]).update(sent)
            return 200, {}
        if got := match("(GET|PUT) /teams/{}/members/{}"):
            members = self._team(got[1])["members"]
            if got[0] == "PUT":
                members.append(got[2])
                return 204, None
            return (200, {}) if got[2] in members else (404, {})
        raise AssertionError(f"the fake Gitea knows no {call}")

    # -- inside ----------------------------------------------------------------------------------------------
    def _edit(self, things: dict[str, dict[str, Any]], name: str, sent: dict[str, Any]) -> tuple[int, Any]:
        if name not in things:
            return 404, {}
        things[name].update(sent)
        return 200, things[name]

    def _team(self, team_id: str) -> dict[str, Any]:
        return next(t for t in self.teams if str(t["id"]) == team_id)

    def _user(self, name: str, email: str, password: str, *, admin: bool) -> None:
        self.users[name] = {"id": self._id(), "email": email, "password": password, "admin": admin}

    def _token(self, user: str, name: str, scopes: list[str]) -> dict[str, Any]:
        assert all((t["user"], t["name"]) != (user, name) for t in self.tokens)
        token_id = self._id()
        sha1 = f"{token_id:040x}"
        token = {
            "id": token_id,
            "user": user,
            "name": name,
            "scopes": scopes,
            "sha1": sha1,
            "token_last_eight": sha1[-8:],
        }
        self.tokens.append(token)
        return token

    def _caller(self, authorization: str) -> tuple[str | None, list[str] | None]:
        kind, _, value = authorization.partition(" ")
        if kind == "token":
            token = next((t for t in self.tokens if t["sha1"] == value), None)
            return (token["user"], token["scopes"]) if token else (None, None)
        name, _, password = base64.b64decode(value).decode().partition(":")
        user = self.users.get(name)
        return (name, None) if user and user["password"] == password else (None, None)

    def _id(self) -> int:
        self._ids += 1
        return self._ids

    def _wrote(self, call: str) -> None:
        self.writes.append(call)


def _answer(status: int, result: Any) -> Response:
    return Response(status, {}, json.dumps(result).encode())
