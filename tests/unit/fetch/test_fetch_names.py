"""Names of sources: what is understood, and what every other text is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import RecipeError
from orchestrator.fetch import parse_name
from orchestrator.fetch.url import DebianName, GitName, LocalName, PypiName, WebName, without_secrets

COMMIT = "0123456789" * 4


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("pypi:nixl_cu12/nixl_cu12-1.4.1.whl", PypiName("nixl-cu12", "nixl_cu12-1.4.1.whl")),
        ("pypi:Zope.Interface/z.tar.gz", PypiName("zope-interface", "z.tar.gz")),
        ("debian:pool/main/h/hello/hello_1%3a2+b~1.deb", DebianName("pool/main/h/hello/hello_1%3a2+b~1.deb")),
        ("https://example.org/a/b.tar.gz?x=1", WebName("https://example.org/a/b.tar.gz?x=1")),
        ("http://127.0.0.1:8000/b", WebName("http://127.0.0.1:8000/b")),
        ("http://[::1]/b", WebName("http://[::1]/b")),
        ("http://localhost/b", WebName("http://localhost/b")),
        (f"git:https://example.org/a/b.git@{COMMIT}", GitName("https://example.org/a/b.git", COMMIT)),
        (f"git:http://127.0.0.1:8000/b@{COMMIT}", GitName("http://127.0.0.1:8000/b", COMMIT)),
        (f"git:file:///srv/a@b@{COMMIT}", GitName("file:///srv/a@b", COMMIT)),
        ("file:some file.tar", LocalName("some file.tar")),
        ("file:/absolute/../f", LocalName("/absolute/../f")),
    ],
)
def test_names(text: str, name: object) -> None:
    assert parse_name(text) == name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hello.tar.gz", "it has no scheme"),
        ("ftp://example.org/f", "its scheme 'ftp' is unknown"),
        (
            "git:https://example.org/r@0123",
            "after @ it has no full commit of 40 hex digits; a branch or a tag can move",
        ),
        (
            "git:https://example.org/r@main",
            "after @ it has no full commit of 40 hex digits; a branch or a tag can move",
        ),
        ("git:https://example.org/r", "after @ it has no full commit of 40 hex digits; a branch or a tag can move"),
        (
            f"git:ssh://git@example.org/r@{COMMIT}",
            "git:https://HOST/PATH@COMMIT is fetched, and git:file:///PATH@COMMIT",
        ),
        (f"git:ext::sh -c evil@{COMMIT}", "it holds white space or a control character"),
        (f"git:http://example.org/r@{COMMIT}", "http:// is for this machine's own addresses only; use https://"),
        (
            f"git:https://me:secret@example.org/r@{COMMIT}",
            "it holds a user name or password; a recipe is public, netrc is not",
        ),
        (f"git:https://example.org/r?x=1@{COMMIT}", "it has a query (?...)"),
        (f"git:file://r@{COMMIT}", "it names no repository of this machine"),
        (f"git:file://host/r@{COMMIT}", "it names no repository of this machine"),
        ("oci:example.org/i@sha256:00", "oci: is reserved, but nothing here fetches it yet"),
        ("pypi:project", "'' is not a file's name"),
        ("pypi:-x/file", "'-x' is not a project's name"),
        ("pypi:x/a/b", "'a/b' is not a file's name"),
        ("pypi:x/..", "'..' is not a file's name"),
        ("debian:hello.deb", "its path is not one below the archive's top, such as pool/main/h/hello/hello_1.deb"),
        ("debian:pool/../x", "its path is not one below the archive's top, such as pool/main/h/hello/hello_1.deb"),
        ("debian:/pool/x", "its path is not one below the archive's top, such as pool/main/h/hello/hello_1.deb"),
        ("https:///f", "it names no host or no file"),
        ("https://example.org/", "it names no host or no file"),
        ("https://example.org/f#x", "it has a fragment (#...)"),
        ("https://u:p@example.org/f", "it holds a user name or password; a recipe is public, netrc is not"),
        ("http://example.org/f", "http:// is for this machine's own addresses only; use https://"),
        ("http://127.0.0.1.example.org/f", "http:// is for this machine's own addresses only; use https://"),
        ("https://exa mple.org/f", "it holds white space or a control character"),
        ("https://[::1/f", "Invalid IPv6 URL"),
        ("file:", "it names no file"),
        ("file:../f", "its path leaves the recipe's directory"),
        ("file:a\0b", "it holds a NUL character"),
    ],
)
def test_other_texts_are_refused(text: str, why: str) -> None:
    with pytest.raises(RecipeError) as raised:
        parse_name(text, where="recipe.toml: sources[0].from")
    assert (raised.value.what, raised.value.why) == (f"not a source's name: {text!r}", why)
    assert raised.value.where == "recipe.toml: sources[0].from"
    assert "pypi:PROJECT/FILE" in raised.value.hint


@given(
    st.one_of(
        st.text(), st.tuples(st.sampled_from(["pypi", "debian", "https", "http", "file"]), st.text()).map(":".join)
    )
)
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        name = parse_name(text)
    except RecipeError:
        return
    if isinstance(name, DebianName):
        assert ".." not in name.path.split("/")
    if isinstance(name, PypiName):
        assert "/" not in name.project + name.file_name
    if isinstance(name, LocalName):
        assert name.path.startswith("/") or ".." not in name.path.split("/")


def test_secrets_are_not_shown() -> None:
    assert without_secrets("https://me:secret@example.org:8443/a?token=x#y") == "https://example.org:8443/a"
