"""What each interface declares: its configuration section, extra and thread."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol

from stemd.daemon.control.pace import Pace
from stemd.daemon.control.steerable import Steerable
from stemd.daemon.errors import StemdError
from stemd.daemon.packages import install_extra
from stemd.daemon.sections import Section

MAIN_THREAD = "main"


class Steering(Protocol):
    """An interface that is open."""

    def start(self) -> None:
        """Begin to listen."""

    def close(self) -> None:
        """Stop listening."""


@dataclass(frozen=True)
class Extra:
    """An optional package that an interface needs."""

    name: str
    """The name of the extra in pyproject.toml."""

    package: str

    @property
    def is_installed(self) -> bool:
        """Whether the package is there."""
        from importlib.metadata import PackageNotFoundError, distribution  # a daemon needs neither

        try:
            distribution(self.package)
        except PackageNotFoundError:
            return False
        return True


@dataclass(frozen=True)
class Target:
    """What an interface steers."""

    daemon: Steerable

    pace: Pace
    """Shared by all interfaces."""

    client_name: str
    """The configured name; the audio server may give another one."""


class Interface(Section):
    """A section of the configuration that opens an interface.

    A new interface is a module with a subclass, and a line in `listed`. The module imports what the
    interface needs only when it is opened, because reading any configuration imports the module.
    """

    key: ClassVar[str]
    """The key of the configuration that switches it on, for messages."""

    extra: ClassVar[Extra | None] = None

    thread: ClassVar[str] = MAIN_THREAD
    """The name of the thread on which it runs."""

    @property
    @abstractmethod
    def is_wanted(self) -> bool:
        """Whether the configuration switches it on."""

    @abstractmethod
    def make(self, target: Target) -> Steering | None:
        """Open it (main thread); return None if the daemon's own loop serves it.

        Raises
        ------
        StemdError
            It cannot be opened.
        ImportError
            Its extra is not installed.
        """

    def refuse_without_extra(self) -> None:
        """Raise an error if it is wanted and its extra is not installed; nothing is imported.

        Raises
        ------
        StemdError
        """
        if self.is_wanted and self.extra and not self.extra.is_installed:
            raise missing(self.key, self.extra)

    def open(self, target: Target) -> Steering | None:
        """Open it where it is wanted (main thread).

        Raises
        ------
        StemdError
            It cannot be opened, or its extra is not installed.
        """
        if not self.is_wanted:
            return None
        try:
            return self.make(target)
        except ImportError:
            if self.extra is None:
                raise
            raise missing(self.key, self.extra) from None


def missing(key: str, extra: Extra) -> StemdError:
    """Return the error of an interface whose extra is not installed."""
    return StemdError(f"{key} needs {extra.package}: {install_extra(extra.name)}")
