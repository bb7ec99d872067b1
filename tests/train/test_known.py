"""What a bundle learns of its training scans: digests and a detector, stored and used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.records import LabelMap, PopscanError, Scan
from popscan.segment import load_bundle, save_bundle
from popscan.segment.networks import build_network
from popscan.train.export import export_bundle
from popscan.train.kind import ModelKind
from popscan.train.known import LEAST_SUBJECTS, store_detector, store_digests
from popscan.train.packs import Case, build_pack
from popscan.train.recipe import parse_recipe

ARGUMENTS = {"channels": [4, 8, 8]}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    torch.manual_seed(0)
    network = build_network("dynunet", len(Label), **ARGUMENTS)
    about = {
        "name": "tiny", "members": [{"architecture": "dynunet", "arguments": ARGUMENTS}],
        "labels": {"rv": 1, "myo": 2, "lv": 3}, "spacing_mm": 1.5, "patch": 16,
        "normalisation": {}, "input_range": {}, "training": {}, "validation": {},
        "trained_on": {"salt": "s", "sha256": []},
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("bundle")
    save_bundle(folder, about=about, weights=[network.state_dict()], card="A card.")
    return folder


def case(number: int, prefix: str = "p") -> Case:
    rng = np.random.default_rng(number)
    array = rng.normal(size=(5, 5, 2, 1)).repeat(4, 0).repeat(4, 1) * 20 + 100
    labels = rng.integers(0, 4, size=array.shape).astype(np.uint8)
    scan = Scan(
        array=array.astype(np.float32), affine=np.diag([1.5, 1.5, 8, 1]), spacing_mm=(1.5, 1.5, 8.0)
    )
    return Case(unit=f"{prefix}{number}", scan=scan, labels=LabelMap(array=labels, frames=(0,)))


def test_digests_and_detector_are_stored_beside_each_other(path):
    cases = [case(k) for k in range(LEAST_SUBJECTS)]
    before = load_bundle(path, "cpu")
    assert store_digests(path, cases) == 2 * len(cases)
    few = [case(k, "train-simulated-") for k in range(3)]
    assert store_detector(path, [*cases, *few], segmenter=segment, device="cpu") == ["patients"]
    after = load_bundle(path, "cpu")
    assert after.digest != before.digest
    assert after.recognise("whoever", cases[3].scan.array[::-1]).by == "images"
    own = [segment(c.scan, bundle=after).values["ood_score"] for c in cases]
    spiked = cases[0].scan.array + 900 * (np.arange(20) % 2)[:, None, None, None]
    odd = segment(replace(cases[0].scan, array=spiked), bundle=after).values
    assert np.isfinite(own).all()
    assert odd["ood_score"] > max(own)


def test_a_bundle_written_anew_forgets_other_training_scans(path, tmp_path):
    about = {k: v for k, v in load_bundle(path, "cpu").about.items() if k != "training_sha256"}
    weights = load_bundle(path, "cpu").networks[0].state_dict()
    again = {k: v for k, v in about.items() if k not in ("format", "labels", "weights_sha256")}
    save_bundle(path, about={**again, "labels": about["labels"]}, weights=[weights], card="A card.")
    assert load_bundle(path, "cpu").training == {}
    assert not (path / "training.safetensors").exists()


def test_a_bundle_needs_the_cases_of_all_its_packs(tmp_path):
    """A scan without digests would count as never seen, under its own name."""
    cases = [case(k) for k in range(4)]
    recipe = parse_recipe(
        {"name": "tiny", "architecture_arguments": ARGUMENTS, "patch": 16, "steps": 1}
    )
    torch.manual_seed(0)
    network = build_network("dynunet", len(Label), **ARGUMENTS)
    measured = []
    kind = ModelKind(
        measure=lambda validation, **how: {"validation": {}},
        ranges=lambda cases: {},
        card=tmp_path / "card.md.j2",
        segmenter=lambda scan, **how: measured.append(scan) or segment(scan, **how),
    )
    (tmp_path / "card.md.j2").write_text("A card.", encoding="utf-8")
    how = {
        "name": "tiny", "chains": [[recipe]], "weights": [network.state_dict()],
        "packs": {"p": build_pack(cases, spacing_mm=1.5)}, "validation": [], "notes": {},
        "salt": "s", "stratum": "", "summary": "", "limits": (), "reproduce": "", "kind": kind,
    }  # fmt: skip
    with pytest.raises(PopscanError, match=r"all 4 training scans .* no case for 3 .* as p1"):
        export_bundle(tmp_path / "a", cases=cases[:1], **how)
    export_bundle(tmp_path / "b", cases=cases, detector_cases=[], **how)
    assert not measured
    bundle = load_bundle(tmp_path / "b", "cpu")
    assert bundle.recognise("p0", case(9).scan.array).by == "name, other images"
    assert [bundle.recognise("x", one.scan.array).by for one in cases] == ["images"] * 4
    store_digests(tmp_path / "b", cases[:1])
    bundle = load_bundle(tmp_path / "b", "cpu")
    assert bundle.recognise("p3", cases[3].scan.array).by == "name"
    assert not bundle.recognise("x", cases[3].scan.array).seen
