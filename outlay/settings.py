"""
Settings of a process: one frozen value, read from the environment in one place.

Nothing else in Outlay reads `os.environ`; settings are passed down as arguments.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PORT_DEFAULT = 8787
UPSTREAM_KEY = "ANTHROPIC_API_KEY"
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
        data_folder: The user's own, made where it is needed; no other folder is made for books.
        host, port: Where the gateway listens.
        upstream_keys: Values of the variables that a policy's upstreams may name for their keys: those that
            OUTLAY_UPSTREAM_KEYS lists, and no other, as a policy must not reach the rest of the environment.
    """

    database_url: str
    upstream_url: str = UPSTREAM_DEFAULT
    upstream_key: str | None = field(default=None, repr=False)
    admin_key: str | None = field(default=None, repr=False)
    policy_file: str | None = None
    spool_folder: str | None = None
    data_folder: str | None = None
    host: str = "127.0.0.1"
    port: int = PORT_DEFAULT
    upstream_keys: Mapping[str, str] = field(default_factory=dict, repr=False)

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
            upstream_key=_key(environ, UPSTREAM_KEY),
            admin_key=_key(environ, "OUTLAY_ADMIN_KEY"),
            policy_file=environ.get("OUTLAY_POLICY") or None,
            spool_folder=environ.get("OUTLAY_SPOOL") or str(_data_folder(environ) / "spool"),
            data_folder=str(_data_folder(environ)),
            host=environ.get("OUTLAY_HOST") or "127.0.0.1",
            port=_port(environ.get("OUTLAY_PORT")),
            upstream_keys=_upstream_keys(environ),
        )


def normal_url(url: str) -> str:
    """
    Return a database address that names its driver: plain `postgresql://` means psycopg 3.
    """
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url


def _key(environ: Mapping[str, str], name: str) -> str | None:
    """
    Read a key; files of secrets often end in a line break, which no header may hold.

    Raises:
        SettingsError: It holds what no header may hold.
    """
    key = environ.get(name, "").strip()
    if not key.isascii() or not key.isprintable():
        raise SettingsError(f"{name} holds characters that no key has; set it to the key alone")
    return key or None


def _upstream_keys(environ: Mapping[str, str]) -> dict[str, str]:
    named = environ.get("OUTLAY_UPSTREAM_KEYS") or UPSTREAM_KEY
    found = {name: _key(environ, name) for name in (part.strip() for part in named.split(",")) if name}
    return {name: key for name, key in found.items() if key is not None}


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
