"""Attributes, outcomes, suppression and sentences."""

import numpy as np
import pandas as pd
import pytest

from popscan.fairness import findings, words
from popscan.fairness.attributes import attributes_table, bands, decode
from popscan.fairness.audit import audit
from popscan.fairness.measures import equity_scaled, skewed_error_ratio
from popscan.fairness.outcome_parts import COLUMNS
from popscan.fairness.outcomes import direction, outcomes_table
from popscan.fairness.suppress import share, suppress
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import PopscanError
from popscan.stages.score.columns import images


def test_ukb_codes_are_translated_and_unknown_ones_shown():
    codes = pd.Series([1001, 2.0, 4001, -3, np.nan, 77])
    assert list(decode(codes, "ukb_21000")) == [
        "White", "Mixed", "Black or Black British", "missing", "missing", "code 77 (not in coding)",
    ]  # fmt: skip
    assert decode(pd.Series(["3001"]), "ukb_21000_detailed").iloc[0] == "Indian"
    assert decode(pd.Series(["x"]), {"x": "ex"}).iloc[0] == "ex"
    with pytest.raises(PopscanError, match="ukb_21000"):
        decode(codes, "ukb_9")


def test_bands_and_bmi_classes():
    ages = pd.Series([30, 45, 54.9, 55, 80, np.nan])
    assert list(bands(ages, limits=(0, 45, 55, 75))) == [
        "under 45", "45-54", "45-54", "55-74", "75+", "missing",
    ]  # fmt: skip
    with pytest.raises(PopscanError, match="ascend"):
        bands(ages, limits=(50, 40))
    table = attributes_table(
        pd.DataFrame(
            {"unit": ["u1", "u2"], "age_years": [50, None], "height_cm": [180, 0],
             "weight_kg": [100, 70]}
        )
    )  # fmt: skip
    assert list(table["bmi_class"]) == ["obese", "missing"]
    assert list(table["age_band"]) == ["45-54", "missing"]
    with pytest.raises(PopscanError, match="unit"):
        attributes_table(pd.DataFrame({"sub": ["a"]}))


def test_measures_by_hand():
    means = np.array([0.9, 0.8, np.nan])
    assert skewed_error_ratio(means) == pytest.approx(2.0)
    assert skewed_error_ratio(1 - means, better_is="lower") == pytest.approx(2.0)
    assert skewed_error_ratio(np.array([1.0, 0.9])) == np.inf
    assert np.isnan(skewed_error_ratio(np.array([1.0, 1.0])))
    assert equity_scaled(np.array([0.9, 0.8]), np.float64(0.85)) == pytest.approx(0.85 / 1.1)
    assert equity_scaled(np.array([0.9, 0.9]), np.float64(0.9)) == pytest.approx(0.9)


def test_outcomes_from_every_table():
    units = ["u1", "u2", "u3"]
    table = outcomes_table(
        ledger=pd.DataFrame(
            {"unit": units * 2, "stage": ["ingest"] * 3 + ["biomarkers"] * 3,
             "status": ["ok", "failed", "ok", "ok", "skipped", "failed"]}
        ),
        scores=pd.DataFrame(
            {"unit": ["u1"] * 4 + ["u3", "u2"], "structure": ["lv", "lv", "rv", "rv", "lv", "lv"],
             "frame": [0, 9, 0, 9, 0, 0], "dice": [0.9, 0.8, 0.7, 0.9, 0.5, 0.0],
             "hd95_mm": [1.0, 3.0, 2.0, 2.0, 9.0, 50.0],
             "seen_in_training": [False] * 4 + [True, False],
             "reference_verdict": ["pass", "pass", "review", "review", "pass", "fail"]}
        ),
        recon_scores=pd.DataFrame(
            {"unit": units, "variant": ["a"] * 3, "psnr_db": [30, 31, np.nan], "ssim": [0.9] * 3}
        ),
        segmentation=pd.DataFrame(
            {"unit": units, "entropy_mean_nats": [0.1] * 3, "ood_score": 1.2, "frames": 20}
        ),
        qc=pd.DataFrame({"unit": units, "verdict": ["pass", "fail", "review"]}),
        qc_checks=pd.DataFrame(
            {"unit": ["u1", "u1", "u1"], "check": ["snr", "holes", "phase"],
             "verdict": ["pass", "review", "not_assessed"]}
        ),
        biomarkers=pd.DataFrame({"unit": ["u1"], "lvedv_ml": [150.0]}),
        biomarker_columns=["lvedv_ml"],
        truth=pd.DataFrame({"unit": units, "truth_lvedv_ml": [140.0, 1.0, 2.0]}),
    )  # fmt: skip
    assert list(table) == COLUMNS
    value = table.set_index(["unit", "outcome"])["value"]
    assert value["u2", "ingest_failed"] == 1
    assert ("u2", "biomarkers_failed") not in value.index
    assert value["u2", "not_analysed"] == 1
    assert value["u1", "dice_lv"] == pytest.approx(0.85)
    assert value["u1", "dice_mean"] == pytest.approx((0.85 + 0.8) / 2)
    assert ("u3", "dice_lv") not in value.index  # seen in training
    assert ("u2", "dice_lv") not in value.index  # its reference failed
    assert value["u3", "qc_not_pass"] == 1
    assert value["u3", "qc_fail"] == 0
    assert (value["u1", "check_snr"], value["u1", "check_holes"]) == (0, 1)
    assert ("u1", "check_phase") not in value.index
    assert value["u1", "lvedv_ml_error"] == 10
    better = table.drop_duplicates("outcome").set_index("outcome")["better_is"]
    assert better["hd95_mm_lv"] == "lower"
    assert better["psnr_db"] == "higher"
    assert better["lvedv_ml"] == "neither"
    assert better["ood_score"] == "lower"
    assert "frames" not in better
    assert outcomes_table().empty
    assert direction("lvef_pct") == "neither"


def test_every_score_of_a_reconstruction_is_an_outcome():
    """A score whose name says no direction would be left out of the audit in silence."""
    described = images(get_protocol(DEFAULT))
    scores = [name for name, column in described.items() if column.kind == "number"]
    assert {"psnr_db", "hfen", "hfen_whole"} <= set(scores)
    assert [name for name in scores if direction(name) == "neither"] == []


def test_a_structure_missed_at_es_has_no_distance_and_is_told():
    rows = [  # unit, frame, dice, hd95_mm, volume_ml, reference_volume_ml
        ("whole", 0, 0.9, 4.0, 150.0, 150.0),
        ("whole", 9, 0.8, 6.0, 60.0, 60.0),
        ("missed", 0, 0.9, 4.0, 150.0, 150.0),
        ("missed", 9, 0.0, np.nan, 0.0, 60.0),
        ("half_labelled", 0, 0.9, 4.0, 150.0, 150.0),
        ("half_labelled", 9, np.nan, np.nan, 0.0, 0.0),
        ("unlabelled", 0, np.nan, np.nan, 0.0, 0.0),
    ]
    names = ["unit", "frame", "dice", "hd95_mm", "volume_ml", "reference_volume_ml"]
    scores = pd.DataFrame(rows, columns=names).assign(structure="lv", seen_in_training=False)
    table = outcomes_table(scores=scores)
    value = table.set_index(["outcome", "unit"])["value"]
    assert value["hd95_mm_lv", "whole"] == 5.0
    assert np.isnan(value["hd95_mm_lv", "missed"])
    assert value["hd95_mm_lv", "half_labelled"] == 4.0
    assert value["dice_lv", "missed"] == pytest.approx(0.45)
    assert value["lv_missed"].to_dict() == {"whole": 0, "missed": 1, "half_labelled": 0}
    told = table.set_index("outcome").loc["lv_missed"]
    assert set(told["better_is"]) == {"lower"}
    assert set(told["kind"]) == {"binary"}


@pytest.fixture
def result(rng):
    n = 200
    people = pd.DataFrame(
        {
            "sex": rng.permutation(["female"] * 98 + ["male"] * 99 + ["unknown"] * 3),
            "race": rng.permutation(["White"] * 140 + ["Black"] * 60),
        },
        index=[f"u{i:03d}" for i in range(n)],
    )
    dice = 0.9 + rng.normal(0, 0.03, n) - 0.04 * (people["race"] == "Black")
    outcome = pd.DataFrame(
        {"unit": people.index, "stage": "segment", "outcome": "dice_lv", "value": dice.to_numpy(),
         "better_is": "higher"}
    )  # fmt: skip
    return audit(outcome, people, attributes_to_test=["sex", "race"], n_boot=300, test="welch")


def test_small_cells_and_their_complements_are_hidden(result):
    shown = suppress(result.groups, min_cell=5).set_index(["attribute", "group"])
    assert shown.loc[("sex", "missing"), "suppressed"]
    assert np.isnan(shown.loc[("sex", "missing"), "n"])
    # with one cell hidden, the next smallest of the same sum is hidden too
    assert shown.loc["sex"]["suppressed"].sum() == 2
    assert np.isnan(shown.loc[("sex", "female"), "mean"])
    assert not shown.loc["race"]["suppressed"].any()
    assert not result.groups["n"].isna().any()


def test_notes_that_are_shared_hold_no_small_count(result):
    gaps = result.gaps.assign(note="too few: 3 and 240, 10 needed")
    shown = share({"groups": result.groups, "gaps": gaps})["gaps"]
    assert len(shown)
    assert set(shown["note"]) == {"too few"}


def test_suppression_of_an_empty_table_and_one_without_counts():
    assert suppress(pd.DataFrame({"group": [], "n": []})).empty
    assert not suppress(pd.DataFrame({"x": [1, 2]}))["suppressed"].any()


def test_sentences_say_no_more_than_the_numbers(result):
    said = findings.sentences(result.gaps)
    text = " ".join(said)
    row = result.gaps[result.gaps["group"] == "Black"].iloc[0]
    assert f"{100 * abs(row['gap']):.1f} points lower in Black (n = 60)" in text
    assert "to their disadvantage" in text
    women = next(s for s in said if "women" in s and s.startswith("Dice LV"))
    by_sex = result.gaps[result.gaps["attribute"] == "sex"]
    gap = by_sex[by_sex["outcome"] == "dice_lv"].iloc[0]
    # Nothing differs by sex here, yet one draw in twenty says it does: then p has to be named.
    weak = "compatible with" in women or "not significant" in women
    assert weak if gap["p_adj"] > 0.05 else "adjusted p" in women
    assert "no difference between" not in text.lower()
    assert words.CAUTION in said
    assert any("too few subjects" in s for s in said)


def test_sentences_without_race_need_no_caution(result):
    by_sex = result.gaps[result.gaps["attribute"] == "sex"]
    assert words.CAUTION not in findings.sentences(by_sex)
    assert findings.sentences(result.gaps.iloc[:0]) == ["No groups could be compared."]


def test_a_gap_that_fails_correction_is_called_so():
    row = pd.Series(
        {"attribute": "sex", "outcome": "lvef_pct", "kind": "continuous", "group": "female",
         "reference": "male", "n": 50, "n_reference": 60, "gap": 2.0, "ci_low": 0.2, "ci_high": 3.8,
         "p": 0.03, "p_adj": 0.4, "direction": "", "min_detectable_gap": 2.6, "note": ""}
    )  # fmt: skip
    said = findings.gap_sentence(row)
    assert "excludes zero" in said
    assert "not significant" in said
    assert "LV ejection fraction" in said
    assert words.people("female & Black") == "Black women"
    assert words.people("male & 45-54") == "men & 45-54"


def test_real_brain_volumes(data_dir):
    path = data_dir / "tables" / "ixi_brain_volumes.tsv"
    if not path.is_file():
        pytest.skip(f"no {path}")
    from popscan.associate.models import associate
    from popscan.fairness.adjusted import adjusted_gaps

    table = pd.read_csv(path, sep="\t").rename(columns={"participant_id": "unit"})
    table["sex"] = table["sex"].map({"M": "male", "F": "female"})
    table = table.rename(columns={"muse_702_mm3": "icv_mm3", "muse_601_mm3": "grey_mm3"})
    people = attributes_table(table, codings={"ethnic_id": "ixi_ethnic"})
    volumes = ["icv_mm3", "grey_mm3"]
    outcome = pd.concat(
        pd.DataFrame({"unit": people.index, "stage": "volumes", "outcome": name,
                      "value": people[name].to_numpy(), "better_is": "neither"})
        for name in volumes
    )  # fmt: skip
    found = associate(
        people.reset_index(), outcomes=volumes, terms=["age_years", "sex", "ethnic_id", "site"]
    ).set_index(["outcome", "term"])
    assert found.loc[("grey_mm3", "age_years"), "ci_high"] < 0
    assert found.loc[("icv_mm3", "sex[male vs female]"), "ci_low"] > 0
    result = audit(
        outcome, people, attributes_to_test=["sex", "ethnic_id", "site"],
        intersections=[["sex", "ethnic_id"]], n_boot=200,
    )  # fmt: skip
    assert result.groups["too_few"].any()
    assert result.groups.groupby(["attribute", "outcome"])["n_units"].sum().eq(len(people)).all()
    adjusted = adjusted_gaps(
        outcome, people, attributes_to_test=["ethnic_id"], adjust_for=["age_years", "sex", "site"]
    )
    assert len(adjusted)
    assert (adjusted["gap"].notna() | adjusted["note"].ne("")).all()
    assert words.CAUTION in findings.sentences(result.gaps)


def test_to_be_far_from_other_groups_is_neither_good_nor_bad():
    """Its name says distance: the audit took it for something of which less is better."""
    names = ("atlas_distance_mm", "atlas_own_distance_mm", "atlas_others_distance_mm")
    table = pd.DataFrame({"unit": ["a", "b"], **{name: [1.0, 2.0] for name in names}})
    found = outcomes_table(atlas=table).drop_duplicates("outcome").set_index("outcome")
    assert found["better_is"].to_dict() == dict.fromkeys(names[:2], "lower") | {names[2]: "neither"}
