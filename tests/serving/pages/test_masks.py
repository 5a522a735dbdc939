"""The page's bitmaps, run in the browser that will run them: no monitor, only the module."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pages_kit as kit
import parfocal_serving.monitor.ui as ui
import pytest
from parfocal_serving.segmenter.codecs import rle

FOLDER = Path(ui.__file__).parent / "annotate"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *values: object) -> None: ...


@pytest.fixture(scope="module")
def run() -> Iterator[Any]:
    """Runs JavaScript in which `Mask` and `outlines` are known."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(FOLDER)))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    with kit.chromium() as browser:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/theme.js")
        load = "const {Mask} = await import('/masks.js'); const {outlines} = await import('/layer.js');"
        yield lambda body, value=None: page.evaluate(f"async (value) => {{ {load} {body} }}", value)
    server.shutdown()
    server.server_close()


def pixels(run: Any, body: str, height: int = 6, width: int = 7) -> list[str]:
    """What is drawn on an empty mask, row by row."""
    drawn = run(f"const mask = new Mask({width}, {height}); {body}; return Array.from(mask.data)")
    return ["".join(".#"[v] for v in row) for row in np.array(drawn).reshape(height, width)]


def test_run_lengths_are_those_of_the_segmenter_both_ways(run: Any) -> None:
    rng = np.random.default_rng(3)
    for height, width, share in ((5, 9, 0.5), (9, 5, 0.1), (1, 1, 1.0), (4, 4, 0.0), (3, 6, 1.0), (64, 40, 0.9)):
        mask = rng.random((height, width)) < share
        made = "const [h, w] = value.size, mask = new Mask(w, h); mask.setRle(value);"
        data, again = run(f"{made} return [Array.from(mask.data), mask.toRle()]", rle(mask))
        np.testing.assert_array_equal(np.array(data, bool).reshape(height, width), mask)
        assert again == rle(mask)


def test_run_lengths_of_another_picture_are_refused_and_change_nothing(run: Any) -> None:
    body = """const mask = new Mask(4, 3); mask.data.fill(1);
    for (const rle of [{size: [4, 3], counts: [12]}, {size: [3, 4], counts: [11]}]) {
      try { mask.setRle(rle); return "taken" } catch (error) { if (!(error instanceof RangeError)) throw error }
    }
    return mask.area()"""
    assert run(body) == 12


def test_a_brush_fills_what_is_within_its_radius_of_the_line(run: Any) -> None:
    drawn = pixels(run, "mask.stroke({x: 1.5, y: 2.5}, {x: 4.5, y: 2.5}, 1, 1)")
    assert drawn == [".......", ".####..", "######.", ".####..", ".......", "......."]
    erased = pixels(run, "mask.data.fill(1); mask.stroke({x: 3.5, y: 0.5}, {x: 3.5, y: 9}, 0.4, 0)")
    assert erased == ["###.###"] * 6


def test_an_ellipse_fills_its_box_from_any_corner_and_may_leave_the_picture(run: Any) -> None:
    expected = [".......", "..###..", ".#####.", ".#####.", "..###..", "......."]
    for a, b in (("{x: 1, y: 1}", "{x: 6, y: 5}"), ("{x: 6, y: 1}", "{x: 1, y: 5}")):
        assert pixels(run, f"mask.ellipse({a}, {b}, 1)") == expected
    assert pixels(run, "mask.ellipse({x: -2, y: -2}, {x: 2, y: 2}, 1)")[:3] == ["##.....", "#......", "......."]


def test_a_polygon_fills_the_pixels_whose_centres_are_inside_by_the_even_odd_rule(run: Any) -> None:
    square = "[{x: 1, y: 1}, {x: 5, y: 1}, {x: 5, y: 4}, {x: 1, y: 4}]"
    assert pixels(run, f"mask.polygon({square}, 1)") == [".......", *[".####.."] * 3, ".......", "......."]
    bow = "[{x: 0, y: 0}, {x: 6, y: 6}, {x: 6, y: 0}, {x: 0, y: 6}]"
    assert pixels(run, f"mask.polygon({bow}, 1)")[1] == "#...##."  # a centre on an edge belongs to the right of it


def test_outlines_follow_the_edges_of_pixels_round_pieces_and_holes(run: Any) -> None:
    body = """const mask = new Mask(7, 6); mask.polygon([{x: 1, y: 1}, {x: 6, y: 1}, {x: 6, y: 5}, {x: 1, y: 5}], 1);
    mask.data[2 * 7 + 3] = 0; return outlines(mask)"""
    lines = sorted((sorted(line) for line in run(body)), key=len)
    assert sorted(map(sorted, lines)) == sorted([[[1, 1], [1, 5], [6, 1], [6, 5]], [[3, 2], [3, 3], [4, 2], [4, 3]]])


def test_what_lies_outside_another_mask_is_counted_and_cut(run: Any) -> None:
    body = """const disc = new Mask(7, 6), cup = new Mask(7, 6);
    disc.data.fill(1, 0, 14); cup.data.fill(1, 7, 21); const over = cup.outside(disc); cup.cut(disc);
    return [over, cup.area(), cup.outside(disc)]"""
    assert run(body) == [7, 7, 0]


def test_pieces_touch_by_a_corner_and_the_largest_stays(run: Any) -> None:
    """Of three: two pixels corner to corner are one piece, a pixel at the right edge is none with one at the left."""
    body = "for (const at of [8, 16, 13, 21, 28, 35]) mask.data[at] = 1"  # 7 columns wide
    found = run(f"const mask = new Mask(7, 6); {body}; return mask.pieces().map((one) => one.length)")
    assert found == [3, 2, 1]
    assert pixels(run, f"{body}; mask.largest(1)") == [".......", ".......", ".......", "#......", "#......", "#......"]
