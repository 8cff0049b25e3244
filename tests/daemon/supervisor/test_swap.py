"""From each phase every step leads where it should, or nowhere; and all lead back to rest."""

import pytest

from stemd.daemon.supervisor.swap import TRANSITIONS, Phase, Step, after

TABLE = """
              load     loaded  failed   try      admit   withdraw     swapped   withdrawn  ended
steady        loading  -       -        warming  -       -            -         -          -
loading       -        fading  pausing  -        -       -            -         -          -
pausing       loading  -       -        warming  -       -            -         -          -
warming       -        -       -        -        fading  withdrawing  -         -          -
fading        -        -       -        -        -       withdrawing  retiring  -          -
withdrawing   -        -       -        -        -       -            -         retiring   -
retiring      -        -       -        -        -       -            -         -          steady
"""


def cells():
    heads, *rows = (line.split() for line in TABLE.strip().splitlines())
    assert heads == [*Step]
    assert [row[0] for row in rows] == [*Phase]
    for phase, *leads in rows:
        yield from ((Phase(phase), Step(step), to) for step, to in zip(heads, leads, strict=True))


@pytest.mark.parametrize(("phase", "step", "to"), [*cells()])
def test_each_step_leads_where_the_table_says(phase, step, to):
    if to == "-":
        with pytest.raises(KeyError):
            after(phase, step)
    else:
        assert after(phase, step) is Phase(to)


@pytest.mark.parametrize("phase", Phase)
def test_from_everywhere_there_is_a_way_to_rest(phase):
    reached, before = {phase}, set()
    while reached != before:
        before = set(reached)
        reached |= {to for (at, _), to in TRANSITIONS.items() if at in reached}
    assert Phase.STEADY in reached
