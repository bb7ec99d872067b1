"""Whether the model knows how sure it is: calibration, intervals, errors, expected Dice.

    python benchmarks/uncertainty.py [--model DIR] [--n 14] [--cross-fitted DIR] [--out DIR]

On the ACDC patients that the bundle names as its validation subjects, per structure: calibration
error before and after temperature scaling, QU-BraTS score, errors taken apart and how well the
flip-risk finds flipped voxels, coverage and width of the intervals of volumes, mass and ejection
fraction, and predicted against true Dice on clean and spoilt scans. Everything that is fitted is
tried on patients that it was not fitted on (leave one patient out). With ``--cross-fitted`` (tables
that ``benchmarks/segmentation.py --cross-fit WORK --out DIR`` leaves) also the intervals that rest
on all labelled patients, and expected Dice with each fold left out. Coverage is printed with its
exact (Clopper-Pearson) 95% limits. Nothing is stored: that is ``popscan calibrate``.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from popscan.arrays.intervals import factor, leave_one_out
from popscan.protocols.cine_sax.biomarkers.intervals import QUANTITIES
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.training.calibrate import uncalibrated
from popscan.protocols.cine_sax.training.crosstable import CrossFitted, read_cross_fitted
from popscan.protocols.cine_sax.training.observe import SEVERITIES, Observed, observe, spoilt
from popscan.protocols.cine_sax.training.sections import (
    calibration_section,
    expected_section,
    expected_without_own,
)
from popscan.protocols.cine_sax.training.transfer import transferred
from popscan.segment import Bundle, expected, load_bundle
from popscan.segment.calibration import (
    Reliability,
    binary_entropy_pct,
    by_structure,
    calibration_error,
    fit_temperature,
    log_loss,
    qu_brats,
    tempered,
)
from popscan.segment.errors import take_apart
from popscan.segment.uncertainty import flip_risk
from popscan.train.packs import Case
from segmentation import acdc_cases

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "resources" / "models" / "cine_sax"
LOW_DICE = 0.7


def without_own(seen: Sequence[Observed]) -> list[np.ndarray]:
    """Return each case's probabilities, with the temperature fitted on the other patients."""
    found = []
    for own in seen:
        others = [o for o in seen if o.unit != own.unit]
        p = np.concatenate([o.probabilities for o in others])
        t = fit_temperature(p, np.concatenate([o.truth for o in others]))
        found.append(tempered(own.probabilities, t))
    return found


def calibration(seen: Sequence[Observed]) -> tuple[pd.DataFrame, dict[str, dict]]:
    """Print and return calibration errors and QU-BraTS before and after the temperature."""
    truth = np.concatenate([o.truth for o in seen])
    before = np.concatenate([o.probabilities for o in seen])
    cases = without_own(seen)
    after = np.concatenate(cases)
    curves = {
        name: by_structure(values, truth, structures=STRUCTURES)
        for name, values in (("before", before), ("after", after))
    }
    rows = []
    for label, name in STRUCTURES.items():
        k = int(label)
        row = {f"ECE {when}": calibration_error(curve[name]) for when, curve in curves.items()}
        for when, parts in (("before", [o.probabilities for o in seen]), ("after", cases)):
            scores = [
                qu_brats(o.labels == k, o.truth == k, binary_entropy_pct(p[:, k]))["score"]
                for o, p in zip(seen, parts, strict=True)
            ]
            row[f"QU-BraTS {when}"] = float(np.nanmean(scores))
        rows.append({"structure": name, **row})
    table = pd.DataFrame(rows).set_index("structure")
    print(table.round(4).to_string())
    print(f"log-loss {log_loss(before, truth):.4f} -> {log_loss(after, truth):.4f} nats a voxel")
    return table, curves


def taken_apart(seen: Sequence[Observed]) -> None:
    """Print kinds of error, as they are and as the model expects them, and the flip-risk's AUC."""
    real = take_apart(sum(o.confusion for o in seen), STRUCTURES)
    own = take_apart(sum(o.expected for o in seen), STRUCTURES)
    table = pd.DataFrame(real).T
    for kind in ("flipped_pct", "missed_pct", "spurious_pct"):
        table[f"{kind}, as expected"] = [own[name][kind] for name in table.index]
    print(table.round(2).to_string())
    p = np.concatenate([o.probabilities for o in seen])
    truth, labels = (np.concatenate([getattr(o, a) for o in seen]) for a in ("truth", "labels"))
    risk = flip_risk(torch.from_numpy(p.T[None, :, None].astype(np.float32)))[0, 0].numpy()
    entropy = -(p * np.log(np.clip(p, 1e-7, 1))).sum(axis=1)
    for name, chosen in (
        *((name, labels == int(label)) for label, name in STRUCTURES.items()),
        ("heart", labels != int(Label.BACKGROUND)),
    ):
        # Among what is labelled as the structure: which voxels are another structure in truth?
        other = (truth[chosen] != labels[chosen]) & (truth[chosen] != int(Label.BACKGROUND))
        if 0 < other.sum() < len(other):
            found = [roc_auc_score(other, values[chosen]) for values in (risk, entropy)]
            print(f"flipped voxels found in {name}: flip-risk AUC {found[0]:.3f}, "
                  f"entropy (peer) {found[1]:.3f}")  # fmt: skip


def held(covered: np.ndarray) -> str:
    """Return how many intervals hold their value, with exact limits of the share."""
    n, k = len(covered), int(np.sum(covered))
    low, high = proportion_confint(k, n, alpha=0.05, method="beta")
    return f"{k} of {n} ({100 * low:.0f} to {100 * high:.0f}%)"


def crossed_intervals(
    seen: Sequence[Observed],
    known: Sequence[Observed],
    found: CrossFitted,
    *,
    level: float,
) -> None:
    """Print coverage of intervals from cross-fitting: of the bundle's own patients, and by folds.

    The bundle's patients are each left out of shape and size; the folds' patients are covered by
    the errors of the other folds, for the networks of the folds.
    """
    rows = []
    folds = np.array([k for o, k in zip(found.seen, found.fold, strict=True) if not o.severity])
    for name, relative in QUANTITIES.items():
        crossed = {o.unit: o.errors[name] for o in found.clean}
        own = {o.unit: o.errors[name] for o in seen}
        trained = [o.errors[name] for o in known]
        inside, widths = [], []
        for unit, error in own.items():
            shape, mine = ([e for u, e in d.items() if u != unit] for d in (crossed, own))
            errors = transferred(shape, mine, trained=trained)
            widths.append(factor(errors, level=level, method="auto"))
            inside.append(abs(error) <= widths[-1])
        e = np.array(list(crossed.values()))
        theirs = [
            abs(e[i]) <= factor(e[folds != folds[i]], level=level, method="auto")
            for i in np.flatnonzero(np.isfinite(e))
        ]
        size = 100 if relative else 1
        rows.append(
            {
                "quantity": name,
                "this bundle": held(np.array(inside)),
                "+-": f"{size * np.mean(widths):.1f} {'%' if relative else 'points'}",
                "networks of the folds": held(np.array(theirs)),
                "their mean error": f"{size * np.nanmean(e):+.1f}",
                "mean absolute": f"{size * np.nanmean(np.abs(e)):.1f}",
            }
        )
    print(pd.DataFrame(rows).set_index("quantity").to_string())


def crossed_dice(found: CrossFitted, seen: Sequence[Observed]) -> None:
    """Print how far the lowest expected Dice of a scan is off, with folds or patients left out."""
    rows = []
    for name in STRUCTURES.values():
        errors: dict[str, list[float]] = {}
        for fold in sorted(set(found.fold)):
            pairs = list(zip(found.seen, found.fold, strict=True))
            model = expected_section([o for o, k in pairs if k != fold])["models"][name]
            for own in (o for o, k in pairs if k == fold):
                kind = "folds, spoilt" if own.severity else "folds, clean"
                errors.setdefault(kind, []).append(_lowest_error(model, own, name))
        for unit in sorted({o.unit for o in seen}):
            for added, label in (((), ""), (found.seen, ", fitted on the folds' scans too")):
                others = [o for o in (*seen, *added) if o.unit != unit]
                model = expected_section(others)["models"][name]
                for own in (o for o in seen if o.unit == unit):
                    kind = f"this bundle, {'spoilt' if own.severity else 'clean'}{label}"
                    errors.setdefault(kind, []).append(_lowest_error(model, own, name))
        for kind, values in errors.items():
            e = np.array(values)[np.isfinite(values)]
            rows.append(
                {
                    "structure": name,
                    "scans": kind,
                    "n": len(e),
                    "expected less true": e.mean(),
                    "mean absolute error": np.abs(e).mean(),
                    "within 0.05": (np.abs(e) <= 0.05).mean(),
                }
            )
    print(pd.DataFrame(rows).set_index(["structure", "scans"]).round(3).to_string())


def _lowest_error(model: dict, own: Observed, name: str) -> float:
    true = own.dice[name]
    if not np.isfinite(true).any():
        return math.nan
    return float(expected.predict(model, own.features[name]).min() - np.nanmin(true))


def intervals(seen: Sequence[Observed], *, level: float) -> None:
    """Print coverage and width of every interval, each patient's from the others."""
    rows = []
    for name, relative in QUANTITIES.items():
        e, s = (np.array([getattr(o, a)[name] for o in seen]) for a in ("errors", "spreads"))
        usable = np.isfinite(e)
        e, s = e[usable].tolist(), s[usable].tolist()
        row: dict[str, object] = {"quantity": name, "n": len(e)}
        for label, options in (
            ("tolerance", {"choose": True, "method": "tolerance"}),
            ("student", {"choose": True}),
            ("one width", {"flat": True}),
            ("conformal", {"choose": True, "method": "conformal"}),
        ):
            spread = [math.nan] * len(e) if options.pop("flat", False) else s
            covered, widths = leave_one_out(e, spread, level=level, **options)
            if not np.isfinite(widths).any():
                row[f"{label}: covered"] = row[f"{label}: +-"] = "too few"
                continue
            row[f"{label}: covered"] = held(covered)
            unit = 100 if relative else 1
            row[f"{label}: +-"] = f"{unit * np.nanmean(widths):.1f} {'%' if relative else 'points'}"
        rows.append(row)
    print(pd.DataFrame(rows).set_index("quantity").to_string())
    low, high = stats.binom.interval(0.95, len(seen), level)
    print(f"a true coverage of {level:.0%} shows as {low / len(seen):.0%} to {high / len(seen):.0%}"
          f" on {len(seen)} patients (19 times of 20)")  # fmt: skip


def dice(seen: Sequence[Observed]) -> None:
    """Print how well Dice is predicted without a reference, beside what the entropy alone says."""
    rows = []
    for name in STRUCTURES.values():
        predicted, true = expected_without_own(seen, name)
        table = np.concatenate([o.features[name] for o in seen])
        clean = np.concatenate([np.full(len(o.dice[name]), o.severity == 0) for o in seen])
        known = np.isfinite(true)
        low = true[known] < LOW_DICE
        entropy = np.where(np.isfinite(table[:, 2]), -table[:, 2], -np.inf)
        rows.append(
            {
                "structure": name,
                "cases": int(known.sum()),
                "r": np.corrcoef(predicted[known], true[known])[0, 1],
                "r, clean scans": np.corrcoef(predicted[known & clean], true[known & clean])[0, 1],
                "mean absolute error": np.abs(predicted - true)[known].mean(),
                f"share < {LOW_DICE}": low.mean(),
                f"AUC, Dice < {LOW_DICE}": roc_auc_score(low, -predicted[known])
                if 0 < low.sum() < len(low)
                else math.nan,
                "AUC of the mean entropy (peer)": roc_auc_score(
                    low, -np.maximum(entropy[known], -10)
                )
                if 0 < low.sum() < len(low)
                else math.nan,
            }
        )
    print(pd.DataFrame(rows).set_index("structure").round(3).to_string())


def figure(curves: dict[str, dict[str, Reliability]], path: Path) -> None:
    """Draw reliability diagrams, one panel per structure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(10, 3.6), layout="constrained")
    FigureCanvasAgg(drawn)
    panels = drawn.subplots(1, len(STRUCTURES), sharey=True)
    for panel, name in zip(panels, STRUCTURES.values(), strict=True):
        panel.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for (when, curve), mark in zip(curves.items(), "os", strict=True):
            found = curve[name]
            error = calibration_error(found)
            label = f"{when}: ECE {error:.4f}"
            panel.plot(found.mean_confidence, found.frequency, marker=mark, ms=4, label=label)
        panel.set(title=name.upper(), xlabel="probability", xlim=(0, 1), ylim=(0, 1))
        panel.legend(fontsize=8)
    panels[0].set_ylabel("share that is so")
    drawn.suptitle("Reliability before and after temperature scaling (leave one patient out)")
    drawn.savefig(path, dpi=120)


def show(
    cases: list[Case],
    bundle: Bundle,
    *,
    severities: list[int],
    level: float,
    trained: Sequence[Case] = (),
    crossed: CrossFitted | None = None,
) -> dict:
    """Run everything; return the reliability curves."""
    plain = uncalibrated(bundle)
    seen = [observe(case, bundle=plain, voxels=40_000) for case in cases]
    section = calibration_section(seen)
    print(f"\n== calibration, {len(seen)} patients, voxels within 10 mm of the heart, "
          f"temperature {section['temperature']} ==")  # fmt: skip
    _, curves = calibration(seen)
    print("\n== errors taken apart: % of true voxels (spurious, taken: of labelled ones) ==")
    taken_apart(seen)
    print(f"\n== intervals at {level:.0%}: each patient's from the others ==")
    intervals(seen, level=level)
    if crossed is not None:
        said = crossed.summary()
        print(f"\n== intervals at {level:.0%} from cross-fitting: {said['patients']} patients, "
              f"{said['folds']} folds, {said['recipe']} ==")  # fmt: skip
        known = [observe(case, bundle=plain) for case in trained]
        crossed_intervals(seen, known, crossed, level=level)
    if severities:
        print("\n== Dice predicted without a reference, clean and spoilt scans ==")
        warm = replace(plain, about={**plain.about, "calibration": section})
        all_seen = spoilt(cases, bundle=warm, severities=severities)
        dice(all_seen)
        if crossed is not None:
            print("\n== lowest expected Dice of a scan, patients or folds left out ==")
            crossed_dice(crossed, all_seen)
    return curves


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--data", type=Path, default=None, help="folder that holds acdc/")
    parser.add_argument("--n", type=int, default=14, help="validation patients")
    parser.add_argument("--level", type=float, default=0.9, help="of the intervals")
    parser.add_argument("--severity", type=int, action="append", help="of spoilt scans; 0: none")
    parser.add_argument(
        "--cross-fitted", type=Path, metavar="DIR", help="tables of a cross-fitting"
    )
    parser.add_argument("--out", type=Path, default=None, help="folder for the figure")
    given = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    default = Path(os.environ.get("POPSCAN_DATA", ROOT.parent / "shared" / "data"))
    bundle = load_bundle(given.model, "auto")
    held_out = set(bundle.about["validation"]["subjects"])
    every = acdc_cases((given.data or default) / "acdc")
    cases = [c for c in every if c.unit in held_out]
    severities = [s for s in given.severity or SEVERITIES if s]
    print(f"{bundle.name}, digest {bundle.digest[:12]}, {len(bundle.networks)} member(s)")
    crossed = given.cross_fitted and read_cross_fitted(given.cross_fitted)
    curves = show(
        cases[: given.n],
        bundle,
        severities=severities,
        level=given.level,
        trained=[c for c in every if bundle.was_trained_on(c.unit)],
        crossed=crossed,
    )
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        figure(curves, given.out / "reliability.png")
        print(f"drawn: {given.out / 'reliability.png'}")


if __name__ == "__main__":
    main()
