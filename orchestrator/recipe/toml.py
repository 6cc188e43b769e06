"""Python's tomllib, imported in a third of the time: without datetime as it is in Python, which in the end is that in
C, without string for three constants, and with named tuples of ours for its own."""

from __future__ import annotations

import typing

from orchestrator.frozen import NamedTuple
from orchestrator.modules import import_without


def _import() -> None:
    import _datetime  # type: ignore[import-not-found]  # what datetime gives out

    letters, digits = "abcdefghijklmnopqrstuvwxyz", "0123456789"
    string = {"ascii_letters": letters + letters.upper(), "digits": digits, "hexdigits": f"{digits}abcdefABCDEF"}
    named_tuple = typing.NamedTuple
    vars(typing)["NamedTuple"] = NamedTuple
    try:
        import_without("tomllib", {"string": string, "datetime": vars(_datetime)})
    finally:
        vars(typing)["NamedTuple"] = named_tuple


_import()

from tomllib import TOMLDecodeError, loads  # noqa: E402 - only now

__all__ = ["TOMLDecodeError", "loads"]
