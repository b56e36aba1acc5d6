"""
The table `[routing.calibration]`: what must be proven of cheaper answers before a classifier may choose them.

The proof itself is in `router/gate.py`.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from router.policy_fields import DAY_S, Table

MIN_DAYS: Final = 1
MAX_DAYS: Final = 3_650
DAY_US: Final = DAY_S * 1_000_000

Ratio = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Confidence = Annotated[float, Field(ge=0.5, lt=1, allow_inf_nan=False)]
Classifier = Literal["complexity", "learned", "llm"]


class Calibration(Table):
    """
    What must be proven of cheaper answers before a classifier may choose them.
    """

    max_failed_ratio: Ratio = 0.10
    """Largest share of downgraded calls that may fail, over 0 and under 1."""
    confidence: Confidence = 0.95
    """Confidence with which that must be known, 0.5 to under 1."""
    required: Annotated[tuple[Classifier, ...], Field(strict=False)] = ("learned", "llm")
    """Classifiers whose downgrades need the proof; `complexity` is the owner's own word unless named."""
    shrinkage: Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)] = 20.0
    """Calls that what other tenants saw of the class counts for at most; it can only delay a proof."""
    window_days: Annotated[int, Field(ge=MIN_DAYS, le=MAX_DAYS)] = 90
    """Days that a score counts for."""
