"""
The dashboard: Streamlit pages over the read models of `outlay.reports` and the orders of `outlay.admin`.

Start it with `python -m dashboard`; it listens on this machine only, and opens with the printed link.
"""
