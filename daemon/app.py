"""`stemd run`: puts the daemon together, and takes it apart again."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from stemd.daemon.config import Config, JackSection
from stemd.daemon.control.mixer import Mixer
from stemd.daemon.control.places import socket_path
from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.graph import GraphClient
from stemd.daemon.jack_graph import open_client
from stemd.daemon.notifier import Notifier
from stemd.daemon.plan import Plan, make_plan
from stemd.daemon.ports import INPUTS, outputs_of
from stemd.daemon.private_server import private_server
from stemd.daemon.supervisor import Daemon

log = logging.getLogger(__name__)


def run(read_config: Callable[[], Config]) -> None:
    """Separate until SIGINT or SIGTERM (main thread).

    Parameters
    ----------
    read_config : callable
        Reads the configuration; again at each reload.

    Raises
    ------
    StemdError
        If the separation cannot begin or cannot be mended.
    ModelError
        If the networks are missing or damaged.
    """

    def replan(before: Plan | None) -> Plan:
        plan = make_plan(read_config(), before)
        _warn_of_unknown_ports(plan)
        return plan

    plan = replan(None)
    config = plan.config
    with ExitStack() as stack:
        join: Callable[[JackSection], GraphClient] = _join
        if config.jack.server == "dummy":
            name = stack.enter_context(private_server())
            log.warning(
                "playing on a private JACK server without a sound card; programs find it by "
                "JACK_DEFAULT_SERVER=%s",
                name,
            )
            join = partial(_join_private, name)
        mixer, notifier = Mixer(config.mixer.strips.items()), Notifier(os.environ)
        daemon = Daemon(plan, partial(join, config.jack), replan, mixer, notifier)
        stack.enter_context(_signals_to(daemon))
        stack.enter_context(_control(config, daemon))
        daemon.run()


def _join(wishes: JackSection) -> GraphClient:
    return open_client(wishes.client_name, wishes.server)


def _join_private(name: str, wishes: JackSection) -> GraphClient:
    try:
        return open_client(wishes.client_name, wishes.server, name)
    except ServerError as error:  # nobody will start it again
        raise StemdError(f"the private JACK server ended: {error}") from None


@contextmanager
def _control(config: Config, daemon: Daemon) -> Iterator[None]:
    """Let it be steered by the control socket; without one it plays all the same."""
    path = socket_path(config.control.socket, config.jack.client_name)
    if path is None:
        yield
        return
    from stemd.daemon.control.server import ControlServer

    try:
        server = ControlServer(path, daemon)
    except StemdError as error:
        log.warning("nobody can steer: %s", error)
        yield
        return
    server.start()
    try:
        yield
    finally:
        server.close()


@contextmanager
def _signals_to(daemon: Daemon) -> Iterator[None]:
    def end(*_: object) -> None:
        restore()  # whoever asks twice need not wait for a stop that hangs
        daemon.stop()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: daemon.reload_soon())
    try:
        yield
    finally:
        restore()


def _warn_of_unknown_ports(plan: Plan) -> None:
    stems = plan.networks.by_stem
    for port in plan.config.jack.autoconnect.keys() - {*INPUTS, *outputs_of(stems)}:
        log.warning("jack.autoconnect.%s: connects nothing, with %d stems", port, len(stems))
