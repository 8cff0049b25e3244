"""Reads and writes YAML: each fault is one message with its line and column."""

import re
from typing import Any

import yaml

from stemd.daemon.errors import ConfigError
from stemd.daemon.wording import shown

LONGEST_NUMBER = 40
"""Characters of a number: longer ones take Python's time, and nothing here is so large."""

# What PyYAML's constructors raise, besides its own errors, for values that are not of their tag.
_NOT_OF_ITS_TAG = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")

_STRANGE_NUMBER = re.compile(r"[_:]|^[-+]?0[0-9]")
"""What YAML 1.1 reads as thousands, to the base 60, or to the base 8."""


def read_yaml(text: str | bytes, what: str) -> Any:
    """Read one document.

    Parameters
    ----------
    text : str or bytes
        Bytes are UTF-8, or UTF-16 with its mark.
    what : str
        Names it in the error.

    Raises
    ------
    ConfigError
        It is not YAML, or has what is not allowed here: aliases, keys that stand twice, tags of
        Python's, nesting without bounds.
    """
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        raise _error(what, _unreadable(text, error)) from None
    try:
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # The context is where it stands, or the first half of what is wrong.
        reason = _at(mark, ", ".join(filter(None, (error.context, error.problem))))
    except yaml.reader.ReaderError as error:  # it looks at a text as it goes
        reason = _unreadable(text, error)
    except RecursionError:
        reason = _at(loader.get_mark(), "it is nested too deeply")
    except (ValueError, OverflowError):  # of the scanner, which asks chr() for it
        reason = _at(loader.get_mark(), "an escape sequence that stands for no character")
    raise _error(what, reason)


def write_yaml(data: object) -> str:
    """Return plain data as YAML, its keys in their order."""
    return yaml.safe_dump(data, sort_keys=False)


class _Loader(yaml.SafeLoader):
    """A safe loader without aliases and double keys, whose every error is a marked one."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node, which is no alias: some bytes of those stand for gigabytes."""
        if self.check_event(yaml.AliasEvent):
            alias = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None,
                None,
                f"aliases are not allowed: write out what *{alias.anchor} stands for",
                alias.start_mark,
            )
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Build a value."""
        if node.tag in _NUMBERS and isinstance(node, yaml.ScalarNode):
            _refuse_strange_number(node)
        try:
            return super().construct_object(node, deep)
        except _NOT_OF_ITS_TAG:
            kind = node.tag.rpartition(":")[2]
            raise _fault(node, f"{_told(node)} is no {kind}") from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping after looking at its keys."""
        if not isinstance(node, yaml.MappingNode):
            raise _fault(node, f"{_told(node)} is no mapping")
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise _fault(key, f"the key {shown(key.value)} stands twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _refuse_strange_number(node: yaml.ScalarNode) -> None:
    """Refuse a number that takes too long to read, or that YAML 1.1 reads as another one."""
    if len(node.value) > LONGEST_NUMBER:
        raise _fault(node, f"a number of more than {LONGEST_NUMBER} characters is not taken")
    if _STRANGE_NUMBER.search(node.value):
        raise _fault(
            node,
            f"{shown(node.value)} would be read as another number: write it without _, : and 0 in "
            "front, or, where it is text, in quotes",
        )


def _told(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return shown(node.value)
    return "a sequence" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _fault(node: yaml.Node, reason: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, reason, node.start_mark)


def _unreadable(text: str | bytes, error: yaml.reader.ReaderError) -> str:
    before = text[: error.position]
    lines = before.split("\n") if isinstance(before, str) else before.split(b"\n")
    place = f"line {len(lines)}, column {len(lines[-1]) + 1}"
    if error.encoding != "unicode":  # a byte that the encoding does not have
        return f"{place}: byte 0x{error.character:02x} is no {error.encoding}; save it as UTF-8"
    return f"{place}: the character U+{error.character:04X} is not allowed"


def _at(mark: yaml.Mark | None, reason: str) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}: {reason}" if mark else reason


def _error(what: str, reason: str) -> ConfigError:
    return ConfigError(f"{what} is not YAML: {' '.join(reason.split())}")
