import re
from html.parser import HTMLParser

import numpy as np
import pytest

from parfocal.core.scores import CaseScore, Evaluation, FrozenTest, MatrixRow
from parfocal.evaluation import figures, report
from parfocal.evaluation.overlays import picture
from parfocal.evaluation.tables import tables


def score(instrument: str, structure: str, i: int, dice: float) -> CaseScore:
    values = {"dice": dice, "iou": dice / (2 - dice), "hausdorff": 9.0, "hd95": 5.0, "radii_ratio": 0.8 + dice / 4}
    if structure == "cup":
        values |= {"cdr_error": 0.1}
    return CaseScore(
        instrument=instrument, structure=structure, case=f"{instrument}{i}", patient=f"p{i // 2}", metrics=values
    )


def scores(level: float, cells: tuple[tuple[str, str], ...]) -> tuple[CaseScore, ...]:
    return tuple(score(*cell, i, level + 0.02 * np.cos(i)) for cell in cells for i in range(8))


CELLS = (("A <lab>", "disc"), ("A <lab>", "cup"), ("B", "disc"))


def evaluation(*, champion: bool = True, cells: tuple[tuple[str, str], ...] = CELLS) -> Evaluation:
    found = {"challenger": scores(0.9, cells), "constant": scores(0.5, cells)}
    rows = [MatrixRow(model="a" * 64, learned="A <lab>", dice={"A <lab>": {"disc": 0.95, "cup": 0.9}})]
    if champion:
        found["champion"] = scores(0.8, cells)
        rows.append(
            MatrixRow(model="c" * 64, learned="B", dice={"A <lab>": {"disc": 0.9, "cup": 0.9}, "B": {"disc": 0.9}})
        )
    return Evaluation(
        task="fundus",
        challenger="c" * 64,
        champion="a" * 64 if champion else None,
        new_instrument="B",
        scores=found,
        tests={name: FrozenTest(checksum="e" * 64, cases=8, patients=4, uses=3) for name in ("A <lab>", "B")},
        latency_ms={"challenger": 12.34, **({"champion": 11.0} if champion else {})},
        agreement={"disc": 0.99961, "cup": 0.9992},
        runtime="openvino",
        matrix=tuple(rows),
    )


class Outside(HTMLParser):
    """Collects what a page would fetch, and checks that elements close in the order in which they open."""

    VOID = frozenset({"meta", "br", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v and v[0] != "#"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(page: str) -> Outside:
    parser = Outside()
    parser.feed(page)
    assert parser.open == []
    return parser


def test_the_page_is_whole_and_fetches_nothing() -> None:
    image = np.full((60, 80, 3), 90, np.uint8)
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:50] = True
    shown = picture("B", "disc", "worst", "B1", {"challenger": 0.5}, image, {"truth": mask, "challenger": ~mask})
    page = report.render(evaluation(), pictures=[shown])
    assert all(address.startswith("data:image/jpeg") for address in read(page).found)
    assert len(read(page).found) == 1
    assert "url(" not in page.replace("url(#", "")
    assert "<script" not in page


def test_it_says_plainly_that_it_is_no_diagnosis_and_shows_patients_only_if_it_does() -> None:
    page = report.render(evaluation())
    assert "This is no diagnosis." in page
    assert "photographs of patients" not in page


def test_every_model_stands_in_every_cell_with_its_spread() -> None:
    cells = tables(evaluation())
    assert [(cell.instrument, cell.structure) for cell in cells] == list(CELLS)
    assert all([row.model for row in cell.rows] == ["challenger", "champion", "constant"] for cell in cells)
    values = np.array([0.9 + 0.02 * np.cos(i) for i in range(8)])
    found = cells[0].rows[0]
    assert (found.dice, found.measures["dice"].best, found.measures["dice"].worst) == pytest.approx(
        (values.mean(), values.max(), values.min())
    )
    assert found.measures["dice"].sd == pytest.approx(values.std(ddof=1))
    assert found.measures["hd95"].best == found.measures["hd95"].worst == 5
    assert found.skill == pytest.approx((values.mean() - (values.mean() - 0.4)) / (1 - (values.mean() - 0.4)))
    assert (cells[1].rows[0].measures["cdr_error"].mean, "cdr_error" in cells[0].rows[0].measures) == (0.1, False)
    assert found.rrp10 == 100


def test_for_distances_the_best_is_the_smallest() -> None:
    base = evaluation(champion=False, cells=(("A", "disc"),))
    far = [
        s.model_copy(update={"metrics": {**s.metrics, "hd95": float(i)}})
        for i, s in enumerate(base.scores["challenger"])
    ]
    changed = base.model_copy(update={"scores": {**base.scores, "challenger": tuple(far)}})
    assert tables(changed)[0].rows[0].measures["hd95"].best == 0


def test_the_gain_is_paired_by_patient() -> None:
    (cell, *_) = tables(evaluation())
    assert cell.patients == 4
    assert cell.gain is not None
    assert cell.gain.estimate == pytest.approx(0.1)
    assert cell.gain.low == cell.gain.high
    page = report.render(evaluation())
    assert "+0.100 to +0.100" in page


def test_one_patient_has_a_change_and_no_interval() -> None:
    base = evaluation(cells=(("B", "disc"),))
    alone = {name: tuple(s.model_copy(update={"patient": "p"}) for s in found) for name, found in base.scores.items()}
    (cell,) = tables(base.model_copy(update={"scores": alone}))
    assert cell.gain is cell.sd is None
    read(report.render(base.model_copy(update={"scores": alone})))


def test_names_of_instruments_cannot_break_the_page() -> None:
    page = report.render(evaluation())
    assert "A <lab>" not in page
    assert "A &lt;lab&gt;" in page


def test_a_first_model_is_shown_beside_the_constant_mask_alone() -> None:
    page = report.render(evaluation(champion=False))
    read(page)
    assert "there is no champion yet" in page
    assert "nothing could be forgotten yet" in page
    assert "Change against the champion" not in page


def test_the_page_names_each_transfer_number_with_its_source_and_the_use_of_the_tests() -> None:
    page = report.render(evaluation())
    for name in ("Lopez-Paz", "Díaz-Rodríguez", "Chaudhry", "OpenLORIS", "plasticity"):
        assert name in page
    assert "<td>8</td><td>4</td><td>3</td>" in page


def test_plots_take_their_ink_from_the_page_and_are_the_same_every_time() -> None:
    first, second = figures.paired(evaluation()), figures.paired(evaluation())
    assert first == second
    assert first.startswith("<svg")
    assert "currentColor" in first
    assert "#000000" not in first
    ids = re.findall(r' id="([^"]+)"', report.render(evaluation()))
    assert len(ids) == len(set(ids))


def test_many_cells_wrap_into_rows() -> None:
    many = tuple((f"I{i}", "disc") for i in range(6))
    width = float(re.search(r'width="([\d.]+)pt"', figures.distributions(evaluation(cells=many)))[1])  # type: ignore[index]
    assert width < 11 * 72


def test_the_summary_is_a_markdown_table_with_what_a_person_asks_first() -> None:
    text = report.markdown(evaluation())
    lines = text.splitlines()
    assert lines[0] == "# Evaluation: fundus, after B"
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(CELLS)
    assert len({line.count("|") for line in table}) == 1
    assert "+0.100 (+0.100 to +0.100)" in table[-1]
    assert "used in 3 decisions before" in text
    assert "no diagnosis" in text


def test_a_sentence_does_not_hide_that_the_constant_mask_is_better() -> None:
    base = evaluation(champion=False, cells=(("B", "disc"),))
    flat = tuple(s.model_copy(update={"metrics": {**s.metrics, "dice": 0.95}}) for s in base.scores["constant"])
    (cell,) = tables(base.model_copy(update={"scores": {**base.scores, "constant": flat}}))
    assert "one mask given for every image has 0.950, which is MORE." in report.sentence(cell)
