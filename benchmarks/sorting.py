"""Sorting series without labels: purity of clusters, and how many get the right name.

    python benchmarks/sorting.py --subjects 24 --seed 11 --data ../shared/data

Simulated visits (invented vendors, file names without meaning; DICOM and NIfTI) and the shared real
series are sorted, each by itself and all in one tree. Clusters are compared with what each series
is: purity (share of series that are of their cluster's most usual kind) and completeness (share of
entropy of the kinds that clusters explain, sklearn). Beside popscan's features: geometry alone,
pictures alone, coarse pictures alone, and k-means on raw thumbnails with the true number of kinds
(which popscan is not given).

What the real series are was taken from their folders, and for the long axis from a look at the
images: header texts of the exam call a three-chamber plane 4CH and a plane through the right heart
2CH. FLAIR has the name `brain_other`. ED and ES frames without the cycle (`*_frames`) and the plane
through the right heart have no name in popscan: unknown is right there.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import completeness_score

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

from popscan.io.tree import Broken, Walked, read_tree
from popscan.protocol import load
from popscan.protocols import every
from popscan.sorting.clusters import cluster, fit
from popscan.sorting.facts import Facts
from popscan.sorting.features import _coarse, _components, geometry, joined, learnt
from popscan.sorting.naming import UNKNOWN, Votes, best, final, named_session
from tree_files import write_visits

EXAM = {
    "Se6": "4ch_cine",
    "Se7": "3ch_cine",
    "Se8": "2ch_cine",
    "Se9": "rv_2ch",
    "Se10": "rvot_cine",
}
PHANTOM = {"12": "t1_inversions", "13": "t1_inversions_phase", "14": "t1_map", "15": "t1_fit"}
#: Kinds that no protocol names: unknown is the right answer.
NAMELESS = {"rv_2ch", "t1_fit", "sax_frames", "4ch_frames"}


def real(data: Path, root: Path) -> dict[str, str]:
    """Link the shared series into a tree; return place -> what it is."""
    truth: dict[str, str] = {}

    def add(source: Path, place: str, kind: str) -> None:
        target = root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve())
        truth[place] = kind

    for folder in sorted((data / "cine_exam" / "patient1").iterdir()):
        add(folder, f"exam/1/{folder.name}", EXAM.get(folder.name, "sax_cine"))
    for folder in sorted((data / "sunnybrook" / "dicoms").iterdir()):
        add(folder, f"s/{folder.name}", "sax_cine")
    for folder in sorted((data / "t1_shmolli_phantom").iterdir()):
        if folder.is_dir():
            add(folder, f"phantom/{folder.name}", PHANTOM[folder.name[-2:]])
    for path in sorted((data / "cine_sax_lax").glob("*.nii.gz")):
        kind = "4ch_frames" if "lax" in path.name else "sax_frames"
        add(path, f"m{len(truth)}/a.nii.gz", kind)
    for path in sorted((data / "acdc").glob("*/patient*_frame??.nii.gz")):
        add(path, f"a{len(truth)}/a.nii.gz", "sax_frames")
    for path in sorted((data / "brain").glob("sub-*/anat/*.nii.gz")):
        kind = "brain_t1w" if "T1w" in path.name else "brain_other"
        add(path, f"b{len(truth)}/a.nii.gz", kind)
    return truth


def facts_of(root: Path) -> list[Facts]:
    """All series of a tree with their names, as the command reads them."""
    sessions: dict[str, list[Facts]] = {}
    for one in read_tree(root, Walked()):
        if isinstance(one, Broken):
            raise SystemExit(f"broken: {one}")
        sessions.setdefault(one.session, []).append(one)
    finders = [load(p.sorting.find) for p in every() if p.sorting is not None]
    return [facts for series in sessions.values() for facts in named_session(series, finders)]


def purity(kinds: np.ndarray, clusters: np.ndarray) -> float:
    """Share of series that are of their cluster's most usual kind."""
    table = pd.crosstab(clusters, kinds)
    return float(table.max(axis=1).sum() / len(kinds))


def clustered(series: list[Facts], kinds: np.ndarray, *, seed: int, limit: float) -> pd.DataFrame:
    """Purity and completeness of popscan's clusters and of its peers."""
    thumbs = np.stack([f.thumb for f in series])
    where = np.stack([geometry(f) for f in series])
    looks = learnt(thumbs, seed=seed).of(thumbs)
    coarse = _components(_coarse(thumbs)).of(_coarse(thumbs))
    raw = thumbs.reshape(len(thumbs), -1).astype(float)
    n = len(set(kinds))
    found = {
        "popscan": fit(thumbs, where, seed=seed).of(thumbs, where),
        "popscan, features learnt once": cluster(joined(where, looks), limit=limit).labels,
        "geometry alone": cluster(where, limit=limit).labels,
        "pictures alone": cluster(looks, limit=limit).labels,
        "coarse pictures alone": cluster(coarse, limit=limit).labels,
        f"k-means, raw pictures, k = {n}": KMeans(n, n_init=5, random_state=seed).fit(raw).labels_,
        f"k-means, popscan's features, k = {n}": KMeans(n, n_init=5, random_state=seed)
        .fit(joined(where, looks)).labels_,
    }  # fmt: skip
    rows = {
        name: {
            "clusters": len(set(labels.tolist())),
            "purity": round(purity(kinds, labels), 4),
            "completeness": round(completeness_score(kinds, labels), 3),
        }
        for name, labels in found.items()
    }
    return pd.DataFrame(rows).T


def named(series: list[Facts], kinds: np.ndarray, *, seed: int) -> pd.DataFrame:
    """Names as the command gives them, by kind."""
    thumbs = np.stack([f.thumb for f in series])
    where = np.stack([geometry(f) for f in series])
    labels = fit(thumbs, where, seed=seed).of(thumbs, where).tolist()
    own = [best(f) for f in series]
    votes: dict[int, Votes] = {}
    for label, name in zip(labels, own, strict=True):
        votes.setdefault(label, Votes()).add(UNKNOWN if name is None else name.name)
    names = np.array([final(o, votes[k]).name for o, k in zip(own, labels, strict=True)])
    alone = np.array([UNKNOWN if o is None else o.name for o in own])
    expected = np.where(np.isin(kinds, list(NAMELESS)), UNKNOWN, kinds)
    rows = pd.DataFrame(
        {
            "series": np.ones(len(kinds), dtype=int),
            "right": names == expected,
            "unknown": (names == UNKNOWN) & (expected != UNKNOWN),
            "wrong": (names != UNKNOWN) & (names != expected),
            "wrong before clusters": (alone != UNKNOWN) & (alone != expected),
        }
    )
    counts = rows.groupby(kinds).sum()
    return pd.concat([counts, counts.sum().to_frame("all").T])


def show(title: str, table: pd.DataFrame) -> None:
    print(f"\n{title}\n{table.to_string()}", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--subjects", type=int, default=24)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--limits", type=float, nargs="+", default=[1.0])
    parser.add_argument("--data", type=Path, default=None, help="folder of the shared series")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="pydicom")
    data = options.data or Path(os.environ.get("POPSCAN_DATA", "../shared/data"))
    read: dict[str, list[Facts]] = {}
    kinds: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as work:
        base = Path(work)
        truths = {
            "simulated": write_visits(base / "simulated", options.subjects, seed=options.seed)
        }
        if data.is_dir():
            truths["real"] = real(data, base / "real")
        for name, truth in truths.items():
            start = time.process_time()
            read[name] = facts_of(base / name)
            kinds[name] = np.array([truth[f.place] for f in read[name]])
            seconds = time.process_time() - start
            print(f"{name}: {1000 * seconds / len(read[name]):.0f} ms of CPU a series", flush=True)
    if "real" in read:
        read["both"] = [f for series in read.values() for f in series]
        kinds["both"] = np.concatenate([kinds["simulated"], kinds["real"]])
    for name, series in read.items():
        count = len(set(kinds[name]))
        for limit in options.limits:
            show(
                f"{name}: {len(series)} series of {count} kinds, limit {limit:g}",
                clustered(series, kinds[name], seed=0, limit=limit),
            )
        show(f"{name}: names", named(series, kinds[name], seed=0))


if __name__ == "__main__":
    main()
