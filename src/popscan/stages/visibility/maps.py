"""Maps of which image regions predict attributes, and of where the segmentation looks."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.cells import is_recorded
from popscan.config import Fairness, Segment, Visibility, study_seed
from popscan.config.analyses import ORGAN
from popscan.protocols import protocol_of
from popscan.records import Status, Subject, SubjectError
from popscan.register.crops import CropGrid, block_means, crop_values
from popscan.registry import read_registry
from popscan.stages.atlas.stored import save_arrays
from popscan.stages.restoring import Restorer
from popscan.stages.segment.bundles import load_networks
from popscan.stages.visibility.features import first_phase, organ_grid, organ_pose, organ_slices
from popscan.stages.visibility.job import read_features
from popscan.stages.visibility.subjects import attributes_to_see, write_map_subjects
from popscan.store import Store
from popscan.study import dictionary
from popscan.study.accounts import Account
from popscan.study.context import ShardContext
from popscan.study.study import Study
from popscan.study.tables import write_table

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from popscan.arrays.resampling import WindowedGrid

#: A region counts where at least this share of it lies within the scan.
_COVERED = 0.5


@dataclass(frozen=True, kw_only=True)
class _Maps:
    """One subject's attributions in the organ's frame, each of shape `feature_shape`."""

    task: NDArray[np.float32]
    attributes: tuple[NDArray[np.float32], ...]
    baseline: NDArray[np.float32]
    covered: NDArray[np.float32]
    in_organ: tuple[float, ...]


def write_maps(store: Store, paths: Sequence[Path], options: Mapping[str, object]) -> pd.DataFrame:
    """Write ``visibility/maps.npz`` and the tables of attributions and of who is in them.

    Parameters
    ----------
    store
        The study's store; its tables must have been collected.
    paths
        Features of all shards.
    options
        Config sections study, visibility, fairness, cohort, segment.
    """
    section = Visibility.of(options)
    features = read_features(paths)
    study = Study.of_tables(store.root, options)
    people = study.analysed_once
    targets = _targets(people, attributes_to_see(study), features, options)
    arrays = _patterns(people, features, targets, section, organ_grid(protocol_of(options)))
    account = Account()
    rows = _attributions(
        store, people, features, targets=targets, options=options, arrays=arrays, account=account
    )
    from popscan.visibility import attribution

    columns = list(attribution.dictionary(protocol_of(options)))
    table = pd.DataFrame(rows, columns=columns)
    write_table(
        store.root, "visibility_attributions", table, dictionary.of("visibility_attributions")
    )
    write_map_subjects(study, paths, account)
    save_arrays(store.root / "visibility" / "maps.npz", arrays)
    return table


def _targets(
    people: pd.DataFrame,
    wanted: Sequence[str],
    features: Mapping[str, pd.DataFrame],
    options: Mapping[str, object],
) -> list[tuple[str, str]]:
    """Attribute and group of every direction: one for two groups, else one per group."""
    from popscan.visibility.tables import known_groups

    minimum = Fairness.of(options).min_group
    if not features:
        return []
    units = next(iter(features.values())).index
    found = []
    for attribute in wanted:
        column = people.loc[people.index.isin(units), attribute]
        groups = known_groups(column, min_group=minimum)
        if len(groups) > 1:
            found += [(attribute, group) for group in groups[: 1 if len(groups) == 2 else None]]
    return found


def _known(
    people: pd.DataFrame, table: pd.DataFrame, attribute: str
) -> tuple[pd.DataFrame, list[str]]:
    """Features and labels of who has both."""
    column = people[attribute].reindex(table.index)
    column = column[[is_recorded(value) for value in column]]
    return table.loc[column.index], [str(value).strip() for value in column]


def _patterns(
    people: pd.DataFrame,
    features: Mapping[str, pd.DataFrame],
    targets: Sequence[tuple[str, str]],
    section: Visibility,
    grid: CropGrid,
) -> dict[str, NDArray[np.generic]]:
    """Activation patterns of the linear models on label maps and crops around the organ."""
    from popscan.visibility.direction import activation_pattern, attribute_direction
    from popscan.visibility.features import feature_shape

    arrays: dict[str, NDArray[np.generic]] = {}
    for attribute, group in targets:
        for source in ("labels", *ORGAN):
            if source not in features:
                continue
            table, labels = _known(people, features[source], attribute)
            x = table.to_numpy(dtype=float)
            weights = attribute_direction(x, labels, group, n_components=section.n_components)
            pattern = activation_pattern(x, weights).reshape(-1, *feature_shape(grid))
            arrays[f"{source}|{attribute}|{group}"] = pattern.astype(np.float32)
    return arrays


def _attributions(
    store: Store,
    people: pd.DataFrame,
    features: Mapping[str, pd.DataFrame],
    *,
    targets: Sequence[tuple[str, str]],
    options: Mapping[str, object],
    arrays: dict[str, NDArray[np.generic]],
    account: Account,
) -> list[dict[str, object]]:
    """Compare where the task looks with where attributes are predicted from.

    Mean maps go to `arrays`, and what became of each subject to `account`.
    """
    from popscan.visibility.attribution import columns_in, compare_attributions
    from popscan.visibility.direction import attribute_direction

    section = Visibility.of(options)
    fairness, organ = Fairness.of(options), protocol_of(options).words.organ
    if "latent" not in features or not targets:
        return []
    directions = []
    for attribute, group in targets:
        table, labels = _known(people, features["latent"], attribute)
        x = table.to_numpy(dtype=float)
        directions.append(attribute_direction(x, labels, group, n_components=section.n_components))
    units = _chosen(list(features["latent"].index.intersection(people.index)), options)
    maps = _subject_maps(store, units, directions, options, account)
    if not maps:
        return []
    covered = np.all([one.covered >= _COVERED for one in maps], axis=0)
    if covered.sum() < 3:
        return []
    task = np.stack([one.task[covered] for one in maps])
    baseline = np.stack([one.baseline[covered] for one in maps])
    arrays["covered"] = covered
    arrays["task"] = np.mean([one.task / one.task.sum() for one in maps], axis=0)
    rows = []
    for index, (attribute, group) in enumerate(targets):
        own = [one.attributes[index] for one in maps]
        arrays[f"latent|{attribute}|{group}"] = np.mean([m / m.sum() for m in own], axis=0)
        found = compare_attributions(
            task,
            np.stack([m[covered] for m in own]),
            baseline,
            alpha=fairness.alpha,
            seed=study_seed(options),
        )
        share = np.mean([one.in_organ for one in maps], axis=0)
        rows.append(
            {
                "attribute": attribute, "group": group,
                "baseline": Path(section.baseline_model).name or "edges", **found,
                **dict(zip(columns_in(organ), (share[0], share[1 + index]), strict=True)),
            }
        )  # fmt: skip
    return rows


def _chosen(units: Sequence[str], options: Mapping[str, object]) -> list[str]:
    """Subjects whose maps are averaged: by name alone, so that more subjects change little."""
    seed, limit = study_seed(options), Visibility.of(options).n_maps

    def order(unit: str) -> bytes:
        return hashlib.sha256(f"maps:{seed}:{unit}".encode()).digest()

    return sorted(sorted(units, key=order)[:limit])


def _subject_maps(
    store: Store,
    units: Sequence[str],
    directions: Sequence[NDArray[np.floating]],
    options: Mapping[str, object],
    account: Account,
) -> list[_Maps]:
    registry = read_registry(store.root / "plan" / "registry.tsv")
    found = []
    for unit in units:
        sub, _, ses = unit.partition("_ses-")
        subject = Subject(sub=sub, ses=f"ses-{ses}" if ses else "")
        shard = registry[unit]
        context = ShardContext(
            store=store, shard=shard, options=options, restore=Restorer(store, shard)
        )
        try:
            found.append(_maps_of(context, subject, directions))
            account.add(unit, Status.OK)
        except SubjectError as error:
            log.warning("%s: no map: %s", unit, error)
            account.failed(unit, error)
    return found


def _maps_of(
    context: ShardContext, subject: Subject, directions: Sequence[NDArray[np.floating]]
) -> _Maps:
    """One subject's attributions by the first member of the model, in the organ's frame."""
    from popscan.segment.networks import seen_by
    from popscan.visibility import features
    from popscan.visibility.latent import latent_features, saliencies

    segment = context.section(Segment)
    section = context.section(Visibility)
    bundle = load_networks(segment.model, segment.device)
    scan, image, labels = first_phase(context, subject)
    frame, grid = organ_pose(context.protocol, labels, scan), organ_grid(context.protocol)
    images, window, slices = organ_slices(scan, image, labels, bundle)

    def volume(stack: NDArray[np.float32], through: WindowedGrid) -> NDArray[np.float32]:
        """Put slices of the window back into the stack."""
        import torch

        back = through.outer.paste(through.back(torch.from_numpy(stack)), labels.shape[:2])
        whole = np.zeros(labels.shape, dtype=np.float32)
        whole[..., slices] = back.numpy().transpose(1, 2, 0)
        return np.maximum(whole, 0.0)

    def in_blocks(whole: NDArray[np.float32]) -> NDArray[np.float32]:
        crop = crop_values(whole, spacing_mm=scan.spacing_mm, grid=grid, frame=frame)
        return block_means(crop, features.BLOCK)

    network, arguments = bundle.networks[0], bundle.arguments[0]
    seen = seen_by(images, arguments)
    size = len(latent_features(network, seen))
    stacks = saliencies(network, seen, [weights[:size] for weights in directions])
    volumes = [volume(stack, window) for stack in stacks]
    organ = labels > 0
    if section.baseline_model:
        other = load_networks(section.baseline_model, segment.device)
        images, other_way, _ = organ_slices(scan, image, labels, other)
        mine = seen_by(images, other.arguments[0])
        baseline = volume(saliencies(other.networks[0], mine, [])[0], other_way)
    else:
        baseline = _edges(image, slices)
    maps = [in_blocks(v) for v in volumes]
    if not all(m.sum() > 0 for m in maps):
        raise SubjectError("no_attribution", "the network's output depends on nothing in the image")
    inside = np.zeros(labels.shape, dtype=np.float32)
    inside[..., slices] = 1.0
    return _Maps(
        task=maps[0],
        attributes=tuple(maps[1:]),
        baseline=in_blocks(baseline),
        covered=in_blocks(inside),
        in_organ=tuple(float(v[organ].sum() / v.sum()) for v in volumes),
    )


def _edges(image: NDArray[np.generic], slices: Sequence[int]) -> NDArray[np.float32]:
    """In-plane gradient magnitude of the slices that were looked at."""
    values = np.asarray(image, dtype=np.float32)
    edges = np.zeros(values.shape, dtype=np.float32)
    along = np.gradient(values, axis=(0, 1))
    edges[..., slices] = np.hypot(*along)[..., slices]
    return edges
