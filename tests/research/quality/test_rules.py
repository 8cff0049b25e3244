import numpy as np
import pytest

from research.quality import rules
from research.quality.rules import BINS, EXTENSIONS, RULES, Powers, widened
from stemd.dsp.arrays import Magnitudes
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.masks import RatioMask, share_rest
from stemd.dsp.scheme import SPLEETER


def noise(seed: int) -> Magnitudes:
    return np.random.default_rng(seed).random((3, BINS, 2), np.float32)


@pytest.fixture
def powers():
    return Powers(*(np.square(noise(seed)) for seed in range(4)))


def of_the_program(estimates: Magnitudes, extension: MaskExtension) -> np.ndarray:
    return RatioMask(SPLEETER, len(estimates), extension).update(estimates)[:, 0]


@pytest.mark.parametrize("name", RULES)
def test_every_rule_gives_masks(powers, name):
    mask = RULES[name](powers)
    assert mask.shape == powers.mixture.shape
    assert mask.min() >= 0 and mask.max() <= 1


def test_two_stems_are_those_of_the_program(powers):
    estimates = np.sqrt(np.stack([powers.vocals, powers.accompaniment]))
    for name, extension in (("mean", MaskExtension.MEAN), ("zeros", MaskExtension.ZEROS)):
        ours = widened(RULES["2stems"](powers), EXTENSIONS[name])
        np.testing.assert_allclose(ours, of_the_program(estimates, extension), atol=1e-5)


def test_vocals_first_are_those_of_the_program(powers):
    mixture = np.sqrt(powers.mixture)
    estimates = np.sqrt(np.stack([np.minimum(powers.vocals, powers.mixture), powers.others]))
    share_rest(estimates, mixture)
    ours = widened(RULES["vocals first: (v / M)²"](powers))
    theirs = of_the_program(estimates, MaskExtension.MEAN)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)  # where the mixture is near EPSILON


def test_tables_compare_with_two_stems_and_with_four_networks():
    sung = [
        {
            "rules": {name: 5.0 if name == "2stems" else level for name in RULES},
            "extension": dict.fromkeys(EXTENSIONS, 5.0),
            "above": dict.fromkeys(EXTENSIONS, 1.0),
            "only": {"drums, all": 4.0, "drums, own": level - 2, "bass, all": 1.0, "bass, own": 1.0}
            | {
                f"without {stem}, {how}": 7.0
                for stem in ("drums", "bass")
                for how in ("all", "own")
            },
        }
        for level in (4.5, 5.1)
    ]
    silent = [
        {**sung[0], "rules": dict.fromkeys(RULES, level), "above": {}, "only": {}}
        for level in (-60.0, -40.0)
    ]
    line = rules.rules_table(sung, silent).splitlines()[3]
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert cells == ["-0.20", "-0.50", "1 of 2", "-50.0", "-40.0"]
    assert "| drums | 2 | 4.00 | 2.80 | -1.50 |" in rules.only_table(sung, silent)
    assert "| `zeros` | +0.00 | +0.00 | 1.00 | 1.00 |" in rules.extension_table(sung, silent)
