"""Writes the golden values of pkg/eval: python bench/metrics_golden.py pkg/eval/testdata

It needs pycocotools, tidecv for the kinds of error, and lvis for LVIS's metrics, in an
environment of their own. pkg/eval/testdata/README.md names the versions.
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

import tidecv
from lvis import LVIS, LVISEval, LVISResults

from metrics import Data, Results, category_numbers, coco_eval, federate, mean_curves, proposal_recalls, random_set


def tide(dataset: Data, results: Results, everywhere: bool = False) -> dict[str, Any]:
    """Returns tidecv's counts, gains and confusions. With everywhere, it adds the regions
    that tidecv ignores in LVIS's data sets, as tidecv's datasets.py does."""
    limit = 300 if everywhere else 100
    truth, found = tidecv.Data("truth", max_dets=limit), tidecv.Data("found", max_dets=limit)
    ids = [category["id"] for category in dataset["categories"]]
    for category in dataset["categories"]:
        truth.add_class(category["id"], category["name"])
    there: dict[int, set[int]] = {}
    for image in dataset["images"]:
        truth.add_image(image["id"], image["file_name"])
        there[image["id"]] = set()
    for a in dataset["annotations"]:
        add = truth.add_ignore_region if a["iscrowd"] else truth.add_ground_truth
        add(a["image_id"], a["category_id"], a["bbox"])
        there[a["image_id"]].add(a["category_id"])
    for image in dataset["images"] if everywhere else []:
        known = there[image["id"]] | set(image["neg_category_ids"])
        for i in ids:
            if i not in known or i in image["not_exhaustive_category_ids"]:
                truth.add_ignore_region(image["id"], i)
    for r in results:
        found.add_detection(r["image_id"], r["category_id"], r["score"], r["bbox"])
    evaluation = tidecv.TIDE()
    run = evaluation.evaluate(truth, found, mode=tidecv.TIDE.BOX)
    confusions: dict[str, int] = {}
    counts, gains = {}, run.fix_main_errors()
    for kind in gains:
        errors = [e for e in run.error_dict[kind] if not hasattr(e, "pred") or e.pred["used"] is not None]
        counts[kind.short_name] = len(errors)
        for e in errors if kind.short_name == "Cls" else []:
            pair = f"{e.pred['class']} {e.gt['class']}"
            confusions[pair] = confusions.get(pair, 0) + 1
    return {
        "ap50": run.ap / 100,
        "counts": counts,
        "gains": {kind.short_name: gain / 100 for kind, gain in gains.items()},
        "special": {kind.short_name: gain / 100 for kind, gain in run.fix_special_errors().items()},
        "confusions": confusions,
    }


def lvis(path: Path, results: Results) -> dict[str, float]:
    truth = LVIS(str(path))
    evaluation = LVISEval(truth, LVISResults(truth, results), "bbox")
    evaluation.run()
    return {name: float(value) for name, value in evaluation.get_results().items()}


def main() -> None:
    folder = Path(sys.argv[1])
    dataset, results = random_set(14, 20, 6, 60)
    evaluation = coco_eval(dataset, results)
    golden = {
        "summary": evaluation.stats.tolist(),
        "categories": [category_numbers(evaluation, k) for k in range(len(dataset["categories"]))],
        "curves": [curve.tolist() for curve in mean_curves(evaluation)],
        "proposals": proposal_recalls(dataset, results),
        "tide": tide(dataset, results),
    }
    write(folder / "coco.dataset.json", dataset)
    write(folder / "coco.results.json", results)
    write(folder / "coco.golden.json", golden)
    dataset, results = random_set(21, 6, 6, 320)
    federate(random.Random(12), dataset)
    for image in dataset["images"]:
        image["coco_url"] = "http://images.example/val2017/" + image["file_name"]
    write(folder / "lvis.dataset.json", dataset)
    write(folder / "lvis.results.json", results)
    golden = {"summary": lvis(folder / "lvis.dataset.json", results), "tide": tide(dataset, results, everywhere=True)}
    write(folder / "lvis.golden.json", golden)


def write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value) + "\n")


if __name__ == "__main__":
    main()
