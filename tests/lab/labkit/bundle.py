"""The bundle directory: every file that a server without a way to the download sites needs, with its checksum.

:func:`build` makes what the cache does not hold and returns the directory; its files are hard links to those of the
parts. A corrupted file is found by its hash, in the bundle or in a part, and made again.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from . import images, parts, wheels
from .cache import LISTING, Cache, file_sha256
from .command import LabError
from .console import Console
from .recipe import Part, Work, stop_programs

SUMS = "SHA256SUMS"
# The bundle inside its cache entry, whose own list is no part of it.
DIRECTORY = "bundle"
# Raise it when the layout of the bundle changes.
RECIPE = 2
# Entries of the cache that nobody asked for during this time go away.
KEEP_DAYS = 30.0


class _NeedFailedError(LabError):
    """A part that had no turn."""


def manifest_parts(made: Mapping[str, Part]) -> list[Part]:
    """Return the parts that are release manifests, as upstream publishes them."""
    cnpg, cert_manager = parts.CLOUDNATIVE_PG, parts.CERT_MANAGER
    return [
        Part(
            "manifest-cloudnative-pg",
            {"recipe": 1, "module": cnpg.module, "version": cnpg.version},
            _make_cnpg_manifest,
        ),
        Part(
            "manifest-cert-manager",
            {"recipe": 1, "module": cert_manager.module, "version": cert_manager.version},
            _make_cert_manager_manifest,
            needs=(made["helm"],),
        ),
    ]


def plan() -> tuple[list[Part], dict[str, Part]]:
    """Return all parts in an order in which each comes after what it needs, and what goes where in the bundle.

    The second value maps a directory of the bundle and a pattern (``images/*.tar``, ``k3s``) to the part whose files
    of that name go there.
    """
    programs = {
        program.name: program.part()
        for program in (
            parts.PAUSE,
            parts.HELM,
            # What an image is made of comes before what is finished once compiled: images are made beside.
            parts.GITEA,
            parts.TRAEFIK,
            parts.COREDNS,
            parts.LOCAL_PATH,
            parts.CLOUDNATIVE_PG,
            parts.CERT_MANAGER,
            parts.SOPS,
        )
    }
    k3s_runtime, k3s = parts.k3s_parts()
    manifests = manifest_parts(programs)
    bases = [image.part(programs) for image in images.base_images()]
    pages = images.gitea_frontend(next(part for part in bases if part.name == "image-node"))
    loaded = [image.part({**programs, pages.name: pages}) for image in images.node_images()]
    python = wheels.part()
    everything = [python, k3s_runtime, *programs.values(), k3s, *bases, pages, *loaded, *manifests]
    layout = {
        "k3s": k3s,
        "helm-*.tar.gz": programs["helm"],
        "sops-*": programs["sops"],
        **{f"{part.name}:*.yaml": part for part in manifests},
        **{f"{part.name}:images/*.tar": part for part in loaded},
        **{f"{part.name}:base-images/*.tar": part for part in bases},
        "wheels/*.whl": python,
    }
    return everything, layout


def bundle_part(layout: Mapping[str, Part]) -> Part:
    """Return the part that puts the files of the others together."""
    needs = tuple({part.name: part for part in layout.values()}.values())

    def make(work: Work) -> None:
        directory = work.target / DIRECTORY
        for place, part in layout.items():
            assemble(work.needs[part.name], place.rpartition(":")[2], directory)
        write_sums(directory)

    return Part(
        "bundle", {"recipe": RECIPE, "layout": {place: part.name for place, part in layout.items()}}, make, needs
    )


def assemble(source: Path, place: str, bundle: Path) -> list[str]:
    """Link the files of a cache entry that match ``place`` (``images/*.tar``, ``k3s``) into the bundle.

    Returns their names in the bundle. Raises LabError when nothing matches or a name is taken.
    """
    directory, _, pattern = place.rpartition("/")
    found = sorted(path for path in source.glob(pattern) if path.is_file() and path.name != LISTING)
    if not found:
        raise LabError(f"{source} holds no {pattern} for the bundle.")
    (bundle / directory).mkdir(parents=True, exist_ok=True)
    names = []
    for path in found:
        target = bundle / directory / path.name
        if target.exists():
            raise LabError(f"Two parts of the bundle bring {target.relative_to(bundle)}.")
        _link(path, target)
        names.append(str(target.relative_to(bundle)))
    return names


def write_sums(bundle: Path) -> None:
    """Write SHA256SUMS over every file of the bundle, in the format that ``sha256sum --check`` reads."""
    names = sorted(str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file())
    lines = [f"{file_sha256(bundle / name)}  {name}\n" for name in names if name != SUMS]
    (bundle / SUMS).write_text("".join(lines), encoding="utf-8")


def build(cache: Cache, console: Console) -> Path:
    """Return the bundle directory, made of what the cache holds and of what has to be built. Raises LabError."""
    everything, layout = plan()
    whole = bundle_part(layout)
    found = cache.find(whole.order, console.say)
    if found:
        for part in everything:
            cache.touch(part.order)
        console.found(whole.name, size_of(found))
        return found / DIRECTORY
    everything.append(whole)
    make_all(cache, everything, console)
    cache.prune(KEEP_DAYS, console.say)
    return cache.path(whole.order) / DIRECTORY


def program(cache: Cache, console: Console, wanted: parts.GoProgram) -> Path:
    """Return the directory with the files of one program, compiling it when needed."""
    part = wanted.part()
    make_all(cache, [part], console)
    return cache.path(part.order)


def make_all(cache: Cache, everything: Sequence[Part], console: Console) -> None:
    """Make the parts, in order, at most one of a lane at a time. Raises the first failure when all had their turn:
    what does not need the failed part is made, and the next run finds it.

    Every part must come after those it needs.
    """
    console.plan(part.name for part in everything if not cache.has(part.order))
    results: dict[str, Future[Path]] = {}
    lanes = {lane: ThreadPoolExecutor(1, thread_name_prefix=lane) for lane in {part.lane for part in everything}}

    def one(part: Part) -> Path:
        try:
            needs = {need.name: results[need.name].result() for need in part.needs}
        except Exception as problem:
            raise _NeedFailedError(f"{part.name} needs a part that failed.") from problem
        return make(cache, part, needs, console)

    try:
        for part in everything:
            results[part.name] = lanes[part.lane].submit(one, part)
        failures = [problem for result in results.values() if (problem := result.exception())]
    except BaseException:
        # All of them before waiting for any: after an interrupt nothing more begins.
        for lane in lanes.values():
            lane.shutdown(wait=False, cancel_futures=True)
        stop_programs()
        raise
    finally:
        for lane in lanes.values():
            lane.shutdown()
    for failure in failures:
        if not isinstance(failure, _NeedFailedError):
            raise failure


def make(cache: Cache, part: Part, needs: Mapping[str, Path], console: Console) -> Path:
    """Return the directory of one part, building it when the cache holds no good one."""
    built = False

    def fill(target: Path) -> None:
        nonlocal built
        built = True
        log = cache.log_path(part.order)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        with console.step(part.name):
            # Beside the result, so that what a killed build leaves goes with it.
            with tempfile.TemporaryDirectory(prefix=f"{part.order.label}.scratch-", dir=target.parent) as scratch:
                part.make(Work(part.name, target, Path(scratch), needs, log, cache.root, console.say))
            console.note(part.name, size_of(target))

    place = cache.get(part.order, fill, console.say)
    if not built:
        console.found(part.name, size_of(place))
    return place


def size_of(directory: Path) -> str:
    """Return the size of a directory's files, for people."""
    total = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    return f"{total / 1e6:.1f} MB" if total < 1e8 else f"{total / 1e6:.0f} MB"


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # A file system without links.
        shutil.copy2(source, target)


def _make_cnpg_manifest(work: Work) -> None:
    program = parts.CLOUDNATIVE_PG
    version = program.version.removeprefix("v")
    source = parts.module_directory(work, program.name, program.module) / "releases" / f"cnpg-{version}.yaml"
    text = source.read_text(encoding="utf-8")
    # A server that imports its images has no registry to ask for a newer one.
    changed, times = re.subn(r"^( +imagePullPolicy: )Always$", r"\1IfNotPresent", text, flags=re.MULTILINE)
    wanted = f"ghcr.io/cloudnative-pg/cloudnative-pg:{version}"
    if times != 1 or f"image: {wanted}\n" not in changed:
        raise LabError(f"{source} is not what was expected: no container of {wanted} that is always pulled.")
    (work.target / source.name).write_text(changed, encoding="utf-8")


def _make_cert_manager_manifest(work: Work) -> None:
    """Render the chart in the module as upstream's release build does: namespace, CRDs, everything else."""
    program = parts.CERT_MANAGER
    module = parts.module_directory(work, program.name, program.module)
    source, chart = module / "deploy/charts/cert-manager", work.scratch / "cert-manager"
    (chart / "templates").mkdir(parents=True)
    for path in (source / "templates").iterdir():
        shutil.copyfile(path, chart / "templates" / path.name)
    shutil.copyfile(source / "values.yaml", chart / "values.yaml")
    description = (source / "Chart.template.yaml").read_text(encoding="utf-8")
    for field in ("version", "appVersion"):
        description, times = re.subn(
            rf"^{field}: .*$", f"{field}: {program.version}", description, count=1, flags=re.MULTILINE
        )
        if not times:
            raise LabError(f"{source / 'Chart.template.yaml'} has no {field}.")
    (chart / "Chart.yaml").write_text(description.replace("{{IS_PRERELEASE}}", "false"), encoding="utf-8")
    definitions = sorted((module / "deploy/crds").glob("crd-*.yaml"))
    crds = "---\n".join(path.read_text(encoding="utf-8").rstrip() + "\n" for path in definitions)
    (chart / "templates/crds.yaml").write_text(
        "{{- if .Values.installCRDs }}\n" + crds + "{{- end }}\n", encoding="utf-8"
    )

    def render(*more: str) -> str:
        return work.output(
            [
                *(str(work.needs["helm"] / "helm"), "template", "cert-manager", str(chart), "--namespace=cert-manager"),
                *("--set=creator=static", "--set=startupapicheck.enabled=false", *more),
            ],
            # Nothing of this machine's helm settings.
            env={
                name: str(work.scratch / "helm") for name in ("HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME")
            },
        ).removeprefix("---\n")

    rest = render()
    all_documents, known = documents(render("--set=installCRDs=true")), set(documents(rest))
    only = [text for text in all_documents if text not in known]
    if len(only) != len(definitions):
        raise LabError(f"The chart of {program.name} rendered {len(only)} CRDs, its module has {len(definitions)}.")
    namespace = (module / "deploy/manifests/namespace.yaml").read_text(encoding="utf-8").strip()
    text = "---\n".join(part.strip() + "\n" for part in (namespace, *only, *documents(rest)))
    missing = [
        name
        for name in parts.CERT_MANAGER_COMPONENTS
        if name != "acmesolver" and f"quay.io/jetstack/cert-manager-{name}:{program.version}" not in text
    ]
    if missing:
        raise LabError(f"The chart of {program.name} names no image of {', '.join(missing)}.")
    (work.target / "cert-manager.yaml").write_text(text, encoding="utf-8")


def documents(text: str) -> list[str]:
    """Split a YAML stream at its document marks; empty documents are left out."""
    return [one for one in re.split(r"^---\s*$\n?", text, flags=re.MULTILINE) if one.strip()]
