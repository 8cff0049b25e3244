"""The tables of `make quality`, made of its JSON."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isnan
from typing import Any, TypeAlias

from benchmarks.report import markdown_table
from research.material.recorded import STEMS
from research.quality.measures import summary
from research.quality.plot import Point
from stemd.daemon.presets import PRESETS
from stemd.dsp.scheme import Scheme

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
        "presets": presets,
        "sets": sets,
    }
    return {name: make(results, mixes) for name, make in makers.items()}


def losses(results: Data, half: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return what the vocals of each set lose in `mixed` by each scheme, as losses.json has it."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    mixes = {name: mix for name, mix in results["mixes"].items() if mix["half"] == half}
    for case in results["cases"]:
        if case["precision"] == "mixed" and case["delay_s"]:
            change = _change(results, case, mixes)
            scheme = str(Scheme(**case["scheme"]))
            found.setdefault(case["networks"], {})[scheme] = {
                "mean_db": round(-change["mean"], 2),
                "worst_db": round(-change["worst"], 2),
            }
    return found


def means(results: Data, half: str, networks: str) -> dict[str, float]:
    """Return the SDR of a set's stems offline, the mean over the mixes that have the stem."""
    mixes = {name: mix for name, mix in results["mixes"].items() if mix["half"] == half}
    case = next(
        each
        for each in results["cases"]
        if (each["name"], each["networks"]) == ("offline", networks)
    )
    found = {stem: summary(list(_values(case, mixes, "sdr", stem).values())) for stem in STEMS}
    return {stem: round(each["mean"], 2) for stem, each in found.items() if each["mixes"]}


def presets(results: Data, mixes: Data) -> str:
    """Return the table for users: what each preset loses, and lets through."""
    rows = [_preset_row(results, case, mixes) for case in _usual(results)]
    head = ["preset", "networks", "T, B, A, mirror", "delay", "vocals", "− offline", "±"]
    spread = ["median", "worst tenth", "worst", "BSSEval", "leakage", "worst", "like offline"]
    return markdown_table([*head, *spread], rows)


def points(results: Data, half: str) -> dict[str, dict[str, list[Point]]]:
    """Return the vocals' SDR of each set for the picture: offline, and each preset in `mixed`."""
    mixes = {name: mix for name, mix in results["mixes"].items() if mix["half"] == half}
    found: dict[str, dict[str, list[Point]]] = {}
    for case in _usual(results):
        for name, measure in (("plain", "sdr"), ("bss", "bss")):
            values = _values(case, mixes, measure, "vocals", WITH_VOCALS)
            mean = summary(list(values.values()))["mean"]
            point = (case["name"], case["precision"], case["delay_s"], mean)
            found.setdefault(case["networks"], {}).setdefault(name, []).append(point)
    return found


def _usual(results: Data) -> Iterator[Data]:
    """Yield the cases that users have: offline in fp32, presets in `mixed`."""
    for case in results["cases"]:
        is_usual = case["precision"] == ("mixed" if case["delay_s"] else "fp32")
        if is_usual and case["name"] in ("offline", *PRESETS):
            yield case


def _preset_row(results: Data, case: Data, mixes: Data) -> list[str]:
    name, networks, numbers, _, delay = _about(case)
    like = summary(_likeness(case, mixes)).get("mean")
    leak = summary(
        list(_values(case, mixes, "leak_dbfs", "vocals", ("instrumental",)).values()),
        best=float("-inf"),
    )
    change = _change(results, case, mixes) if case["delay_s"] else {}
    return [
        name if name == "offline" else f"`{name}`",
        networks,
        numbers,
        delay,
        _mean(_values(case, mixes, "sdr", "vocals", WITH_VOCALS)),
        *_cells(change, "mean", "error", "median", "worst_tenth", "worst", sign="+"),
        _mean(_values(case, mixes, "bss", "vocals", WITH_VOCALS)),
        *_cells(leak, "mean", "worst", form=".1f"),
        _number(like, ".1f"),
    ]


def sets(results: Data, mixes: Data) -> str:
    """Return the table for users: how well each set separates, offline and in `balanced`."""
    rows = []
    for case in results["cases"]:
        if case["name"] in ("offline", "balanced") and case["precision"] in ("fp32", "mixed"):
            _, networks, numbers, precision, _ = _about(case)
            cells = [
                _with_error(summary(list(_values(case, mixes, "sdr", stem).values())))
                for stem in (*STEMS, "accompaniment")
            ]
            rows.append([case["name"], networks, numbers, precision, *cells])
    head = ["run as", "networks", "T, B, A, mirror", "precision", *STEMS, "accompaniment"]
    return markdown_table(head, rows)


def vocals(results: Data, mixes: Data) -> str:
    """Return the table of the vocals: all figures, and the difference from offline."""
    rows = []
    for case in results["cases"]:
        values = {
            measure: _values(case, mixes, measure, "vocals", WITH_VOCALS)
            for measure in ("sdr", "si_sdr", "bss")
        }
        change = _change(results, case, mixes)
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
        found = summary(_likeness(case, mixes))
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


def _change(results: Data, case: Data, mixes: Data) -> dict[str, float]:
    """Return the summary of the difference of the vocals' SDR from offline, mix by mix."""
    values = _values(case, mixes, "sdr", "vocals", WITH_VOCALS)
    best = _values(_offline(results, case), mixes, "sdr", "vocals", WITH_VOCALS)
    return summary([found - best[mix] for mix, found in values.items()])


def _likeness(case: Data, mixes: Data) -> list[float]:
    """Return the vocals' likeness to offline in all songs of which no stem is known, or nothing."""
    songs = [name for name, mix in mixes.items() if mix["kind"] == "whole"]
    found = _values(case, mixes, "likeness", "vocals", ("whole",))
    return list(found.values()) if len(found) == len(songs) else []


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
