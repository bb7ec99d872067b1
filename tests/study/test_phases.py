"""End-diastole and end-systole are the same frames for every stage."""

from __future__ import annotations

import numpy as np
import pytest

from popscan.protocols.cine_sax.biomarkers.sax import measure
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.qc.context import Context
from popscan.protocols.cine_sax.simulate.population import sample_population
from popscan.protocols.cine_sax.simulate.scan import simulate_subject
from popscan.protocols.cine_sax.training.observe import labelled_part
from popscan.protocols.cine_sax.volumes import phase_frames
from popscan.records import LabelMap
from popscan.stages.score.task import name_phases
from popscan.study.phases import phases_of
from popscan.train.packs import Case


@pytest.fixture(scope="module")
def hearts():
    """Eight coarse hearts over a whole cycle; the raw LV extremes of one are other frames."""
    rows = sample_population(8, seed=2, allocation="quota").to_dict("records")
    return [
        simulate_subject(row, seed=2, kspace=False, matrix=(48, 48), spacing_mm=(5.0, 5.0),
                         frames=16, fine=(1, 1))
        for row in rows
    ]  # fmt: skip


def test_all_stages_name_the_same_frames(hearts):
    raw_differs = 0
    for made in hearts:
        scan, labels = made.scan, made.labels
        phases = phases_of(scan, labels)
        values = measure(labels.array, spacing_mm=scan.spacing_mm)
        assert phases == {"ED": values["ed_frame"], "ES": values["es_frame"]}
        context = Context(scan, labels.array)
        assert phases == {"ED": context.ed, "ES": context.es}
        _, names = name_phases(labels, None)
        assert phases == {name: names.index(name) for name in ("ED", "ES")}
        part = labelled_part(Case(unit="sub-1", scan=scan, labels=labels))
        assert part.scan.meta["frame_labels"] == names
        lv = (labels.array == Label.LV).sum(axis=(0, 1, 2))
        raw_differs += phases != {"ED": int(lv.argmax()), "ES": int(lv.argmin())}
    assert raw_differs  # else this test would show nothing


def heart(volumes) -> LabelMap:
    array = np.zeros((10, 1, 1, len(volumes)), dtype=np.uint8)
    for frame, volume in enumerate(volumes):
        array[:volume, 0, 0, frame] = Label.LV
    return LabelMap(array=array, frames=tuple(t for t, v in enumerate(volumes) if v))


@pytest.mark.parametrize(
    ("volumes", "names", "expected"),
    [
        ([8, 9, 2, 5], None, (1, 2)),
        ([8, 9, 2, 5], ["ED", "", "", "ES"], (0, 3)),
        ([0, 9, 2, 5], ["", "ED", "", ""], (1, 2)),
        ([0, 4, 0], None, (1, 1)),
        ([0, 0], None, (0, 0)),
    ],
)
def test_named_frames_are_kept_and_a_single_one_stands_for_both(volumes, names, expected):
    labels = heart(volumes)
    phases = phase_frames(labels.array, frames=labels.frames, frame_labels=names)
    assert tuple(phases.values()) == expected
