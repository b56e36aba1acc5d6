"""
What orders share: looking tenants and holds up, reading a period, making a file, sending an operation to the
ledger, wording its refusals.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from sqlalchemy import Connection, select

from ledger import reads, tables
from ledger.read_models import AccountRow, HoldRow
from ledger.results import Reason, Refused
from ledger.types import Attachment, Correct, Operation, Refund
from outlay import fields
from outlay.admin.conflicts import first_use, first_zone
from outlay.corrected import ORDER_KEY
from outlay.errors import BadInput, Rejected, translated
from outlay.ids import new_id
from outlay.refusals import Words, shown
from outlay.wiring import App

Order = TypeVar("Order", bound=Operation)
OnHold = Refund | Correct
R = TypeVar("R")


def known_tenant(connection: Connection, tenant: object, field: str = "tenant") -> AccountRow:
    """
    Return a tenant's account.

    Raises:
        BadInput: The name cannot be one of a tenant.
        Rejected: `unknown_tenant`, with the name that was probably meant.
    """
    name = fields.tenant_name(tenant, field)
    found = reads.account(connection, name)
    if found is None:
        raise unknown_tenant(name, [row.tenant for row in reads.tenants(connection)])
    return found


def unknown_tenant(name: str, known: Sequence[str]) -> Rejected:
    """
    Make the refusal of a tenant that does not exist.
    """
    hint = fields.close_name(name, known) or "List them with: outlay tenant list."
    return Rejected("unknown_tenant", f'there is no tenant "{name}". {hint}', {"tenant": name})


def account(app: App, tenant: object) -> AccountRow:
    """
    Return a tenant's account as of now.
    """
    with translated(), app.reading() as connection:
        return known_tenant(connection, tenant)


def zone_of(connection: Connection, tenant: str) -> str:
    """
    Return a tenant's time zone; UTC where there is no such tenant.
    """
    found = reads.account(connection, tenant)
    return "UTC" if found is None else found.timezone


def known_hold(app: App, hold_id: str) -> tuple[str, HoldRow | None]:
    """
    Return the tenant of a hold, and the hold; None where it is archived: what it moved is still there.

    Raises:
        Rejected: `unknown_hold`.
    """
    with translated(), app.reading() as connection:
        found = reads.hold(connection, hold_id)
        tenant = None if found is None else found.tenant
        if tenant is None:
            drawn = select(tables.draw.c.tenant).where(tables.draw.c.hold_id == hold_id).limit(1)
            tenant = connection.execute(drawn).scalar_one_or_none()
    if tenant is None:
        raise Rejected("unknown_hold", f"there is no hold {hold_id}", {"hold_id": hold_id})
    return tenant, found


def carry_out_on_hold(app: App, op: OnHold, kind: type[R]) -> R:
    """
    Give an order about a known hold to the ledger. Where the hold is archived, one that comes again under its
    key still gets its answer.
    """
    try:
        return carry_out(app, op, kind)
    except Rejected as error:
        if error.code != Reason.UNKNOWN_HOLD:
            raise
        text = (
            f"hold {op.hold_id} is archived: what it cost stands, and can be corrected by an adjustment only"
        )
        fix = f'outlay adjust {op.tenant} USD --reason "call {op.hold_id}", with --take to take it'
        raise Rejected(error.code, text, {**error.details, "tenant": op.tenant, "fix": fix}) from error


@contextmanager
def new_file(path: str) -> Iterator[None]:
    """
    Name the field where a new file of the operator's cannot be made.
    """
    try:
        yield
    except FileExistsError as error:
        raise BadInput("to", path, "there is a file already", "Name a new file.") from error
    except OSError as error:
        fix = "Name a file in a folder of your own."
        raise BadInput("to", path, f"cannot be written: {error.strerror}", fix) from error


def order_key(idempotency_key: object, now_us: int) -> str:
    """
    Return the ledger's key of an order: the operator's own, which is kept apart from those of calls, or a
    new one.
    """
    given = fields.idempotency_key(idempotency_key)
    return f"{ORDER_KEY}{new_id(now_us) if given is None else given}"


def own_key(key: str) -> str:
    """
    Return the key of an order as its operator gave it.
    """
    return key.removeprefix(ORDER_KEY)


def period_us(since: str | None, until: str | None, zone: str) -> tuple[int | None, int | None]:
    """
    Return the first instant of a period and its end, itself excluded; None is open on that side.

    Raises:
        BadInput: One of them is no date, or the end is before the beginning.
    """
    from_us = None if since is None else fields.instant_us(since, "since", zone)
    to_us = None if until is None else fields.instant_us(until, "until", zone)
    if from_us is not None and to_us is not None and to_us < from_us:
        raise BadInput("until", until, "before the beginning of the period", "Swap the two.")
    return from_us, to_us


def carry_out(app: App, op: Operation, kind: type[R], attach: Sequence[Attachment] = ()) -> R:
    """
    Give an operation to the ledger and return its answer.

    Raises:
        Rejected: The ledger refused it; code and numbers are the ledger's.
        BooksUnavailable: It may be sent again with the same key.
    """
    with translated():
        result = app.ledger.do(op, attach)
    if isinstance(result, Refused):
        raise _used_key(app, op, result) if result.reason is Reason.KEY_CONFLICT else rejected(result)
    assert isinstance(result, kind), result
    return result


def carry_out_dated(
    app: App, row: AccountRow, order: Callable[[str], Order], kind: type[R]
) -> tuple[Order, R]:
    """
    Give an order with dates to the ledger, and return it as it was understood, with its answer.

    Args:
        order: Reads the dates in a time zone: the tenant's, or for an order that comes again under its key
            the one that the tenant had the first time, else a move to another zone made it another order.
    """
    op = order(row.timezone)
    try:
        return op, carry_out(app, op, kind)
    except Rejected as error:
        if error.code != Reason.KEY_CONFLICT:
            raise
        with translated(), app.reading() as connection:
            zone = first_zone(connection, row.tenant, op.key)
        if zone is None or zone == row.timezone:
            raise
        op = order(zone)
        return op, carry_out(app, op, kind)


def _used_key(app: App, op: Operation, refused: Refused) -> Rejected:
    with translated(), app.reading() as connection:
        message, more = first_use(connection, op.tenant, op.key)
    found = rejected(refused)
    return Rejected(found.code, message, {**found.details, **more})


def rejected(refused: Refused) -> Rejected:
    """
    Put a refusal of the ledger in words; the money in its details is decimal text.
    """
    details = shown(refused.numbers)
    if isinstance(key := details.get("key"), str):
        details["key"] = own_key(key)
    text = _text(refused)
    if _nothing_left(refused):
        details["fix"] = "nothing is left to do; see: outlay statement"
    return Rejected(refused.reason.value, text.format_map(Words(details)), details)


def _nothing_left(refused: Refused) -> bool:
    left = _LEFT.get(refused.reason)
    return left is not None and refused.numbers.get(left[0]) == 0


def _text(refused: Refused) -> str:
    if _nothing_left(refused):
        return _LEFT[refused.reason][1]
    return _TEXT.get(refused.reason, refused.reason.value.replace("_", " "))


_TEXT: Final[Mapping[Reason, str]] = {
    Reason.QUEUE_FULL: "too many operations are waiting for the books; try again shortly",
    Reason.UNKNOWN_TENANT: 'there is no tenant "{tenant}"',
    Reason.TENANT_EXISTS: 'there is a tenant "{tenant}" already',
    Reason.AMOUNT_INVALID: "{field}: the books do not take this amount ({value}): at most 1000000000 USD",
    Reason.FIELD_INVALID: "{field}: {value} cannot be used; {fix}",
    Reason.UNKNOWN_TIMEZONE: "unknown time zone {timezone}",
    Reason.UNKNOWN_HOLD: "there is no hold {hold_id}",
    Reason.HOLD_CLOSED: "only a settled hold can be refunded; this one is {state}",
    Reason.UNKNOWN_LOT: "the tenant has no lot {lot_id}",
    Reason.REVERSAL_EXCEEDS_GRANT: "{reversible_usd} USD of this lot can be taken back, not {needed_usd} USD",
    Reason.REFUND_EXCEEDS_CHARGE: "{refundable_usd} USD of this hold can be refunded, not {needed_usd} USD",
}
_LEFT: Final[Mapping[Reason, tuple[str, str]]] = {
    Reason.REVERSAL_EXCEEDS_GRANT: ("reversible_nanos", "this lot is already taken back whole"),
    Reason.REFUND_EXCEEDS_CHARGE: (
        "refundable_nanos",
        "nothing is left to refund: already refunded whole, or free",
    ),
}
"""What is said where the number of what is left is 0."""
