"""What daemons reply to ``status``, as JSON has it."""

WAITING = {
    "version": "0.1.0",
    "protocol": 1,
    "state": "waiting",
    "bypass": False,
    "networks": "2stems",
    "stems": ["vocals", "accompaniment"],
    "preset": "balanced",
    "precision": "mixed",
    "why_precision": "a block takes 4.0 ms in mixed, 15.0 ms in fp32, by estimate",
    "window": {"T": 128, "B": 14, "A": 14, "mirror": 0},
    "mixer": {
        stem: {"gain": 0.0, "mute": False, "solo": False} for stem in ("vocals", "accompaniment")
    },
    "peaks": {"in": [0.0, 0.0], "vocals": [0.0, 0.0], "accompaniment": [0.0, 0.0]},
    "trouble": None,
    "not_open": {},
    "device": {"mode": "off", "in_effect": "off", "trouble": None},
    "recording": {
        "on": False,
        "auto": False,
        "taking": False,
        "folder": None,
        "seconds": 0.0,
        "lost_frames": 0,
        "trouble": None,
    },
    "server": None,
}

PLAYING = {
    **WAITING,
    "state": "playing",
    "server": {
        "name": "JACK 1.9.21",
        "client": "stemd",
        "samplerate": 48_000,
        "period": 256,
        "priority": 70,
        "periods": 10,
        "xruns": 2,
        "bad_samples": 0,
        "bad_outputs": 0,
        "longest_cycle_us": 250.0,
    },
    "realtime": {
        "server": 70,
        "engine": {"wanted": 65, "granted": 65},
        "steering": {"wanted": 63, "granted": 63},
        "networks": {"wanted": 60, "granted": 60},
        "memory": {"wanted": True, "granted": True},
        "missing": [],
        "found": "real-time priority: engine 65, steering 63, networks 60; memory is locked",
        "remedy": "",
    },
    "delay": {"frames": 22_772, "seconds": 0.474},
    "load": {"vocals": 0.05, "accompaniment": 0.04, "engine": 0.03},
    "blocks": {"total": 100, "late": 3, "bad_estimates": 0},
    "engine": {"late_periods": 4, "late_frames": 5, "lost_frames": 6, "dry_frames": 7},
    "connections": [],
    "disconnected": [],
    "autoconnect": {},
}

COUNTERS = ("server", "realtime", "delay", "blocks", "engine")


def status(**changes):
    """That of a daemon that plays, or, with ``server=None``, waits; counters change one by one."""
    base = WAITING if changes.get("server", 1) is None else PLAYING
    merged = {
        key: {**base[key], **value} if key in COUNTERS and isinstance(value, dict) else value
        for key, value in changes.items()
    }
    return {**base, **merged}
