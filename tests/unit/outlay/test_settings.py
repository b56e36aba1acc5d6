"""
Settings are read from the environment in one place.
"""

import pytest

from outlay.settings import Settings, SettingsError, normal_url


def test_everything_has_a_default() -> None:
    """An empty environment gives SQLite in the user's folder, Anthropic's address and no keys."""
    settings = Settings.from_env({"HOME": "/home/x"})
    assert settings.database_url == "sqlite:////home/x/.local/share/outlay/outlay.db"
    assert (settings.upstream_url, settings.host, settings.port) == (
        "https://api.anthropic.com",
        "127.0.0.1",
        8787,
    )
    assert settings.upstream_key is settings.admin_key is settings.policy_file is None
    settings = Settings.from_env({"XDG_DATA_HOME": "/d"})
    assert settings.database_url == "sqlite:////d/outlay/outlay.db"
    assert settings.spool_folder == "/d/outlay/spool"


def test_every_variable_is_read() -> None:
    """Each documented variable has its place."""
    settings = Settings.from_env(
        {
            "OUTLAY_DATABASE_URL": "postgresql://u@h/d",
            "OUTLAY_UPSTREAM_URL": "http://127.0.0.1:1/",
            "ANTHROPIC_API_KEY": "sk",
            "OUTLAY_ADMIN_KEY": "adm",
            "OUTLAY_POLICY": "p.toml",
            "OUTLAY_SPOOL": "/s",
            "OUTLAY_HOST": "0.0.0.0",
            "OUTLAY_PORT": "1",
            "OUTLAY_UPSTREAM_KEYS": "EU_KEY, MISSING",
            "EU_KEY": "sk-eu\n",
            "OTHER": "never sent",
        }
    )
    assert settings.database_url == "postgresql+psycopg://u@h/d"
    assert (settings.upstream_url, settings.upstream_key) == ("http://127.0.0.1:1", "sk")
    assert (settings.admin_key, settings.policy_file, settings.port) == ("adm", "p.toml", 1)
    assert settings.spool_folder == "/s"
    assert settings.upstream_keys == {"EU_KEY": "sk-eu"}


def test_a_policy_reaches_no_other_variable() -> None:
    """Unless told, an upstream may name the provider's own key and nothing else of the environment."""
    environ = {"HOME": "/h", "ANTHROPIC_API_KEY": " sk \n", "OUTLAY_ADMIN_KEY": "adm", "AWS_SECRET": "x"}
    settings = Settings.from_env(environ)
    assert (settings.upstream_key, settings.upstream_keys) == ("sk", {"ANTHROPIC_API_KEY": "sk"})


@pytest.mark.parametrize("key", ["sk\nx-evil: 1", "schlüssel", "sk\x00"])
def test_a_key_that_no_header_may_hold_is_refused(key: str) -> None:
    """It would fail every call, after its money was held."""
    with pytest.raises(SettingsError, match="ANTHROPIC_API_KEY"):
        Settings.from_env({"HOME": "/h", "ANTHROPIC_API_KEY": key})


def test_an_empty_variable_is_a_missing_one() -> None:
    """`export OUTLAY_ADMIN_KEY=` must not make the empty text a key."""
    names = ("OUTLAY_ADMIN_KEY", "ANTHROPIC_API_KEY", "OUTLAY_POLICY", "OUTLAY_PORT", "OUTLAY_HOST")
    settings = Settings.from_env({"HOME": "/h", **dict.fromkeys(names, "")})
    assert settings.admin_key is settings.upstream_key is settings.policy_file is None
    assert settings.port == 8787


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "80.0", " 80", "²", "٣"])
def test_a_port_that_is_none_is_refused(text: str) -> None:
    """The message names the variable, the value and the fix."""
    with pytest.raises(SettingsError, match="OUTLAY_PORT"):
        Settings.from_env({"HOME": "/h", "OUTLAY_PORT": text})


def test_secrets_are_not_shown() -> None:
    """Settings that end in a log or a traceback hide every key."""
    shown = repr(
        Settings.from_env({"HOME": "/h", "ANTHROPIC_API_KEY": "sk-secret", "OUTLAY_ADMIN_KEY": "adm-secret"})
    )
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("postgres://h/d", "postgresql+psycopg://h/d"),
        ("postgresql://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        ("sqlite:///x.db", "sqlite:///x.db"),
    ],
)
def test_a_plain_postgresql_address_means_psycopg(url: str, normal: str) -> None:
    """The address that every host hands out works as it is."""
    assert normal_url(url) == normal
