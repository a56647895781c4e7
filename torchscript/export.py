"""Turns published or own weights into models for clipdet: TorchScript archives as
CONTRACT.md describes them.

export.py all  --out models    downloads CLIP ViT-B/32 and Faster R-CNN's RPN
export.py clip --name ViT-L/14 --dtype float32 bfloat16 --out models
export.py clip --name ViT-B-32 --pretrained laion2b_s34b_b79k --out models
export.py clip --name ViT-B/32 --dtype int8 --calibrate photos --out models
export.py rpn  --name fasterrcnn_resnet50_fpn_v2 --checkpoint FILE --out models
export.py builtin --rpn FILE --look FILE --clip FILE --photos FILE --gate FILE --words FILE --out DIR
"""

import argparse
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from torch import nn

import archive
import clip
import detectors
import eight
import photoclip
import photorpn
import pictures
import published
import rpn
import towers
from archive import DTYPES, ContractError, Weights
from published import Published

CLIP_NAMES = "OpenAI's (RN50, ViT-B/32, ViT-L/14@336px, ...) or open_clip's (ViT-B-32, ...)"
RPN_NAMES = "fasterrcnn_resnet50_fpn, its _v2, fasterrcnn_mobilenet_v3_large_fpn or its _320_fpn"
PROPOSALS = ("rpn", "look")  # parts of the built-in proposals
PARTS = ("clip", "photos", "gate", "words")  # of the built-in CLIP
PRETRAINED = "open_clip's tag of the weights, such as laion2b_s34b_b79k; names of OpenAI mean openai"


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="export.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{all,clip,rpn,builtin}")
    output = argparse.ArgumentParser(add_help=False)
    output.add_argument("--out", type=Path, required=True, metavar="DIR", help="the models directory to write into")
    output.add_argument(
        "--dtype",
        nargs="+",
        choices=DTYPES,
        default=["float32"],
        help="types of the weights, one archive each (default float32); float16 runs on GPUs only, int8 on CPUs; "
        "int8 is of the image tower alone, and the text tower then is in float32",
    )
    output.add_argument(
        "--memory-format",
        choices=["channels_last", "contiguous"],
        default="channels_last",
        help="layout of convolution weights (default channels_last, the faster); the last digits differ",
    )
    crops = argparse.ArgumentParser(add_help=False)
    crops.add_argument(
        "--calibrate",
        type=Path,
        metavar="DIR",
        help="pictures by whose crops int8 finds its outliers; it can do without",
    )
    named = argparse.ArgumentParser(add_help=False)
    weights = named.add_mutually_exclusive_group()
    weights.add_argument("--checkpoint", type=Path, metavar="FILE", help="take the weights from here: no download")
    weights.add_argument("--random", type=int, metavar="SEED", help="random weights, for trials: they detect nothing")
    named.add_argument("--licence", help="of the weights in FILE, written into the manifest")
    named.add_argument("--source", help="where FILE came from, such as its address")

    text = "the image and text towers of a CLIP"
    one = commands.add_parser("clip", parents=[named, output, crops], help=text, description=f"Exports {text}.")
    one.add_argument("--name", required=True, help=CLIP_NAMES)
    one.add_argument("--pretrained", metavar="TAG", help=PRETRAINED)

    text = "the region proposal network of a torchvision Faster R-CNN"
    one = commands.add_parser("rpn", parents=[named, output], help=text, description=f"Exports {text}.")
    one.add_argument("--name", required=True, help=RPN_NAMES)

    text = "a CLIP and a region proposal network: all that a detector needs"
    one = commands.add_parser("all", parents=[output, crops], help=text, description=f"Exports {text}.")
    one.add_argument("--clip", default="ViT-B/32", metavar="NAME", help=f"{CLIP_NAMES}; default ViT-B/32")
    one.add_argument("--rpn", default="fasterrcnn_resnet50_fpn", metavar="NAME", help=f"{RPN_NAMES}; default the first")
    one.add_argument("--pretrained", metavar="TAG", help=PRETRAINED)
    one.add_argument("--clip-checkpoint", type=Path, metavar="FILE", help="take CLIP's weights from here: no download")
    one.add_argument("--rpn-checkpoint", type=Path, metavar="FILE", help="take the RPN's from here")
    one.add_argument("--random", type=int, metavar="SEED", help="random weights where no FILE is given, for trials")

    text = "the models that torchscript/training makes, in float32"
    builtin = commands.add_parser("builtin", help=text, description=f"Exports {text}.")
    builtin.add_argument("--out", type=Path, required=True, metavar="DIR", help="the models directory to write into")
    for parts, made in ((PROPOSALS, "the two make the proposals"), (PARTS, "the four make one CLIP")):
        for part in parts:
            builtin.add_argument(f"--{part}", type=Path, metavar="FILE", help=f"checkpoint of train_{part}.py; {made}")
    chosen = parser.parse_args(arguments)
    if chosen.command == "rpn" and "int8" in chosen.dtype:
        parser.error("--dtype int8 is for the image transformer of a CLIP: leave it out for an RPN")
    if getattr(chosen, "calibrate", None) and "int8" not in chosen.dtype:
        parser.error("--calibrate is for --dtype int8")
    if chosen.command in ("clip", "rpn") and (chosen.licence or chosen.source) and not chosen.checkpoint:
        parser.error("--licence and --source tell of an own file: give --checkpoint FILE, or leave them out")
    if chosen.command == "builtin":
        given = [part for part in (*PROPOSALS, *PARTS) if getattr(chosen, part)]
        for parts in (PROPOSALS, PARTS):
            if 0 < len(set(parts) & set(given)) < len(parts):
                builtin.error(f"{', '.join(f'--{part}' for part in parts)} go together: give all or none")
        if not given:
            builtin.error("nothing to export: give --rpn and --look, or the four parts of the CLIP, or all")
    return chosen


@dataclass(frozen=True)
class Origin:
    """Where weights come from: a file, a seed, or else their publisher."""

    file: Path | None = None
    seed: int | None = None
    licence: str | None = None
    source: str | None = None

    def place(self, listed: Published | None) -> tuple[Path, str, str]:
        """Returns the file with the weights, their licence and their source: the
        publisher's, or what the user says of an own file."""
        if not self.file:
            return listed.fetch(), listed.licence, listed.address
        if listed and len(listed.digest) == 64 and archive.file_digest(self.file) == listed.digest:
            return self.file, self.licence or listed.licence, self.source or listed.address
        return self.file, self.licence or "unknown", self.source or "a local file"


def export_rpn(chosen: argparse.Namespace, name: str, origin: Origin) -> list[Path]:
    """Exports a torchvision detector's proposals."""
    detectors.check(name)
    if origin.seed is not None:
        detector, weights = detectors.from_seed(name, origin.seed)
    else:
        detector, weights = detectors.from_file(name, *origin.place(published.rpn(name)))
    return write_rpn(chosen, detector, name, weights)


def check_clip(chosen: argparse.Namespace, model: towers.Model, origin: Origin) -> Published | None:
    """Returns what is published of a CLIP; None if it isn't asked for. It fetches nothing,
    and builds the model once to see whether clipdet can feed it.

    Raises ValueError if there is no such model or tag, if clipdet can't feed it, if it
    can't be in int8, or if there is no picture to calibrate by, and OSError if an own file
    or the pictures' folder isn't there.
    """
    model.check()
    if origin.file:
        origin.file.stat()
    if chosen.calibrate:
        pictures.listed(chosen.calibrate)
    tag = "openai" if model.openai else model.tag
    wanted = origin.seed is None and (tag or not origin.file)
    listed = published.clip(model.name, tag or "") if wanted else None
    pair = towers.pair(model.name, model.build())
    if "int8" in chosen.dtype:
        eight.check(pair.image)
    return listed


def export_clip(
    chosen: argparse.Namespace, model: towers.Model, listed: Published | None, origin: Origin
) -> list[Path]:
    """Exports a CLIP's two towers. listed is of check_clip."""
    if origin.seed is not None:
        pair, weights = model.from_seed(origin.seed)
    else:
        pair, weights = model.from_file(*origin.place(listed))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        paths = write_clip(chosen, pair, weights)
    for line in [*model.advice(), *(str(warning.message) for warning in caught if warning.category is UserWarning)]:
        print(f"note: {line}", file=sys.stderr)
    return paths


def export(chosen: argparse.Namespace) -> list[Path]:
    """Exports what the command line names, and returns the paths."""
    if chosen.command == "builtin":
        return export_builtin(chosen)
    if chosen.command == "all":
        of_rpn = Origin(chosen.rpn_checkpoint, None if chosen.rpn_checkpoint else chosen.random)
        of_clip = Origin(chosen.clip_checkpoint, None if chosen.clip_checkpoint else chosen.random)
        model = towers.Model(chosen.clip, chosen.pretrained)
        detectors.check(chosen.rpn)
        listed = check_clip(chosen, model, of_clip)  # before the RPN is fetched and written
        paths = export_rpn(chosen, chosen.rpn, of_rpn)
        return paths + export_clip(chosen, model, listed, of_clip)
    origin = Origin(chosen.checkpoint, chosen.random, chosen.licence, chosen.source)
    if chosen.command == "rpn":
        return export_rpn(chosen, chosen.name, origin)
    model = towers.Model(chosen.name, chosen.pretrained)
    return export_clip(chosen, model, check_clip(chosen, model, origin), origin)


def export_builtin(chosen: argparse.Namespace) -> list[Path]:
    """Exports the checkpoints of this project's own training. The weights are stored in
    half precision and 8 bits (stored.py)."""
    paths, scales = [], photoclip.Scales(photoclip.PHOTO_SCALE, photoclip.DRAWING_SCALE)
    # All are read before one is written.
    proposals = photorpn.load(chosen.rpn, chosen.look) if chosen.rpn else ()
    pair = photoclip.load(chosen.clip, chosen.photos, chosen.gate, chosen.words, scales) if chosen.clip else ()
    if proposals:
        paths.append(photorpn.export(chosen.out, *proposals))
    if pair:
        paths += photoclip.export(chosen.out, *pair, scales)
    return paths


def write_rpn(chosen: argparse.Namespace, detector: nn.Module, architecture: str, weights: Weights) -> list[Path]:
    last = chosen.memory_format == "channels_last"
    dtypes = [dtype for dtype in chosen.dtype if dtype != "int8"] or ["float32"]
    return [rpn.export(chosen.out, detector, architecture, weights, dtype, last) for dtype in dtypes]


def write_clip(chosen: argparse.Namespace, pair: clip.Pair, weights: Weights) -> list[Path]:
    paths, last = [], chosen.memory_format == "channels_last"
    crops = pictures.crops(chosen.calibrate, pair.size) if chosen.calibrate else None
    for dtype in chosen.dtype:
        paths += clip.export(chosen.out, pair, weights, dtype, last, may_wait=True, crops=crops)
    return list(dict.fromkeys(paths))  # int8 has the texts of float32


def summary(paths: list[Path], out: Path) -> str:
    """Returns a line for each archive, their licences, and what to do next."""
    lines = [f"{path}  {path.stat().st_size / 1e6:.1f} MB  sha256 {archive.file_digest(path)}" for path in paths]
    described = [archive.read_manifest(path) for path in paths]
    for licence in dict.fromkeys(m["weights"]["licence"] for m in described):
        lines.append(f"licence of the weights: {licence}")
    missing = {"rpn", "clip-image", "clip-text"} - {kind(path) for path in out.glob("*.pt")}
    if missing:
        lines.append(f"{out} still lacks {', '.join(sorted(missing))}: export it with --out {out}")
    else:
        lines.append(f"next: clipdet models verify {out} && clipdet detect --models {out} -q dog IMAGE")
    return "\n".join(lines)


def kind(path: Path) -> str:
    """Returns an archive's kind, or "" for another file, such as a checkpoint. clipdet
    ignores those too."""
    try:
        return archive.read_manifest(path)["kind"]
    except RuntimeError:
        return ""


def main(arguments: list[str]) -> int:
    chosen = parse(arguments)
    try:
        paths = export(chosen)
    except (OSError, ValueError, ContractError) as error:
        print(f"export.py {chosen.command}: {error}", file=sys.stderr)
        return 1
    print(summary(paths, chosen.out))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
