"""Makes the built-in models again, from the pictograms to the model card. Interrupted, the same command goes on.

./setup-libtorch.sh python torchscript/training/train.py --out pkg/model/builtin \\
    [--work DIR] [--leave-out fxemoji] [--photos DIR]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import card
import export
import judge
import packages
import phrases
import pictograms
import scenes
import smallclip
import smallrpn
import train_clip
import train_gate
import train_photos
import train_rpn
import train_words

JUDGED = 80  # concepts that the judged scenes are made of, all asked for in every scene


def new_scenes(folder: Path, styles: tuple[str, ...], concepts: list[int], count: int) -> Path:
    """Scenes that no training has seen, in the folder, with ground truth."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = pictograms.load(styles)
    made = []
    for i in range(count):
        picture, instances = scenes.scene(2 * 10**6, i, pictures, scenes.Layout(), concepts)
        name = f"scene-{i + 1:03d}.jpg"
        picture.save(folder / name, quality=85)
        made.append((name, picture.size, instances))
    (folder / "instances.json").write_text(json.dumps(scenes.coco(made, pictures, concepts)))
    return folder


def measure(models: Path, work: Path, leave_out: str, count: int) -> dict[str, dict[str, float]]:
    """Every figure of the model card but those of the training itself."""
    background = [line for lines in phrases.background().values() for line in lines]
    sets = {f"in the styles {', '.join(pictograms.STYLES)}": pictograms.STYLES}
    if leave_out:
        sets[f"in the style {leave_out}, left out"] = pictograms.FAMILIES[leave_out]
    # The same concepts in each set: those that the style which draws fewest draws.
    fewest = pictograms.load(pictograms.FAMILIES.get(leave_out, pictograms.STYLES))
    figures = {}
    for kind, groups in (("things", scenes.THINGS), ("concepts of any kind", None)):
        concepts = scenes.choose(fewest, JUDGED, groups)
        for title, styles in sets.items():
            folder = work / "-".join(["scenes", kind.split()[0], *styles])
            new_scenes(folder, styles, concepts, count)
            figures[f"{JUDGED} {kind} {title}"] = judge.judge(models, folder, background)
    style = pictograms.STYLES[0]
    figures[f"keywords, drawings in the style {style}"] = judge.synonyms(models, pictograms.load((style,)), style)
    testdata = Path(__file__).parents[2] / "testdata"
    figures["sample scenes (testdata/images)"] = judge.judge(models, testdata / "images", background)
    return figures


def photo_towers(work: Path, photos: Path, clip: Path, arguments: argparse.Namespace) -> list[str]:
    """Makes what the CLIP of drawings lacks for photos, and returns it as options of the export."""
    words, tower, gate = work / "words.ckpt", work / "photos.ckpt", work / "gate.ckpt"
    if not words.exists():
        train_words.train(words, arguments.word_steps, arguments.seed)
    if not tower.exists():
        train_photos.train(tower, photos, arguments.seed)
    if not gate.exists():
        train_gate.train(gate, photos, clip, arguments.seed, arguments.leave_out, arguments.photos)
    return ["--words", str(words), "--photos", str(tower), "--gate", str(gate)]


def main() -> int:
    parser = argparse.ArgumentParser(description="make the built-in models again")
    parser.add_argument("--out", type=Path, required=True, help="models directory: three .pt files and MODELCARD.md")
    parser.add_argument("--work", type=Path, help="checkpoints and scenes (default: trained, in clipdet's cache)")
    parser.add_argument("--clip-steps", type=int, default=6500)
    parser.add_argument("--text-steps", type=int, default=3000)
    parser.add_argument("--rpn-steps", type=int, default=700)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenes", type=int, default=100, help="new scenes to judge on, in each set")
    parser.add_argument("--photos", type=Path, help="photos with instances.json, to measure proposals on")
    parser.add_argument("--photos-train", type=Path, help="photos with instances.json, to learn from")
    parser.add_argument("--word-steps", type=int, default=2500)
    parser.add_argument("--leave-out", default="fxemoji", choices=("", *pictograms.FAMILIES), help="not to train on")
    arguments = parser.parse_args()
    work = arguments.work or packages.cache_home() / f"trained-without-{arguments.leave_out or 'nothing'}"
    clip, rpn = work / "clip.ckpt", work / "rpn.ckpt"
    if not clip.exists():
        train_clip.train(clip, arguments.clip_steps, arguments.text_steps, 256, arguments.seed, arguments.leave_out)
    if not rpn.exists():
        train_rpn.train(rpn, arguments.rpn_steps, 16, arguments.seed, arguments.leave_out, 1200)
    options = ["builtin", "--rpn", str(rpn), "--clip", str(clip), "--out", str(arguments.out)]
    if arguments.photos_train:
        options += photo_towers(work, arguments.photos_train, clip, arguments)
    failed = export.main(options)
    if failed:
        return failed
    figures = measure(arguments.out, work, arguments.leave_out, arguments.scenes)
    if arguments.photos:
        found = judge.recall(arguments.out, arguments.photos)
        count = len(json.loads((arguments.photos / "instances.json").read_text())["images"])
        figures["proposals on photos (COCO val2017)"] = {"photos": count} | found
    _, clip_notes = smallclip.load(clip)
    _, rpn_notes = smallrpn.load(rpn)
    (arguments.out / "MODELCARD.md").write_text(card.text(arguments.out, clip_notes, rpn_notes, figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
