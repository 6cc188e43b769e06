"""The one door to other programs, and the one home of `sh`.

Knows what a process is and nothing of what the programs mean. Every environment is given, none is inherited.
"""

from orchestrator.process.program import Completed, find_program, run_program
from orchestrator.process.relay import Relay
from orchestrator.process.stream import Ended, Ending, stream

__all__ = ["Completed", "Ended", "Ending", "Relay", "find_program", "run_program", "stream"]
