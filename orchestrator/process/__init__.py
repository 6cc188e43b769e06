"""The one door to other programs, and the one home of `sh`.

Knows what a process is and nothing of what the programs mean. Every environment is given, none is inherited.
Each name is imported when it is first asked for: subprocess and sh take long.
"""

from typing import TYPE_CHECKING

from orchestrator.lazily import lazily

if TYPE_CHECKING:
    from orchestrator.process.follow import Ended, Ending
    from orchestrator.process.program import Completed, find_program, run_program
    from orchestrator.process.relay import Relay
    from orchestrator.process.streamed import stream

__all__ = ["Completed", "Ended", "Ending", "Relay", "find_program", "run_program", "stream"]

_MODULES = {
    "follow": ("Ended", "Ending"),
    "program": ("Completed", "find_program", "run_program"),
    "relay": ("Relay",),
    "streamed": ("stream",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # which would take any name for one of this room
    __getattr__ = lazily(__name__, _HOMES)
