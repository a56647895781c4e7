"""accept.py distinguishes what is found from what is not, on a scene of the built-in
models."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCENE = "scene-006.jpg"


def accept(expected: Path, *flags: str) -> subprocess.CompletedProcess:
    picture = ROOT / "testdata" / "images" / SCENE
    command = [sys.executable, str(ROOT / "bench" / "accept.py"), "--expected", str(expected), str(picture), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_says_which_things_are_found(tmp_path: Path) -> None:
    truth = json.loads((ROOT / "testdata" / "images" / "instances.json").read_text())
    image = next(entry["id"] for entry in truth["images"] if entry["file_name"] == SCENE)
    names = {entry["id"]: entry["name"] for entry in truth["categories"]}
    boxes = {}
    for entry in truth["annotations"]:
        if entry["image_id"] == image:
            x, y, width, height = entry["bbox"]
            boxes[names[entry["category_id"]]] = [x, y, x + width, y + height]
    assert len(boxes) >= 3
    expected = tmp_path / "expected.json"
    expected.write_text(json.dumps({"boxes": boxes}))
    done = accept(expected)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"{len(boxes)} of {len(boxes)}\n")

    one, other, *_ = boxes
    swapped = {**boxes, one: boxes[other], other: boxes[one]}
    expected.write_text(json.dumps({"boxes": swapped}))
    done = accept(expected)
    assert done.returncode == 1
    assert done.stdout.count("missed") == 2, done.stdout

    done = accept(expected, "--models", str(tmp_path))
    assert done.returncode == 3, done.stderr
    assert "no *.pt" in done.stderr
    assert not done.stdout
