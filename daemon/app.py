"""`stemd run`: the daemon from its start to its stop."""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from time import monotonic, sleep

from stemd.daemon.config import Config, JackSection
from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.graph import GraphClient
from stemd.daemon.jack_graph import open_client
from stemd.daemon.machine import choose
from stemd.daemon.networks import LoadedNetworks
from stemd.daemon.patchbay import Patchbay
from stemd.daemon.private_server import private_server
from stemd.daemon.scheduling import settle_memory
from stemd.daemon.session import INPUTS, TICK_S, ServerGoneError, Session, State
from stemd.dsp.scheme import Scheme

log = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 5.0
"""How long to wait between two attempts to join a server, at first and at last."""

LOOK_S = 0.1
"""How often is looked, meanwhile, whether the last server is back."""


def run(config: Config) -> None:
    """Separate until SIGINT or SIGTERM (main thread).

    Raises
    ------
    StemdError
        If the separation cannot begin or cannot be mended.
    ModelError
        If the networks are missing or damaged.
    """
    wishes = config.separation
    scheme, load = choose(wishes.stems, wishes.schemes, wishes.precision, wishes.threads)
    networks = LoadedNetworks(load)
    _warn_of_unknown_ports(config, list(networks.by_stem))
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
        daemon = Daemon(config, scheme, networks, partial(join, config.jack))
        stack.enter_context(_signals_to(daemon.stop))
        daemon.run()


class Daemon:
    """Waits for a server, plays in its graph until it goes away, and waits for the next one.

    Parameters
    ----------
    config : Config
    scheme : Scheme
    networks : LoadedNetworks
    join : callable
        Opens a client, or raises `ServerError` while no server answers.
    """

    def __init__(
        self,
        config: Config,
        scheme: Scheme,
        networks: LoadedNetworks,
        join: Callable[[], GraphClient],
    ) -> None:
        self.session: Session | None = None
        self._config = config
        self._scheme = scheme
        self._networks = networks
        self._join = join
        self._patchbay = Patchbay(config.jack.autoconnect)
        self._last_client: GraphClient | None = None
        # No lock may be in it: a signal handler sets it wherever the main thread is.
        self._stopping = False

    @property
    def state(self) -> State:
        """What the daemon is doing (any thread)."""
        session = self.session
        return session.state if session else State.WAITING

    def run(self) -> None:
        """Go on until `stop` (main thread).

        Raises
        ------
        StemdError
            Nothing helps.
        """
        settle_memory()
        while client := self._wait_for_server():
            try:
                self._play(client)
            except ServerGoneError:
                log.warning("the server went away")

    def stop(self) -> None:
        """Let `run` return soon (any thread, and signal handlers)."""
        self._stopping = True
        if session := self.session:
            session.rt.wake()

    def _wait_for_server(self) -> GraphClient | None:
        """Join a server as soon as one answers; None if it was not to be."""
        least_s, wait_s = LOOK_S, FIRST_RETRY_S
        while not self._stopping:
            try:
                return self._join()
            except ServerError as error:
                if wait_s == FIRST_RETRY_S:
                    log.warning("waiting for a server: %s", error)
            # Where somebody takes connections, and yet cannot be joined, ever less is tried.
            is_back = self._wait_for_last_server(least_s, wait_s)
            least_s = min(2 * least_s, LAST_RETRY_S) if is_back else LOOK_S
            wait_s = min(wait_s * 1.5, LAST_RETRY_S)
        return None

    def _wait_for_last_server(self, least_s: float, most_s: float) -> bool:
        """Wait until it is back, so long at least and at most; tell whether it is.

        To look for a socket costs less than to try and join.
        """
        began, is_back = monotonic(), False
        while not self._stopping and monotonic() - began < (least_s if is_back else most_s):
            sleep(min(LOOK_S, most_s))
            is_back = self._last_client is not None and self._last_client.has_server_again()
        return is_back

    def _play(self, client: GraphClient) -> None:
        wishes = self._config
        self._last_client = client
        try:
            session = Session(
                client,
                self._networks,
                self._scheme,
                wishes.separation.mask_extension,
                wishes.jack.longest_period,
                self._patchbay,
            )
        except ServerError as error:
            if client.is_alive():
                client.close()
                raise
            client.close()
            raise ServerGoneError from error
        except BaseException:
            client.close()
            raise
        self.session = session
        _announce(session)
        state, delay = session.state, session.rt.delay
        try:
            while not self._stopping:
                session.tick(session.rt.wait_events(TICK_S), monotonic())
                if session.state != state:
                    state = session.state
                    log.warning("state: %s", state)
                if session.rt.delay != delay:
                    delay = session.rt.delay
                    _announce(session)
        finally:
            self.session = None
            session.close()
            _sum_up(session)


def _join(wishes: JackSection) -> GraphClient:
    return open_client(wishes.client_name, wishes.server)


def _join_private(name: str, wishes: JackSection) -> GraphClient:
    try:
        return open_client(wishes.client_name, wishes.server, name)
    except ServerError as error:  # nobody will start it again
        raise StemdError(f"the private JACK server ended: {error}") from None


@contextmanager
def _signals_to(stop: Callable[[], None]) -> Iterator[None]:
    def end(*_: object) -> None:
        restore()  # whoever asks twice need not wait for a stop that hangs
        stop()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        restore()


def _announce(session: Session) -> None:
    client, separation = session.client, session.separation
    log.info(
        "client %s on %s, %d Hz, %d frames a period",
        client.name,
        client.server,
        client.samplerate,
        client.period,
    )
    log.info(
        "separating into %s with a delay of %d frames (%.3f s)",
        ", ".join(session.networks.by_stem),
        separation.delay,
        separation.delay / separation.samplerate,
    )


def _warn_of_unknown_ports(config: Config, stems: list[str]) -> None:
    ports = {*INPUTS, *(f"{stem}_{side}" for stem in stems for side in "LR")}
    for port in config.jack.autoconnect.keys() - ports:
        log.warning("jack.autoconnect.%s: connects nothing, with %d stems", port, len(stems))


def _sum_up(session: Session) -> None:
    counters, report = session.rt.counters(), session.separation.report()
    log.info(
        "played %.1f s: %d of %d blocks late, %d periods late, %d frames lost, %d xruns",
        counters.frames / session.separation.samplerate,
        report.blocks.late,
        report.blocks.total,
        report.link.late_periods,
        report.link.lost_frames,
        counters.xruns,
    )
