"""Makes the built-in models again, from the pictograms to the model card. Interrupted, the same command goes on.

python train.py --out ../pkg/model/builtin [--work DIR] [--leave-out noto]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

import card
import export
import judge
import phrases
import pictograms
import scenes
import smallclip
import smallrpn
import train_clip
import train_rpn

JUDGED = 80  # concepts that the judged scenes are made of, all asked for in every scene
OBJECT_GROUPS = (3, 4, 5, 6, 7)  # emojibase's animals, food, travel, activities, objects


def judged_concepts(pictures: pictograms.Pictograms) -> list[int]:
    """The same 80 everyday concepts every time."""
    pool = [i for i, c in enumerate(pictures.concepts) if c.group in OBJECT_GROUPS]
    return sorted(np.random.default_rng(80).choice(pool, JUDGED, replace=False).tolist())


def new_scenes(folder: Path, styles: tuple[str, ...], count: int) -> Path:
    """Scenes that no training has seen, in the folder, with ground truth."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = pictograms.load(styles)
    concepts = judged_concepts(pictures)
    made = []
    for i in range(count):
        picture, instances = scenes.scene(2 * 10**6, i, pictures, scenes.Layout(), concepts)
        name = f"scene-{i + 1:03d}.jpg"
        picture.save(folder / name, quality=85)
        made.append((name, picture.size, instances))
    (folder / "instances.json").write_text(json.dumps(scenes.coco(made, pictures, concepts)))
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description="make the built-in models again")
    parser.add_argument("--out", type=Path, required=True, help="models directory: three .pt files and MODELCARD.md")
    parser.add_argument("--work", type=Path, help="checkpoints and scenes (default: trained, in clipdet's cache)")
    parser.add_argument("--clip-steps", type=int, default=1600)
    parser.add_argument("--rpn-steps", type=int, default=700)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenes", type=int, default=100, help="new scenes to judge on, in each set of styles")
    parser.add_argument("--leave-out", default="", choices=("", *pictograms.STYLES), help="a style not to train on")
    arguments = parser.parse_args()
    name = f"trained-without-{arguments.leave_out}" if arguments.leave_out else "trained"
    work = arguments.work or pictograms.cache_home() / name
    clip, rpn = work / "clip.ckpt", work / "rpn.ckpt"
    if not clip.exists():
        train_clip.train(clip, arguments.clip_steps, 256, arguments.seed, arguments.leave_out)
    if not rpn.exists():
        train_rpn.train(rpn, arguments.rpn_steps, 16, arguments.seed, arguments.leave_out, 1200)
    failed = export.main(["builtin", "--rpn", str(rpn), "--clip", str(clip), "--out", str(arguments.out)])
    if failed:
        return failed
    background = [line for lines in phrases.background().values() for line in lines]
    trained = tuple(s for s in pictograms.STYLES if s != arguments.leave_out)
    sets = {f"new scenes, styles {', '.join(trained)}": trained}
    if arguments.leave_out:
        sets[f"new scenes, style {arguments.leave_out}, not trained on"] = (arguments.leave_out,)
    figures = {}
    for title, styles in sets.items():
        folder = new_scenes(work / ("scenes-" + "-".join(styles)), styles, arguments.scenes)
        figures[title] = judge.judge(arguments.out, folder, background)
    samples = Path(__file__).parent.parent / "testdata/images"
    figures["sample scenes (testdata/images)"] = judge.judge(arguments.out, samples, background)
    _, clip_notes = smallclip.load(str(clip))
    _, rpn_notes = smallrpn.load(str(rpn))
    (arguments.out / "MODELCARD.md").write_text(card.text(arguments.out, clip_notes, rpn_notes, figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
