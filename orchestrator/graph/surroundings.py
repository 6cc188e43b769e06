"""What several recipes together say of the environment that their outputs are used in. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def join_environments(environments: Sequence[tuple[str, tuple[tuple[str, str], ...]]]) -> dict[str, str]:
    """One environment from those of several recipes, named for the error message.

    A variable whose name ends in PATH is a list: values are joined with colons in the order given. Any other that two
    recipes set to different values is a ValueError.
    """
    joined: dict[str, tuple[str, str]] = {}
    for owner, pairs in environments:
        for name, value in pairs:
            if name not in joined or joined[name][1] == value:
                joined[name] = (owner, value)
            elif name.endswith("PATH"):
                joined[name] = (owner, f"{joined[name][1]}:{value}")
            else:
                first, other = joined[name]
                raise ValueError(f"{first} sets {name}={other}, {owner} sets {name}={value}")
    return {name: value for name, (_, value) in joined.items()}
