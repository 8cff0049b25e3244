"""The commands that install what is missing, for where stemd is."""

import pytest

from stemd.daemon.packages import install_extra


@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ("clone/.venv", "{}/bin/pip install 'stemd[top]'"),
        ("two words/.venv", "'{}/bin/pip' install 'stemd[top]'"),
        ("pipx/venvs/stemd", "pipx runpip stemd install 'stemd[top]'"),
    ],
)
def test_an_extra_goes_into_the_environment_that_stemd_is_in(
    environment, command, tmp_path, monkeypatch
):
    place = tmp_path / environment
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "pip").touch()
    monkeypatch.setattr("sys.prefix", str(place))
    assert install_extra("top") == command.format(place)


def test_without_a_pip_of_its_own_the_usual_one_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    assert install_extra("osc") == "pip install 'stemd[osc]'"


def test_the_debian_package_takes_no_extras(monkeypatch):
    monkeypatch.setattr("sys.prefix", "/usr/lib/stemd")
    assert install_extra("demo") == "the Debian package of stemd does not have it"
