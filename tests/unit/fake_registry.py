"""A container registry in memory that asks for a token, as Gitea's does."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._http import Response


def manifest(config: str, layers: int = 1) -> bytes:
    """The body of a manifest whose configuration has this digest."""
    return json.dumps(
        {
            "schemaVersion": 2,
            "config": {"digest": config, "size": 10},
            "layers": [{"digest": f"sha256:{n:064x}", "size": 100} for n in range(layers)],
        }
    ).encode()


class FakeRegistry:
    """:class:`Transport` of one registry; ``calls`` holds every request, ``tags`` what is stored.

    :param scopes: what the token may do, ``pull`` and ``push``.
    """

    base_url = "https://forge.test"
    #: How Gitea calls itself.
    service = "container_registry"
    #: What it says of an upload that nobody began.
    no_upload = "BLOB_UPLOAD_UNKNOWN"

    def __init__(self, *, password: str = "secret", scopes: str = "pull push", owners: str = "apps") -> None:  # noqa: S107  a fake server's
        self.password = password
        self.scopes = scopes.split()
        self.owners = owners.split()
        self.tags: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.put_answer: Response | None = None

    def put(self, repository: str, tag: str, body: bytes) -> None:
        self.tags[f"{repository}:{tag}"] = body

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        self.calls.append(f"{method} {path.partition('?')[0]}")
        authorization = (headers or {}).get("Authorization", "")
        if path == "/v2/":
            challenge = f'Bearer realm="{self.base_url}/v2/token",service="{self.service}",scope="*"'
            return Response(401, {"www-authenticate": challenge})
        if path.startswith("/v2/token?"):
            login = base64.b64decode(authorization.removeprefix("Basic ")).decode()
            if login.partition(":")[2] != self.password:
                return Response(401, {}, _errors("UNAUTHORIZED"))
            return Response(200, {}, b'{"token": "jwt"}')
        if path == "/api/v1/user":
            # Gitea's API, which knows the token or does not; a registry of another make has none.
            return Response(401)
        assert authorization == "Bearer jwt"
        repository, _, rest = path.removeprefix("/v2/").rpartition("/manifests/")
        if not repository:
            owner = path.split("/")[2]
            if owner not in self.owners:
                return Response(404, {}, b"404 page not found\n")
            return Response(404, {}, _errors(self.no_upload)) if "push" in self.scopes else Response(401)
        if method == "PUT":
            if self.put_answer:
                return self.put_answer
            self.tags[f"{repository}:{rest}"] = body or b""
            return Response(201)
        assert "application/vnd.oci.image.manifest.v1+json" in (headers or {})["Accept"]
        found = self.tags.get(f"{repository}:{rest}")
        if found is None:
            return Response(404, {}, _errors("MANIFEST_UNKNOWN"))
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        return Response(200, {"content-type": kind, "docker-content-digest": digest(found)}, found)

    @property
    def writes(self) -> list[str]:
        return [call for call in self.calls if not call.startswith("GET ")]


def digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def _errors(*codes: str) -> bytes:
    content: dict[str, Any] = {"errors": [{"code": code, "message": ""} for code in codes]}
    return json.dumps(content).encode()
