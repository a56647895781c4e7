"""Makes testdata/models: small models with random weights for the Go packages' tests.

They are small enough to commit. tiny/ is a whole detector that keeps CONTRACT.md. half/
has its CLIP in bfloat16. eight/ has another CLIP, of transformers, in float32, and its
image tower also in int8. faulty/ is the same as tiny/, but fails in libtorch for certain
pictures, crops and texts. odd/ has modules that a loader must cope with. They detect
nothing: the tests check that shapes, numbers and errors come through. Run it again only
when the contract changes, since golden values in tests depend on the bytes:

    ./setup-libtorch.sh python testdata/make/tiny.py testdata/models
"""

import argparse
import json
from pathlib import Path
from types import SimpleNamespace

import torch
from open_clip.transformer import Transformer, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.rpn import RPNHead

import archive
import clip
import detectors
import rpn
from archive import Input, Weights
from transformer import ImageTransformer, TextTransformer

SIZE = 32  # of a crop
WIDTH = 32  # of an embedding
SEED = 3


class Body(nn.Module):
    """The strided convolutions of a backbone: a stem and two stages."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.fine = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(12, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())


class ImageTower(nn.Module):
    """Maps crops to features: convolutions, then the maximum and a linear map."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 4, 4, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()
        )
        self.project = nn.Linear(32, WIDTH, bias=False)

    def forward(self, crops: Tensor) -> Tensor:
        return self.project(self.layers(crops).amax((2, 3)))


class TextTower(nn.Module):
    """Maps tokens to features: one causal layer, read at the end of the text. It looks
    tokens up as Tokens does."""

    def __init__(self) -> None:
        super().__init__()
        self.hundreds = nn.Embedding(clip.VOCABULARY // 256 + 1, WIDTH)
        self.rest = nn.Embedding(256, WIDTH)
        self.positions = nn.Parameter(torch.randn(clip.CONTEXT, WIDTH) / 4)
        self.norm = nn.LayerNorm(WIDTH)
        self.inward = nn.Linear(WIDTH, 3 * WIDTH)
        self.project = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        rows = torch.arange(tokens.shape[0], device=tokens.device)
        high = tokens.div(256, rounding_mode="floor")
        x = self.hundreds(high) + self.rest(tokens - high * 256) + self.positions[: tokens.shape[1]]
        query, key, value = self.inward(self.norm(x)).chunk(3, -1)
        x = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.project(x[rows, tokens.argmax(1)])


class Tokens(nn.Module):
    """Vectors of CLIP's 49,408 tokens, for which a table would need 6 MB. So a token's
    vector is the sum of two: one for its multiple of 256, one for the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.hundreds = nn.Embedding(clip.VOCABULARY // 256 + 1, WIDTH)
        self.rest = nn.Embedding(256, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        high = tokens.div(256, rounding_mode="floor")
        return self.hundreds(high) + self.rest(tokens - high * 256)


class Adder(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


class Three(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x, x + 1, x * 2


class Throws(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.dim() >= 0:  # always true: a function that only raises has no type
            raise ValueError("this module always fails")
        return x


class NoManifest(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def provoke(batch: Tensor, fault: int, enough: int) -> Tensor:
    """Fault 1 throws. 2 allocates more memory than any machine has. 3 does so for a batch
    of more than enough."""
    if fault == 1:
        raise ValueError("this input always fails")
    if fault == 2 or (fault == 3 and batch.shape[0] > enough):
        return torch.empty([1 << 50], dtype=torch.uint8)
    return batch


def spoil(answer: Tensor, fault: int) -> Tensor:
    """Fault 4 gives another type, 5 another width, 6 NaN."""
    if fault == 4:
        answer = answer.double()
    if fault == 5:
        answer = answer[..., :3]
    if fault == 6:
        answer = answer * float("nan")
    return answer


class FaultyProposals(nn.Module):
    """tiny/rpn.pt, with a fault if the top left pixel of a picture is (250, 5, 10 x
    fault)."""

    def __init__(self, sound: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.sound = sound

    def forward(self, images: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        corner = images[:, :, 0, 0].long()
        asked = ((corner[:, 0] == 250) & (corner[:, 1] == 5)).long() * corner[:, 2]
        fault = int(asked.max()) // 10
        rows, counts = self.sound(provoke(images, fault, 1), sizes)
        return spoil(rows, fault), counts


class FaultyImageEncoder(nn.Module):
    """tiny/clip-image.pt, with a fault if a crop has the one colour (1, 0, 10 x fault /
    255)."""

    def __init__(self, sound: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.sound = sound

    def forward(self, crops: Tensor) -> Tensor:
        low, high = crops.amin((2, 3)), crops.amax((2, 3))
        asking = ((high - low).amax(1) == 0) & (low[:, 0] == 1) & (low[:, 1] == 0)
        fault = int((asking.float() * low[:, 2] * 255).round().max()) // 10
        return spoil(self.sound(provoke(crops, fault, 4)), fault)


class FaultyTextEncoder(nn.Module):
    """tiny/clip-text.pt, with a fault if texts have 8 x (fault + 2) columns of tokens: 24
    for the first."""

    def __init__(self, sound: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.sound = sound

    def forward(self, tokens: Tensor) -> Tensor:
        fault = tokens.shape[1] // 8 - 2
        return spoil(self.sound(provoke(tokens, fault, 4)), fault)


FAULTY = {"rpn": FaultyProposals, "clip-image": FaultyImageEncoder, "clip-text": FaultyTextEncoder}


def weights(module: nn.Module) -> Weights:
    return Weights(f"random, seed {SEED}", archive.digest(module.state_dict()), "none: random", "testdata/make/tiny.py")


def detector() -> nn.Module:
    """Returns a region proposal network of three levels for pictures of about 160
    pixels."""
    body = Body()
    backbone = BackboneWithFPN(nn.Sequential(body.stem, body.fine, body.coarse), {"1": "0", "2": "1"}, [12, 16], 16)
    anchors = AnchorGenerator(((16,), (48,), (96,)), ((0.5, 1.0, 2.0),) * 3)
    head = RPNHead(16, 3)
    network = FasterRCNN(
        backbone,
        num_classes=2,
        min_size=160,
        max_size=256,
        rpn_anchor_generator=anchors,
        rpn_head=head,
        rpn_pre_nms_top_n_test=40,
        rpn_post_nms_top_n_test=100,
        rpn_nms_thresh=0.6,
    )
    detectors.randomise_norms(backbone)
    detectors.calibrate(network)
    return network


def transformers() -> tuple[nn.Module, nn.Module]:
    """Returns the image and the text tower of a CLIP of two layers each."""
    image = VisionTransformer(SIZE, 8, WIDTH, 2, 2, 4.0, output_dim=WIDTH)
    half = SimpleNamespace(
        transformer=Transformer(WIDTH, 2, 2),
        token_embedding=Tokens(),
        positional_embedding=nn.Parameter(torch.randn(clip.CONTEXT, WIDTH) / 4),
        ln_final=nn.LayerNorm(WIDTH),
        text_projection=torch.randn(WIDTH, WIDTH) / WIDTH**0.5,
    )
    return ImageTransformer(image), TextTransformer(half)


def golden(folder: Path) -> dict:
    """Returns what the archives answer to inputs that Go tests make themselves; see
    testdata/models/README.md."""
    rpn_inputs = [Input((2, 3, 96, 128), "uint8"), Input((2, 2), "int64", ((96, 128), (60, 97)))]
    cases = {
        "rpn": rpn_inputs,
        "clip-image": [Input((3, 3, SIZE, SIZE), "float32")],
        "clip-text": [Input((3, 77), "int64")],
    }
    answers = {}
    for kind, inputs in cases.items():
        module = torch.jit.load(str(folder / f"{kind}.pt"), map_location="cpu")
        outputs = archive.run(module, archive.generate(11, inputs))
        answers[kind] = {
            "seed": 11,
            "inputs": [entry.manifest() for entry in inputs],
            "outputs": [
                {"shape": list(o.shape), "values": [round(v, 6) for v in o.flatten().tolist()]} for o in outputs
            ],
        }
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to write tiny/, half/, eight/, faulty/ and odd/ into")
    out: Path = parser.parse_args().out
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network, image, text = detector(), ImageTower(), TextTower()
        seer, reader = transformers()
    tiny, half, eight, faulty, odd = (out / name for name in ("tiny", "half", "eight", "faulty", "odd"))
    rpn.export(tiny, network, "tiny-rpn", weights(network))
    pair = clip.Pair(image, text, "tiny-clip", SIZE, [0.5, 0.4, 0.3], [0.3, 0.25, 0.2], 20.0)
    of_pair = weights(nn.ModuleList([image, text]))
    clip.export(tiny, pair, of_pair)
    clip.export(half, pair, of_pair, "bfloat16")
    pair = clip.Pair(seer, reader, "tiny-transformers", SIZE, [0.5, 0.4, 0.3], [0.3, 0.25, 0.2], 20.0)
    for dtype in ("float32", "int8"):
        clip.export(eight, pair, weights(nn.ModuleList([seer, reader])), dtype)
    (tiny / "golden.json").write_text(json.dumps(golden(tiny)) + "\n")
    faulty.mkdir(parents=True, exist_ok=True)
    for kind, module in FAULTY.items():
        # Without archive.save, since its checks would refuse the faults.
        path = tiny / f"{kind}.pt"
        scripted = torch.jit.script(module(torch.jit.load(path, map_location="cpu")).eval())
        (faulty / path.name).write_bytes(archive.serialise(scripted, archive.read_manifest(path)))
    odd.mkdir(parents=True, exist_ok=True)
    for name, module in {"adder": Adder(), "three": Three(), "throws": Throws(), "nomanifest": NoManifest()}.items():
        (odd / f"{name}.pt").write_bytes(archive.serialise(torch.jit.script(module.eval())))
    for path in sorted([*tiny.iterdir(), *half.iterdir(), *eight.iterdir(), *faulty.iterdir(), *odd.iterdir()]):
        print(f"{path.stat().st_size:8d}  {path}")


if __name__ == "__main__":
    main()
