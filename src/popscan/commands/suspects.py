"""Which reference labels of a source a training found suspicious."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from popscan.disk import write_atomic
from popscan.records import PopscanError

if TYPE_CHECKING:
    import pandas as pd


def suspect_labels(
    recipe: str,
    *,
    kind: str,
    root: Path,
    work: Path,
    out: Path,
    by: str = "loss",
    over: str = "visit",
) -> tuple[str, list[str]]:
    """Write the labelled visits of a source, the most suspicious label first.

    Parameters
    ----------
    recipe
        Of a training with `learning.snapshots`: its name or file.
    kind, root
        Of the source; subjects that the training did not see are looked at, too.
    work
        The training's folder: that of ``popscan train --work``.
    out
        TSV that is written: one row a visit, with the frame and slice that stand out.
    by
        ``loss`` or ``gradients`` (`popscan.train.suspects`).
    over
        ``visit`` or ``slice``, as in `popscan.train.suspects.suspicious_subjects`.

    Returns
    -------
    sentence, left_out
        What was found, and who could not be looked at.

    Raises
    ------
    PopscanError
        If there are no labels or no snapshots, or the recipe is of another task.
    """
    from popscan.commands.training import labelled_cases
    from popscan.io.spreadsheet import tsv_text
    from popscan.train.packs import build_pack
    from popscan.train.recipe import load_recipe
    from popscan.train.snapshots import snapshots
    from popscan.train.suspects import suspicion, suspicious_subjects

    step = load_recipe(recipe)
    if step.task != "segment":
        raise PopscanError(f"recipe {step.name!r}: task segment is expected, not {step.task}")
    paths = snapshots(work / step.name)
    cases, left_out = labelled_cases(kind, root)
    if not cases:
        raise PopscanError(f"{root}: no labelled scan ({'; '.join(left_out[:5])})")
    pack = build_pack(cases, spacing_mm=step.spacing_mm, n_labels=step.n_labels)
    table = suspicious_subjects(suspicion(step, pack, paths), by=by, over=over)
    write_atomic(out, tsv_text(table).encode())
    return f"{out}: {in_words(table, by=by)}", left_out


def in_words(table: pd.DataFrame, *, by: str) -> str:
    """Return what a table of `popscan.train.suspects.suspicious_subjects` begins with."""
    none = int((table["n_labelled"] == 0).sum())
    text = f"{len(table)} visits"
    if none:
        text += f"; {none} of them, listed first, have no label at all (n_labelled 0)"
    if none == len(table):
        return text
    first = table.iloc[none]
    if not math.isfinite(first[by]):
        return (
            f"{text}; first {first['unit']}: frame {first['frame']}, slice {first['slice']}: its "
            f"{by} is not a number"
        )
    return (
        f"{text}; first {first['unit']}: its labelled slices have a median {by} of "
        f"{first['visit_median']:.3g}; frame {first['frame']}, slice {first['slice']}: "
        f"{first['times_median']:.1f} times the median of all labelled slices"
    )
