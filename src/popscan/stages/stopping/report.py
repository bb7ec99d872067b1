"""The report's section on how long scans had to be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from popscan.nested import mapping_at
from popscan.protocols import protocol_of
from popscan.report.context import Extra
from popscan.report.names import name_of
from popscan.stages.stopping.columns import scan_lengths
from popscan.study.study import Study


def stopping_section(study_root: Path, config: Mapping[str, object]) -> Extra | None:
    """Show seconds per slice and what they cost, by sex; None where nothing was scanned so."""
    if not mapping_at(config, "stages", "stopping").get("enabled"):
        return None
    study = Study.of_tables(study_root, config)
    table = scan_lengths(study)
    if table.empty:
        return None
    people = study.attributes
    groups = table["unit"].map(people["sex"]) if "sex" in people else pd.Series(index=table.index)
    outcomes = [o.name for o in protocol_of(config).outcomes if f"{o.name}_error" in table]
    rows = [_row("all", table, outcomes)]
    rows += [_row(str(name), part, outcomes) for name, part in table.groupby(groups)]
    simulated = bool(table["simulated_spokes"].any())
    n_passed = int(table["passed"].sum())
    shorter = table["scan_seconds"] < table["full_seconds"]
    n_early = int((table["passed"].astype(bool) & shorter).sum())
    return Extra(
        ident="stopping",
        title="Length of scans",
        lead="Spokes were added until quality control, expected Dice and intervals allowed to end.",
        sentences=[
            f"{n_passed} of {len(table)} scans reached every limit, {n_early} of them before their "
            f"full length; {len(table) - n_passed} reached the full length without. All scans took "
            f"{table['scan_seconds'].mean():.1f} s a slice on average, of "
            f"{table['full_seconds'].mean():.1f} s."
        ],
        tables=[("Seconds per slice, and mean absolute errors against the full length.",
                 pd.DataFrame(rows))],
        notes=["The spokes were simulated from images: breathing, arrhythmia and delays of the "
               "gradients are not in them."] if simulated else [],
    )  # fmt: skip


def _row(group: str, table: pd.DataFrame, outcomes: list[str]) -> dict[str, object]:
    return {
        "Group": group,
        "Subjects": len(table),
        "Passed": int(table["passed"].sum()),
        "Seconds, mean": table["scan_seconds"].mean(),
        "Seconds, longest": table["scan_seconds"].max(),
        "Dice": table["dice_mean"].mean(),
        **{name_of(name).full(): table[f"{name}_error"].abs().mean() for name in outcomes},
    }
