"""Writes nms.json: seeded boxes and what torchvision.ops.nms keeps of them.

Run it with torchvision 0.26.0 in this folder (0.16.2 keeps the same): python
nms_golden.py
"""

import json
import random

import torch
import torchvision


def jittered(rng: random.Random, count: int) -> list[list[float]]:
    """Returns boxes around a few centres, on a grid of quarter pixels, so that the JSON
    is exact and short."""
    centres = [(rng.randrange(40, 200), rng.randrange(40, 200)) for _ in range(5)]
    boxes = []
    for _ in range(count):
        cx, cy = rng.choice(centres)
        cx, cy = cx + rng.randrange(-48, 49) / 4, cy + rng.randrange(-48, 49) / 4
        w, h = rng.randrange(60, 180) / 4, rng.randrange(60, 180) / 4
        boxes.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
    return boxes


# Pairs exactly at a threshold (IoU 1/2, 1/3, 0.7 in float32), boxes inside each other,
# touching, doubled, and without area.
EDGES = [
    [0, 0, 2, 1],
    [0, 0, 1, 1],
    [0, 0, 2, 3],
    [1, 0, 3, 3],
    [10, 10, 20, 20],
    [10, 10, 17, 20],
    [10, 10, 20, 20],
    [20, 10, 30, 20],
    [12, 12, 14, 14],
    [12, 12, 12, 18],
    [5, 5, 5, 5],
    [5, 5, 5, 5],
    [0.1, 0.2, 10.3, 7.7],
    [0.1, 0.2, 7.24, 7.7],
    [-4, -4, 4, 4],
    [100000, 100000, 100010.5, 100003],
    [100000, 100000, 100007.35, 100003],
]


def main() -> None:
    """Writes one case for each set of boxes, with what each threshold keeps."""
    rng = random.Random(7)
    cases = []
    for name, boxes in [("edges", EDGES), ("sparse", jittered(rng, 12)), ("crowded", jittered(rng, 60))]:
        order = list(range(len(boxes)))
        rng.shuffle(order)
        scores = torch.zeros(len(boxes))
        scores[order] = torch.linspace(1, 0, len(boxes))
        kept = {
            str(iou): torchvision.ops.nms(torch.tensor(boxes, dtype=torch.float32), scores, iou).tolist()
            for iou in (0.0, 0.3, 1 / 3, 0.5, 0.7, 0.95)
        }
        cases.append({"name": name, "boxes": boxes, "order": order, "kept": kept})
    with open("nms.json", "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
