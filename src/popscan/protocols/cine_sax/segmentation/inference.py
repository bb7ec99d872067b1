"""From a short-axis cine to labels and uncertainty, with the networks of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from popscan.protocols.cine_sax.labels import STRUCTURES
from popscan.protocols.cine_sax.segmentation.cine import Cine, Keep, Options, label_together
from popscan.records import Scan
from popscan.segment.bundle import Bundle
from popscan.segment.ensemble import Flips
from popscan.segment.result import Segmentation


def segment(
    scan: Scan,
    *,
    bundle: Bundle,
    flips: Flips = False,
    largest_component: bool = True,
    mend: bool = True,
    base: bool = True,
    batch_slices: int = 0,
    precision: str = "auto",
    dropout_samples: int = 0,
    dropout_rate: float = 0.1,
    information: bool = False,
    features: bool = False,
    keep: Keep | None = None,
) -> Segmentation:
    """Label every frame of a short-axis cine.

    A first look at a few slices finds the heart; then every slice of every frame is segmented in
    a window around it at the bundle's spacing, and probabilities (not labels) are resampled back
    to the scan's grid.

    Parameters
    ----------
    scan
        Short-axis cine (x, y, z, t); one frame is enough, any in-plane spacing and orientation.
    bundle
        From `load_bundle`; several members are averaged.
    flips
        True: average over four mirrorings of every slice, four times the work for a little
        accuracy; ``doubtful``: average each slice whose probabilities have a summed entropy above
        the bundle's limit, which two in five are, with its mirror image; False: over none.
    largest_component
        Keep one connected piece of the heart and of each structure per frame.
    mend
        Make slices that break a law of anatomy possible (`cleanup.mend_slices`).
    base
        Decide by evidence where the left ventricle ends, and take away what is labelled above
        (`popscan.protocols.cine_sax.base`).
    batch_slices
        Slices that go through the network at once, halved when memory does not suffice; 0 takes
        `BATCHES`.
    precision
        What the networks compute in: ``float32``, ``bfloat16`` or ``auto`` (bfloat16 where the
        processor or GPU has it: twice as fast, a few border voxels differ).
    dropout_samples, dropout_rate
        Draws of Monte-Carlo dropout per member, and the share of channels that a draw silences.
        They describe uncertainty; the labels are the same without them.
    information
        Whether the map of mutual information is returned.
    features
        Whether pooled features of the network are returned.
    keep
        Is called with the first slice, the slice after the last, and the probabilities on the
        scan's grid (n, label, x, y) of every batch: for those who need more than labels.

    Raises
    ------
    SubjectError
        ``wrong_shape``, ``not_finite`` or ``bad_spacing``.
    """
    require_structures(bundle)
    options = Options(
        flips=flips,
        largest_component=largest_component,
        mend=mend,
        base=base,
        batch_slices=batch_slices,
        precision=precision,
        dropout_samples=dropout_samples,
        dropout_rate=dropout_rate,
        information=information,
        features=features,
    )
    cine = Cine(scan, bundle, options, keep=keep)
    label_together([cine])
    return cine.finish()


class Together:
    """What labels several cines at once, with the options of `segment`.

    The networks see slices of several cines in one batch; what comes before and after is each
    cine's own, and may be done in other threads.

    Parameters
    ----------
    bundle, flips, largest_component, mend, base, batch_slices, precision
        As for `segment`.
    dropout_samples, dropout_rate, information
        As for `segment`.
    """

    def __init__(
        self,
        *,
        bundle: Bundle,
        flips: Flips = False,
        largest_component: bool = True,
        mend: bool = True,
        base: bool = True,
        batch_slices: int = 0,
        precision: str = "auto",
        dropout_samples: int = 0,
        dropout_rate: float = 0.1,
        information: bool = False,
    ) -> None:
        require_structures(bundle)
        self.bundle = bundle
        self.options = Options(
            flips=flips,
            largest_component=largest_component,
            mend=mend,
            base=base,
            batch_slices=batch_slices,
            precision=precision,
            dropout_samples=dropout_samples,
            dropout_rate=dropout_rate,
            information=information,
        )

    def prepare(self, scan: Scan) -> Cine:
        """Return a cine that is ready for the networks; its own thread may do this.

        Raises
        ------
        SubjectError
            As `segment`.
        """
        return Cine(scan, self.bundle, self.options)

    def label(self, cines: Sequence[Cine]) -> list[Callable[[], Segmentation]]:
        """Send cines through the networks; return what finishes each, in any thread."""
        label_together(cines)
        return [cine.finish for cine in cines]


def require_structures(bundle: Bundle) -> None:
    """Refuse a bundle whose labels are not those of a short-axis cine."""
    bundle.require_labels({name: int(label) for label, name in STRUCTURES.items()})
