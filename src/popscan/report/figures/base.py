"""Palette, type and the way from a matplotlib figure to bytes that never vary."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from popscan.protocols import every

INK = "#1c2733"
MUTED = "#5b6773"
GRID = "#e3e8ec"
ACCENT = "#0b5c7a"

#: Okabe-Ito hues, darkened where needed for contrast on white; readable with colour blindness.
CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#6b4c9a", "#7f8790")
SEX_COLOURS = {"female": "#c1571a", "male": "#0072b2", "unknown": "#7f8790", "all": "#3d4b59"}
STATUS_COLOURS = {
    "ok": "#2f8f8b",
    "not_applicable": "#b9c6ce",
    "excluded": "#e2a11c",
    "failed": "#b3261e",
    "skipped": "#8b939c",
    "no_record": "#4b2e59",
}
VERDICT_COLOURS = {
    "pass": "#2f8f8b",
    "review": "#e2a11c",
    "fail": "#b3261e",
    "unknown": "#8b939c",
    "not_applicable": "#b9c6ce",
}

STRUCTURE_NAMES = {
    one.name: one.title for protocol in every() for one in protocol.labels.structures
}

#: Width of a figure over the whole text column.
FULL_WIDTH_IN = 10.4

_STYLE: Any = {
    "svg.hashsalt": "popscan",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.edgecolor": "#9aa5af",
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "text.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    # A dollar sign in a group's name is a dollar sign.
    "text.parse_math": False,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Apply the report's style while figures are made; no global state is left behind."""
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Only the layout is measured with this font; the browser draws the text with its own.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


class _DrawnOnce(Figure):
    """A figure that is laid out without being drawn, and then drawn.

    Saving draws a figure with a layout twice: first on nothing, so that its layout is made.
    """

    def draw(self, renderer: RendererBase) -> None:
        """Draw; while it is saved and only the layout is asked for, make that alone."""
        layout = self.get_layout_engine()
        saving = self.canvas.is_saving()
        if isinstance(layout, ConstrainedLayoutEngine) and self.axes and saving:
            layout.execute(self)
        else:
            super().draw(renderer)


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure that lays itself out."""
    figure = _DrawnOnce(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def balanced(n: int, *, most: int = 4) -> int:
    """Return how many columns leave the fewest gaps in the last row.

    Examples
    --------
    >>> balanced(5), balanced(8), balanced(1)
    (3, 4, 1)
    """
    return min(range(min(n, most), max(0, min(n, most) - 2), -1), key=lambda c: -n % c)


def panels(
    n: int, *, columns: int, height_in: float, width_in: float = FULL_WIDTH_IN
) -> tuple[Figure, list[Axes]]:
    """Return a figure with `n` axes in rows of `columns`."""
    columns = max(1, min(columns, n))
    rows = -(-n // columns)
    figure = new_figure(width_in, height_in * rows)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(n)]
    return figure, axes


@dataclass(frozen=True, kw_only=True)
class Point:
    """A subject's point of a plot: who, what the point shows, and the page it opens if any."""

    unit: str
    words: str
    href: str = ""


def _with_points(text: str, gid: str, points: Sequence[Point]) -> str:
    """Make the markers of a series name and open their subjects."""
    start = text.find(f'id="{gid}"')
    uses = list(re.finditer(r"<use [^>]*/>", text[start : text.find("</g>", start)]))
    if start < 0 or len(uses) != len(points):
        return text
    parts, end = [text[:start]], 0
    inside = text[start:]
    for use, point in zip(uses, points, strict=True):
        href = f' href="{escape(point.href)}"' if point.href else ""
        parts.append(
            f'{inside[end : use.start()]}<a class="pt" tabindex="-1" '
            f'data-u="{escape(point.unit)}"{href}><title>{escape(point.unit)}: '
            f"{escape(point.words)}</title>{use[0]}</a>"
        )
        end = use.end()
    return "".join(parts) + inside[end:]


def to_svg(
    figure: Figure, *, name: str, alt: str, points: Mapping[str, Sequence[Point]] | None = None
) -> Markup:
    """Return a figure as inline SVG.

    `points` maps the gid of a series of markers to the subjects that they stand for, in order.

    Identifiers are prefixed by `name`, so that two figures of one page cannot take each other's
    clip paths; metadata and namespaces (which hold addresses) are dropped, as HTML needs neither.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = text.replace("xlink:href", "href")
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"\n\s*", "\n", text)
    for gid, subjects in (points or {}).items():
        text = _with_points(text, f"{name}-{gid}", subjects)
    width_pt, height_pt = re.findall(r'(?:width|height)="([\d.]+)pt"', text)[:2]
    head = (
        f'<svg class="chart" role="{"group" if points else "img"}" aria-label="{escape(alt)}" '
        f'viewBox="0 0 {width_pt} {height_pt}" '
        f'style="width:100%;max-width:{float(width_pt) * 4 / 3:.0f}px" version="1.1">'
    )
    return Markup(re.sub(r"<svg[^>]*>", lambda _: head, text, count=1).strip())


#: As wide as drawings are at least where a page is narrow (templates/style.css).
_WIDE_PX = 640


def png_uri(image: Image.Image) -> str:
    """Return a picture as a ``data:`` URI of a palette PNG (grey images with thin coloured lines).

    256 colours lose nothing visible there and cost a third of the bytes.
    """
    buffer = io.BytesIO()
    image.quantize(colors=256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        buffer, format="PNG", optimize=True
    )
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def image_tag(uri: str, *, alt: str, width_px: int, height_px: int) -> Markup:
    """Return an ``img`` element; on narrow screens wide ones scroll, so that letters stay large."""
    return Markup(
        '<img{} src="{}" alt="{}" width="{}" height="{}" style="max-width:100%;height:auto">'
    ).format(Markup(' class="wide"') if width_px > _WIDE_PX else "", uri, alt, width_px, height_px)


def colours_of(groups: Sequence[str], known: Mapping[str, str] = SEX_COLOURS) -> dict[str, str]:
    """Return a colour for every group: its own if it has one, else the next of the cycle."""
    free = [colour for colour in CYCLE if colour not in known.values()] or list(CYCLE)
    colours: dict[str, str] = {}
    for group in groups:
        extra = len([g for g in colours if g not in known])
        colours[group] = known.get(group) or free[extra % len(free)]
    return colours


def grey(plane: NDArray[Any], *, low: float | None = None, high: float | None = None) -> Any:
    """Return a plane as uint8, between its 1st and 99.5th percentile unless set otherwise.

    Values that are not finite become black; a constant plane is mid-grey.
    """
    values = np.asarray(plane, dtype=np.float64)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.zeros(values.shape, dtype=np.uint8)
    bottom = float(np.percentile(finite, 1)) if low is None else low
    top = float(np.percentile(finite, 99.5)) if high is None else high
    if top <= bottom:
        return np.where(np.isfinite(values), 127, 0).astype(np.uint8)
    scaled = np.nan_to_num(np.clip((values - bottom) / (top - bottom), 0, 1), nan=0.0)
    return np.round(255 * scaled).astype(np.uint8)


def strip_axes(axes: Axes, *, grid: Literal["x", "y"] = "x") -> None:
    """Leave of an axes only what helps to read values."""
    axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.spines["left" if grid == "x" else "bottom"].set_visible(True)
