"""Random data sets in COCO's format, and their metrics by pycocotools."""

import contextlib
import io
import json
import random
from collections import defaultdict
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Data = dict[str, Any]
Results = list[dict[str, Any]]

LIMITS = [100, 300, 1000]
BORDERS = [(32, 32), (96, 96), (32, 31.999), (96, 96.001), (16, 64), (144, 64), (0, 5)]


def near(draw: random.Random, box: list[float]) -> list[float]:
    """Returns a box that overlaps another well, or a little, or with an IoU of exactly a
    threshold."""
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
    """Returns a data set and results. Ids are in no order. There are crowds, areas at the
    borders, categories without truths and without detections, and images without either.
    Many scores are equal."""
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
    """Runs pycocotools' evaluation without its output."""
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


def difference(got: Any, want: Any) -> float:
    """Returns the largest difference between numbers of one shape."""
    return float(np.abs(np.asarray(got) - np.asarray(want)).max())


def mean(values: np.ndarray) -> float:
    return float(values[values > -1].mean()) if (values > -1).any() else -1


def category_numbers(evaluation: COCOeval, k: int) -> list[float]:
    """Returns the 12 numbers of one category. AR1, AR10 and AR100 are at the first three
    limits, all others at the last."""
    precision, recall = evaluation.eval["precision"][:, :, k], evaluation.eval["recall"][:, k]
    ap = [precision[:, :, 0, -1], precision[0, :, 0, -1], precision[5, :, 0, -1]]
    ap += [precision[:, :, area, -1] for area in (1, 2, 3)]
    ar = [recall[:, 0, limit] for limit in (0, 1, 2)] + [recall[:, area, -1] for area in (1, 2, 3)]
    return [mean(values) for values in ap + ar]


def mean_curves(evaluation: COCOeval) -> list[np.ndarray]:
    """Returns precision by recall, averaged over all categories: at IoU 0.5, and over all
    thresholds."""
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    precision = precision[:, :, precision[0, 0] > -1].mean(-1)
    return [precision[0], precision.mean(0)]


def proposal_recalls(dataset: Data, results: Results) -> list[list[float]]:
    """Returns AR, ARs, ARm, ARl and the recall at IoU 0.5 for each limit, whatever the
    category."""
    recall = coco_eval(dataset, results, useCats=0, maxDets=LIMITS).eval["recall"][:, 0]  # [T,A,M]
    return [[mean(recall[:, a, m]) for a in range(4)] + [recall[0, 0, m]] for m in range(len(LIMITS))]


class LVISEval(COCOeval):
    """LVIS's rules (lvis-api's eval.py), written as changes to COCO's: unmatched
    detections of categories that aren't annotated exhaustively are ignored. The lvis
    package itself needs numpy before 1.24; pkg/eval/testdata has values from it."""

    def evaluateImg(self, image: int, category: int, *others: Any) -> Any:  # noqa: N802
        found = super().evaluateImg(image, category, *others)
        if found and category in self.cocoGt.imgs[image]["not_exhaustive_category_ids"]:
            found["dtIgnore"] = np.logical_or(found["dtIgnore"], found["dtMatches"] == 0)
        return found


def federate(draw: random.Random, dataset: Data) -> None:
    """Makes a COCO data set like one of LVIS's."""
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


def counted(dataset: Data, results: Results) -> tuple[Data, Results]:
    """Returns what LVIS's API counts: annotations and results that have an area. It takes
    the best 300 results of each image, and of these only the categories of which
    something is known in that image."""
    annotations = [annotation for annotation in dataset["annotations"] if annotation["area"] > 0]
    known = {image["id"]: set(image["neg_category_ids"]) for image in dataset["images"]}
    for annotation in annotations:
        known[annotation["image_id"]].add(annotation["category_id"])
    by_image = defaultdict(list)
    for result in sorted(results, key=lambda result: -result["score"]):
        by_image[result["image_id"]].append(result)
    best = [result for here in by_image.values() for result in here[:300]]
    judged = [r for r in best if r["category_id"] in known[r["image_id"]] and r["bbox"][2] * r["bbox"][3] > 0]
    return {**dataset, "annotations": annotations}, judged
