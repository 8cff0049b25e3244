"""What plays, by which plan, and at which levels."""

from collections.abc import Mapping
from typing import Any

from stemd.daemon.config import Config
from stemd.daemon.control.mixer import Mixer, Strip, level
from stemd.daemon.device.device import SoundDevice
from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.graph.client import GraphClient
from stemd.daemon.graph.patchbay import Patchbay
from stemd.daemon.ports import STEMS, StemName, outputs_of
from stemd.daemon.sound_device import DeviceMode
from stemd.daemon.supervisor.changes import Change, Setup
from stemd.daemon.supervisor.plan import Plan
from stemd.daemon.supervisor.recordings import Recordings
from stemd.daemon.supervisor.session import ServerGoneError, Session
from stemd.daemon.supervisor.state import State


class Playback:
    """What plays, by which plan, and at which levels (main thread, unless a method says otherwise).

    Parameters
    ----------
    config : Config
        That of the start.
    mixer : Mixer
    is_bypassed : bool
        Begin with the dry signal.
    device : DeviceMode, optional
        The sound device to be, instead of the configuration's.

    Attributes
    ----------
    session : Session or None
        None while there is no server.
    config : Config
        The one in effect.
    plan : Plan or None
        None until the first networks are loaded.
    mixer : Mixer
        Knows which stems there are.
    patchbay : Patchbay
    device : SoundDevice
    recordings : Recordings
    is_bypassed : bool
    """

    def __init__(
        self,
        config: Config,
        mixer: Mixer,
        is_bypassed: bool = False,
        device: DeviceMode | None = None,
    ) -> None:
        self.session: Session | None = None
        self.config = config
        self.plan: Plan | None = None
        self.mixer = mixer
        self.patchbay = Patchbay(config.jack.autoconnect)
        self.device = SoundDevice(
            device or config.jack.device, self.patchbay, config.jack.server_name
        )
        self.recordings = Recordings(self.wake)
        self.is_bypassed = is_bypassed
        self._mixed: tuple[Session | None, tuple[str, ...]] = (None, ())

    @property
    def state(self) -> State:
        """What the daemon is doing (any thread)."""
        session, plan = self.session, self.plan
        if session:
            return session.state
        return State.WAITING if plan and plan.networks.by_stem else State.LOADING

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems that are heard, or will be once there is a server."""
        if self.session:
            return self.session.stems
        return self.plan.networks.stems if self.plan else ()

    @property
    def loaded_plan(self) -> Plan:
        """The plan (any thread); `StemdError` before there is one."""
        if self.plan is None:
            raise StemdError("the networks are not loaded yet")
        return self.plan

    def adopt_first(self, plan: Plan) -> None:
        """Put the first plan into effect; the mixer has its strips already."""
        self.plan, self.config = plan, plan.config
        self.follow_stems()

    def wake(self) -> None:
        """End the main thread's wait for events (any thread, also a signal handler)."""
        if session := self.session:
            session.rt.wake()

    def begin(self, client: GraphClient) -> Session:
        """Play in the graph of a server that was joined.

        Raises
        ------
        ServerGoneError
            It went away, or the networks were given up meanwhile; the client is closed.
        ServerError
            It refuses; the client is closed.
        """
        self.session = self._session_on(client, self.loaded_plan)
        self.follow_stems()
        return self.session

    def end(self) -> None:
        """Forget the session, so that nothing holds it while the next one is made."""
        self.recordings.session_ends()
        self.session = None
        self.device.end()
        self.follow_stems()

    def set_device(self, mode: DeviceMode) -> None:
        """Begin to be a sound device, or to be none.

        Raises
        ------
        StemdError
            It is impossible on this server.
        """
        session = self.session
        if session and (obstacle := self.device.obstacle(session.client, mode)):
            raise StemdError(obstacle)
        self.device.mode = mode

    def bypass(self, on: bool) -> None:
        """Fade to the dry signal, or back to the stems."""
        self.is_bypassed = on
        if self.session:
            self.session.bypass(on)

    def take_over(self, plan: Plan) -> Change:
        """Begin to change to another plan, which is in effect once the change is admitted."""
        setup = _setup(plan)
        if self.session and self.plan and plan.networks is not self.plan.networks:
            self._prepare_levels(self.session, plan)
            return self.session.change(setup, lambda: self.adopt(plan))
        self.adopt(plan)
        return Change.made(setup)

    def adopt(self, plan: Plan) -> None:
        """Put a plan into effect."""
        before = self.config
        changed = [stem for stem in STEMS if _strip(plan.config, stem) != _strip(before, stem)]
        self.plan, self.config = plan, plan.config
        if self.session:
            self.session.extend_masks(plan.config.separation.mask_extension)
        if plan.config is not before:  # else connections that the user took down would come back
            self.patchbay.follow(plan.config.jack.autoconnect)
        if plan.config.jack.device != before.jack.device:
            self.device.mode = plan.config.jack.device
        for stem in changed:
            self.mixer.put(stem, _strip(plan.config, stem))
        self.follow_stems()

    def follow_stems(self) -> None:
        """Give the mixer the stems that there are now."""
        session, stems = self.session, self.stems
        if self._mixed == (session, stems):
            return
        self._mixed = session, stems

        def apply(stem: str, factor: float) -> None:
            if session:
                _set_gain(session, stem, factor)

        self.mixer.attach(stems, apply)

    def changed_strips(self) -> dict[str, Strip]:
        """Return the strips that differ from the configuration's."""
        configured: Mapping[Any, Strip] = self.config.mixer.strips
        return {
            stem: strip
            for stem, strip in self.mixer.all_strips().items()
            if strip != configured.get(stem, Strip())
        }

    def changed_device(self) -> DeviceMode | None:
        """Return the wanted sound device if it differs from the configuration's."""
        return None if self.device.mode == self.config.jack.device else self.device.mode

    def _session_on(self, client: GraphClient, plan: Plan) -> Session:
        if not plan.networks.by_stem:  # a thread that hangs has taken them
            client.close()
            raise ServerGoneError
        config = plan.config
        try:
            return Session(
                client,
                _setup(plan),
                self.patchbay,
                self.is_bypassed,
                config.mixer.ramp,
                has_midi=config.midi.enabled,
                has_midi_out=config.midi.has_feedback,
                has_mix=config.jack.mix_ports,
            )
        except ServerError as error:
            is_alive = client.is_alive()
            client.close()
            if is_alive:
                raise
            raise ServerGoneError from error
        except BaseException:
            client.close()
            raise

    def _prepare_levels(self, session: Session, plan: Plan) -> None:
        """Set the stems that are not heard yet to the level at which they will begin."""
        strips = {
            stem: self._strip_after(stem, plan) for stem in STEMS if stem in plan.networks.stems
        }
        has_solo = any(strip.solo for strip in strips.values())
        for stem in strips.keys() - {*session.stems}:
            _set_gain(session, stem, level(strips[stem], has_solo))

    def _strip_after(self, stem: StemName, plan: Plan) -> Strip:
        """Return what a strip will be once a plan counts: it changes only where that does."""
        before, after = (_strip(config, stem) for config in (self.config, plan.config))
        return after if after != before else self.mixer.all_strips().get(stem, Strip())


def _setup(plan: Plan) -> Setup:
    config = plan.config
    return Setup(
        plan.networks, plan.scheme, config.separation.mask_extension, config.jack.longest_period
    )


def _strip(config: Config, stem: StemName) -> Strip:
    return config.mixer.strips.get(stem, Strip())


def _set_gain(session: Session, stem: str, factor: float) -> None:
    for output in outputs_of([stem]).values():
        session.rt.set_gain(output, factor)
