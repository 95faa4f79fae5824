"""Releases beside what people do by hand: a promotion, converged applications, from a commit to its page."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import ROOT, Pair
from server import INVENTORY, kubectl_of, node_of, playbook, read_lab, ssh, task
from shop import Shop, shop_with

APP = "rel-bench"
#: Applications more, of the same image, that have converged.
MORE = [f"{APP}-{number}" for number in range(1, 5)]
EXAMPLE = "vergabe-teilnahme"
CHART = f"/home/operator/{APP}-chart"
HELM = "sudo helm --kubeconfig /etc/rancher/k3s/k3s.yaml"
IDENTITY = "-c user.name=bench -c user.email=bench@lab.test"


@contextlib.contextmanager
def topic() -> Iterator[Iterator[Pair]]:
    lab = read_lab()
    node = node_of(lab)
    with (
        tempfile.TemporaryDirectory() as folder,
        shop_with(
            APP, task, node, kubectl_of(node), playbook, lab, Path(folder), "data", "data again", "initial"
        ) as shop,
    ):
        bench = Bench(lab, shop, Path(folder))
        try:
            yield bench.pairs()
        finally:
            bench.clean_up()


class Bench:
    """:param folder: of the files that the commands read."""

    def __init__(self, lab: dict[str, Any], shop: Shop, folder: Path) -> None:
        self.lab, self.shop, self.folder = lab, shop, folder
        self.more = folder / "more.yml"
        self.version = folder / "version.yml"
        self.line = folder / "line"

    def play(self, name: str, *arguments: str) -> list[str]:
        return ["ansible-playbook", name, "-i", str(INVENTORY), *arguments]

    def run(self, name: str, *arguments: str) -> None:
        done = playbook(name, *arguments)
        if done.rc:
            raise SystemExit(f"{name} ended with {done.rc}")

    def pairs(self) -> Iterator[Pair]:
        """Each is prepared when the one before has been measured: what it adds would cost that one time."""
        yield self.promotion("promotion without migrations", smoke=[], within=5.0)
        yield self.promotion("the same of an entry with a smoke list", smoke=[{"path": "/", "title": "Shop"}])
        yield self.converged()
        yield self.commit()

    # -- a promotion -------------------------------------------------------------------------------------------
    def promotion(self, name: str, smoke: list[dict[str, str]], within: float | None = None) -> Pair:
        """Two images that differ in one layer and know the same migrations take turns.

        :param smoke: what a pod on trial is asked; without any there is none, as on the other side.
        """
        shop, node = self.shop, self.shop.node
        shop.describe(smoke=smoke)
        for image in ("data", "data again"):
            assert shop.promote(image).rc == 0
        # The same chart, values and Secrets as a release of its own in the same namespace.
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(ROOT / "roles" / "app_release" / "files" / "chart", ".")
        node(f"mkdir -p {CHART} && tar -x -C {CHART}", packed.getvalue())
        node(f"{HELM} get values {APP} -n {APP} -o yaml > {CHART}/values-now.yaml")
        node(f"{HELM} upgrade other {CHART} --install -n {APP} -f {CHART}/values-now.yaml --wait")
        images = itertools.cycle(["data", "data", "data again", "data again"])  # each side gets each in turn

        def next_image() -> None:
            reference = shop.references[next(images)]
            self.version.write_text(json.dumps({"app": APP, "image": reference}))
            node(f"echo {reference} > {CHART}/image")

        return Pair(
            name,
            ours=self.play("playbooks/promote.yml", "-e", f"@{shop.entries}", "-e", f"@{self.version}"),
            theirs=ssh(
                self.lab,
                f"{HELM} upgrade other {CHART} -n {APP} --reuse-values --set image=$(cat {CHART}/image) --wait"
                f" && sudo k3s kubectl exec -n {APP} deploy/other -- python manage.py migrate --check",
            ),
            theirs_is="helm upgrade --wait, then kubectl exec … migrate --check",
            within=within,
            before=next_image,
            runs=5,
        )

    # -- converged applications --------------------------------------------------------------------------------
    def converged(self) -> Pair:
        """Beside one application four more, each with a database of its own."""
        [first] = json.loads(self.shop.entries.read_text())["stack_apps"]
        first["image"] = {"reference": self.shop.references["data"]}
        entries = [first, *({**first, "name": name, "host": f"{name}.lab.test"} for name in MORE)]
        one = self.folder / "one.yml"
        one.write_text(json.dumps({"stack_apps": entries[:1]}))
        self.more.write_text(json.dumps({"stack_apps": entries}))
        self.run("deploy-stack.yml", "--tags", "s5", "-e", f"@{self.more}")
        return Pair(
            f"layer S5 with {len(MORE)} converged applications more",
            ours=self.play("deploy-stack.yml", "--tags", "s5", "-e", f"@{self.more}"),
            theirs=self.play("deploy-stack.yml", "--tags", "s5", "-e", f"@{one}"),
            theirs_is="layer S5 with one",
            within=0.5 * len(MORE),
            runs=5,
        )

    # -- from a commit to its page -----------------------------------------------------------------------------
    def commit(self) -> Pair:
        """One line of a template of the example application; its page says so when the command ends."""
        node, path = self.shop.node, self.lab["apps"][EXAMPLE]["path"]
        page = "templates/ausschreibungen/dashboard.html"
        count = itertools.count()

        def next_commit() -> None:
            line = f"<p hidden>bench {next(count)}</p>"
            node(f"sed -i '/<p hidden>bench/d; /<h1>/a {line}' {path}/{page}")
            node(f"cd {path} && git add -A && git {IDENTITY} commit -qm 'one line'")
            commit = node(f"git -C {path} rev-parse HEAD").strip()
            self.version.write_text(json.dumps({"app": EXAMPLE, "commit": commit}))
            self.line.write_text(f"{line}\n")

        curl = f"curl -sS --cacert {self.lab['ca_file']} --resolve vergabe.lab.test:443:{self.lab['node_address']}"
        look = f"{curl} https://vergabe.lab.test/ausschreibungen/dashboard/"
        promote = " ".join(self.play("playbooks/promote.yml", "-e", f"@{self.version}"))
        build = (
            f"cd {path} && sudo buildah build --isolation chroot --network host --format docker --layers -q"
            f" --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 -t localhost/{APP}:line"
            " --build-arg NODE_IMAGE=docker-archive:/opt/railiance/bundle/base-images/node-20-slim.tar"
            " --build-arg PYTHON_IMAGE=docker-archive:/opt/railiance/bundle/base-images/python-3.13-slim.tar"
            " --secret id=build_ca,src=/etc/ssl/certs/ca-certificates.crt ."
        )
        return Pair(
            "from a commit of one line to the page that shows it",
            # The proxy may take a moment to turn to the new pod; that counts.
            ours=[
                "sh",
                "-ec",
                f"{promote}; for try in $(seq 50); do {look} | grep -Ff {self.line} && exit; sleep 0.1; done; exit 1",
            ],
            theirs=ssh(self.lab, build),
            theirs_is="buildah build alone, with the same warm layers",
            limit=60.0,
            before=next_commit,
            runs=3,
        )

    def clean_up(self) -> None:
        node, path = self.shop.node, self.lab["apps"][EXAMPLE]["path"]
        if self.more.exists():
            for name in MORE:
                self.run("playbooks/remove.yml", "-e", f"app={name}", "-e", f"@{self.more}", "-e", "drop_data=true")
        node(f"{HELM} uninstall other -n {APP} --wait --ignore-not-found; rm -rf {CHART}")
        node(f"git -C {path} reset -q --hard {self.lab['apps'][EXAMPLE]['commit']}")
        node(f"sudo buildah rmi localhost/{APP}:line >/dev/null 2>&1 || true")
        self.run("deploy-stack.yml", "--tags", "s5")
