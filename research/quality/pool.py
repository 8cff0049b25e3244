"""Work on every mix, several mixes at a time."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

from tqdm import tqdm

from research.material.mixes import Recipe
from research.workers import workers

Subject = TypeVar("Subject")
Result = TypeVar("Result")
Graphs: TypeAlias = dict[str, Path]
"""Files by stem."""


def on_every_mix(
    work: Callable[[Subject, Recipe, Graphs], Result],
    jobs: Iterable[tuple[Subject, Graphs]],
    recipes: Sequence[Recipe],
    count: int,
) -> list[list[Result]]:
    """Return the result of each of ``count`` jobs on each mix."""
    results = []
    with (
        workers() as processes,
        tqdm(total=count * len(recipes), unit="mix") as bar,
    ):
        for subject, graphs in jobs:
            futures = [processes.submit(work, subject, recipe, graphs) for recipe in recipes]
            for future in futures:
                future.add_done_callback(lambda _: bar.update())
            results.append([future.result() for future in futures])
    return results
