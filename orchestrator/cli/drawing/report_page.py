"""From the facts of a run or an image to a page. Pure: whoever calls has asked the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from orchestrator.cli.drawing.facts import OUTCOMES, Facts, ImageFacts, RunFacts, StepFacts
from orchestrator.cli.drawing.page import cell, folded, page, paragraph, section, share, table, tiles
from orchestrator.cli.drawing.picture import KINDS, STATES, Picture, strongest
from orchestrator.cli.drawing.svg import clean, graph_svg
from orchestrator.cli.drawing.timeline import NARROW, Bar, timeline_svg
from orchestrator.cli.numbers import bytes_text, seconds_text

_LOGS = 20  # that are not behind a fold
_ENDINGS = {"done": "good", "failed": "bad", "interrupted": "still"}


def report_page(facts: Facts) -> str:
    """The page."""
    run, image = facts.run, facts.image
    goals = ", ".join(run.goals[:4]) + (" …" if len(run.goals) > 4 else "") if run is not None else ""
    title = f"orch {run.verb} {goals}" if run is not None else image.name if image is not None else ""
    parts: list[str] = []
    if run is not None:
        parts += _run_head(run, title)
        parts += _failures(run)
        parts += _timeline(run)
        parts += _steps(run)
    if image is not None:
        parts += _image(image, alone=run is None)
    parts += _graph(facts)
    if facts.picture is not None and image is None:
        parts += _sizes(facts.picture)
    if run is not None:
        parts += _logs(run, facts.store)
    return page(f"{title} - report", parts)


def _run_head(run: RunFacts, title: str) -> Iterator[str]:
    began = datetime.fromtimestamp(run.began, UTC)
    yield f'<h1>{clean(title)} <span class="badge {_ENDINGS[run.ending]}">{run.ending}</span></h1>'
    yield paragraph(f"{began:%Y-%m-%d %H:%M:%S} UTC, run {run.id}", "soft")
    yield f"<p><code>{clean(run.command)}</code></p>"
    counts = Counter(step.outcome for step in run.steps)
    forecast = [("forecast", f"{seconds_text(run.expected)}")] if run.expected else []
    facts = [("took", seconds_text(run.seconds)), *forecast]
    facts += [(OUTCOMES[name][0], str(counts[name])) for name in OUTCOMES if counts[name]]
    if run.saved >= 1:
        facts.append(("saved", seconds_text(run.saved)))
    if run.fetched:
        took = f" in {seconds_text(run.fetching)}" if run.fetching >= 0.05 else ""
        facts.append(("fetched", f"{bytes_text(run.fetched)}{took}"))
    facts.append(("jobs, cores", f"{run.jobs}, {run.cores}"))
    yield tiles(facts)


def _failures(run: RunFacts) -> Iterator[str]:
    failed = [step for step in run.steps if step.outcome in ("failed", "differs")]
    if failed:
        parts = [_log(step, is_open=True) for step in failed]
        yield section("Failed" if len(failed) == 1 else f"{len(failed)} failed", *parts)


def _timeline(run: RunFacts) -> Iterator[str]:
    bars = [step.bar for step in run.steps if step.seconds > 0]
    if not bars:
        return
    critical = run.critical
    total = max(run.seconds, *(bar.ended for bar in bars))
    told = sum(bar.seconds for bar in bars if bar.step in critical)
    way = " → ".join(critical)
    said = f"The critical path, marked: {way}; {seconds_text(told)} of {seconds_text(run.seconds)}."
    colours = dict.fromkeys((bar.colour, OUTCOMES[step.outcome][0]) for step, bar in _with_bars(run))
    key = "".join(f'<span class="{colour}">{clean(text)}</span>' for colour, text in colours)
    yield section(
        "Timeline",
        f'<div class="wide screen">{timeline_svg(bars, total, critical)}</div>',
        f'<div class="wide phone">{timeline_svg(bars, total, critical, NARROW)}</div>',
        f'<p class="key soft">{key}</p>',
        paragraph(said, "soft"),
    )


def _with_bars(run: RunFacts) -> Iterator[tuple[StepFacts, Bar]]:
    for step in run.steps:
        if step.seconds > 0 and step.outcome in OUTCOMES:
            yield step, step.bar


def _steps(run: RunFacts) -> Iterator[str]:
    heads = [("step", ""), ("", ""), ("took", "n"), ("forecast", "n"), ("why", "")]
    critical = run.critical
    made = sorted((step for step in run.steps if step.outcome != "same"), key=lambda step: -step.seconds)
    same = [step for step in run.steps if step.outcome == "same"]
    if made:
        yield section(
            "What ran, and why", table(heads, [_step_row(step, critical) for step in made], style="steps", most=20)
        )
    if same:
        about = f": {seconds_text(run.saved)} saved, by what they took last" if run.saved >= 1 else ""
        told = f"What they are made of came out with the same bytes, or another process made them{about}."
        rows = [
            [
                cell(f"{step.step} {step.version}".rstrip(), "m"),
                cell(seconds_text(step.saved) if step.saved else "", "n"),
                cell(step.detail, "w"),
            ]
            for step in sorted(same, key=lambda step: -step.saved)
        ]
        heads = [("step", ""), ("saved", "n"), ("why", "")]
        yield section("Cut off, not run", paragraph(told, "soft"), table(heads, rows, style="steps"))


def _step_row(step: StepFacts, critical: Sequence[str]) -> list[str]:
    text, colour = OUTCOMES.get(step.outcome, (step.outcome, "still"))
    detail = step.detail if step.outcome != "failed" else ""  # it stands above
    why = "; ".join(part for part in (step.reason, detail) if part)
    mark = " ◆" if step.step in critical else ""
    return [
        cell(f"{step.step} {step.version}".rstrip() + mark, "m"),
        cell(text, "", colour),
        cell(seconds_text(step.seconds) if step.seconds else "", "n"),
        cell(
            seconds_text(step.expected) if step.expected is not None else "",
            "n f" if step.expected is not None else "n",
        ),
        cell(why, "w"),
    ]


def _graph(facts: Facts) -> Iterator[str]:
    picture = facts.picture
    if picture is None:
        if facts.no_picture:
            yield section("Graph", paragraph(facts.no_picture, "soft"))
        return
    counts = "".join(
        f'<span class="{state.replace(" ", "-")}" title="{clean(meaning)}">{picture.count(state)} {state}</span>'
        for state, meaning in STATES.items()
        if picture.count(state)
    )
    kinds = {edge.kind for edge in strongest(picture.edges)}
    lines = {"runtime": "full", "build": "dashed", "check": "dotted"}
    told = ", ".join(f"{lines[kind]}: {text}" for kind, text in KINDS.items() if kind in kinds)
    yield section(
        "Graph",
        paragraph(
            f"As the recipes and the store are now. Lines are {told}." if told else "As the store is now.", "soft"
        ),
        f'<p class="key soft graph">{counts}</p>',
        f'<div class="wide tall">{graph_svg(picture, alone=False)}</div>',
    )


def _sizes(picture: Picture) -> Iterator[str]:
    sizes = [(box.label, box.bytes) for box in picture.boxes if box.bytes is not None]
    if sizes:
        total = sum(size for _, size in sizes)
        yield section("Sizes", paragraph(f"{bytes_text(total)} of outputs in the store.", "soft"), _size_table(sizes))


def _size_table(sizes: Sequence[tuple[str, int]]) -> str:
    ordered = sorted(sizes, key=lambda one: -one[1])
    most = max((size for _, size in ordered), default=0) or 1
    rows = [[cell(name, "m"), cell(bytes_text(size), "n"), share(size / most)] for name, size in ordered]
    return table([("component", ""), ("size", "n"), ("", "")], rows, most=15)


def _image(image: ImageFacts, *, alone: bool) -> Iterator[str]:
    size = sum(layer.bytes for layer in image.layers)
    if alone:
        yield f"<h1>{clean(f'{image.name} {image.version}')} <span class='badge good'>made</span></h1>"
    else:
        yield f"<h2>{clean(f'{image.name} {image.version}')}</h2>"
    yield f"<p class='soft'><code>{clean(image.manifest)}</code></p>"
    facts = [
        ("to pull", bytes_text(size)),
        ("unpacked", bytes_text(image.unpacked)),
        ("layers", str(len(image.layers))),
    ]
    facts.append(("components", str(len(image.sizes))))
    if image.waived:
        facts.append(("findings waived", str(len(image.waived))))
    yield tiles(facts)
    most = max((layer.bytes for layer in image.layers), default=0) or 1
    rows = [
        [
            cell(layer.name, "m"),
            cell(bytes_text(layer.bytes), "n"),
            cell(bytes_text(layer.unpacked), "n"),
            cell(str(len(layer.components)), "n"),
            share(layer.bytes / most, "pack"),
        ]
        for layer in image.layers
    ]
    heads = [("layer, the lowest first", ""), ("blob", "n"), ("unpacked", "n"), ("components", "n"), ("", "")]
    yield section("Layers", table(heads, rows, most=30))
    yield section("Components", _size_table(image.sizes))
    told = [*(f"waived: {one}" for one in image.waived), *(f"check off: {one}" for one in image.off)]
    if told:
        rows = [[cell(one)] for one in told]
        yield section("Findings that were let pass", table([("finding", "")], rows, most=10))


def _logs(run: RunFacts, store: str) -> Iterator[str]:
    logs = [step for step in run.steps if step.log and step.outcome not in ("failed", "differs")]
    logs.sort(key=lambda step: -step.seconds)
    if logs:
        first, rest = [_log(step) for step in logs[:_LOGS]], [_log(step) for step in logs[_LOGS:]]
        more = [folded(f"{len(rest)} more", "".join(rest))] if rest else []
        yield section("Logs", paragraph(f"Their last lines; whole below {store}.", "soft"), *first, *more)


def _log(step: StepFacts, *, is_open: bool = False) -> str:
    text, colour = OUTCOMES.get(step.outcome, (step.outcome, "still"))
    title = (
        f"{step.step} {step.version}".rstrip()
        + f": {text}"
        + (f", {seconds_text(step.seconds)}" if step.seconds else "")
    )
    detail = paragraph(step.detail) if step.detail else ""
    place = f'<p class="soft"><code>{clean(step.log)}</code></p>' if step.log else ""
    lines = (["…"] if step.cut else []) + list(step.tail)
    log = f"<pre>{clean(chr(10).join(lines))}</pre>" if step.tail else paragraph("Its log is empty or gone.", "soft")
    return folded(title, detail + place + (log if step.log else ""), style=f"state {colour}", is_open=is_open)
