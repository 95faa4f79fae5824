# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container registry's manifests, read and written in as few requests as the protocol allows.

Private to this collection. Layers are skopeo's business; this client knows what a tag names.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._http import Response, Transport, basic

MANIFEST_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
_REPOSITORY = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)+")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_SHA_LIKE = re.compile(r"(sha-?)?[0-9a-f]{7,64}", re.IGNORECASE)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Login:
    """Who pushes; ``origin`` names where the token comes from in messages."""

    username: str
    token: str = field(repr=False)
    origin: str = ""


@dataclass(frozen=True)
class Manifest:
    """What a tag names.

    :param config_digest: identifies the image's content; empty for an index of several platforms.
    :param size: bytes of configuration and layers, compressed.
    :param blobs: every blob that it names, digest to bytes.
    :param children: digests of an index's manifests.
    """

    digest: str
    media_type: str
    body: bytes = field(repr=False)
    config_digest: str = ""
    size: int = 0
    blobs: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    children: tuple[str, ...] = ()

    @classmethod
    def parse(cls, body: bytes, media_type: str) -> Manifest:
        """:raises StackError: when it is no manifest."""
        try:
            content: dict[str, Any] = json.loads(body)
            config = content.get("config") or {}
            parts = [part for part in [config, *(content.get("layers") or [])] if part]
            blobs = {str(part.get("digest", "")): int(part.get("size", 0)) for part in parts}
            children = tuple(str(child["digest"]) for child in content.get("manifests") or [])
            size = sum(int(part.get("size", 0)) for part in parts)
        except (ValueError, AttributeError, TypeError, KeyError) as error:
            raise StackError("The registry's answer is no image manifest.", "Check that it is a registry.") from error
        kind = media_type.split(";")[0].strip() or str(content.get("mediaType", ""))
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        return cls(digest, kind, body, str(config.get("digest", "")), size, blobs, children)


class Registry:
    """One repository of one registry.

    :param http: the way to the registry.
    :param repository: ``organisation/image``.
    :param login: ``None`` asks anonymously.
    :param connect: the way to another server that hands out tokens.
    """

    def __init__(
        self, http: Transport, repository: str, login: Login | None, connect: Callable[[str], Transport] | None = None
    ) -> None:
        if not _REPOSITORY.fullmatch(repository):
            raise StackError(
                f"{repository!r} is no repository of a registry.",
                "Expected is organisation/image in lower case, digits and single separators . _ -",
            )
        self.http = http
        self.repository = repository
        self.host = http.base_url.split("://", 1)[1]
        self.requests = 0
        self.bytes_sent = 0
        #: Whether Gitea answers, which has pages and an API for what it stores; known after the first request.
        self.is_gitea = False
        self._login = login
        self._connect = connect
        self._authorization: str | None = None

    @property
    def name(self) -> str:
        return f"{self.host}/{self.repository}"

    @property
    def owner(self) -> str:
        return self.repository.split("/", 1)[0]

    def page(self, version: str) -> str:
        """Gitea's page of one version; empty for another registry."""
        if not self.is_gitea:
            return ""
        image = quote(self.repository.split("/", 1)[1], safe="")
        return f"{self.http.base_url}/{self.owner}/-/packages/container/{image}/{quote(version, safe='')}"

    # -- reading ---------------------------------------------------------------------------------------------
    def readable(self, reference: str) -> bool:
        """Whether this login, or nobody in particular, may read what a tag or digest names."""
        try:
            return self._request("GET", f"/manifests/{reference}", {"Accept": ", ".join(MANIFEST_TYPES)}).status == 200
        except NeedsOperator:
            return False

    def manifest(self, reference: str) -> Manifest | None:
        """What a tag or digest names; ``None`` when it names nothing."""
        answer = self._request("GET", f"/manifests/{reference}", {"Accept": ", ".join(MANIFEST_TYPES)})
        if answer.status == 404:
            return None
        if answer.status in (401, 403):
            raise NeedsOperator(
                f"{self._who} may not read {self.name}.",
                self._rights("read"),
            )
        self._checked(answer, f"read {self.name}:{reference}")
        return Manifest.parse(answer.body, answer.headers.get("content-type", ""))

    def may_write(self) -> None:
        """Prove the permission to push, without writing: an upload that does not exist is asked for.

        :raises NeedsOperator: when the token's scope or the account's rights do not suffice.
        """
        answer = self._request("GET", f"/blobs/uploads/{uuid.UUID(int=0)}", {})
        # Without an owner Gitea's answer is no registry's; with one, every registry names a code of its own choice.
        if answer.status == 404 and b'"errors"' not in answer.body:
            raise NeedsOperator(
                f"{self.host} has no owner {self.owner} of images.",
                "Create the organisation, or name an existing one as first part of repository.",
            )
        if answer.status in (401, 403):
            raise NeedsOperator(
                f"{self._who} may not push to {self.name}.",
                self._rights("write"),
            )
        # 404 with a registry's code is the expected answer; some answer 204 or 400.
        if answer.status >= 500:
            self._checked(answer, f"ask for the permission to push to {self.name}")

    # -- writing ---------------------------------------------------------------------------------------------
    def put_manifest(self, tag: str, manifest: Manifest) -> None:
        """Let a tag name content that is there already."""
        answer = self._request("PUT", f"/manifests/{tag}", {"Content-Type": manifest.media_type}, manifest.body)
        self.bytes_sent += len(manifest.body)
        self._checked(answer, f"tag {self.name}:{tag}")

    # -- inside ----------------------------------------------------------------------------------------------
    @property
    def _who(self) -> str:
        if self._login is None:
            return "An anonymous client"
        return f"Account {self._login.username}" + (f" ({self._login.origin})" if self._login.origin else "")

    def _rights(self, access: str) -> str:
        """What is missing, and at Gitea where to get it."""
        if not self.is_gitea:
            return f"Correct user name and password, and give the account the right to {access} in {self.owner}."
        permission = "permission" if access == "read" else f"{access} permission"
        return (
            f"The token needs the scope {access}:package, and the account {permission} in {self.owner}. Mint one at"
            f" {self.http.base_url}/user/settings/applications"
        )

    def _request(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Response:
        if self._authorization is None:
            self._authorization = self._authenticate()
        return self._send(self.http, method, f"/v2/{self.repository}{path}", self._authorization, headers, body)

    def _send(
        self,
        http: Transport,
        method: str,
        path: str,
        authorization: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Response:
        self.requests += 1
        sent = dict(headers or {})
        if authorization:
            sent["Authorization"] = authorization
        return http.request(method, path, headers=sent, body=body)

    def _authenticate(self) -> str:
        """The Authorization header that the registry's own challenge asks for; empty when it asks for none."""
        answer = self._send(self.http, "GET", "/v2/", "")
        if answer.status == 200:
            return ""
        scheme, _space, rest = answer.headers.get("www-authenticate", "").partition(" ")
        if answer.status != 401 or scheme.lower() not in ("bearer", "basic"):
            raise StackError(
                f"{self.http.base_url}/v2/ does not answer like a registry: HTTP {answer.status}.",
                "Name the registry's public host, and check that it runs and that its proxy passes /v2/ on.",
            )
        if scheme.lower() == "basic":
            return basic(self._login.username, self._login.token) if self._login else ""
        challenge = dict(_CHALLENGE.findall(rest))
        realm = challenge.get("realm", "")
        self.is_gitea = challenge.get("service") == "container_registry" and realm.endswith("/v2/token")
        query = urlencode({"service": challenge.get("service", ""), "scope": f"repository:{self.repository}:pull,push"})
        parts = urlsplit(realm)
        http, path = self.http, f"{parts.path}?{query}"
        if f"{parts.scheme}://{parts.netloc}" != self.http.base_url:
            if self._connect is None or parts.scheme != "https":
                raise StackError(
                    f"{self.http.base_url} sends clients to {realm} for a token.",
                    "The registry's public address (Gitea: ROOT_URL) differs from the one given, or it is not https.",
                )
            http = self._connect(f"{parts.scheme}://{parts.netloc}")
        authorization = basic(self._login.username, self._login.token) if self._login else ""
        answer = self._send(http, "GET", path, authorization)
        if answer.status in (401, 403):
            raise NeedsOperator(
                f"{self.host} refuses the token of {self._who[0].lower()}{self._who[1:]}: {self._why(authorization)}.",
                "Run role railiance.stack.git_access with git_access_register for a new one, or mint one with the scope"
                f" write:package at {self.http.base_url}/user/settings/applications"
                if self.is_gitea
                else "Correct user name and password.",
            )
        self._checked(answer, f"get a token from {realm}")
        token = answer.json() or {}
        return f"Bearer {token.get('token') or token.get('access_token') or ''}"

    def _why(self, authorization: str) -> str:
        """Gitea's API tells a token without the scope from one that it does not know."""
        known = self.is_gitea and self._send(self.http, "GET", "/api/v1/user", authorization).status in (200, 403)
        return "it lacks the scope for packages" if known else "it has expired or was revoked"

    def _checked(self, answer: Response, what: str) -> Response:
        if 200 <= answer.status < 300:
            return answer
        raise StackError(
            f"Could not {what}: HTTP {answer.status}{_said(answer)}.",
            {
                401: "The token lacks the scope for this (read:package to read, write:package to push), or the account"
                " has no permission in the organisation.",
                403: "The account's or the server's package limit is reached, or the organisation forbids it:"
                " look at the organisation's packages page.",
                404: "The organisation does not exist, or a layer that the manifest names is missing: push again.",
                429: "The registry limits requests: try again later.",
            }.get(answer.status, "Look at the registry's log and its free disk space." if answer.status > 499 else ""),
            status=answer.status,
        )


def is_commit_like(tag: str) -> bool:
    """Whether a tag names one content for ever, as a commit does; others (``latest``) may move."""
    return bool(_SHA_LIKE.fullmatch(tag))


def check_tags(tags: list[str]) -> None:
    """:raises StackError: when a tag is none, or two of them are the same to a registry."""
    wrong = [tag for tag in tags if not _TAG.fullmatch(tag)]
    if wrong or not tags:
        raise StackError(
            f"{wrong[0]!r} is no tag." if wrong else "No tag is given.",
            "A tag has 1 to 128 letters, digits, . _ or -, and does not begin with . or -",
        )
    folded = [tag.lower() for tag in tags]
    if len(set(folded)) != len(folded):
        raise StackError(f"Tags repeat: {', '.join(tags)}.", "Gitea does not tell upper and lower case apart.")


def _said(answer: Response) -> str:
    """The registry's own words: ``{"errors": [{code, message}]}``."""
    try:
        errors = (json.loads(answer.body or b"{}") or {}).get("errors") or []
        words = "; ".join(f"{e.get('code', '')} {e.get('message', '')}".strip() for e in errors)
    except (ValueError, AttributeError):
        words = answer.text.strip()[:200]
    return f" ({words})" if words else ""
