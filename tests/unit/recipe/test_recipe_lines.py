"""Lines of fields: exact, whatever the text looks like."""

from __future__ import annotations

from orchestrator.recipe.lines import field_lines

TEXT = """\
a = 1

[t."1.2"]   # a comment with [brackets]
b = '''
[t."9"]
c = 3
'''
d = [
  "x",
  { e = 1 },
]
f.g = 2
[[t."1.2".s]]
h = 1
[[t."1.2".s]]
h = 2
[t."1.2".s.deep]
i = 1
"""


def test_every_field_has_the_line_of_its_statement() -> None:
    lines = field_lines(TEXT)
    assert lines["a",] == 1
    assert lines["t", "1.2"] == 3
    assert lines["t", "1.2", "b"] == 4
    assert lines["t", "1.2", "d", 1, "e"] == 8
    assert lines["t", "1.2", "f", "g"] == 12
    assert lines["t", "1.2", "s", 0] == 13
    assert lines["t", "1.2", "s", 0, "h"] == 14
    assert lines["t", "1.2", "s", 1] == 15
    assert lines["t", "1.2", "s", 1, "h"] == 16
    assert lines["t", "1.2", "s", 1, "deep", "i"] == 18
    assert ("t", "9") not in lines
    assert ("t", "1.2", "c") not in lines
