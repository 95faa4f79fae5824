"""Pushing an image: gitea_image_push against containers.podman.podman_image and against skopeo alone.

Everything runs on the controller, which has podman, against a Gitea of its own in the lab's cluster, over verified TLS.
The name of that Gitea is known to the timed commands alone, by a hosts file of theirs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import Pair
from forge import ACCOUNT, PRIVATE, Forge, running_forge
from server import kubectl_of, node_of, output_of, read_lab

LAYER = 125_000_000
LAYERS = 4
COMMIT = "0d1c5f7"


@contextlib.contextmanager
def topic() -> Iterator[list[Pair]]:
    lab = read_lab()
    node = node_of(lab)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_forge(lab, node, kubectl_of(node), "reg-bench", disk_mb=2500, owner_limit_mb=0) as forge,
    ):
        bench = Bench(forge, Path(folder))
        try:
            yield list(bench.pairs())
        finally:
            bench.here.remove_image("reg-bench/small:1", "reg-bench/top:1", "reg-bench/large:1")
            output_of(["rm", "-rf", forge.folder])


class Bench:
    """:param folder: of the commands: playbooks, token, authority, hosts file."""

    def __init__(self, forge: Forge, folder: Path) -> None:
        self.forge = forge
        #: The same Gitea, with images in the controller's own storage; who measures is root there.
        self.here = dataclasses.replace(
            forge, node=lambda line, stdin=None: output_of(["bash", "-c", line.removeprefix("sudo ")], stdin)
        )
        self.folder = folder
        (folder / "trusted").mkdir()
        (folder / "trusted" / "ca.crt").write_text(Path(forge.lab["ca_file"]).read_text())
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n{forge.address} {forge.host}\n")
        self._secret("token", f"{ACCOUNT}:{forge.tokens['writer']}\n")
        self._secret("auth.json", json.dumps({"auths": {forge.host: {"auth": forge.login()}}}))

    def _secret(self, name: str, content: str) -> None:
        (self.folder / name).touch(mode=0o600)
        (self.folder / name).write_text(content)

    # -- the commands ------------------------------------------------------------------------------------------
    def command(self, *words: str) -> list[str]:
        """With a hosts file of its own, in a mount namespace of its own."""
        hosts = str(self.folder / "hosts")
        return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts, *words]

    def play(self, name: str, task: dict[str, object]) -> list[str]:
        file = self.folder / f"{name}.yml"
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
            "tasks": [{"name": name, **task}],
        }
        file.write_text(json.dumps([play]))
        return self.command("ansible-playbook", str(file), "-c", "local", "-i", "localhost,")

    def ours(self, name: str, tag: str, source: str) -> list[str]:
        options = {
            "registry": self.forge.host,
            "repository": f"{PRIVATE}/{name}",
            "tags": [tag],
            "source": source,
            "token_file": str(self.folder / "token"),
            "ca_file": str(self.folder / "trusted" / "ca.crt"),
        }
        return self.play(f"ours-{name}", {"railiance.stack.gitea_image_push": options})

    def podman_image(self, name: str, tag: str, image: str) -> list[str]:
        options = {
            "name": image,
            "tag": "1",
            "pull": False,
            "push": True,
            "auth_file": str(self.folder / "auth.json"),
            "ca_cert_dir": str(self.folder / "trusted"),
            "push_args": {"dest": f"{self.forge.host}/{PRIVATE}/{name}:{tag}"},
        }
        return self.play(f"theirs-{name}", {"containers.podman.podman_image": options})

    def skopeo(self, name: str, source: str) -> list[str]:
        login = ["--authfile", str(self.folder / "auth.json"), "--dest-cert-dir", str(self.folder / "trusted")]
        return self.command("skopeo", "copy", "--quiet", *login, source, f"docker://{self.forge.host}/{PRIVATE}/{name}")

    # -- what is measured --------------------------------------------------------------------------------------
    def pairs(self) -> Iterator[Pair]:
        small = self.here.image("reg-bench/small:1", 30_000_000, 1_000_000)
        output_of(self.ours("same", COMMIT, small))
        yield Pair(
            "image unchanged, a playbook of one task",
            self.ours("same", COMMIT, small),
            self.podman_image("same", COMMIT, "localhost/reg-bench/small"),
            "containers.podman.podman_image, push: true",
            goal=1.0,
        )

        count = itertools.count()

        def new_top() -> None:
            self.here.image("reg-bench/top:1", 30_000_000, f"version={next(count)}", seed="reg-bench/small:1")

        top = "containers-storage:localhost/reg-bench/top:1"
        yield Pair(
            "changed top layer, seconds of the task",
            self.ours("top", "latest", top),
            self.skopeo("top:latest", top),
            "skopeo copy, without Ansible",
            within=1.0,
            tasks_only=True,
            before=new_top,
        )

        def forget() -> None:
            """A registry that never saw it, and a client that does not remember where it was."""
            output_of(["rm", "-f", "/var/lib/containers/cache/blob-info-cache-v1.boltdb"])
            for name in ("first", "first-skopeo"):
                self.forge.api("DELETE", f"/packages/{PRIVATE}/container/{name}/{COMMIT}", check=False)
            self.forge.api("POST", "/admin/cron/cleanup_packages", account="reg-admin")

        # What images are made of: programs, libraries, texts.
        large = self.here.image("reg-bench/large:1", *[LAYER] * LAYERS, filled_by="tar -c -C / usr")
        yield Pair(
            f"first push of {LAYER * LAYERS / 1e6:.0f} MB in {LAYERS} layers, seconds of the task",
            self.ours("first", COMMIT, large),
            self.skopeo(f"first-skopeo:{COMMIT}", large),
            "skopeo copy, without Ansible",
            goal=1.0,
            tasks_only=True,
            before=forget,
            runs=5,
        )
