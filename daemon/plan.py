"""What a configuration comes to on this machine."""

from dataclasses import dataclass
from typing import Any

from stemd.daemon.config import Config
from stemd.daemon.machine import choose
from stemd.daemon.networks import LoadedNetworks, choose_stems
from stemd.dsp.scheme import Scheme

AT_START = ("jack.client_name", "jack.server", "mixer.ramp", "control", "midi", "osc", "metrics")
"""What takes effect at the next start only: keys, and sections as a whole."""


@dataclass(frozen=True)
class Plan:
    """What is to be played."""

    config: Config
    scheme: Scheme
    networks: LoadedNetworks


def make_plan(config: Config, before: Plan | None = None) -> Plan:
    """Choose the scheme and load the networks, those of the plan before where they do.

    Raises
    ------
    ModelError
        If the networks are missing or damaged, or no runtime is installed.
    StemdError
        If nothing can be measured.
    """
    wishes = config.separation
    stems = choose_stems(wishes.stems)
    if before and stems == before.networks.stems and _same_networks(config, before.config):
        return Plan(config, before.scheme, before.networks)
    scheme, load = choose(stems, wishes.schemes, wishes.precision, wishes.threads)
    return Plan(config, scheme, LoadedNetworks(load))


def _same_networks(config: Config, before: Config) -> bool:
    mine, others = config.separation, before.separation
    return (mine.schemes, mine.precision, mine.threads) == (
        others.schemes,
        others.precision,
        others.threads,
    )


def differences(before: Config, after: Config) -> list[str]:
    """Name the keys that differ, as ``section.key``."""
    old, new = (_flat(config.model_dump(mode="json")) for config in (before, after))
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def is_at_start(key: str) -> bool:
    """Tell whether a key takes effect at the next start only."""
    return key in AT_START or key.partition(".")[0] in AT_START


def _flat(sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, keys in sections.items()
        for key, value in keys.items()
    }
