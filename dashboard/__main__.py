"""
`python -m dashboard`: starts the dashboard and prints the link that opens it.
"""

import argparse
import getpass
import os
import sys

from dashboard.serve import listen, serve
from outlay.errors import OutlayError
from outlay.settings import Settings, SettingsError, normal_url
from outlay.wiring import open_app

PORT_DEFAULT = 8788


def main(arguments: list[str] | None = None) -> int:
    """
    Serve the dashboard until it is told to stop; returns the exit status.
    """
    asked = _parser().parse_args(arguments)
    try:
        settings = Settings.from_env(os.environ)
        url = normal_url(asked.database_url) if asked.database_url else settings.database_url
        open_app(Settings(database_url=url)).close()  # fail here, with a clear sentence, not on a page
        listener = listen(asked.port)
    except (OutlayError, SettingsError) as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"port {asked.port} cannot be used: {error.strerror}; choose another with --port")
    serve(
        listener, database_url=url, actor=asked.actor or _system_user(), token=asked.token, told=_tell,
        environ=os.environ,
    )  # fmt: skip
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="outlay dashboard", description="Serve the dashboard on this machine."
    )
    parser.add_argument(
        "--port", type=_port, default=PORT_DEFAULT, help="port; 0 takes a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--token", type=_token, help="token of the link; without it links are random and work once"
    )
    parser.add_argument("--database-url", help="books to show (default: OUTLAY_DATABASE_URL)")
    parser.add_argument("--actor", help="name recorded with every change (default: the system user)")
    return parser


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; use a number from 0 to 65535")
    return int(text)


def _token(text: str) -> str:
    if len(text) < 16 or not text.isascii() or not text.replace("-", "").replace("_", "").isalnum():
        raise argparse.ArgumentTypeError("a token has at least 16 letters, digits, '-' and '_'")
    return text


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this user id
        return "dashboard"


def _tell(link: str) -> None:
    print(f"Outlay dashboard: {link}", flush=True)


def _failed(why: str) -> int:
    print(f"outlay dashboard: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
