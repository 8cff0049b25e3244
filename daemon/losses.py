"""What presets lose against offline on recorded music: the figures of losses.json.

`make quality ARGS="--half report --write"` measures and writes them.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from stemd.daemon.work import Work

FILE = Path(__file__).with_name("losses.json")


@dataclass(frozen=True)
class Loss:
    """SDR of the vocals below that of the same networks offline, in dB.

    Attributes
    ----------
    mean_db, worst_db : float
        Over all songs, and of the song that loses most.
    """

    mean_db: float
    worst_db: float

    def __str__(self) -> str:
        """Return both figures."""
        return f"{self.mean_db:.1f} dB, at worst {self.worst_db:.1f} dB"


def loss_of(work: Work) -> Loss | None:
    """Return what the vocals lose in `mixed`; None where it was not measured."""
    if work.has_residual:
        return None
    by_scheme = json.loads(FILE.read_text(encoding="utf-8")).get(work.networks.name, {})
    found = by_scheme.get(str(work.scheme))
    return Loss(**found) if found else None
