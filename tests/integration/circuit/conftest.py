"""
The three stores under one contract, and rows of rules that the contract's tests share.
"""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from circuit import CircuitStore, MemoryCircuitStore, ProviderRule, Rules, SpendRule, SqlCircuitStore
from ledger.connect import make_engine

RULES = Rules(
    tenant_spend=SpendRule(window_s=300, max_nanos=5_000, cooldown_s=600),
    global_spend=SpendRule(window_s=60, max_nanos=50_000, cooldown_s=300),
    provider=ProviderRule(min_calls=4),
)


@pytest.fixture
def rules() -> Rules:
    """The rules that the contract's tests share."""
    return RULES


@pytest.fixture
def engine(books_url: str) -> Iterator[Engine]:
    """An engine with the circuit's tables, once on each database."""
    made = make_engine(books_url)
    yield made
    made.dispose()


@pytest.fixture
def sql_store(engine: Engine) -> SqlCircuitStore:
    """The SQL store, once on each database."""
    return SqlCircuitStore(engine)


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest) -> Iterator[CircuitStore]:
    """Each of the three stores."""
    if request.param == "memory":
        yield MemoryCircuitStore()
        return
    made = make_engine(str(request.getfixturevalue(f"{request.param}_books")))
    yield SqlCircuitStore(made)
    made.dispose()
