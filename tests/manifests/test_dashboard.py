"""The dashboard asks for what the services show, in queries that Prometheus takes."""

import json
import re
from pathlib import Path

import yaml
from manifests_kit import MONITORING, exposed, tool

BOARD = json.loads((MONITORING / "dashboards" / "parfocal.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
VARIABLES = {one["name"]: one for one in BOARD["templating"]["list"]}
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]] + [
    one["expr"] for one in BOARD["annotations"]["list"]
]


def test_every_query_is_one_that_prometheus_takes(tmp_path: Path) -> None:
    rules = [{"record": f"dashboard:query:{i}", "expr": query} for i, query in enumerate(QUERIES)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = tool("promtool", "check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_query_asks_for_series_and_labels_that_are_there(tmp_path: Path) -> None:
    series = exposed(tmp_path)
    variables = [one["definition"] for one in VARIABLES.values() if one["type"] == "query"]
    for query in (*QUERIES, *variables):
        asked = re.findall(r"\b(parfocal_\w+)(?:\{([^}]*)\})?", query)
        assert asked, query
        for metric, matchers in asked:
            assert metric in series, query
            assert set(re.findall(r"(\w+)=", matchers)) <= series[metric], query
        grouped = {name for words in re.findall(r"by \(([^)]*)\)", query) for name in words.split(", ")} - {"le"}
        assert all(grouped <= series[metric] for metric, _ in asked), query


def test_legends_name_labels_that_the_query_keeps() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            kept = {name for words in re.findall(r"by \(([^)]*)\)", target["expr"]) for name in words.split(", ")}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, panel["title"]


def test_it_shows_all_that_the_services_count(tmp_path: Path) -> None:
    """What nobody can see might as well not be measured."""
    shown = set(re.findall(r"\bparfocal_\w+?(?=_bucket|_sum|_count|\b)", " ".join(QUERIES)))
    known = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exposed(tmp_path)}
    assert known - shown <= {"parfocal_alerts_received_total"}


def test_panels_do_not_overlap_and_every_one_explains_itself() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in PANELS)
    assert all(panel["title"] for panel in PANELS)
