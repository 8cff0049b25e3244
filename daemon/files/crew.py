"""What separates several songs: processes of this machine, or the workers of a cluster."""

from abc import ABC, abstractmethod
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from stemd.daemon.files.job import Job, Outcome
from stemd.daemon.files.separator import OnProgress


class Crew(ABC):
    """Separates some songs at a time; the others wait for their turn."""

    @abstractmethod
    def submit(self, job: Job, on_progress: OnProgress) -> "Future[Outcome]":
        """Queue a song.

        Parameters
        ----------
        job : Job
        on_progress : callable
            Called on another thread.
        """

    @abstractmethod
    def close(self) -> None:
        """Give up what is not done; nothing half-written remains."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
