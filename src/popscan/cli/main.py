"""``popscan COMMAND``: parse arguments, call the package, print; messages, never tracebacks."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from typing import NoReturn

from popscan import __version__
from popscan.cli.adding import Commands
from popscan.names import did_you_mean
from popscan.records import PopscanError
from popscan.threads import limit_threads


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status (0 well, 1 the work failed, 2 bad use or config)."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # Another package's plugin could change how a config is read; to look through all installed
    # packages for one also takes every job longer than to build popscan's own sections.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    top = parser(*(sys.argv[1:] if argv is None else argv)[:1])
    arguments, further = top.parse_known_args(argv)
    if further and not getattr(arguments, "passes_on", False):
        top.error(f"unrecognized arguments: {' '.join(further)}")
    arguments.passed_on = further
    limit_threads(getattr(arguments, "threads", 0))
    try:
        with _ending_in_order(arguments.command):
            return int(arguments.call(arguments) or 0)
    except PopscanError as error:
        lines = getattr(error, "problems", [str(error)])
        for line in lines:
            print(f"popscan {arguments.command}: {line}", file=sys.stderr)
        return getattr(error, "exit_status", 1)
    except BrokenPipeError:
        # The reader of our output (head, less) has left: not a fault.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


@contextlib.contextmanager
def _ending_in_order(command: str) -> Iterator[None]:
    """Have SIGTERM end the block as an error does, so that temporary copies of images go.

    Jobs of shards make none, and end at once, as their records expect.
    """
    from popscan.cli import rules

    if command == rules.OF_A_SHARD or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Parser(argparse.ArgumentParser):
    """The parser of all commands, which proposes one for a name that none has."""

    commands: Collection[str] = ()

    def error(self, message: str) -> NoReturn:
        """Report a mistake in what was typed, and exit."""
        name = re.match("argument COMMAND: invalid choice: '(.*?)' ", message)
        if name:
            hint = did_you_mean(name[1], self.commands)
            message = f"no command {name[1]!r}{hint}; popscan --help lists them"
        super().error(message)


def parser(command: str = "") -> argparse.ArgumentParser:
    """Build the parser of all commands; that of rules alone where a shard's job is to run.

    Every shard of every stage is a process of its own, which pays for what it does not use.
    """
    from popscan.cli import rules

    top = _Parser(
        prog="popscan", description="Population imaging studies; usually run through snakemake."
    )
    top.add_argument("--version", action="version", version=f"popscan {__version__}")
    commands = top.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=argparse.ArgumentParser
    )
    top.commands = commands.choices  # for its proposals
    if command == rules.OF_A_SHARD:
        rules.add(commands)
    else:
        _add_all(commands)
    return top


def _add_all(commands: Commands) -> None:
    from popscan.cli import (
        experiments,
        models,
        optional,
        people,
        publishing,
        rules,
        running,
        storage,
        tables,
    )

    running.add(commands)
    people.add(commands)
    publishing.add(commands)
    storage.add(commands)
    models.add(commands)
    tables.add(commands)
    rules.add(commands)
    optional.add(commands)
    experiments.add(commands)


if __name__ == "__main__":
    sys.exit(main())
