"""Can an attribute be seen? Features of a shard's subjects; how well attributes are predicted."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.config import Fairness, Segment, Visibility
from popscan.config.analyses import ORGAN
from popscan.plan import read_plan, read_shard
from popscan.protocol import CropFrame, Protocol
from popscan.protocol import load as load_place
from popscan.protocols import protocol_of
from popscan.records import PopscanError, Scan, Status, Subject, SubjectError
from popscan.register.crops import CropGrid
from popscan.register.frames import Frame
from popscan.stages.atlas.job import load_arrays, save_arrays
from popscan.stages.segment.bundles import load_networks
from popscan.stages.visibility.subjects import attributes_to_see, features_account
from popscan.store import Store
from popscan.study import dictionary
from popscan.study.accounts import PREFIX, Account
from popscan.study.context import ShardContext
from popscan.study.phases import phases_of
from popscan.study.study import Study
from popscan.study.tables import read_table, write_table
from popscan.visibility.features import ALONG_MM, INPLANE_MM

if TYPE_CHECKING:
    from popscan.segment.bundle import Bundle

log = logging.getLogger(__name__)

_NOT_SAMPLED = "the study has more subjects than visibility.max_subjects"
#: Columns of the table of biomarkers that say nothing of the organ.
_NO_FEATURES = ("analysed", "qc_verdict", "ed_frame", "es_frame", "n_frames_measured")
#: Voxel sizes of the grid around the organ.
_GRID = {"inplane_mm": INPLANE_MM, "along_mm": ALONG_MM}


def sampled(unit: str, *, share: float, seed: int) -> bool:
    """Whether a subject is in the sample: by its name alone, the same in every shard and run.

    Parameters
    ----------
    unit
        Its name.
    share
        Share of subjects that are.
    seed
        Of the sample.
    """
    number = int.from_bytes(hashlib.sha256(f"{seed}:{unit}".encode()).digest()[:8], "big")
    return number < share * 2.0**64


def features_shard(store: Store, shard: str, options: Mapping[str, Any], output: Path) -> int:
    """Write the features of a shard's segmented subjects, and what became of each subject.

    Parameters
    ----------
    store, shard
        Study and shard.
    options
        Config sections study, visibility and segment.
    output
        An npz: ``unit``, one array (units, features) per source, and the account of the shard.

    Returns
    -------
    int
        Number of subjects.
    """
    section = Visibility.of(options)
    context = ShardContext(store=store, shard=shard, options=options)
    plan = read_plan(store.root)
    share = section.max_subjects / max(int(plan["n_subjects"]), 1)
    units: list[str] = []
    rows: dict[str, list[NDArray[np.float32]]] = {
        name: [] for name in section.sources if name != "biomarkers"
    }
    account = Account()
    for planned in read_shard(store.root, shard):
        subject = planned.subject
        try:
            segmented = context.record("segment", subject)
            if segmented.status is not Status.OK:
                account.add(subject.unit, Status.SKIPPED, segmented.reason, segmented.message)
                continue
            if not sampled(subject.unit, share=share, seed=context.seed):
                account.add(subject.unit, Status.NOT_APPLICABLE, "not_sampled", _NOT_SAMPLED)
                continue
            found = subject_features(context, subject, list(rows))
        except SubjectError as error:
            log.warning("%s: no features: %s", subject.unit, error)
            account.failed(subject.unit, error)
            continue
        account.add(subject.unit, Status.OK)
        units.append(subject.unit)
        for name, values in found.items():
            rows[name].append(values)
    arrays = {name: np.stack(values) for name, values in rows.items() if values}
    named = {"unit": np.array(units, dtype=np.str_), **arrays}
    save_arrays(output, {**named, **account.to_arrays()})
    return len(units)


def organ_grid(protocol: Protocol) -> CropGrid:
    """Return the grid of all features around the organ.

    Raises
    ------
    PopscanError
        If the protocol does not say where its organ is (`Protocol.crops`).
    """
    grid: CropGrid = load_place(crops_of(protocol).grid)(**_GRID)
    return grid


def organ_pose(protocol: Protocol, labels: NDArray[np.uint8], scan: Scan) -> Frame:
    """Return where a subject's organ is, from the labels of one frame.

    Raises
    ------
    SubjectError
        Where they are too poor for it.
    """
    pose: Frame = load_place(crops_of(protocol).frame)(labels, spacing_mm=scan.spacing_mm)
    return pose


def crops_of(protocol: Protocol) -> CropFrame:
    """Return what a protocol says of where its organ is; refuse one that says nothing."""
    if protocol.crops is None:
        raise PopscanError(f"visibility: protocol {protocol.name} declares no crops")
    return protocol.crops


def first_phase(
    context: ShardContext, subject: Subject
) -> tuple[Scan, NDArray[Any], NDArray[np.uint8]]:
    """Read a subject's scan, and image and labels of its first phase, (x, y, z)."""
    from popscan.io.nifti import read_labels, read_scan

    scan = read_scan(
        context.path(context.image_stage(subject), subject, context.names.image(subject))
    )
    labels = read_labels(context.path("segment", subject, context.names.labels(subject)))
    frame = next(iter(phases_of(scan, labels, context.protocol).values()))
    return scan, scan.array[..., frame], labels.array[..., frame]


def subject_features(
    context: ShardContext, subject: Subject, names: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """Return a subject's features, by source.

    Raises
    ------
    SubjectError
        Where there is no organ to look at.
    """
    from popscan.register.crops import crop
    from popscan.visibility import features

    scan, image, labels = first_phase(context, subject)
    protocol = context.protocol
    codes = list(protocol.labels.codes.values())
    placed = crop(
        image,
        labels,
        spacing_mm=scan.spacing_mm,
        grid=organ_grid(protocol),
        frame=organ_pose(protocol, labels, scan),
        codes=[0, *sorted(codes)],
    )
    made: dict[str, NDArray[np.float32]] = {}
    for name in names:
        if name == "labels":
            made[name] = features.label_features(placed, codes)
        elif name in ORGAN:
            made[name] = features.organ_features(placed)
        elif name == "image":
            made[name] = features.image_features(image, spacing_mm=scan.spacing_mm)
        else:
            made[name] = _latent(context, scan, image, labels)
    return made


def _latent(
    context: ShardContext, scan: Scan, image: NDArray[Any], labels: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Latent features of all members of the segmentation model, one after the other."""
    from popscan.segment.networks import seen_by
    from popscan.visibility.latent import latent_features

    section = context.section(Segment)
    bundle = load_networks(section.model, section.device)
    images, _, _ = organ_slices(scan, image, labels, bundle)
    parts = []
    for network, arguments in zip(bundle.networks, bundle.arguments, strict=True):
        parts.append(latent_features(network, seen_by(images, arguments)))
    return np.concatenate(parts)


def organ_slices(
    scan: Scan, image: NDArray[Any], labels: NDArray[np.uint8], bundle: Bundle
) -> tuple[Any, Any, list[int]]:
    """Cut the slices that hold labels as the networks see them, around what is segmented.

    Parameters
    ----------
    scan
        For affine and spacing.
    image, labels : ndarray, shape (x, y, z)
        One frame and its segmentation.
    bundle
        The segmentation model.

    Returns
    -------
    images : torch.Tensor
        The slices with what is seen around them: `popscan.segment.grids.Grids.cut`.
    way
        Back to the scan's pixels: `popscan.arrays.resampling.WindowedGrid`.
    slices : list of int
        Which slices of the stack they are.

    Raises
    ------
    SubjectError
        ``nothing_labelled`` if nothing is labelled.
    """
    from dataclasses import replace

    from popscan.arrays.resampling import Window
    from popscan.segment.grids import Grids

    held = np.argwhere(labels > 0)
    if not len(held):
        raise SubjectError("nothing_labelled", "nothing is labelled")
    grids = Grids(replace(scan, array=np.asarray(image)[..., np.newaxis]), bundle)
    scale = np.asarray(grids.inner) / np.asarray(grids.shape)
    centre = (held[:, :2].mean(axis=0) + 0.5) * scale - 0.5
    side = -(-bundle.patch // grids.multiple) * grids.multiple
    way = grids.through(Window.around((centre[0], centre[1]), (side, side)))
    slices = sorted({int(z) for z in held[:, 2]})
    return grids.cut(slices, way), way, slices


def read_features(paths: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """Read the features of all shards: source -> one row per unit."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for path in paths:
        arrays = load_arrays(path)
        for name in arrays:
            if name == "unit" or name.startswith(PREFIX):
                continue
            frame = pd.DataFrame(arrays[name], index=pd.Index(arrays["unit"], name="unit"))
            parts.setdefault(name, []).append(frame)
    return {name: pd.concat(frames).sort_index() for name, frames in sorted(parts.items())}


def write_visibility(
    study_root: Path, paths: Sequence[Path], options: Mapping[str, Any]
) -> pd.DataFrame:
    """Write the tables ``visibility`` and ``visibility_subjects``.

    Parameters
    ----------
    study_root
        ``results/<study>``; its tables must have been collected.
    paths
        Features of all shards.
    options
        Config sections study, visibility, fairness, cohort.
    """
    from popscan.visibility.tables import visibility_table

    section = Visibility.of(options)
    fairness = Fairness.of(options)
    study = Study.of_tables(study_root, options)
    account = features_account(study, paths)
    people = study.analysed_once
    sources = _sources(
        study_root,
        section.sources,
        read_features(paths),
        people.index,
        protocol_of(options),
    )
    table = visibility_table(
        sources,
        people,
        attributes_to_test=attributes_to_see(study),
        adjust_for=section.adjust_for,
        n_folds=section.n_folds,
        n_components=section.n_components,
        n_permutations=section.n_permutations,
        min_group=fairness.min_group,
        alpha=fairness.alpha,
        seed=int(options["study"]["seed"]),
    )
    write_table(study_root, "visibility_subjects", account, dictionary.of("visibility_subjects"))
    write_table(study_root, "visibility", table, dictionary.of("visibility"))
    return table


def _of_the_organ(biomarkers: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """Leave out limits of intervals, details, and body size: indexed values hold it."""
    declared = protocol.biomarkers
    left_out = {*declared.limits(), *declared.detail_columns()}
    left_out |= {name for name in map(str, biomarkers) if name.endswith("_m2")}
    return biomarkers.drop(columns=[name for name in map(str, biomarkers) if name in left_out])


def _sources(
    study_root: Path,
    names: Sequence[str],
    features: Mapping[str, pd.DataFrame],
    units: pd.Index,
    protocol: Protocol,
) -> dict[str, pd.DataFrame]:
    """Features of these units, in the config's order; biomarkers come from their table."""
    found = {}
    for name in names:
        table = features.get(name)
        if name == "biomarkers":
            measured = read_table(study_root, "biomarkers")
            table = measured.set_index("unit").drop(columns=list(_NO_FEATURES), errors="ignore")
            table = _of_the_organ(table.select_dtypes("number"), protocol)
        if table is not None:
            found[name] = table[table.index.isin(units)]
    return found
