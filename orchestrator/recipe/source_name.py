"""What the text of a source says of its file. Pure; whether the text is right is told in check.py."""

from __future__ import annotations


def file_name(source: str) -> str:
    """The name of the file that a source is; of a commit that of the archive which it becomes."""
    scheme, _, rest = source.partition(":")
    if scheme == "git":
        repository = rest.rpartition("@")[0].rpartition("/")[2].removesuffix(".git")
        return f"{repository}.tar" if repository else ""
    path = rest
    if scheme in ("https", "http"):
        from urllib.parse import unquote, urlsplit

        try:
            path = unquote(urlsplit(source).path)
        except ValueError:  # no address at all: `https://[/x`
            return ""
    return path.rpartition("/")[2]
