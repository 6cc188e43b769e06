"""Accounts of a store: what each root, image and component takes, alone and with others, and what runs were spared by
what was there. Pure, but for reading records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from orchestrator.frozen import frozen, replace
from orchestrator.store.builds import BuildRecord
from orchestrator.store.images import ImageRecord
from orchestrator.store.index import GoalFacts
from orchestrator.store.keep import Root
from orchestrator.store.links import Links
from orchestrator.store.questions import UNKNOWN


@frozen
class Share:
    """What belongs to a root or a component. Bytes."""

    label: str
    alone: int  # what deleting it would free: nothing else keeps that
    shared: int  # kept by others too
    things: int  # objects and blobs


def by_root(roots: Iterable[Root], sizes: Mapping[str, int], *, held: Iterable[str] = ()) -> list[Share]:
    """What each root keeps, what most can be freed of first. All results of a goal with the same options are one root.
    `held` is what running commands need."""
    joined: dict[str, list[Root]] = defaultdict(list)
    for root in roots:
        joined[root.label.rpartition(" (")[0] if root.age else root.label].append(root)
    owned = {
        label: {name for one in several for name in (*one.objects, *one.blobs)} for label, several in joined.items()
    }
    owners = Counter(name for names in owned.values() for name in names)
    owners.update(set(held))
    found = []
    for label, names in owned.items():
        there = [name for name in names if name in sizes]
        alone = sum(sizes[name] for name in there if owners[name] == 1)
        results = len(joined[label])
        found.append(
            Share(
                label=f"{label} ({results} results)" if results > 1 else label,
                alone=alone,
                shared=sum(sizes[name] for name in there) - alone,
                things=len(there),
            )
        )
    return sorted(found, key=lambda share: (-share.alone, -share.shared, share.label))


def by_component(names: Mapping[str, str], sizes: Mapping[str, int], kept: Collection[str]) -> list[Share]:
    """What the objects of each recipe take, most first: alone is what no root keeps, shared what some root does.
    `names` has the recipe of each object by hex, `kept` the objects that roots keep."""
    joined: dict[str, list[str]] = defaultdict(list)
    for one in sizes:
        joined[names.get(one, UNKNOWN)].append(one)
    found = [
        Share(
            label=name,
            alone=sum(sizes[one] for one in several if one not in kept),
            shared=sum(sizes[one] for one in several if one in kept),
            things=len(several),
        )
        for name, several in joined.items()
    ]
    return sorted(found, key=lambda share: (-share.alone - share.shared, share.label))


@frozen
class Spared:
    """What recorded runs built, and what they found. A hit is a component that a finished goal or image of a run
    needed, at run time or to be built, and that this run did not build; it spared the seconds its build once took."""

    runs: int = 0
    unclear: int = 0  # runs whose goals have no record any more: their hits are not counted
    built: int = 0
    same: int = 0  # looked at again, since an input was built anew, and found: hits too
    found: int = 0
    built_seconds: float = 0.0
    spared_seconds: float = 0.0


def spared(
    builds: Iterable[BuildRecord], links: Links, goals: Sequence[GoalFacts], images: Sequence[ImageRecord]
) -> Spared:
    """Count what runs built and found."""
    made = {(goal.goal, goal.output): goal for goal in reversed(goals)}
    closures: dict[str, set[str]] = {}
    by_manifest = {str(image.manifest): image for image in images}
    total = Spared()
    for build in builds:
        built = {step.node for step in build.steps if step.outcome == "built" and step.node}
        again = {step.node for step in build.steps if step.outcome in ("identical", "differs")}  # by --rebuild
        needed: set[str] = set()
        unclear = not build.outputs and build.ending == "done"
        for goal, output in build.outputs.items():
            if goal + output not in closures:
                closures[goal + output] = _needed(goal, output, made, by_manifest, links)
            unclear = unclear or not closures[goal + output]
            needed |= closures[goal + output]
        hits = [links.facts[key] for key in needed if key in links.facts and links.facts[key].name not in built | again]
        seconds = sum(step.seconds for step in build.steps if step.outcome == "built")
        total = replace(
            total,
            runs=total.runs + 1,
            unclear=total.unclear + unclear,
            built=total.built + len(built),
            same=total.same + sum(step.outcome == "same" for step in build.steps),
            found=total.found + len(hits),
            built_seconds=total.built_seconds + seconds,
            spared_seconds=total.spared_seconds + sum(one.seconds for one in hits),
        )
    return total


def _needed(
    goal: str,
    output: str,
    made: Mapping[tuple[str, str], GoalFacts],
    images: Mapping[str, ImageRecord],
    links: Links,
) -> set[str]:
    """The derivation keys of a finished goal's or image's closure, and of all that was built with."""
    keys: set[str] = set()
    if output in images:
        keys = {one.key.hex for one in images[output].components if one.key is not None}
    elif (found := made.get((goal, output.rpartition(":")[2]))) is not None:
        for _, _, _, digest, key in found.closure:
            known = key or (links.by_output[digest].key if digest in links.by_output else None)
            keys |= {known} if known else set()
    for key in list(keys):
        keys |= links.build_closure(key).keys()
    return keys
