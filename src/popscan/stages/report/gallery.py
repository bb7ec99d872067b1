"""What the report shows of reconstructions beside scores: a slice, and what it cannot show."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from popscan.arrays.image_quality import fitted_gain
from popscan.io.nifti import read_scan
from popscan.nested import mapping_at
from popscan.protocol import Protocol
from popscan.records import PopscanError, Subject
from popscan.registry import read_registry
from popscan.report.figures.gallery import Gallery
from popscan.report.tidy import complete, numbers, words
from popscan.stages.reconstruct.images import reference_image
from popscan.store import Store
from popscan.study.context import ShardContext

#: What simulated k-space from magnitude images hides.
RETROSPECTIVE = (
    "K-space was simulated from images and undersampled in retrospect. Images from archives were "
    "interpolated, filtered, combined from several coils and stripped of their phase; methods look "
    "better on such data than on k-space from a scanner (Shimron et al., PNAS 2022, doi:10.1073/"
    "pnas.2117203119). Compare variants with each other here, and trust none of the numbers for a "
    "scanner before raw k-space was reconstructed."
)


def retrospective_note(config: Mapping[str, object]) -> str:
    """Return the warning of studies whose k-space was simulated from images; else nothing."""
    return RETROSPECTIVE if mapping_at(config, "reconstruct").get("retrospective") else ""


def recon_gallery(store: Store, scores: pd.DataFrame, protocol: Protocol) -> Gallery | str | None:
    """Return a slice of the subject whose variants have the median error; None without any.

    Files that cannot be read make it None: the gallery is an illustration. Where `storage` removed
    them, a sentence says so.
    """
    table = complete(scores, "unit", "variant", "nrmse")
    error = numbers(table["nrmse"]).groupby(words(table["unit"])).mean().dropna().sort_values()
    if not len(error):
        return None
    unit = str(error.index[(len(error) - 1) // 2])
    sub, _, ses = unit.partition("_ses-")
    subject = Subject(sub=sub, ses=f"ses-{ses}" if ses else "")
    try:
        shard = read_registry(store.root / "plan" / "registry.tsv")[unit]
        context = ShardContext(store=store, shard=shard, options={"protocol": protocol.name})
        if any(context.record(stage, subject).gone for stage in ("ingest", "reconstruct")):
            return (
                f"No slice is shown: the images of {unit} were removed by storage; popscan "
                f"storage results/STUDY --restore {unit} makes them again."
            )
        return _gallery(context, subject)
    except (PopscanError, OSError, KeyError, IndexError):
        return None


def _gallery(context: ShardContext, subject: Subject) -> Gallery | None:
    reference = reference_image(context, subject)
    if not reference:
        return None
    array = read_scan(context.path("ingest", subject, reference)).array
    z = array.shape[2] // 2
    plane = np.asarray(array[:, :, z, 0], dtype=np.float32)
    record, images = context.record("reconstruct", subject), {}
    for file in record.outputs:
        name = file.rsplit("/", 1)[-1]
        desc = context.names.variant(name)
        if desc is None:
            continue
        one = read_scan(context.path("reconstruct", subject, name)).array[:, :, z, 0]
        gain = np.nan_to_num(fitted_gain(one, plane))
        variant = desc or str(record.values["variant"])
        images[variant] = np.asarray(one * gain, dtype=np.float32)
    return Gallery(unit=subject.unit, reference=plane, images=images)
