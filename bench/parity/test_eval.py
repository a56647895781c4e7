"""The metrics of pkg/eval against pycocotools' COCOeval, on random data sets."""

import contextlib
import io
import json
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import stages

Data = dict[str, Any]
Results = list[dict[str, Any]]

TOLERANCE = 1e-9
LIMITS = [100, 300, 1000]
BORDERS = [(32, 32), (96, 96), (32, 31.999), (96, 96.001), (16, 64), (144, 64), (0, 5)]


def near(draw: random.Random, box: list[float]) -> list[float]:
    """A box that overlaps another well, or a little, or has exactly an IoU of a threshold with it."""
    x, y, w, h = box
    kind = draw.random()
    if kind < 0.15:
        return [x, y, w, h]
    if kind < 0.4:
        return [x, y, w * draw.choice([0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]), h]
    spread = draw.choice([0.05, 0.15, 0.4])
    dx, dy, dw, dh = (draw.gauss(0, spread) for _ in range(4))
    return [x + dx * w, y + dy * h, w * 2.718**dw, h * 2.718**dh]


def random_set(seed: int, images: int, categories: int, detections: int) -> tuple[Data, Results]:
    """A data set with ids in no order, crowds, areas at the borders, categories without truths and without detections,
    images without either, and results with many equal scores."""
    draw = random.Random(seed)
    image_ids = draw.sample(range(1, 10**12), images)
    category_ids = draw.sample(range(1, 2000), categories)
    annotated, detected = category_ids[: -categories // 4], category_ids[categories // 5 :]
    annotations: Results = []
    results: Results = []
    for image in image_ids:
        here = []
        for _ in range(draw.choice([0, 1, 3, 8, 25])):
            w, h = draw.choice(BORDERS) if draw.random() < 0.3 else (draw.uniform(1, 200), draw.uniform(1, 200))
            box = [draw.uniform(-5, 400), draw.uniform(0, 300), w, h]
            if here and draw.random() < 0.3:
                box = near(draw, draw.choice(here)["bbox"])
            here.append(
                {
                    "image_id": image,
                    "category_id": draw.choice(annotated),
                    "bbox": box,
                    "area": box[2] * box[3] * draw.choice([1, 1, 0.6]),
                    "iscrowd": int(draw.random() < 0.1),
                    "segmentation": [[0, 0, 1, 1, 2, 2]],
                }
            )
        annotations += here
        for _ in range(draw.choice([0, detections // 2, detections])):
            box = [draw.uniform(0, 400), draw.uniform(0, 300), draw.uniform(0, 150), draw.uniform(0, 150)]
            category = draw.choice(detected)
            if here and draw.random() < 0.7:
                truth = draw.choice(here)
                box = near(draw, truth["bbox"])
                if truth["category_id"] in detected and draw.random() < 0.8:
                    category = truth["category_id"]
            score = draw.random() if draw.random() < 0.5 else draw.choice([0, 0.25, 0.5, 1])
            results.append({"image_id": image, "category_id": category, "bbox": box, "score": score})
    draw.shuffle(annotations)
    for number, identity in enumerate(draw.sample(range(1, 10**9), len(annotations))):
        annotations[number]["id"] = identity
    draw.shuffle(results)
    dataset = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in image_ids],
        "annotations": annotations,
        "categories": [{"id": c, "name": f"kind {c}"} for c in category_ids],
    }
    return dataset, results


def coco_eval(dataset: Data, results: Results, kind: type[COCOeval] = COCOeval, **params: Any) -> COCOeval:
    """pycocotools' evaluation, without its output."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = json.loads(json.dumps(dataset))
        truth.createIndex()
        evaluation = kind(truth, truth.loadRes(json.loads(json.dumps(results))), "bbox")
        for name, value in params.items():
            setattr(evaluation.params, name, value)
        evaluation.evaluate()
        evaluation.accumulate()
        if evaluation.params.useCats and len(evaluation.params.maxDets) == 3:
            evaluation.summarize()
    return evaluation


def mean(values: np.ndarray) -> float:
    return float(values[values > -1].mean()) if (values > -1).any() else -1


def category_numbers(evaluation: COCOeval, k: int) -> list[float]:
    """The 12 numbers of one category; with more limits than COCO's three, those of an area are at the last."""
    precision, recall = evaluation.eval["precision"][:, :, k], evaluation.eval["recall"][:, k]
    ap = [precision[:, :, 0, -1], precision[0, :, 0, -1], precision[5, :, 0, -1]]
    ap += [precision[:, :, area, -1] for area in (1, 2, 3)]
    ar = [recall[:, 0, limit] for limit in (0, 1, 2)] + [recall[:, area, -1] for area in (1, 2, 3)]
    return [mean(values) for values in ap + ar]


def ours(programs: Path, folder: Path, dataset: Data, results: Results) -> list[np.ndarray]:
    for name, value in (("dataset", dataset), ("results", results)):
        (folder / f"{name}.json").write_text(json.dumps(value))
    request = {"Dataset": str(folder / "dataset.json"), "Results": str(folder / "results.json"), "Limits": LIMITS}
    return stages.ask(programs, "evaluation", request)


def difference(got: Any, want: Any) -> float:
    return float(np.abs(np.asarray(got) - np.asarray(want)).max())


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
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    precision = precision[:, :, precision[0, 0] > -1].mean(-1)
    worst["curves"] = difference(curves, [precision[0], precision.mean(0)])

    agnostic = coco_eval(dataset, results, useCats=0, maxDets=LIMITS).eval["recall"][:, 0]  # [T,A,M]
    want = [[mean(agnostic[:, a, m]) for a in range(4)] + [agnostic[0, 0, m]] for m in range(len(LIMITS))]
    worst["proposals"] = difference(proposals, want)
    assert federated.size == 0
    report(
        f"eval, seed {seed}: {images} images, {len(dataset['annotations'])} annotations, {len(results)} results, AP "
        f"{evaluation.stats[0]:.3f}: largest difference {max(worst.values()):.1e}"
    )
    assert max(worst.values()) <= TOLERANCE, worst


class LVISEval(COCOeval):
    """LVIS's rules (lvis-api's eval.py), written as changes to COCO's: unmatched detections of categories that aren't
    annotated exhaustively are ignored. The lvis package itself needs numpy before 1.24."""

    def evaluateImg(self, image: int, category: int, *others: Any) -> Any:  # noqa: N802
        found = super().evaluateImg(image, category, *others)
        if found and category in self.cocoGt.imgs[image]["not_exhaustive_category_ids"]:
            found["dtIgnore"] = np.logical_or(found["dtIgnore"], found["dtMatches"] == 0)
        return found


def federate(draw: random.Random, dataset: Data) -> None:
    """Makes a COCO data set one like LVIS."""
    ids = [category["id"] for category in dataset["categories"]]
    there = defaultdict(set)
    for annotation in dataset["annotations"]:
        annotation["iscrowd"] = 0
        there[annotation["image_id"]].add(annotation["category_id"])
    for image in dataset["images"]:
        absent = [i for i in ids if i not in there[image["id"]]]
        image["neg_category_ids"] = draw.sample(absent, len(absent) // 2)
        image["not_exhaustive_category_ids"] = draw.sample(ids, len(ids) // 3)
    for k, category in enumerate(dataset["categories"]):
        category["frequency"] = "rcf"[k % 3]


def counted(dataset: Data, results: Results) -> Results:
    """The best 300 results of each image, less those of categories of which nothing is known there."""
    known = {image["id"]: set(image["neg_category_ids"]) for image in dataset["images"]}
    for annotation in dataset["annotations"]:
        known[annotation["image_id"]].add(annotation["category_id"])
    by_image = defaultdict(list)
    for result in sorted(results, key=lambda result: -result["score"]):
        by_image[result["image_id"]].append(result)
    return [r for here in by_image.values() for r in here[:300] if r["category_id"] in known[r["image_id"]]]


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
    evaluation = coco_eval(dataset, counted(dataset, results), LVISEval, maxDets=[1, 10, 100, 300])
    want = np.array([category_numbers(evaluation, k) for k in range(categories)])
    overall = [mean(column) for column in want.T]
    frequency = {c["id"]: c["frequency"] for c in dataset["categories"]}
    groups = np.array([frequency[i] for i in evaluation.params.catIds])
    more = [mean(want[groups == f, 0]) for f in "rcf"] + [mean(evaluation.eval["recall"][:, :, 0, -1])]
    worst = max(difference(numbers[0], overall), difference(numbers[1:], want), difference(federated, more))
    report(f"eval, federated, seed {seed}: AP {overall[0]:.3f}: largest difference {worst:.1e}")
    assert worst <= TOLERANCE
