"""Runs clipdet on a picture whose boxes are known, and prints which things it finds.

./setup-libtorch.sh python bench/accept.py --models models beach.png

beach.png is the picture of the notebook that clipdet reproduces, 640 x 427 pixels.
testdata/beach.json has the boxes that the notebook found in it with OpenAI's CLIP and
torchvision's Faster R-CNN. A thing is found if the best box for its name overlaps the
known one with an IoU of at least 0.5. The exit code is 1 if one is not found, and 2 or
more if clipdet failed: its own, or 2. Flags after -- go to clipdet detect.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def overlap(one: list[float], other: list[float]) -> float:
    """Returns the IoU of two boxes x0, y0, x1, y1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one, other))
    return shared / (areas - shared)


def detect(picture: Path, names: list[str], flags: list[str]) -> dict[str, dict]:
    """Returns the best detection of each name. Raises CalledProcessError if clipdet fails,
    or its build does."""
    queries = [part for name in names for part in ("-q", name)]
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "clipdet"  # not "go run", whose exit code is 1 whatever the program's is
        build = [str(ROOT / "setup-libtorch.sh"), "go", "build", "-o", str(program), "./cmd/clipdet"]
        subprocess.run(build, cwd=ROOT, stdout=sys.stderr, check=True)
        command = [program, "detect", *queries, "--top-k", "1", "--threshold", "0", "--format", "json"]
        done = subprocess.run([*command, *flags, picture.resolve()], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return {found["query"]: found for found in json.loads(done.stdout)["detections"]}


def main() -> int:
    """Prints a line for each thing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        help="default: the built-in ones, which know COCO's 80 categories in photos",
    )
    parser.add_argument("--expected", type=Path, metavar="FILE", default=ROOT / "testdata" / "beach.json")
    parser.add_argument("flags", nargs="*", metavar="-- FLAG", help="for clipdet detect")
    chosen = parser.parse_args()
    expected = json.loads(chosen.expected.read_text())["boxes"]
    models = ["--models", str(chosen.models.resolve())] if chosen.models else []
    try:
        found = detect(chosen.picture, list(expected), models + chosen.flags)
    except subprocess.CalledProcessError as error:
        return max(2, error.returncode)
    right = 0
    for name, box in expected.items():
        iou = overlap(found[name]["box"], box) if name in found else 0.0
        right += iou >= 0.5
        at = " ".join(f"{edge:.0f}" for edge in found[name]["box"]) if name in found else "nowhere"
        print(f"{'ok' if iou >= 0.5 else 'missed':8} {name:12} IoU {iou:.2f}, best box {at}")
    print(f"{right} of {len(expected)}")
    return 0 if right == len(expected) else 1


if __name__ == "__main__":
    sys.exit(main())
