"""A wheel becomes a tree: what goes where, the same bytes whatever surrounds it, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import stat
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.build.wheel import Installed, install_wheel
from orchestrator.errors import MachineError, SourceError
from orchestrator.tree import Manifest, scan

PREFIX = "/opt/dynamo/venv"
SITE = "opt/dynamo/venv/lib/python3.11/site-packages"
FILE_NAME = "demo-1.0-py3-none-any.whl"
INFO = "demo-1.0.dist-info"
METADATA = {
    f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
    f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}


def row(name: str, content: bytes, algorithm: str = "sha256") -> str:
    value = base64.urlsafe_b64encode(hashlib.new(algorithm, content).digest()).decode().rstrip("=")
    return f"{name},{algorithm}={value},{len(content)}"


def record_of(files: Mapping[str, bytes]) -> str:
    return "\n".join([*(row(name, content) for name, content in files.items()), f"{INFO}/RECORD,,"])


def wheel(
    files: Mapping[str, bytes],
    *,
    record: str | None = None,
    modes: Mapping[str, int] | None = None,
    metadata: Mapping[str, bytes] = METADATA,
) -> bytes:
    """A wheel named demo with the metadata that it needs; `record` in place of the true RECORD."""
    content = {**files, **metadata}
    text = record_of(content) if record is None else record
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**content, f"{INFO}/RECORD": text.encode()}.items():
            info = zipfile.ZipInfo(name, date_time=(2020, 2, 2, 2, 2, 2))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = ((modes or {}).get(name, stat.S_IFREG | 0o664)) << 16
            archive.writestr(info, data)
    return buffer.getvalue()


def installed(
    tmp_path: Path, data: bytes, *, file_name: str = FILE_NAME, threads: int = 2, out: str = "out"
) -> tuple[Path, Installed]:
    file = tmp_path / "aabbcc"  # as in a store
    file.write_bytes(data)
    target = tmp_path / out
    target.mkdir()
    return target, install_wheel(file, target, file_name=file_name, prefix=PREFIX, python="3.11", threads=threads)


def refusal(tmp_path: Path, data: bytes, *, file_name: str = FILE_NAME) -> str:
    """What and why of the error for a wheel that is refused; nothing was written beside the destination."""
    before = set(tmp_path.iterdir())
    with pytest.raises(SourceError) as caught:
        installed(tmp_path, data, file_name=file_name)
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "aabbcc", tmp_path / "out"}
    assert file_name in caught.value.what
    assert caught.value.hint
    return f"{caught.value.what}: {caught.value.why}"


FULL = {
    "demo/__init__.py": b"answer = 42\n",
    "demo/lib.so": b"\x7fELF" + b"x" * 3000,
    "demo/__pycache__/__init__.cpython-311.pyc": b"old",
    "demo_start.pth": b"import demo\n",
    f"{INFO}/entry_points.txt": b"[console_scripts]\ndemo-run = demo.cli:main [extra]\n[other]\nx = y\n",
    f"{INFO}/INSTALLER": b"conda",
    "demo-1.0.data/scripts/demo-sh": b"#!/bin/sh\ntrue\n",
    "demo-1.0.data/scripts/demo-py": b"#!python -u\nprint(1)\n",
    "demo-1.0.data/data/share/demo/data.txt": b"data\n",
    "demo-1.0.data/headers/demo.h": b"int demo;\n",
    "demo-1.0.data/platlib/demo/extra.py": b"more = 1\n",
}


def test_everything_lands_where_pip_puts_it(tmp_path: Path) -> None:
    modes = {"demo/lib.so": stat.S_IFREG | 0o755}
    out, said = installed(tmp_path, wheel(FULL, modes=modes))
    venv = out / "opt/dynamo/venv"
    found = {str(path.relative_to(venv)) for path in venv.rglob("*") if path.is_file()}
    site = "lib/python3.11/site-packages"
    assert found == {
        "bin/demo-py",
        "bin/demo-run",
        "bin/demo-sh",
        "include/site/python3.11/demo/demo.h",
        "share/demo/data.txt",
        *(f"{site}/{INFO}/{name}" for name in ("INSTALLER", "METADATA", "RECORD", "WHEEL", "entry_points.txt")),
        *(f"{site}/{name}" for name in ("demo/__init__.py", "demo/extra.py", "demo/lib.so", "demo_start.pth")),
    }
    assert said.startup == ("demo_start.pth",)
    assert said.files == len(found)
    assert said.size == sum((venv / name).stat().st_size for name in found)
    assert (out / SITE / INFO / "INSTALLER").read_text() == "orch"
    assert (venv / "bin/demo-py").read_text() == "#!/opt/dynamo/venv/bin/python\nprint(1)\n"
    assert (venv / "bin/demo-sh").read_text() == "#!/bin/sh\ntrue\n"
    run = (venv / "bin/demo-run").read_text()
    assert run.startswith("#!/opt/dynamo/venv/bin/python\n")
    assert "from demo.cli import main" in run


def test_modes_and_times_are_normal_and_record_is_true(tmp_path: Path) -> None:
    modes = {"demo/lib.so": stat.S_IFREG | 0o777, "demo/__init__.py": stat.S_IFREG | 0o600}
    out, _ = installed(tmp_path, wheel(FULL, modes=modes))
    executable = {"demo-py", "demo-run", "demo-sh", "lib.so"}
    for path in out.rglob("*"):
        facts = path.stat()
        wanted = 0o755 if path.is_dir() or path.name in executable else 0o644
        assert stat.S_IMODE(facts.st_mode) == wanted, path
        assert facts.st_mtime == 315532800, path
    rows = (out / SITE / INFO / "RECORD").read_text().splitlines()
    assert f"{INFO}/RECORD,," in rows
    listed = {line.split(",")[0]: line for line in rows}
    for name, line in listed.items():
        if name != f"{INFO}/RECORD":
            assert line == row(name, (out / SITE / name).read_bytes())
    assert {os.path.normpath(f"{SITE}/{name}") for name in listed} == {
        str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()
    }


@settings(max_examples=15, deadline=None)
@given(
    umask=st.sampled_from([0o000, 0o022, 0o077, 0o027]),
    threads=st.integers(1, 4),
    contents=st.dictionaries(
        st.from_regex(r"[a-c]{1,3}(/[a-c]{1,2}){0,2}\.txt", fullmatch=True), st.binary(max_size=3000), max_size=12
    ),
)
def test_the_tree_depends_on_the_wheel_alone(
    tmp_path_factory: pytest.TempPathFactory, umask: int, threads: int, contents: dict[str, bytes]
) -> None:
    data = wheel({**FULL, **contents})

    def tree(umask: int, threads: int) -> tuple[Manifest, dict[str, int]]:
        directory = tmp_path_factory.mktemp("tree")
        before = os.umask(umask)
        try:
            out, _ = installed(directory, data, threads=threads)
        finally:
            os.umask(before)
        return scan(out), {str(p.relative_to(out)): p.stat().st_mtime_ns for p in out.rglob("*")}

    assert tree(umask, threads) == tree(0o022, 1)


def test_a_big_file_goes_through_whole(tmp_path: Path) -> None:
    content = os.urandom(1 << 20) * 3 + b"end"
    out, _ = installed(tmp_path, wheel({"demo/big.bin": content, "demo/small": b""}))
    assert (out / SITE / "demo/big.bin").read_bytes() == content
    assert (out / SITE / "demo/small").read_bytes() == b""


def test_the_name_in_dist_info_may_be_spelled_otherwise(tmp_path: Path) -> None:
    files = {"x.py": b"", "My.Demo-1.0.data/scripts/tool": b"#!python\n"}
    info = "My.Demo-1.0.dist-info"
    metadata = {name.replace(INFO, info): data for name, data in METADATA.items()}
    content = {**files, **metadata}
    record = "\n".join([*(row(n, c) for n, c in content.items()), f"{info}/RECORD,,"]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in {**content, f"{info}/RECORD": record}.items():
            archive.writestr(name, data)
    out, _ = installed(tmp_path, buffer.getvalue(), file_name="my_demo-1.0-py3-none-any.whl")
    assert (out / "opt/dynamo/venv/bin/tool").read_text() == "#!/opt/dynamo/venv/bin/python\n"


# -- what is refused --------------------------------------------------------------------------------------------------

INIT = b"answer = 42\n"
GOOD = {"demo/__init__.py": INIT}
TRUE = record_of({**GOOD, **METADATA})
ROW = row("demo/__init__.py", INIT)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (TRUE.replace(ROW, row("demo/__init__.py", b"answer = 43\n")), "its sha256"),
        (TRUE.replace(",12\n", ",13\n"), "13 according to the wheel's RECORD"),
        (TRUE.replace(ROW + "\n", ""), "gives no hash"),
        (TRUE.replace(ROW, "demo/__init__.py,,"), "gives no hash"),
        (TRUE + "\n" + row("demo/__init__.py", b"other"), "lists it twice"),
        (TRUE + "\n" + row("demo/gone.py", b""), "has no such file"),
        (TRUE.replace(ROW, row("demo/__init__.py", INIT, "md5")), "md5"),
        ("one,two", "cannot read it"),
        (TRUE.replace("sha256=", "nothing"), "cannot read it"),
    ],
    ids=["hash", "size", "unlisted", "unhashed", "twice", "gone", "md5", "columns", "format"],
)
def test_a_record_that_lies(tmp_path: Path, record: str, said: str) -> None:
    assert record != TRUE
    assert said in refusal(tmp_path, wheel(GOOD, record=record))


@pytest.mark.parametrize(
    ("files", "modes", "said"),
    [
        ({"../evil.py": b""}, {}, "'..'"),
        ({"/etc/evil": b""}, {}, "absolute"),
        ({"demo-1.0.data/data/../../../evil": b""}, {}, "'..'"),
        ({"./demo/x.py": b""}, {}, "not written plainly"),
        ({"demo//x.py": b""}, {}, "not written plainly"),
        ({"demo/link": b"/etc/passwd"}, {"demo/link": stat.S_IFLNK | 0o777}, "symbolic link"),
        ({"demo/link": b"other"}, {"demo/link": stat.S_IFLNK | 0o777}, "symbolic link"),
        ({"demo/su": b""}, {"demo/su": stat.S_IFREG | stat.S_ISUID | 0o755}, "setuid"),
        ({"demo/fifo": b""}, {"demo/fifo": stat.S_IFIFO | 0o644}, "neither file"),
        ({"demo": b"", "demo/x.py": b""}, {}, "is a file of the same wheel"),
        ({"demo/x": bytes(1 << 20), "demo/x/y": b""}, {}, "is a file of the same wheel"),
        ({"demo/x": b"", "demo-1.0.data/purelib/demo": b"-"}, {}, "is a file of the same wheel"),
        ({"demo/x": b"", "zz-1.0/../demo": b""}, {}, "'..'"),
        ({"demo/x.py": b"1", "demo-1.0.data/platlib/demo/x.py": b"2"}, {}, "two of its entries"),
        ({"demo-1.0.data/elsewhere/x": b""}, {}, "is in none of"),
        ({"demo-1.0.data/scripts": b""}, {}, "is in none of"),
        ({"demo-1.0.data": b""}, {}, "is in none of"),
        ({f"{INFO}/entry_points.txt": b"[console_scripts]\n../../evil = demo:main\n"}, {}, "names a script"),
        ({f"{INFO}/entry_points.txt": b"[console_scripts]\nx = demo; import os\n"}, {}, "its metadata is malformed"),
        ({f"{INFO}/entry_points.txt": b"no section\n"}, {}, "cannot read it"),
        ({"other-2.dist-info/METADATA": b""}, {}, "cannot read it"),
    ],
)
def test_what_a_wheel_may_not_hold(tmp_path: Path, files: dict[str, bytes], modes: dict[str, int], said: str) -> None:
    assert said in refusal(tmp_path, wheel(files, modes=modes))


def test_two_entries_with_one_name(tmp_path: Path) -> None:
    buffer = io.BytesIO(wheel(GOOD))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("demo/__init__.py", b"answer = 43\n")
    assert "another entry has the same name" in refusal(tmp_path, buffer.getvalue())


def test_an_encrypted_entry(tmp_path: Path) -> None:
    data = bytearray(wheel(GOOD))
    data[data.index(b"PK\1\2") + 8] |= 1
    assert "encrypted" in refusal(tmp_path, bytes(data))


def test_a_bomb(tmp_path: Path) -> None:
    assert "more than 400 times" in refusal(tmp_path, wheel({"demo/zeros": bytes(65 << 20)}))


def test_a_damaged_entry(tmp_path: Path) -> None:
    data = bytearray(wheel({"demo/data": os.urandom(5000)}))
    data[data.index(b"demo/data") + 2000] ^= 0xFF
    assert "demo-1.0" in refusal(tmp_path, bytes(data))


@pytest.mark.parametrize("missing", ["WHEEL", "RECORD"])
def test_metadata_that_is_missing(tmp_path: Path, missing: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel(GOOD))) as whole, zipfile.ZipFile(buffer, "w") as archive:
        for name in whole.namelist():
            if name != f"{INFO}/{missing}":
                archive.writestr(name, whole.read(name))
    assert "cannot read it" in refusal(tmp_path, buffer.getvalue())


def test_a_wheel_of_another_name(tmp_path: Path) -> None:
    assert "doesn't match" in refusal(tmp_path, wheel(GOOD), file_name="else-1.0-py3-none-any.whl")
    again = tmp_path / "again"
    again.mkdir()
    assert "cannot read it" in refusal(again, wheel(GOOD), file_name="x.whl")


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_damaged_wheel_is_an_error_or_the_same(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = wheel(FULL)
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    directory = tmp_path_factory.mktemp("fuzz")
    try:
        out, _ = installed(directory, bytes(broken))
    except SourceError:
        assert {path.name for path in directory.iterdir()} <= {"aabbcc", "out"}
        return
    assert {path.parts[0] for path in (p.relative_to(out) for p in out.rglob("*"))} <= {"opt"}


def test_it_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(wheel(FULL))
    (tmp_path / "out").mkdir()
    with pytest.raises(KeyboardInterrupt):
        install_wheel(
            tmp_path / "w", tmp_path / "out", file_name=FILE_NAME, prefix=PREFIX, python="3.11", stopped=lambda: True
        )


def test_a_disk_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1 << 20})())
    with pytest.raises(MachineError, match="not enough disk space"):
        installed(tmp_path, wheel(FULL))


def test_the_clock_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = installed(tmp_path, wheel(FULL), out="first")
    monkeypatch.setattr(time, "time", lambda: 4e9)
    second, _ = installed(tmp_path, wheel(FULL), out="second")
    assert scan(first) == scan(second)
