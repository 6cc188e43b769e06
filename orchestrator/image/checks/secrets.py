"""Nothing that should stay with whoever built the image: keys, passwords, tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.image.checks.case import Case, finding, waiver
from orchestrator.image.model import Finding
from orchestrator.tree import Entry

_LARGEST = 128 * 1024  # bytes; a key or a configuration file is smaller
_FILES = frozenset({".netrc", "_netrc", ".pypirc", ".git-credentials", ".pgpass", ".vault-token"})
_ENDS = (
    ".docker/config.json",
    ".aws/credentials",
    ".config/gcloud/application_default_credentials.json",
    ".kube/config",
)
_KEY_NAME = re.compile(r"id_(rsa|dsa|ecdsa|ed25519)|.*\.(pem|key|p8|pk8)|ssh_host_.*_key")
_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")
_SETTINGS = frozenset({"pip.conf", ".npmrc", "uv.toml", ".yarnrc", "sources.list", "pip.ini", "auth.conf"})
_TOKEN = re.compile(rb"https?://[^\s/:@]*:[^\s/@$]+@|_authToken\s*=\s*[^\s$]+|(?m:^machine\s+\S+\s+login\s)")
_TESTS = frozenset({"test", "tests", "testing", "testdata", "test_data", "test-data", "fixtures", "examples"})


def find(case: Case) -> Iterator[Finding]:
    """Files that hold credentials by their name, private keys, and settings with a password in an address."""
    for entry in case.files():
        if entry.kind != "file" or not entry.size or entry.size > _LARGEST:
            continue
        what = _what(case, entry)
        if what:
            name = entry.path.rpartition("/")[2]
            hint = f'leave it out: [[drop]] path = "/{entry.path}", component = "{case.owner(entry.path)}", '
            hint += f'reason = "..."; if it is no secret, let it pass: {waiver("secrets", entry.path, name)}'
            yield finding("secrets", entry.path, name, what, hint)


def _what(case: Case, entry: Entry) -> str:
    directory, _, name = entry.path.rpartition("/")
    if _TESTS.intersection(directory.split("/")):
        return ""
    if name in _FILES or entry.path.endswith(_ENDS):
        return f"{name} is where credentials are kept"
    if _KEY_NAME.fullmatch(name) and _KEY.search(case.subject.read(entry.path)):
        return f"{name} holds a private key"
    if name in _SETTINGS and _TOKEN.search(case.subject.read(entry.path)):
        return f"{name} holds a password or a token"
    return ""
