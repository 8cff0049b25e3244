"""Writes what a tape gets into takes."""

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

from stemd.daemon.engine.scheduling import steering_thread
from stemd.daemon.engine.tape import Tape
from stemd.daemon.errors import StemdError
from stemd.daemon.recording.disk import FULL
from stemd.daemon.recording.task import Progress, Source, Wishes
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import CHANNELS

if TYPE_CHECKING:
    from stemd.daemon.recording.take import Take

log = logging.getLogger(__name__)

BLOCK = 4096
"""Frames that are written at once."""

LOOK_S = 0.05
"""Seconds from one look at the tape to the next."""

UPDATE_S = 1.0
"""How much of a take may be missing in its files where stemd is killed."""

SOUND = 10 ** (-60 / 20)
"""The level from which on something sounds [linear]."""

BEFORE_S = 1.0
"""How much of what comes before the first sound is in a take that began by itself."""


class Recorder:
    """Records until it is stopped, or the disk is full.

    Parameters
    ----------
    wishes : Wishes
    source : Source
    tape : Tape
        Of the input and the stems of the source.
    on_end : callable
        Called on the recorder's thread when it has ended by itself.

    Attributes
    ----------
    source : Source
    progress : Progress
        Replaced as a whole (any thread).
    begun : Future of Progress
        Done when it records, or waits for sound; an error where that is impossible.
    ended : Future of Progress
        Done when all files are closed.
    """

    def __init__(
        self, wishes: Wishes, source: Source, tape: Tape, on_end: Callable[[], None]
    ) -> None:
        self.source = source
        self.progress = Progress()
        self.begun: Future[Progress] = Future()
        self.ended: Future[Progress] = Future()
        self._wishes = wishes
        self._tape = tape
        self._on_end = on_end
        self._stopping = Event()
        self._take: Take | None = None
        self._trouble = ""
        self._lost = 0
        self._updated = 0
        self._input = _Delay(source.delay if wishes.align else 0)
        self._before: deque[Waveform] = deque()
        self._silent = 0
        self._block = np.empty((tape.channels, BLOCK), np.float32)
        self._thread = steering_thread(self._run, "stemd-record", is_long=True)

    def start(self) -> None:
        """Begin to record."""
        self._thread.start()

    def stop(self) -> None:
        """End, once all that is on the tape is written (any thread)."""
        self._stopping.set()

    @property
    def lost_frames(self) -> int:
        """Frames that were lost because they could not be written in time (any thread)."""
        return self._tape.lost_frames

    def _run(self) -> None:
        try:
            if not self._wishes.auto:
                self._open()
            self._note(self.begun)
            while not (self._trouble or self._stopping.wait(LOOK_S)):
                self._drain()
            if not self._trouble:
                self._drain()
        except OSError as error:
            self._fail(error)
        except Exception as error:
            log.exception("recording")
            self._trouble = f"the recording ended: {type(error).__name__}: {error}"
        finally:
            try:
                self._close()
            finally:
                self._finish()

    def _drain(self) -> None:
        """Write all that is on the tape."""
        while not self._trouble and (frames := self._tape.read(self._block)):
            block = self._block[:, :frames]
            block[:CHANNELS] = self._input.delayed(block[:CHANNELS])
            self._write(block)
        if (lost := self._tape.lost_frames) > self._lost:
            self._lost = lost
            log.warning(
                "recording: %d frames could not be written in time, and are silent in the files: "
                "the disk or this machine is too slow",
                lost,
            )
        self.progress = self._seen()

    def _write(self, block: Waveform) -> None:
        """Write a block, where it belongs to a take."""
        sounds = not self._wishes.auto or bool(np.abs(block).max() >= SOUND)
        frames = block.shape[1]
        if self._take is None:
            self._before.append(block.copy())
            if sounds:
                self._open()
                while self._before:
                    self._append(self._before.popleft())
            while sum(each.shape[1] for each in self._before) > BEFORE_S * self.source.samplerate:
                self._before.popleft()
        else:
            self._append(block)
            self._silent = 0 if sounds else self._silent + frames
            if self._silent >= self._wishes.silence_s * self.source.samplerate:
                self._close()

    def _append(self, block: Waveform) -> None:
        take = self._take
        if take is None:
            return
        take.write(block)
        if take.frames - self._updated >= UPDATE_S * self.source.samplerate:
            self._updated = take.frames
            take.update()

    def _open(self) -> None:
        from stemd.daemon.recording.take import Take  # libsndfile is for those who record

        source, wishes = self.source, self._wishes
        how = "before the faders" if source.before_faders else "as heard"
        aligned = "in the input's file too" if wishes.align else "not in the input's file"
        note = f"recorded by stemd, {how}; a delay of {source.delay} frames, {aligned}"
        self._silent = self._updated = 0
        self._take = Take(wishes.folder, wishes.format, source.stems, source.samplerate, note)
        log.info("recording into %s", self._take.folder)

    def _close(self) -> None:
        take = self._take
        if take is None:
            return
        take.close()
        self.progress = self._seen()
        self._take = None
        log.info("recorded %.1f s into %s", take.frames / self.source.samplerate, take.folder)
        if take.clipped:
            log.warning(
                "recording: %d samples were beyond full scale, and are clipped in the FLAC files: "
                "set recording.format to wav",
                take.clipped,
            )

    def _fail(self, error: OSError) -> None:
        where = self._take.folder if self._take else self._wishes.folder
        if error.errno in FULL:
            self._trouble = (
                f"the disk of {where} is full: the recording has ended, and all until then is there"
            )
        else:
            self._trouble = f"cannot record into {where}: {error.strerror}"

    def _seen(self) -> Progress:
        take, last = self._take, self.progress
        if take is None:
            return Progress(last.folder, last.frames, False, self._trouble)
        return Progress(take.folder, take.frames, True, self._trouble)

    def _note(self, future: "Future[Progress]") -> None:
        self.progress = self._seen()
        future.set_result(self.progress)

    def _finish(self) -> None:
        if self._trouble:
            log.error("%s", self._trouble)
        if not self.begun.done():
            self.begun.set_exception(StemdError(self._trouble))
        self._note(self.ended)
        if not self._stopping.is_set():
            self._on_end()


class _Delay:
    """Makes a channel later by some frames; silence comes first."""

    def __init__(self, frames: int) -> None:
        self._held = np.zeros((CHANNELS, frames), np.float32)
        self._at = 0

    def delayed(self, block: Waveform) -> Waveform:
        """Return as many frames as the block has [shape=(CHANNELS, frames)]."""
        delay = self._held.shape[1]
        if not delay:
            return block
        out = np.empty_like(block)
        for start in range(0, block.shape[1], delay):
            part = block[:, start : start + delay]
            places = (self._at + np.arange(part.shape[1])) % delay
            out[:, start : start + delay] = self._held[:, places]
            self._held[:, places] = part
            self._at = (self._at + part.shape[1]) % delay
        return out
