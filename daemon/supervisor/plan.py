"""What a configuration comes to on this machine."""

import logging
from dataclasses import dataclass
from typing import Any, Literal

from stemd.daemon.capacity.choice import choose
from stemd.daemon.config import EFFECTS, Config
from stemd.daemon.engine.networks import LoadedNetworks, choose_stems
from stemd.daemon.sections import Effect
from stemd.dsp.scheme import Scheme

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What is to be played.

    Attributes
    ----------
    config : Config
        What counts: of what takes effect at the next start only, that of the last start.
    wished : Config
        What was read last.
    scheme : Scheme
    networks : LoadedNetworks
    """

    config: Config
    wished: Config
    scheme: Scheme
    networks: LoadedNetworks


def make_plan(wished: Config, before: Plan | None = None) -> Plan:
    """Choose the scheme and load the networks, or take those of the plan before where they do.

    Networks are never shared by two separations, so another one takes others.

    Raises
    ------
    ModelError
        If the networks are missing or damaged, or no runtime is installed.
    StemdError
        If nothing can be measured.
    """
    config = _with_start_of(before.config, wished) if before else wished
    stems = choose_stems(config.separation.stems)
    if before and stems == len(before.networks.stems) and _same_work(stems, config, before.config):
        return Plan(config, wished, before.scheme, before.networks)
    if before is None and config.separation.stems == "auto" and stems == 2:
        log.info(
            "two stems, because Deezer's four-stem networks are not installed; for four: "
            "`stemd models install 4stems`, or `separation.stems: 4` for the bundled ones"
        )
    work, load = choose(config.separation.works(stems))
    return Plan(config, wished, work.scheme, LoadedNetworks(load, work.scheme))


def _same_work(stems: Literal[2, 4], *configs: Config) -> bool:
    works = [(each.separation.works(stems), each.jack.longest_period) for each in configs]
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
