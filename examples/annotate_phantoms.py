"""Label camera B of `parfocal demo --annotate LABELS` by the API that the page uses, with the phantoms' own masks.

    parfocal demo --annotate 44 --no-wait            # in one terminal; it prints the page's address
    python examples/annotate_phantoms.py http://127.0.0.1:PORT 44

Training cases ask for the model's proposal and one click first, as a person would; test cases are handed in unseen.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from statistics import median
from typing import Any

import cv2
import httpx
import numpy as np
from numpy.typing import NDArray

from parfocal.cli.demo.cameras import POPULATIONS, SEED
from parfocal.cli.demo.people import CHOICE
from parfocal.cli.demo.settings import PATIENCE
from parfocal.phantoms.photograph import case


def digest(picture: bytes) -> str:
    """Of the pixels: the case store keeps no file as it came."""
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def runs(mask: NDArray[Any]) -> dict[str, list[int]]:
    """COCO's uncompressed run lengths, down the columns."""
    flat = mask.astype(np.uint8).ravel(order="F")
    edges = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    return {"size": list(mask.shape), "counts": [0] * int(flat[0]) + np.diff(edges).tolist()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("monitor", help="its address")
    parser.add_argument("labels", type=int)
    said = parser.parse_args()
    most = CHOICE * said.labels + PATIENCE  # in the order in which they come to the endpoint
    patients = [case("B", patient, SEED) for patient in list(POPULATIONS["B"].traffic)[:most]]
    truth = {digest(patient.encode()[1]): patient.masks for patient in patients}
    page = httpx.Client(base_url=f"{said.monitor}/api/annotate", timeout=60)
    clicks, done = [], 0
    while done < said.labels:
        answer = page.post("/next", json={"instrument": "B", "annotator": "phantoms"})
        if answer.status_code == 204:
            time.sleep(1)
            continue
        shown = answer.raise_for_status().json()
        lease, at = {"X-Lease": shown["lease"]["token"]}, f"/cases/{shown['case']}"
        masks = truth[digest(page.get(f"{at}/image", headers=lease).content)]
        train = shown["purpose"] == "train"
        if train:
            page.get(f"{at}/proposal", headers=lease).raise_for_status()
            rows, columns = np.nonzero(masks["disc"])
            click = {"row": int(rows.mean()), "column": int(columns.mean()), "object": True}
            began = time.perf_counter()
            page.post(f"{at}/refine", headers=lease, json={"structure": "disc", "clicks": [click]}).raise_for_status()
            clicks.append(1e3 * (time.perf_counter() - began))
        drawn = {name: runs(mask) for name, mask in masks.items()}
        label = {"masks": drawn, "clicks": int(train), "assisted": train, "seconds": 1.0}
        counted = page.post(f"{at}/accept", headers=lease, json=label).raise_for_status().json()
        done = counted["labelled"]
        print(f"{done} labelled, {counted['needed']} needed; {shown['side']}: {shown['why']['text']}")
    print(f"a click was answered after {median(clicks):.0f} ms (median of {len(clicks)})")


if __name__ == "__main__":
    main()
