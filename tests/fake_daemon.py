"""A daemon that does at once what it is asked, for those who steer one."""

import threading
from concurrent.futures import Future

from statuses import status
from stemd.daemon.control.bulletin import Bulletin
from stemd.daemon.control.client import read_status
from stemd.daemon.control.events import (
    BypassSwitched,
    DeviceChanged,
    RecordingChanged,
    StripChanged,
)
from stemd.daemon.control.mixer import Mixer
from stemd.daemon.control.replies import Device, Recording, Reloaded
from stemd.daemon.control.steerable import no_page
from stemd.daemon.record_wish import RecordWish


def done(value):
    future = Future()
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)
    return future


class FakeDaemon:
    """Does at once what it is asked."""

    def __init__(self) -> None:
        self.mixer = Mixer([])
        self.levels: dict[str, float] = {}
        self.mixer.attach(("vocals", "accompaniment"), self.levels.__setitem__)
        self.bulletin = Bulletin()
        self.page_address = no_page
        self.mixer.on_change = lambda stem, strip: self.bulletin.publish(
            StripChanged(stem, **strip.model_dump())
        )
        self.is_bypassed = False
        self.device_mode = "off"
        self.is_recording = False
        self.record_wish = RecordWish()
        self.figures: dict[str, object] = {}
        self.raw: dict[str, object] | None = None
        self.reloads = 0
        self.stopped = threading.Event()
        self.reloaded: object = Reloaded(changed=[], at_next_start=[])

    def status(self):
        if self.raw is not None:
            return done(self.raw)
        device = vars(self.device(None).result())
        mixer = {stem: strip.model_dump() for stem, strip in self.mixer.strips().items()}
        recording = vars(self._recording())
        own = {"bypass": self.is_bypassed, "device": device, "mixer": mixer, "recording": recording}
        figures = {**own, **self.figures}
        return done(read_status(status(**figures)))

    def bypass(self, on):
        self.is_bypassed = not self.is_bypassed if on is None else on
        self.bulletin.publish(BypassSwitched(self.is_bypassed))
        return done(self.is_bypassed)

    def device(self, mode):
        if mode:
            self.device_mode = mode
            self.bulletin.publish(DeviceChanged(mode, in_effect="off", trouble=None))
        return done(Device(mode=self.device_mode, in_effect="off", trouble=None))

    def record(self, on, wish):
        self.is_recording = not self.is_recording if on is None else on
        self.record_wish = wish
        seen = vars(self._recording())
        names = RecordingChanged.__annotations__
        self.bulletin.publish(RecordingChanged(**{name: seen[name] for name in names}))
        return done(self._recording())

    def _recording(self):
        on, auto = self.is_recording, self.record_wish.auto
        taking = on and not auto
        return Recording(on, auto, taking, self.record_wish.folder, 1.5 * on, 0, None)

    def reload(self, preset=None):
        self.preset = preset
        return done(self.reloaded)

    def reload_soon(self):
        self.reloads += 1

    def learn(self, wish):
        self.wish = wish
        return done(wish.model_copy(update={"cc": 21, "channel": 1}))

    def stop(self):
        self.stopped.set()

    def peaks(self):
        return {"in": [0.5, 0.25]}
