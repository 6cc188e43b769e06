"""A page of HTML that needs nothing else: no script, no network, no font; for a phone and a screen, dark and light.
Pure. Whoever makes a part escapes what is in it: `clean`, or `table` and `folded`, which do so themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.cli.drawing import svg, timeline
from orchestrator.cli.drawing.svg import clean

_COLOURS_LIGHT = """\
--paper:#ffffff;--card:#f6f8fa;--ink:#1f2328;--soft:#59636e;--rule:#d5dbe1;
--good:#1a7f37;--work:#0969da;--check:#0a7a82;--pack:#7a3fd1;--bad:#c5221f;--still:#6e7781"""
_COLOURS_DARK = """\
--paper:#0d1117;--card:#161b22;--ink:#e6edf3;--soft:#9aa4af;--rule:#30363d;
--good:#4ac26b;--work:#6cb1ff;--check:#4cc3cc;--pack:#bf9bff;--bad:#ff7b72;--still:#8b949e"""

STYLE = f"""\
:root{{color-scheme:light dark;{_COLOURS_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{_COLOURS_DARK}}}}}
*{{box-sizing:border-box}}
body{{margin:0 auto;max-width:1180px;padding:20px 16px 60px;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;overflow-wrap:anywhere}}
h1{{font-size:1.5rem;margin:0 0 4px;line-height:1.25}}
h2{{font-size:1.1rem;margin:36px 0 8px;padding-top:12px;border-top:1px solid var(--rule)}}
p{{margin:6px 0}}
.soft,figcaption,th{{color:var(--soft)}}
code,pre,td.m{{font:13px/1.45 "DejaVu Sans Mono",Menlo,Consolas,"Liberation Mono",monospace}}
.badge{{display:inline-block;padding:1px 9px;border-radius:99px;border:1px solid var(--s);color:var(--s);
font-size:.8rem;vertical-align:3px;white-space:nowrap}}
.tiles{{display:grid;grid-template-columns:repeat(auto-fill,minmax(135px,1fr));gap:8px;margin:16px 0}}
.tiles div{{background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:8px 12px}}
.tiles b{{display:block;font-size:1.15rem}}
.wide{{overflow-x:auto;border:1px solid var(--rule);border-radius:6px;margin:10px 0;padding:8px}}
.wide svg{{display:block;max-width:100%;height:auto}}
.wide.tall{{max-height:80vh;overflow:auto}}
table{{border-collapse:collapse;width:100%;margin:8px 0}}
th{{text-align:left;font-weight:500;font-size:.85rem}}
th,td{{padding:4px 12px 4px 0;vertical-align:top;border-bottom:1px solid var(--rule)}}
td.n,th.n{{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}}
td.m{{white-space:nowrap}}
.share{{display:block;height:6px;min-width:2px;border-radius:3px;background:var(--s,var(--work));margin-top:8px}}
td.b{{width:26%}}
details{{border:1px solid var(--rule);border-radius:6px;margin:8px 0;background:var(--card)}}
summary{{padding:7px 12px;cursor:pointer}}
details>*:not(summary){{margin:0 12px 10px}}
details>table{{width:calc(100% - 24px)}}
pre{{overflow-x:auto;white-space:pre-wrap;padding:10px;background:var(--paper);border:1px solid var(--rule);
border-radius:4px}}
.good{{--s:var(--good)}}.work{{--s:var(--work)}}.look{{--s:var(--check)}}.pack{{--s:var(--pack)}}
.bad{{--s:var(--bad)}}.still{{--s:var(--still)}}
.state{{color:var(--s);white-space:nowrap}}
.key span{{white-space:nowrap;margin-right:16px}}
.key span::before{{content:"";display:inline-block;width:14px;height:9px;border-radius:2px;margin-right:6px;
background:var(--s);opacity:.5}}
.phone{{display:none}}
@media (max-width:600px){{.phone{{display:block}}.screen{{display:none}}
body{{padding:14px 12px 40px}}
table.steps tr{{display:block;padding:6px 0;border-bottom:1px solid var(--rule)}}
table.steps th{{display:none}}
table.steps td{{display:inline;border:0;padding:0 10px 0 0}}
table.steps td.m{{display:block;font-weight:600}}
table.steps td.w{{display:block}}
table.steps td.f::before{{content:"forecast ";color:var(--soft)}}
td.b{{display:none}}}}
"""


def page(title: str, parts: Iterable[str]) -> str:
    """The whole page."""
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{clean(title)}</title>
<style>
{STYLE}{svg.STYLE}{timeline.STYLE}</style>
</head>
<body>
{chr(10).join(parts)}
</body>
</html>
"""


def section(title: str, *parts: str) -> str:
    """A heading and what is below it."""
    return "\n".join([f"<section><h2>{clean(title)}</h2>", *parts, "</section>"])


def tiles(facts: Iterable[tuple[str, str]]) -> str:
    """Short facts side by side: a label and a value each."""
    return '<div class="tiles">' + "".join(f"<div>{clean(a)}<b>{clean(b)}</b></div>" for a, b in facts) + "</div>"


def paragraph(text: str, style: str = "") -> str:
    """One paragraph."""
    return f"<p{f' class={style!r}' if style else ''}>{clean(text)}</p>"


def folded(title: str, content: str, *, style: str = "", is_open: bool = False) -> str:
    """What is seen when its title is clicked; `content` is HTML."""
    summary = f"<summary{f' class={style!r}' if style else ''}>{clean(title)}</summary>"
    return f"<details{' open' if is_open else ''}>{summary}{content}</details>"


def cell(text: str, kind: str = "", style: str = "") -> str:
    """A table's cell: `n` numbers, `m` names, `w` words."""
    inner = f'<span class="state {style}">{clean(text)}</span>' if style else clean(text)
    return f"<td{f' class={kind!r}' if kind else ''}>{inner}</td>"


def share(part: float, style: str = "") -> str:
    """A cell with a bar as long as a share (0 to 1)."""
    return f'<td class="b"><span class="share {style}" style="width:{100 * min(max(part, 0), 1):.1f}%"></span></td>'


def table(heads: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]], *, style: str = "", most: int = 40) -> str:
    """A table of cells; the heads are (text, kind). What is beyond `most` rows is folded."""
    head = "".join(f"<th{f' class={kind!r}' if kind else ''}>{clean(text)}</th>" for text, kind in heads)

    def body(part: Sequence[Sequence[str]]) -> str:
        lines = "\n".join(f"<tr>{''.join(row)}</tr>" for row in part)
        return f"<table{f' class={style!r}' if style else ''}>\n<tr>{head}</tr>\n{lines}\n</table>"

    if len(rows) <= most + 3:
        return body(rows)
    return body(rows[:most]) + folded(f"{len(rows) - most} more", body(rows[most:]))
