# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image must be before it is published, and what must not be in it. Private to this collection.

Pure: from a configuration and a listing of its layers to named findings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from typing import Any, Literal

from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError

Severity = Literal["fatal", "advice", "ignore"]

#: Every finding, and how grave it is unless said otherwise. What is secret cannot be taken back once it is published.
SEVERITIES: dict[str, Severity] = {
    "root-user": "advice",
    "named-user": "advice",
    "no-port": "advice",
    "no-health-check": "advice",
    "foreign-platform": "fatal",
    "secret-file": "fatal",
    "secret-build-arg": "fatal",
    "secret-environment": "fatal",
    "index-credential": "fatal",
}
#: Words in the name of a variable whose value nobody should see.
SECRET_WORDS = re.compile(
    r"(?<!by)pass(word|wd|phrase)?(?![a-z])|secret|token|credential|api_?key|private_?key", re.IGNORECASE
)
_LOCATION_WORDS = re.compile(r"_(file|path|dir|name|host|url|age|timeout|length|ttl)$", re.IGNORECASE)
#: ``https://user:password@host`` with a password that is no reference to a variable.
_LOGIN_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@'\"$<{]+:([^\s/@'\"$<{]+)@[\w.-]+", re.IGNORECASE)
_NPM_LOGIN = re.compile(
    r"(_authToken|_auth|_password|npmAuthToken|npmAuthIdent)\s*[=:]\s*['\"]?(?![\s'\"$<{])\S", re.IGNORECASE
)
_NETRC_LOGIN = re.compile(r"\bpassword\s+(?!\$)\S+|^\s*password\s*[:=]\s*(?!\$)\S+", re.IGNORECASE | re.MULTILINE)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----|AGE-SECRET-KEY-1")
_ENV_SECRET = re.compile(
    r"^\s*(?:export\s+)?\w*(?:PASS|SECRET|TOKEN|CREDENTIAL|API_?KEY|DATABASE_URL)\w*\s*=\s*['\"]?(?![\s'\"$<{])\S",
    re.IGNORECASE | re.MULTILINE,
)
_SOMETHING = re.compile(r"\S")
#: What a file of this name holds when it is a secret: finding, names, pattern of the content.
_FILES: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = (
    ("index-credential", (".npmrc", ".yarnrc", ".yarnrc.yml"), _NPM_LOGIN),
    ("index-credential", ("pip.conf", "pip.ini", "uv.toml", ".pip/pip.conf", "pydistutils.cfg"), _LOGIN_IN_URL),
    ("index-credential", (".netrc", "_netrc", ".pypirc", "pypoetry/auth.toml"), _NETRC_LOGIN),
    ("secret-file", (".env", ".env.*", "*.env"), _ENV_SECRET),
    (
        "secret-file",
        ("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.pem", "*.key", "*.p8", "*.age", "keys.txt"),
        _PRIVATE_KEY,
    ),
    ("secret-file", (".pgpass", ".git-credentials", ".vault-token", "*.p12", "*.pfx", "*.kdbx"), _SOMETHING),
    ("secret-file", (".docker/config.json", "containers/auth.json", ".dockercfg"), re.compile(r'"auth"\s*:\s*"\S')),
    ("secret-file", (".aws/credentials",), re.compile("aws_secret_access_key", re.IGNORECASE)),
    (
        "secret-file",
        (".kube/config", "kubeconfig", "kubeconfig.y*ml", "k3s.yaml"),
        re.compile(r"client-key-data:\s*\S|token:\s*\S"),
    ),
)
#: Folders whose keys belong to somebody's test suite.
_TEST_FOLDERS = frozenset({"test", "tests", "testing", "testdata", "test_data", "fixtures"})
_EXAMPLES = (".env.example", ".env.sample", ".env.template", ".env.dist", "example.env", "sample.env")
_LARGEST_SECRET = 64 * 1024
_MOST_FILES = 20


@dataclass(frozen=True)
class File:
    """A file as one layer adds it; a later layer may have removed it, which does not remove it from the image.

    :param path: without a leading slash.
    :param layer: number of the layer, from 1.
    :param read: its first bytes.
    """

    path: str
    size: int
    layer: int
    read: Callable[[], bytes] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Finding:
    """One way in which the image is not as it should be.

    :param name: one of :data:`SEVERITIES`.
    :param severity: ``fatal`` or ``advice``.
    :param detail: what was seen; never a secret value.
    """

    name: str
    severity: str
    detail: str
    hint: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Contract:
    """What is asked of an image.

    :param port: a TCP port that it must expose; 0 for any.
    :param platform: ``linux/amd64``, as the node has it; empty for any.
    :param severities: finding to severity, in place of the default.
    :param allowed_files: patterns of paths that may be there.
    """

    port: int = 0
    platform: str = ""
    severities: Mapping[str, str] = field(default_factory=dict)
    allowed_files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = sorted(set(self.severities) - set(SEVERITIES))
        if unknown:
            raise StackError(
                f"{unknown[0]!r} is no finding of the image contract.", f"There are: {', '.join(SEVERITIES)}."
            )
        wrong = sorted(set(self.severities.values()) - {"fatal", "advice", "ignore"})
        if wrong:
            raise StackError(f"{wrong[0]!r} is no severity of a finding.", "There are: fatal, advice, ignore.")

    def severity(self, name: str) -> str:
        return str(self.severities.get(name, SEVERITIES[name]))

    @property
    def looks_at_files(self) -> bool:
        return any(self.severity(name) != "ignore" for name in ("secret-file", "index-credential"))

    def findings(self, config: Mapping[str, Any], files: Iterable[File] = ()) -> list[Finding]:
        """Everything that is not as it should be, the grave first.

        :param config: the image's configuration, as in the registry.
        """
        found = [*_shape(config, self.port, self.platform), *_history(config), *_environment(config)]
        if self.looks_at_files:
            found += _secret_files(files, self.allowed_files)
        graded = [Finding(name, self.severity(name), detail, hint) for name, detail, hint in found]
        return sorted((f for f in graded if f.severity != "ignore"), key=lambda f: f.severity != "fatal")


def require(findings: Iterable[Finding], image: str) -> None:
    """:raises StackError: naming every fatal finding."""
    every = list(findings)
    fatal = [f for f in every if f.severity == "fatal"]
    if fatal:
        raise StackError(
            f"The image {image} does not keep the contract: " + "; ".join(f"{f.name}: {f.detail}" for f in fatal) + ".",
            " ".join(dict.fromkeys(f.hint for f in fatal)),
            findings=[f.as_dict() for f in every],
        )


Found = tuple[str, str, str]


# -- the configuration ---------------------------------------------------------------------------------------------
def _shape(config: Mapping[str, Any], port: int, platform: str) -> list[Found]:
    inner = config.get("config") or {}
    found: list[Found] = []
    user = str(inner.get("User") or "")
    name = user.partition(":")[0]
    if name in ("", "0", "root"):
        found.append(
            ("root-user", f"it runs as {user or 'root, because it names no user'}", "Give the image USER 10001:10001.")
        )
    elif not name.isdigit():
        found.append(
            (
                "named-user",
                f"its user {name} is a name, and Kubernetes cannot tell that it is not root",
                "Name the user by number: USER 10001:10001.",
            )
        )
    exposed = sorted(inner.get("ExposedPorts") or {})
    if port and f"{port}/tcp" not in exposed and str(port) not in exposed:
        found.append(
            (
                "no-port",
                f"it exposes {', '.join(exposed) or 'no port'}, not {port}/tcp",
                f"Give the image EXPOSE {port}.",
            )
        )
    elif not exposed:
        found.append(("no-port", "it exposes no port", "Give the image EXPOSE 8000, or the port it serves at."))
    test = (inner.get("Healthcheck") or {}).get("Test") or []
    if not test or test[0] == "NONE":
        found.append(
            (
                "no-health-check",
                "it declares no health check",
                "Give the image HEALTHCHECK, and build it in Docker's format: OCI's drops it.",
            )
        )
    own = f"{config.get('os') or 'linux'}/{config.get('architecture') or 'unknown'}"
    if platform and own != platform:
        found.append(("foreign-platform", f"it is made for {own}, not for {platform}", f"Build it on {platform}."))
    return found


def _history(config: Mapping[str, Any]) -> list[Found]:
    """Build arguments and logins of package indexes that the history tells everybody who may pull."""
    found: dict[tuple[str, str], Found] = {}
    for entry in config.get("history") or []:
        words = str(entry.get("created_by") or "")
        for name, value in build_arguments(words):
            if is_secret_name(name) and value:
                found["arg", name] = (
                    "secret-build-arg",
                    f"the build argument {name} stays in its history",
                    "Mount secrets in the step that needs them: RUN --mount=type=secret,id=…, and change the value.",
                )
        if _LOGIN_IN_URL.search(words) or _NPM_LOGIN.search(words):
            found["index", ""] = (
                "index-credential",
                "its history holds an address with a login",
                "Mount a netrc as build secret, RUN --mount=type=secret,id=…, and change the password.",
            )
    return list(found.values())


def build_arguments(words: str) -> list[tuple[str, str]]:
    """Build arguments with values out of one line of history: ``ARG X=1``, or ``|1 X=1 /bin/sh -c …`` before a RUN."""
    found = re.findall(r"\bARG\s+([A-Za-z_]\w*)=(\S+)", words)
    before_run = re.match(r"\s*\|\d+\s+(.*?)(?:/bin/\w+ -c|$)", words, re.DOTALL)
    if before_run:
        found += re.findall(r"([A-Za-z_]\w*)=(\S*)", before_run[1])
    return found


def _environment(config: Mapping[str, Any]) -> list[Found]:
    found: list[Found] = []
    for entry in (config.get("config") or {}).get("Env") or []:
        name, _equals, value = str(entry).partition("=")
        if _LOGIN_IN_URL.search(value):
            found.append(
                (
                    "index-credential" if "INDEX" in name.upper() else "secret-environment",
                    f"its variable {name} holds an address with a login",
                    "Leave it out of the image: give it as build secret, or from a Secret where it runs.",
                )
            )
        elif is_secret_name(name) and value:
            found.append(
                (
                    "secret-environment",
                    f"its variable {name} has a value",
                    "Leave it out of the image: it comes from a Secret where it runs.",
                )
            )
    return found


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret, and not only the place of one."""
    return bool(SECRET_WORDS.search(name)) and not _LOCATION_WORDS.search(name)


# -- the layers ----------------------------------------------------------------------------------------------------
def _secret_files(files: Iterable[File], allowed: tuple[str, ...]) -> list[Found]:
    found: list[Found] = []
    for file in files:
        kind = _kind(file)
        if kind is None or any(fnmatch(file.path, pattern.lstrip("/")) for pattern in allowed):
            continue
        name, pattern = kind
        if not pattern.search(file.read()[:_LARGEST_SECRET].decode("utf-8", "replace")):
            continue
        found.append(
            (
                name,
                f"/{file.path} in layer {file.layer}",
                "Name the file in .dockerignore or mount it as build secret: removing it in a later step leaves it in"
                " the layer. Change what it holds.",
            )
        )
        if len(found) == _MOST_FILES:
            break
    return found


def _kind(file: File) -> tuple[str, re.Pattern[str]] | None:
    """What a file may be, by its name alone: most files are never opened."""
    if not 0 < file.size <= _LARGEST_SECRET:
        return None
    base = file.path.rpartition("/")[2]
    # Cheap before exact: an image has tens of thousands of files.
    if not _CANDIDATE.search(base) or base in _EXAMPLES:
        return None
    for name, patterns, content in _FILES:
        for pattern in patterns:
            if fnmatch(base, pattern) if "/" not in pattern else f"/{file.path}".endswith(f"/{pattern}"):
                of_a_test = content is _PRIVATE_KEY and _TEST_FOLDERS & set(file.path.split("/")[:-1])
                return None if of_a_test else (name, content)
    return None


_CANDIDATE = re.compile(
    r"^\.(npmrc|yarnrc|netrc|pypirc|env|pgpass|git-credentials|vault-token|dockercfg)|^_netrc$|^id_|^kubeconfig"
    r"|^(config|credentials|keys\.txt|k3s\.yaml|pydistutils\.cfg|uv\.toml|pip\.(conf|ini))$|^(auth|config)\.(toml|json)$"
    r"|\.(env|pem|key|p8|age|p12|pfx|kdbx)$"
)
