"""
What the kinds of a statement's lines mean, in the words of the glossary.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from dashboard.money_text import words

KINDS: Final[Mapping[str, str]] = {
    "topup": "credit that was bought",
    "grant": "credit that was given, and may expire",
    "settle": "the charge of a call",
    "expire_capture": "a hold that nobody ended by its time, booked whole",
    "correction": "what a call's true cost, told later, changed",
    "refund": "a charge given back, or a part of it",
    "forfeit": "credit that expired unused",
    "debt": "what a call cost above everything that the tenant had",
    "repay": "debt that was repaid",
    "adjust": "credit that a person added or took",
    "chargeback": "bought credit that the payer's bank took back",
    "absorb": "cost above hold or credit, which the operator bears",
    "schedule": "credit that comes later",
    "activate": "scheduled credit that has come",
    "reversal": "credit of a top-up that was taken back",
}


def told(kinds: Iterable[str]) -> str:
    """
    Explain those of some kinds that there are, each once.
    """
    found = set(kinds)
    return " · ".join(f"**{words(kind)}**: {text}" for kind, text in KINDS.items() if kind in found)
