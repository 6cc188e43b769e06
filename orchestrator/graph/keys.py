"""The documents that keys are hashes of. Each field is there for a reason, said beside it; a golden test pins each.

Deliberately in no derivation key, since the build cannot see it: summary, licence, homepage; sizes of sources, where
they lie and what they are called in full; mirrors; the origin; other versions, and options that the version does not
read; runtime inputs, the runtime environment and loader paths; checks and their inputs; `requires`, `brings`,
`provides`; the goals; where files lie on this machine; reasons and comments; the release of orch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.digest import Digest, blake3_bytes, canonical_field, canonical_json
from orchestrator.graph.closure import check_mounts, closure_key
from orchestrator.graph.derivation import Graph, LocalFile, Node, Source
from orchestrator.graph.explain import explain

__all__ = ["KeyForm", "check_document", "closure_key", "derivation_document", "derivation_keys", "explain", "key_form"]

SCHEMA = 1  # of the documents here: raised when a field comes, goes or changes its meaning
# What a build sees (sandbox.spec.SANDBOX_SCHEMA, a room above this one; a test holds the two together).
SANDBOX_SCHEMA = 1


def _source(source: Source) -> dict[str, Any]:
    pin = {"tree": source.tree} if source.sha256 is None else {"sha256": source.sha256}
    return {**pin, "file_name": source.file_name, "unpack": source.unpack}


def _files(files: Sequence[LocalFile]) -> list[dict[str, Any]]:
    return [{"name": file.name, "sha256": file.sha256, "executable": file.executable} for file in files]


def derivation_document(node: Node, inputs: Mapping[str, Digest]) -> dict[str, Any]:
    """What is hashed for `node`: all that is declared and can change its output's bytes.

    `inputs` maps every name in `node.build` to that node's derivation key (for the derivation key) or to the digest of
    its output (for the build key): the same document with another value.
    """
    return _declared(node, {name: str(inputs[name]) for name in node.build})


def _declared(node: Node, inputs: dict[str, str]) -> dict[str, Any]:
    return {
        # So that a document of another form is never taken for this one.
        "schema": SCHEMA,
        # So that a check's or closure's document never has a derivation's key.
        "kind": "derivation",
        # Sources unpack into a directory of this name, and a message in an output may hold it.
        "name": node.name,
        # The script sees it as $version.
        "version": node.version,
        # The same script makes other bytes on another processor.
        "platform": node.platform,
        # Says by which of the project's own procedures the output is made.
        "builder": node.builder,
        # What every build sees without declaring it: prelude, environment, mounts, user.
        "sandbox": SANDBOX_SCHEMA,
        # The content that is built, where it is unpacked and under which file name it is seen; the first is the start.
        "sources": [_source(source) for source in node.sources],
        # Applied in this order, from files of these names in /build.
        "patches": _files(node.patches),
        # Put into /build under these names; their order is no matter.
        "files": _files(sorted(node.files, key=lambda file: file.name)),
        # The script sees those that it reads as ${option[NAME]}.
        "options": dict(node.options),
        # The script sees them, in this order, as ${flags[@]}.
        "flags": list(node.flags),
        # What is run.
        "script": node.script,
        # Everything mounted, by what it is; the order follows from the names and what they are.
        "inputs": inputs,
        # Paths that keep a mode bit that is cleared elsewhere; why they do is not in it.
        "setuid": sorted(setuid.path for setuid in node.setuid),
    }


class KeyForm:
    """The derivation document of one node as the bytes around its inputs, for keys of several sets of inputs.

    `key` is `key_of(derivation_document(node, inputs))` in a tenth of the time, where scripts are short.
    """

    __slots__ = ("_after", "_before", "_inputs")

    def __init__(self, node: Node) -> None:
        # No string holds this: within one, a quotation mark has a backslash before it. No other field is an empty table
        # of this name: the values of options are strings.
        self._before, mark, self._after = canonical_json(_declared(node, {})).partition(b',"inputs":{}')
        assert mark
        self._before += b',"inputs":{'
        self._after = b"}" + self._after
        self._inputs = [(name, canonical_field(name)) for name in sorted(node.build)]

    def key(self, inputs: Mapping[str, str]) -> Digest:
        """The key with these inputs, each a digest as text; there may be more of them than the node has."""
        mine = ",".join([f'{field}"{inputs[name]}"' for name, field in self._inputs])
        return blake3_bytes(self._before + mine.encode() + self._after)


def key_form(graph: Graph, name: str) -> KeyForm:
    """The form of the node `name`, made once."""
    form = graph.known_forms.get(name)
    if form is None:
        form = graph.known_forms[name] = KeyForm(graph[name])
    return form


def derivation_keys(graph: Graph) -> dict[str, Digest]:
    """The derivation key of every node, by name."""
    if not graph.known_keys:
        texts: dict[str, str] = {}
        for name in graph.names:  # dependencies come first
            key = graph.known_keys[name] = key_form(graph, name).key(texts)
            texts[name] = str(key)
    return graph.known_keys


def check_document(graph: Graph, node: Node, output: Digest, others: Mapping[str, Digest]) -> dict[str, Any]:
    """What is hashed for the check of `node`. `others` maps what else is mounted (`check_mounts`) to output digests."""
    assert node.check is not None
    owners = [graph[name] for name in (node.name, *node.runtime)]
    return {
        "schema": SCHEMA,
        "kind": "check",
        # A check of the same bytes under another name is another answer.
        "name": node.name,
        "platform": node.platform,
        "sandbox": SANDBOX_SCHEMA,
        # What is checked.
        "output": str(output),
        # What it runs with: its runtime closure and the check's own inputs.
        "closure": {name: str(others[name]) for name in check_mounts(graph, node) if name != node.name},
        # What is run, with which files.
        "script": node.check.script,
        "files": _files(sorted(node.check.files, key=lambda file: file.name)),
        # The check's script sees these three as a build's does.
        "version": node.version,
        "options": dict(node.options),
        "flags": list(node.flags),
        # The environment and the loader's directories, top first: the order is that of the lists they become.
        "environment": [list(pair) for owner in owners for pair in owner.environment],
        "ldconf": [directory for owner in owners for directory in owner.ldconf],
    }
