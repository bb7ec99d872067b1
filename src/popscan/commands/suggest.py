"""Which unlabelled scans of a source are worth labelling next, for a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from popscan.disk import write_atomic
from popscan.records import PopscanError, Scan, SubjectError

if TYPE_CHECKING:
    from popscan.segment.bundle import Bundle

#: Frames of a series that are looked at, evenly spaced from the first one on.
N_FRAMES = 2


def few_frames(scan: Scan, *, n: int = N_FRAMES) -> Scan:
    """Return a scan with `n` frames evenly spaced over the series, or all if there are fewer."""
    total = scan.array.shape[3]
    frames = [k * total // min(n, total) for k in range(min(n, total))]
    names = scan.meta.get("frame_labels")
    meta = {k: v for k, v in scan.meta.items() if k != "frame_labels"}
    if names is not None and len(names) == total:
        meta["frame_labels"] = [names[t] for t in frames]
    return replace(scan, array=scan.array[..., frames], frame_times_ms=None, meta=meta)


def suggest_scans(
    model: Path,
    *,
    kind: str,
    root: Path,
    out: Path,
    n: int = 20,
    among: float = 0.5,
    seed: int = 0,
    protocol_name: str = "",
) -> tuple[str, list[str]]:
    """Write the unlabelled scans of a source, the one most worth labelling first.

    Uncertainty is the mean entropy of the structures, over four mirrorings of the image, so that
    what they disagree about counts. Scans of the source that have labels, or that the bundle was
    trained on, are not suggested, and what is like them is not, either.

    Parameters
    ----------
    model
        Folder of the bundle.
    kind, root
        Of the source.
    out
        TSV that is written: the columns of `popscan.train.suggest.suggest`.
    n, among, seed
        As there.
    protocol_name
        Of the bundle; empty for the default protocol.

    Returns
    -------
    sentence, left_out
        What was suggested, and who could not be looked at.

    Raises
    ------
    PopscanError
        If there is no unlabelled scan, or an option is out of its range.
    """
    from popscan.commands.training import labelled_cases
    from popscan.io.spreadsheet import tsv_text
    from popscan.protocol import load
    from popscan.protocols import DEFAULT, get_protocol
    from popscan.segment import load_bundle
    from popscan.train.suggest import suggest

    part = get_protocol(protocol_name or DEFAULT).segmentation
    segmenter, bundle = load(part.methods[part.method]), load_bundle(model, "auto")
    labelled, _ = labelled_cases(kind, root, protocol_name=protocol_name)
    known = {case.unit for case in labelled}
    cases, left_out = labelled_cases(kind, root, protocol_name=protocol_name, unlabelled=True)
    names: dict[bool, list[str]] = {True: [], False: []}
    rows: dict[bool, list[np.ndarray]] = {True: [], False: []}
    unsure: list[float] = []
    for case in cases:
        has = case.unit in known or bundle.recognise(case.unit, case.scan.array).seen
        try:
            made = segmenter(few_frames(case.scan), bundle=bundle, flips=True, features=True)
        except SubjectError as error:
            left_out.append(f"{case.unit}: {error}")
            continue
        names[has].append(case.unit)
        rows[has].append(made.features.astype(float).mean(axis=0))
        if not has:
            unsure.append(_uncertainty(made.values, bundle))
    if not names[False]:
        raise PopscanError(f"{root}: no unlabelled scan ({'; '.join(left_out[:5])})")
    table = suggest(
        names[False],
        np.array(unsure),
        np.array(rows[False]),
        labelled=names[True],
        labelled_features=np.array(rows[True]) if rows[True] else None,
        n=n,
        among=among,
        seed=seed,
    )
    write_atomic(out, tsv_text(table).encode())
    k = int(table["chosen"].sum())
    sentence = (
        f"{out}: {k} of {len(table)} unlabelled scans suggested, {len(names[True])} have labels; "
        f"first {table['unit'][0]}; mean similarity to a labelled one {table['coverage'][0]:.2f} "
        f"with the first, {table['coverage'].iloc[-1]:.2f} with all {k}"
    )
    return sentence, left_out


def _uncertainty(values: dict[str, float], bundle: Bundle) -> float:
    """Return the mean entropy of the structures that were labelled; NaN where none was."""
    each = np.array([values[f"mean_entropy_{name}"] for name in bundle.labels], dtype=float)
    return float(np.nanmean(each)) if np.isfinite(each).any() else float("nan")
