"""How each build system is driven: the flags, script and first check of a new recipe. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from orchestrator.frozen import frozen
from orchestrator.recipe.guess import Guess, System

PLAIN = re.compile(r"[A-Za-z0-9@+._/][A-Za-z0-9@+._/-]*")  # what can stand in a script unquoted
WHY_PREFIX = "a prefix of its own, so that no two recipes have one path"
_CHECK = ("# Better: run it. A program's --version, a small example, a test of upstream's.",)


@frozen
class Parts:
    """What of a recipe differs between build systems. `kind` is what shows that it is one of this system."""

    kind: str = ""
    flags: tuple[tuple[str, str], ...] = ()  # a flag and why it is there
    script: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    libraries: bool = True  # in its lib directory
    native: bool = True  # compiled code is in it
    check: tuple[str, ...] = _CHECK
    notes: tuple[str, ...] = ()


def build_parts(name: str, guess: Guess) -> Parts:
    """The parts for a component called `name`, which is installed at /usr/local/NAME."""
    return _SYSTEMS[guess.system](f"/usr/local/{name}", guess)


def comment(text: str, limit: int = 100) -> str:
    """`text` as a comment can hold it: one line, nothing that a terminal would act upon."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())[:limit]


def _autotools(prefix: str, guess: Guess) -> Parts:
    again = guess.system == "autoreconf"
    switches = (("static", "--disable-static", "shared libraries only"), ("nls", "--disable-nls", "no translations"))
    return Parts(
        kind="It has a configure.ac and no configure script: autoreconf makes one."
        if again
        else "Its configure script was made by autoconf.",
        flags=(
            (f"--prefix={prefix}", WHY_PREFIX),
            *((flag, why) for switch, flag, why in switches if switch in guess.takes),
        ),
        script=(
            *(("phase autoreconf", "autoreconf --force --install") if again else ()),
            "phase configure",
            './configure "${flags[@]}" CFLAGS="-O2 -g0" CXXFLAGS="-O2 -g0"',
            "phase build",
            'make -j"$ORCH_CORES"',
            "phase install",
            'make install DESTDIR="$OUT"',
            "find \"$OUT\" -name '*.la' -delete                    # libtool's notes, which name places of this build",
        ),
    )


def _configure(prefix: str, guess: Guess) -> Parts:
    return Parts(
        kind="It has a configure script that autoconf did not make: its own --help says what it takes.",
        flags=((f"--prefix={prefix}", WHY_PREFIX),),
        script=(
            "phase configure",
            'CFLAGS="-O2 -g0" CXXFLAGS="-O2 -g0" ./configure "${flags[@]}"',
            "phase build",
            'make -j"$ORCH_CORES"',
            "phase install",
            'make install DESTDIR="$OUT"',
        ),
    )


def _cmake(prefix: str, guess: Guess) -> Parts:
    return Parts(
        kind="It has a CMakeLists.txt.",
        flags=(
            (f"-DCMAKE_INSTALL_PREFIX={prefix}", WHY_PREFIX),
            ("-DCMAKE_INSTALL_LIBDIR=lib", "not lib/x86_64-linux-gnu"),
            ("-DCMAKE_BUILD_TYPE=Release", "optimised, no debugging data"),
            ("-DBUILD_SHARED_LIBS=ON", "where the project leaves it open"),
        ),
        script=(
            "phase configure",
            'cmake -G Ninja -S . -B build-orch "${flags[@]}"',
            "phase build",
            'ninja -C build-orch -j"$ORCH_CORES"',
            "phase install",
            'DESTDIR="$OUT" ninja -C build-orch install/strip',
        ),
    )


def _meson(prefix: str, guess: Guess) -> Parts:
    return Parts(
        kind="It has a meson.build.",
        flags=(
            (f"--prefix={prefix}", WHY_PREFIX),
            ("--libdir=lib", "not lib/x86_64-linux-gnu"),
            ("--buildtype=release", "optimised, no debugging data"),
            ("--wrap-mode=nodownload", "a build has no network: what it needs is an input or a source"),
        ),
        script=(
            "phase configure",
            'meson setup build-orch "${flags[@]}"',
            "phase build",
            'ninja -C build-orch -j"$ORCH_CORES"',
            "phase install",
            'DESTDIR="$OUT" meson install -C build-orch --no-rebuild',
        ),
    )


def _make(prefix: str, guess: Guess) -> Parts:
    return Parts(
        kind="It has a Makefile and no configure script. Makefiles differ: read its install rule.",
        script=(
            f'variables=(PREFIX={prefix} prefix={prefix} CFLAGS="-O2 -g0" CXXFLAGS="-O2 -g0")',
            "phase build",
            'make -j"$ORCH_CORES" "${variables[@]}"',
            "phase install",
            'make install "${variables[@]}" DESTDIR="$OUT"',
        ),
    )


def _wheel(prefix: str, guess: Guess) -> Parts:
    place = f"{prefix}/python"
    data = [f"{comment(name)} holds more: what of it is needed is for the script to place." for name in guess.others]
    needs = [f"  {comment(need)}" for need in guess.needs[:12]]
    modules = ", ".join(guess.modules[:4])
    return Parts(
        kind="It is a wheel: built already, so it is only put in its place.",
        notes=(
            "(An image's [python] table takes wheels as they are. A recipe is for one that is changed or built upon.)",
            *data,
            *(("What it requires is for other recipes to bring, and to be named in inputs.runtime:", *needs)
              if needs else ()),
        ),
        script=("phase install", f'mkdir -p "$OUT{place}"', f'cp -R . "$OUT{place}"'),
        env=(("PYTHONPATH", place),),
        libraries=False,
        native=guess.native or not modules,
        check=((f"python3 -c 'import {modules}'",) if modules else ()),
    )  # fmt: skip


def _unknown(prefix: str, guess: Guess) -> Parts:
    listing = ", ".join(map(comment, guess.listing[:12]))
    return Parts(
        notes=(
            *((f"No build system that orch knows was found. At its top: {comment(listing)}",) if listing else ()),
            f'The script puts what it makes below $OUT under its final path, such as "$OUT{prefix}/bin/PROGRAM".',
        ),
        script=("phase build", "echo 'this script is still to be written' >&2", "exit 1"),
    )


_SYSTEMS: dict[System, Callable[[str, Guess], Parts]] = {
    "autotools": _autotools,
    "autoreconf": _autotools,
    "cmake": _cmake,
    "meson": _meson,
    "configure": _configure,
    "make": _make,
    "wheel": _wheel,
    "unknown": _unknown,
}
