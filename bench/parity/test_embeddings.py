"""Embeddings against open_clip's own encode_image and encode_text, on the same crops and
tokens."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import to_tensor

import reference
import stages
from reference import open_clip

CROPS = 32
# The largest difference in float32. A GPU adds up in another order, by kernels that it
# chooses by shape.
TOLERANCE = {"cpu": 1e-4, "cuda": 5e-4}
NAMES = ["dog", "traffic light", "a person riding a horse on the beach", "Ampelmännchen", "犬"]


def crops(photos: list[Path], size: int) -> Tensor:
    """Returns parts of photos, float32 [CROPS,3,size,size] in [0,1]."""
    draw = random.Random(6)
    made = []
    for i in range(CROPS):
        picture = reference.read(photos[i % len(photos)])
        w, h = draw.randint(20, picture.width), draw.randint(20, picture.height)
        x, y = draw.randint(0, picture.width - w), draw.randint(0, picture.height - h)
        made.append(to_tensor(picture.resize((size, size), Image.Resampling.BICUBIC, (x, y, x + w, y + h))))
    return torch.stack(made)


def test_embeddings(
    clip_name: str,
    clip_model: Callable[..., tuple[nn.Module, Path]],
    programs: Path,
    photos: list[Path],
    device: str,
    tmp_path: Path,
    report: Callable[[str], None],
) -> None:
    # Without avx512_bf16 a convolution in bfloat16 takes minutes. torchscript/tests
    # compares RN50's.
    types = ["float32", "bfloat16"] if stages.fast_bfloat16() or clip_name.startswith("ViT") else ["float32"]
    model, folder = clip_model(clip_name, *types)
    look = model.visual.preprocess_cfg
    mean, std = torch.tensor(look["mean"])[:, None, None], torch.tensor(look["std"])[:, None, None]
    pictures = crops(photos, look["size"] if isinstance(look["size"], int) else look["size"][0])
    tokens = open_clip.tokenize([t.replace("{}", n) for t in stages.templates(programs) for n in NAMES])
    with torch.inference_mode():
        want = {
            "clip-image": (pictures, model.encode_image(((pictures - mean) / std).to(device), normalize=True).cpu()),
            "clip-text": (tokens, model.encode_text(tokens.to(device), normalize=True).cpu()),
        }
    for kind, (given, expected) in want.items():
        alike = (expected @ expected.T)[~torch.eye(len(expected), dtype=torch.bool)]
        report(
            f"{clip_name}, {kind}: {len(given)} inputs; cosines between them {alike.mean():.2f} +- {alike.std():.2f}"
        )
        assert alike.std() > 0.02, "the embeddings are nearly equal, so that the comparison means little"
        for dtype in types:
            file = f"{kind}.pt" if dtype == "float32" else f"{kind}.{dtype}.pt"
            some = len(given) if device != "cpu" or dtype == "float32" or stages.fast_bfloat16() else 16
            given[:some].numpy().tofile(tmp_path / "input")
            request = {"Model": str(folder / file), "Input": str(tmp_path / "input"), "Batch": 16}
            (got,) = stages.ask(programs, "embeddings", request, device)
            largest = np.abs(got - expected[:some].numpy()).max()
            cosine = (got * expected[:some].numpy()).sum(1).min()
            report(f"  {dtype}: largest difference {largest:.1g}, least cosine {cosine:.6f}")
            if dtype == "float32":
                assert largest <= TOLERANCE[torch.device(device).type]
            assert cosine >= 0.999
