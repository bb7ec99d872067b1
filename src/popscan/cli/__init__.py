"""The command line: one subcommand per rule, and a few for people."""

from popscan.cli.main import main

__all__ = ["main"]
