"""The configuration: defaults, every error at once, each with what, value, rule and remedy."""

from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from known_sets import FOUR, TWO
from stemd.daemon.config import EFFECTS, Config
from stemd.daemon.config_file import load_config
from stemd.daemon.control.mixer import Strip
from stemd.daemon.errors import ConfigError
from stemd.daemon.presets import PRESETS, PresetName
from stemd.daemon.sections import Effect
from stemd.dsp.scheme import SPLEETER, Scheme

SHIPPED = Path(__file__).parents[2] / "config.yaml"


@pytest.fixture(autouse=True)
def _no_configuration_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))


def errors(data: object, tmp_path: Path) -> list[str]:
    path = tmp_path / "config.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return str(caught.value).replace(str(path), "FILE").splitlines()


def test_shipped_file_is_the_defaults_and_names_every_key():
    assert load_config(SHIPPED) == Config()
    assert yaml.safe_load(SHIPPED.read_text()) == Config().model_dump(mode="json")


def test_effective_configuration_reads_back_as_itself(tmp_path):
    config = load_config(
        None, ["jack.autoconnect={in_L: 'a.*:b'}", "separation.stems=4", "separation.T=128"]
    )
    path = tmp_path / "config.yaml"
    path.write_text(config.as_yaml())
    assert load_config(path) == config
    assert config.separation.stems == 4


def test_what_takes_effect_at_the_next_start_is_marked_there():
    lines = Config().as_yaml().splitlines()
    marked, section = set(), ""
    for line, after in pairwise(lines):
        section = section if line.startswith(" ") else line.rstrip(":")
        if line == "  # takes effect at the next start":
            marked.add(f"{section}.{after.split(':')[0].strip()}")
    assert marked == {key for key, effect in EFFECTS.items() if effect is Effect.AT_START}


def test_every_key_says_when_it_takes_effect():
    assert EFFECTS.keys() == {
        f"{section}.{key}" for section, keys in Config().model_dump().items() for key in keys
    }


def test_users_own_file_is_read_when_none_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "stemd").mkdir()
    (tmp_path / "stemd" / "config.yaml").write_text("jack: {client_name: mine}")
    assert load_config(None).jack.client_name == "mine"


def test_settings_win_over_the_file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("separation: {preset: seed, threads: 2}")
    config = load_config(path, ["separation.preset=studio"])
    assert (config.separation.preset, config.separation.threads) == ("studio", 2)


def test_empty_file_is_the_defaults(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    assert load_config(tmp_path / "config.yaml") == Config()


def test_the_configuration_accepts_the_names_of_all_presets():
    assert get_args(PresetName) == (*PRESETS,)


def schemes_of(*settings: str) -> tuple[Scheme, ...]:
    return load_config(None, list(settings)).separation.schemes(SPLEETER)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_choice_and_gives_its_scheme(preset):
    assert schemes_of(f"separation.preset={preset}") == PRESETS[preset]


def test_auto_goes_from_the_shortest_delay_to_the_longest():
    delays = [scheme.delay for scheme in PRESETS["auto"]]
    assert delays == sorted(delays)
    for longer, shorter in pairwise(PRESETS["auto"]):
        assert longer.delay < shorter.delay or longer.T > shorter.T
    assert set(PRESETS["auto"]) == {
        scheme for name, schemes in PRESETS.items() if name != "auto" for scheme in schemes
    }


def test_numbers_by_hand_replace_the_presets():
    by_hand = ["separation.preset=seed", "separation.B=16", "separation.mirror=8"]
    schemes = schemes_of(*by_hand)
    assert schemes == (Scheme(T=128, B=16, A=0, mirror=8),)


def test_numbers_by_hand_replace_those_of_every_scheme():
    by_hand = ["separation.preset=live", "separation.T=128", "separation.B=4", "separation.A=8"]
    schemes = schemes_of(*by_hand, "separation.mirror=0")
    assert schemes == (Scheme(T=128, B=4, A=8),), "the same one is not tried twice"


def test_schemes_that_numbers_by_hand_do_not_fit_are_left_out():
    schemes = schemes_of("separation.preset=auto", "separation.T=64")
    assert [scheme.B for scheme in schemes] == [1, 2, 3, 4, 16], "of seed and T=64 nothing is left"
    delays = [scheme.delay for scheme in schemes]
    assert delays == sorted(delays)


def test_only_some_stems_are_wanted():
    wishes = load_config(None, ["separation.only=drums", "separation.residual=true"]).separation
    assert wishes.only == ("drums",)
    (work, *_) = wishes.works(FOUR)
    assert (work.networks.stems, work.running, work.residual) == (("drums", "rest"), 1, False)
    with pytest.raises(ConfigError, match=r"the 2stems networks have no stem drums"):
        wishes.works(TWO)


def test_a_window_must_fit_the_networks():
    wishes = load_config(None, ["separation.T=100"]).separation
    rule = r"separation: T must be a multiple of 64 .*\(got 100\), for the 2stems networks"
    with pytest.raises(ConfigError, match=rule):
        wishes.works(TWO)


def test_every_error_is_told_at_once(tmp_path):
    wrong = {
        "jack": {"clientname": "x", "server": "alsa", "autoconnect": {"in_R": "("}},
        "separation": {
            **{"stems": "three", "networks": "a/b", "T": 0, "B": 0},
            **{"threads": "many", "precision": "int4"},
        },
        "seperation": {},
    }
    lines = errors(wrong, tmp_path=tmp_path)
    assert lines[0] == "the configuration FILE is wrong:"
    assert sorted(lines[1:]) == sorted(
        [
            "jack.clientname: unknown key; did you mean client_name?",
            "jack.server: must be 'auto', 'jack', 'pipewire' or 'dummy' (got 'alsa')",
            "jack.autoconnect.in_R: '(' at character 1 is never closed: close it, or write \\( "
            "(got '(')",
            "separation.networks: must be auto or the name of a set, of letters, digits, and _ . - "
            "after the first (got 'a/b')",
            "separation.stems: must be auto or a number of stems, as 2 or 4 (got 'three')",
            "separation.T: must be at least 1 (got 0)",
            "separation.B: must be at least 1 (got 0)",
            "separation.threads: must be a whole number (got 'many')",
            "separation.precision: must be 'auto', 'fp32', 'mixed' or 'int8' (got 'int4')",
            "seperation: unknown key; did you mean separation?",
        ]
    )


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (
            {"separation": {"networks": "4stems", "stems": 4}},
            "separation.stems: must be auto where networks names a set (got stems: 4, "
            "networks: 4stems); leave out one of them",
        ),
        (
            {"separation": {"T": 64, "mirror": 40}},
            "separation.mirror: must be from 0 to less than half of T (got 40)",
        ),
        (
            {"separation": {"T": 64, "B": 8, "A": 99}},
            "separation: A + B + mirror must be at most T (got 99 + 8 + 0 > 64)",
        ),
        (
            {"jack": {"client_name": "a:b"}},
            "jack.client_name: must be of letters, digits, spaces, and _ . - (got 'a:b')",
        ),
        (
            {"jack": {"zzz": 1}},
            "jack.zzz: unknown key (there are: client_name, server, server_name, device, "
            "mix_ports, longest_period, autoconnect)",
        ),
        (
            {"jack": 3},
            "jack: must be a section with keys (got 3)",
        ),
        (
            {"jack": {"server_name": 1}},
            "jack.server_name: must be text, in quotes where YAML reads something else, or null "
            "(got 1)",
        ),
        (
            {"control": {"state_file": False}},
            "control.state_file: must be text, in quotes where YAML reads something else, or null "
            "(got false)",
        ),
        (
            {"osc": {"port": False}},
            "osc.port: must be a whole number, or null (got false)",
        ),
        (
            {"mixer": {"ramp": True}},
            "mixer.ramp: must be a number (got true)",
        ),
        *(
            (
                {"control": {key: "a/b"}},
                f"control.{key}: must be an absolute path, from / or ~ on (got 'a/b')",
            )
            for key in ("socket", "state_file")
        ),
    ],
)
def test_error_names_key_rule_and_value(data, line, tmp_path):
    assert errors(data, tmp_path=tmp_path)[1:] == [line]


def test_port_that_stemd_does_not_have_is_refused(tmp_path):
    (line,) = errors({"jack": {"autoconnect": {"in_l": "a"}}}, tmp_path=tmp_path)[1:]
    assert line.startswith("jack.autoconnect.in_l: must be one of stemd's ports, in_L, in_R, ")
    assert line.endswith("(got 'in_l')")


@pytest.mark.parametrize(
    "text", ["a: [", "\tjack: 1", "jack: {a: 1}: 2", "\x00", "? [a]\n: b", "[" * 5000]
)
def test_file_that_is_not_yaml_is_refused(text, tmp_path):
    (line,) = errors(text, tmp_path=tmp_path)
    assert line.startswith("the configuration FILE is not YAML: ")


@pytest.mark.parametrize("text", ["[1, 2]", "just words", "3"])
def test_file_without_sections_is_refused(text, tmp_path):
    (line,) = errors(text, tmp_path=tmp_path)
    assert line.startswith("the configuration FILE must be sections with keys (got ")


def test_key_given_twice_is_refused(tmp_path):
    (line,) = errors("jack: {server: jack}\njack: {server: dummy}", tmp_path=tmp_path)
    assert line == (
        "the configuration FILE is not YAML: line 2, column 1: the key 'jack' stands twice"
    )


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*: No such file"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize("setting", ["separation", "separation.T", "=3", ".T=3", "separation.=3"])
def test_setting_of_another_form_is_refused(setting):
    with pytest.raises(ConfigError, match=r"--set wants section\.key=value \(got '"):
        load_config(None, [setting])


def test_setting_whose_value_is_no_yaml_is_refused():
    with pytest.raises(
        ConfigError, match=r"the value of --set jack\.server, '\[', is not YAML: line 1, column 2: "
    ):
        load_config(None, ["jack.server=["])


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)
details = st.sampled_from(["in_L", "vocals", "gain", "cc", "does", "stem", "x"])
several = yaml_values | st.dictionaries(details, yaml_values)
almost_right = st.dictionaries(
    st.sampled_from([*Config.model_fields, "x"]),
    yaml_values
    | st.dictionaries(
        st.sampled_from(
            [key for section in Config().model_dump().values() for key in section] + ["x"]
        ),
        several | st.lists(several) | st.dictionaries(details, several),
    ),
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "mixer: {strips: {vocals: {gian: 1}}}",
            "mixer.strips.vocals.gian: unknown key; did you mean gain?",
        ),
        ("midi: {bindings: [{cc: 1, does: bypass, chanel: 2}]}", "did you mean channel?"),
        ("mixer: {strip: {}}", "mixer.strip: unknown key; did you mean strips?"),
        ("osc: {host: ''}", "osc.host: "),
    ],
)
def test_keys_of_strips_and_bindings_are_suggested_too(text, told, tmp_path):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "config.yaml")
    assert told in str(caught.value)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text() | almost_right.map(yaml.safe_dump))
def test_any_text_is_a_configuration_or_a_clear_error(text, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        load_config(path)
    except ConfigError as error:
        assert str(error).startswith("the configuration")


@pytest.mark.parametrize("value", ["2020-13-45", "0x_", "[" * 3000, "0x" + "f" * 5000])
def test_setting_of_any_value_is_right_or_a_clear_error(value):
    with pytest.raises(ConfigError) as caught:
        load_config(None, [f"separation.T={value}"])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "text",
    [
        "jack:\n  # server: jack\nseparation:\n",
        "mixer:\n  strips:\n    # vocals: {gain: 1}\n",
        "jack: {autoconnect: }",
        "midi: {bindings: }",
    ],
)
def test_where_all_is_commented_out_a_section_mapping_or_list_is_empty(text, tmp_path):
    (tmp_path / "config.yaml").write_text(text)
    assert load_config(tmp_path / "config.yaml") == Config()


def test_where_all_of_a_strip_is_commented_out_it_has_the_defaults():
    strips = load_config(None, ["mixer.strips={vocals: }"]).mixer.strips
    assert strips == {"vocals": Strip()}


def test_value_is_set_in_a_section_that_is_empty(tmp_path):
    (tmp_path / "config.yaml").write_text("jack:\n")
    assert load_config(tmp_path / "config.yaml", ["jack.client_name=x"]).jack.client_name == "x"


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_own_file_that_is_a_broken_link_is_an_error(depth, tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    path = home / "stemd" / "config.yaml"
    link = (path, *path.parents)[depth]
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigError, match=rf"{link} is a link to {tmp_path}/gone, which is m"):
        load_config(None)


@pytest.mark.parametrize("spectra", [1088, 6_400_000_000])
def test_window_has_a_longest_length(spectra):
    with pytest.raises(ConfigError, match=rf"separation.T: .* 1024 \(got {spectra}\)"):
        load_config(None, [f"separation.T={spectra}"])


def test_folder_that_cannot_be_looked_into_is_a_clear_error(monkeypatch):
    def refuse(self, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(ConfigError, match=r"cannot look for .* Permission denied; name one \(-c\)"):
        load_config(None)


def test_user_without_a_home_is_told(monkeypatch):
    def homeless(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("stemd.daemon.config_file.user_config_path", homeless)
    with pytest.raises(ConfigError, match=r"determine home directory.*set HOME or XDG_CONFIG_HOME"):
        load_config(None)
