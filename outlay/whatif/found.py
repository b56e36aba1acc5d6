"""
What a preview finds as it goes through the decisions.

How people read it stands in `outlay/admin/preview_text.py`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from outlay.whatif.recorded import Recorded, Then
from outlay.whatif.sums import Sums
from router.policy import Policy


@dataclass(slots=True)
class Found:
    """
    What a preview has found so far.

    Attributes:
        kept: Decisions that stay as they are, by why: own_offers, refused_before, own_policy, unreadable.
        policies: Policies that the traffic was decided by.
        own_policy: Whether a tenant has a policy of its own, which one for everybody does not reach.
        unpredicted, unprojected: Calls without what the new policy's classifier or pacing goes by.
    """

    policy: Policy
    tenant: str | None
    days: int
    from_us: int
    to_us: int
    shortened: bool
    sums: Sums = field(default_factory=Sums)
    kept: "Counter[str]" = field(default_factory=Counter)
    changes: list[tuple[Recorded, Then]] = field(default_factory=list)
    policies: dict[int, Policy] = field(default_factory=dict)
    own_policy: dict[str, bool] = field(default_factory=dict)
    decisions: int = 0
    unpredicted: int = 0
    unprojected: int = 0
    only_counted: int = 0
    zones: Mapping[str, str] = field(default_factory=dict)
