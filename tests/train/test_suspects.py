"""Signs of wrong labels: the errors are what they say, and a training's snapshots find them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from popscan.commands.suspects import in_words
from popscan.records import PopscanError
from popscan.train.label_errors import KINDS, spoil
from popscan.train.loop import fit
from popscan.train.packs import Pack
from popscan.train.recipe import Recipe, parse_recipe
from popscan.train.refurbish import FILE, refurbished
from popscan.train.sampler import Sampler
from popscan.train.snapshots import snapshots
from popscan.train.suspects import OVER, network_of, suspicion, suspicious_subjects

SIDE = 32


def discs(n: int) -> Pack:
    """A bright disc with a ring around it; labels 1 and 2."""
    rng = np.random.default_rng(4)
    x, y = np.mgrid[:SIDE, :SIDE]
    far = np.stack([np.hypot(x - a, y - b) for a, b in rng.integers(10, 22, (n, 2))])
    labels = (np.where(far < 4, 1, np.where(far < 8, 2, 0))).astype(np.uint8)
    images = np.array([0.0, 0.8, -0.8])[labels] + 0.1 * rng.normal(size=labels.shape)
    return Pack(
        images=(images * 4096).astype(np.int16),
        labels=labels,
        unit=np.array([f"p{i:02d}" for i in range(n)]),
        frame=np.zeros(n, np.int32),
        slice_index=np.zeros(n, np.int32),
        usable=np.ones(n, bool),
        spacing_mm=1.5,
    )


def recipe(**learning: object) -> Recipe:
    return parse_recipe(
        {
            "name": "discs", "architecture": "unet", "patch": SIDE, "batch": 8, "steps": 60,
            "architecture_arguments": {"channels": [8, 16], "residual_units": 1},
            "learning_rate": 1e-2, "warmup_steps": 5, "autocast": False, "ema_decay": 0.9,
            "checkpoint_every": 1000, "labels": ["disc", "ring"], "learning": learning,
        }
    )  # fmt: skip


@settings(deadline=None)  # a busy machine is no error
@given(st.sampled_from(KINDS), st.floats(0, 1), st.integers(0, 20))
def test_as_many_slices_are_spoilt_as_asked_and_the_rest_is_as_it_was(kind, share, seed):
    labels = discs(10).labels
    before = labels.copy()
    out, wrong = spoil(labels, kind=kind, share=share, seed=seed)
    assert np.array_equal(labels, before)
    assert wrong.sum() == round(share * 10)
    assert np.array_equal(out[~wrong], labels[~wrong])


@pytest.mark.parametrize("kind", KINDS)
def test_all_labels_of_whole_subjects_are_spoilt_and_of_the_others_none(kind):
    labels = discs(20).labels
    labels[3] = 0
    subjects = np.repeat([f"p{i}" for i in range(5)], 4)
    out, wrong = spoil(labels, kind=kind, share=0.4, seed=2, subjects=subjects)
    by_subject = wrong.reshape(5, 4)
    drawn = by_subject.any(axis=1)
    assert drawn.sum() == 2
    assert by_subject[drawn].sum() == 8 - drawn[0]  # Slice 3 has no labels to spoil.
    assert np.array_equal(out[~wrong], labels[~wrong])
    with pytest.raises(PopscanError, match="of as many subjects"):
        spoil(labels, kind=kind, share=0.4, seed=2, subjects=subjects[:-1])


def test_systematic_errors_go_one_direction_by_the_pixels_that_are_named():
    labels = np.zeros((4, SIDE, SIDE), np.uint8)
    labels[:, 10:20, 10:20] = 1
    sizes = set()
    for seed in range(8):
        out, _ = spoil(labels, kind="size", share=1.0, seed=seed, pixels=2)
        area = {int(one.sum()) for one in out}
        assert len(area) == 1
        sizes |= area
    # Two pixels less on every side of the square; more: the square, four sides, rounded corners.
    corners = sum(np.hypot(i, j) <= 2 for i in (1, 2) for j in (1, 2))
    assert sizes == {36, 100 + 4 * 20 + 4 * corners}


def test_mistaken_structures_are_exchanged():
    labels = discs(6).labels
    out, _ = spoil(labels, kind="mistaken", share=1.0, seed=0)
    assert np.array_equal(out == 1, labels == 2)
    assert np.array_equal(out == 2, labels == 1)


def test_unknown_errors_are_refused():
    with pytest.raises(PopscanError, match="kinds of errors are"):
        spoil(discs(2).labels, kind="noise", share=0.5, seed=0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training on discs of which a fifth are labelled as rings and rings as discs."""
    right = discs(30)
    labels, wrong = spoil(right.labels, kind="mistaken", share=0.2, seed=1)
    pack = replace(right, labels=labels)
    how, folder = recipe(snapshots=15), tmp_path_factory.mktemp("work")
    fit(how, {"p": pack}, folder, quiet=True)
    return how, pack, wrong, folder


def test_loss_names_the_wrong_labels(trained):
    how, pack, wrong, folder = trained
    table = suspicion(how, pack, snapshots(folder))
    assert roc_auc_score(wrong, table["loss"]) > 0.95
    worst = suspicious_subjects(table)
    assert set(worst["unit"][: wrong.sum()]) == set(pack.unit[wrong])


def test_refurbished_labels_are_nearer_to_the_truth_and_the_others_stay(trained):
    how, pack, wrong, folder = trained
    again = recipe(refurbish=0.2, refurbish_after=30)
    sampler = Sampler.of(again, {"p": pack})
    labels, rows = refurbished(again, sampler, network_of(how, snapshots(folder)[1]))
    assert set(rows.tolist()) == set(np.flatnonzero(wrong))
    truth = discs(30).labels
    before, after = ((part[wrong] != truth[wrong]).mean() for part in (pack.labels, labels.numpy()))
    assert after < before / 5
    assert np.array_equal(labels.numpy()[~wrong], pack.labels[~wrong])
    assert np.array_equal(sampler.labels.numpy(), pack.labels)


def test_an_interrupted_training_goes_on_with_the_refurbished_labels(trained, tmp_path):
    _, pack, _, _ = trained
    how = replace(recipe(refurbish=0.2, refurbish_after=4), steps=8)
    whole = fit(how, {"p": pack}, tmp_path / "a", quiet=True).averaged.state_dict()
    fit(how, {"p": pack}, tmp_path / "b", stop_after=6, quiet=True)
    again = fit(how, {"p": pack}, tmp_path / "b", quiet=True).averaged.state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    fit(how, {"p": pack}, tmp_path / "c", stop_after=6, quiet=True)
    (tmp_path / "c" / FILE).unlink()
    with pytest.raises(PopscanError, match="cannot go on with its labels"):
        fit(how, {"p": pack}, tmp_path / "c", quiet=True)


@pytest.mark.parametrize(
    "learning",
    [{"refurbish": 0.2}, {"refurbish": 1.0, "refurbish_after": 5},
     {"refurbish": 0.2, "refurbish_after": 60},
     {"refurbish": 0.2, "refurbish_after": 5, "label_dropout": 0.5, "missing": "ignored"}],
)  # fmt: skip
def test_refurbishing_that_cannot_be_is_refused(learning):
    with pytest.raises(PopscanError, match="refurbish"):
        recipe(**learning)


def test_snapshots_are_where_the_recipe_wants_them(trained):
    _, _, _, folder = trained
    steps = [int(path.stem.partition("-")[2]) for path in snapshots(folder)]
    assert steps == [15, 30, 45, 60]
    assert len(snapshots(folder, after=30)) == 2
    with pytest.raises(PopscanError, match="1 snapshots after step 45; at least 2"):
        snapshots(folder, after=45)


def test_gradients_that_do_not_change_have_no_variance(trained):
    how, pack, _, folder = trained
    same = [snapshots(folder)[0]] * 3
    assert suspicion(how, pack, same)["gradients"].max() == pytest.approx(0.0, abs=1e-6)


def test_variance_of_gradients_is_numpys(trained):
    """Against numpy's variance of gradients that are taken slice by slice."""
    how, pack, _, folder = trained
    paths, everywhere = snapshots(folder), np.zeros((1, SIDE, SIDE), np.uint8)
    one = replace(
        pack, images=pack.images[:1], labels=everywhere, unit=pack.unit[:1], frame=pack.frame[:1],
        slice_index=pack.slice_index[:1], usable=pack.usable[:1],
    )  # fmt: skip
    gradients = []
    for path in paths:
        image = (torch.from_numpy(one.images).float()[:, None] / 4096).requires_grad_(True)
        network_of(how, path)(image)[:, 0].sum().backward()
        gradients.append(image.grad[0, 0].numpy())
    expected = np.std(gradients, axis=0, ddof=1).mean()
    assert suspicion(how, one, paths)["gradients"][0] == pytest.approx(expected, rel=1e-4)


def signs(**labelled: bool) -> pd.DataFrame:
    """One slice of visit a is bad, all of b are worse than usual; c has none that stand out."""
    table = pd.DataFrame(
        {"unit": list("aaabbbccc"), "frame": [0] * 9, "slice": [1, 2, 3] * 3,
         "loss": [1.0, 9.0, 1.0, 3.0, 2.0, 4.0, 2.0, 0.5, 1.0], "labelled": True}
    )  # fmt: skip
    return table.assign(labelled=[labelled.get(unit, True) for unit in table["unit"]])


def test_visits_are_ordered_by_all_their_slices_or_by_the_worst():
    found = suspicious_subjects(signs())
    assert found["unit"].tolist() == ["b", "a", "c"]
    assert found["visit_median"].tolist() == [3.0, 1.0, 1.0]
    assert found["slice"].tolist() == [3, 2, 1]
    assert found["loss"].tolist() == [4.0, 9.0, 2.0]
    assert found["times_median"].tolist() == [2.0, 4.5, 1.0]
    worst = suspicious_subjects(signs(), over="slice")
    assert worst["unit"].tolist() == ["a", "b", "c"]
    with pytest.raises(PopscanError, match="over visit or slice; found 'frame'"):
        suspicious_subjects(signs(), over="frame")
    with pytest.raises(PopscanError, match="signs are loss and gradients; found 'x'"):
        suspicious_subjects(signs(), by="x")
    empty = suspicious_subjects(signs().iloc[:0])
    assert empty.empty


def test_slices_without_labels_count_where_a_visit_has_no_others():
    table = signs(b=False)
    table.loc[1, "labelled"] = False
    found = suspicious_subjects(table, over="slice").set_index("unit")
    assert found.loc["a", "loss"] == 1.0
    assert found.loc["b", "loss"] == 4.0


def test_readers_with_another_convention_are_found_by_all_slices_not_by_the_worst():
    """Ends of an organ are hard in every visit: what its worst slice is says little."""
    rng = np.random.default_rng(0)
    rows = [
        {"unit": f"p{i}", "frame": 0, "slice": k, "labelled": True,
         "loss": rng.normal(0.4, 0.05) + (k == 9) * rng.exponential(1.0) + (i < 4) * 0.15}
        for i in range(40)
        for k in range(10)
    ]  # fmt: skip
    found = {over: suspicious_subjects(pd.DataFrame(rows), over=over) for over in OVER}
    assert set(found["visit"]["unit"][:4]) == {"p0", "p1", "p2", "p3"}
    assert set(found["slice"]["unit"][:4]) != {"p0", "p1", "p2", "p3"}


def test_snapshot_of_another_recipe_is_refused(trained, tmp_path):
    how, pack, _, folder = trained
    other = replace(how, architecture_arguments={"channels": [4, 8], "residual_units": 1})
    with pytest.raises(PopscanError, match="not a snapshot of recipe 'discs'"):
        suspicion(other, pack, snapshots(folder))


@pytest.mark.parametrize("over", OVER)
def test_visits_without_labels_come_first_and_do_not_move_the_median(over):
    """All of c is background, which a network is sure of: it must not end at the bottom."""
    table = signs(c=False)
    table.loc[table["unit"] == "c", "loss"] = 0.001
    found = suspicious_subjects(table, over=over)
    assert found["unit"][0] == "c"
    assert dict(zip(found["unit"], found["n_labelled"], strict=True)) == {"a": 3, "b": 3, "c": 0}
    worst = found.set_index("unit").loc["a"]
    assert worst["times_median"] == 9.0 / 2.5
    assert "1 of them, listed first, have no label at all" in in_words(found, by="loss")
    assert "first c" not in in_words(found, by="loss")
    none = suspicious_subjects(signs(a=False, b=False, c=False), over=over)
    assert none["times_median"].isna().all()
    assert in_words(none, by="loss").endswith("(n_labelled 0)")


@pytest.mark.parametrize("over", OVER)
def test_a_labelled_slice_without_a_finite_loss_is_the_most_suspicious(over):
    table = signs()
    table.loc[7, "loss"] = np.nan
    found = suspicious_subjects(table, over=over)
    assert found["unit"][0] == "c"
    assert found["slice"][0] == 2
    assert in_words(found, by="loss").endswith("slice 2: its loss is not a number")
    assert found["times_median"][1:].notna().all()
