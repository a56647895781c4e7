"""`clipdet eval` with the built-in models: pycocotools measures the same from the files
that it writes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pycocotools.coco import COCO

import stages
from metrics import category_numbers, coco_eval, difference, proposal_recalls

SCENES = stages.ROOT / "testdata" / "scenes"
TOLERANCE = 1e-9
NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


@pytest.fixture(scope="module")
def written(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder with the ground truth of four scenes, and what the command
    wrote."""
    folder = tmp_path_factory.mktemp("eval")
    truth = json.loads((SCENES / "instances.json").read_text())
    truth["images"] = truth["images"][:4]
    ids = {image["id"] for image in truth["images"]}
    truth["annotations"] = [a for a in truth["annotations"] if a["image_id"] in ids]
    truth["annotations"][0]["iscrowd"] = 1
    (folder / "truth.json").write_text(json.dumps(truth))
    files = {"annotations": "truth.json", "json": "numbers.json", "results": "results.json"}
    flags = [part for flag, name in files.items() for part in (f"--{flag}", str(folder / name))]
    stages.run(programs / "clipdet", ["eval", "--images", str(SCENES), *flags, "--proposals", "60", "--gt-boxes"])
    return folder


def test_equals_pycocotools(written: Path, report: Callable[[str], None]) -> None:
    truth = json.loads((written / "truth.json").read_text())
    numbers = json.loads((written / "numbers.json").read_text())
    results = COCO(written / "truth.json").loadRes(str(written / "results.json"))  # as users call it
    assert len(results.getImgIds()) == 4
    evaluation = coco_eval(truth, json.loads((written / "results.json").read_text()))
    worst = difference([numbers[name] for name in NAMES], evaluation.stats)
    assert evaluation.stats[1] > 0.3
    assert [c["id"] for c in numbers["categories"]] == evaluation.params.catIds
    for k, category in enumerate(numbers["categories"]):
        got = [category["summary"][name] for name in NAMES]
        worst = max(worst, difference(got, category_numbers(evaluation, k)))
    report(f"eval, the command on four scenes: AP {evaluation.stats[0]:.3f}: largest difference {worst:.1e}")
    assert worst <= TOLERANCE


def test_proposals_equal_pycocotools(written: Path) -> None:
    """The proposals are taken from the boxes of the records, and measured with
    useCats=0."""
    truth = json.loads((written / "truth.json").read_text())
    ids = {image["file_name"]: image["id"] for image in truth["images"]}
    category = truth["categories"][0]["id"]  # any, but one of the data set
    proposals = []
    for line in (written / "numbers.records.jsonl").read_text().splitlines()[1:]:
        record = json.loads(line)
        for x0, y0, x1, y1, score in record["boxes"]:
            box = [x0, y0, x1 - x0, y1 - y0]
            proposals.append({"image_id": ids[record["image"]], "category_id": category, "bbox": box, "score": score})
    got = json.loads((written / "numbers.json").read_text())["proposals"]
    assert [p["limit"] for p in got] == [100, 300, 1000]
    want = proposal_recalls(truth, proposals)
    assert want[0][4] > 0.5
    assert difference([[p[name] for name in ("AR", "ARs", "ARm", "ARl", "recall50")] for p in got], want) <= TOLERANCE
