"""The config has one definition, and schema, reference and examples agree with it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

from popscan.commands.configfile import ConfigError, load_config
from popscan.commands.reference import config_reference, qc_reference
from popscan.config import (
    Config,
    Fairness,
    Section,
    Segment,
    fill_in,
    json_schema,
    protocol_problems,
)
from popscan.protocols import get_protocol
from popscan.records import PopscanError, check_identifier


def test_schema_in_the_tree_is_the_exported_one(repo_root):
    path = repo_root / "workflow" / "schemas" / "config.schema.json"
    assert json.loads(path.read_text()) == json_schema(), "run 'popscan schema'"


def test_reference_in_the_tree_is_the_exported_one(repo_root):
    text = (repo_root / "config" / "README.md").read_text()
    assert text == config_reference(), "run 'popscan schema'"
    assert " at 0x" not in text  # an address differs in every process


def test_list_of_qc_checks_in_the_tree_is_the_exported_one(repo_root):
    assert (repo_root / "docs" / "qc.md").read_text() == qc_reference(), "run 'popscan schema'"


def test_every_key_is_described():
    undocumented = [
        f"{name}.{key}"
        for name, section in Config.model_fields.items()
        if isinstance(section.annotation, type) and issubclass(section.annotation, BaseModel)
        for key, field in section.annotation.model_fields.items()
        if not field.description
    ]
    assert undocumented == []


def test_example_configs_are_valid_and_listed(repo_root):
    paths = sorted((repo_root / "config").glob("*.yaml"))
    assert len(paths) >= 4
    reference = config_reference()
    for path in paths:
        Config.model_validate(yaml.safe_load(path.read_text()))
        assert f"`{path.name}`" in reference


@pytest.mark.parametrize(
    "data",
    [
        {"segmnt": {}},
        {"segment": {"flip": True}},
        {"plan": {"shard_size": 0}},
        {"source": {"kind": "pet"}},
        {"study": {"name": "../elsewhere"}},
        {"protocol": "cine_saxx"},
        {"protocol": ["cine_sax", "cine_lax"]},
        {"fairness": {"alpha": 1.0}},
        {"fairness": {"intersections": [["sex"]]}},
        {"fairness": {"intersections": [["sex", "sex"]]}},
        {"biomarkers": {"cycle_ms": [0.3, 2.0]}},  # seconds
        {"biomarkers": {"cycle_ms": [2000, 300]}},
        {"cohort": {"plausible": {"age_years": [120, 0]}}},
        {"cohort": {"plausible": {"age_years": [0, float("nan")]}}},
        {"report": {"min_cell": True}},  # `yes` is no number: cells of one would be shared
        {"simulate": {"faults": {"motion": True}}},
        {"cohort": {"plausible": {"age_years": [True, 90]}}},
        {"atlas": {"spacing_mm": float("inf")}},
        {"fairness": {"age_bands_years": [float("nan")] * 3}},
        {"fairness": {"alpha": 0.95}},
        {"simulate": {"n_subjects": 10**12}},
        {"fairness": {"attributes": ["sex", "Sex"]}},  # tests would count twice
        {"fairness": {"adjust_methods": ["regression", "mixed"]}},
        {"experiment": {"seeds": [1, 2, 1]}},
        {"reconstruct": {"variants": {"a/b": {"method": "cg_sense"}}}},
        {"subjects": ","},
        {"subjects": [""]},
        {"subjects": 0},
    ],
)
def test_wrong_configs_are_refused(data):
    with pytest.raises(ValidationError):
        Config.model_validate(data)


@pytest.mark.parametrize(
    "name",
    ["demo", "a", "2026-01_v1.2+x", "x" * 64, "x" * 65, "my study", "a..b", "../a", ".a", ""],
)
def test_schema_allows_the_names_that_are_identifiers(name):
    """Snakemake knows the schema only."""
    try:
        check_identifier(name)
        allowed = True
    except PopscanError:
        allowed = False
    assert Draft202012Validator(json_schema()).is_valid({"study": {"name": name}}) is allowed


def test_override_that_is_no_yaml_is_told(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("study: {name: a}\n")
    with pytest.raises(
        ConfigError, match=r"--config 'plan=\{shard_size: 2': line \d+, .*not valid YAML"
    ):
        load_config(path, ["plan={shard_size: 2"])


def test_schema_refuses_unknown_keys_everywhere():
    definitions = {**json_schema()["$defs"], "Config": json_schema()}
    open_ended = [n for n, d in definitions.items() if d.get("additionalProperties") is not False]
    assert open_ended == []


def test_a_section_that_a_stage_was_not_given_is_named():
    given = {"segment": {"flips": False}}
    assert Segment.of(given).flips is False
    with pytest.raises(PopscanError, match=r"'fairness' was not given; there are \['segment'\]"):
        Fairness.of(given)
    assert Fairness.of(given, or_defaults=True) == Fairness()


def test_every_section_is_known_by_its_key():
    sections = {k: f.annotation for k, f in Config.model_fields.items()}
    sections = {k: s for k, s in sections.items() if isinstance(s, type) and issubclass(s, Section)}
    assert {name: section.key() for name, section in sections.items()} == {k: k for k in sections}
    assert len(sections) > 14


def test_what_the_protocol_does_not_have_is_named():
    source = {"kind": "bids", "views": ["SAX"], "label_codes": {7: "atrium"}}
    assert protocol_problems(Config.model_validate({"source": source})) == [
        "source.views: 'SAX'; expected some of: sax, 2ch, 3ch, 4ch, rvot",
        "source.label_codes.7: 'atrium'; expected one of: rv, myo, lv, background",
    ]
    assert protocol_problems(Config()) == []


def test_stages_that_another_protocol_cannot_have_are_named_not_run():
    given = {"protocol": "brain_t1", "source": {"kind": "bids"}}
    assert protocol_problems(Config.model_validate(given)) == []
    given |= {name: {"enabled": True} for name in ("atlas", "rca", "visibility")}
    assert protocol_problems(Config.model_validate(given)) == []
    given["visibility"] = {"enabled": True, "sources": ["organ", "latent"]}
    assert protocol_problems(Config.model_validate(given)) == [
        "visibility.sources: latent: the networks of protocol brain_t1 do not see slices one by "
        "one; leave it out"
    ]
    bare = replace(get_protocol("brain_t1"), name="bare", atlas=None, crops=None)
    assert bare.defaults()["atlas"] == {"enabled": False}


def test_the_protocol_fills_in_what_a_config_leaves_open():
    given = {"segment": {"model": "mine"}, "associate": {"outcomes": ["lvm_g"]}}
    config = Config.model_validate(given)
    assert (config.segment.model, config.segment.method) == ("mine", "bundle")
    assert (config.source.views, config.associate.outcomes) == (["sax"], ["lvm_g"])
    assert "method" not in config.segment.model_fields_set
    assert "lvef_pct" in config.fairness.biomarkers
    # As Snakemake does it: defaults of the schema first, then those of the protocol.
    plain = {name: dict(value) for name, value in Config().model_dump().items() if name in given}
    plain |= {"protocol": "cine_sax", "source": {"views": []}, "biomarkers": {}, "fairness": {}}
    plain["segment"]["model"], plain["associate"]["outcomes"] = "mine", ["lvm_g"]
    fill_in(plain, given)
    for section, key in (("source", "views"), ("segment", "model"), ("associate", "outcomes")):
        assert plain[section][key] == getattr(getattr(config, section), key)


def test_null_comes_first_in_the_schema_since_snakemake_fills_defaults_into_it():
    schema = json_schema()
    fields = [f for d in (schema, *schema["$defs"].values()) for f in d["properties"].values()]
    choices = [field["anyOf"] for field in fields if {"type": "null"} in field.get("anyOf", [])]
    assert len(choices) >= 3
    assert all(choice[0] == {"type": "null"} for choice in choices)
