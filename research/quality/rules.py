"""How masks could be made otherwise, tried on what the networks estimate offline.

``make masks`` measures the reporting half and writes its tables into docs/research/yardstick.md;
``make masks ARGS=decide`` prints those of the other half, which decides. `make quality` has to run
the networks first.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.report import DOCS, markdown_table, replace_section
from research.material.recorded import STEMS, Half, Recipe, recipes
from research.material.voices import MaterialError
from research.quality import measures, sliding
from research.quality.estimates import Way, estimates, excerpt, networks_of
from research.quality.measures import summary
from stemd.dsp.arrays import Magnitudes, Waveform
from stemd.dsp.masks import EPSILON, share_rest
from stemd.dsp.scheme import CHANNELS, SPLEETER
from stemd.tflite_models.errors import ModelError

DOCUMENT = DOCS / "research" / "yardstick.md"
BINS = SPLEETER.model_bins
ENOUGH_DB = -0.3
"""How much worse than with two stems the vocals of four may be."""
AUDIBLE_DB = -40.0
Figures: TypeAlias = Mapping[str, Mapping[str, float]]
"""Of one mix: by table and row, decibels."""


@dataclass(frozen=True)
class Powers:
    """Powers in each bin [shape=(spectra, BINS, CHANNELS)].

    Attributes
    ----------
    mixture, vocals : Magnitudes
    accompaniment : Magnitudes
        By the second network of `2stems`.
    others : Magnitudes
        Of drums, bass and other together.
    """

    mixture: Magnitudes
    vocals: Magnitudes
    accompaniment: Magnitudes
    others: Magnitudes

    @property
    def rest(self) -> Magnitudes:
        """What the vocals leave of the mixture."""
        return np.asarray(np.maximum(self.mixture - self.vocals, 0), np.float32)


def against(rest: Magnitudes, powers: Powers) -> Magnitudes:
    """Return the vocals' mask by the ratio of their power to that and to some rest."""
    return np.asarray(powers.vocals / (powers.vocals + rest + EPSILON), np.float32)


def to_the_power(exponent: float, powers: Powers) -> Magnitudes:
    """Return the vocals' mask as a power of the ratio of the magnitudes."""
    ratio = np.minimum(powers.vocals / (powers.mixture + EPSILON), 1)
    return np.asarray(ratio ** (exponent / 2), np.float32)


RULES: Mapping[str, Callable[[Powers], Magnitudes]] = {
    "2stems": lambda p: against(p.accompaniment, p),
    "vocals first: (v / M)²": lambda p: to_the_power(2, p),
    "(v / M)^1.5": lambda p: to_the_power(1.5, p),
    "(v / M)^1.75": lambda p: to_the_power(1.75, p),
    "(v / M)^2.5": lambda p: to_the_power(2.5, p),
    "ratio to what the others claim": lambda p: against(p.others, p),
    "ratio to the smaller of both rests": lambda p: against(np.minimum(p.others, p.rest), p),
    "ratio to the mean of the rest and the smaller": lambda p: against(
        np.mean([p.rest, np.minimum(p.others, p.rest)], axis=0), p
    ),
}
"""The vocals' mask, v their magnitude, M that of the mixture."""

EXTENSIONS: Mapping[str, int | None] = {"mean": BINS, "extend": 64, "last bin": 1, "zeros": None}
"""The mask above 11 kHz is the mean of so many bins below; None: it is 0."""


def widened(mask: Magnitudes, bins: int | None = BINS) -> NDArray[np.float32]:
    """Extend a mask above the networks' bins [shape=(spectra, CHANNELS, n_bins)]."""
    low = mask.swapaxes(1, 2)
    wide = np.zeros((len(low), CHANNELS, SPLEETER.n_bins), np.float32)
    wide[..., :BINS] = low
    if bins:
        wide[..., BINS:] = low[..., -bins:].mean(axis=-1, keepdims=True)
    return wide


@dataclass(frozen=True)
class Heard:
    """A mix, and what the networks estimate for it offline."""

    spectra: NDArray[np.complex64]
    mixture: Waveform
    truths: Mapping[str, Waveform]
    voice: NDArray[np.complex64]
    """The singer's spectra."""
    made: Mapping[str, Magnitudes]
    """By stem, of both sets."""

    @property
    def powers(self) -> Powers:
        """What the rules are made of."""
        vocals, accompaniment, *others = (
            np.square(self.made[stem]) for stem in ("vocals", "accompaniment", *STEMS[1:])
        )
        mixture = np.square(sliding.magnitudes_of(self.spectra))
        return Powers(mixture, vocals, accompaniment, np.sum(others, axis=0))

    def stem(self, mask: Magnitudes, bins: int | None = BINS) -> Waveform:
        """Return the waveform that a mask makes."""
        whole = sliding.synthesise(widened(mask, bins) * self.spectra)
        return whole[:, : self.mixture.shape[1]]

    def level(self, mask: Magnitudes, bins: int | None = BINS) -> float:
        """Return the SDR of the vocals; where nobody sings, their level in dBFS."""
        y, voice = self.stem(mask, bins), self.truths["vocals"]
        return measures.sdr_db(voice, y) if voice.any() else measures.power_db(y)


def hear(recipe: Recipe) -> Heard:
    """Make a mix, and read what the networks estimate."""
    found = excerpt(recipe)
    sung = replace(found, mix=replace(found.mix, mixture=found.mix.truths["vocals"]))
    spectra, voice = (sliding.analyse(each.heard(1))[found.hops] for each in (found, sung))
    made = {
        stem: estimates(recipe, network, Way())
        for name in ("2stems", "4stems-stemd")
        for stem, network in networks_of(name).items()
    }
    truths = {stem: x[:, found.frames] for stem, x in found.mix.truths.items()}
    return Heard(spectra, found.mix.mixture[:, found.frames], truths, voice, made)


def measure(recipe: Recipe) -> Figures:
    """Return all figures of a mix."""
    heard = hear(recipe)
    powers = heard.powers
    return {
        "rules": {name: heard.level(rule(powers)) for name, rule in RULES.items()},
        "extension": {
            name: heard.level(RULES["2stems"](powers), bins) for name, bins in EXTENSIONS.items()
        },
        "above": _above(heard, RULES["2stems"](powers)),
        "only": _only(heard, powers),
    }


def _above(heard: Heard, mask: Magnitudes) -> dict[str, float]:
    """Return the SDR of the vocals above the networks' bins, by how the mask is extended."""
    high = heard.voice[..., BINS:]
    if not high.any():
        return {}
    made = {
        name: (widened(mask, bins) * heard.spectra)[..., BINS:] for name, bins in EXTENSIONS.items()
    }
    return {
        name: measures.power_db(high) - measures.power_db(high - each)
        for name, each in made.items()
    }


def _only(heard: Heard, powers: Powers) -> dict[str, float]:
    """Return the SDR of each stem and of the music without it, by all networks and by its own."""
    stems = np.stack([heard.made[stem] for stem in STEMS])
    share_rest(stems, np.sqrt(powers.mixture))
    total = np.square(stems).sum(axis=0) + EPSILON
    found, least = {}, measures.power_db(heard.mixture) + AUDIBLE_DB
    for stem, estimate in zip(STEMS[1:], stems[1:], strict=True):
        truth = heard.truths.get(stem)
        if truth is None or measures.power_db(truth) < least:
            continue
        alone = np.minimum(np.square(heard.made[stem]) / (powers.mixture + EPSILON), 1)
        for how, mask in (("all", np.square(estimate) / total), ("own", alone)):
            y = heard.stem(mask)
            found[f"{stem}, {how}"] = measures.sdr_db(truth, y)
            found[f"without {stem}, {how}"] = measures.sdr_db(
                heard.mixture - truth, heard.mixture - y
            )
    return found


def rules_table(sung: Sequence[Figures], silent: Sequence[Figures]) -> str:
    """Return the table of the rules for the vocals' mask."""
    rows = []
    for name in RULES:
        change = [each["rules"][name] - each["rules"]["2stems"] for each in sung]
        leak = summary([each["rules"][name] for each in silent], best=float("-inf"))
        found = summary(change)
        below = sum(each < ENOUGH_DB for each in change)
        figures = (found["mean"], found["worst"])
        levels = (f"{leak['mean']:.1f}", f"{leak['worst']:.1f}")
        rows.append(
            [name, *(f"{each:+.2f}" for each in figures), f"{below} of {len(sung)}", *levels]
        )
    head = ["vocals' mask", "− 2stems", "worst mix", "mixes below −0.3", "leakage, dBFS", "worst"]
    return markdown_table(head, rows)


def extension_table(sung: Sequence[Figures], silent: Sequence[Figures]) -> str:
    """Return the table of the mask above the networks' bins."""
    rows = []
    for name in EXTENSIONS:
        change = summary([x["extension"][name] - x["extension"]["mean"] for x in sung])
        above = summary([x["above"][name] for x in sung if x["above"]])
        leak = summary([x["extension"][name] for x in silent], best=float("-inf"))
        rows.append(
            [
                f"`{name}`",
                *(f"{change[key]:+.2f}" for key in ("mean", "worst")),
                *(f"{above[key]:.2f}" for key in ("median", "worst")),
                f"{leak['mean']:.1f}",
            ]
        )
    head = ["above 11 kHz", "vocals − mean", "worst mix", "above 11 kHz alone, median", "worst mix"]
    return markdown_table([*head, "leakage, dBFS"], rows)


def only_table(sung: Sequence[Figures], silent: Sequence[Figures]) -> str:
    """Return the table of what it costs that only the wanted stem's network runs."""
    rows = []
    for stem in STEMS[1:]:
        for name in (stem, f"without {stem}"):
            both = [
                (x["only"][f"{name}, all"], x["only"][f"{name}, own"])
                for x in (*sung, *silent)
                if f"{name}, all" in x["only"]
            ]
            if not both:
                continue
            every, own = (float(np.mean(each)) for each in zip(*both, strict=True))
            worst = min(alone - all_of for all_of, alone in both)
            rows.append([name, len(both), f"{every:.2f}", f"{own:.2f}", f"{worst:+.2f}"])
    head = ["stem", "mixes", "by four networks", "by its own", "worst mix"]
    return markdown_table(head, rows)


TABLES = {"rules": rules_table, "extension": extension_table, "only": only_table}


def main(half: Half) -> None:
    """Measure and print; write the tables of the reporting half."""
    mixes = [each for each in recipes() if each.half == half and each.kind != "whole"]
    found = {mix: measure(mix) for mix in tqdm(mixes, unit="mix")}
    sung, silent = (
        [each for mix, each in found.items() if (mix.kind == "instrumental") == is_silent]
        for is_silent in (False, True)
    )
    for name, table in TABLES.items():
        text = table(sung, silent)
        print(f"{half}: {name}\n\n{text}\n")
        if half == "report":
            replace_section(DOCUMENT, name, text)


if __name__ == "__main__":
    try:
        main("decide" if "decide" in sys.argv[1:] else "report")
    except (MaterialError, ModelError, OSError) as error:
        sys.exit(f"masks: {error}")
