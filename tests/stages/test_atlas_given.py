"""Steps of the atlas are given the keys that they use: an edit of another one redoes none."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from atlas_study import options
from popscan.config import Config
from popscan.stages import STAGES
from popscan.stages.atlas import job, members

#: Step -> functions that read the section atlas there.
READERS: dict[str, tuple[Callable[..., Any], ...]] = {
    "atlas_prepare": (job.prepare_shard,),
    "atlas_subjects": (members.write_members, members._read),
    "atlas_map": (job.map_shard, members._read),
    "atlas_reduce": (job.reduce_round,),
}


def keys_read(functions: tuple[Callable[..., Any], ...]) -> set[str]:
    nodes = [node for one in functions for node in ast.walk(ast.parse(inspect.getsource(one)))]
    return {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "section"
    }


@pytest.mark.parametrize("step", READERS)
def test_a_step_is_given_what_it_reads_and_no_more(step):
    assert set(STAGES[step].keys["atlas"]) == keys_read(READERS[step])
    everywhere = inspect.getsource(job) + inspect.getsource(members)
    readers = {one for functions in READERS.values() for one in functions}
    assert everywhere.count("Atlas.of(") == len(readers)


def test_an_edit_of_what_only_the_maps_use_prepares_and_registers_nobody_again():
    before, after = (Config.model_validate(given).model_dump() for given in (
        {"atlas": {"effects": ["sex"]}},
        {"atlas": {"effects": ["age_years"], "subject_maps": True, "min_n": 30}},
    ))  # fmt: skip
    for step in READERS:
        assert STAGES[step].sections_of(before) == STAGES[step].sections_of(after)
    assert STAGES["atlas"].sections_of(before) != STAGES["atlas"].sections_of(after)


def test_all_keys_of_a_section_are_given_where_none_are_named():
    config = options()
    for stage in STAGES.values():
        given = stage.sections_of(config)
        assert tuple(given) == stage.sections
        for name in set(stage.sections) - set(stage.keys):
            assert given[name] == config[name]
