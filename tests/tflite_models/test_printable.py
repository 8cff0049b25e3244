"""Text from elsewhere cannot move the cursor, turn a line around or begin another one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.printable import printable

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Füße, 鼓, ❤", "Füße, 鼓, ❤"),
        ("a\nb\r\t", r"a\nb\r\t"),
        ("\x1b[31m\x07\x9b\x7f", r"\x1b[31m\x07\x9b\x7f"),
        ("\u202egnp.exe\u2066\u2028", r"\u202egnp.exe\u2066\u2028"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
        (r"C:\new", r"C:\new"),
    ],
)
def test_what_prints_stays_and_the_rest_is_escaped(text, shown):
    assert printable(text) == shown


@given(ANY_TEXT)
def test_any_text_becomes_one_line_that_prints_and_can_be_encoded(text):
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    shown.encode()


def test_an_error_has_as_many_lines_as_it_was_given():
    assert str(ModelError("x\ny", "\x1bz")) == "x\\ny\n\\x1bz"
