"""Write the C source of a stub library from the headers that declare it.

usage: stubs.py ERROR PREFIX HEADER...

Every function that a header declares, and every name that a header's macros map to or from (`nvmlInit`,
`cuMemAlloc_v2`, `cuMemcpy_ptds`), becomes a function that returns ERROR; one that returns a string says so in words.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
DECLARATION = re.compile(r"^[\w\s*]*?\b(?:CUDAAPI|DECLDIR)\s+(?:\w+\s*\*\s*)?(?P<name>\w+)\s*\(", re.MULTILINE)
MACRO = re.compile(
    r"^\s*#\s*define\s+(?P<name>\w+)\s+(?:__CUDA_API_(?P<stream>PTDS|PTSZ)\()?(?P<target>\w+)\)?\s*$", re.MULTILINE
)


def functions(text: str, prefix: str) -> Iterator[tuple[str, bool]]:
    """The names that a header gives to functions, and whether each returns a string."""
    declared = {match["name"]: "char" in match[0] for match in DECLARATION.finditer(text)}
    yield from declared.items()
    for match in MACRO.finditer(text):
        name, target = match["name"], match["target"]
        if re.match(rf"{prefix}[A-Z]", name) and re.match(rf"{prefix}[A-Z]", target):
            is_text = declared.get(target, False)
            yield from ((name, is_text), (target, is_text))
            if match["stream"]:
                yield f"{target}_{match['stream'].lower()}", is_text


def main() -> None:
    error, prefix, headers = sys.argv[1], sys.argv[2], sys.argv[3:]
    found: dict[str, bool] = {}
    for header in headers:
        found |= functions(COMMENT.sub("", Path(header).read_text(encoding="utf-8")), prefix)
    for name, is_text in sorted(found.items()):
        kind, value = ("const char *", '"stub library"') if is_text else ("int ", error)
        print(f"{kind}{name}(void) {{ return {value}; }}")


if __name__ == "__main__":
    main()
