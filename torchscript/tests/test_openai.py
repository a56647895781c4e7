"""The CLIPs that OpenAI published, from checkpoints in their published form, against
OpenAI's own code.

The weights are random. The two smallest, a ResNet and a transformer, are compared each
time. All need 20 GB of memory and over half an hour: .ci/run 'every CLIP'
"""

from contextlib import nullcontext
from pathlib import Path

import openai
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

import archive
import checkpoint
import export
import published

# The models that are compared in bfloat16 on any processor. Without avx512_bf16 the
# others would take three minutes more.
QUICK = ("RN50", "ViT-B/32")

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]


class HalfByFloat(TorchDispatchMode):
    """Runs float16 operators as GPUs do: in float32, rounding each result. torch's own
    float16 operators for CPUs are several times slower."""

    operators = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        halves = []

        def widen(value: Tensor) -> Tensor:
            if value.dtype != torch.float16:
                return value
            halves.append(value)
            return value.float()

        wide = tree_map_only(torch.Tensor, widen, (args, kwargs or {}))
        if not halves or func.is_view or func.overloadpacket is torch.ops.aten._to_copy:
            return func(*args, **kwargs or {})
        self.operators += 1
        narrow = lambda value: value.half() if value.dtype == torch.float32 else value  # noqa: E731
        return tree_map_only(torch.Tensor, narrow, func(*wide[0], **wide[1]))


def inputs(size: int) -> tuple[Tensor, Tensor]:
    """Returns four crops, two smooth and two of rough noise, and four texts of different
    lengths."""
    generator = torch.Generator().manual_seed(7)
    smooth, rough = torch.rand(2, 3, 5, 5, generator=generator), torch.rand(2, 3, 40, 40, generator=generator)
    crops = [interpolate(noise, size=(size, size), mode="bicubic") for noise in (smooth, rough)]
    tokens = torch.zeros(4, 77, dtype=torch.int64)
    for row, length in zip(tokens, (1, 5, 30, 75), strict=True):
        row[0], row[length + 1] = 49406, 49407
        row[1 : length + 1] = torch.randint(1, 49406, (length,), generator=generator)
    return torch.cat(crops).clamp(0, 1), tokens


@torch.inference_mode()
def reference(model: nn.Module, crops: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Returns OpenAI's features as unit vectors. They must differ, or equality would mean
    nothing."""
    image, text = normalize(model.encode_image((crops - MEAN) / STD)), normalize(model.encode_text(tokens))
    for features in (image, text):
        cosines = (features @ features.T)[~torch.eye(len(features), dtype=torch.bool)]
        assert cosines.min() < 0.98, f"the inputs look alike to the reference: {cosines}"
    return image, text


def dtypes(name: str) -> list[str]:
    """Returns the types in which a model is compared on this processor. int8 is for
    transformers."""
    left_out = {"int8"} if name.startswith("RN") else set()
    if "avx512_bf16" not in Path("/proc/cpuinfo").read_text() and name not in QUICK:
        left_out.add("bfloat16")
    return [dtype for dtype in archive.DTYPES if dtype not in left_out]


def test_by_name(tmp_path: Path, openai_name: str, record_property) -> None:
    file = tmp_path / "checkpoint.pt"
    openai.write_archive(openai.build(openai_name), file)
    out = tmp_path / "models"
    arguments = ["clip", "--name", openai_name, "--checkpoint", str(file), "--out", str(out)]
    assert export.main([*arguments, "--dtype", *dtypes(openai_name)]) == 0
    model = openai.openai_clip.load(str(file), device="cpu", jit=False)[0]
    crops, tokens = inputs(model.visual.input_resolution)
    want = reference(model, crops, tokens)
    for dtype in dtypes(openai_name):
        for kind, batch, expected in (("clip-image", crops, want[0]), ("clip-text", tokens, want[1])):
            if (kind, dtype) == ("clip-text", "int8"):
                continue  # texts stay in float32
            module = torch.jit.load(str(out / archive.file_name(kind, dtype)))
            with HalfByFloat() if dtype == "float16" else nullcontext() as emulation:
                got = archive.run(module, [batch])[0]
            assert dtype != "float16" or emulation.operators > 100, "nothing ran in float16"
            off, cosine = (got - expected).abs().max().item(), (got * expected).sum(1).min().item()
            print(f"{openai_name} {kind} {dtype}: difference up to {off:.1e}, cosine at least {cosine:.6f}")
            assert off <= 1e-4 if dtype == "float32" else cosine >= 0.999


def test_state_dicts_and_archives_are_the_same(tmp_path: Path) -> None:
    model = openai.build("RN50")
    openai.write_archive(model, tmp_path / "archive.pt")
    openai.write_state_dict(model, tmp_path / "state.pt")
    one, other = (checkpoint.read(tmp_path / f"{form}.pt") for form in ("archive", "state"))
    assert archive.digest(one) == archive.digest(other)
    assert one["visual.conv1.weight"].dtype == torch.float16


def test_names_and_addresses_are_openais() -> None:
    theirs = openai.openai_clip.clip._MODELS
    assert list(published.OPENAI) == list(theirs)
    for name, address in theirs.items():
        listed = published.clip(name, "openai")
        assert listed.address == address
        assert listed.digest == address.split("/")[-2]
        assert len(listed.digest) == 64
        assert listed.licence == "MIT"
