"""Makes one output: sources into a private directory, the script in a sandbox, the tree that it left hashed and stored.

Runs in a worker thread and blocks. Knows nothing of plans, keys or other steps. What only some builders need is
imported where they do: the installer of wheels alone takes longer than a small build.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.build.jobserver import Tokens
from orchestrator.build.mounts import refuse_clashes, trees
from orchestrator.build.script import build_environment, build_script
from orchestrator.digest import Digest, sha256_file
from orchestrator.errors import RecipeError, SourceError
from orchestrator.events import Monitor, StepOutput, StepPhase
from orchestrator.frozen import frozen
from orchestrator.graph.derivation import LocalFile, Node, Source
from orchestrator.sandbox.runtime import run
from orchestrator.sandbox.spec import BUILD_DIR, OUT_DIR, SOURCE_DATE_EPOCH, Bind, Outcome, Spec
from orchestrator.sandbox.step import LineListener, limits
from orchestrator.sandbox.step_failure import failure
from orchestrator.sandbox.workplace import Workplace
from orchestrator.store import Layout, read_manifest
from orchestrator.tree import Manifest, remove_tree, scan

# /lib and the like are links in the bases: a real directory in an output would hide everything below them.
_LINKED_TOP = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


@frozen
class Variation:
    """How `--rebuild` makes a second build's surroundings differ from the first's."""

    cpus: tuple[int, ...] | None = None
    old_kernel_release: bool = False


@frozen
class Work:
    """All that one build needs besides the node: where, with what, told to whom."""

    step: str
    layout: Layout
    stage: Path  # private, on the store's filesystem
    log: Path
    cores: int
    tokens: Tokens | None = None  # for more cores
    monitor: Monitor
    stop: threading.Event
    keep_failed: bool = False
    place: Workplace | None = None  # what its sandboxes share with others'
    variation: Variation = Variation()
    intact: Callable[[], bool] = lambda: True  # whether its inputs are, once that is known

    @property
    def show(self) -> str:
        """What `orch log` is given to show the log of this step."""
        kind, _, name = self.step.partition(" ")
        return name if kind == "build" else f"{name} --{kind}"


def _settle(path: Path, top: Path) -> None:
    """Give what was placed at `path`, and the directories between it and `top`, the one time that sources have."""
    while path != top:
        os.utime(path, (SOURCE_DATE_EPOCH, SOURCE_DATE_EPOCH))
        path = path.parent


def _make(*folders: Path) -> None:
    """Make those that were not made ahead."""
    for one in folders:
        with suppress(FileExistsError):
            os.mkdir(one)  # noqa: PTH102 - every step waits for it


def _copy(file: Path, target: Path) -> None:
    import shutil  # with it come three compressors: not for a step without files

    shutil.copyfile(file, target)


def place_files(directory: Path, files: Sequence[LocalFile]) -> None:
    """Copy a recipe's helper files into `directory`; raise RecipeError if one changed since it was hashed."""
    for file in files:
        target = directory / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(file.path, target)
        target.chmod(0o755 if file.executable else 0o644)
        _settle(target, directory)
        if sha256_file(target).hex != file.sha256:
            raise RecipeError(
                f"{file.path} changed while it was being built", where=str(file.path), hint="run it again"
            )


def place_sources(node: Node, files: Mapping[str, Path], directory: Path) -> None:
    """Unpack or copy every source of `node` below `directory`."""
    for source in node.sources:
        file = files[source.name]
        if source.unpack is None:
            _copy(file, directory / source.file_name)
            _settle(directory / source.file_name, directory)
            continue
        target = directory / source.unpack
        target.mkdir(parents=True, exist_ok=True)
        from orchestrator.archive import unpack

        is_zip = source.file_name.endswith((".whl", ".zip"))
        try:
            if source.sha256 is None:
                _unpack_tree(source, file, target, directory)
            else:
                unpack(file, target, file_name=source.file_name, strip=not is_zip)
        except SourceError as error:
            error.where = error.where or source.where
            raise
        _settle(target, directory)


def _unpack_tree(source: Source, file: Path, target: Path, directory: Path) -> None:
    """Unpack a source that is pinned by its tree, once that was seen to be what `file` unpacks to."""
    from orchestrator.archive import unpack_tree

    alone = directory / ".orch" / "tree"  # beside what other sources have put at the target
    unpack_tree(file, alone, file_name=source.file_name)
    found = scan(alone).digest
    if found.hex != source.tree:
        raise SourceError(
            f"{source.name} does not unpack to what is pinned",
            where=source.where,
            why=f"expected a tree of blake3:{source.tree}, got {found}",
            hint="orch source verify looks at what is stored; else write the new tree into the recipe",
        )
    remove_tree(alone.parent)
    unpack_tree(file, target, file_name=source.file_name)


def _refuse_output(node: Node, manifest: Manifest) -> None:
    if not manifest.entries:
        raise RecipeError(
            f"{node.label} was built but left nothing in $OUT",
            where=node.where,
            why="only what lies under $OUT is kept",
            hint='install with DESTDIR="$OUT"',
        )
    for entry in manifest.entries:
        if entry.path in _LINKED_TOP and not node.is_base:
            raise RecipeError(
                f"{node.label} installs into /{entry.path}",
                where=node.where,
                why=f"/{entry.path} is a link to usr/{entry.path} in the bases and would be hidden",
                hint=f"install under /usr/{entry.path}",
            )


def build(
    node: Node, files: Mapping[str, Path], inputs: Sequence[tuple[str, Digest]], work: Work
) -> tuple[Path, Manifest]:
    """Build `node` and return the staged output tree and its manifest; nothing is published.

    `files` maps a source's name to its file, `inputs` names every mounted tree, top first. Raises StepFailed when the
    script fails, RecipeError for an output that is refused, MachineError for the machine's faults.
    """
    out = work.stage / "out"
    directory = work.stage / "build"
    _make(directory, out)
    if node.builder == "wheel":
        _install(node, files, work, out)
        return out, scan(out)
    place_files(directory, (*node.patches, *node.files))
    if node.builder == "debian-base":
        from orchestrator.build.base import unpack_base

        debs = [files[source.name] for source in node.sources]
        names = [source.file_name for source in node.sources]
        unpack_base(debs, out, names=names, allow_setuid=frozenset(s.path for s in node.setuid))
    elif node.builder == "bytecode":  # whose inputs may clash: the image says who wins
        from orchestrator.build.bytecode import arranged
        from orchestrator.graph.bytecode import LEFT_OUT

        manifests = {name: read_manifest(work.layout, digest) for name, digest in inputs}
        inputs, left_out = arranged(node, inputs, manifests)
        (directory / LEFT_OUT).write_text("".join(f"/{path}\0" for path in left_out))
    else:
        place_sources(node, files, directory)
        refuse_clashes(work.layout, inputs)
    outcome = _run(node, inputs, work, out, directory)
    if not outcome.passed:
        kept = None
        if work.keep_failed and work.intact():
            kept = work.layout.failed / f"{node.name}-{work.log.stem}"
            kept.parent.mkdir(exist_ok=True)
            remove_tree(kept)
            work.stage.rename(kept)
            with suppress(OSError):
                (kept / "out.object").rmdir()  # made ahead
            work.stage.mkdir()
        what, root = f"building {node.label}", work.layout.root
        may_keep = work.step.startswith("build ")
        raise failure(what, outcome, work.log, show=work.show, work=root, kept=kept, may_keep=may_keep)
    work.monitor(StepPhase(step=work.step, phase="store" if work.step.startswith("build ") else "compare"))
    manifest = scan(out, allow_setuid=frozenset(s.path for s in node.setuid))
    _refuse_output(node, manifest)
    return out, manifest


def _install(node: Node, files: Mapping[str, Path], work: Work, out: Path) -> None:
    """Install the one wheel that `node` is; nothing of it is run, so no sandbox is needed."""
    from orchestrator.build.wheel import install_wheel

    (source,) = node.sources
    options = dict(node.options)
    try:
        done = install_wheel(
            files[source.name],
            out,
            file_name=source.file_name,
            prefix=options["prefix"],
            python=options["python"],
            threads=work.cores,
            stopped=work.stop.is_set,
        )
    except SourceError as error:
        error.where = source.where or error.where
        raise
    lines = [f"{source.file_name}: {done.files} files, {done.size} bytes"]
    lines += [f"read by every interpreter when it starts: {name}" for name in done.startup]
    work.log.write_text("".join(f"{line}\n" for line in lines))
    for line in lines:
        work.monitor(StepOutput(step=work.step, line=line))


def _run(node: Node, inputs: Sequence[tuple[str, Digest]], work: Work, out: Path, directory: Path) -> Outcome:
    scripts = directory / ".orch"
    _make(scripts)
    (scripts / "build.sh").write_text(build_script(node))
    is_base = node.builder == "debian-base"
    binds: tuple[Bind, ...] = (Bind(host=directory, inside=BUILD_DIR, writable=True),)
    if not is_base:
        binds = (*binds, Bind(host=out, inside=OUT_DIR, writable=True))
    spec = Spec(
        lowers=() if is_base else trees(work.layout, inputs),
        writable_root=out if is_base else None,
        binds=binds,
        command=("/bin/bash", f"{BUILD_DIR}/.orch/build.sh"),
        environment=build_environment(work.cores),
        as_root=is_base,
        limits=limits(),
        cpus=work.variation.cpus,
        old_kernel_release=work.variation.old_kernel_release,
    )
    return run_script(spec, work, scripts)


def run_script(spec: Spec, work: Work, scripts: Path) -> Outcome:
    """Run a step's script, whose directory `scripts` holds the pipes of its tokens meanwhile. Raise MachineError."""
    listener = LineListener(work.step, work.monitor)
    try:
        if work.tokens is not None:
            work.tokens.place(scripts)
        return run(spec, work=work.place or work.stage, log=work.log, on_line=listener, stop=work.stop)
    finally:
        if work.tokens is not None:
            work.tokens.remove()
