"""QC verdicts as they count: manual overrides over the automatic ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from popscan.config import Qc
from popscan.qc import apply_overrides, parse_overrides
from popscan.records import PopscanError, Status


def read_overrides(path: Path) -> pd.DataFrame:
    """Read the TSV of manual QC overrides.

    Raises
    ------
    PopscanError
        If there is no such file or it is not a TSV.
    """
    try:
        return parse_overrides(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PopscanError(f"qc.overrides: {path}: no such file") from error
    except OSError as error:
        why = error.strerror or error
        raise PopscanError(f"qc.overrides: {path}: cannot be read ({why})") from error
    except UnicodeDecodeError as error:
        raise PopscanError(f"qc.overrides: {path}: text in UTF-8 is expected") from error


def final_verdicts(verdicts: pd.DataFrame, options: Mapping[str, object]) -> pd.DataFrame:
    """Return the table of verdicts with the overrides that the config names applied.

    Parameters
    ----------
    verdicts
        One row per subject that QC looked at.
    options
        Config sections; `qc` names the overrides.
    """
    if "verdict" not in verdicts:
        verdicts = verdicts.assign(verdict=pd.Series(dtype=str))
    path = Qc.of(options).overrides
    overrides = read_overrides(Path(path)) if path else parse_overrides("")
    return apply_overrides(verdicts, overrides)


def with_analysed(biomarkers: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Add the final verdict to biomarkers, and `analysed`: who is in the study's analyses."""
    if biomarkers.empty:
        return biomarkers.assign(qc_verdict=pd.Series(dtype=str), analysed=pd.Series(dtype=bool))
    merged = biomarkers.merge(
        verdicts[["unit", "verdict"]].rename(columns={"verdict": "qc_verdict"}),
        on="unit",
        how="left",
    )
    return merged.assign(analysed=merged["qc_verdict"].isin(["pass", "review"]))


def final_ledger(ledger: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the ledger with QC's status, reason and message as the final verdict has them."""
    if "verdict" not in verdicts or ledger.empty:
        return ledger
    by_unit = verdicts.set_index("unit")
    verdict = ledger["unit"].map(by_unit["verdict"])
    at_qc = (ledger["stage"] == "qc") & verdict.notna()
    words = np.array([str(Status.OK), str(Status.EXCLUDED)], dtype=object)
    final = pd.Series(words[(verdict == "fail").to_numpy(dtype=int)], index=ledger.index)
    status = ledger["status"]
    if isinstance(status.dtype, pd.CategoricalDtype):  # which may lack the final word
        status = status.astype(object)
    final = final.astype(status.dtype)
    changed = at_qc & (final != status)
    why = pd.Series("overridden", index=ledger.index)
    if "override_reason" in by_unit:
        why = why + ": " + ledger["unit"].map(by_unit["override_reason"]).fillna("")
    columns = {
        "status": status.mask(at_qc, final),
        "reason": ledger["reason"].mask(changed, final.map({"excluded": "qc_fail", "ok": ""})),
        "message": ledger["message"].mask(changed, why),
    }
    return ledger.assign(**{k: v for k, v in columns.items() if k in ledger})
