"""In each phase every sign leads to the right step, and every step to the right phase."""

from itertools import combinations

import pytest

from stemd.daemon.supervisor.swap import LEADS, TRANSITIONS, Phase, Sign, Step, after, lead

STEPS = """
              load     loaded  failed   try      admit   withdraw     swapped   withdrawn  ended   settle
steady        loading  -       -        warming  -       -            -         -          -       -
loading       -        fading  pausing  -        -       -            -         -          -       -
pausing       loading  -       -        warming  -       -            -         -          -       -
warming       -        -       -        -        fading  withdrawing  -         -          -       -
fading        -        -       -        -        -       withdrawing  retiring  -          -       fading
withdrawing   -        -       -        -        -       -            -         retiring   -       withdrawing
retiring      -        -       -        -        -       -            -         -          steady  -
"""  # noqa: E501

SIGNS = """
                steady  loading  pausing  warming   fading    withdrawing  retiring
wanted          try     -        try      -         -         -            -
needed          load    -        -        -         -         -            -
unfit           load    -        -        -         -         -            -
done            -       loaded   -        -         -         -            ended
rested          -       -        load     -         -         -            -
coming_failed   -       -        -        withdraw  withdraw  -            -
coming_unfit    -       -        -        withdraw  withdraw  -            -
coming_ready    -       -        -        admit     -         -            -
coming_late     -       -        -        withdraw  -         -            -
swapped         -       -        -        -         swapped   -            -
withdrawn       -       -        -        -         -         withdrawn    -
suspended       -       -        -        admit     settle    settle       -
"""


def cells(table, rows, columns):
    """Each row, column and entry of a table that has all of them."""
    heads, *lines = (line.split() for line in table.strip().splitlines())
    assert heads == columns
    assert [line[0] for line in lines] == rows
    for row, *entries in lines:
        yield from ((row, head, entry) for head, entry in zip(heads, entries, strict=True))


PHASES = [phase.value for phase in Phase]


@pytest.mark.parametrize(
    ("phase", "step", "to"), [*cells(STEPS, PHASES, [step.value for step in Step])]
)
def test_each_step_leads_where_the_table_says(phase, step, to):
    if to == "-":
        with pytest.raises(KeyError):
            after(Phase(phase), Step(step))
    else:
        assert after(Phase(phase), Step(step)) is Phase(to)


@pytest.mark.parametrize("phase", Phase)
def test_from_everywhere_there_is_a_way_to_rest(phase):
    reached, before = {phase}, set()
    while reached != before:
        before = set(reached)
        reached |= {to for (at, _), to in TRANSITIONS.items() if at in reached}
    assert Phase.STEADY in reached


@pytest.mark.parametrize(
    ("sign", "phase", "step"),
    [*cells(SIGNS, [sign.name.lower() for sign in Sign], PHASES)],
)
def test_each_sign_leads_to_the_step_that_the_table_says(sign, phase, step):
    found = lead(Phase(phase), Sign[sign.upper()])
    assert found == (None if step == "-" else (Sign[sign.upper()], Step(step)))


@pytest.mark.parametrize("phase", Phase)
def test_where_several_signs_are_seen_one_counts(phase):
    assert lead(phase, Sign.NONE) is None
    for (first, step), (second, _) in combinations(LEADS[phase], 2):
        assert lead(phase, first | second) == (first, step)


def test_every_step_that_a_sign_leads_to_can_be_made():
    assert all((phase, step) in TRANSITIONS for phase in Phase for _, step in LEADS[phase])


@pytest.mark.parametrize(
    ("phase", "stronger", "weaker"),
    [
        (Phase.STEADY, Sign.WANTED, Sign.NEEDED | Sign.UNFIT),
        (Phase.PAUSING, Sign.WANTED, Sign.RESTED),
        (Phase.WARMING, Sign.COMING_FAILED | Sign.COMING_UNFIT, Sign.SUSPENDED | Sign.COMING_READY),
        (Phase.WARMING, Sign.SUSPENDED | Sign.COMING_READY, Sign.COMING_LATE),
        (Phase.FADING, Sign.COMING_FAILED | Sign.COMING_UNFIT, Sign.SUSPENDED),
    ],
)
def test_what_must_come_first_does(phase, stronger, weaker):
    """A wish ends what is repaired in vain; what has failed never takes over."""
    for one in stronger:
        for other in weaker:
            sign, _ = lead(phase, one | other)
            assert sign is one
