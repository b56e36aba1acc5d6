"""
The simulated provider, and a gateway before it.
"""

from gateway_server import gateway, nothing_failed, provider, serving_fixture, tenant
from sdk_caller import caller, judge, open_caller

__all__ = [
    "caller",
    "gateway",
    "judge",
    "nothing_failed",
    "open_caller",
    "provider",
    "serving_fixture",
    "tenant",
]
