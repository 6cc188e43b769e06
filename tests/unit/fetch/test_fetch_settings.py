"""What pip's and apt's settings say on sample machines, and which place is asked then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.fetch import Machine, Mirrors, parse_name
from orchestrator.fetch import settings as room
from orchestrator.fetch.places import local_candidates, places_of
from orchestrator.fetch.settings import Place, apt_archives, certificates, pip_indexes


@pytest.fixture(autouse=True)
def _default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_pip_default_index", lambda: "https://default.invalid/simple")


def machine(tmp_path: Path, files: dict[str, str] | None = None, **environment: str) -> Machine:
    for name, text in (files or {}).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Machine(environment=environment, root=tmp_path, prefix=tmp_path / "venv")


def indexes(made: Machine) -> list[str]:
    return [place.address for place in pip_indexes(made)]


def test_without_settings_pips_own_default_holds(tmp_path: Path) -> None:
    assert pip_indexes(machine(tmp_path)) == (Place("https://default.invalid/simple", "pip's default index"),)


def test_extra_indexes_come_after_the_default(tmp_path: Path) -> None:
    made = machine(
        tmp_path, {"etc/pip.conf": "[global]\nextra-index-url =\n  https://a.invalid/\n  https://b.invalid/\n"}
    )
    assert indexes(made) == ["https://default.invalid/simple", "https://a.invalid/", "https://b.invalid/"]
    assert pip_indexes(made)[1].said_by == str(tmp_path / "etc/pip.conf")


def test_later_files_and_the_environment_win(tmp_path: Path) -> None:
    def conf(name: str) -> str:
        return f"[global]\nindex-url = https://{name}.invalid/\n"

    files = {"etc/xdg/pip/pip.conf": conf("xdg")}
    assert indexes(machine(tmp_path, files)) == ["https://xdg.invalid/"]
    assert indexes(machine(tmp_path, {"etc/pip.conf": conf("etc")})) == ["https://etc.invalid/"]
    home = str(tmp_path / "home")
    assert indexes(machine(tmp_path, {"home/.pip/pip.conf": conf("old")}, HOME=home)) == ["https://old.invalid/"]
    assert indexes(machine(tmp_path, {"home/.config/pip/pip.conf": conf("user")}, HOME=home)) == [
        "https://user.invalid/"
    ]
    assert indexes(machine(tmp_path, {"venv/pip.conf": conf("site")}, HOME=home)) == ["https://site.invalid/"]
    named = str(tmp_path / "named")
    made = machine(tmp_path, {"named": conf("named")}, HOME=home, PIP_CONFIG_FILE=named)
    assert indexes(made) == ["https://named.invalid/"]
    made = machine(tmp_path, HOME=home, PIP_CONFIG_FILE=named, PIP_INDEX_URL="https://variable.invalid/")
    assert pip_indexes(made) == (Place("https://variable.invalid/", "PIP_INDEX_URL"),)
    assert indexes(machine(tmp_path, HOME=home, PIP_CONFIG_FILE=os.devnull)) == ["https://default.invalid/simple"]


def test_the_install_section_wins_and_other_sections_do_not_count(tmp_path: Path) -> None:
    text = "[global]\nindex_url = https://g.invalid/\n[install]\nindex-url=https://i.invalid/\n[list]\nindex-url=https://l.invalid/\n"
    assert indexes(machine(tmp_path, {"etc/pip.conf": text})) == ["https://i.invalid/"]


@pytest.mark.parametrize("text", ["not a config", "[global\n", "\udcff", "[global]\nno-index = true\n"])
def test_a_broken_or_forbidding_config_names_no_index_of_its_own(tmp_path: Path, text: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/pip.conf").write_text(text, errors="surrogateescape")
    assert len(pip_indexes(machine(tmp_path))) == ("no-index" not in text)


def test_the_default_index_is_asked_of_pip_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    pytest.importorskip("pip")
    assert room._pip_default_index().startswith("https://")
    monkeypatch.setitem(__import__("sys").modules, "pip._internal.models.index", None)
    assert room._pip_default_index() == ""


def test_the_certificate_bundle(tmp_path: Path) -> None:
    variables = {"SSL_CERT_FILE": "/ssl", "REQUESTS_CA_BUNDLE": "/requests", "PIP_CERT": "/pip"}
    assert certificates(machine(tmp_path, None, **variables)) == "/pip"
    del variables["PIP_CERT"]
    assert certificates(machine(tmp_path, None, **variables)) == "/requests"
    assert certificates(machine(tmp_path, {"etc/pip.conf": "[global]\ncert = /conf\n"}, **variables)) == "/conf"


ONE_LINE = """
# deb http://commented.invalid/debian bookworm main
deb http://one.invalid/debian bookworm main contrib  # the archive
deb [arch=amd64 signed-by=/x.gpg] https://two.invalid/debian-security bookworm-security main
deb-src http://one.invalid/debian bookworm main
deb https://third.invalid/apt cloud-sdk-bookworm main
deb https://fourth.invalid/linux/debian bookworm stable
deb cdrom:[Debian]/ bookworm main
deb http://old.invalid/debian-security bullseye/updates main
"""
STANZAS = """Types: deb
# a comment
URIs: http://three.invalid/debian
 http://four.invalid/debian
Suites: trixie trixie-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 URIs: http://trap.invalid/
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://off.invalid/debian
Suites: trixie
Components: main

Types: deb
URIs: http://node.invalid/node_20.x
Suites: nodistro
Components: main

Types: deb
URIs: mirror+file:///etc/apt/mirrors/debian.list
Suites: stable
Components: main
"""


def test_the_debian_archives_of_apt(tmp_path: Path) -> None:
    made = machine(
        tmp_path,
        {
            "etc/apt/sources.list": ONE_LINE,
            "etc/apt/sources.list.d/debian.sources": STANZAS,
            "etc/apt/sources.list.d/a.list": "deb copy:/srv/mirror/ stable main\n",
            "etc/apt/sources.list.d/b.list.disabled": "deb http://disabled.invalid/ stable main\n",
            "etc/apt/mirrors/debian.list": "# ours\nhttps://five.invalid/debian\tpriority:1\n",
        },
    )
    assert [place.address for place in apt_archives(made)] == [
        "http://one.invalid/debian",
        "https://two.invalid/debian-security",
        "http://old.invalid/debian-security",
        "file:/srv/mirror/",
        "http://three.invalid/debian",
        "http://four.invalid/debian",
        "https://five.invalid/debian",
    ]


def test_no_apt_is_no_archive(tmp_path: Path) -> None:
    assert apt_archives(machine(tmp_path)) == ()


def test_mirrors_stand_in_for_the_machines_settings(tmp_path: Path) -> None:
    made = machine(tmp_path, {"etc/apt/sources.list": ONE_LINE})
    mirrors = Mirrors(debian=("https://mine.invalid/debian",))
    debian, pypi = parse_name("debian:pool/h.deb"), parse_name("pypi:h/h.whl")
    assert places_of(debian, mirrors, made) == (Place("https://mine.invalid/debian", "orch.toml [mirrors] debian"),)
    assert places_of(pypi, mirrors, made)[0].said_by == "pip's default index"
    beside = places_of(pypi, Mirrors(indexes=("https://vendor.invalid/",)), made)
    assert beside[:-1] == places_of(pypi, Mirrors(), made)
    assert beside[-1] == Place("https://vendor.invalid/", "python.indexes of the image")
    assert len(places_of(debian, Mirrors(), made)) == 3


def test_file_mirrors(tmp_path: Path) -> None:
    place = Place("file:///srv/a%20mirror", "orch.toml")
    debian, pypi = parse_name("debian:pool/h.deb"), parse_name("pypi:H_h/h.whl")
    assert local_candidates(debian, place, tmp_path) == (Path("/srv/a mirror/pool/h.deb"),)
    assert local_candidates(pypi, place, tmp_path) == (Path("/srv/a mirror/h-h/h.whl"), Path("/srv/a mirror/h.whl"))
    assert local_candidates(debian, Place("https://x.invalid/", ""), tmp_path) == ()
