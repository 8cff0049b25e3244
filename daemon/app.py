"""`stemd run`: the daemon from its start to its stop."""

import logging
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue

from stemd.daemon.config import Config
from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.jack_graph import JackClient, open_client
from stemd.daemon.machine import load_first_held
from stemd.daemon.private_server import private_server
from stemd.daemon.separation import INPUTS, Separation, separating

log = logging.getLogger(__name__)


def run(config: Config) -> None:
    """Separate until SIGINT or SIGTERM (main thread).

    Raises
    ------
    StemdError
        If the separation cannot begin or cannot go on.
    ModelError
        If the networks are missing or damaged.
    """
    wishes = config.separation
    scheme, networks = load_first_held(
        wishes.stems, wishes.schemes, wishes.precision, wishes.threads
    )
    # None: somebody asked stemd to stop; a text: what went wrong.
    ends: SimpleQueue[str | None] = SimpleQueue()
    with ExitStack() as stack:
        stack.enter_context(_signals_to(ends))
        client = stack.enter_context(_joined_graph(config))
        separation = stack.enter_context(
            separating(client, networks, scheme, wishes.mask_extension, ends.put)
        )
        _warn_of_unknown_ports(config, list(networks))
        client.autoconnect(config.jack.autoconnect)
        _announce(client, list(networks), separation)
        trouble = ends.get()
        _sum_up(separation)
    if trouble:
        raise StemdError(trouble)


@contextmanager
def _signals_to(ends: "SimpleQueue[str | None]") -> Iterator[None]:
    def end(*_: object) -> None:
        restore()  # whoever asks twice need not wait for a stop that hangs
        ends.put(None)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        restore()


@contextmanager
def _joined_graph(config: Config) -> Iterator[JackClient]:
    """Join the server asked for, or a private one where that is asked for or none answers."""
    wishes = config.jack
    if wishes.server != "dummy":
        try:
            client = open_client(wishes.client_name, wishes.server)
        except ServerError as error:
            if wishes.server != "auto":
                raise
            log.debug("%s", error)
        else:
            yield client
            return
    with private_server() as name:
        log.warning(
            "playing on a private JACK server without a sound card%s; programs find it by "
            "JACK_DEFAULT_SERVER=%s",
            "" if wishes.server == "dummy" else ", for neither JACK nor PipeWire answers",
            name,
        )
        yield open_client(wishes.client_name, "dummy", name)


def _announce(client: JackClient, stems: list[str], separation: Separation) -> None:
    log.info(
        "client %s on %s, %d Hz, %d frames a period",
        client.name,
        client.server,
        client.samplerate,
        client.blocksize,
    )
    log.info(
        "separating into %s with a delay of %d frames (%.3f s)",
        ", ".join(stems),
        separation.delay,
        separation.delay_s,
    )


def _warn_of_unknown_ports(config: Config, stems: list[str]) -> None:
    ports = {*INPUTS, *(f"{stem}_{side}" for stem in stems for side in "LR")}
    for port in config.jack.autoconnect.keys() - ports:
        log.warning("jack.autoconnect.%s: connects nothing, with %d stems", port, len(stems))


def _sum_up(separation: Separation) -> None:
    report = separation.report()
    log.info(
        "stopping after %.1f s: %d of %d blocks late, %d periods late, %d frames lost",
        report.counters.frames / separation.samplerate,
        report.blocks.late,
        report.blocks.total,
        report.counters.late_periods,
        report.counters.lost_frames,
    )
