"""YAML that a user wrote: whatever is wrong with it is one message with its line and column."""

from time import monotonic

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stemd.daemon.errors import ConfigError
from stemd.daemon.wording import LONGEST_SHOWN, counted, named, nearest, shown
from stemd.daemon.yaml_text import read_yaml

TAGS = (
    *("int", "float", "bool", "null", "timestamp", "binary", "str", "seq", "map", "set", "omap"),
    *("pairs", "merge", "value", "python/object/apply:os.system", "python/name:os.system", "x"),
)


def fault(text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        read_yaml(text, "it")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('a:\n  b: !!int ""', "line 2, column 6: '' is no int"),
        ('a: !!float ""', "line 1, column 4: '' is no float"),
        ("a: !!bool maybe", "line 1, column 4: 'maybe' is no bool"),
        ("a: !!timestamp x", "line 1, column 4: 'x' is no timestamp"),
        ("a: 2001-02-31", "line 1, column 4: '2001-02-31' is no timestamp"),
        ("a: !!map [1]", "line 1, column 4: a sequence is no mapping"),
        ("a: !!set [1]", "line 1, column 4: a sequence is no mapping"),
        ("a: !!seq {b: 1}", "line 1, column 4: expected a sequence node, but found mapping"),
        ("a: !!python/name:os.system x", "line 1, column 4: could not determine a constructor"),
        ('a: "\\Uffffffff"', "an escape sequence that stands for no character"),
        ("a: 0x_", "line 1, column 4: '0x_' would be read as another number"),
        ("a: 010000", "line 1, column 4: '010000' would be read as another number: write it with"),
        ("a: [1_0]", "line 1, column 5: '1_0' would be read as another number"),
        ("a: 10:30", "line 1, column 4: '10:30' would be read as another number"),
        ("a: 1\n---\nb: 2", "line 2, column 1: expected a single document in the stream, but"),
        ("a: " + "9" * 5000, "line 1, column 4: a number of more than 40 characters"),
        ("a: 1" + ":59" * 5000, "line 1, column 4: a number of more than 40 characters"),
        ("x: &x [1]\ny: *x", "line 2, column 4: aliases are not allowed: write out what *x stands"),
        ("a: &a [*a]", "aliases are not allowed"),
        ("a: 1\na: 2", "line 2, column 1: the key 'a' stands twice"),
        ("a:\n" + "[" * 900, "it is nested too deeply"),
        ("a: b\x1bc", "line 1, column 5: the character U+001B is not allowed"),
        ("a:\n- \udc80", "line 2, column 3: the character U+DC80 is not allowed"),
        (b"a: b\nc: \xff\xfe", "line 2, column 4: byte 0xff is no utf-8; save it as UTF-8"),
        (b"a: \x00", "U+0000 is not allowed"),
        ("a: [", "line 1, column 5: "),
    ],
)
def test_each_fault_names_its_place(text, said):
    assert said in fault(text)


def test_utf16_and_a_byte_order_mark_are_read():
    assert read_yaml("a: ä".encode("utf-16"), "it") == {"a": "ä"}
    assert read_yaml("\ufeffa: ä".encode(), "it") == {"a": "ä"}


scalars = st.text() | st.sampled_from(["", "~", ".nan", "0x", "1:9", "2001-1-99", '"\\x"', "<<"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda of: f"[{', '.join(of)}]")
        | st.lists(st.tuples(inner, inner), max_size=3).map(
            lambda of: "{" + ", ".join(f"? {key} : {value}" for key, value in of) + "}"
        )
        | st.tuples(st.sampled_from(TAGS), inner).map(lambda of: f"!!{of[0]} {of[1]}")
    ),
    max_leaves=6,
)


@given(text=values | st.binary() | st.text())
@example(text="!!int []")
@example(text="!!float {}")
def test_any_text_is_a_value_or_one_clear_line(text):
    try:
        read_yaml(text, "it")
    except ConfigError as error:
        assert str(error).startswith("it is not YAML: ")
        assert "\n" not in str(error)


def test_a_value_that_holds_itself_a_billion_times_is_shown_at_once():
    value: object = ["a"] * 10
    for _ in range(9):
        value = [value] * 10
    started = monotonic()
    assert len(shown(value)) <= LONGEST_SHOWN + 1
    assert len(shown({"x": value})) <= LONGEST_SHOWN + 1
    assert monotonic() - started < 5
    assert shown(10**5000) == "a number of thousands of digits"


@given(value=st.text() | st.integers() | st.lists(st.text()))
def test_what_a_message_quotes_is_short_and_can_be_printed(value):
    assert shown(value).isprintable()
    assert len(named(value)) <= LONGEST_SHOWN + 1


@pytest.mark.parametrize("given_word", ["Live", "LIVE", "lvie", "live"])
def test_the_nearest_word_is_found_whatever_its_case(given_word):
    assert nearest(given_word, ["seed", "live"]) == "live"
    assert nearest(3, ["seed"]) is None


def test_nouns_are_in_the_right_number():
    assert [counted(n, "thread") for n in (0, 1, 2)] == ["0 threads", "1 thread", "2 threads"]
