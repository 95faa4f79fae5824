"""The programs of the bundle: upstream's Go sources at pinned versions, as the module proxy serves them.

Each has a directory ``parts/<name>`` whose go.mod pins the module and everything below it and names the commands as
tools. They are compiled one after the other, because one compilation keeps all cores busy.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from . import command, debian
from .cache import file_sha256, tree_sha256
from .command import LabError
from .recipe import BUILD_FILES, LAB, Part, Work

PARTS = LAB / "parts"
K3S = LAB / "k3s"
# Where the sources of the k3s stand-in expect the container runtime; made, not part of the sources.
K3S_PAYLOAD = Path("embed/runtime.tar.gz")
# Raise it when compiling changes in a way that the inputs of a part do not show.
RECIPE = 1
GO_ENVIRONMENT = {
    "GOTOOLCHAIN": "local",
    # go.sum pins every module; the public checksum database may be out of reach.
    "GOSUMDB": "off",
    "GOFLAGS": "",
    "GOWORK": "off",
    "GOOS": "linux",
    "GOARCH": "amd64",
    "CGO_ENABLED": "0",
    # Memory for speed: the compiler collects garbage less often.
    "GOGC": "400",
}
BUILD_FLAGS = ("-mod=readonly", "-trimpath")


@dataclass(frozen=True)
class GoProgram:
    """How one directory below ``parts`` becomes programs.

    ``commands`` maps names of files to packages. ``variables`` gets the module's version (with its v) and returns what
    the linker sets. ``finish`` may add files that are made of the programs.
    """

    name: str
    module: str
    commands: Mapping[str, str]
    variables: Callable[[str], Mapping[str, str]] = field(default=lambda version: {})
    tags: str = ""
    finish: Callable[[Work, str], None] | None = None

    @property
    def directory(self) -> Path:
        return PARTS / self.name

    @property
    def version(self) -> str:
        """The version of the module that go.mod pins, with its v; empty for a program of the lab's own."""
        return required(self.directory, self.module) if self.module else ""

    def part(self) -> Part:
        """Return the part that compiles the program."""
        variables = dict(self.variables(self.version))
        inputs = {
            "recipe": RECIPE,
            "go": go_version(),
            "environment": {name: value for name, value in GO_ENVIRONMENT.items() if name != "GOGC"},
            "flags": BUILD_FLAGS,
            "tags": self.tags,
            "variables": variables,
            "commands": dict(self.commands),
            "sources": tree_sha256(self.directory),
            "finish": self.finish.__name__ if self.finish else "",
        }
        return Part(self.name, inputs, lambda work: self._make(work, variables), lane="compile")

    def _make(self, work: Work, variables: Mapping[str, str]) -> None:
        linker = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in variables.items())])
        for output, package in self.commands.items():
            work.run(
                [
                    *("nice", "go", "build", *BUILD_FLAGS, f"-tags={self.tags}", f"-ldflags={linker}"),
                    *("-o", str(work.target / output), package),
                ],
                cwd=self.directory,
                env=GO_ENVIRONMENT,
            )
        if self.finish:
            self.finish(work, self.version)


@cache
def go_version() -> str:
    """Return the version of this machine's Go compiler."""
    return command.output(["go", "env", "GOVERSION"], env={**os.environ, **GO_ENVIRONMENT})


@cache
def required(directory: Path, module: str) -> str:
    """Return the version of ``module`` that the go.mod in ``directory`` pins, with its v."""
    text = (directory / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^(?:require)?\s*{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if not found:
        raise LabError(f"{directory / 'go.mod'} does not require {module}.")
    return found[1]


def module_directory(work: Work, name: str, module: str) -> Path:
    """Return the directory of a part's module sources in Go's module cache, downloading them when needed."""
    directory = PARTS / name
    reference = f"{module}@{required(directory, module)}"
    answer = json.loads(work.output(["go", "mod", "download", "-json", reference], cwd=directory, env=GO_ENVIRONMENT))
    found: str = answer["Dir"]
    return Path(found)


def _helm_variables(version: str) -> Mapping[str, str]:
    # The Kubernetes version that charts see without a cluster, as upstream's build sets it: that of client-go.
    minor = required(PARTS / "helm", "k8s.io/client-go").split(".")[1]
    return {
        "helm.sh/helm/v3/internal/version.version": version,
        "helm.sh/helm/v3/internal/version.metadata": "",
        "helm.sh/helm/v3/internal/version.gitTreeState": "clean",
        **{
            f"helm.sh/helm/v3/pkg/{package}.k8sVersion{name}": number
            for package in ("lint/rules", "chartutil")
            for name, number in (("Major", "1"), ("Minor", minor))
        },
    }


def _pack_helm(work: Work, version: str) -> None:
    """Pack helm as upstream's release archive does."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        program = tarfile.TarInfo("linux-amd64/helm")
        program.size, program.mode = (work.target / "helm").stat().st_size, 0o755
        with (work.target / "helm").open("rb") as content:
            archive.addfile(program, content)
        for name in ("LICENSE", "README.md"):
            text = (module_directory(work, "helm", HELM.module) / name).read_bytes()
            entry = tarfile.TarInfo(f"linux-amd64/{name}")
            entry.size, entry.mode = len(text), 0o644
            archive.addfile(entry, io.BytesIO(text))
    (work.target / f"helm-{version}-linux-amd64.tar.gz").write_bytes(gzip.compress(packed.getvalue(), 6, mtime=0))


def _name_sops(work: Work, version: str) -> None:
    """Name the program as upstream's release file is named."""
    (work.target / "sops").rename(work.target / f"sops-{version}.linux.amd64")


HELM = GoProgram(
    "helm", "helm.sh/helm/v3", {"helm": "helm.sh/helm/v3/cmd/helm"}, variables=_helm_variables, finish=_pack_helm
)
CLOUDNATIVE_PG = GoProgram(
    "cloudnative-pg",
    "github.com/cloudnative-pg/cloudnative-pg",
    {"manager": "github.com/cloudnative-pg/cloudnative-pg/cmd/manager"},
    variables=lambda version: {
        "github.com/cloudnative-pg/cloudnative-pg/pkg/versions.buildVersion": version.removeprefix("v")
    },
)
LOCAL_PATH = GoProgram(
    "local-path-provisioner",
    "github.com/rancher/local-path-provisioner",
    {"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
    variables=lambda version: {"main.VERSION": version},
)
COREDNS = GoProgram("coredns", "github.com/coredns/coredns", {"coredns": "github.com/coredns/coredns"})
CERT_MANAGER_COMPONENTS = ("controller", "webhook", "cainjector", "acmesolver")
CERT_MANAGER = GoProgram(
    "cert-manager",
    "github.com/cert-manager/cert-manager",
    {name: f"github.com/cert-manager/cert-manager/cmd/{name}" for name in CERT_MANAGER_COMPONENTS},
    # The controller derives the image of its HTTP-01 solver from it.
    variables=lambda version: {
        "github.com/cert-manager/cert-manager/pkg/util.AppVersion": version,
        "github.com/cert-manager/cert-manager/pkg/util.AppGitState": "clean",
    },
)
TRAEFIK = GoProgram(
    "traefik",
    "github.com/traefik/traefik/v3",
    {"traefik": "github.com/traefik/traefik/v3/cmd/traefik"},
    variables=lambda version: {"github.com/traefik/traefik/v3/pkg/version.Version": version.removeprefix("v")},
)
GITEA = GoProgram(
    "gitea",
    "code.gitea.io/gitea",
    {"gitea": "code.gitea.io/gitea"},
    variables=lambda version: {
        "main.Version": version.removeprefix("v"),
        # Not compiled in: templates, options and public files lie beside the program in its image.
        "code.gitea.io/gitea/modules/setting.StaticRootPath": "/app/gitea/static",
    },
)
SOPS = GoProgram(
    "sops", "github.com/getsops/sops/v3", {"sops": "github.com/getsops/sops/v3/cmd/sops"}, finish=_name_sops
)
PAUSE = GoProgram("pause", "", {"pause": "railiance.stack/lab/pause"})


def k3s_parts() -> list[Part]:
    """Return the parts of the k3s stand-in: the container runtime that it carries, and the program itself."""
    runtime = Part(
        "k3s-runtime",
        {"recipe": RECIPE, "payload": file_sha256(K3S / "payload.sh"), "base": debian.base_key()},
        _make_k3s_runtime,
    )
    sources = [path for path in sorted(K3S.rglob("*")) if path.is_file() and _compiled(path)]
    inputs = {
        "recipe": RECIPE,
        "go": go_version(),
        "sources": {str(path.relative_to(K3S)): file_sha256(path) for path in sources},
    }
    return [runtime, Part("k3s", inputs, _make_k3s, needs=(runtime,), lane="compile")]


def _compiled(path: Path) -> bool:
    """Return whether a file beside the sources of the k3s stand-in goes into the program."""
    return path != K3S / K3S_PAYLOAD and path.suffix != ".md" and not path.name.endswith("_test.go")


def _make_k3s_runtime(work: Work) -> None:
    base = debian.base_image(work.root, work.say)
    builder = work.output(["buildah", "from", "--pull-never", base]).strip()
    try:
        work.run(
            [
                *("sh", "-c", 'payload=$1; written=$2; shift 2; exec "$@" <"$payload" >"$written"', "sh"),
                *(str(K3S / "payload.sh"), str(work.target / K3S_PAYLOAD.name)),
                *("buildah", "run", "--isolation=chroot", "--network=host", f"--env=APT_CONFIG={BUILD_FILES}/apt.conf"),
                *(f"--volume={work.build_files()}:{BUILD_FILES}:ro", builder, "--", "sh", "-s"),
            ]
        )
    finally:
        command.run(["buildah", "rm", builder])


def _make_k3s(work: Work) -> None:
    # In a copy: the build puts the runtime beside the sources.
    sources = work.scratch / "k3s"
    shutil.copytree(K3S, sources, ignore=shutil.ignore_patterns(K3S_PAYLOAD.name))
    work.run(
        [
            *("nice", "sh", str(sources / "build.sh")),
            *(str(work.needs["k3s-runtime"] / K3S_PAYLOAD.name), str(work.target / "k3s")),
        ],
        env=GO_ENVIRONMENT,
    )
