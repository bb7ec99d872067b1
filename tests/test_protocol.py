"""Protocols: what they declare, which there are, what is said of those that are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from popscan import protocols
from popscan.protocol import LabelSet, Structure, load
from popscan.records import PopscanError


@pytest.mark.parametrize("name", protocols.built_in())
def test_every_protocol_of_popscan_loads_and_so_does_all_that_it_names(name):
    protocol = protocols.get_protocol(name)
    for where in protocol.places().values():
        load(where)
    assert protocol.segmentation.method in protocol.segmentation.methods
    assert protocol.biomarkers.method in protocol.biomarkers.methods
    measured = set(load(protocol.biomarkers.dictionary))
    for adjustment in protocol.adjustments:
        measured |= set(adjustment.made.values())
    assert {outcome.name for outcome in protocol.outcomes} <= measured
    assert bool(protocol.phases) <= protocol.has_time


def test_an_unknown_protocol_is_an_error_that_names_those_that_exist():
    with pytest.raises(PopscanError, match=r"'cine_saxx'.*expected one of:.*cine_sax"):
        protocols.get_protocol("cine_saxx")


def test_structures_need_codes_names_and_colours_of_their_own():
    left = Structure(name="left", code=1, title="Left", colour="#102030")
    right = Structure(name="right", code=2, title="Right", colour="#302010", words="the right")
    both = LabelSet(structures=(right, left))
    assert both.names == {2: "right", 1: "left"}
    assert both.codes == {"right": 2, "left": 1}
    assert both.words == {"right": "the right", "left": "Left"}
    assert both.largest == 2
    with pytest.raises(PopscanError, match=r"a code is there twice"):
        LabelSet(structures=(left, replace(right, code=1)))
    with pytest.raises(PopscanError, match=r"a name is there twice"):
        LabelSet(structures=(left, replace(right, name="left")))
    with pytest.raises(PopscanError, match=r"code 256; 1 to 255"):
        replace(left, code=256)
    with pytest.raises(PopscanError, match=r"#rrggbb"):
        replace(left, colour="blue")
    with pytest.raises(PopscanError, match=r"at least one"):
        LabelSet(structures=())


def test_what_a_protocol_names_is_checked_as_a_place_before_it_is_loaded():
    protocol = protocols.get_protocol("cine_sax")
    with pytest.raises(PopscanError, match=r"ingest: 'no place'; 'module:name' expected"):
        replace(protocol, ingest="no place")
    with pytest.raises(PopscanError, match=r"popscan.nothing:here: cannot be loaded"):
        load("popscan.nothing:here")
    with pytest.raises(PopscanError, match=r"a view is there twice"):
        replace(protocol, series=(*protocol.series, protocol.series[0]))
