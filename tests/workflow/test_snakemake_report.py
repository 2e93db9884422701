"""`snakemake --report`: every figure of a run in its category, with a caption."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from dry_runs import commands, snakemake

CATEGORIES = {
    "Table 1": {"table1.md", "table1.html"},
    "Claims": {"claims.md"},
    "Contact sheet": {"sheet.png"},
    "Figures": {"quality_time.svg", "quality_nfe.svg", "heat_map.svg", "critical_difference.svg"},
    "Ablations": {"ablation_n.md", "ablation_n.svg", "ablation_n_grid.png"},
    "Theorem 1": {"theory.md", "theory.png"},
    "Reference set": {"sheet.png"},
}


@pytest.mark.slow
def test_snakemakes_report_has_each_figure_in_its_category_with_a_caption(tmp_path: Path) -> None:
    """The smoke run with theory and an ablation, whose files stand-ins are: their text comes along."""
    asked = [
        "all",
        "ablation_n",
        "theory",
        "--configfile",
        "workflow/config/smoke.yaml",
        "--config",
        f"results={tmp_path}/r",
    ]
    dry = snakemake(*asked, "-n", "-p")
    for path in map(Path, commands(dry.stdout + dry.stderr)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    made = snakemake(*asked, "--report", str(tmp_path / "report.zip"))
    assert made.returncode == 0, made.stderr
    with ZipFile(tmp_path / "report.zip") as archive:
        names = archive.namelist()
        page = archive.read(next(name for name in names if name.endswith("report.html"))).decode()
    starts = [re.search(rf'id="{name}">\s*var {name} = ', page) for name in ("categories", "results")]
    categories, results = (json.JSONDecoder().raw_decode(page, start.end())[0] for start in starts if start)
    shown = {
        category: {Path(path).name for paths in inner.values() for path in paths}
        for category, inner in categories.items()
    }
    assert shown == CATEGORIES
    for path, result in results.items():
        assert len(result["caption"]) > 40, path
        assert any(name.endswith(result["data_uri"]) for name in names), path
