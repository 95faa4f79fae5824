"""A Gitea of its own for tests of the registry: real, over TLS through the cluster's ingress, in one namespace.

Its database runs beside it in the pod, so everything goes with the namespace. Its packages lie on a small file system
of their own (a loop device on the node), it writes an access log, and it limits what an organisation may keep.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import re
import secrets
import subprocess
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._http import HttpsTransport, Response, basic

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

# Between ingress and Gitea: finished blobs are answered with 500 so many times, everything else is passed on.
_BETWEEN = """
import http.client, http.server, sys, threading

port, host, target, times = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
left, lock = [times], threading.Lock()
HOP = ("transfer-encoding", "connection", "content-length", "keep-alive")

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, status, headers, content):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("X-Between", "yes")
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def pass_on(self):
        body = self.body()
        if self.command == "PUT" and "/blobs/uploads/" in self.path:
            with lock:
                left[0] -= 1
                fails = left[0] >= 0
            if fails:
                return self.answer(500, [], b"")
        gitea = http.client.HTTPConnection(host, target)
        gitea.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP:
                gitea.putheader(name, value)
        gitea.putheader("Content-Length", str(len(body)))
        gitea.endheaders(body)
        got = gitea.getresponse()
        content = got.read()
        self.answer(got.status, [(n, v) for n, v in got.getheaders() if n.lower() not in HOP], content)
        gitea.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = pass_on

http.server.ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
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
        headers = {"Authorization": f"token {token}" if token else basic(account, self.password)}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        answer = self.http().request(method, f"/api/v1{path}", headers=headers, body=data)
        assert not check or answer.status < 300, (method, path, answer.status, answer.text)
        return answer.json() if answer.body and check else answer.status

    def http(self) -> HttpsTransport:
        """A connection of its own from the controller: threads share none."""
        return HttpsTransport(f"https://{self.host}", ca_file=self.lab["ca_file"], address=self.address)

    def token(self, name: str, *scopes: str) -> str:
        """A new token of the account as a file on the node; its path."""
        made = self.api("POST", f"/users/{ACCOUNT}/tokens", {"name": name, "scopes": list(scopes)})
        self.tokens[name] = made["sha1"]
        path = f"{self.folder}/token-{name}"
        self.node(f"sudo install -m 0600 /dev/stdin {path}", f"{ACCOUNT}:{made['sha1']}\n".encode())
        return path

    def login(self, name: str = "writer") -> str:
        """The account with the token of this name, as an authfile has it."""
        return base64.b64encode(f"{ACCOUNT}:{self.tokens[name]}".encode()).decode()

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
    def image(self, name: str, *layers: int | str, settings: str = "", seed: str = "", filled_by: str = "") -> str:
        """Build an image of random layers of the given sizes; a text is a file ``path=content``. Its reference.

        :param seed: the same seed gives the same layers.
        :param filled_by: a command whose output fills the layers, one after the other, instead.
        """
        context = f"{self.folder}/build"
        script = [f"rm -rf {context}", f"mkdir -p {context}"]
        lines = ["FROM scratch"]
        if filled_by:
            script.append(
                f"mkfifo {context}/content; ({filled_by}) > {context}/content 2>/dev/null & exec 3< {context}/content"
            )
        for number, layer in enumerate(layers):
            if isinstance(layer, str):
                path, _equals, content = layer.partition("=")
                encoded = base64.b64encode(content.encode()).decode()
                script.append(f"echo {encoded} | base64 -d > {context}/file{number}")
                lines.append(f"COPY file{number} /{path}")
            else:
                key = f"{seed or name}-{number}-{layer}"
                source = f"openssl enc -aes-128-ctr -pass 'pass:{key}' -nosalt -pbkdf2 -iter 1 < /dev/zero 2>/dev/null"
                take = f"{source} | head -c {layer}"
                if filled_by:
                    take = f"dd bs=1M iflag=fullblock,count_bytes count={layer} status=none <&3"
                script.append(f"{take} > {context}/layer{number}; touch -d @1767225600 {context}/layer{number}")
                lines.append(f"COPY layer{number} /layer{number}")
        lines += (settings or 'USER 10001:10001\nEXPOSE 8000\nHEALTHCHECK CMD ["/nothing"]').splitlines()
        containerfile = base64.b64encode("\n".join([*lines, ""]).encode()).decode()
        if filled_by:
            script.append(f"exec 3<&-; rm {context}/content")
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
        auths = {"auths": {self.host: {"auth": self.login(token)}}}
        self.node(f"sudo install -m 0600 /dev/stdin {auth}", json.dumps(auths).encode())
        said = self.node(
            f"sudo skopeo inspect --authfile {auth} --cert-dir {self.folder}/trusted --format '{{{{.Digest}}}}'"
            f" docker://{self.host}/{reference}"
        )
        self.node(f"sudo rm {auth}")
        return said.strip()

    # -- what others publish, in plain HTTP --------------------------------------------------------------------
    def upload(self, method: str, path: str, body: bytes, media_type: str = "application/octet-stream") -> int:
        headers = {"Authorization": basic(ACCOUNT, self.tokens["writer"]), "Content-Type": media_type}
        return self.http().request(method, path, headers=headers, body=body).status

    def publish(self, repository: str, tag: str, content: str, *, architecture: str = "amd64") -> str:
        """A small image of one file with this content; the digest of its manifest."""
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as archive:
            entry = tarfile.TarInfo("content")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
        layer = gzip.compress(raw.getvalue(), mtime=0)
        config = json.dumps(
            {
                "architecture": architecture,
                "os": "linux",
                "config": {"User": "10001:10001"},
                "rootfs": {"type": "layers", "diff_ids": [sha256(raw.getvalue())]},
            }
        ).encode()
        for blob in (config, layer):
            assert self.upload("POST", f"/v2/{repository}/blobs/uploads/?digest={sha256(blob)}", blob) == 201
        parts = [(config, "config.v1+json"), (layer, "layer.v1.tar+gzip")]
        described = [
            {"mediaType": f"application/vnd.oci.image.{kind}", "digest": sha256(blob), "size": len(blob)}
            for blob, kind in parts
        ]
        return self._manifest(repository, tag, "manifest", {"config": described[0], "layers": described[1:]})

    def publish_index(self, repository: str, tag: str, children: dict[str, str]) -> str:
        """An index of manifests that are there, architecture to digest."""
        described = [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest,
                "size": len(self._raw_manifest(repository, digest)),
                "platform": {"os": "linux", "architecture": architecture},
            }
            for architecture, digest in children.items()
        ]
        return self._manifest(repository, tag, "index", {"manifests": described})

    def _raw_manifest(self, repository: str, reference: str) -> bytes:
        headers = {"Authorization": basic(ACCOUNT, self.tokens["writer"])}
        return self.http().request("GET", f"/v2/{repository}/manifests/{reference}", headers=headers).body

    def _manifest(self, repository: str, tag: str, kind: str, content: dict[str, Any]) -> str:
        media_type = f"application/vnd.oci.image.{kind}.v1+json"
        body = json.dumps({"schemaVersion": 2, "mediaType": media_type, **content}).encode()
        assert self.upload("PUT", f"/v2/{repository}/manifests/{tag or sha256(body)}", body, media_type) == 201
        return sha256(body)

    def publish_wheel(self, owner: str, name: str, version: str, content: bytes) -> str:
        """A wheel of one module; its digest."""
        raw = io.BytesIO()
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(raw, "w") as archive:
            archive.writestr(f"{name}.py", content)
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel = raw.getvalue()
        fields = {":action": "file_upload", "name": name, "version": version, "sha256_digest": sha256(wheel)[7:]}
        lines = [
            f'--part\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
            for key, value in fields.items()
        ]
        lines.append(
            f'--part\r\nContent-Disposition: form-data; name="content"; filename="{name}-{version}-py3-none-any.whl"'
            "\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        body = "".join(lines).encode() + wheel + b"\r\n--part--\r\n"
        status = self.upload("POST", f"/api/packages/{owner}/pypi", body, "multipart/form-data; boundary=part")
        assert status == 201, status
        return sha256(wheel)

    def wheel(self, owner: str, name: str, version: str) -> Response:
        file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        headers = {"Authorization": basic(ACCOUNT, self.tokens["writer"])}
        return self.http().request("GET", f"/api/packages/{owner}/pypi/files/{name}/{version}/{file}", headers=headers)

    # -- the node's own store ----------------------------------------------------------------------------------
    def uncache(self) -> None:
        """Remove every image of this registry from the node, with what only it consists of."""
        script = (
            f"refs=$(k3s ctr -n k8s.io images ls 'name~={self.host}/' | awk 'NR>1 {{print $1 \" \" $3}}');"
            ' [ -n "$refs" ] || exit 0;'
            " same=$(k3s ctr -n k8s.io images ls |"
            " awk -v digests=\"$(echo \"$refs\" | cut -d' ' -f2 | tr '\\n' ' ')\" 'index(digests, $3) {print $1}');"
            " k3s ctr -n k8s.io images rm --sync $same >/dev/null"
        )
        self.node("sudo sh -eu", script.encode())

    def cached(self) -> set[str]:
        """Digests of all content that the node keeps."""
        return set(self.node("sudo k3s ctr -n k8s.io content ls -q").split())

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

    @contextlib.contextmanager
    def server_errors(self, times: int, port: int = 18080) -> Iterator[None]:
        """The first ``times`` blobs that a client finishes are answered with 500, between ingress and Gitea."""
        unit, file = f"{self.namespace}-between", f"{self.folder}/between.py"
        gitea = self.kubectl(f"get service gitea -n {self.namespace} -o json")["spec"]["clusterIP"]
        self.node(f"sudo install -m 0644 /dev/stdin {file}", _BETWEEN.encode())
        self.node(f"sudo systemd-run --quiet --collect --unit {unit} python3 {file} {port} {gitea} 3000 {times}")
        meta = {"name": "between", "namespace": self.namespace}
        ports = [{"name": "http", "port": port}]
        kubectl_apply(
            self,
            [
                {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": ports}},
                {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {**meta, "labels": {"kubernetes.io/service-name": "between"}},
                    "addressType": "IPv4",
                    "endpoints": [{"addresses": [self.address]}],
                    "ports": ports,
                },
            ],
        )
        try:
            self._route("between")
            yield
        finally:
            self._route("gitea")
            self.node(f"sudo systemctl stop {unit}")

    def _route(self, service: str) -> None:
        """Let the ingress lead to this service, and wait until it does."""
        path = "/spec/rules/0/http/paths/0/backend/service/name"
        patch = json.dumps([{"op": "replace", "path": path, "value": service}])
        self.kubectl(f"patch ingress gitea -n {self.namespace} --type json -p '{patch}'")
        deadline = time.monotonic() + 60
        while ("x-between" in self.http().request("GET", "/v2/").headers) != (service == "between"):
            assert time.monotonic() < deadline, f"the ingress does not lead to {service}"
            time.sleep(0.2)

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
        sparse = f"dd of={forge.folder}/disk conv=sparse bs=64k iflag=fullblock status=none"
        node(f"sudo sh -c 'gunzip | {sparse} && truncate -s {disk_mb}M {forge.folder}/disk'", _file_system(disk_mb))
        node(f"sudo mount -o loop {forge.folder}/disk {packages}")
        kubectl_apply(forge, manifests(forge, packages, owner_limit_mb))
        kubectl(f"rollout status deployment/gitea -n {namespace} --timeout 180s")
        kubectl(f"wait certificate/gitea-tls -n {namespace} --for condition=Ready --timeout 120s")
        _accounts(forge)
        yield forge
    finally:
        _remove(forge)


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


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
        return subprocess.run(["gzip", "-1", "--stdout", str(file)], check=True, capture_output=True).stdout


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
