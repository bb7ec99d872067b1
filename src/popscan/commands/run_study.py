"""`popscan run`: Snakemake with popscan's workflow, from any folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from popscan.installation import config_file, workflow_folder


def run_command(
    *configs: str | Path, profile: str = "", cores: str = "", options: Sequence[str] = ()
) -> list[str]:
    """Return the Snakemake command of a study.

    Parameters
    ----------
    configs
        Config file, or the name of one that popscan brings (``demo``); keys of a further one
        replace those of the one before.
    profile
        Profile of Snakemake: a folder, a name in Snakemake's own places, or one that popscan
        brings (``slurm``, ``slurm-noacct``).
    cores
        Cores of this machine; by default all, where no profile says otherwise.
    options
        Further options of Snakemake, passed on as they are.

    Raises
    ------
    PopscanError
        If there is no such config file; the message names those that popscan brings.
    """
    home = workflow_folder()
    command = [sys.executable, "-m", "snakemake"]
    if not any(option.startswith("--logger") for option in options):
        command += ["--logger", "popscan"]
    command += ["--configfile", *(str(config_file(config)) for config in configs)]
    if profile:
        command += ["--profile", _profile(profile, home)]
    if cores or not profile:
        command += ["--cores", cores or "all"]
    # Last, since it takes one value: a target that follows is not taken for one more.
    return [*command, "--snakefile", str(home / "Snakefile"), *options]


def _profile(name: str, home: Path) -> str:
    own = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config"), "snakemake", name)
    brought = home / "workflow" / "profiles" / name
    if not Path(name).exists() and not own.exists() and brought.is_dir():
        return str(brought)
    return name


def run_study(command: Sequence[str]) -> None:
    """Become Snakemake: signals, exit status and terminal are its own. Does not return."""
    os.execv(command[0], list(command))
