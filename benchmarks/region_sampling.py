"""What drawing basal and apical slices more often does, region by region.

    python benchmarks/region_sampling.py [--weights 1 2 4] [--steps 300] [--seed 0]

The first member of a bundle is fine-tuned with as many steps for every weight of the highest and
lowest slices of a heart and those next outside of them (`Recipe.edge_weight`; Mariscal-Harana et
al. 2021 sample slices non-uniformly for the same purpose); weight 1 is the control. Then the
patients that the bundle names as its validation subjects are segmented: Dice by structure and
third of the heart, slices missed, and slices segmented where the experts have none.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import pandas as pd

from finetuning import parser_of, start
from popscan.protocols.cine_sax.regions import score_regions
from popscan.protocols.cine_sax.training.evaluate import score_case
from popscan.train.evaluate import draft_bundle, mean_dice


def main() -> None:
    """Run the benchmark."""
    parser = parser_of(__doc__.splitlines()[0])
    parser.set_defaults(steps=300)
    parser.add_argument("--weights", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    arguments = parser.parse_args()
    begin = start(arguments, name="region-sampling")
    columns, totals = {}, []
    for weight in arguments.weights:
        recipe = replace(begin.recipe, edge_weight=weight)
        bundle = draft_bundle(recipe, begin.finetune(recipe))
        scores, regions = [], []
        for case in begin.unseen:
            scored, found = score_case(case, bundle=bundle)
            scores += scored
            regions += score_regions(found.labels, case.labels, case.scan.spacing_mm)
        by = pd.DataFrame(regions).groupby(["structure", "region"], sort=False)
        columns[weight] = by["dice"].mean()
        slices = by[["missed_slices", "spurious_slices"]].sum().sum()
        totals.append(
            f"weight {weight:4.1f}: mean Dice {mean_dice(pd.DataFrame(scores)):.4f}, "
            f"{slices['missed_slices']} slices missed, {slices['spurious_slices']} spurious"
        )
        print(totals[-1], flush=True)
    frame = pd.DataFrame(columns).drop("outside", level="region", errors="ignore")
    print(f"\nmean Dice of {len(begin.unseen)} unseen patients by weight of the edges")
    print(frame.round(3).sort_index(level="structure", sort_remaining=False).to_string())


if __name__ == "__main__":
    sys.exit(main())
