"""Where the steps of one run work: one staging directory for all of them, and what their sandboxes share.

Both are made when first needed and gone with the run. Knows nothing of what a step does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

from orchestrator.errors import MachineError
from orchestrator.sandbox.step import limits
from orchestrator.sandbox.workplace import Workplace, workplace
from orchestrator.store import Layout, staging
from orchestrator.store.layout import safe_name
from orchestrator.tree import disk, remove_tree

BUILD = ("build", "build/.orch", "out", "out.object")  # folders of a build's directory; the last is for publish_tree

_PATIENCE = 10.0  # seconds


class Room:
    """Any thread may use it, until it is closed."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._lock = threading.Lock()  # of what the sandboxes share, which takes long to end
        self._staging = threading.Lock()
        self._stack = ExitStack()
        self._sandboxes = ExitStack()
        self._top: Path | None = None
        self._workplace: Workplace | None = None
        self._prepared = False
        self._numbers = count()
        self._ahead: dict[tuple[str, ...], list[Path]] = {}  # by what is in them
        self._begun: threading.Event | None = None

    @property
    def place(self) -> Path:
        """The staging directory. Raise MachineError."""
        with self._staging:
            if self._top is None:
                self._top = self._stack.enter_context(staging(self._layout, "run"))
            return self._top

    @property
    def workplace(self) -> Workplace:
        """What the sandboxes of this run share. Raise MachineError."""
        with self._lock:
            if self._workplace is None:
                self._workplace = self._sandboxes.enter_context(workplace(self.place / "sandbox"))
            return self._workplace

    def prepare(self) -> None:
        """Begin what the first sandbox would have to wait for, once, and make a build's directory ahead; what is wrong
        with this machine is told there."""
        with suppress(MachineError, OSError):
            workplace = self.workplace
            with self._lock:
                prepared, self._prepared = self._prepared, True
            if not prepared:
                launcher = workplace.prepare(limits())
                self.make_ahead(BUILD)
                launcher.join()

    def begin(self) -> None:
        """Prepare, in a thread beside what the caller does next."""

        begun = self._begun = threading.Event()

        def work() -> None:
            try:
                self.prepare()
            finally:
                begun.set()

        try:
            threading.Thread(target=work, name="room", daemon=True).start()
        except RuntimeError:  # no more threads: it is begun where it is needed
            begun.set()

    def _new(self, label: str, folders: tuple[str, ...]) -> Path:
        path = self.place / f"{safe_name(label)}-{next(self._numbers)}"
        with disk("make a directory in", self._layout.stage):
            path.mkdir(mode=0o700)
            for name in folders:
                (path / name).mkdir()
        return path

    def make_ahead(self, folders: tuple[str, ...]) -> None:
        """Make, while there is time, what the next to ask for a directory with these in it would have to wait for."""
        with suppress(MachineError, OSError):  # it is told there
            self._ahead.setdefault(folders, []).append(self._new("step", folders))

    @contextmanager
    def directory(self, label: str, folders: tuple[str, ...] = ()) -> Iterator[Path]:
        """A new private directory in the store's stage, with empty ones in it, removed at exit with all that is in it.
        Raise MachineError."""
        try:
            path = self._ahead[folders].pop()
        except LookupError:
            path = self._new(label, folders)
        try:
            yield path
        finally:
            remove_tree(path)

    def end_sandboxes(self) -> None:
        """End what the sandboxes share; none runs any more. Should one run after all, it is made again."""
        with self._lock:
            self._workplace, self._prepared = None, False
            self._sandboxes.close()
        for made in self._ahead.values():
            while made:
                remove_tree(made.pop())

    def close(self) -> None:
        """Remove all of it. More than once is as good as once."""
        if self._begun is not None:
            self._begun.wait(_PATIENCE)  # a signal may have come before the thread was there
        self.end_sandboxes()
        self._stack.close()
