"""Subjects of an experiment as they are trained on: images, labels, what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from popscan.config import Simulate, Source
from popscan.methods import call_with
from popscan.protocol import Protocol
from popscan.protocol import load as load_place
from popscan.protocols import protocol_of
from popscan.records import LabelMap, PopscanError, Subject, SubjectError

if TYPE_CHECKING:
    from popscan.train.packs import Case

#: Group of subjects whose value of a further attribute is missing.
NOT_RECORDED = "not recorded"


def network_table(protocol: Protocol) -> NDArray[np.uint8]:
    """Return label -> what a network of the protocol learns, shape (256,): sides may be left out.

    Raises
    ------
    PopscanError
        If a structure has no counterpart.
    """
    table, codes = np.zeros(256, np.uint8), protocol.network_codes
    for code, name in protocol.labels.names.items():
        whole = name if name in codes else name.removesuffix("_left").removesuffix("_right")
        if whole not in codes:
            raise PopscanError(f"protocol {protocol.name}: networks do not learn {name}")
        table[code] = codes[whole]
    return table


def simulated_case(subject: Subject, options: Mapping[str, Any], known: Sequence[str]) -> Case:
    """Return a rendered subject; with a time axis, the first two of three frames."""
    from popscan.train.packs import Case

    section, simulate = options["experiment"], Simulate.of(options)
    protocol = protocol_of(options)
    assert protocol.simulation is not None
    made = call_with(
        load_place(protocol.simulation.subject),
        subject.row,
        seed=int(options["study"]["seed"]),
        kspace=False,
        matrix=(simulate.matrix, simulate.matrix),
        spacing_mm=(simulate.spacing_mm, simulate.spacing_mm),
        frames=3,
        slice_distance_mm=section["slice_distance_mm"],
    )
    scan, labels = made.scan, made.labels
    if protocol.has_time:
        # A third of a cycle after its start is close to its other extreme, however long it is.
        labels = LabelMap(array=labels.array[..., :2], frames=(0, 1))
        scan = replace(scan, array=scan.array[..., :2])
    attributes = {name: str(subject.row[name]) for name in known}
    return Case(unit=subject.unit, scan=scan, labels=labels, attributes=attributes)


def labelled_case(subject: Subject, options: Mapping[str, Any], known: Sequence[str]) -> Case:
    """Return a subject's labelled frames of the protocol's view."""
    from popscan.ingest import prepare
    from popscan.io import get_source
    from popscan.io.references import usable_references
    from popscan.train.packs import Case

    source = Source.of(options)
    protocol = protocol_of(options)
    view = protocol.view
    rules = {"labels": source.labels} if source.kind == "bids" else {}
    loaded = get_source(source.kind, protocol).load(subject.sources, views=(view,), **rules)
    if view not in loaded.scans:
        raise SubjectError("view_missing", f"there is no image of view {view}")
    usable, problems = usable_references(loaded, source.label_codes, protocol=protocol)
    if view in problems:
        raise problems[view]
    scan, labels, _ = prepare(protocol, loaded.scans[view], usable.get(view))
    if labels is None:
        raise SubjectError("no_labels", "there are no reference labels to train or test on")
    attributes = {n: str(subject.row.get(n) or loaded.extra.get(n) or "") for n in known}
    spare = set(options["experiment"].get("audit", ())) - {options["experiment"]["attribute"]}
    if missing := [name for name, text in attributes.items() if not text and name not in spare]:
        raise SubjectError("no_group", f"{missing[0]} of this subject is not known")
    attributes = {name: text or NOT_RECORDED for name, text in attributes.items()}
    return Case(unit=subject.unit, scan=scan, labels=labels, attributes=attributes)
