"""What the agent can fail with, in a form that crosses the stream: cause, remedy, exit status."""

from __future__ import annotations


class AgentError(Exception):
    """The scan cannot go on. `status` is 1 for a bad call, 2 when the target can't be scanned.

    `transient` says that the same may well succeed when it is tried again.
    """

    def __init__(self, cause: str, remedy: str = "", status: int = 2, *, transient: bool = False) -> None:
        """Keep cause and remedy apart; the client lays them out."""
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
        self.status = status
        self.transient = transient

    def as_json(self) -> dict[str, object]:
        """Return what a FAIL frame says."""
        cause = self.cause.encode(errors="surrogateescape").decode(errors="replace")
        return {"cause": cause, "remedy": self.remedy, "status": self.status, "transient": self.transient}
