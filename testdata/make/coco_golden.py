"""Writes what pycocotools measures of each data set in testdata/coco.

    python testdata/make/coco_golden.py testdata/coco

golden.json has, for each NAME.json, the twelve numbers of COCOeval.summarize for the
detections in results.json. Made with pycocotools 2.0.11.
"""

import argparse
import contextlib
import io
import json
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def numbers(dataset: dict, results: list[dict]) -> list[float]:
    """Returns the stats of the detections in the data set's images."""
    truth = COCO()
    truth.dataset = dataset
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        images = set(truth.getImgIds())
        measured = COCOeval(truth, truth.loadRes([r for r in results if r["image_id"] in images]), "bbox")
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    return measured.stats.tolist()


def main() -> None:
    """Measures every data set of the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    results = json.loads((folder / "results.json").read_text())
    golden = {}
    for path in sorted(folder.glob("*.json")):
        if path.name not in ("results.json", "golden.json"):
            # pycocotools itself opens files without regard to a byte order mark.
            golden[path.name] = numbers(json.loads(path.read_text(encoding="utf-8-sig")), results)
    (folder / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
