"""
Routing under a budget: request profile and policy in, ordered offers with reasons out.

Pure: no clock, no database, no network. `router.policy` needs pydantic and is not loaded from here.
"""
