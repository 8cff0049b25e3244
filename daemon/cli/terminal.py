"""Prints what the commands have to say, escaped."""

import json
from typing import Any

import click

from stemd.tflite_models.printable import printable


def echo(*lines: str, err: bool = False) -> None:
    """Print lines; what does not print is escaped, newlines too.

    Parameters
    ----------
    *lines : str
    err : bool
        On standard error.
    """
    click.echo("\n".join(map(printable, lines)), err=err)


def echo_json(data: Any, indent: int | None = None) -> None:
    """Print data as JSON, for programs: names are not changed."""
    text = json.dumps(data, indent=indent)
    click.echo(text.replace("\x7f", r"\u007f"))  # of control characters, `dumps` leaves this one


def echo_error(error: Exception) -> None:
    """Print an error as stemd's, each of its lines escaped."""
    echo(*f"stemd: {error}".split("\n"), err=True)
