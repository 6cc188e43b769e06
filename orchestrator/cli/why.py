"""Explain the coming rebuild of a goal or an image, or, where there is none to come, the last one: field by field.

It is compared with the newest success of the same goal and options. A recipe with a change of its own is a cause; what
moves only through it is told in one line. With NODE, only that recipe: why it is built again, or why not."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.opening import (
    Opened,
    add_place_arguments,
    add_set_argument,
    add_source_argument,
    open_project,
)
from orchestrator.cli.substituting import not_copied_now, not_copied_then, offers_of
from orchestrator.errors import UsageError
from orchestrator.frozen import field, frozen, replace

if TYPE_CHECKING:
    from orchestrator.build.plan import Plan
    from orchestrator.cli.why_past import Past
    from orchestrator.digest import Digest
    from orchestrator.graph.causes import Causes, Side
    from orchestrator.graph.derivation import Graph
    from orchestrator.store import BuildRecord, Goal, Layout

EPILOG = """\
What is not recorded is called unknown, never unchanged. Nothing is changed and nothing is built.

examples:
  orch why nixl                      what moved, and what moved it
  orch why nixl --set cuda=13        the same for CUDA 13
  orch why nixl libfabric            why that one is built again, or not
  orch why sglang-cu12               an image, against its last
"""


@frozen
class Saved:
    """Builds that an input with the same bytes made needless, or may."""

    names: tuple[str, ...] = ()
    seconds: float = 0.0  # what they took when they were run
    unknown: int = 0  # how many of them nobody knows the time of
    checks: tuple[str, ...] = ()  # those not run, or perhaps not, since they had passed with the same bytes


@frozen
class Answer:
    """All that is known. `done`: there is nothing to build, and what is told is the last rebuild."""

    name: str
    image: bool = False
    options: tuple[tuple[str, str], ...]
    graph: Graph
    side: Side
    done: bool
    key: str
    finished: float = 0.0  # of what is done
    past: Past | None = None  # what it is compared with
    same_options: bool = True
    found: Causes | None = None
    build: tuple[str, ...] = ()  # to be built, or built in the run that is told
    check: tuple[str, ...] = ()
    lost: tuple[tuple[str, str], ...] = ()  # built again though nothing of them moved, and why
    same_bytes: tuple[str, ...] = ()  # of those built in the run that is told
    reasons: Mapping[str, str] = field(default_factory=dict)  # the plan's, of what is to be built
    saved: Saved = Saved()
    recorded: bool = True  # whether there is a record of the run that is told
    newer: tuple[tuple[str, str], ...] = ()  # recipes that did not move, and a file of theirs that is newer
    notes: tuple[str, ...] = ()  # of an image: what differs beside its components
    not_copied: tuple[tuple[str, str], ...] = ()  # what is or was built though a cache was asked for it, and why


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("name", metavar="GOAL", help="a recipe's name, or an image's")
    parser.add_argument("node", nargs="?", metavar="NODE", help="only this recipe of the goal's graph")
    add_set_argument(parser)
    add_source_argument(parser)
    add_place_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the reasons."""
    from orchestrator.cli.complaint import harmless
    from orchestrator.cli.why_data import answer_document, node_document
    from orchestrator.cli.why_text import answer_lines, node_lines

    opened = open_project(arguments)
    found = answer(opened, arguments.name, arguments.settings)
    node = arguments.node
    if node is not None and node not in found.graph and not (found.past is not None and node in found.past.side.keys):
        from orchestrator.recipe.parse import suggestion

        names = list(found.graph.names)
        raise UsageError(f"{arguments.name} does not need {node!r}", hint=suggestion(node, names, label="it needs"))
    if arguments.json:
        from orchestrator.cli.document import print_document

        print_document("why", answer_document(found) if node is None else node_document(found, node))
    else:
        print(harmless("\n".join(answer_lines(found) if node is None else node_lines(found, node))))
    return 0


def answer(opened: Opened, name: str, settings: Sequence[str]) -> Answer:
    """All that is known of a goal or an image. Raise UsageError, RecipeError or MachineError."""
    if name not in opened.recipes:
        from orchestrator.recipe import load_images

        if name in load_images(opened.project).names:
            from orchestrator.cli.why_image import image_answer

            return image_answer(opened, name, settings)
    return _goal_answer(opened, name, settings)


def _goal_answer(opened: Opened, name: str, settings: Sequence[str]) -> Answer:
    from orchestrator.graph.causes import side_of
    from orchestrator.graph.closure import closure_key
    from orchestrator.graph.keys import derivation_keys
    from orchestrator.store import read_goal

    graph = opened.graph([name], settings)
    layout = opened.store(create=False)
    keys = derivation_keys(graph)
    key = closure_key(graph, name, keys)
    plan = opened.plan(graph, layout, offers_of(opened, graph, layout))
    current = read_goal(layout, key)
    before, same = _before(opened, layout, graph, name, current)
    blank = Answer(
        name=name, options=graph.options, graph=graph, side=side_of(graph, keys), done=bool(plan.done), key=str(key)
    )
    if current is not None and not plan.done:
        told = coming(replace(blank, finished=current.finished), plan, layout)
        return compared(told, opened, layout, current, same=True)
    if current is None:
        return compared(coming(blank, plan, layout), opened, layout, before, same=same)
    told = _last(replace(blank, finished=current.finished), layout, current, keys)
    return compared(told, opened, layout, before if same else None, same=True)


def compared(told: Answer, opened: Opened, layout: Layout, before: Goal | None, *, same: bool) -> Answer:
    """`told` with what differs from an earlier success."""
    if before is None:
        return told
    from orchestrator.cli.why_past import past_goal

    return against(replace(told, same_options=same), opened, past_goal(layout, before, told.side))


def against(told: Answer, opened: Opened, past: Past) -> Answer:
    """`told` with what differs from `past`."""
    from orchestrator.graph.causes import causes

    found = causes(past.side, told.side, told.graph)
    since = told.finished if told.done else past.finished
    # What is done is done with the files as they are: also what moved before may have been edited since, in vain.
    edited = {one.name for one in (*found.nodes, *found.checks)} if not told.done else set()
    newer = tuple(_newer(opened, told.graph, edited, since).items())
    moved = {one.name for one in found.nodes if one.kind != "runtime"}
    lost = tuple((name, reason) for name, reason in told.reasons.items() if name not in moved)
    saved = told.saved
    if told.done and told.recorded:
        spared = [one.name for one in found.checks if not one.changes and one.name not in told.check]
        saved = replace(saved, checks=tuple(spared))
    return replace(told, past=past, found=found, newer=newer, lost=lost, saved=saved)


def coming(told: Answer, plan: Plan, layout: Layout) -> Answer:
    """`told` with the steps that are to come."""
    sure = [step for step in plan.steps if not step.maybe]
    doubtful = [step for step in plan.steps if step.maybe]
    return replace(
        told,
        build=tuple(step.node.name for step in sure if step.action == "build"),
        reasons={step.node.name: step.reason for step in plan.steps if step.action == "build"},
        not_copied=not_copied_now(sure),
        check=tuple(step.node.name for step in sure if step.action == "check"),
        saved=_saved(
            layout,
            {step.node.name: None for step in doubtful if step.action == "build"},
            tuple(step.node.name for step in doubtful if step.action == "check"),
        ),
    )


def _last(told: Answer, layout: Layout, current: Goal, keys: Mapping[str, Digest]) -> Answer:
    from orchestrator.cli.why_past import run_of_goal

    run = run_of_goal(layout, current)
    return steps_of(told, run, layout, keys)


def steps_of(told: Answer, run: BuildRecord | None, layout: Layout, keys: Mapping[str, Digest]) -> Answer:
    """`told` with the steps of a run that is over."""
    if run is None:
        return replace(told, recorded=False)
    mine = [step for step in run.steps if step.node in told.graph]
    cut = {step.node: keys[step.node] for step in mine if step.outcome == "same" and step.step.startswith("build ")}
    return replace(
        told,
        build=tuple(step.node for step in mine if step.outcome == "built"),
        check=tuple(step.node for step in mine if step.outcome == "checked"),
        same_bytes=tuple(step.node for step in mine if step.outcome == "built" and step.detail),
        not_copied=not_copied_then(mine),
        saved=_saved(layout, cut, ()),
    )


def _saved(layout: Layout, names: Mapping[str, Digest | None], checks: tuple[str, ...]) -> Saved:
    from orchestrator.cli.why_past import took

    times = [took(layout, name, key) for name, key in names.items()]
    known = [seconds for seconds in times if seconds is not None]
    return Saved(names=tuple(names), seconds=sum(known), unknown=len(times) - len(known), checks=checks)


def _before(opened: Opened, layout: Layout, graph: Graph, name: str, current: Goal | None) -> tuple[Goal | None, bool]:
    """The newest success before `current`, if this is done, else the newest; and whether it had the same options: if
    there is none that had, the nearest is taken."""
    from orchestrator.store import all_goals, recent_goals

    recent = list(recent_goals(layout, name, graph.options))
    if not [goal for goal in recent if current is None or goal.key != current.key]:
        recent = all_goals(layout, name)
    wanted = _spelt_out(opened, graph.options)
    alike = [goal for goal in recent if _spelt_out(opened, goal.options) == wanted]
    if current is not None:  # records of an older orch do not say which was before which
        return next(
            (goal for goal in alike if goal.key != current.key and goal.finished < current.finished), None
        ), True
    if alike:
        return alike[0], True
    others = sorted(recent, key=lambda goal: len(wanted.items() ^ _spelt_out(opened, goal.options).items()))
    return next(iter(others), None), False


def _spelt_out(opened: Opened, options: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Options without those that only say what holds anyway."""
    defaults = {option.name: option.default for option in opened.project.options}
    return {name: value for name, value in options if defaults.get(name) != value}


def _newer(opened: Opened, graph: Graph, moved: set[str], since: float) -> dict[str, str]:
    """Recipes that did not move though a file of theirs is newer than `since`, with that file."""
    newer: dict[str, str] = {}
    for node in graph.nodes if since else ():
        if node.name in moved or node.name not in opened.recipes:
            continue
        recipe = opened.recipes[node.name]
        beside = [file.path for file in recipe.files.values()]
        beside += [recipe.directory / version.lock for version in recipe.versions.values() if version.lock]
        for path in (recipe.directory / Path(recipe.where).name, *beside):
            if path.is_file() and path.stat().st_mtime > since:
                newer[node.name] = str(path.relative_to(opened.project.root))
                break
    return newer
