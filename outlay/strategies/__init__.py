"""
Ways to serve one question by more than one call: fallback, cascade, speculative calls, workflows.

Which call comes next is decided by plain values; the sending is the flow's, or the caller's own client's.
"""
