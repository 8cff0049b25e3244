"""Saving what was set, for the next start."""

from concurrent.futures import Future

from stemd.daemon.control.interfaces.midi_control import MidiControl
from stemd.daemon.control.saved_state import SavedState, StateFile
from stemd.daemon.errors import StemdError
from stemd.daemon.supervisor.calls import Calls
from stemd.daemon.supervisor.playback import Playback

SAVE_S = 5.0
"""Seconds that `Saver.save_and_wait` waits at most."""


class Saver:
    """Saves what differs from the configuration: strips, bypass, device and MIDI bindings.

    Parameters
    ----------
    state_file : StateFile
    playback : Playback
    midi : MidiControl
    calls : Calls
    """

    def __init__(
        self, state_file: StateFile, playback: Playback, midi: MidiControl, calls: Calls
    ) -> None:
        self._state_file = state_file
        self._playback = playback
        self._midi = midi
        self._calls = calls

    def save(self, again: bool = False) -> "Future[str]":
        """Begin to save where something has changed; see `StateFile.save` (main thread)."""
        return self._state_file.save(self._state(), again)

    def save_and_wait(self) -> str:
        """Save now, and wait until that is done (any other thread).

        Returns
        -------
        str
            Why nothing is saved; empty where it is.
        """
        try:
            self._calls.add(self.save).result(SAVE_S).result(SAVE_S)  # one that is under way
            return self._calls.add(lambda: self.save(again=True)).result(SAVE_S).result(SAVE_S)
        except TimeoutError:
            return f"it is not written within {SAVE_S:.0f} s"
        except StemdError as error:  # the daemon ends
            return str(error)

    def close(self) -> None:
        """Save for the last time (main thread)."""
        self._state_file.close(self._state())

    def _state(self) -> SavedState:
        playback = self._playback
        return SavedState.model_validate(
            {
                "strips": playback.changed_strips(),
                "bypass": playback.is_bypassed,
                "device": playback.changed_device(),
                "bindings": self._midi.learned,
            }
        )
