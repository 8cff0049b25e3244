"""The daemon's place in a JACK or PipeWire graph."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Event as Flag
from time import monotonic
from types import ModuleType
from typing import Any

from stemd.daemon.engine.link import RealtimeSide, Server
from stemd.daemon.engine.scheduling import steering_thread
from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.graph import libjack
from stemd.daemon.graph.absent_server import no_server
from stemd.daemon.graph.client import Connection, Port, PortNotice
from stemd.daemon.graph.pipewire import introduce
from stemd.daemon.graph.server_sockets import adopt_runtime_folder, pipewire_accepts
from stemd.daemon.graph.server_watch import Lifeline, open_sockets

log = logging.getLogger(__name__)

PRETTY_NAME = "http://jackaudio.org/metadata/pretty-name"
ORDER = "http://jackaudio.org/metadata/order"
PORT_GROUP = "http://jackaudio.org/metadata/port-group"
INTEGER = "http://www.w3.org/2001/XMLSchema#int"

ATTEMPTS = 10
"""How often a question is asked: a port that vanishes meanwhile fails the whole of it."""

CLOSE_S = 8.0
"""How long a server may take to let the client go: a busy one takes seconds, one that is dying may
never do it."""

MOST_ABANDONED = 10
"""Clients that cannot be closed and are kept; each takes 2 MB, 4 threads, 25 descriptors."""

_abandoned: list["JackClient"] = []
"""With the real-time sides that their libraries' threads might still call."""

CALLBACKS = {
    "process": "jack_set_process_callback",
    "freewheel": "jack_set_freewheel_callback",
    "latency": "jack_set_latency_callback",
    "xrun": "jack_set_xrun_callback",
    "sample_rate": "jack_set_sample_rate_callback",
    "port_registration": "jack_set_port_registration_callback",
    "port_connect": "jack_set_port_connect_callback",
}
"""Compiled callbacks, and by what they are set; JACK-Client itself only takes Python's."""


def open_client(name: str, server: str, server_name: str | None = None) -> "JackClient":
    """Join the graph of the first server that answers.

    Parameters
    ----------
    name : str
        What the client wants to be called; the server appends a number if that is taken.
    server : str
        "auto" (JACK where it answers, else PipeWire), "jack" or "pipewire".
    server_name : str, optional
        Of a JACK server other than the default one, or of PipeWire's socket.

    Raises
    ------
    ServerError
        If none answers, or no client library is installed.
    """
    adopt_runtime_folder()
    for library in libjack.candidates(server):
        if library.kind == "pipewire":
            introduce()
        jack = libjack.load(library)
        try:
            client = JackClient(jack, library, name, server_name)
        except jack.JackOpenError as error:
            log.debug("%s: %s", library.version, error)
        else:
            if server == "auto" and library.kind == "jack" and pipewire_accepts():
                log.info(
                    "both JACK and PipeWire run: stemd takes JACK; to take PipeWire: "
                    "stemd run --server pipewire, or jack.server: pipewire"
                )
            return client
    raise no_server(server, server_name, {each.kind for each in libjack.libraries()})


class JackClient:
    """A `GraphClient` of libjack. See there.

    The server calls compiled callbacks only: the process callback on its real-time thread, the
    others on threads for notifications.
    """

    def __init__(
        self, jack: ModuleType, library: libjack.Library, name: str, server_name: str | None
    ) -> None:
        self._jack = jack
        self._library = library
        self._functions = libjack.Functions(library)
        sockets = open_sockets()
        self._client: Any = jack.Client(name, no_start_server=True, servername=server_name)
        self._lifeline = Lifeline(sockets, library.kind, server_name)
        # There from the start: a server that ends lets JACK2 cancel a thread that is gone already,
        # and with that the newest one that has taken its place.
        self._closing = Flag()
        self._closer = steering_thread(self._close_when_asked, "stemd-close")
        self._closer.start()
        self._pointer = _address(jack, self._client._ptr)
        self.name: str = self._client.name
        self.server = library.version
        self.reports_activity = library.reports_activity
        # JACK wants its questions answered in the callback; PipeWire may deadlock over it.
        self._defers_latency = library.kind == "pipewire"
        self._rt: RealtimeSide
        self._unbind: Callable[[], None] = lambda: None
        self._outputs: dict[str, Any] = {}
        self._connections: set[Connection] = set()
        self._undescribed: deque[tuple[int, Any]] = deque()

    @property
    def samplerate(self) -> int:
        """The present sample rate, in frames per second."""
        return int(self._client.samplerate)

    @property
    def period(self) -> int:
        """The present period, in frames."""
        return int(self._client.blocksize)

    def bind(self, rt: RealtimeSide, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Register the ports and set the compiled callbacks."""
        self._rt, self._unbind = rt, rt.detach  # the callbacks hold its address
        with self._refusals("the ports"):
            in_ports = [self._client.inports.register(port) for port in inputs]
        self._undescribed = deque(enumerate(in_ports))
        self.add_outputs({port: slot for slot, port in enumerate(outputs)})
        functions = {
            name: self._functions.address(f"jack_{name}")
            for name in (
                "port_get_buffer",
                "port_get_latency_range",
                "port_set_latency_range",
                "last_frame_time",
            )
        }
        rt.bind(
            Server(
                **functions,
                client=self._pointer,
                defers_latency=self._defers_latency,
                in_ports=[_address(self._jack, port._ptr) for port in in_ports],
            )
        )
        for what, setter in CALLBACKS.items():
            if self._functions.call(setter, self._pointer, rt.callback(what), rt.argument):
                raise ServerError(
                    f"the {self.server} server refused the {what} callback: restart it"
                )
        self._functions.call(
            "jack_on_info_shutdown", self._pointer, rt.callback("info_shutdown"), rt.argument
        )

    def add_outputs(self, slots: Mapping[str, int]) -> None:
        """Register more ports, by name, and let those outputs of the real-time side be heard."""
        for name, slot in slots.items():
            try:
                with self._refusals("the ports"):
                    port = self._client.outports.register(name)
            except ServerError:
                added = {name: slot for name, slot in slots.items() if name in self._outputs}
                self.remove_outputs(added)
                raise
            self._outputs[name] = port
            self._undescribed.append((len(self._client.inports) + slot, port))
            self._rt.set_out_port(slot, _address(self._jack, port._ptr))
        self.describe()

    def add_midi(self, name: str) -> None:
        """Register a port for MIDI messages to the real-time side, before `activate`."""
        with self._refusals("the MIDI port"):
            port = self._client.midi_inports.register(name)
        self._rt.bind_midi(
            _address(self._jack, port._ptr),
            self._functions.address("jack_midi_get_event_count"),
            self._functions.address("jack_midi_event_get"),
        )

    def remove_outputs(self, slots: Mapping[str, int]) -> bool:
        """Silence those outputs of the real-time side, and unregister their ports.

        Returns
        -------
        bool
            False if a cycle goes on that may use them; then nothing has changed.
        """
        for slot in slots.values():
            self._rt.set_out_port(slot, 0)
        if slots and not self._rt.let_cycle_end():  # it may have begun with them
            for name, slot in slots.items():
                self._rt.set_out_port(slot, _address(self._jack, self._outputs[name]._ptr))
            return False
        for name in slots:
            port = self._outputs.pop(name)
            self._undescribed = deque(each for each in self._undescribed if each[1] is not port)
            with suppress(self._jack.JackError):  # the server is gone, and the port with it
                port.unregister()
        return True

    def activate(self) -> None:
        """Let the server call."""
        with self._refusals("the client"):
            self._client.activate()

    def declare_latency(self) -> None:
        """Ask the server to recompute all latencies, because stemd's has changed."""
        self._functions.call("jack_recompute_total_latencies", self._pointer)

    def describe(self) -> None:
        """Publish the ports' metadata; PipeWire accepts it only while a session manager runs."""
        with suppress(ValueError, RuntimeError):
            while self._undescribed:
                self._set_properties(*self._undescribed[0])
                self._undescribed.popleft()

    def port_names(self) -> list[str]:
        """Return all there are."""
        for _ in range(ATTEMPTS):
            with suppress(self._jack.JackError):
                return [port.name for port in self._client.get_ports()]
        return []

    def port_notices(self) -> list[PortNotice]:
        """Return what the server said of ports since the last call, in order."""
        notices = self._rt.read_ports()
        if notices is None:  # more than could be kept: all present ports may be new
            return [PortNotice(monotonic(), (name,), True) for name in self.port_names()]
        return [
            PortNotice(at, tuple(map(self._port_name, ports)), is_there)
            for at, ports, is_there in notices
        ]

    def _port_name(self, number: int) -> str:
        return self._functions.port_name(self._pointer, number)

    def find_port(self, name: str) -> Port | None:
        """Return what is known of another program's port; None if it has gone."""
        with suppress(self._jack.JackError, UnicodeDecodeError):
            port = self._client.get_port_by_name(name)
            # What a sound card's monitor plays is what the graph plays to it.
            is_monitor = port.shortname.startswith("monitor")
            return Port(
                port.name,
                bool(port.is_output),
                bool(port.is_midi),
                bool(port.is_output and (port.is_physical or port.is_terminal) and not is_monitor),
                tuple(port.aliases),
            )
        return None

    def all_connections(self) -> set[Connection]:
        """Return all in the graph that carry audio, as far as it lets itself be asked."""
        found: set[Connection] = set()
        with suppress(self._jack.JackError):
            for port in self._client.get_ports(is_audio=True, is_output=True):
                with suppress(self._jack.JackError):
                    others = self._client.get_all_connections(port)
                    found.update((port.name, other.name) for other in others)
        return found

    def connections(self) -> set[Connection]:
        """Return those of our own ports; as they were seen last, where the question fails."""
        for _ in range(ATTEMPTS):
            with suppress(self._jack.JackError):
                self._connections = self._ask_connections()
                break
        return set(self._connections)

    def _ask_connections(self) -> set[Connection]:
        found: set[Connection] = set()
        for port in (*self._client.inports, *self._client.midi_inports):
            found.update((other.name, port.name) for other in port.connections)
        for port in self._client.outports:
            found.update((port.name, other.name) for other in port.connections)
        return found

    def connect(self, connection: Connection) -> bool:
        """Connect two ports."""
        try:
            self._client.connect(*connection)
        except self._jack.JackError as error:
            log.debug("cannot connect %s to %s: %s", *connection, error)
            return False
        return True

    def disconnect(self, connection: Connection) -> None:
        """Remove a connection, if it exists."""
        with suppress(self._jack.JackError):
            self._client.disconnect(*connection)

    def is_alive(self) -> bool:
        """Whether the server is alive."""
        return not self._lifeline.is_cut()

    def is_in_graph(self) -> bool:
        """Whether the server still has stemd's ports; a session manager may have removed them."""
        there = set(self.port_names())
        return all(port.name in there for port in self._client.inports)

    def close(self) -> None:
        """Leave the graph.

        Raises
        ------
        StemdError
            The server hangs and does not let the client go, or too many clients could not be
            closed. Nothing may be opened after that.
        """
        self._closing.set()
        self._closer.join(CLOSE_S)
        if self._closer.is_alive():
            raise StemdError(
                f"the {self.server} server hangs and does not let go: restart it, then stemd"
            )
        if len(_abandoned) >= MOST_ABANDONED:
            raise StemdError(
                f"PipeWire has ended {len(_abandoned)} times, and its library ({self.server}) "
                "cannot free what belonged to a server that ended: start stemd anew, as its "
                "service does by itself"
            )
        self._unbind()

    def has_server_again(self) -> bool:
        """Return whether a server can be joined in this one's place."""
        return self._lifeline.would_hold()

    def _close_when_asked(self) -> None:
        self._closing.wait()
        if not self._library.closes_dead_clients and not self._gives_buffers_back():
            log.debug("left a client of %s open, whose server has ended", self.server)
            _abandoned.append(self)
            self._lifeline.close()
            return
        self._lifeline.close()
        with suppress(self._jack.JackError):  # a dead server refuses, which is as well
            self._client.close()

    def _gives_buffers_back(self) -> bool:
        """Ask the server to free the client's buffers; False if it has ended."""
        try:
            self._client.deactivate(ignore_errors=False)
        except self._jack.JackError:
            return False
        return self.is_alive()

    @contextmanager
    def _refusals(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._jack.JackError as error:
            raise ServerError(
                f"the {self.server} server refused {what}: {error}; it may have no room for more "
                "(jackd's --port-max), or it is ending"
            ) from None

    def _set_properties(self, number: int, port: Any) -> None:
        """Publish a port's order, readable name and pair."""
        pair, side = port.shortname.rsplit("_", 1)
        people = f"{pair} {'left' if side == 'L' else 'right'}"
        self._client.set_property(port.uuid, PRETTY_NAME, people, "text/plain")
        self._client.set_property(port.uuid, PORT_GROUP, pair, "text/plain")
        self._client.set_property(port.uuid, ORDER, str(number), INTEGER)


def _address(jack: ModuleType, pointer: Any) -> int:
    return int(jack._ffi.cast("uintptr_t", pointer))
