"""Which objects of a run have been found intact. What is damaged is put aside, and said."""

from __future__ import annotations

from orchestrator.digest import Digest
from orchestrator.events import Monitor, Notice
from orchestrator.store import Layout, quarantine_object, verify_object


class Intact:
    """Used by many threads."""

    def __init__(self, layout: Layout, monitor: Monitor) -> None:
        self._layout = layout
        self._monitor = monitor
        self._found: set[Digest] = set()

    def __contains__(self, digest: Digest) -> bool:
        return digest in self._found

    def add(self, digest: Digest) -> None:
        """This run has made or copied it."""
        self._found.add(digest)

    def look(self, name: str, digest: Digest) -> bool:
        """Whether an object that is in the store, the output of the node `name`, is intact. Raise MachineError."""
        if digest in self._found:
            return True
        problems = verify_object(self._layout, digest)
        if problems:
            quarantine_object(self._layout, digest, "; ".join(problems[:5]))
            text = f"{name}: the stored output is damaged ({problems[0]}); put aside and made again"
            self._monitor(Notice(text=text))
            return False
        self._found.add(digest)
        return True
