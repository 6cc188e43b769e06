"""Sources of git: one commit, nothing of the user's git, the same archive everywhere, nothing left of what failed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fetch_servers import Fetcher
from git_servers import GitServer, Repository, git

from orchestrator.archive import unpack
from orchestrator.errors import MachineError, SourceError
from orchestrator.graph.derivation import Source
from orchestrator.store import add_source, list_sources, note_tree, open_store, verify_source
from orchestrator.tree import scan

FILES = {"configure": "#!/bin/sh\n", "src/a.c": "int a;\r\n", ".gitignore": "*.o\n"}
ABSENT = "0123456789" * 4


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "remote" / "lib")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    made = GitServer(tmp_path / "remote")
    yield made
    made.close()


def tree_of(directory: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(text.encode())
        (directory / name).chmod(0o644)
    return scan(directory).digest.hex


def source_of(url: str, commit: str, tree: str | None, sha256: str | None = None) -> Source:
    return Source(
        name=f"git:{url}@{commit}", file_name="lib.tar", tree=tree, sha256=sha256, unpack="lib", where="recipe.toml"
    )


def names(archive: Path, room: Path) -> set[str]:
    unpack(archive, room, file_name="lib.tar", strip=True)
    return {path.relative_to(room).as_posix() for path in room.rglob("*") if not path.is_dir()}


def test_one_commit_without_its_history(
    tmp_path: Path, repository: Repository, server: GitServer, fetcher: Fetcher
) -> None:
    """Of a branch's middle, which no branch or tag names, over HTTP as a host serves it."""
    repository.commit({"old": "gone later"})
    (repository.directory / "old").unlink()
    commit = repository.commit(FILES)
    repository.commit({"new": "came later"})
    source = source_of(f"{server.url}/lib/.git", commit, tree_of(tmp_path / "as it was", FILES))
    archive = fetcher(source)
    assert names(archive, tmp_path / "out") == set(FILES)
    assert fetcher(source) == archive
    assert len([line for line in server.asked if line.startswith("GET")]) == 1, "fetched once"
    (stored,) = list_sources(fetcher.layout)
    assert stored.names == (source.name,)
    assert not list(fetcher.layout.stage.iterdir())


def test_the_archive_is_the_same_wherever_it_is_made(tmp_path: Path, repository: Repository, fetcher: Fetcher) -> None:
    """So its sha256 can pin it as well; another clone, another time, another umask, another way to the repository."""
    commit = repository.commit(FILES)
    tree = tree_of(tmp_path / "files", FILES)
    one = fetcher(source_of(repository.url, commit, tree))
    git(tmp_path, "clone", "--quiet", "--bare", repository.url, "other.git")
    other = Fetcher(open_store(tmp_path / "other store"), _made(tmp_path / "elsewhere"))
    two = other(source_of(f"file://{tmp_path}/other.git", commit, tree=None, sha256=one.name))
    assert two.name == one.name
    assert two.read_bytes() == one.read_bytes()


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def test_files_come_as_they_are_stored(tmp_path: Path, repository: Repository, fetcher: Fetcher) -> None:
    """Nothing is left out or rewritten by what the repository says of its own files."""
    files = FILES | {
        ".gitattributes": "tests export-ignore\nversion export-subst\n*.txt text eol=crlf\n*.id ident\n",
        "tests/one": "x\n",
        "version": "$Format:%H$\n",
        "a.txt": "one\ntwo\n",
        "b.id": "$Id$\n",
    }
    commit = repository.commit(files)
    archive = fetcher(source_of(repository.url, commit, tree_of(tmp_path / "files", files)))
    assert names(archive, tmp_path / "out") == set(files)


def test_a_submodule_is_an_empty_directory(tmp_path: Path, repository: Repository, fetcher: Fetcher) -> None:
    part = Repository(tmp_path / "remote" / "part")
    part.commit({"inside": "x"})
    repository.commit(FILES)
    git(repository.directory, "submodule", "--quiet", "add", part.url, "part")
    commit = repository.commit({})
    text = (repository.directory / ".gitmodules").read_text()
    tree_of(tmp_path / "files", FILES | {".gitmodules": text})
    (tmp_path / "files/part").mkdir()
    archive = fetcher(source_of(repository.url, commit, scan(tmp_path / "files").digest.hex))
    assert names(archive, tmp_path / "out") == {*FILES, ".gitmodules"}


def test_nothing_of_the_users_git_counts(
    tmp_path: Path, repository: Repository, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No configuration that rewrites addresses, no template with hooks, no environment."""
    commit = repository.commit(FILES)
    home, ran = tmp_path / "home", tmp_path / "ran"
    hook = home / "template/hooks/reference-transaction"
    hook.parent.mkdir(parents=True)
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[init]\n templateDir = {home}/template\n[core]\n hooksPath = {home}/template/hooks\n autocrlf = true\n"
        f'[url "file:///nowhere"]\n insteadOf = {repository.url}\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "not mine"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "url.file:///nowhere.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", repository.url)
    fetcher(source_of(repository.url, commit, tree_of(tmp_path / "files", FILES)))
    assert not ran.exists()


@pytest.mark.parametrize(
    ("where", "why"), [("lib", "not our ref"), ("nobody", "does not appear to be a git repository")]
)
def test_what_is_not_there_leaves_nothing(
    tmp_path: Path, repository: Repository, fetcher: Fetcher, where: str, why: str
) -> None:
    repository.commit(FILES)
    with pytest.raises(MachineError) as raised:
        fetcher(source_of(f"file://{tmp_path}/remote/{where}", ABSENT, "ab" * 32))
    error = raised.value
    assert error.what == f"cannot fetch lib.tar, blake3:{'ab' * 32}"
    assert why in error.why
    assert error.hint.endswith(f"orch source add lib.tar, made by git archive --prefix=lib/ -o lib.tar {ABSENT}")
    assert fetcher.kept() == []
    assert not list(fetcher.layout.stage.iterdir())


def test_a_repository_that_is_cut_off_leaves_nothing(tmp_path: Path, repository: Repository, fetcher: Fetcher) -> None:
    commit = repository.commit(FILES)
    for pack in (repository.directory / ".git/objects").glob("??"):
        if pack.name != commit[:2]:
            shutil.rmtree(pack)
    with pytest.raises(MachineError, match=r"cannot fetch lib\.tar"):
        fetcher(source_of(repository.url, commit, tree_of(tmp_path / "files", FILES)))
    assert fetcher.kept() == []
    assert not list(fetcher.layout.stage.iterdir())


def test_something_that_is_no_commit(tmp_path: Path, repository: Repository, fetcher: Fetcher) -> None:
    repository.commit(FILES)
    tree = git(repository.directory, "rev-parse", "HEAD^{tree}")
    with pytest.raises(MachineError) as raised:
        fetcher(source_of(repository.url, tree, "ab" * 32))
    assert f"{tree} is a tree there, not a commit" in raised.value.why


def test_another_tree_than_the_pinned_one(tmp_path: Path, repository: Repository, fetcher: Fetcher) -> None:
    commit = repository.commit(FILES)
    right = tree_of(tmp_path / "files", FILES)
    with pytest.raises(SourceError) as raised:
        fetcher(source_of(repository.url, commit, "ab" * 32))
    assert raised.value.why == (
        f"expected a tree of blake3:{'ab' * 32}, got blake3:{right}, from {repository.url} at {commit}; "
        f"{repository.url} (from the source's name)"
    )
    assert fetcher.kept() == []


def test_a_host_cannot_lead_to_a_file(repository: Repository, server: GitServer, fetcher: Fetcher) -> None:
    """A redirect to another scheme is not followed: what answers is not what was named."""
    commit = repository.commit(FILES)
    server.redirect = repository.url
    with pytest.raises(MachineError, match=r"cannot fetch lib\.tar"):
        fetcher(source_of(f"{server.url}/lib/.git", commit, "ab" * 32))


def test_a_link_out_of_the_source_is_refused(tmp_path: Path, repository: Repository, fetcher: Fetcher) -> None:
    (repository.directory / "out").symlink_to("../../etc/passwd")
    commit = repository.commit(FILES)
    with pytest.raises(SourceError) as raised:
        fetcher(source_of(repository.url, commit, "ab" * 32))
    assert f"{repository.url} at {commit}" in raised.value.where
    assert fetcher.kept() == []


def test_being_stopped(repository: Repository, fetcher: Fetcher) -> None:
    commit = repository.commit(FILES)
    fetcher.stopped = True
    with pytest.raises(KeyboardInterrupt):
        fetcher(source_of(repository.url, commit, "ab" * 32))
    assert not list(fetcher.layout.stage.iterdir())


def test_another_archive_of_the_same_tree_is_as_good(tmp_path: Path, fetcher: Fetcher) -> None:
    """What somebody packed by hand; and once that is damaged and put aside, it is wanted again."""
    tree = tree_of(tmp_path / "files", FILES)
    archive = shutil.make_archive(str(tmp_path / "by-hand"), "gztar", tmp_path, "files")
    from orchestrator.digest import sha256_file

    sha256 = sha256_file(Path(archive)).hex
    add_source(fetcher.layout, Path(archive), sha256=sha256, names=("x",))
    note_tree(fetcher.layout, tree, sha256)
    assert fetcher(source_of("https://example.invalid/lib", ABSENT, tree)).name == sha256
    assert verify_source(fetcher.layout, sha256)
    (fetcher.layout.sources / sha256).unlink()
    with pytest.raises(MachineError, match="cannot fetch"):
        fetcher(source_of("file:///nowhere/lib", ABSENT, tree))
