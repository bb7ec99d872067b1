"""Size of a report and the time to its first paint in headless Chromium.

    python benchmarks/report.py results/demo/report/index.html
    python benchmarks/report.py --subjects 1000 10000 100000

With ``--subjects`` a made-up study of the tests (tables alone, no images) is rendered first.
The time is the median first contentful paint of several visits, each with an empty cache.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def rendered(subjects: int, folder: Path) -> Path:
    """Render the made-up study of the tests and return its page."""
    from popscan.report import render_study

    where = ROOT / "tests" / "report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("made_up", where)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return render_study(module.build(subjects, flagged=20), folder / str(subjects))


def first_paint_ms(page: Path, *, visits: int) -> float:
    """Return the median time to the first contentful paint."""
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))
    from browser import Browser

    times = []
    for _ in range(visits):
        with tempfile.TemporaryDirectory() as profile, Browser(Path(profile)) as browser:
            browser.open(page)
            entries = "performance.getEntriesByName('first-contentful-paint')"
            browser.wait(f"{entries}.length > 0")
            times.append(float(browser.run(f"{entries}[0].startTime")))
    return statistics.median(times)


def main() -> None:
    """Print a line per page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--subjects", nargs="+", type=int, default=[])
    parser.add_argument("--visits", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pages = [(str(page), page.resolve()) for page in arguments.pages]
        pages += [(f"{n:,} subjects", rendered(n, Path(folder))) for n in arguments.subjects]
        for name, page in pages:
            size = page.stat().st_size / 1e6
            paint = first_paint_ms(page, visits=arguments.visits)
            print(f"{name}: {size:.2f} MB, first paint {paint:.0f} ms", flush=True)


if __name__ == "__main__":
    main()
