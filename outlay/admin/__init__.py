"""
What operators do: tenants, money, keys, policies, breakers, decisions, books.

The same functions serve the command line, the control plane, the dashboard and Python. Each takes the `App`
first and plain values as a person writes them (names, decimal text), checks everything before it writes
anything, records who did it, and returns a dict that is ready for JSON.
"""
