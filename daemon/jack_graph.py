"""The daemon's place in a JACK or PipeWire graph."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from re import Pattern
from threading import Thread
from types import ModuleType
from typing import Any

from stemd.daemon import libjack
from stemd.daemon.errors import ServerError
from stemd.daemon.realtime import RealtimeSide

log = logging.getLogger(__name__)

PRETTY_NAME = "http://jackaudio.org/metadata/pretty-name"
ORDER = "http://jackaudio.org/metadata/order"
PORT_GROUP = "http://jackaudio.org/metadata/port-group"
INTEGER = "http://www.w3.org/2001/XMLSchema#int"


def open_client(name: str, server: str, server_name: str | None = None) -> "JackClient":
    """Join the graph of the first server that answers.

    Parameters
    ----------
    name : str
        What the client wants to be called; the server appends a number if that is taken.
    server : str
        "auto" (JACK where it answers, else PipeWire), "jack" or "pipewire".
    server_name : str, optional
        Of a JACK server other than the default one.

    Raises
    ------
    ServerError
        If none answers, or no client library is installed.
    """
    candidates = libjack.candidates(server)
    for library in candidates:
        jack = libjack.load(library)
        try:
            return JackClient(jack, library, name, server_name)
        except jack.JackOpenError as error:
            log.debug("%s: %s", library.version, error)
    kinds = " or ".join(
        {"jack": "JACK", "pipewire": "PipeWire"}[library.kind] for library in candidates
    )
    raise ServerError(
        f"no {kinds} server answers: start one, or let stemd start a private one "
        "without a sound card (stemd run --server dummy)"
    )


class JackClient:
    """A `GraphClient` of libjack. See there.

    One thread at a time may call it. The server calls the compiled process callback on its
    real-time thread, and the others here on a thread for notifications.
    """

    def __init__(
        self, jack: ModuleType, library: libjack.Library, name: str, server_name: str | None
    ) -> None:
        self._jack = jack
        self._client: Any = jack.Client(name, no_start_server=True, servername=server_name)
        self.name: str = self._client.name
        self.server = library.version
        self.samplerate: int = self._client.samplerate
        self.blocksize: int = self._client.blocksize
        self._rt: RealtimeSide | None = None
        self._closing = False
        self._connector: Thread | None = None
        self._new_ports: SimpleQueue[str | None] = SimpleQueue()

    def bind(self, rt: RealtimeSide, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Register the ports and set the compiled callbacks."""
        self._rt = rt  # the callbacks hold its address
        with self._refusals("the ports"):
            in_ports = [self._client.inports.register(port) for port in inputs]
            out_ports = [self._client.outports.register(port) for port in outputs]
        self._describe([*in_ports, *out_ports])
        get_buffer = _address(self._jack, self._jack._lib.jack_port_get_buffer)
        rt.bind(
            get_buffer,
            *([_address(self._jack, p._ptr) for p in ps] for ps in (in_ports, out_ports)),
        )
        self._set_callback("process", "JackProcessCallback", rt.process, rt.argument)
        self._set_callback("freewheel", "JackFreewheelCallback", rt.freewheel, rt.argument)

    def activate(self, on_shutdown: Callable[[str], None]) -> None:
        """Let the server call."""
        self._client.set_shutdown_callback(lambda _, reason: on_shutdown(reason))
        self._client.set_port_registration_callback(self._on_port_registration)
        with self._refusals("the client"):
            self._client.activate()

    def autoconnect(self, patterns: Mapping[str, Pattern[str]]) -> None:
        """Connect now, and from now on."""
        for name in self._port_names():
            self._connect_matching(patterns, name)
        self._connector = Thread(
            target=self._connect_new_ports, args=(patterns,), name="stemd-connect", daemon=True
        )
        self._connector.start()

    def has_port(self, name: str) -> bool:
        """Tell whether the graph has a port of this full name."""
        return name in self._port_names()

    def close(self) -> None:
        """Leave the graph."""
        self._closing = True
        if self._connector:
            self._new_ports.put(None)
            self._connector.join()
        self._client.close()

    def _set_callback(self, what: str, kind: str, function: int, argument: int) -> None:
        """Register a compiled callback; JACK-Client itself only takes Python's."""
        ffi = self._jack._ffi
        register = getattr(self._jack._lib, f"jack_set_{what}_callback")
        if register(self._client._ptr, ffi.cast(kind, function), ffi.cast("void *", argument)):
            raise ServerError(f"the {self.server} server refused the {what} callback: restart it")

    @contextmanager
    def _refusals(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._jack.JackError as error:
            raise ServerError(
                f"the {self.server} server refused {what}: {error}; it may have no room for more "
                "(jackd's --port-max), or it is ending"
            ) from None

    def _port_names(self) -> list[str]:
        """Return all there are; a port that vanishes meanwhile fails the whole question."""
        for _ in range(10):
            with suppress(self._jack.JackError):
                return [port.name for port in self._client.get_ports()]
        return []

    def _describe(self, ports: Iterable[Any]) -> None:
        """Tell patchbays each port's order, name for people, and pair."""
        for number, port in enumerate(ports):
            pair, side = port.shortname.rsplit("_", 1)
            people = f"{pair} {'left' if side == 'L' else 'right'}"
            self._set_property(port, PRETTY_NAME, people, "text/plain")
            self._set_property(port, PORT_GROUP, pair, "text/plain")
            self._set_property(port, ORDER, str(number), INTEGER)

    def _set_property(self, port: Any, key: str, value: str, kind: str) -> None:
        try:
            self._client.set_property(port.uuid, key, value, kind)
        except (ValueError, RuntimeError) as error:
            # PipeWire keeps metadata only while a session manager runs.
            log.debug("no metadata for %s: %s", port.name, error)

    def _on_port_registration(self, port: Any, registered: bool) -> None:
        # The server must not be asked anything from here.
        if registered:
            self._new_ports.put(port.name)

    def _connect_new_ports(self, patterns: Mapping[str, Pattern[str]]) -> None:
        while (name := self._new_ports.get()) is not None and not self._closing:
            self._connect_matching(patterns, name)

    def _connect_matching(self, patterns: Mapping[str, Pattern[str]], foreign: str) -> None:
        own_prefix = f"{self.name}:"
        for port, pattern in patterns.items():
            if not foreign.startswith(own_prefix) and pattern.fullmatch(foreign):
                self._connect(own_prefix + port, foreign)

    def _connect(self, own: str, foreign: str) -> None:
        is_input = any(port.name == own for port in self._client.inports)
        source, destination = (foreign, own) if is_input else (own, foreign)
        try:
            self._client.connect(source, destination)
            log.info("connected %s to %s", source, destination)
        except self._jack.JackError as error:
            log.debug("cannot connect %s to %s: %s", source, destination, error)


def _address(jack: ModuleType, pointer: Any) -> int:
    return int(jack._ffi.cast("uintptr_t", pointer))
