"""The tables of `make quality`, made of its JSON."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isnan
from typing import Any, TypeAlias

from benchmarks.report import markdown_table
from research.material.recorded import STEMS
from research.quality.measures import summary

Data: TypeAlias = Mapping[str, Any]
WITH_VOCALS = ("recorded", "crossed")
"""The kinds of mixes whose vocals are scored."""
NONE = "–"


def all_tables(results: Data, half: str) -> dict[str, str]:
    """Return the tables of a half, by name."""
    mixes = {name: mix for name, mix in results["mixes"].items() if mix["half"] == half}
    makers: dict[str, Callable[[Data, Data], str]] = {
        "vocals": vocals,
        "stems": stems,
        "leakage": leakage,
        "likeness": likeness,
        "mixes": mixes_offline,
    }
    return {name: make(results, mixes) for name, make in makers.items()}


def vocals(results: Data, mixes: Data) -> str:
    """Return the table of the vocals: all figures, and the difference from offline."""
    rows = []
    for case in results["cases"]:
        values = {
            measure: _values(case, mixes, measure, "vocals", WITH_VOCALS)
            for measure in ("sdr", "si_sdr", "bss")
        }
        best = _values(_offline(results, case), mixes, "sdr", "vocals", WITH_VOCALS)
        change = summary([found - best[mix] for mix, found in values["sdr"].items()])
        found = summary(list(values["sdr"].values()))
        rows.append(
            [
                *_about(case),
                *_cells(found, "mean", "error", "median", "worst_tenth", "worst"),
                *(_mean(values[measure]) for measure in ("si_sdr", "bss")),
                *_cells(change, "mean", "error", "median", "worst_tenth", "worst", sign="+"),
            ]
        )
    spread = ["±", "median", "worst tenth", "worst"]
    head = [*ABOUT, "SDR", *spread, "SI-SDR", "BSSEval", "− offline", *spread]
    return markdown_table(head, rows)


def stems(results: Data, mixes: Data) -> str:
    """Return the table of all stems' SDR, and of what is left of the singer in the others."""
    rows = []
    for case in results["cases"]:
        cells = []
        for stem in STEMS:
            found = summary(list(_values(case, mixes, "sdr", stem).values()))
            cells.append(_with_error(found))
        for stem in STEMS[1:]:
            cells.append(_mean(_values(case, mixes, "voice", stem, WITH_VOCALS), ".1f"))
        rows.append([*_about(case), *cells])
    voice = [f"voice in {stem}" for stem in STEMS[1:]]
    return markdown_table([*ABOUT, *STEMS, *voice], rows)


def leakage(results: Data, mixes: Data) -> str:
    """Return the table of what is in stems that are silent, or pause."""
    rows = []
    for case in results["cases"]:
        levels = summary(
            list(_values(case, mixes, "leak_dbfs", "vocals", ("instrumental",)).values()),
            best=float("-inf"),
        )
        against = _values(case, mixes, "leak_db", "vocals", ("instrumental",))
        shares = [
            _mean(_values(case, mixes, "silence", stem, WITH_VOCALS), ".1f") for stem in STEMS
        ]
        cells = _cells(levels, "mean", "error", "median", "worst_tenth", "worst", form=".1f")
        rows.append([*_about(case), *cells, _mean(against, ".1f"), *shares])
    head = ["vocals, dBFS", "±", "median", "worst tenth", "worst", "against the mixture"]
    return markdown_table([*ABOUT, *head, *(f"{stem} in pauses" for stem in STEMS)], rows)


def likeness(results: Data, mixes: Data) -> str:
    """Return the table of the streamed stems against the offline ones."""
    rows = []
    for case in results["cases"]:
        found = summary(list(_values(case, mixes, "likeness", "vocals", ("whole",)).values()))
        if found["mixes"]:
            rows.append([*_about(case), *_cells(found, "mean", "error", "median", "worst")])
    return markdown_table([*ABOUT, "vocals", "±", "median", "worst"], rows)


def mixes_offline(results: Data, mixes: Data) -> str:
    """Return the table of the vocals' SDR offline, mix by mix; of instrumentals the leakage."""
    offline = [case for case in results["cases"] if case == _offline(results, case)]
    head = ["mix", "kind", *(case["networks"] for case in offline)]
    return markdown_table(head, _mix_rows(offline, mixes))


def _mix_rows(offline: Sequence[Data], mixes: Data) -> Iterator[list[str]]:
    for name, mix in mixes.items():
        found = [case["scores"].get(name, {}) for case in offline]
        if mix["kind"] in WITH_VOCALS:
            figures = [each["sdr"].get("vocals") for each in found]
            yield [name, mix["kind"], *(_number(each, ".2f") for each in figures)]
        elif mix["kind"] == "instrumental":
            figures = [each["leak_dbfs"].get("vocals") for each in found]
            cells = (f"{each:.1f} dBFS" if each is not None else NONE for each in figures)
            yield [name, mix["kind"], *cells]


ABOUT = ["run as", "networks", "T, B, A, mirror", "precision", "delay"]


def _about(case: Data) -> list[str]:
    numbers = ", ".join(map(str, case["scheme"].values()))
    delay = f"{case['delay_s']:.3f} s" if case["delay_s"] else NONE
    return [case["name"], case["networks"], numbers, case["precision"], delay]


def _values(
    case: Data, mixes: Data, measure: str, stem: str, kinds: Sequence[str] = ()
) -> dict[str, float]:
    """Return a figure of a stem by mix, where there is one."""
    return {
        name: case["scores"][name][measure][stem]
        for name, mix in mixes.items()
        if (not kinds or mix["kind"] in kinds)
        and stem in case["scores"].get(name, {}).get(measure, {})
    }


def _offline(results: Data, case: Data) -> Data:
    """Return the case of the same set that the others are compared with."""
    offline: Data = next(
        each
        for each in results["cases"]
        if each["networks"] == case["networks"] and each["name"] == "offline"
    )
    return offline


def _cells(found: Mapping[str, float], *names: str, sign: str = "", form: str = ".2f") -> list[str]:
    return [_number(found.get(name), f"{sign if name != 'error' else ''}{form}") for name in names]


def _with_error(found: Mapping[str, float]) -> str:
    if not found["mixes"]:
        return NONE
    return f"{found['mean']:.2f} ± {_number(found['error'], '.2f')}"


def _mean(values: Mapping[str, float], form: str = ".2f") -> str:
    return _number(summary(list(values.values())).get("mean"), form)


def _number(value: float | None, form: str) -> str:
    return NONE if value is None or isnan(value) else format(value, form)
