"""
The demo: a real day of six callers, played through the real gateway against the simulated provider.

`plan` decides what is asked of whom (pure), `player` asks it over HTTP, `books` and `provider_bill` read
what came of it on either side, `summary` compares the two (pure), `run` puts it together. `children` starts
and stops processes and serves `outlay up` without the demo, too.
"""
