"""What a bundle should know of its training scans, from these scans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popscan.segment import ood
from popscan.segment.bundle import Bundle, load_bundle
from popscan.segment.content import ARRAY, digests_of
from popscan.segment.known import MODEL
from popscan.segment.result import Segmentation
from popscan.segment.trainingfile import write_training
from popscan.train.packs import Case, labelled_frames
from popscan.yamlfile import read_yaml

#: Fewer subjects of a kind say too little of where the kind ends.
LEAST_SUBJECTS = 8
#: What simulated training cases are called.
SIMULATED = "train-simulated-"
#: Principal components of each space, and the share of held-out training cases within its limit.
_COMPONENTS = {"scan": 8, "slice": 16, "tissue": 6}
_WITHIN = {"scan": 0.98, "slice": 0.995, "tissue": 1.0}
_FOLDS = 5

Floats = NDArray[np.float64]


def store_digests(folder: Path, cases: Sequence[Case]) -> int:
    """Write salted digests of training images into a bundle, in place of those that it has.

    Parameters
    ----------
    folder
        Of the bundle; its salt is taken.
    cases
        Scans that the bundle was trained on; of each the labelled frames.

    Returns
    -------
    int
        Slices whose digests were written.
    """
    salt = str(read_yaml(folder / MODEL)["trained_on"]["salt"])
    parts = [digests_of(c.scan.array, salt=salt, frames=c.labels.frames) for c in cases]
    digests = np.unique(np.concatenate(parts), axis=0)
    write_training(folder, {ARRAY: digests})
    return len(digests)


def seen_by_network(
    cases: Sequence[Case], bundle: Bundle, *, segmenter: Callable[..., Segmentation]
) -> list[tuple[Floats, Floats]]:
    """Return features of the slices and of the tissues of each case, as the bundle sees it.

    Parameters
    ----------
    cases
        Scans; of each the labelled frames.
    bundle
        Of the same protocol.
    segmenter
        What segments them, with the keywords ``bundle`` and ``features``.
    """
    found = []
    for case in cases:
        made = segmenter(labelled_frames(case).scan, bundle=bundle, features=True)
        assert made.features is not None
        assert made.tissue is not None
        found.append((made.features.astype(float), made.tissue))
    return found


def store_detector(
    folder: Path,
    cases: Sequence[Case],
    *,
    segmenter: Callable[..., Segmentation],
    device: str = "auto",
) -> list[str]:
    """Write where training scans lie in the network's features into a bundle.

    Patients and simulated subjects are kinds of their own. Limits come from folds: each subject is
    judged by what was fitted without it, and nearly all of them have a score of at most 1.

    Parameters
    ----------
    folder
        Of the bundle.
    cases
        Scans that the bundle was trained on.
    segmenter
        As in `seen_by_network`.
    device
        As for `load_bundle`.

    Returns
    -------
    list of str
        The kinds that were written; those of fewer than `LEAST_SUBJECTS` subjects are not.
    """
    bundle = load_bundle(folder, device)
    kinds: dict[str, list[Case]] = {}
    for case in cases:
        kind = "simulated" if case.unit.startswith(SIMULATED) else "patients"
        kinds.setdefault(kind, []).append(case)
    usable = [k for k in sorted(kinds) if len({c.subject for c in kinds[k]}) >= LEAST_SUBJECTS]
    arrays: dict[str, NDArray[np.generic]] = {}
    for number, kind in enumerate(usable):
        seen = seen_by_network(kinds[kind], bundle, segmenter=segmenter)
        spaces = spaces_of(seen, [case.subject for case in kinds[kind]])
        for name, space in spaces.items():
            arrays |= space.arrays(f"{ood.PREFIX}.{number}.{name}")
    if arrays:
        write_training(folder, arrays)
    return usable


def spaces_of(
    seen: Sequence[tuple[Floats, Floats]], subjects: Sequence[str]
) -> dict[str, ood.Space]:
    """Return the spaces of scans, slices and tissues of training cases of one kind.

    Parameters
    ----------
    seen
        From `seen_by_network`.
    subjects
        Whose case each is.
    """
    slices = np.concatenate([rows for rows, _ in seen])
    owners = [s for s, (rows, _) in zip(subjects, seen, strict=True) for _ in rows]
    whole = np.array([np.isfinite(tissue).all() for _, tissue in seen])
    tables = {
        "scan": (np.array([rows.mean(axis=0) for rows, _ in seen]), list(subjects)),
        "slice": (slices, owners),
        "tissue": (
            np.array([tissue for _, tissue in seen])[whole],
            [s for s, known in zip(subjects, whole, strict=True) if known],
        ),
    }
    spaces = {}
    for name, (rows, names) in tables.items():
        if len(set(names)) < LEAST_SUBJECTS:
            continue
        k = _COMPONENTS[name]
        held_out = ood.fold_scores(rows, names, components=k, folds=_FOLDS)
        limit = float(np.nanquantile(held_out, _WITHIN[name]))
        spaces[name] = replace(ood.fit_space(rows, components=k), limit=limit)
    return spaces
