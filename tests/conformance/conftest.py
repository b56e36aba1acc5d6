"""
The simulated provider, and a gateway before it.
"""

from gateway_server import gateway, nothing_failed, provider, serving_fixture, tenant
from sdk_caller import caller, judge, open_caller
from sdk_in_process import bill_file, make, url

__all__ = [
    "bill_file",
    "caller",
    "gateway",
    "judge",
    "make",
    "nothing_failed",
    "open_caller",
    "provider",
    "serving_fixture",
    "tenant",
    "url",
]
