"""
SQL that goes to the driver as it is written, for what is read before every call.
"""


def marked(statement: str, dialect: str) -> str:
    """
    Write the placeholders of a statement, `?` as SQLite has them, as the driver of a dialect wants them.
    """
    return statement if dialect == "sqlite" else statement.replace("?", "%s")
