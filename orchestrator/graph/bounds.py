"""Whether a version lies within bounds such as `>=1.19,<2`. Pure; knows no recipe.

What that means is packaging's to say. To import it takes longer than to make a plan, so what is only numbers is
compared here, with the same outcome: a test holds the two together.
"""

from __future__ import annotations

import re


def within(version: str, bounds: str) -> bool:
    """Whether `version` satisfies the specifier `bounds`; a version that is no number satisfies none."""
    plain = _plainly(version, bounds)
    if plain is not None:
        return plain
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        return SpecifierSet(bounds).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False  # `main` is not known to be at least anything


def _plainly(version: str, bounds: str) -> bool | None:
    """The answer where release numbers are all that counts, else None."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)*)(?:\+[0-9A-Za-z]+(?:[._-][0-9A-Za-z]+)*)?", version)
    if found is None:
        return None
    here = _numbers(found[1])
    answer = True
    for bound in bounds.split(","):
        parted = re.fullmatch(r" *(>=|<) *([0-9]+(?:\.[0-9]+)*) *", bound)
        if parted is None:
            return None
        answer = answer and (here >= _numbers(parted[2])) == (parted[1] == ">=")
    return answer


def _numbers(release: str) -> list[int]:
    """`1.20.0` as numbers, without the zeros at the end: 1.20 is the same version."""
    numbers = [int(number) for number in release.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers
