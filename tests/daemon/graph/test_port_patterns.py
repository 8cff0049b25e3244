"""Port patterns: what `re` matches, in linear time; whatever a port is called matches itself."""

import re
from time import process_time

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from stemd.daemon.graph.port_patterns import MAX_LENGTH, PatternError, PortPattern

ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\.", r"\w", r"\D", ":", "(", "é"])


def patterns():
    def grow(inner):
        groups = st.one_of(inner.map("({})".format), inner.map("(?:{})".format))
        repeated = st.tuples(
            st.one_of(groups, ATOMS.filter(lambda a: a != "(")),
            st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}", "{,2}", "*?"]),
        ).map("".join)
        return st.one_of(
            groups,
            repeated,
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner).map("|".join),
        )

    return st.recursive(ATOMS.filter(lambda a: a != "("), grow, max_leaves=6)


@given(patterns(), st.text("ab:.é1", max_size=7))
@example("^a|b$", "b")
@example("(a*)*b", "aab")
@example("a{0}b", "b")
@example("", "")
def test_matches_what_re_matches(pattern, name):
    assume(name != pattern)
    assert PortPattern(pattern).matches(name) == bool(re.fullmatch(pattern, name, re.DOTALL))


@pytest.mark.parametrize(
    "name",
    ["X + Y (1):out_L", "C++ synth [2]:out", "a.b:c", "sum 50$ {x}:o|p", "tab\\.:x", "né (é):ü"],
)
def test_a_name_matches_itself_and_no_other(name):
    pattern = PortPattern(name.replace("\\", "\\\\")) if "\\" in name else PortPattern(name)
    assert pattern.matches(name)
    assert not pattern.matches(name + "x")


@given(st.text(min_size=1, max_size=40))
def test_a_name_matches_itself_or_is_refused_with_a_place_and_a_remedy(name):
    try:
        assert PortPattern(name).matches(name)
    except PatternError as error:
        place = re.fullmatch(r".* at character (\d+) .+: .+", str(error), re.DOTALL)
        assert 1 <= int(place[1]) <= len(name)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("X + Y (1:out_L", r"'(' at character 7 is never closed: close it, or write \("),
        ("X 1):out", r"')' at character 4 closes no bracket: open it, or write \)"),
        ("X [1:out", r"'[' at character 3 is never closed: close it, or write \["),
        ("*:out", r"'*' at character 1 repeats nothing: any text is .*; the sign itself is \*"),
        ("a|+b", r"'+' at character 3 repeats nothing: any text is .*; the sign itself is \+"),
        ("(?=a)b", r"'(?' at character 1 is not known here: write \( for a bracket"),
        ("[b-a]", r"'[b-a]' at character 1 bad character range b-a: write \[ for a bracket"),
        ("a\\", r"'\' at character 2 stands for nothing: write \\ for \ ".strip()),
        (r"(a)\1", r"'\1' at character 4 stands for nothing: write \\ for \ ".strip()),
        ("a{3,2}", "'{3,2}' at character 2 is never fulfilled: write the smaller one first"),
        ("a+{2}", "'{2}' at character 3 repeats what is repeated already: put that in round "),
        ("(" * 51, "'(' at character 51 stands in 50 others: take some away"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_the_remedy(pattern, message):
    with pytest.raises(PatternError) as error:
        PortPattern(pattern)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    "pattern",
    [
        "a{999999999}",
        "((((a{9}){9}){9}){9})",
        "(" * 45 + ")" * 45 + "{9}" * 1,
        "a" * 601,
        "(((((){99}){99}){99}){99}){99}",
    ],
)
def test_no_pattern_takes_long_to_read(pattern):
    began = process_time()
    try:
        PortPattern(pattern)
    except PatternError as error:
        assert f"more than {MAX_LENGTH}" in str(error)
    assert process_time() - began < 1


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(a|a)*",
        "(a*)*(a*)*b",
        "(.*a){20}",
        "(a?){200}a{200}",
        "([ab]|[aé])+x",
        "(a|aa)+$b",
    ],
)
def test_no_name_takes_long_to_match(pattern):
    matching = PortPattern(pattern)
    began = process_time()
    assert not matching.matches("a" * 512 + "!")
    assert process_time() - began < 1
