"""
Settings of a process: one frozen value, read from the environment in one place.

Nothing else in Outlay reads `os.environ`; settings are passed down as arguments.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PORT_DEFAULT = 8787
UPSTREAM_DEFAULT = "https://api.anthropic.com"


class SettingsError(ValueError):
    """A variable of the environment cannot be used; the message names it and the fix."""


@dataclass(frozen=True, slots=True)
class Settings:
    """
    What a process needs to know before it can open its books.

    Attributes:
        database_url: SQLAlchemy address; SQLite in the user's data folder unless told.
        upstream_url: Base address of the provider.
        upstream_key: Key for the provider; None where no call is ever sent.
        admin_key: A key with the admin role that needs no database row; None turns it off.
        policy_file: TOML file applied once, when the database holds no policy yet.
        spool_folder: Where closings wait that the database cannot take; None keeps them in memory.
        host, port: Where the gateway listens.
        secrets: The environment, in which a policy's upstreams name the variables of their keys.
    """

    database_url: str
    upstream_url: str = UPSTREAM_DEFAULT
    upstream_key: str | None = field(default=None, repr=False)
    admin_key: str | None = field(default=None, repr=False)
    policy_file: str | None = None
    spool_folder: str | None = None
    host: str = "127.0.0.1"
    port: int = PORT_DEFAULT
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_environment(cls) -> "Settings":
        """
        Read the settings from this process's own environment; raises as `from_env`.
        """
        return cls.from_env(os.environ)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """
        Read the settings from environment variables (`OUTLAY_*`, `ANTHROPIC_API_KEY`).

        Raises:
            SettingsError: OUTLAY_PORT is not a port number.
        """
        return cls(
            database_url=normal_url(environ.get("OUTLAY_DATABASE_URL") or _default_database(environ)),
            upstream_url=(environ.get("OUTLAY_UPSTREAM_URL") or UPSTREAM_DEFAULT).rstrip("/"),
            upstream_key=environ.get("ANTHROPIC_API_KEY") or None,
            admin_key=environ.get("OUTLAY_ADMIN_KEY") or None,
            policy_file=environ.get("OUTLAY_POLICY") or None,
            spool_folder=environ.get("OUTLAY_SPOOL") or str(_data_folder(environ) / "spool"),
            host=environ.get("OUTLAY_HOST") or "127.0.0.1",
            port=_port(environ.get("OUTLAY_PORT")),
            secrets=dict(environ),
        )


def normal_url(url: str) -> str:
    """
    Return a database address that names its driver: plain `postgresql://` means psycopg 3.
    """
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url


def _port(text: str | None) -> int:
    if text is None or text == "":
        return PORT_DEFAULT
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 65_536:
        raise SettingsError(f"OUTLAY_PORT={text!r} is not a port; use a number from 1 to 65535")
    return int(text)


def _data_folder(environ: Mapping[str, str]) -> Path:
    home = Path(environ.get("HOME", "."))
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "outlay"


def _default_database(environ: Mapping[str, str]) -> str:
    return f"sqlite:///{_data_folder(environ) / 'outlay.db'}"
