"""
Bodies as they go on the wire.
"""

import json


def to_json(value: object) -> bytes:
    """
    Write JSON, compactly; lone surrogates stay escaped, as they came.
    """
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
