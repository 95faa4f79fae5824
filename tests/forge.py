"""A Gitea of its own for tests of the registry: real, over TLS through the cluster's ingress, in one namespace.

Its database runs beside it in the pod, so everything goes with the namespace. Its packages lie on a small file system
of their own (a loop device on the node), it writes an access log, and it limits what an organisation may keep.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._http import HttpsTransport, basic

Kubectl = Callable[..., Any]
Node = Callable[..., str]

GITEA_IMAGE = "docker.gitea.com/gitea:1.26.4-rootless"
POSTGRESQL_IMAGE = "ghcr.io/cloudnative-pg/postgresql:17"
ACCOUNT = "reg-bot"
#: Organisations that the account owns: images nobody else sees, images that everybody may pull, one for limits.
PRIVATE, PUBLIC = "reg-apps", "reg-open"
NODE_CA = "/etc/railiance/ca.crt"
_PROXY = """
import select, socket, sys, threading, time

port, host, target, limit, times, rate = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), *map(int, sys.argv[4:])
cuts, lock = [0], threading.Lock()

def serve(client):
    server = socket.create_connection((host, target))
    sent = 0
    while True:
        for end in select.select([client, server], [], [])[0]:
            data = end.recv(65536)
            if not data:
                client.close(), server.close()
                return
            if end is client:
                sent += len(data)
                if rate:
                    time.sleep(len(data) / rate)
                with lock:
                    cut = limit and sent > limit and cuts[0] < times
                    cuts[0] += bool(cut)
                if cut:
                    client.close(), server.close()
                    return
            (server if end is client else client).sendall(data)

with socket.create_server(("127.0.0.1", port)) as listener:
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


@dataclass
class Forge:
    """The running Gitea.

    :param host: public name; resolves on the node and in the cluster.
    :param folder: scratch folder on the node, root's.
    """

    namespace: str
    host: str
    node: Node
    kubectl: Kubectl
    lab: dict[str, Any]
    password: str = field(default_factory=lambda: secrets.token_hex(16))
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        return f"/srv/{self.namespace}"

    @property
    def containerd(self) -> str:
        """Where the container runtime looks for the way to this host; it reads it anew with each pull."""
        return f"/var/lib/rancher/k3s/agent/etc/containerd/certs.d/{self.host}"

    @property
    def address(self) -> str:
        return str(self.lab["node_address"])

    # -- Gitea's API, as the account or the administrator ------------------------------------------------------
    def api(
        self, method: str, path: str, body: Any = None, *, account: str = ACCOUNT, token: str = "", check: bool = True
    ) -> Any:
        http = HttpsTransport(f"https://{self.host}", ca_file=self.lab["ca_file"], address=self.address)
        headers = {"Authorization": f"token {token}" if token else basic(account, self.password)}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        answer = http.request(method, f"/api/v1{path}", headers=headers, body=data)
        http.close()
        assert not check or answer.status < 300, (method, path, answer.status, answer.text)
        return answer.json() if answer.body and check else answer.status

    def token(self, name: str, *scopes: str) -> str:
        """A new token of the account as a file on the node; its path."""
        made = self.api("POST", f"/users/{ACCOUNT}/tokens", {"name": name, "scopes": list(scopes)})
        self.tokens[name] = made["sha1"]
        path = f"{self.folder}/token-{name}"
        self.node(f"sudo install -m 0600 /dev/stdin {path}", f"{ACCOUNT}:{made['sha1']}\n".encode())
        return path

    def revoke(self, name: str) -> None:
        self.api("DELETE", f"/users/{ACCOUNT}/tokens/{name}")

    def versions(self, owner: str, name: str) -> list[str]:
        entries = self.api("GET", f"/packages/{owner}?type=container&limit=50")
        return sorted(entry["version"] for entry in entries if entry["name"] == name)

    # -- what it noted ---------------------------------------------------------------------------------------
    def access_log(self, since: int = 0) -> list[str]:
        """``GET /v2/ 401`` of every request to the registry and the API, from the given line on."""
        log = self.kubectl(f"logs deployment/gitea -n {self.namespace} -c gitea")
        found = re.findall(r'"((?:GET|HEAD|POST|PUT|PATCH|DELETE) \S+) HTTP/[\d.]+" (\d+)', log)
        return [
            f"{request} {status}" for request, status in found if request.split()[1].startswith(("/v2", "/api/v1"))
        ][since:]

    @contextlib.contextmanager
    def noted(self) -> Iterator[list[str]]:
        """The requests that came meanwhile, filled in at the end."""
        before = len(self.access_log())
        requests: list[str] = []
        yield requests
        requests += self.access_log(before)

    # -- images on the node ------------------------------------------------------------------------------------
    def image(self, name: str, *layers: int | str, settings: str = "", seed: str = "") -> str:
        """Build an image of random layers of the given sizes; a text is a file ``path=content``. Its reference.

        :param seed: the same seed gives the same layers.
        """
        context = f"{self.folder}/build"
        script = [f"rm -rf {context}", f"mkdir -p {context}"]
        lines = ["FROM scratch"]
        for number, layer in enumerate(layers):
            if isinstance(layer, str):
                path, _equals, content = layer.partition("=")
                encoded = base64.b64encode(content.encode()).decode()
                script.append(f"echo {encoded} | base64 -d > {context}/file{number}")
                lines.append(f"COPY file{number} /{path}")
            else:
                key = f"{seed or name}-{number}-{layer}"
                script.append(
                    f"openssl enc -aes-128-ctr -pass 'pass:{key}' -nosalt -pbkdf2 -iter 1 < /dev/zero 2>/dev/null"
                    f" | head -c {layer} > {context}/layer{number}; touch -d @1767225600 {context}/layer{number}"
                )
                lines.append(f"COPY layer{number} /layer{number}")
        lines += (settings or 'USER 10001:10001\nEXPOSE 8000\nHEALTHCHECK CMD ["/nothing"]').splitlines()
        containerfile = base64.b64encode("\n".join([*lines, ""]).encode()).decode()
        script += [
            f"echo {containerfile} | base64 -d > {context}/Containerfile",
            f"buildah build --quiet --format docker --layers --isolation chroot --tag localhost/{name} {context} >&2",
            f"rm -rf {context}",
        ]
        self.node("sudo sh -eu", "\n".join(script).encode())
        return f"containers-storage:localhost/{name}"

    def remove_image(self, *names: str) -> None:
        self.node(f"sudo buildah rmi --force {' '.join(f'localhost/{name}' for name in names)} >/dev/null 2>&1 || true")

    # -- an independent client ---------------------------------------------------------------------------------
    def digest(self, reference: str, token: str) -> str:
        """The digest that skopeo reads, which asks with a request of its own."""
        auth = f"{self.folder}/auth-check"
        login = base64.b64encode(f"{ACCOUNT}:{self.tokens[token]}".encode()).decode()
        self.node(
            f"sudo install -m 0600 /dev/stdin {auth}", json.dumps({"auths": {self.host: {"auth": login}}}).encode()
        )
        said = self.node(
            f"sudo skopeo inspect --authfile {auth} --cert-dir {self.folder}/trusted --format '{{{{.Digest}}}}'"
            f" docker://{self.host}/{reference}"
        )
        self.node(f"sudo rm {auth}")
        return said.strip()

    # -- the way in between ------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def proxy(
        self, *, cut_after: int = 0, times: int = 10**6, bytes_a_second: int = 0, port: int = 18443
    ) -> Iterator[str]:
        """A TCP proxy on the node before the ingress: it cuts connections, or is slow. Its address."""
        unit = f"{self.namespace}-proxy"
        self.node(f"sudo install -m 0644 /dev/stdin {self.folder}/proxy.py", _PROXY.encode())
        arguments = f"{port} {self.address} 443 {cut_after} {times} {bytes_a_second}"
        self.node(f"sudo systemd-run --quiet --collect --unit {unit} python3 {self.folder}/proxy.py {arguments}")
        self.node(f"for i in $(seq 100); do ss -Hltn sport = :{port} | grep -q . && exit 0; sleep 0.05; done; exit 1")
        try:
            yield f"127.0.0.1:{port}"
        finally:
            self.node(f"sudo systemctl stop {unit}")

    # -- its disk ----------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def full_disk(self) -> Iterator[Callable[[], None]]:
        """Fill the packages' file system to the last block; the function frees it before the end."""
        filler = f"{self.folder}/packages/filler"
        self.node(f"sudo sh -c 'cat /dev/zero > {filler} 2>/dev/null || true; sync -f {filler}'")

        def free() -> None:
            self.node(f"sudo rm -f {filler}")

        try:
            yield free
        finally:
            free()

    def disk_used(self) -> int:
        """Bytes of all blobs that lie there."""
        return int(
            self.node(f"sudo find {self.folder}/packages -type f -printf '%s\\n' | awk '{{s+=$1}} END {{print s+0}}'")
        )


@contextlib.contextmanager
def running_forge(
    lab: dict[str, Any],
    node: Node,
    kubectl: Kubectl,
    namespace: str = "reg-forge",
    *,
    disk_mb: int = 256,
    owner_limit_mb: int = 120,
) -> Iterator[Forge]:
    """Start it, give it its account and organisations, and take everything away again."""
    forge = Forge(namespace, f"{namespace}.{lab['zone']}", node, kubectl, lab)
    packages = f"{forge.folder}/packages"
    _remove(forge)
    node(f"sudo mkdir -p {packages} {forge.folder}/trusted {forge.containerd}")
    node(f"sudo cp {NODE_CA} {forge.folder}/trusted/ca.crt")
    hosts = f'server = "https://{forge.host}"\n[host."https://{forge.host}"]\nca = "{NODE_CA}"\n'
    node(f"sudo install -m 0600 /dev/stdin {forge.containerd}/hosts.toml", hosts.encode())
    try:
        node(f"sudo sh -c 'gunzip > {forge.folder}/disk'", _file_system(disk_mb))
        node(f"sudo mount -o loop {forge.folder}/disk {packages}")
        kubectl_apply(forge, manifests(forge, packages, owner_limit_mb))
        kubectl(f"rollout status deployment/gitea -n {namespace} --timeout 180s")
        kubectl(f"wait certificate/gitea-tls -n {namespace} --for condition=Ready --timeout 120s")
        _accounts(forge)
        yield forge
    finally:
        _remove(forge)


def kubectl_apply(forge: Forge, objects: list[dict[str, Any]]) -> None:
    forge.node(
        "sudo k3s kubectl apply -f -", json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}).encode()
    )


def _file_system(size_mb: int) -> bytes:
    """An empty ext4 for user 1000, packed: the node has no tool to make one."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "disk"
        with file.open("wb") as empty:
            empty.truncate(size_mb * 1024**2)
        subprocess.run(
            [
                "/sbin/mke2fs",
                "-q",
                "-t",
                "ext4",
                "-O",
                "^has_journal",
                "-m",
                "0",
                "-E",
                "root_owner=1000:1000",
                str(file),
            ],
            check=True,
        )
        return gzip.compress(file.read_bytes(), 1)


def _remove(forge: Forge) -> None:
    forge.kubectl(f"delete namespace {forge.namespace} --ignore-not-found --timeout 120s")
    forge.node(
        f"sudo umount {forge.folder}/packages 2>/dev/null || true; sudo rm -rf {forge.folder} {forge.containerd}"
    )


def _accounts(forge: Forge) -> None:
    def gitea(words: str) -> str:
        return str(forge.kubectl(f"exec -n {forge.namespace} deployment/gitea -c gitea -- gitea {words}"))

    gitea(f"admin user create --admin --username reg-admin --password {forge.password} --email a@{forge.host} "
          "--must-change-password=false")  # fmt: skip
    # The route may follow the certificate by a moment.
    deadline = time.monotonic() + 60
    while True:
        try:
            forge.api("GET", "/version", account="reg-admin")
            break
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    forge.api(
        "POST",
        "/admin/users",
        {
            "username": ACCOUNT,
            "email": f"b@{forge.host}",
            "password": forge.password,
            "must_change_password": False,
        },
        account="reg-admin",
    )
    for name, visibility in ((PRIVATE, "private"), (PUBLIC, "public")):
        forge.api("POST", "/orgs", {"username": name, "visibility": visibility})
    forge.token("writer", "write:package")
    pull = forge.api("POST", f"/users/{ACCOUNT}/tokens", {"name": "puller", "scopes": ["read:package"]})["sha1"]
    login = base64.b64encode(f"{ACCOUNT}:{pull}".encode()).decode()
    kubectl_apply(
        forge,
        [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "gitea-pull", "namespace": forge.namespace},
                "type": "kubernetes.io/dockerconfigjson",
                "stringData": {".dockerconfigjson": json.dumps({"auths": {forge.host: {"auth": login}}})},
            },
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "gitea-admin", "namespace": forge.namespace},
                "stringData": {"username": "reg-admin", "password": forge.password},
            },
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "gitea-bot-token", "namespace": forge.namespace},
                "stringData": {"username": ACCOUNT, "token": forge.tokens["writer"]},
            },
        ],
    )


def manifests(forge: Forge, packages: str, owner_limit_mb: int) -> list[dict[str, Any]]:
    namespace, host = forge.namespace, forge.host
    labels = {"app": "gitea"}
    settings = {
        "security__INSTALL_LOCK": "true",
        "security__SECRET_KEY": secrets.token_hex(32),
        "security__INTERNAL_TOKEN": secrets.token_hex(32),
        "oauth2__JWT_SECRET": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("="),
        "database__DB_TYPE": "postgres",
        "database__HOST": "127.0.0.1:5432",
        "database__NAME": "gitea",
        "database__USER": "gitea",
        "database__SSL_MODE": "disable",
        "server__PROTOCOL": "http",
        "server__HTTP_PORT": "3000",
        "server__DOMAIN": host,
        "server__ROOT_URL": f"https://{host}/",
        "server__DISABLE_SSH": "true",
        "server__LFS_START_SERVER": "false",
        "server__OFFLINE_MODE": "true",
        "packages__ENABLED": "true",
        "packages__LIMIT_TOTAL_OWNER_SIZE": f"{owner_limit_mb} MB" if owner_limit_mb else "-1",
        "storage_0X2E_packages__PATH": "/packages/blobs",
        "cron_0X2E_cleanup_packages__OLDER_THAN": "1s",
        "actions__ENABLED": "false",
        "log__MODE": "console",
        "log__LEVEL": "Info",
        "log__logger_0X2E_access_0X2E_MODE": "console",
    }
    database = (
        "set -e; export PGDATA=/database/data; [ -d $PGDATA ] || initdb -U gitea -A trust -E UTF8 >/dev/null;"
        " (until createdb -U gitea -h 127.0.0.1 gitea; do sleep 0.2; done) >/dev/null 2>&1 &"
        " exec postgres -c listen_addresses=127.0.0.1 -c unix_socket_directories=/database -c fsync=off"
    )
    pod = {
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 2,
        "containers": [
            {
                "name": "gitea",
                "image": GITEA_IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "env": [{"name": f"GITEA__{name}", "value": value} for name, value in settings.items()],
                "ports": [{"name": "http", "containerPort": 3000}],
                "readinessProbe": {"httpGet": {"path": "/api/healthz", "port": "http"}, "periodSeconds": 2},
                "securityContext": {"runAsUser": 1000, "runAsGroup": 1000},
                "volumeMounts": [
                    {"name": "data", "mountPath": "/var/lib/gitea"},
                    {"name": "config", "mountPath": "/etc/gitea"},
                    {"name": "packages", "mountPath": "/packages"},
                ],
            },
            {
                "name": "database",
                "image": POSTGRESQL_IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "command": ["bash", "-c", database],
                "securityContext": {"runAsUser": 26, "runAsGroup": 26},
                "volumeMounts": [{"name": "database", "mountPath": "/database"}],
            },
        ],
        "securityContext": {"fsGroup": 1000},
        "volumes": [
            {"name": "data", "emptyDir": {}},
            {"name": "config", "emptyDir": {}},
            {"name": "database", "emptyDir": {}},
            {"name": "packages", "hostPath": {"path": packages}},
        ],
    }
    meta = {"name": "gitea", "namespace": namespace}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "metadata": {"name": "gitea-tls", "namespace": namespace},
            "spec": {
                "secretName": "gitea-tls",
                "dnsNames": [host],
                "issuerRef": {"kind": "ClusterIssuer", "name": "letsencrypt-prod"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 3000, "targetPort": "http"}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {
                "selector": {"matchLabels": labels},
                "strategy": {"type": "Recreate"},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": meta,
            "spec": {
                "ingressClassName": "traefik",
                "tls": [{"hosts": [host], "secretName": "gitea-tls"}],
                "rules": [
                    {
                        "host": host,
                        "http": {
                            "paths": [
                                {
                                    "path": "/",
                                    "pathType": "Prefix",
                                    "backend": {"service": {"name": "gitea", "port": {"name": "http"}}},
                                }
                            ]
                        },
                    }
                ],
            },
        },
    ]
