"""Recording what plays, from one session to the next."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stemd.daemon.config import RecordingSection
from stemd.daemon.control.replies import Recording
from stemd.daemon.control.socket_paths import expanded
from stemd.daemon.engine.tape import Tape
from stemd.daemon.errors import StemdError
from stemd.daemon.ports import INPUTS, outputs_of
from stemd.daemon.record_wish import RecordWish
from stemd.daemon.recording.task import Progress, Source, Wishes
from stemd.daemon.supervisor.session import Session
from stemd.daemon.supervisor.swap import Phase

if TYPE_CHECKING:
    from stemd.daemon.recording.recorder import Recorder

CLOSE_S = 10.0
"""How long the daemon waits at its end until the files are closed."""


class Recordings:
    """Records while it is wanted (main thread).

    A take ends with its session, and where the stems or the delay change; the next one begins then.

    Parameters
    ----------
    wake : callable
        Let the main thread look (any thread).
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._wishes: Wishes | None = None
        self._recorder: Recorder | None = None
        self._session: Session | None = None
        self._progress = Progress()
        self._lost = 0
        self._samplerate = 1
        self._ending: set[Future[Progress]] = set()
        """Of recorders that still close their files."""

    @property
    def is_on(self) -> bool:
        """Whether a recording is wanted."""
        return self._wishes is not None

    def switch(
        self, on: bool | None, wish: RecordWish, section: RecordingSection, session: Session | None
    ) -> "Future[Progress]":
        """Begin or end a recording, for None the other of the two; return what is done then.

        Parameters
        ----------
        on : bool or None
        wish : RecordWish
        section : RecordingSection
            Of the configuration, for what is not wished.
        session : Session or None
            What to record.

        Raises
        ------
        StemdError
            It is impossible.
        """
        if not self.is_on if on is None else on:
            return self._begin(_wishes(section, wish), session)
        self._wishes = None
        return self._stop()

    def _begin(self, wishes: Wishes, session: Session | None) -> "Future[Progress]":
        """Begin to record; return what is done when it does.

        Raises
        ------
        StemdError
            It is impossible.
        """
        if self.is_on:
            raise StemdError("stemd records already: end that first (stemd record --stop)")
        if session is None:
            raise StemdError("there is nothing to record: no audio server has been joined")
        recorder = self._start(wishes, session)
        self._wishes = wishes
        return recorder.begun

    def look(self, session: Session) -> None:
        """Follow the session's stems and delay, and note how the recording goes."""
        recorder = self._recorder
        if recorder:
            self._progress, self._lost = recorder.progress, recorder.lost_frames
            if recorder.ended.done():
                self._wishes = None
                self._stop()
        if self._wishes and (not self._recorder or self._has_changed(self._recorder, session)):
            self._stop()
            self._start(self._wishes, session)

    def session_ends(self) -> None:
        """End the take; the next session has another one."""
        self._stop()

    def close(self) -> None:
        """End the recording, and wait until its files are closed."""
        self._wishes = None
        self._stop()
        wait(self._ending, CLOSE_S)

    def status(self) -> Recording:
        """Return what is recorded, and how well."""
        if self._recorder:
            self._progress, self._lost = self._recorder.progress, self._recorder.lost_frames
        progress = self._progress
        return Recording(
            on=self.is_on,
            auto=bool(self._wishes and self._wishes.auto),
            taking=progress.is_taking,
            folder=str(progress.folder) if progress.folder else None,
            seconds=round(progress.frames / self._samplerate, 3),
            lost_frames=self._lost,
            trouble=progress.trouble or None,
        )

    def _has_changed(self, recorder: "Recorder", session: Session) -> bool:
        """Whether other stems play, or with another delay, than those that are recorded."""
        source = _source(session, recorder.source.before_faders)
        return session.phase is Phase.STEADY and recorder.source != source

    def _start(self, wishes: Wishes, session: Session) -> "Recorder":
        from stemd.daemon.recording.recorder import Recorder  # takes memory

        source = _source(session, wishes.before_faders)
        slots = [*outputs_of(source.stems).values()]
        tape = Tape(len(INPUTS), slots, source.samplerate, wishes.before_faders)
        self._recorder = recorder = Recorder(wishes, source, tape, self._wake)
        self._session, self._samplerate = session, source.samplerate
        session.rt.tape(tape)
        recorder.start()
        return recorder

    def _stop(self) -> "Future[Progress]":
        """End the recorder, if there is one, with all that was played until now."""
        recorder, self._recorder = self._recorder, None
        session, self._session = self._session, None
        if recorder is None:
            ended: Future[Progress] = Future()
            ended.set_result(self._progress)
            return ended
        if session:
            session.rt.tape(None)
        self._progress = replace(recorder.progress, is_taking=False)
        recorder.stop()
        self._ending = {each for each in self._ending if not each.done()} | {recorder.ended}
        recorder.ended.add_done_callback(lambda _: self._note(recorder))
        return recorder.ended

    def _note(self, recorder: "Recorder") -> None:
        """Note how a recorder ended (its thread)."""
        self._progress, self._lost = recorder.progress, recorder.lost_frames
        self._wake()


def _source(session: Session, before_faders: bool) -> Source:
    return Source(session.stems, session.client.samplerate, session.rt.delay, before_faders)


def _wishes(section: RecordingSection, wish: RecordWish) -> Wishes:
    """Return how to record: as it is wished, else as it is configured.

    Raises
    ------
    ConfigError
        There is no home folder.
    """

    def chosen(wished: Any, configured: Any) -> Any:
        return configured if wished is None else wished

    return Wishes(
        folder=expanded("recording.folder", chosen(wish.folder, section.folder)),
        format=chosen(wish.format, section.format),
        before_faders=chosen(wish.before_faders, section.before_faders),
        align=chosen(wish.align, section.align),
        auto=wish.auto,
        silence_s=section.silence,
    )
