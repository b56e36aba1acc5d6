"""
Runs the command line as `python -m outlay.cli`.
"""

from outlay.cli.main import main

main()
