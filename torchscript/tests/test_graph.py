"""What graph.py reports: each thing that an archive must not have, and nothing else."""

import json
import linecache
import textwrap
from pathlib import Path

import open_clip
import pytest
import torch
from torch import Tensor, nn

import archive
import clip
import detectors
import graph
import rpn
import towers
from archive import Weights


def found(source: str, *on_host: bool, **buffers: Tensor) -> list[str]:
    """Returns the problems of a module whose methods are given as source. TorchScript
    reads the source from a file, so this puts it into Python's cache of files' lines."""
    text = "class Module(nn.Module):\n" + textwrap.indent(source, "    ")
    linecache.cache["cases.py"] = (len(text), None, text.splitlines(keepends=True), "cases.py")
    names = {"__name__": "cases", "torch": torch, "nn": nn, "Tensor": Tensor}
    exec(compile(text, "cases.py", "exec"), names)
    module = names["Module"]()
    for name, value in buffers.items():
        module.register_buffer(name, value)
    return problems(archive.serialise(torch.jit.script(module)), *on_host)


def problems(data: bytes, *on_host: bool) -> list[str]:
    unit = torch._C.CompilationUnit()
    inner = torch._C.import_ir_module_from_buffer(unit, data, torch.device("cpu"), {}, False)
    return graph.problems(unit, torch.jit._recursive.wrap_cpp_module(inner), on_host)


def forward(body: str) -> str:
    return "def forward(self, x: Tensor) -> Tensor:\n" + textwrap.indent(body.replace("; ", "\n") + "\n", "    ")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("return x * x.sum().item()", "aten::item"),
        ("return x * int(x.sum())", "aten::Int"),
        ("return x * float(x.sum())", "aten::Float"),
        ("return x if bool(x.sum()) else -x", "aten::Bool"),
        ("if x.sum() > 0: return -x; return x", "aten::Bool"),
        ("k: list[float] = x.tolist(); return x * k[0]", "prim::tolist"),
        ("return x if torch.equal(x, -x) else -x", "aten::equal"),
        ("return x if torch.allclose(x, -x) else -x", "aten::allclose"),
        ("return x if torch.is_nonzero(x.sum()) else -x", "aten::is_nonzero"),
        ("return torch.zeros([int(x.max().long())], device=x.device)", "aten::Int"),
        ("return x.nonzero()", "aten::nonzero"),
        ("return torch.where(x > 0)[0]", "aten::where"),
        ("return x.masked_select(x > 0)", "aten::masked_select"),
        ("return torch._unique2(x)[0]", "aten::_unique2"),
        ("return torch.bincount(x.long())", "aten::bincount"),
        ("return torch.linalg.inv(x)", "aten::linalg_inv"),
        ("return torch.linalg.svd(x)[0]", "aten::linalg_svd"),
        ("return nn.functional.one_hot(x.long())", "aten::one_hot"),
        ("return x.repeat_interleave(x.long(), 0)", "aten::repeat_interleave without output_size"),
        ("return x[x > 0]", "aten::index with a mask"),
        ("return x[:, x.any(0)]", "aten::index with a mask"),
        ("return x[~((x > 0) & (x < 1)).flatten()]", "aten::index with a mask"),
        ("return x[torch.ones(4, dtype=torch.bool, device=x.device)]", "aten::index with a mask"),
        ("return x[x.to(torch.bool)]", "aten::index with a mask"),
        ("m = [x > 0]; m.append(x < 1); return x[torch.cat(m)]", "aten::index with a mask"),
        ("y = x.clone(); y[y > 0] = x; return y", "aten::index_put_ with a mask"),
        ("print(x); return x", "prim::Print"),
        ("return x.cpu()", "aten::cpu between host and device"),
        ("return x.cpu().to(x.device)", "aten::to between host and device"),
        ("return x * torch.tensor(0.5, device=x.device)", "aten::tensor between host and device"),
        ("y = x.clone(); y[0] = 3.0; return y", "aten::tensor between host and device"),
        ("return x * torch.as_tensor([0.5], device=x.device)", "aten::as_tensor between host and device"),
        ("return x.new_zeros([2]).copy_(x.cpu())", "aten::copy_ between host and device"),
        (
            "y = x.cpu(); for i in range(2):;     y = y + i * x; return x * int(y)".replace(":;     ", ":;     "),
            "aten::Int",
        ),
        ("l = [x.cpu()]; l.append(x); return x * int(l[0])", "aten::Int"),
    ],
)
def test_waits_are_found(body: str, kind: str) -> None:
    assert f"a wait for the device: {kind} in cases.Module.forward" in "\n".join(found(forward(body)))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('return x.to(torch.device("cpu"))', "a fixed device: cpu"),
        ('return torch.zeros([2], device=torch.device("cuda:1")) + x', "a fixed device: cuda:1"),
        ("return x.cuda()", "a fixed device: aten::cuda"),
        ("return torch.zeros([2]) + x", "a tensor on the host, so give it the device of an argument: aten::zeros"),
        ("return torch.arange(5) + x", "a tensor on the host, so give it the device of an argument: aten::arange"),
        ("return torch.tensor(5) + x", "a tensor on the host, so give it the device of an argument: aten::tensor"),
        ("return x.detach().requires_grad_(True)", "requires_grad: aten::requires_grad_"),
        ("return torch.dropout(x, 0.5, True)", "training mode: aten::dropout"),
        (
            "return torch.batch_norm(x, None, None, None, None, True, 0.1, 0.1, True)",
            "training mode: aten::batch_norm",
        ),
        ("return torch.jit.wait(torch.jit.fork(torch.neg, x))", "code that can't be followed: prim::fork"),
    ],
)
def test_other_problems_are_found(body: str, why: str) -> None:
    assert f"{why} in cases.Module.forward" in found(forward(body))


def test_operators_that_libtorch_lacks_are_found() -> None:
    body = "return torch.ops.torchvision.nms(x, x[:, 0], 0.5)"
    why = "an operator of torchvision, which libtorch lacks: torchvision::nms in cases.Module.forward"
    assert found(forward(body)) == [why]


def test_tensor_constants_are_found() -> None:
    constant = torch.arange(5.0)
    traced = torch.jit.trace(lambda x: x + constant, torch.zeros(5))
    (why,) = problems(archive.serialise(traced))
    assert "a tensor constant, which stays behind when the module moves" in why


@pytest.mark.parametrize(
    "body",
    [
        "return x * x.shape[0] + len(x) + x.dim()",
        "return x[x.argmax(0)]",
        "return torch.where(x > 0, x, -x).masked_fill(x > 1, 0)",
        "return x[(x > 0).sum(0)]",
        "return x[(x > 0).long()]",
        "y = x.to(torch.float16).to(x.dtype); return torch.zeros_like(y)",
        "y = torch.zeros([len(x)], device=x.device); y[0].fill_(3.0); return y",
        "return x if x.is_cuda else -x",
        "return torch.dropout(x, 0.5, False)",
        'd = {"a": x}; return d["a"] if "a" in d else x',
    ],
)
def test_what_needs_no_wait_is_fine(body: str) -> None:
    assert found(forward(body)) == []


# Waits for what is not on a GPU cost nothing.
ON_CPU = """
def forward(self, x: Tensor) -> Tensor:
    if x.is_cuda:
        return {}
    rows = self.rows(x * self.scale)
    return x[rows] if bool((rows > 1).any()) else x
def rows(self, x: Tensor) -> Tensor:
    return x.nonzero()[:, 0]
"""


def test_what_runs_off_gpus_alone_may_wait() -> None:
    assert found(ON_CPU.format("x * self.scale"), scale=torch.ones(1)) == []
    assert found(ON_CPU.format("self.rows(x)"), scale=torch.ones(1)) == [
        "a wait for the device: aten::nonzero in cases.Module.rows"
    ], "the same function, called on a GPU"
    assert found(ON_CPU.replace("x.is_cuda", "x.dim() > 2").format("x"), scale=torch.ones(1)) == [
        "a wait for the device: aten::Bool in cases.Module.forward",
        "a wait for the device: aten::nonzero in cases.Module.rows",
    ]


def test_what_comes_after_is_read_as_on_a_gpu() -> None:
    source = "def forward(self, x: Tensor) -> Tensor:\n    y = x if x.is_cuda else -x\n    return y * int(y.sum())\n"
    assert found(source) == ["a wait for the device: aten::Int in cases.Module.forward"]


def test_reading_an_argument_on_the_host_is_fine() -> None:
    source = """
def forward(self, x: Tensor, sizes: Tensor) -> Tensor:
    height, width = self.both(sizes)
    scaled = (sizes.cpu().float() * 2).long()
    whole: list[int] = scaled[0].tolist()
    return x[:, :height, :width] + scaled.to(x.device, non_blocking=True) + whole[0]
def both(self, sizes: Tensor) -> tuple[int, int]:
    return int(sizes[0, 0]), int(sizes[0, 1])
"""
    assert found(source, False, True) == []
    where = {line.rpartition(" in ")[2] for line in found(source, False, False)}
    assert where == {"cases.Module.forward", "cases.Module.both"}, "the same on the device waits in both"


def test_a_copy_to_the_device_that_waits_is_found() -> None:
    source = "def forward(self, x: Tensor, sizes: Tensor) -> Tensor:\n    return x + sizes.to(x.device)\n"
    assert found(source, False, True) == [
        "a wait for the device: aten::to between host and device in cases.Module.forward"
    ]


def test_what_forward_does_not_call_is_read_too() -> None:
    source = (
        forward("return x") + "@torch.jit.export\ndef spare(self, x: Tensor) -> float:\n    return x.sum().item()\n"
    )
    assert found(source) == ["a wait for the device: aten::item in cases.Module.spare"]


def test_functions_are_named() -> None:
    class Outer(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * inner(x)

    (why,) = problems(archive.serialise(torch.jit.script(Outer())))
    assert why == "a wait for the device: aten::item in test_graph.inner"


def inner(x: Tensor) -> float:
    return x.sum().item()


def test_masks_among_the_buffers_are_found() -> None:
    assert found(forward("return x[self.which]"), which=torch.tensor([0, 1])) == []
    (why,) = found(forward("return x[self.which]"), which=torch.tensor([True, False]))
    assert "aten::index with a mask" in why


class Suppressing(nn.Module):
    def forward(self, boxes: Tensor, valid: Tensor) -> Tensor:
        return rpn.suppress(boxes, valid, 0.5)


def test_suppression_may_wait_once_a_round() -> None:
    data = archive.serialise(torch.jit.script(Suppressing()))
    assert problems(data) == []
    allowed = dict(graph.ALLOWED_WAITS)
    try:
        graph.ALLOWED_WAITS.clear()
        assert problems(data) == ["a wait for the device: aten::equal in rpn.suppress"]
    finally:
        graph.ALLOWED_WAITS.update(allowed)


def test_a_second_wait_is_one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(graph.ALLOWED_WAITS, "cases.Module.forward", "aten::equal")
    assert found(forward("return x if torch.equal(x, -x) else -x")) == []
    assert found(forward("return x if torch.equal(x, -x) and torch.equal(x, x) else -x")) == [
        "a wait for the device: aten::equal in cases.Module.forward"
    ]


DTYPES = ["float32", "bfloat16", "float16"]


TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
VIT = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
RESNET = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("vision", "options"),
    [
        (VIT, {}),
        (VIT, {"force_quick_gelu": True}),
        (VIT, {"force_custom_text": True}),
        (RESNET, {"force_quick_gelu": True}),
    ],
    ids=["vit", "vit-quickgelu", "vit-separate", "resnet"],
)
def test_exported_towers_have_none_of_it(tmp_path: Path, vision: dict, options: dict, dtype: str) -> None:
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": TEXT}
    (tmp_path / "read-for-waits.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "read-for-waits.json")
    model = open_clip.create_model("read-for-waits", **options).eval()
    weights = Weights("test", "0" * 64, "none", "tests")
    for path in clip.export(tmp_path, towers.pair("read-for-waits", model), weights, dtype):
        assert archive.inspect(path.read_bytes()) == []


@pytest.mark.parametrize("dtype", DTYPES)
def test_exported_detectors_have_none_of_it(tmp_path: Path, dtype: str) -> None:
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    detector, weights = detectors.from_seed(name, 1, min_size=96, max_size=160)
    path = rpn.export(tmp_path, detector, name, weights, dtype)
    assert archive.inspect(path.read_bytes()) == []
