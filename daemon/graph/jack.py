"""The daemon's client in a JACK or PipeWire graph: its ports, callbacks and end."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from threading import Event
from types import ModuleType
from typing import Any

from stemd.daemon.engine.callbacks import Server, ServerCallbacks
from stemd.daemon.engine.scheduling import steering_thread
from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.graph import libjack
from stemd.daemon.graph.jack_graph import JackGraph
from stemd.daemon.graph.pipewire import introduce
from stemd.daemon.graph.server_obstacles import no_server
from stemd.daemon.graph.server_sockets import adopt_runtime_folder, pipewire_accepts
from stemd.daemon.graph.server_watch import ServerWatch, open_sockets

log = logging.getLogger(__name__)

PRETTY_NAME = "http://jackaudio.org/metadata/pretty-name"
ORDER = "http://jackaudio.org/metadata/order"
PORT_GROUP = "http://jackaudio.org/metadata/port-group"
INTEGER = "http://www.w3.org/2001/XMLSchema#int"

CLOSE_S = 8.0
"""How long a server may take to close the client: a busy one takes seconds, one that ends may never
do it."""

MOST_ABANDONED = 10
"""How many clients that cannot be closed are kept; each keeps memory, threads and descriptors."""

_abandoned: list["JackClient"] = []
"""Clients that were never closed, with the real-time sides that their threads might still call."""

CALLBACKS = {
    "process": "jack_set_process_callback",
    "freewheel": "jack_set_freewheel_callback",
    "latency": "jack_set_latency_callback",
    "xrun": "jack_set_xrun_callback",
    "sample_rate": "jack_set_sample_rate_callback",
    "port_registration": "jack_set_port_registration_callback",
    "port_connect": "jack_set_port_connect_callback",
}
"""Each compiled callback with the function that sets it; JACK-Client takes Python's only."""


def open_client(name: str, server: str, server_name: str | None = None) -> "JackClient":
    """Open a client of the first server that answers.

    Parameters
    ----------
    name : str
        The client's name; the server appends a number if that is taken.
    server : str
        "auto" (JACK where it answers, else PipeWire), "jack" or "pipewire".
    server_name : str, optional
        Name of a JACK server other than the default one, or of PipeWire's socket.

    Raises
    ------
    ServerError
        No server answers, or no client library is installed.
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
    """A `GraphClient` of libjack.

    The server calls compiled callbacks only: the process callback on its real-time thread, the
    others on threads for notifications.
    """

    def __init__(
        self, jack: ModuleType, library: libjack.Library, name: str, server_name: str | None
    ) -> None:
        sockets = open_sockets()
        client = jack.Client(name, no_start_server=True, servername=server_name)
        self._watch = ServerWatch(sockets, library.kind, server_name)
        # Started first: when a server ends, JACK2 cancels a thread that has ended already, and with
        # it the newest thread, which has taken its place.
        self._closing, self._process_ends = Event(), False
        self._closer = steering_thread(self._close_when_asked, "stemd-close")
        self._closer.start()
        self._jack = jack
        self._library = library
        self._client = client
        self._functions = libjack.Functions(library)
        self._pointer = libjack.address_of(jack, client._ptr)
        self.name: str = client.name
        self.kind = library.kind
        self.server = library.version
        self.graph = JackGraph(jack, library, client, server_name)
        # JACK expects latencies to be set in the callback, where PipeWire may deadlock.
        self._defers_latency = library.kind == "pipewire"
        self._unbind: Callable[[], None] = lambda: None
        self._outputs: dict[str, Any] = {}
        self._undescribed: deque[tuple[int, Any]] = deque()

    @property
    def own_ports(self) -> Set[str]:
        """The full names of all ports that it has registered; a user may have removed them."""
        client = self._client
        midi = (*client.midi_inports, *client.midi_outports)
        registered = (*client.inports, *client.outports, *midi)
        return {port.name for port in registered}

    @property
    def samplerate(self) -> int:
        """The current sample rate in frames per second."""
        return int(self._client.samplerate)

    @property
    def period(self) -> int:
        """The current number of frames in a cycle."""
        return int(self._client.blocksize)

    def bind(
        self, callbacks: ServerCallbacks, inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        """Register the ports and set the compiled callbacks."""
        self._callbacks = self.graph.callbacks = callbacks
        self._unbind = callbacks.detach
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
                "get_time",
            )
        }
        callbacks.bind(
            Server(
                **functions,
                client=self._pointer,
                defers_latency=self._defers_latency,
                in_ports=[libjack.address_of(self._jack, port._ptr) for port in in_ports],
            )
        )
        for what, setter in CALLBACKS.items():
            callback = callbacks.callback(what)
            if self._functions.call(setter, self._pointer, callback, callbacks.argument):
                raise ServerError(
                    f"the {self.server} server refused the {what} callback: restart it"
                )
        shutdown = callbacks.callback("info_shutdown")
        self._functions.call("jack_on_info_shutdown", self._pointer, shutdown, callbacks.argument)

    def add_outputs(self, slots: Mapping[str, int]) -> None:
        """Register more ports, by name, and play the outputs of these numbers through them."""
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
            self._callbacks.set_out_port(slot, libjack.address_of(self._jack, port._ptr))
        self.describe()

    def add_midi(self, name: str) -> None:
        """Register a port that passes MIDI messages to the real-time side, before `activate`."""
        with self._refusals("the MIDI port"):
            port = self._client.midi_inports.register(name)
        self._callbacks.bind_midi(
            libjack.address_of(self._jack, port._ptr),
            self._functions.address("jack_midi_get_event_count"),
            self._functions.address("jack_midi_event_get"),
        )

    def add_midi_out(self, name: str) -> None:
        """Register a port that sends MIDI messages of the real-time side, before `activate`."""
        with self._refusals("the MIDI port"):
            port = self._client.midi_outports.register(name)
        self._callbacks.bind_midi_out(
            libjack.address_of(self._jack, port._ptr),
            self._functions.address("jack_midi_clear_buffer"),
            self._functions.address("jack_midi_event_write"),
        )

    def remove_outputs(self, slots: Mapping[str, int]) -> bool:
        """Stop playing the outputs of these numbers, and unregister their ports.

        Returns
        -------
        bool
            False if a cycle continues that may use them; then nothing has changed.
        """
        for slot in slots.values():
            self._callbacks.set_out_port(slot, 0)
        if slots and not self._callbacks.let_cycle_end():  # the current one may still use them
            for name, slot in slots.items():
                port = self._outputs[name]
                self._callbacks.set_out_port(slot, libjack.address_of(self._jack, port._ptr))
            return False
        for name in slots:
            port = self._outputs.pop(name)
            self._undescribed = deque(each for each in self._undescribed if each[1] is not port)
            with suppress(self._jack.JackError):  # the server has ended, and the port with it
                port.unregister()
        return True

    def activate(self) -> None:
        """Let the server call the callbacks."""
        with self._refusals("the client"):
            self._client.activate()

    def declare_latency(self) -> None:
        """Have the server compute the latencies of the whole graph again."""
        self._functions.call("jack_recompute_total_latencies", self._pointer)

    def describe(self) -> None:
        """Set the metadata of new ports; PipeWire accepts it only while a session manager runs."""
        with suppress(ValueError, RuntimeError):
            while self._undescribed:
                self._set_properties(*self._undescribed[0])
                self._undescribed.popleft()

    def is_alive(self) -> bool:
        """Whether the server runs."""
        return not self._watch.has_server_ended()

    def close(self, process_ends: bool = False) -> None:
        """Leave the graph.

        Parameters
        ----------
        process_ends : bool
            Only deactivate a client that must not be closed after its server, which may end now.

        Raises
        ------
        StemdError
            The server hangs and does not close the client, or too many clients could not be
            closed. No client may be opened after that.
        """
        self._process_ends = process_ends
        self._closing.set()
        self._closer.join(CLOSE_S)
        if self._closer.is_alive():
            raise StemdError(
                f"the {self.server} server hangs and does not let go: restart it, then stemd"
            )
        if len(_abandoned) >= MOST_ABANDONED and not process_ends:
            raise StemdError(
                f"PipeWire has ended {len(_abandoned)} times, and its library ({self.server}) "
                "cannot free what belonged to a server that ended: restart stemd; its "
                "service does so by itself"
            )
        self._unbind()

    def has_server_again(self) -> bool:
        """Whether a server accepts connections where this one did."""
        return self._watch.accepts_again()

    def _close_when_asked(self) -> None:
        self._closing.wait()
        if not self._library.closes_dead_clients and not self._may_be_closed():
            log.debug("left a client of %s open, whose server has ended or may end", self.server)
            _abandoned.append(self)
            self._watch.close()
            return
        self._watch.close()
        with suppress(self._jack.JackError):  # a server that has ended refuses
            self._client.close()

    def _may_be_closed(self) -> bool:
        """Deactivate the client, which frees its buffers, and return whether the server goes on.

        At the end of a session the server may end at any moment: it is not risked.
        """
        try:
            self._client.deactivate(ignore_errors=False)
        except self._jack.JackError:
            return False
        return self.is_alive() and not self._process_ends

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
        """Set a port's order, pretty name and group."""
        pair, side = port.shortname.rsplit("_", 1)
        pretty = f"{pair} {'left' if side == 'L' else 'right'}"
        self._client.set_property(port.uuid, PRETTY_NAME, pretty, "text/plain")
        self._client.set_property(port.uuid, PORT_GROUP, pair, "text/plain")
        self._client.set_property(port.uuid, ORDER, str(number), INTEGER)
