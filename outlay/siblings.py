"""
Whether the packages beside this one are ours: `ledger`, `router`... are common names.

A script or another distribution of that name can stand before ours on the import path. That is said here, in
one sentence, instead of by an error somewhere inside.
"""

import sys
from importlib.machinery import PathFinder
from os import path

SIBLINGS = ("pricing", "ledger", "router", "circuit")


def check_siblings(own_file: str) -> None:
    """
    See that Python finds our packages under their names; imports none of them.

    Args:
        own_file: `outlay/__init__.py`; ours lie beside its folder.
    Raises:
        ImportError: another file shadows one of ours, or it is missing; the message has the remedies.
    """
    root = path.dirname(path.dirname(path.realpath(own_file)))
    for name in SIBLINGS:
        wanted = path.join(root, name, "__init__.py")
        found = _found(name)
        if found is None or path.realpath(found) != wanted:
            raise ImportError(_sentence(name, wanted, found), name=name, path=found)


def _found(name: str) -> str | None:
    loaded = sys.modules.get(name)
    if loaded is not None:
        return getattr(loaded, "__file__", None)
    spec = PathFinder.find_spec(name)
    return None if spec is None else spec.origin


def _sentence(name: str, wanted: str, found: str | None) -> str:
    what = f"{found} shadows it" if found is not None else "Python does not find it"
    return (
        f"outlay needs its own package {name!r} ({wanted}), but {what}: "
        "install outlay in an environment of its own and start it outside that folder, "
        "or run the gateway (`outlay gateway`) and let the application call that"
    )
