"""A recipe is read right, or refused by file, key, what was found and what is expected."""

from __future__ import annotations

import pytest
import yaml

from popscan.records import PopscanError
from popscan.train.recipe import RECIPES_DIR, Recipe, load_recipe, parse_recipe

NAN = float("nan")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": -128}, "patch: a number from 8 to 8192 is expected; found -128"),
        ({"patch": "wide"}, "patch: .*whole number.*; found 'wide'"),
        ({"batch": 0}, "batch: a number from 1"),
        ({"steps": 10**15}, "steps: a number from 0 to 1e"),
        ({"steps": 10.5}, "steps: .*whole number.*; found 10.5"),
        ({"log_every": 0}, "log_every: a number from 1"),
        ({"spacing_mm": NAN}, "a finite number is expected"),
        ({"learning_rate": float("inf")}, "a finite number is expected"),
        ({"ema_decay": 1.5}, "ema_decay: a number from 0 to 1"),
        ({"seed": None}, "seed: .*whole number"),
        ({"autocast": "maybe"}, "autocast: .*true or false"),
        ({"architecture_arguments": [4, 4]}, "architecture_arguments: .*mapping"),
        ({"shares": {"acdc": "most"}}, "shares.acdc: .*number"),
        ({"shares": {"acdc": 0, "b": 0}}, "shares: from 0, one of them above"),
        ({"shares": {"acdc": 2, "b": -1}}, "shares: from 0, one of them above"),
        ({"loss_arguments": {"foo": 1}}, "loss_arguments: unknown .'foo'.; known are dice_weight"),
        ({"loss_arguments": {"dice_weight": -1}}, "loss_arguments: dice_weight: -1 cannot be"),
        ({"loss_arguments": {"dice_weight": "big"}}, "dice_weight: 'big' cannot be"),
        ({"loss_arguments": {"label_smoothing": 1.5}}, "label_smoothing: 1.5 cannot be"),
        ({"loss": "topology", "loss_arguments": {"slices": 2.5}}, "slices: 2.5 cannot be"),
        ({"loss": "shape_code"}, "loss_arguments: encoder is missing"),
        (
            {"adversarial": 0.5, "adversarial_arguments": {"foo": 1}},
            "adversarial_arguments: unknown .'foo'.; known are affine, bias_log",
        ),
        (
            {"task": "implicit", "architecture": "implicit", "loss_arguments": {"foo": 1}},
            "loss_arguments: unknown .'foo'.; known are code_weight",
        ),
        (
            {"task": "implicit", "architecture": "implicit", "loss_arguments": {"code_weight": -5}},
            "code_weight: -5 cannot be",
        ),
        (
            {"task": "deform", "architecture": "deformations", "loss_arguments": {"noise": 0}},
            "noise: 0 cannot be",
        ),
        ({"loss": ["dice_ce"]}, "loss: .*text"),
        ({"name": {"a": 1}}, "name: .*text"),
        ({"augmentation": []}, "augmentation: a mapping of keys to values is expected"),
        ({"learning": ""}, "learning: a mapping of keys to values is expected"),
        ({"mitigation": 0}, "mitigation: a mapping of keys to values is expected"),
        ({"augmentation": [1]}, "augmentation: a mapping of keys to values is expected"),
        ({"augmentation": {"scale": [0.7]}}, "augmentation.scale"),
        ({"augmentation": {"scale": [NAN, 1.0]}}, "augmentation.*finite"),
        ({"augmentation": {"noise": {}}}, "augmentation.noise: .*number"),
        ({"mitigation": "all"}, "mitigation: a mapping of keys to values is expected"),
        ({7: 1}, "unknown keys 7"),
        ({"x" * 5000: 1}, "unknown keys xxx"),
        ({"ema_decay": True}, "ema_decay: a number is expected"),
        ({"learning": {"snapshots": True}}, "learning.snapshots: a number is expected"),
    ],
)
def test_wrong_values_are_named(tmp_path, changes, message):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", **changes}))
    with pytest.raises(PopscanError, match=message) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 1200


OF_TASK = {
    "undersampled": {"architecture": "varnet"}, "register": {"architecture": "pairs"},
    "deform": {"architecture": "deformations"}, "reconstruct": {"architecture": "autoencoder"},
    "classify": {"target": "sex"}, "probabilistic": {"architecture": "hierarchical"},
    "segment": {},
}  # fmt: skip
MADE = ("undersampled", "register", "deform")


@pytest.mark.parametrize(
    ("task", "key", "value"),
    [
        *((task, "adversarial", 0.5) for task in MADE),
        *((task, "mirror", True) for task in OF_TASK),
        *((task, "planes", ["axial"]) for task in MADE),
        *((task, "edge_weight", 3.0) for task in MADE),
        *((task, "mitigation", {"attribute": "sex", "sampling": "oversampling"}) for task in MADE),
        *((task, "init_from", "other") for task in MADE[:2]),
        *((task, "adversarial_arguments", {"steps": 2}) for task in ("segment", *MADE)),
        *((task, "loss", "boundary") for task in (*MADE, "reconstruct", "classify")),
        *((task, "undersampling", {"lattice": 0.5}) for task in OF_TASK if task != MADE[0]),
        ("deform", "blend", 0.3),
        ("undersampled", "augmentation", {"flip": 0.9}),
        ("classify", "loss_arguments", {"label_smoothing": 0.1}),
    ],
)
def test_keys_that_a_task_would_ignore_are_refused(task, key, value):
    plain = {"name": "mine", "task": task, **OF_TASK[task]}
    parse_recipe(plain)
    extra = {"init_from": "x"} if key == "blend" else {}
    with pytest.raises(PopscanError, match=f"does not go with .*{key}|{key} goes with"):
        parse_recipe({**plain, **extra, key: value})


@pytest.mark.parametrize(
    "text", ["", "- 1", "a: [", "name: a\nname: b\n", "name: a\0", "x: &x [*x]", "[" * 5000]
)
def test_file_that_is_no_recipe(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(PopscanError, match=r"mine\.yaml: "):
        load_recipe(path)


def test_numbers_that_yaml_takes_for_text_are_numbers():
    recipe = parse_recipe({"name": "a", "learning_rate": "1e-3", "steps": "20"})
    assert (recipe.learning_rate, recipe.steps) == (0.001, 20)


def test_whole_numbers_stay_as_they_were_written():
    """A checkpoint belongs to the text of its recipe: ``1`` must not become ``1.0``."""
    recipe = parse_recipe({"name": "a", "edge_weight": 1, "augmentation": {"scale": [1, 2]}})
    assert type(recipe.edge_weight) is int
    assert recipe.augmentation.scale == (1, 2)
    assert all(type(v) is int for v in recipe.augmentation.scale)


@pytest.mark.parametrize("path", sorted(RECIPES_DIR.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_recipes_are_what_they_were(path):
    """Reading types and limits changes no value of a recipe that was right before."""
    values = yaml.safe_load(path.read_text())
    recipe = load_recipe(path)
    plain = recipe.as_dict()
    for key, value in values.items():
        if key in ("augmentation", "undersampling"):
            for name, item in value.items():
                found = getattr(getattr(recipe, key), name)
                assert (list(found) if isinstance(found, tuple) else found) == item
        elif key != "mitigation":
            assert plain[key] == value
            assert type(plain[key]) is type(value)
    assert isinstance(load_recipe(path), Recipe)
