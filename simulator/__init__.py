"""
A simulated Anthropic provider: the Messages API over HTTP, with rules, faults and a bill of its own.

It imports nothing of the product. What it bills, with genai-prices' Decimals, goes into its own file,
so that a test or the demo can hold the product's books against it.
"""
