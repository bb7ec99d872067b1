"""The sentences of a study's methods paragraph: what was really done, from config and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from popscan.config import Associate, Atlas, Fairness, Rca, Reconstruct, source_kind
from popscan.protocol import load as load_place
from popscan.protocols import protocol_of
from popscan.report.context import StudyContext
from popscan.report.text import listing, plural, stage_title, title_of
from popscan.report.tidy import complete, numbers, words
from popscan.report.units import deciding_matrix, final_status, subjects_of_visits
from popscan.stages.report.provenance import Provenance
from popscan.stats.named_tests import named_test

_SOURCES = {
    "bids": "Images were read from NIfTI files in BIDS-like folders [@bids].",
    "dicom": "Images were read from DICOM files; series, slices and frames were sorted by geometry "
    "and time.",
    "acdc": "Images were read from the ACDC challenge's data [@acdc].",
    "kspace": "Images were reconstructed from raw k-space.",
    "simulated": "All subjects were simulated.",
    "ukb": "Images were read from UK Biobank's bulk files.",
}
_RECONSTRUCTIONS = {
    "zero_filled": "zero-filled inverse Fourier transform",
    "cg_sense": "iterative SENSE [@cgsense]",
    "cs_wavelet": "compressed sensing with wavelets",
    "cs_tv": "compressed sensing with total variation in space and time",
    "view_sharing": "view sharing",
    "kt_sense": "k-t SENSE",
    "low_rank_sparse": "low-rank plus sparse decomposition",
    "dc_cnn": "a deep cascade of convolutional networks and data consistency",
    "varnet": "a variational network",
    "kt_sense_net": "k-t SENSE with a prior given by a network",
    "dautomap": "learned transforms along each axis (dAUTOMAP)",
}
_REGISTRATIONS = {
    "demons": "diffeomorphic demons [@demons]",
    "ffd": "free-form deformation by B-splines",
    "svf": "stationary velocity fields",
}
_CORRECTIONS = {
    "holm": "Holm's method [@holm]",
    "bh": "the method of Benjamini and Hochberg [@bh]",
}
_ADJUSTMENTS = {
    "regression": "linear regression with robust standard errors [@hc3] (residuals permuted where "
    "an outcome is skewed and a group small)",
    "ancova": "analysis of covariance",
    "standardisation": "standardisation (g-computation)",
    "mixed": "a linear mixed model",
    "matching": "matching",
}


def methods_sentences(
    context: StudyContext, config: Mapping[str, object], facts: Provenance
) -> list[str]:
    """Return the sentences of the methods paragraph, with citations as `report.boilerplate` reads.

    Parameters
    ----------
    context
        The study's tables.
    config
        The whole config.
    facts
        Provenance: versions, model, seed.
    """
    return [
        *_workflow(config, facts),
        *_subjects(context),
        *_images(context, config),
        *_protocol(config, facts),
        *_study_stages(config),
        *_harmonisation(context),
        *_audit(context, config),
    ]


def _workflow(config: Mapping[str, object], facts: Provenance) -> Iterator[str]:
    packages = facts["packages"]
    yield (
        f"Images were analysed with popscan {facts['popscan']}, a workflow of Snakemake "
        f"{packages['snakemake']} [@snakemake] (PyTorch {packages['torch']} [@pytorch], SimpleITK "
        f"{packages['simpleitk']} [@simpleitk], statsmodels {packages['statsmodels']} "
        f"[@statsmodels]; random seed {facts['seed']})."
    )
    if (kind := source_kind(config)) in _SOURCES:
        yield _SOURCES[kind]


def _subjects(context: StudyContext) -> Iterator[str]:
    outcome = final_status(context)
    if not len(outcome):
        return
    analysed = int((outcome == "ok").sum())
    matrix = deciding_matrix(context)
    lost = {}
    for stage in matrix:
        name = stage_title(str(stage)).lower()
        for status, verb in (("failed", "failed at"), ("excluded", "excluded by")):
            if n := int((matrix[stage] == status).sum()):
                lost[f"{verb} {name}"] = n
    if analysed + sum(lost.values()) != len(outcome):  # a person overrode, or the run goes on
        lost = {str(status): n for status, n in outcome[outcome != "ok"].value_counts().items()}
    people = subjects_of_visits(context)
    who = f"{plural(len(outcome), 'visit')} of {plural(people, 'subject')}" if people else ""
    were = "was" if analysed == 1 else "were"
    sentence = f"Of {who or plural(len(outcome), 'subject')}, {analysed:,} {were} analysed"
    parts = [f"{n:,} {what.replace('_', ' ')}" for what, n in lost.items()]
    yield f"{sentence} ({listing(parts)})." if parts else f"{sentence}."


def _images(context: StudyContext, config: Mapping[str, object]) -> Iterator[str]:
    scores = complete(context.recon_scores, "variant")
    variants = words(scores["variant"]).unique()
    section = Reconstruct.of(config)
    used = [section.variants[name] for name in variants if name in section.variants]
    named = [
        _RECONSTRUCTIONS[one.method] + by_model(one.options)
        for one in used
        if one.method in _RECONSTRUCTIONS
    ]
    if named := list(dict.fromkeys(named)):
        yield f"k-space was reconstructed by {listing(named)}."


def by_model(options: Mapping[str, object]) -> str:
    """Return which model a method used, in brackets; nothing without one."""
    return f" (model {Path(str(options['model'])).name})" if "model" in options else ""


def _protocol(config: Mapping[str, object], facts: Provenance) -> list[str]:
    """Sentences of the protocol: what was segmented and measured, and how."""
    protocol = protocol_of(config)
    if not protocol.methods_text:
        return []
    sentences: list[str] = load_place(protocol.methods_text)(config)
    if facts["model"]["digest"]:
        digest = facts["model"]["digest"][:12]
        sentences.append(f"The network was the bundle {facts['model']['name']} ({digest}).")
    return sentences


def _study_stages(config: Mapping[str, object]) -> Iterator[str]:
    if Rca.of(config).enabled:
        yield (
            "The Dice coefficient of every segmentation was predicted by reverse classification "
            "accuracy [@rca]."
        )
    if (atlas := Atlas.of(config)).enabled:
        yield (
            f"Population averages were made in {plural(atlas.iterations, 'round')}, the first "
            f"rigid, the others by {_REGISTRATIONS[atlas.registration]}, "
            f"at {atlas.spacing_mm:g} mm."
        )
        if atlas.max_growth_pct and atlas.iterations > 1:
            yield (
                "Averages that subjects were registered to were kept until the study had grown by "
                f"more than {atlas.max_growth_pct:g}%."
            )


def _harmonisation(context: StudyContext) -> Iterator[str]:
    made = context.harmonisation
    if made is None:
        return
    site = _named(made.site)
    if made.refused:
        yield f"Biomarkers were not harmonised between groups of {site}: {made.refused}."
        return
    kept = listing([_named(name) for name in made.preserved]) or "no covariate"
    yield (
        f"Biomarkers were harmonised between groups of {site} by ComBat [@combat; @neurocombat] "
        f"(combatlearn {version('combatlearn')}), preserving the effects of {kept}; the fit rests "
        f"on {plural(made.n_fitted, 'subject')}. Values as measured are given beside harmonised "
        "ones."
    )


def _audit(context: StudyContext, config: Mapping[str, object]) -> Iterator[str]:
    if numbers(complete(context.associations, "estimate")["estimate"]).notna().any():
        terms = [_named(name) for name in Associate.of(config).terms]
        yield (
            f"Biomarkers were regressed on {listing(terms)} by ordinary least squares with HC3 "
            "standard errors [@hc3] (by the jackknife of subjects where they repeat); p values "
            "were corrected over all terms and outcomes by the method of Benjamini and Hochberg "
            "[@bh]."
        )
    if not len(context.fairness_gaps):
        return
    fairness = Fairness.of(config)
    attributes = [_named(name) for name in fairness.attributes]
    tests = [t for t in words(context.fairness_gaps["test"]).unique() if t and t != "none"]
    by = f" by {listing([named_test(one) for one in sorted(tests)])}" if tests else ""
    yield (
        f"Outcomes of every stage were compared between groups by {listing(attributes)} (groups of "
        f"at least {fairness.min_group} subjects){by}, with intervals at the "
        f"{100 * (1 - fairness.alpha):g}% level ({fairness.n_boot:,} bootstrap draws); p values "
        f"were corrected by {_CORRECTIONS[fairness.correction]}."
    )
    if len(context.fairness_adjusted):
        methods = [_ADJUSTMENTS[method] for method in fairness.adjust_methods]
        held = [_named(name) for name in fairness.adjust_for]
        yield f"Gaps were adjusted for {listing(held)} by {listing(methods)}."


def _named(column: str) -> str:
    """Return a column's name within a sentence: ``age``, ``BSA``."""
    title = title_of(column, unit=False)
    return title if title[:2].isupper() else title[:1].lower() + title[1:]
