"""What all interfaces can ask of the daemon."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future

from stemd.daemon.control.bindings import Binding, with_learned
from stemd.daemon.control.bulletin import Bulletin
from stemd.daemon.control.events import BypassSwitched
from stemd.daemon.control.interfaces.midi_control import MidiControl
from stemd.daemon.control.interfaces.midi_section import MidiSection
from stemd.daemon.control.replies import Device, Recording, Reloaded, Status
from stemd.daemon.control.steerable import no_page
from stemd.daemon.errors import StemdError
from stemd.daemon.presets import PresetName
from stemd.daemon.record_wish import RecordWish
from stemd.daemon.recording.task import Progress
from stemd.daemon.sound_device import DeviceMode
from stemd.daemon.supervisor.calls import Calls
from stemd.daemon.supervisor.playback import Playback
from stemd.daemon.supervisor.reloading import Reloader
from stemd.daemon.supervisor.status import Figures, describe


class Console:
    """What interfaces can ask of the daemon; see `control.steerable.Steerable` (any thread).

    The main thread handles each request between two checks of the session.

    Parameters
    ----------
    playback : Playback
    calls : Calls
    bulletin : Bulletin
    reloader : Reloader
    figures : Figures
    midi : MidiSection
    learned : iterable of Binding
        MIDI bindings that were learned at earlier starts.

    Attributes
    ----------
    mixer : Mixer
    bulletin : Bulletin
    page_address : callable
        Returns the address of the page; set by what serves it.
    midi : MidiControl
        For the main thread only.
    is_stopping : bool
        Whether the daemon was asked to end.
    """

    def __init__(
        self,
        playback: Playback,
        calls: Calls,
        bulletin: Bulletin,
        reloader: Reloader,
        figures: Figures,
        midi: MidiSection,
        learned: Iterable[Binding],
    ) -> None:
        self.mixer = playback.mixer
        self.bulletin = bulletin
        self.page_address: Callable[[], str] = no_page
        self.is_stopping = False
        self._playback = playback
        self._calls = calls
        self._reloader = reloader
        self._figures = figures
        learned = list(learned)
        self.midi = MidiControl(
            self,
            with_learned(midi.bindings, learned),
            midi.soft_takeover,
            learned=learned,
        )

    def status(self) -> "Future[Status]":
        """Return what the daemon is doing, in figures."""
        return self._calls.add(lambda: describe(self._playback, self._figures))

    def note_not_open(self, interface: str, reason: str) -> None:
        """Report in each status why an interface is not open that is switched on."""
        self._figures.not_open[interface] = reason

    def bypass(self, on: bool | None) -> "Future[bool]":
        """Fade to the dry signal, or back to the stems; for None, to the other of the two."""
        return self._calls.add(lambda: self._bypass(on))

    def device(self, mode: DeviceMode | None) -> "Future[Device]":
        """Begin to be a sound device, or none; return what there is now."""
        return self._calls.add(lambda: self._device(mode))

    def record(self, on: bool | None, wish: RecordWish) -> "Future[Recording]":
        """Begin or end a recording; done when its files are open, or closed."""
        recorded: Future[Recording] = Future()

        def begun(asked: "Future[Future[Progress]]") -> None:
            if error := asked.exception():
                recorded.set_exception(error)
            else:
                asked.result().add_done_callback(written)

        def written(done: "Future[Progress]") -> None:
            if error := done.exception():
                recorded.set_exception(error)
            else:
                self._calls.add(self._playback.recordings.status).add_done_callback(shown)

        def shown(asked: "Future[Recording]") -> None:
            if error := asked.exception():
                recorded.set_exception(error)
            else:
                recorded.set_result(asked.result())

        self._calls.add(lambda: self._record(on, wish)).add_done_callback(begun)
        return recorded

    def reload(self, preset: PresetName | None = None) -> "Future[Reloaded]":
        """Read the configuration again; see `Reloader.reload`."""
        return self._reloader.reload(preset)

    def reload_soon(self) -> None:
        """Reload soon, once for all calls since the last reload (also in a signal handler)."""
        self._reloader.reload_soon()

    def learn(self, wish: Binding) -> "Future[Binding]":
        """Bind the next MIDI controller that moves."""
        learned: Future[Binding] = Future()

        def pass_on(asked: "Future[None]") -> None:
            error = asked.exception()
            if error and learned.set_running_or_notify_cancel():
                learned.set_exception(error)

        self._calls.add(lambda: self._learn(wish, learned)).add_done_callback(pass_on)
        return learned

    def stop(self) -> None:
        """End the daemon soon (also in a signal handler, so no lock may be taken)."""
        self.is_stopping = True
        self._playback.wake()

    def peaks(self) -> dict[str, list[float]]:
        """Return the recent peaks of the input and each stem [linear, left and right]."""
        return self._figures.peaks()

    def _bypass(self, on: bool | None) -> bool:
        wanted = not self._playback.is_bypassed if on is None else on
        if wanted != self._playback.is_bypassed:
            self._playback.bypass(wanted)
            self.bulletin.publish(BypassSwitched(wanted))
        return wanted

    def _device(self, mode: DeviceMode | None) -> Device:
        if mode:
            self._playback.set_device(mode)
        return self._playback.device.status()

    def _record(self, on: bool | None, wish: RecordWish) -> "Future[Progress]":
        playback = self._playback
        section = playback.config.recording
        return playback.recordings.switch(on, wish, section, playback.session)

    def _learn(self, wish: Binding, learned: "Future[Binding]") -> None:
        if not self._playback.config.midi.enabled:
            raise StemdError("there is no MIDI port: set midi.enabled to true, and start again")
        self.midi.learn(wish, learned)
