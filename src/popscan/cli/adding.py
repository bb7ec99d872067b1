"""Types of what adds commands to the command line."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Callable
from typing import TypeAlias

#: What a module adds its commands to.
Commands: TypeAlias = "_SubParsersAction[ArgumentParser]"
#: What runs a command and returns its exit status, None for 0.
Call: TypeAlias = Callable[[Namespace], int | None]
