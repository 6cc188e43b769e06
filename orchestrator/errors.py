"""What can go wrong, as values. Knows no other room; only cli prints these or exits with them."""

from __future__ import annotations


class OrchError(Exception):
    """A failure a person can act on.

    `what` is the fact, `where` the file and field (or host and path), `why` the reason, `hint` the next thing to do.
    Subclasses fix `code` (stable, for scripts) and `exit_status` (see docs/architecture.md, exit codes).
    """

    code = "error"
    exit_status = 4

    def __init__(self, what: str, *, where: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.hint = hint

    def document(self) -> dict[str, str]:
        """The error as `--json` shows it: code, what, where, why, hint."""
        return {"code": self.code, "what": self.what, "where": self.where, "why": self.why, "hint": self.hint}


class BuildFailed(OrchError):
    """A build or a check said no: the recipe's failure, not the machine's."""

    code = "build-failed"
    exit_status = 1


class UsageError(OrchError):
    """The command line is wrong."""

    code = "usage"
    exit_status = 2


class RecipeError(OrchError):
    """A recipe, a lock or an option is wrong."""

    code = "recipe"
    exit_status = 3


class SourceError(RecipeError):
    """A source is not what its recipe says: the wrong hash, an archive that is refused."""

    code = "source"


class MachineError(OrchError):
    """Disk, network, permissions, container runtime: never remembered as the recipe's failure."""

    code = "machine"
    exit_status = 4


class AnswerIsNo(OrchError):
    """A question was answered with no: outputs differ, verification failed, a gate is closed."""

    code = "no"
    exit_status = 5
