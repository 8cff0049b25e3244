"""What is said of samples that stemd replaced."""

from statuses import status
from stemd.daemon.control import bad_samples
from stemd.daemon.control.client import read_status


def test_what_was_replaced_is_told_by_its_place():
    assert bad_samples.in_words(read_status(status())) is None
    replaced = status(server={"bad_samples": 2}, blocks={"bad_estimates": 1})
    assert bad_samples.in_words(read_status(replaced)) == (
        "silence instead of what is no number: 2 samples of the input, 1 of the networks' estimates"
    )
