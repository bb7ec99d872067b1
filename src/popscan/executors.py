"""What a run needs of the cluster, checked before the first job.

Snakemake's Slurm executor does not end when it cannot submit: it waits for jobs that do not exist
and does not answer SIGTERM. The Snakefile imports this module, so it imports nothing heavy.
"""

from __future__ import annotations

import shutil
import subprocess

#: Seconds to wait for an answer of Slurm's accounting.
_PATIENCE_S = 20.0


def executor_problem(executor: str, *, status_command: str | None = None) -> str:
    """Return why a run with this executor would never end; empty if nothing is known against it.

    Parameters
    ----------
    executor
        Name of Snakemake's executor plugin.
    status_command
        Command that the Slurm plugin gets the state of jobs from: ``sacct`` or ``squeue``.
    """
    if not executor.startswith("slurm"):
        return ""
    where = "log in to a node from which jobs are submitted, or run without the profile: --cores N"
    if not shutil.which("sbatch"):
        return f"executor {executor}: no command 'sbatch' on this machine; {where}"
    if status_command and not shutil.which(status_command):
        return (
            f"executor {executor}: no command {status_command!r} on this machine, which the state "
            f"of jobs is read from; {_other_profile(status_command)}"
        )
    if status_command == "sacct" and _accounting_is_off():
        return (
            f"executor {executor}: this Slurm has no accounting ('sacct' answers that it is "
            f"disabled), so the end of a job would never be seen; {_other_profile('sacct')}"
        )
    return ""


def storage_problem(provider: str | None) -> str:
    """Return why a study cannot have a storage plugin as default; empty without one.

    Parameters
    ----------
    provider
        Name of Snakemake's storage plugin: ``s3``, for example.
    """
    if not provider:
        return ""
    return (
        f"--default-storage-provider {provider}: popscan's jobs write journals and files of "
        "subjects beside the outputs that Snakemake knows of, and a store would not get them; "
        "keep the results on a shared disk, and fetch raw data and publish share/ with rules of "
        "your own (docs/scale.md, Object stores)"
    )


def _other_profile(status_command: str) -> str:
    return (
        "use --profile slurm-noacct"
        if status_command == "sacct"
        else "use --profile slurm if the cluster has 'sacct'"
    )


def _accounting_is_off() -> bool:
    """Whether Slurm itself says so; a slow answer or another error counts as no."""
    command = ["sacct", "--noheader", "--allocations", "--starttime", "now"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode != 0 and "accounting storage is disabled" in done.stderr.lower()
