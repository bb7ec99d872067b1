# ruff: noqa: E501
"""Configs, recipes and model bundles whose values are of another type, size or kind."""

from __future__ import annotations

import copy
import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from popscan.commands.configfile import load_config, load_table_config
from popscan.config import Config, TableConfig
from popscan.segment import load_bundle, save_bundle
from popscan.segment.networks import build_network
from popscan.train.recipe import RECIPES_DIR, load_recipe

NAN, INF = float("nan"), float("inf")
VALUES = [None, True, -1, 0, 10**30, NAN, INF, 1e-300, "x", "", "x" * 5000, [], [[]], {}, {"a": {}}]


def leaves(data: Any, path: tuple = ()) -> Iterator[tuple]:
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from leaves(value, (*path, key))
    else:
        yield path


def changed(data: Any, path: tuple, value: Any) -> Any:
    data = copy.deepcopy(data)
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return data


def alone(path: tuple, value: Any) -> Any:
    """A config of one value; the rest are defaults, which `load_config` adds faster than YAML."""
    for key in reversed(path):
        value = {key: value}
    return value


def refused_by_key(ended, path: Path) -> None:
    if ended.refused:
        assert str(path) in ended.message
        assert max(map(len, ended.message.split("; "))) < 1200


DEFAULTS = Config().model_dump()
TABLE = TableConfig().model_dump()


@pytest.mark.parametrize("path", list(leaves(DEFAULTS)), ids=".".join)
def test_value_of_a_config(tmp_path, end, path):
    file = tmp_path / "c.yaml"
    for value in VALUES:
        file.write_text(yaml.safe_dump(alone(path, value)))
        ended = end(load_config, file)
        refused_by_key(ended, file)
        if not ended.refused:
            json.dumps(ended.value.model_dump())


@pytest.mark.parametrize("path", list(leaves(TABLE))[::3], ids=".".join)
def test_value_of_a_table_config(tmp_path, end, path):
    file = tmp_path / "c.yaml"
    for value in VALUES:
        file.write_text(yaml.safe_dump(alone(path, value)))
        refused_by_key(end(load_table_config, file), file)


@pytest.mark.parametrize("section", [*DEFAULTS, "unknown", 3, None, True])
def test_section_of_another_type(tmp_path, end, section):
    file = tmp_path / "c.yaml"
    for value in VALUES:
        file.write_text(yaml.safe_dump({section: value}))
        refused_by_key(end(load_config, file), file)


@pytest.mark.parametrize(
    "text", ["a", "=", "a=", "study=[", "plan={shard_size: 1, shard_size: 2}", "=" * 10_000,
             "subjects=" + "[" * 50, "study=&a [*a]", "study=\0", "x" * 10**6 + "=1", "study=!!int x"],
    ids=range(11),
)  # fmt: skip
def test_override_on_the_command_line(tmp_path, end, text):
    (tmp_path / "c.yaml").write_text("study: {name: a}\n")
    assert end(load_config, tmp_path / "c.yaml", [text]).refused


RECIPE = yaml.safe_load((RECIPES_DIR / "cine_sax_1.yaml").read_text())


@pytest.mark.parametrize("path", list(leaves(RECIPE)), ids=".".join)
def test_value_of_a_recipe(tmp_path, end, path):
    file = tmp_path / "r.yaml"
    for value in VALUES:
        file.write_text(yaml.safe_dump(changed(RECIPE, path, value)))
        ended = end(load_recipe, file)
        if ended.refused:
            assert str(file) in ended.message
        else:
            assert "NaN" not in json.dumps(ended.value.as_dict())


# -------------------------------------------------------------------------------------- bundles

CHANNELS = {"channels": [4, 4, 4]}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "tiny"
    about = {
        "name": "tiny",
        "members": [{"architecture": "dynunet", "arguments": CHANNELS}],
        "labels": {"rv": 1, "myo": 2, "lv": 3},
        "spacing_mm": 1.5,
        "patch": 32,
        "normalisation": {"low_pct": 1.0, "high_pct": 99.0},
        "input_range": {"inplane_mm": [1.0, 2.0]},
        "training": {},
        "trained_on": {"salt": "s", "sha256": ["0" * 64]},
        "validation": {},
        "calibration": {"temperature": 1.2},
        "intervals": [
            {
                "flips": False,
                "dropout_samples": 0,
                "quantities": {"lvedv_ml": {"errors": [0.1, -0.2, 0.3], "spreads": []}},
            }
        ],
        "expected_dice": {
            "features": ["a"],
            "models": {"rv": {"intercept": 0.1, "mean": [1.0], "sd": [1.0], "coefficients": [1.0]}},
        },
    }
    torch.manual_seed(0)
    weights = [build_network("dynunet", 4, **CHANNELS).state_dict()]
    save_bundle(path, about=about, weights=weights, card="# Tiny\n")
    return path


def bundle_leaves() -> list[tuple]:
    plain = ["format", "name", "members", "spacing_mm", "patch", "training", "validation",
             "weights_sha256", "labels", "normalisation", "input_range", "trained_on",
             "calibration", "intervals", "expected_dice"]  # fmt: skip
    deep = [("labels", "rv"), ("normalisation", "low_pct"), ("normalisation", "high_pct"),
            ("input_range", "inplane_mm"), ("trained_on", "salt"), ("trained_on", "sha256"),
            ("calibration", "temperature"), ("intervals", 0), ("intervals", 0, "flips"),
            ("intervals", 0, "quantities"), ("intervals", 0, "quantities", "lvedv_ml"),
            ("intervals", 0, "quantities", "lvedv_ml", "errors"), ("members", 0),
            ("members", 0, "architecture"), ("members", 0, "arguments"),
            ("members", 0, "arguments", "channels"), ("expected_dice", "features"),
            ("expected_dice", "models"), ("expected_dice", "models", "rv"),
            ("expected_dice", "models", "rv", "sd")]  # fmt: skip
    return [(name,) for name in plain] + deep


@pytest.mark.parametrize("path", bundle_leaves(), ids=str)
def test_value_of_a_bundle(bundle, end, path):
    file = bundle / "model.yaml"
    text = file.read_text()
    about = yaml.safe_load(text)
    try:
        for value in VALUES:
            file.write_text(yaml.safe_dump(changed(about, path, value)))
            ended = end(load_bundle, bundle, "cpu")
            if ended.refused:
                assert str(bundle) in ended.message
            else:
                assert ended.value.patch >= 8
                assert 0 < ended.value.spacing_mm < 50
    finally:
        file.write_text(text)


def safetensors(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
WEIGHTS = [
    b"", b"\0" * 7, b"\xff" * 8, b"\xff" * 100, safetensors(b""), safetensors(b"{"), safetensors(b"[]"),
    safetensors(b"null"), safetensors({}), safetensors(b"[" * 100_000), safetensors({"0.a": 3}),
    safetensors({"0.a": ENTRY}), safetensors({"0.a": ENTRY}, bytes(8)), safetensors({"0.a": ENTRY}, bytes(9)),
    safetensors({"0.a": {**ENTRY, "dtype": "F99"}}, bytes(8)), safetensors({"0.a": {**ENTRY, "dtype": 3}}, bytes(8)),
    safetensors({"0.a": {**ENTRY, "shape": [-2]}}, bytes(8)), safetensors({"0.a": {**ENTRY, "shape": [10**18]}}, bytes(8)),
    safetensors({"0.a": {**ENTRY, "data_offsets": [8, 0]}}, bytes(8)), safetensors({"0.a": {**ENTRY, "data_offsets": [0, 10**15]}}, bytes(8)),
    safetensors({"0.a": ENTRY, "0.b": ENTRY}, bytes(8)), safetensors({"": ENTRY}, bytes(8)), safetensors({"0": ENTRY}, bytes(8)),
    safetensors({"0.": ENTRY}, bytes(8)), safetensors({"9" * 5000 + ".a": ENTRY}, bytes(8)), safetensors({"\ud800": ENTRY}, bytes(8)),
    b"\x80\x04\x95" + bytes(50), b"PK\3\4" + bytes(100), safetensors({"__metadata__": {"a": 1}, "0.a": ENTRY}, bytes(8)),
]  # fmt: skip


@pytest.mark.parametrize("data", WEIGHTS, ids=range(len(WEIGHTS)))
def test_weights_of_another_kind(bundle, end, data):
    """With the right digest, so that it is the content that is refused."""
    model, weights = bundle / "model.yaml", bundle / "weights.safetensors"
    before = model.read_text(), weights.read_bytes()
    about = yaml.safe_load(before[0]) | {"weights_sha256": hashlib.sha256(data).hexdigest()}
    try:
        model.write_text(yaml.safe_dump(about))
        weights.write_bytes(data)
        ended = end(load_bundle, bundle, "cpu")
        assert "weights.safetensors" in ended.message
    finally:
        model.write_text(before[0])
        weights.write_bytes(before[1])
