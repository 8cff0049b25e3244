"""On PipeWire as an ordinary user, who has no real-time rights: its library asks the buses."""

import signal
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import pytest

import servers
from processes import READY, STEMD, running
from stalls import measure_undisturbed
from stemd.daemon.control.client import ControlClient
from unprivileged import SOON_MS, buses, without_rights
from waiting import wait_until

NOTICED_S = 2.0


@pytest.fixture
def desktop(derived_networks):
    """A PipeWire that runs, both buses, and what programs need to find them."""
    with TemporaryDirectory(prefix="stemd-") as folder, buses(Path(folder), SOON_MS) as both:
        pipewire = servers.PipeWire(48_000, 1024, Path(folder))
        pipewire.environment |= {"HOME": folder, "XDG_CACHE_HOME": str(derived_networks)}
        for bus in both:
            pipewire.environment |= bus.environment
        with closing(pipewire):
            pipewire.start()
            yield pipewire, both


def daemon(environment):
    options = ("--server", "pipewire", "--stems", "2")
    return running(environment, *options, program=[*without_rights(), STEMD])


def let_a_second_pass(environment) -> None:
    """Wait until stemd has played so long, and looked after everything meanwhile."""
    path = Path(environment["XDG_RUNTIME_DIR"]) / "stemd" / "stemd.socket"
    with ControlClient(path) as client:
        until = client.ask("status")["server"]["periods"] + 48_000 // 1024
        wait_until(lambda: client.ask("status")["server"]["periods"] > until)


def test_buses_that_lose_patience_or_end_change_nothing_and_the_servers_end_is_noticed(desktop):
    pipewire, both = desktop
    with daemon(pipewire.environment) as (_, log):
        for bus in (*both, *both):
            bus.wait_for_patience_to_end()
        let_a_second_pass(pipewire.environment)
        assert "went away" not in log.read()
        for bus in both:
            bus.end()
        let_a_second_pass(pipewire.environment)
        assert "went away" not in log.read()

        def notice() -> float:
            began = monotonic()
            pipewire.end(signal.SIGKILL)
            log.wait_for("the server went away")
            took = monotonic() - began
            pipewire.start()
            log.wait_for(READY)
            return took

        spare_s = NOTICED_S / 4
        assert measure_undisturbed(notice, lambda took: took > NOTICED_S, spare_s) <= NOTICED_S


def test_a_server_that_stands_still_is_not_taken_for_dead(desktop):
    pipewire, _ = desktop
    with daemon(pipewire.environment) as (_, log):
        pipewire.process.send_signal(signal.SIGSTOP)
        log.wait_for("state: silent")
        pipewire.process.send_signal(signal.SIGCONT)
        log.wait_for("state: playing")
        let_a_second_pass(pipewire.environment)
        assert "went away" not in log.read()
