"""Runs a check: output, runtime closure and the check's inputs in place, a loader cache made for them, the script.

Runs in a worker thread and blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.build.action import Work, place_files, run_script
from orchestrator.build.mounts import refuse_clashes, trees
from orchestrator.build.script import ENVIRONMENT, check_script
from orchestrator.digest import Digest
from orchestrator.errors import RecipeError
from orchestrator.graph.closure import check_mounts
from orchestrator.graph.derivation import Graph, Node
from orchestrator.graph.surroundings import join_environments
from orchestrator.sandbox.runtime import run
from orchestrator.sandbox.spec import BUILD_DIR, OUT_DIR, Bind, Spec
from orchestrator.sandbox.step import LineListener, limits
from orchestrator.sandbox.step_failure import failure


def runtime_environment(graph: Graph, node: Node) -> dict[str, str]:
    """The environment that the runtime closure of `node` declares; RecipeError where two recipes disagree."""
    owners = [(name, graph[name].environment) for name in (node.name, *node.runtime)]
    try:
        return join_environments(owners)
    except ValueError as error:
        raise RecipeError(
            f"the runtime closure of {node.name} disagrees about its environment",
            where=node.where,
            why=str(error),
            hint="set it in one recipe only",
        ) from error


def _loader_cache(base: Sequence[Path], directories: Sequence[str], work: Work) -> Path:
    """A tree with /etc/ld.so.conf.d/orch.conf and the /etc/ld.so.cache that ldconfig makes of it."""
    tree = work.stage / "loader"
    conf = tree / "etc/ld.so.conf.d"
    conf.mkdir(parents=True)
    (conf / "00-orch.conf").write_text("".join(f"{directory}\n" for directory in directories))
    spec = Spec(
        lowers=(tree, *base),
        binds=(Bind(host=tree, inside=OUT_DIR, writable=True),),
        command=("/sbin/ldconfig", "-i", "-X", "-C", f"{OUT_DIR}/etc/ld.so.cache"),
        environment=ENVIRONMENT,
        directory="/",
        limits=limits(),
    )
    listener = LineListener(work.step, work.monitor)
    outcome = run(spec, work=work.place or work.stage, log=work.log, on_line=listener, stop=work.stop)
    if not outcome.passed:
        raise failure("making the loader cache", outcome, work.log, show=work.show, work=work.layout.root)
    return tree


def check(graph: Graph, node: Node, digests: Mapping[str, Digest], work: Work) -> None:
    """Run the check of `node`; return if it passes, raise StepFailed or MachineError if not."""
    assert node.check is not None
    inputs = [(name, digests[name]) for name in check_mounts(graph, node)]
    refuse_clashes(work.layout, inputs)
    lowers = trees(work.layout, inputs)
    ldconf = list(dict.fromkeys(line for name in (node.name, *node.runtime) for line in graph[name].ldconf))
    if ldconf:
        lowers = (_loader_cache(lowers, ldconf, work), *lowers)
    directory = work.stage / "build"
    (directory / ".orch").mkdir(parents=True)
    place_files(directory, node.check.files)
    (directory / ".orch/check.sh").write_text(check_script(node, node.check.script))
    environment = dict(ENVIRONMENT) | {"ORCH_CORES": str(work.cores)}
    for name, value in runtime_environment(graph, node).items():
        environment[name] = f"{value}:{environment[name]}" if name == "PATH" else value
    spec = Spec(
        lowers=lowers,
        binds=(Bind(host=directory, inside=BUILD_DIR, writable=True),),
        command=("/bin/bash", f"{BUILD_DIR}/.orch/check.sh"),
        environment=tuple(sorted(environment.items())),
        limits=limits(),
    )
    outcome = run_script(spec, work, directory / ".orch")
    if not outcome.passed:
        raise failure(f"checking {node.label}", outcome, work.log, show=work.show, work=work.layout.root)
