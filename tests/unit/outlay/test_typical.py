"""
How long answers usually are.
"""

from outlay.typical import KINDS_MAX, SEEN_MIN, Typical


def test_nothing_is_usual_before_a_few_answers() -> None:
    """One long answer is no rule: the usual output is known from the third on."""
    typical = Typical()
    for seen in range(SEEN_MIN):
        assert typical.tokens("acme", "chat") is None, seen
        typical.saw("acme", "chat", 90)
    assert typical.tokens("acme", "chat") == 90


def test_the_mean_follows_what_comes() -> None:
    """First the plain mean; later a new answer moves it by a sixteenth, so that it follows a change."""
    typical = Typical()
    for tokens in (30, 60, 90):
        typical.saw("acme", "chat", tokens)
    assert typical.tokens("acme", "chat") == 60
    for _ in range(200):
        typical.saw("acme", "chat", 1_000)
    assert typical.tokens("acme", "chat") == 1_000


def test_tenants_and_kinds_are_kept_apart() -> None:
    """One tenant's answers say nothing about another's, nor one task's about another."""
    typical = Typical()
    for _ in range(SEEN_MIN):
        typical.saw("acme", "chat", 5)
    assert typical.tokens("zeta", "chat") is None
    assert typical.tokens("acme", "code") is None


def test_what_was_seen_longest_ago_is_forgotten_first() -> None:
    """Memory is bounded; a kind that comes again counts as seen now."""
    typical = Typical()
    for _ in range(SEEN_MIN):
        typical.saw("acme", "old", 5)
        typical.saw("acme", "kept", 5)
    for number in range(KINDS_MAX - 2):
        typical.saw("acme", f"kind-{number}", 1)
    typical.saw("acme", "kept", 5)
    typical.saw("acme", "one-more", 1)
    assert typical.tokens("acme", "old") is None
    assert typical.tokens("acme", "kept") == 5
