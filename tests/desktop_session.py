"""PipeWire among what GNOME, KDE and Xfce have about it.

None of it has real-time rights. A daemon in the test's own process has those of the user who runs
the tests: what an ordinary user's daemon does beside it is left to `make trixie-test`.
"""

import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import servers
from processes import end
from unprivileged import buses, without_rights

SPEAKERS = """\
context.objects = [ { factory = adapter args = {
  factory.name = support.null-audio-sink  media.class = Audio/Sink  audio.position = [ FL FR ]
  node.name = speakers  node.description = Speakers  object.linger = true
} } ]
"""

COMPANIONS = ("wireplumber", "pipewire-pulse")


class Desktop(servers.PipeWire):
    """With buses, speakers, WirePlumber and pipewire-pulse."""

    def __init__(self, samplerate: int, period: int, runtime: Path) -> None:
        super().__init__(samplerate, period, runtime)
        (runtime / "pipewire" / "pipewire.conf.d" / "speakers.conf").write_text(SPEAKERS)
        self.environment["HOME"] = str(runtime)
        self.period = period
        self._command = [*without_rights(), *self._command]
        self._companions: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start the server, and what ends with it, as a service manager does."""
        super().start()
        self._end_companions()
        for name in COMPANIONS:
            self.start_companion(name)

    def start_companion(self, name: str) -> None:
        """Start one of them."""
        self._companions[name] = subprocess.Popen(
            [*without_rights(), name],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill_companion(self, name: str) -> float:
        """Kill one of them; return when."""
        at = monotonic()
        self._companions[name].kill()
        self._companions.pop(name).wait()
        return at

    def close(self) -> None:
        self._end_companions()
        super().close()

    def _end_companions(self) -> None:
        for process in self._companions.values():
            end(process)
        self._companions.clear()


@contextmanager
def desktop(samplerate: int, period: int):
    """Run one, with a session bus and a system bus, as long as the context lasts."""
    with TemporaryDirectory(prefix="stemd-") as folder, buses(Path(folder)) as both:
        server = Desktop(samplerate, period, Path(folder))
        for bus in both:
            server.environment |= bus.environment
        try:
            server.start()
            yield server
        finally:
            server.close()
