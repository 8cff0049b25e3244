"""`stemd run`: building the daemon, and its order of start and stop."""

import gc
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from pydantic import ValidationError

from stemd.daemon.config import Config, JackSection
from stemd.daemon.control.interfaces import nsm as nsm_interface
from stemd.daemon.control.interfaces.interface import Steering, Target
from stemd.daemon.control.mixer import Mixer
from stemd.daemon.control.pace import Pace
from stemd.daemon.control.saved_state import StateFile
from stemd.daemon.control.socket_paths import expanded
from stemd.daemon.control.steerable import Steerable
from stemd.daemon.errors import ServerError, StemdError
from stemd.daemon.graph.client import GraphClient
from stemd.daemon.graph.jack import open_client
from stemd.daemon.graph.private_server import private_server
from stemd.daemon.ports import INPUTS, MIDI, MIDI_OUT, MIX, outputs_of
from stemd.daemon.presets import PresetName
from stemd.daemon.supervisor.daemon import Daemon
from stemd.daemon.supervisor.notifier import Notifier
from stemd.daemon.supervisor.plan import Plan, make_plan, with_preset
from stemd.daemon.validation_errors import in_words
from stemd.tflite_models.errors import ModelError

if TYPE_CHECKING:
    from stemd.daemon.control.interfaces.nsm_client import NsmClient, Opened

log = logging.getLogger(__name__)


def run(read_config: Callable[[], Config]) -> None:
    """Separate until SIGINT or SIGTERM (main thread).

    Parameters
    ----------
    read_config : callable
        Reads the configuration; again at each reload.

    Raises
    ------
    StemdError
        The daemon cannot begin, or cannot go on.
    ModelError
        The networks are missing or damaged.
    """
    with ExitStack() as stack:
        stack.callback(_let_go)
        nsm, adapt = _nsm(stack)
        with _failures_told(nsm):
            config = adapt(read_config())
        state = config.control.state_file
        daemon = Daemon(
            config,
            _planner(config, lambda: adapt(read_config()), nsm),
            partial(_way_to_join(stack, config), config.jack),
            Mixer(config.mixer.strips.items()),
            StateFile(expanded("control.state_file", state) if state else None),
            Notifier(os.environ),
        )
        stack.enter_context(_signals_to(daemon.console))
        for interface in _open_interfaces(config, daemon.console, daemon.console.note_not_open):
            interface.start()
            stack.callback(interface.close)
        if nsm:
            follow = partial(nsm.follow, daemon.saver.save_and_wait)
            stack.enter_context(daemon.console.bulletin.subscription(follow))
        daemon.run()


def _planner(
    config: Config, read_config: Callable[[], Config], nsm: "NsmClient | None"
) -> Callable[[Plan | None, PresetName | None], Plan]:
    """Return what makes the first plan, of a configuration, and each next one, of what it reads."""

    def replan(before: Plan | None, preset: PresetName | None) -> Plan:
        if before:
            plan = make_plan(with_preset(read_config(), preset), before)
        else:
            with _failures_told(nsm):
                plan = make_plan(config)
        _warn_of_idle_settings(plan)
        return plan

    return replan


def _way_to_join(stack: ExitStack, config: Config) -> Callable[[JackSection], GraphClient]:
    """Return what opens a client; start the private server first, where that is wanted."""
    if config.jack.server != "dummy":
        return _join
    name = stack.enter_context(private_server())
    log.warning(
        "playing on a private JACK server without a sound card; programs find it by "
        "JACK_DEFAULT_SERVER=%s",
        name,
    )
    return partial(_join_private, name)


def _let_go() -> None:
    """Free what is left, of which soxr complains when Python ends."""
    gc.unfreeze()
    gc.collect()


def _nsm(stack: ExitStack) -> "tuple[NsmClient | None, Callable[[Config], Config]]":
    """Wait until the session manager opens stemd, where there is one; return how to adapt to it."""
    url = os.environ.get(nsm_interface.KEY)
    if not url:
        return None, lambda config: config
    nsm = nsm_interface.make(url)
    stack.callback(nsm.close)
    return nsm, partial(_in_session, nsm.wait_for_open())


def _in_session(opened: "Opened", config: Config) -> Config:
    """Replace the client's name and the state file by those that the session manager wants.

    Raises
    ------
    StemdError
        It is not allowed in a configuration either: the name becomes part of paths.
    """
    if not opened.path.is_absolute():
        raise StemdError(
            f"the session manager must give an absolute path for what is saved (got {opened.path})"
        )
    named = {**dict(config.jack), "client_name": opened.client_name}
    control = {**dict(config.control), "state_file": f"{opened.path}.json"}
    try:
        return Config.model_validate({**dict(config), "jack": named, "control": control})
    except ValidationError as error:
        problem = error.errors()[0]
        raise StemdError(
            "the session manager gives a value that a configuration may not have: "
            f"{problem['loc'][-1]} {in_words(problem)}"
        ) from None


@contextmanager
def _failures_told(nsm: "NsmClient | None") -> Iterator[None]:
    """Report to the session manager why stemd cannot be opened."""
    try:
        yield
    except (StemdError, ModelError) as error:
        if nsm:
            nsm.fail(str(error))
        raise


def _open_interfaces(
    config: Config, daemon: Steerable, on_failure: Callable[[str, str], None]
) -> Iterator[Steering]:
    """Open what the configuration switches on; without one of them stemd plays all the same."""
    target = Target(daemon, Pace(), config.jack.client_name)
    for name, interface in config.interfaces():
        try:
            opened = interface.open(target)
        except StemdError as error:
            log.warning("it plays, but: %s", error)
            on_failure(name, str(error))
        else:
            if opened:
                yield opened


def _join(wishes: JackSection) -> GraphClient:
    return open_client(wishes.client_name, wishes.server, wishes.server_name)


def _join_private(name: str, wishes: JackSection) -> GraphClient:
    try:
        return open_client(wishes.client_name, wishes.server, name)
    except ServerError as error:  # nothing starts it again
        raise StemdError(f"the private JACK server ended: {error}") from None


@contextmanager
def _signals_to(daemon: Steerable) -> Iterator[None]:
    def end(*_: object) -> None:
        restore()  # a second signal ends a stop that hangs
        daemon.stop()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    if not os.isatty(0):  # else it says that the terminal was closed
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: daemon.reload_soon())
    try:
        yield
    finally:
        restore()


def _warn_of_idle_settings(plan: Plan) -> None:
    """Log which settings do nothing, since what they are for is not there."""
    stems, wishes = plan.networks.stems, plan.config.jack.autoconnect
    midi = plan.config.midi
    for port in wishes.keys() - {*INPUTS, *outputs_of(stems), *MIX, MIDI, MIDI_OUT}:
        log.warning("jack.autoconnect.%s: connects nothing, with %d stems", port, len(stems))
    keys = {
        MIDI: ("midi.enabled", midi.enabled),
        MIDI_OUT: ("midi.feedback", midi.feedback),
        **dict.fromkeys(MIX, ("jack.mix_ports", plan.config.jack.mix_ports)),
    }
    for port, (key, is_true) in keys.items():
        if port in wishes and not is_true:
            log.warning("jack.autoconnect.%s: connects nothing, for %s is false", port, key)
    for stem in plan.config.mixer.strips.keys() - {*stems}:
        log.warning("mixer.strips.%s: changes nothing, with %d stems", stem, len(stems))
    for binding in midi.bindings:
        if binding.stem not in (None, *stems):
            words = binding.in_words()
            log.warning("midi.bindings: %s, and does nothing, with %d stems", words, len(stems))
    if midi.bindings and not midi.enabled:
        log.warning("midi.bindings: do nothing, for midi.enabled is false")
    if midi.feedback and not midi.enabled:
        log.warning("midi.feedback: does nothing, for midi.enabled is false")
