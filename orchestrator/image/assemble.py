"""Makes an image from realised components: merge, system tree, checks, layers, run, and only then its name.

Blocks; works in the calling thread and, for layers, in threads of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.digest import Digest
from orchestrator.errors import BuildFailed, OrchError
from orchestrator.events import Monitor, Notice, StepFinished, StepOutput, StepPhase, StepsAdded, StepStarted
from orchestrator.frozen import frozen
from orchestrator.image.base_layers import BaseImage
from orchestrator.image.checks import Verdict, run_checks
from orchestrator.image.elf import elf_facts
from orchestrator.image.environment import DEFAULT_DIRECTORIES
from orchestrator.image.layer import make_layers
from orchestrator.image.layering import plan_layers
from orchestrator.image.layout import add_document, name_image
from orchestrator.image.merge import merge
from orchestrator.image.model import Component, Compression, ElfFacts, Finding, Layer, Subject, View
from orchestrator.image.oci import Descriptor, ImageMeta, image_config, image_manifest
from orchestrator.image.registry_base import base_history, loader_directories
from orchestrator.image.rootfs import link_root
from orchestrator.image.run import run_image
from orchestrator.image.system import ENTRYPOINT, describe_system, make_loader_cache, write_system
from orchestrator.recipe.image import BASE_IMAGE, Image
from orchestrator.store import (
    ComponentFields,
    ImageRecord,
    LayerFields,
    Layout,
    latest_image,
    new_log,
    object_tree,
    publish_tree,
    read_manifest,
    staging,
    write_image,
)
from orchestrator.tree import disk


class ChecksFailed(BuildFailed):
    """An image did not pass its checks; it has no name."""

    code = "checks-failed"


@frozen
class Assembly:
    """What an image is assembled from."""

    image: Image
    key: Digest
    components: tuple[Component, ...]  # realised, bottom first
    environment: Mapping[str, str]
    ldconf: tuple[str, ...]  # beside the base's own
    platform: str
    options: tuple[tuple[str, str], ...]
    compression: Compression
    base: BaseImage | None = None  # an image from a registry that this one stands on


def assemble(
    assembly: Assembly, layout: Layout, *, workers: int, monitor: Monitor, stop: threading.Event
) -> ImageRecord:
    """The finished image, recorded and named. Raise RecipeError for a clash, ChecksFailed, StepFailed when its run
    fails, MachineError; it has no name then, and what was made stays in the store."""
    image = assembly.image
    began = time.monotonic()
    if image.document.run is not None:
        monitor(StepsAdded(steps=(f"run {image.name}",)))
    with staging(layout, f"image-{image.name}") as stage:
        log = new_log(layout, f"{image.name}-run", assembly.key)
        view, root = _root(assembly, layout, stage, log, monitor, stop)
        verdict = _checked(assembly, layout, view, log, monitor)
        layers = _layers(assembly, layout, view, workers, monitor, stop)
        if image.document.run is not None:
            _run(assembly, layout, view, root, stage, log, monitor, stop)
    record = _name(assembly, layout, view, layers, verdict)
    monitor(StepFinished(step=f"image {image.name}", outcome="built", seconds=time.monotonic() - began))
    return record


def _root(
    assembly: Assembly, layout: Layout, stage: Path, log: Path, monitor: Monitor, stop: threading.Event
) -> tuple[View, Path]:
    """The merged view, its system tree published, and the root below that tree as a directory."""
    image = assembly.image
    monitor(StepStarted(step=f"image {image.name}", log=log))
    monitor(StepPhase(step=f"image {image.name}", phase="merge"))
    manifests = [read_manifest(layout, component.object) for component in assembly.components]
    view = merge(image, assembly.components, manifests)
    root = stage / "root"
    link_root(layout, view, root)
    monitor(StepPhase(step=f"image {image.name}", phase="system tree"))
    top = stage / "system"
    top.mkdir()
    base = next(component for component in assembly.components if component.kind == "base")
    write_system(image, view, top, base=object_tree(layout, base.object), ldconf=assembly.ldconf)
    make_loader_cache(root, top, show=f"{image.name} --run", stage=stage, log=log, monitor=monitor, stop=stop)
    manifest = describe_system(image, view, top)
    digest = publish_tree(layout, top, manifest)
    system = Component(
        name="system", version=image.document.version, origin="orch", kind="system", object=digest, key=None
    )
    return merge(image, (*assembly.components, system), (*manifests, manifest)), root


def _checked(assembly: Assembly, layout: Layout, view: View, log: Path, monitor: Monitor) -> Verdict:
    image = assembly.image
    monitor(StepPhase(step=f"image {image.name}", phase="ELF files"))
    elf: dict[str, ElfFacts] = {}
    for index, component in enumerate(view.components):
        for facts in elf_facts(layout, component.object):
            if view.owner.get(facts.path) == index:
                elf[facts.path] = facts
    trees = [object_tree(layout, component.object) for component in view.components]

    def read(path: str) -> bytes:
        return (trees[view.owner[path]] / path).read_bytes()

    in_base = loader_directories(layout, assembly.base)
    subject = Subject(
        image=image,
        view=view,
        elf=elf,
        ldconf=tuple(dict.fromkeys((*assembly.ldconf, *in_base, *DEFAULT_DIRECTORIES))),
        lock=image.lock,
        read=read,
    )
    monitor(StepPhase(step=f"image {image.name}", phase="checks"))
    last = latest_image(layout, image.name)
    previous = {one.name: one.unpacked for one in last.components} if last is not None else None
    verdict = run_checks(subject, previous=previous, environment=assembly.environment)
    if verdict.findings:
        with disk("write", log), log.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in _told(image, verdict.findings))
        raise _failed(image, verdict)
    for name, reason in verdict.off.items():
        monitor(Notice(text=f"{image.name}: the check {name} is off: {reason}"))
    return verdict


_SHOWN = 12


def _told(image: Image, findings: Sequence[Finding]) -> list[str]:
    """A line each; the remedy with the first of each check, since those of one check are alike."""
    lines = []
    seen: set[str] = set()
    for finding in findings:
        place = f"/{finding.path}" if finding.path else image.where
        remedy = "" if finding.check in seen else f"\n    {finding.hint}"
        seen.add(finding.check)
        lines.append(f"{finding.check}: {place}: {finding.what}{remedy}")
    return lines


def _failed(image: Image, verdict: Verdict) -> ChecksFailed:
    count = len(verdict.findings)
    lines = _told(image, verdict.findings[:_SHOWN])
    if count > _SHOWN:
        lines.append(f"and {count - _SHOWN} more: orch log {image.name} --run")
    checks = ", ".join(dict.fromkeys(finding.check for finding in verdict.findings))
    return ChecksFailed(
        f"{image.name} does not pass its checks: {count} finding{'' if count == 1 else 's'} ({checks})",
        where=f"{image.where}: checks",
        why="\n".join(lines),
        hint="mend the cause, or waive it under [[checks.waive]] with a reason",
    )


def _layers(
    assembly: Assembly, layout: Layout, view: View, workers: int, monitor: Monitor, stop: threading.Event
) -> tuple[Layer, ...]:
    below = assembly.base.layers if assembly.base is not None else ()
    plans = plan_layers(view, below=len(below))
    monitor(StepPhase(step=f"image {assembly.image.name}", phase=f"{len(plans)} layers"))

    def announce(names: tuple[str, ...]) -> None:
        monitor(StepsAdded(steps=tuple(f"layer {name}" for name in names), wanted_by=assembly.image.name))

    made = make_layers(
        layout,
        plans,
        compression=assembly.compression,
        workers=workers,
        progress=_LayerProgress(monitor),
        announce=announce,
        stop=stop,
    )
    return (*below, *made)


class _LayerProgress:
    """Layers that are being made, as steps."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._lock = threading.Lock()
        self._began: dict[str, float] = {}
        self._ended: set[str] = set()

    def __call__(self, name: str, done: int, total: int) -> None:
        step = f"layer {name}"
        with self._lock:
            first = name not in self._began
            began = self._began.setdefault(name, time.monotonic())
        if first:
            self._monitor(StepStarted(step=step))
        if done < total:
            self._monitor(StepOutput(step=step, line=f"{100 * done // total} %"))
        else:
            with self._lock:
                ended = name in self._ended
                self._ended.add(name)
            if not ended:
                self._monitor(StepFinished(step=step, outcome="packed", seconds=time.monotonic() - began))


def _run(
    assembly: Assembly,
    layout: Layout,
    view: View,
    root: Path,
    stage: Path,
    log: Path,
    monitor: Monitor,
    stop: threading.Event,
) -> None:
    step = f"run {assembly.image.name}"
    monitor(StepStarted(step=step, log=log))
    began = time.monotonic()
    system = object_tree(layout, view.components[-1].object)
    try:
        run_image(
            assembly.image,
            lowers=(system, root),
            environment=assembly.environment,
            stage=stage,
            log=log,
            monitor=monitor,
            stop=stop,
        )
    except OrchError:
        monitor(StepFinished(step=step, outcome="failed", seconds=time.monotonic() - began))
        raise
    monitor(StepFinished(step=step, outcome="checked", seconds=time.monotonic() - began))


def _labels(assembly: Assembly, view: View) -> dict[str, str]:
    document = assembly.image.document
    labels = {
        "org.opencontainers.image.title": document.name,
        "org.opencontainers.image.description": document.summary,
        "org.opencontainers.image.version": document.version,
        # What was declared, all of it: the commit of the recipes would move with every other change.
        "org.opencontainers.image.revision": str(assembly.key),
        "org.opencontainers.image.created": document.config.created,
    }
    if assembly.base is not None:
        labels["org.opencontainers.image.base.name"] = assembly.base.name.removeprefix("oci:")
        labels["org.opencontainers.image.base.digest"] = str(assembly.base.manifest)
    if document.licence:
        labels["org.opencontainers.image.licenses"] = document.licence
    for component in view.components:
        if component.key is not None:
            name = component.name.replace(":", ".")
            labels[f"orch.component.{name}"] = f"{component.version} {component.origin} {component.key}"
    if dirty := [component.name for component in view.components if component.origin == "dirty"]:
        labels["orch.dirty"] = " ".join(dirty)
    own = {name: value for name, value in labels.items() if name.startswith("orch.")}
    return labels | document.config.labels | own


def _documents(
    assembly: Assembly, layout: Layout, view: View, layers: Sequence[Layer]
) -> tuple[Descriptor, Descriptor]:
    """The config and the manifest, both in the layout."""
    config = assembly.image.document.config
    meta = ImageMeta(
        platform=assembly.platform,
        created=config.created,
        env=tuple(f"{name}={value}" for name, value in assembly.environment.items()),
        entrypoint=config.entrypoint or (f"/{ENTRYPOINT}",),
        cmd=config.cmd or ("/bin/bash",),
        user=f"{config.uid}:{config.gid}",
        workdir=config.workdir,
        labels=_labels(assembly, view),
    )
    config_blob = add_document(layout, image_config(meta, layers, below=base_history(assembly.base)))
    return config_blob, add_document(layout, image_manifest(config_blob, layers))


def _name(assembly: Assembly, layout: Layout, view: View, layers: Sequence[Layer], verdict: Verdict) -> ImageRecord:
    image, document = assembly.image, assembly.image.document
    config_blob, manifest = _documents(assembly, layout, view, layers)
    sizes = [_size(view, index) for index in range(len(view.components))]
    record = ImageRecord(
        key=assembly.key,
        name=image.name,
        version=document.version,
        platform=assembly.platform,
        options=assembly.options,
        manifest=manifest.digest,
        manifest_size=manifest.size,
        config=config_blob.digest,
        config_size=config_blob.size,
        created=document.config.created,
        layers=tuple(
            LayerFields(
                name=layer.name,
                media_type=layer.media_type,
                digest=layer.digest,
                size=layer.size,
                diff_id=layer.diff_id,
                unpacked=layer.unpacked,
                components=tuple(part.component for part in layer.parts) or (BASE_IMAGE,),
            )
            for layer in layers
        ),
        components=tuple(
            ComponentFields(
                name=one.name,
                version=one.version,
                origin=one.origin,
                kind=one.kind,
                object=one.object,
                key=one.key,
                sources=one.sources,
                recipe=one.recipe,
                unpacked=size,
                excluded=tuple(sorted(view.excluded.get(one.name, ()))),
            )
            for one, size in zip(view.components, sizes, strict=True)
        ),
        unpacked=sum(entry.size for entry in view.entries.values()),
        waived=tuple(f"{finding.check}: /{finding.path}: {finding.name}" for finding in verdict.waived),
        off=tuple(verdict.off),
    )
    write_image(layout, record)
    name_image(layout, record)
    return record


def _size(view: View, index: int) -> int:
    left_out = view.excluded.get(view.components[index].name, frozenset())
    return sum(entry.size for entry in view.manifests[index].entries if entry.path not in left_out)
