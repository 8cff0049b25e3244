from research.quality import experiments, variants
from stemd.daemon.presets import SHORTEST_WINDOWS
from stemd.dsp.scheme import OFFLINE, Scheme


def test_every_window_that_reaches_the_excerpt_is_full():
    runs = [variants.WHOLE, *(run for runs, _ in experiments.EXPERIMENTS.values() for run in runs)]
    assert max(run.T for run in runs if run != variants.WHOLE) <= variants.FIRST - variants.SETTLING
    # Offline, windows lie end to end from the start of the mix.
    assert variants.WHOLE.B == OFFLINE.T


def test_schemes_cover_what_the_short_presets_use():
    schemes = {
        Scheme(run.T, run.B, A, run.mirror) for run in experiments.SCHEMES for A in run.look_aheads
    }
    assert {*SHORTEST_WINDOWS["live"], *SHORTEST_WINDOWS["balanced"]} <= schemes


def made_up(sdr: float) -> variants.Scores:
    return dict.fromkeys(variants.LOOK_AHEADS, sdr)


def test_schemes_are_ordered_by_their_numbers():
    every = {run: [made_up(7.0), made_up(5.0)] for run in experiments.SCHEMES}
    results = variants.Results({variants.WHOLE: [made_up(8.0), made_up(5.5)], **every})
    lines = experiments.schemes_table(results).splitlines()[2:]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    keys = [(float(row[0].removesuffix(" s")), *map(int, row[1:5])) for row in rows]
    assert keys == sorted(keys)
    assert {row[5] for row in rows} == {"-0.75"}
    assert {row[6] for row in rows} == {"-1.00"}
