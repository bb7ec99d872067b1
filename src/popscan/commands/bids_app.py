"""``popscan bids IN OUT participant|group``: the call that all BIDS Apps share.

Source: the BIDS Apps paper (Gorgolewski et al. 2017, doi:10.1371/journal.pcbi.1005209).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import yaml

from popscan.commands.run_study import run_command
from popscan.disk import write_atomic
from popscan.io.sources import get_source
from popscan.protocols import get_protocol
from popscan.records import PopscanError

#: Name of the study below the output folder.
NAME = "popscan"


def bids_command(
    root: Path,
    out: Path,
    level: Literal["participant", "group"],
    *,
    labels: Sequence[str] = (),
    protocol: str,
    cores: str = "",
    profile: str = "",
    options: Sequence[str] = (),
) -> list[str]:
    """Write the config of a BIDS data set and return the Snakemake command of a level.

    Parameters
    ----------
    root
        Folder of the data set; nothing is written there.
    out
        Folder of the derivatives: the study is ``out/popscan``, its config ``out/popscan.yaml``.
    level
        ``participant`` does the stages of single subjects, ``group`` what is left of the study.
    labels
        Subjects, with or without ``sub-``; all by default. Group level: all, whatever is named.
    protocol
        Name of the protocol.
    cores, profile, options
        As `popscan.commands.run_study.run_command`.

    Raises
    ------
    PopscanError
        If there is no subject, or one that was named is not there.
    """
    if not root.is_dir():
        raise PopscanError(f"{root}: no such folder")
    found = get_source("bids", get_protocol(protocol)).find(root)
    known = list(dict.fromkeys(subject.sub for subject in found))
    if not known:
        raise PopscanError(f"{root}: no sub-* folder there")
    wanted = [f"sub-{label.removeprefix('sub-')}" for label in labels] or known
    if strange := [name for name in wanted if name not in known]:
        raise PopscanError(f"{root}: no such subject: {', '.join(strange[:5])}")
    config = {
        "protocol": protocol,
        "study": {"name": NAME, "results": str(out)},
        "source": {"kind": "bids", "root": str(root)},
    }
    path = out / f"{NAME}.yaml"
    if not path.exists():  # a person may have changed it since
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(path, yaml.safe_dump(config, sort_keys=False).encode())
    configs = [path]
    if level == "participant":
        # A file: a command line would not hold the names of a large study.
        configs.append(out / f"{NAME}_participants.yaml")
        write_atomic(configs[-1], yaml.safe_dump({"subjects": wanted}).encode())
    return run_command(*configs, cores=cores, profile=profile, options=options)
