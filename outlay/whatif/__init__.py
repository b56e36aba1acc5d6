"""
What another policy would have done to recorded traffic: decisions made again in order, in virtual time.

Pure: rows come in, differences come out. `outlay/admin/preview.py` reads the log and tells people. Choices
and limits of the estimate: docs/decisions/0023-replay-and-preview.md.
"""
