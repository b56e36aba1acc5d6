"""
The probe of a model whose breaker waits for one: claimed after the hold, finished with the call.
"""

from collections.abc import Generator
from contextlib import suppress
from typing import Any

from circuit.breaker import claim_probe, finish_probe
from circuit.health import Outcome as Health
from circuit.health import probe_verdict
from circuit.rules import ProviderRule
from circuit.types import BreakerState, Transition
from outlay.effects import Move, Tools, ask
from outlay.errors import OutlayError


class Probe:
    """
    At most one probe of one call.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._claimed: tuple[Transition, ProviderRule] | None = None

    def claim(self, state: BreakerState, rule: ProviderRule, at_us: int) -> Generator[Any, Any, bool]:
        """
        Claim the probe of a model; tell whether somebody else was faster.
        """
        wish = claim_probe(state, at_us, rule.probe_lease_s, self._tools.owner)
        made = () if wish is None else (yield from ask(Move((wish,))))
        self._claimed = (made[0], rule) if made else None
        return self._claimed is None

    def finish(self, health: Health) -> Generator[Any, Any, None]:
        """
        Say how the model did, where the probe was this call's.
        """
        if self._claimed is None:
            return
        probe, rule = self._claimed
        self._claimed = None
        wish = finish_probe(
            probe, succeeded=probe_verdict(health), cooldown=rule.cooldown, now_us=self._tools.now_us()
        )
        with suppress(OutlayError):  # its lease runs out, which counts as a failure
            yield from ask(Move((wish,)))
