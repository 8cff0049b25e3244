"""What a configuration means on this machine: a scheme, and networks."""

import logging
from dataclasses import dataclass, replace
from typing import Any

from stemd.daemon.capacity.choice import choose
from stemd.daemon.config import EFFECTS, Config
from stemd.daemon.engine.network_choice import TWO, choose_networks
from stemd.daemon.engine.networks import LoadedNetworks
from stemd.daemon.presets import PresetName
from stemd.daemon.sections import Effect
from stemd.daemon.work import AUTO, SetOfNetworks
from stemd.dsp.scheme import Scheme

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What is to be played.

    Attributes
    ----------
    config : Config
        The one in effect: what takes effect at the next start only is that of the last start.
    wished : Config
        What was read last.
    scheme : Scheme
    networks : LoadedNetworks
    chosen : SetOfNetworks
        The set that they are.
    precision : str
        Their arithmetic.
    why_precision : str
        Why ``precision: auto`` is that; empty if it was not chosen.
    """

    config: Config
    wished: Config
    scheme: Scheme
    networks: LoadedNetworks
    chosen: SetOfNetworks
    precision: str
    why_precision: str = ""


def make_plan(wished: Config, before: Plan | None = None) -> Plan:
    """Choose the scheme and load the networks, or take those of the plan before where they fit.

    Networks are never shared by two separations, so another one takes others.

    Raises
    ------
    ModelError
        If the networks are missing or damaged, or no runtime is installed.
    StemdError
        If nothing can be measured.
    """
    config = _with_start_of(before.config, wished) if before else wished
    wishes = config.separation
    chosen = choose_networks(wishes.networks, wishes.stems)
    if before and chosen == before.chosen and _same_work(chosen, config, before.config):
        return replace(before, config=config, wished=wished)
    if before is None and wishes.networks == wishes.stems == AUTO and chosen.name == TWO:
        log.info(
            "two stems, because Deezer's four-stem networks are not installed; for four: "
            "`stemd models install 4stems`, or `separation.networks: 4stems-stemd` for the bundled "
            "ones"
        )
    work, load, why = choose(wishes.works(chosen))
    networks = LoadedNetworks(load, work.scheme, work.networks.masks)
    return Plan(config, wished, work.scheme, networks, chosen, work.precision, why)


def with_preset(config: Config, preset: PresetName | None) -> Config:
    """Return a configuration with a preset instead of its own and of what is set by hand."""
    if preset is None:
        return config
    return config.model_copy(update={"separation": config.separation.with_preset(preset)})


def _same_work(chosen: SetOfNetworks, *configs: Config) -> bool:
    works = [(each.separation.works(chosen), each.jack.longest_period) for each in configs]
    return works[0] == works[1]


def _with_start_of(running: Config, wished: Config) -> Config:
    """Return what was wished, but for what takes effect at the next start only."""
    sections = {}
    for name, new in wished:
        late = [key for key in type(new).model_fields if is_at_start(f"{name}.{key}")]
        old = getattr(running, name)
        sections[name] = new.model_copy(update={key: getattr(old, key) for key in late})
    return wished.model_copy(update=sections)


def differences(before: Config, after: Config) -> list[str]:
    """Name the keys that differ, as ``section.key``."""
    old, new = (_flat(config.model_dump(mode="json")) for config in (before, after))
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def is_at_start(key: str) -> bool:
    """Whether a key, as ``section.key``, takes effect at the next start only."""
    return EFFECTS[key] is Effect.AT_START


def _flat(sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, keys in sections.items()
        for key, value in keys.items()
    }
