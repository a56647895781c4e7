"""The metrics of pkg/eval against pycocotools' COCOeval, on random data sets."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import stages
from metrics import (
    LIMITS,
    Data,
    LVISEval,
    Results,
    category_numbers,
    coco_eval,
    counted,
    difference,
    federate,
    mean,
    mean_curves,
    proposal_recalls,
    random_set,
)

TOLERANCE = 1e-9


def ours(programs: Path, folder: Path, dataset: Data, results: Results) -> list[np.ndarray]:
    for name, value in (("dataset", dataset), ("results", results)):
        (folder / f"{name}.json").write_text(json.dumps(value))
    request = {"Dataset": str(folder / "dataset.json"), "Results": str(folder / "results.json"), "Limits": LIMITS}
    return stages.ask(programs, "evaluation", request)


SETS = [(1, 40, 5, 60), (2, 25, 12, 120), (3, 6, 3, 900), (4, 4, 2, 2500), (5, 120, 30, 40), (6, 1, 4, 10)]


@pytest.mark.parametrize(("seed", "images", "categories", "detections"), SETS)
def test_coco(
    programs: Path,
    tmp_path: Path,
    report: Callable[[str], None],
    seed: int,
    images: int,
    categories: int,
    detections: int,
) -> None:
    dataset, results = random_set(seed, images, categories, detections)
    numbers, curves, proposals, federated = ours(programs, tmp_path, dataset, results)
    evaluation = coco_eval(dataset, results)
    worst = {"the 12 numbers": difference(numbers[0], evaluation.stats)}
    assert len(numbers) == 1 + len(evaluation.params.catIds)
    worst["each category's"] = max(
        difference(got, category_numbers(evaluation, k)) for k, got in enumerate(numbers[1:])
    )
    worst["curves"] = difference(curves, mean_curves(evaluation))
    worst["proposals"] = difference(proposals, proposal_recalls(dataset, results))
    assert federated.size == 0
    report(
        f"eval, seed {seed}: {images} images, {len(dataset['annotations'])} annotations, {len(results)} results, AP "
        f"{evaluation.stats[0]:.3f}: largest difference {max(worst.values()):.1e}"
    )
    assert max(worst.values()) <= TOLERANCE, worst


def test_annotation_zero(programs: Path, tmp_path: Path) -> None:
    """pycocotools counts no match with the annotation whose id is 0."""
    box = {"image_id": 1, "category_id": 1, "bbox": [5, 5, 10, 10]}
    other = {"image_id": 1, "category_id": 1, "bbox": [50, 50, 10, 10]}
    dataset = {
        "images": [{"id": 1}],
        "annotations": [
            {**box, "id": 0, "area": 100, "iscrowd": 0},
            {**other, "id": 1, "area": 100, "iscrowd": 0},
        ],
        "categories": [{"id": 1, "name": "kind 1"}],
    }
    results = [{**box, "score": 0.5}, {**other, "score": 0.5}]
    want = coco_eval(dataset, results).stats
    assert want[0] < 0.5
    assert difference(ours(programs, tmp_path, dataset, results)[0][0], want) <= TOLERANCE


@pytest.mark.parametrize(("seed", "images", "categories", "detections"), SETS[:5])
def test_federated(
    programs: Path,
    tmp_path: Path,
    report: Callable[[str], None],
    seed: int,
    images: int,
    categories: int,
    detections: int,
) -> None:
    dataset, results = random_set(100 + seed, images, categories, detections)
    federate(random.Random(seed), dataset)
    numbers, _, _, federated = ours(programs, tmp_path, dataset, results)
    evaluation = coco_eval(*counted(dataset, results), LVISEval, maxDets=[1, 10, 100, 300])
    want = np.array([category_numbers(evaluation, k) for k in range(categories)])
    overall = [mean(column) for column in want.T]
    frequency = {c["id"]: c["frequency"] for c in dataset["categories"]}
    groups = np.array([frequency[i] for i in evaluation.params.catIds])
    more = [mean(want[groups == f, 0]) for f in "rcf"] + [mean(evaluation.eval["recall"][:, :, 0, -1])]
    worst = max(difference(numbers[0], overall), difference(numbers[1:], want), difference(federated, more))
    report(f"eval, federated, seed {seed}: AP {overall[0]:.3f}: largest difference {worst:.1e}")
    assert worst <= TOLERANCE
