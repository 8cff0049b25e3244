"""Pydantic's errors in the words of stemd: what must be, and what was found instead."""

from collections.abc import Mapping
from typing import Any

from stemd.daemon.wording import shown

_TEXT = "must be text, in quotes where YAML reads something else"
_WHOLE, _NUMBER, _LOGICAL = "must be a whole number", "must be a number", "must be true or false"

RULES = {
    "missing": "is missing",
    "extra_forbidden": "unknown key",
    "invalid_key": "unknown key",
    "bool_type": _LOGICAL,
    "bool_parsing": _LOGICAL,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "string_type": _TEXT,
    "string_unicode": "must be text that Unicode has",
    "string_too_short": "must have at least {min_length} character",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "dict_type": "must be keys with values",
    "mapping_type": "must be keys with values",
    "model_type": "must be a section with keys",
    "tuple_type": "must be a list",
}
"""By pydantic's type of error; `{…}` stands for what it says of the rule."""

UNKNOWN_KEY = ("extra_forbidden", "invalid_key")
"""Types of errors of keys that there are not."""

OF_TYPE = ("_type", "_parsing", "_from_float")
"""Ends of the types of errors of values that are of another type."""


def in_words(details: Mapping[str, Any], or_null: bool = False) -> str:
    """Return the rule that a value breaks, and the value: ``must be … (got …)``.

    Parameters
    ----------
    details : mapping
        One of `pydantic.ValidationError.errors`.
    or_null : bool
        Whether null is allowed too.
    """
    kind, said = details["type"], details["msg"].removeprefix("Value error, ")
    rule = RULES.get(kind)
    words = rule.format_map(details.get("ctx", {})) if rule else said
    if or_null and kind.endswith(OF_TYPE):
        words += ", or null"
    if kind in ("missing", *UNKNOWN_KEY) or "(got" in words:
        return words
    return f"{words} (got {shown(details['input'])})"
