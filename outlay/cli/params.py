"""
Arguments and options that several commands share, each with its one name, metavar and help.
"""

from typing import Annotated

import typer

ROWS_MAX = 100_000

Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Name of the tenant.")]
OfTenant = Annotated[str | None, typer.Option("--tenant", metavar="TENANT", help="Only this tenant.")]
Usd = Annotated[str, typer.Argument(metavar="USD", help='Amount in USD as decimal text, as in "12.50".')]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded.")]
Once = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key", metavar="KEY", help="The same key never books twice, however often it is sent."
    ),
]
Since = Annotated[str | None, typer.Option("--from", metavar="DATE", help="First day or instant.")]
Until = Annotated[str | None, typer.Option("--to", metavar="DATE", help="Before this instant.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV for a spreadsheet.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, max=ROWS_MAX, help="At most this many rows.")]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Recorded with the version.")]
