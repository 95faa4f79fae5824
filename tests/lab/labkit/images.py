"""The container images of the bundle, under the names of the official ones and with their users, paths and entrypoints.

Two kinds. An image that is one static program and a few files is written directly, as the tar file that
`docker save` would make: no container storage, the same bytes each time. One that needs packages is built by buildah
from the lab's Debian base and a recipe in ``images/<name>``, and packed by skopeo.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import command, debian, parts
from .cache import LISTING, file_sha256, tree_sha256
from .command import LabError
from .recipe import BUILD_FILES, LAB, Part, Work

IMAGES = LAB / "images"
# The tools that build Gitea's web pages: Gitea's module carries their sources only.
GITEA_FRONTEND = LAB / "gitea-frontend"
_FRONTEND_SOURCES = (
    *(
        "package.json",
        "pnpm-lock.yaml",
        ".npmrc",
        "vite.config.ts",
        "tailwind.config.ts",
        "tsconfig.json",
        "types.d.ts",
    ),
    *("web_src", "assets", "public", "options", "templates"),
)
# Raise them when the way images are made changes in a way that the inputs of a part do not show.
SCRATCH_RECIPE = 1
DEBIAN_RECIPE = 1
_EPOCH = "1970-01-01T00:00:00Z"
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class File:
    """One entry of a written image: a file with ``content`` (bytes or a path to copy), a link, or a directory."""

    path: str
    content: bytes | Path = b""
    mode: int = 0o644
    link: str = ""
    directory: bool = False
    owner: int = 0


@dataclass(frozen=True)
class ScratchImage:
    """An image of static programs. ``files`` gets the directories of the needed parts and returns the entries."""

    name: str
    reference: str
    programs: tuple[parts.GoProgram, ...]
    files: Mapping[str, tuple[str, str]]
    config: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)

    def part(self, made: Mapping[str, Part]) -> Part:
        """Return the part that writes the image; ``made`` holds the parts of the programs by name."""
        needs = tuple(made[program.name] for program in self.programs)
        inputs = {
            "recipe": SCRATCH_RECIPE,
            "reference": self.reference,
            "files": {path: list(source) for path, source in self.files.items()},
            "links": dict(self.links),
            "config": dict(self.config),
            "trust": debian.base_key(),
        }
        return Part(f"image-{self.name}", inputs, self._make, needs=needs)

    def _make(self, work: Work) -> None:
        entries = [*_system_files(debian.base_rootfs(work.root, work.say))]
        entries += [File(path, work.needs[part] / name, 0o755) for path, (part, name) in self.files.items()]
        entries += [File(path, link=target) for path, target in self.links.items()]
        write_archive(work.target / archive_name(self.reference), self.reference, self.config, entries)


@dataclass(frozen=True)
class DebianImage:
    """An image that buildah makes of ``images/<name>/Containerfile`` on the lab's Debian base.

    ``programs`` and the parts named by ``others`` are put into the build context under ``parts/<name>``, ``modules``
    (module of a part -> names in the module) under ``modules/<part>``.
    """

    name: str
    reference: str
    programs: tuple[parts.GoProgram, ...] = ()
    others: tuple[str, ...] = ()
    modules: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)

    def part(self, made: Mapping[str, Part]) -> Part:
        """Return the part that builds the image; ``made`` holds the parts it may need by name."""
        needs = tuple(made[name] for name in (*(program.name for program in self.programs), *self.others))
        inputs = {
            "recipe": DEBIAN_RECIPE,
            "reference": self.reference,
            "base": debian.base_key(),
            "context": tree_sha256(IMAGES / self.name),
            "modules": {part: [module, list(names)] for part, (module, names) in self.modules.items()},
        }
        return Part(f"image-{self.name}", inputs, self._make, needs=needs)

    def _make(self, work: Work) -> None:
        context = work.scratch / "context"
        shutil.copytree(IMAGES / self.name, context)
        for program in self.programs:
            target = context / "parts" / program.name
            target.mkdir(parents=True)
            for output in program.commands:
                shutil.copy2(work.needs[program.name] / output, target / output)
        for other in self.others:
            shutil.copytree(work.needs[other], context / "parts" / other, ignore=shutil.ignore_patterns(LISTING))
        for part, (module, names) in self.modules.items():
            source = parts.module_directory(work, part, module)
            for name in names:
                copy_writable(source / name, context / "modules" / part / name)
        base = debian.base_image(work.root, work.say)
        # A name nobody else uses; it is gone when the archive is written.
        local = f"localhost/railiance-lab-making:{work.target.name}"
        try:
            work.run(
                [
                    *("nice", "buildah", "bud", "--isolation=chroot", "--network=host", "--format=docker"),
                    *("--layers=false", "--pull-never", f"--build-arg=BASE={base}"),
                    f"--volume={work.build_files()}:{BUILD_FILES}:ro",
                    *(f"--tag={local}", str(context)),
                ]
            )
            packed = work.target / archive_name(self.reference)
            work.run(
                [
                    "skopeo",
                    "copy",
                    "--quiet",
                    f"containers-storage:{local}",
                    f"docker-archive:{packed}:{self.reference}",
                ]
            )
        finally:
            if command.succeeds(["buildah", "inspect", "--type=image", local]):
                command.run(["buildah", "rmi", "--force", local])


def archive_name(reference: str) -> str:
    """Return the file name of an image: ``docker.io/valkey/valkey:8.1`` -> ``valkey-8.1.tar``."""
    return reference.rpartition("/")[2].replace(":", "-") + ".tar"


def write_archive(target: Path, reference: str, config: Mapping[str, Any], entries: Iterable[File]) -> None:
    """Write a docker-archive of one layer. The same arguments give the same bytes.

    ``config`` takes the fields of an image's ``config`` object (Entrypoint, Cmd, User, Env, ...).
    """
    layer = target.with_name(f".{target.name}.layer")
    try:
        with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as packed:
            for entry in _with_parents(entries):
                _add(packed, entry)
        digest = file_sha256(layer)
        document = {
            "architecture": "amd64",
            "os": "linux",
            "created": _EPOCH,
            "config": {"Env": [f"PATH={_DEFAULT_PATH}"], **config},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "history": [{"created": _EPOCH, "created_by": "railiance.stack lab"}],
        }
        text = json.dumps(document, sort_keys=True).encode()
        name = f"{hashlib.sha256(text).hexdigest()}.json"
        manifest = [{"Config": name, "RepoTags": [reference], "Layers": [f"{digest}.tar"]}]
        with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as packed:
            _add(packed, File(f"{digest}.tar", layer))
            _add(packed, File(name, text))
            _add(packed, File("manifest.json", json.dumps(manifest).encode()))
    finally:
        layer.unlink(missing_ok=True)


def _with_parents(entries: Iterable[File]) -> list[File]:
    """Return the entries sorted by path, with the directories above them."""
    wanted = {entry.path.strip("/"): entry for entry in entries}
    for path in list(wanted):
        for parent in Path(path).parents:
            if str(parent) != "." and str(parent) not in wanted:
                wanted[str(parent)] = File(str(parent), mode=0o755, directory=True)
    return [wanted[path] for path in sorted(wanted)]


def _add(packed: tarfile.TarFile, entry: File) -> None:
    info = tarfile.TarInfo(entry.path.strip("/"))
    info.mode, info.uid, info.gid = entry.mode, entry.owner, entry.owner
    if entry.directory:
        info.type = tarfile.DIRTYPE
        packed.addfile(info)
    elif entry.link:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        packed.addfile(info)
    elif isinstance(entry.content, Path):
        info.size = entry.content.stat().st_size
        with entry.content.open("rb") as content:
            packed.addfile(info, content)
    else:
        info.size = len(entry.content)
        packed.addfile(info, io.BytesIO(entry.content))


def _system_files(rootfs: Path) -> list[File]:
    """Return what upstream's static base image holds beside the program: users, certificates, /tmp."""
    with tarfile.open(rootfs) as packed:
        member = packed.extractfile("./etc/ssl/certs/ca-certificates.crt")
        if member is None:
            raise LabError(f"{rootfs} holds no certificates.")
        trust = member.read()
    users = "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
    users += "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
    groups = "root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n"
    return [
        File("/etc/passwd", users.encode()),
        File("/etc/group", groups.encode()),
        File("/etc/nsswitch.conf", b"hosts: files dns\n"),
        File("/etc/ssl/certs/ca-certificates.crt", trust),
        File("/tmp", mode=0o1777, directory=True),  # noqa: S108  a path in the image
        File("/root", mode=0o700, directory=True),
        File("/home/nonroot", mode=0o700, directory=True, owner=65532),
    ]


def copy_writable(source: Path, target: Path) -> None:
    """Copy out of Go's module cache, where everything is read-only."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile)
        for path in (target, *target.rglob("*")):
            path.chmod(0o755 if path.is_dir() or (source / path.relative_to(target)).stat().st_mode & 0o100 else 0o644)
    else:
        shutil.copyfile(source, target)
        target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)


def _cert_manager(component: str) -> ScratchImage:
    program = f"/app/cmd/{component}/{component}"
    return ScratchImage(
        f"cert-manager-{component}",
        f"quay.io/jetstack/cert-manager-{component}:{parts.CERT_MANAGER.version}",
        (parts.CERT_MANAGER,),
        {program: (parts.CERT_MANAGER.name, component)},
        {"User": "1000", "Entrypoint": [program]},
    )


def node_images() -> list[ScratchImage | DebianImage]:
    """Return the images that a stack runs, in the order in which it needs them."""
    return [
        DebianImage("busybox", "docker.io/rancher/mirrored-library-busybox:1.37.0"),
        DebianImage("valkey", "docker.io/valkey/valkey:8.1"),
        DebianImage("postgresql", "ghcr.io/cloudnative-pg/postgresql:17"),
        ScratchImage(
            "pause",
            "docker.io/rancher/mirrored-pause:3.6",
            (parts.PAUSE,),
            {"/pause": ("pause", "pause")},
            {"User": "65535:65535", "Entrypoint": ["/pause"]},
        ),
        DebianImage(
            "gitea",
            f"docker.gitea.com/gitea:{parts.GITEA.version.removeprefix('v')}-rootless",
            (parts.GITEA,),
            (GITEA_FRONTEND.name,),
            {"gitea": (parts.GITEA.module, ("templates", "options", "public", "docker/rootless"))},
        ),
        ScratchImage(
            "traefik",
            f"docker.io/rancher/mirrored-library-traefik:{parts.TRAEFIK.version.removeprefix('v')}",
            (parts.TRAEFIK,),
            {"/usr/local/bin/traefik": (parts.TRAEFIK.name, "traefik")},
            {"Entrypoint": ["/usr/local/bin/traefik"], "ExposedPorts": {"80/tcp": {}}},
        ),
        ScratchImage(
            "coredns",
            f"docker.io/rancher/mirrored-coredns-coredns:{parts.COREDNS.version.removeprefix('v')}",
            (parts.COREDNS,),
            {"/coredns": (parts.COREDNS.name, "coredns")},
            {
                "User": "nonroot:nonroot",
                "WorkingDir": "/",
                "Entrypoint": ["/coredns"],
                "ExposedPorts": {"53/tcp": {}, "53/udp": {}},
            },
        ),
        ScratchImage(
            "local-path-provisioner",
            f"docker.io/rancher/local-path-provisioner:{parts.LOCAL_PATH.version}",
            (parts.LOCAL_PATH,),
            {"/usr/bin/local-path-provisioner": (parts.LOCAL_PATH.name, "local-path-provisioner")},
            {"Cmd": ["local-path-provisioner"]},
        ),
        ScratchImage(
            "cloudnative-pg",
            f"ghcr.io/cloudnative-pg/cloudnative-pg:{parts.CLOUDNATIVE_PG.version.removeprefix('v')}",
            (parts.CLOUDNATIVE_PG,),
            {"/operator/manager_amd64": (parts.CLOUDNATIVE_PG.name, "manager")},
            {"User": "65532:65532", "WorkingDir": "/", "Entrypoint": ["/manager"]},
            links={"/manager": "operator/manager_amd64"},
        ),
        *(_cert_manager(component) for component in parts.CERT_MANAGER_COMPONENTS),
    ]


def gitea_frontend(node: Part) -> Part:
    """Return the part that builds Gitea's web pages, in a container of the image that ``node`` makes."""
    inputs = {
        "recipe": 1,
        "module": parts.GITEA.module,
        "version": parts.GITEA.version,
        "tools": tree_sha256(GITEA_FRONTEND),
        "sources": _FRONTEND_SOURCES,
    }
    return Part(GITEA_FRONTEND.name, inputs, lambda work: _make_gitea_frontend(work, node.name), needs=(node,))


def _make_gitea_frontend(work: Work, node: str) -> None:
    sources, tools = work.scratch / "sources", work.scratch / "tools"
    module = parts.module_directory(work, parts.GITEA.name, parts.GITEA.module)
    for name in _FRONTEND_SOURCES:
        copy_writable(module / name, sources / name)
    shutil.copytree(GITEA_FRONTEND, tools)
    (archive,) = work.needs[node].glob("*.tar")
    local = f"localhost/railiance-lab-making:{work.target.name}"
    work.run(["skopeo", "copy", "--quiet", f"docker-archive:{archive}", f"containers-storage:{local}"])
    try:
        builder = work.output(["buildah", "from", "--pull-never", local]).strip()
        try:
            script = (
                "cd /tools && npm ci --no-audit --no-fund --omit=optional && exec sh build.sh /sources /tools /output"
            )
            work.run(
                [
                    *("nice", "buildah", "run", "--isolation=chroot", "--network=host"),
                    *(f"--volume={work.build_files()}:{BUILD_FILES}:ro", f"--volume={sources}:/sources"),
                    *(f"--volume={tools}:/tools", f"--volume={work.target}:/output"),
                    # npm reads the first, pnpm and Node.js the second.
                    f"--env=NPM_CONFIG_CAFILE={BUILD_FILES}/trust.crt",
                    f"--env=NODE_EXTRA_CA_CERTS={BUILD_FILES}/trust.crt",
                    *(builder, "--", "sh", "-euc", script),
                ]
            )
        finally:
            command.run(["buildah", "rm", builder])
    finally:
        command.run(["buildah", "rmi", "--force", local])


def base_images() -> list[DebianImage]:
    """Return the images that applications are built from."""
    return [
        DebianImage("python", "docker.io/library/python:3.13-slim"),
        DebianImage("node", "docker.io/library/node:20-slim"),
    ]
