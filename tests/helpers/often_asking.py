"""Snakemake, asking for the state of jobs every 3 s: a script that stands for its command."""

from __future__ import annotations

import asyncio
import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

SECONDS = 3


async def pause(_: RemoteExecutor) -> None:
    await asyncio.sleep(SECONDS)


if not asyncio.iscoroutinefunction(RemoteExecutor.sleep):
    sys.exit("often_asking.py: Snakemake waits between status checks in another place")
RemoteExecutor.sleep = pause

if __name__ == "__main__":
    sys.exit(main())
