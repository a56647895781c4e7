"""Turns published or own weights into models for clipdet: TorchScript archives as CONTRACT.md describes them.

export.py rpn  --name fasterrcnn_resnet50_fpn --checkpoint FILE --out DIR
export.py clip --name ViT-B-32 --checkpoint FILE --dtype float32 bfloat16 --out DIR
export.py builtin --rpn FILE --clip FILE --out DIR
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import nn

import archive
import clip
import rpn
from archive import DTYPES, ContractError, Weights
from fold import fold_norms


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="export.py", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="{rpn,clip,builtin}")
    output = argparse.ArgumentParser(add_help=False)
    output.add_argument("--out", type=Path, required=True, metavar="DIR", help="the models directory to write into")
    output.add_argument(
        "--dtype",
        nargs="+",
        choices=DTYPES,
        default=["float32"],
        help="types of the weights, one archive each (default float32); float16 runs on GPUs only",
    )
    output.add_argument(
        "--memory-format",
        choices=["channels_last", "contiguous"],
        default="channels_last",
        help="layout of convolution weights (default channels_last, the faster); the last digits differ",
    )
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", required=True, help="the model's name in torchvision (rpn) or open_clip (clip)")
    weights = named.add_mutually_exclusive_group(required=True)
    weights.add_argument("--checkpoint", type=Path, metavar="FILE", help="a state dict saved by torch.save")
    weights.add_argument("--random", type=int, metavar="SEED", help="random weights, for trials: they detect nothing")
    named.add_argument("--licence", default="unknown", help="of the weights, written into the manifest")
    named.add_argument("--source", default="a local file", help="where the checkpoint came from, such as its address")
    for name, text in {
        "rpn": "the region proposal network of a torchvision Faster R-CNN",
        "clip": "the image and text towers of an open_clip model",
    }.items():
        commands.add_parser(name, parents=[named, output], help=text, description=f"Exports {text}.")
    text = "the models that training in this folder makes"
    builtin = commands.add_parser("builtin", parents=[output], help=text, description=f"Exports {text}.")
    builtin.add_argument("--rpn", type=Path, metavar="FILE", help="checkpoint of smallrpn.py")
    builtin.add_argument("--clip", type=Path, metavar="FILE", help="checkpoint of smallclip.py")
    chosen = parser.parse_args(arguments)
    if chosen.command == "builtin" and not (chosen.rpn or chosen.clip):
        builtin.error("nothing to export: give --rpn FILE, --clip FILE or both")
    return chosen


def export_rpn(chosen: argparse.Namespace) -> list[Path]:
    """A torchvision detector's proposals."""
    import detectors

    if chosen.checkpoint:
        detector, weights = detectors.from_file(chosen.name, chosen.checkpoint, chosen.licence, chosen.source)
    else:
        detector, weights = detectors.from_seed(chosen.name, chosen.random)
    return write_rpn(chosen, detector, chosen.name, weights)


def export_clip(chosen: argparse.Namespace) -> list[Path]:
    """An open_clip model's two towers."""
    import towers

    if chosen.checkpoint:
        pair, weights = towers.from_file(chosen.name, chosen.checkpoint, chosen.licence, chosen.source)
    else:
        pair, weights = towers.from_seed(chosen.name, chosen.random)
    return write_clip(chosen, pair, weights)


def export_builtin(chosen: argparse.Namespace) -> list[Path]:
    """The checkpoints of this folder's own training.

    Batch norms are folded in float32 too, and the image tower, which takes most of the time, is also there in bfloat16,
    for CPUs that are twice as fast in it.
    """
    import smallclip
    import smallrpn

    paths = []
    if chosen.rpn:
        network, notes = smallrpn.load(str(chosen.rpn))
        fold_norms(network.backbone, torch.zeros(1, 3, 64, 64))
        paths += write_rpn(chosen, network, "clipdet-small-rpn", own_weights(chosen.rpn, notes))
    if chosen.clip:
        model, notes = smallclip.load(str(chosen.clip))
        fold_norms(model.image, torch.zeros(1, 3, model.config.size, model.config.size))
        mean, std = list(smallclip.MEAN), list(smallclip.STD)
        pair = clip.Pair(model.image, model.text, "clipdet-small-clip", model.config.size, mean, std, model.scale())
        weights = own_weights(chosen.clip, notes)
        paths += write_clip(chosen, pair, weights)
        if chosen.dtype == ["float32"]:
            last = chosen.memory_format == "channels_last"
            paths += clip.export(chosen.out, pair, weights, "bfloat16", last, text_too=False)
    return paths


def own_weights(path: Path, notes: dict) -> Weights:
    """Weights that were trained here: Apache-2.0 as the project, unless their notes say otherwise."""
    source = notes.get("source", "trained by the scripts in torchscript/")
    return Weights(path.stem, archive.file_digest(path), notes.get("licence", "Apache-2.0"), source)


def write_rpn(chosen: argparse.Namespace, detector: nn.Module, architecture: str, weights: Weights) -> list[Path]:
    last = chosen.memory_format == "channels_last"
    return [rpn.export(chosen.out, detector, architecture, weights, dtype, last) for dtype in chosen.dtype]


def write_clip(chosen: argparse.Namespace, pair: clip.Pair, weights: Weights) -> list[Path]:
    paths = []
    for dtype in chosen.dtype:
        paths += clip.export(chosen.out, pair, weights, dtype, chosen.memory_format == "channels_last")
    return paths


def summary(paths: list[Path], out: Path) -> str:
    """A line for each archive, their licences, and what to do next."""
    lines = [f"{path}  {path.stat().st_size / 1e6:.1f} MB  sha256 {archive.file_digest(path)}" for path in paths]
    described = [archive.read_manifest(path) for path in paths]
    for licence in dict.fromkeys(m["weights"]["licence"] for m in described):
        lines.append(f"licence of the weights: {licence}")
    missing = {"rpn", "clip-image", "clip-text"} - {archive.read_manifest(p)["kind"] for p in out.glob("*.pt")}
    if missing:
        lines.append(f"{out} still lacks {', '.join(sorted(missing))}: export it with --out {out}")
    else:
        lines.append(f"next: clipdet models verify {out} && clipdet detect --models {out} -q dog IMAGE")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    chosen = parse(arguments)
    command = {"rpn": export_rpn, "clip": export_clip, "builtin": export_builtin}[chosen.command]
    try:
        paths = command(chosen)
    except (OSError, ValueError, ContractError) as error:
        print(f"export.py {chosen.command}: {error}", file=sys.stderr)
        return 1
    print(summary(paths, chosen.out))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
