"""
Words of messages that depend on a number.
"""


def plural(count: int, one: str, many: str | None = None) -> str:
    """
    Write a number with its noun, or with a phrase: "1 call", "2 calls"; without `many` an s is added.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
