"""Writes TorchScript archives that describe themselves (CONTRACT.md). Every exporter ends
in save().

save() refuses an archive that could fail later, on another machine: one with a device
fixed in its code, a gradient, an operator that libtorch lacks, weights of another type
than the manifest says, a fixed batch size, or an answer that differs when it is loaded
again. graph.py checks the code.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import graph

FORMAT = 1
EXPORTER = f"clipdet-export 1 torch {torch.__version__} torchvision {torchvision.__version__}"
EXPORTER = re.sub(r"\+\w+", "", EXPORTER)  # a build for CUDA or for the CPU writes the same
# The type in which a network computes. In int8 that is float32 too: only the matrices of
# its linear layers are integers, and their inputs (eight.py).
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "int8": torch.float32}
BATCHES = (1, 2, 5)

# Which arguments of forward lie on the host (CONTRACT.md). Reading them waits for
# nothing.
ON_HOST = {"rpn": (False, True)}

MANIFEST = "extra/manifest.json"
NO_DIGEST = "0" * 64


class ContractError(Exception):
    """The module breaks the contract; nothing was written."""


@dataclass(frozen=True)
class Weights:
    """Where the weights came from. sha256 is of the source file, or digest() if there is
    no file."""

    name: str
    sha256: str
    licence: str
    source: str


@dataclass(frozen=True)
class Input:
    """An argument of forward in a known answer: the generator's values, or literal, rows
    of integers."""

    shape: tuple[int, ...]
    dtype: str
    literal: tuple[tuple[int, ...], ...] | None = None

    def manifest(self) -> dict:
        entry: dict = {"shape": list(self.shape), "dtype": self.dtype}
        if self.literal is None:
            entry["values"] = {"uint8": "bytes", "float32": "unit", "int64": "tokens"}[self.dtype]
        else:
            entry["literal"] = [list(row) for row in self.literal]
        return entry


def manifest(kind: str, architecture: str, weights: Weights, dtype: str, channels_last: bool, **fields: object) -> dict:
    """Returns the fields that every archive has, then the fields of its kind."""
    return {
        "format": FORMAT,
        "kind": kind,
        "architecture": architecture,
        "weights": asdict(weights),
        "dtype": dtype,
        "memory_format": "channels_last" if channels_last else "contiguous",
        "exporter": EXPORTER,
        "created": "",
        **fields,
    }


def trained(modules: nn.Module, on: str) -> Weights:
    """Describes weights that this project trained on others. Their licence is the
    project's, which is that of the others too."""
    source = f"trained by the scripts in torchscript/, on {on}"
    return Weights("clipdet's own", digest(modules.state_dict()), "Apache-2.0", source)


def file_name(kind: str, dtype: str) -> str:
    """Returns an archive's file name: rpn.pt in float32, rpn.bfloat16.pt in bfloat16."""
    return f"{kind}.pt" if dtype == "float32" else f"{kind}.{dtype}.pt"


def digest(state: Mapping[str, Tensor]) -> str:
    """Returns the sha256 of a state dict's names, types, shapes and values, for weights
    that are no file."""
    h = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        h.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        h.update(value.view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return h.hexdigest()


def file_digest(path: Path) -> str:
    """Returns the sha256 of a file, in hex."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def lcg(seed: int, count: int) -> np.ndarray:
    """Returns the upper 31 bits of count steps of Knuth's MMIX generator from seed. Go
    computes the same without torch."""
    x = np.array([seed * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1], np.uint64)
    factor, term = 6364136223846793005, 1442695040888963407  # of len(x) steps at once
    while len(x) < count:
        x = np.concatenate([x, x * np.uint64(factor) + np.uint64(term)])
        factor, term = factor * factor & (1 << 64) - 1, (factor + 1) * term & (1 << 64) - 1
    return x[:count] >> np.uint64(33)


def generate(seed: int, inputs: Sequence[Input]) -> list[Tensor]:
    """Returns the inputs of a known answer. They share one generator, in their order."""
    counts = [0 if i.literal else i.shape[0] * 6 if i.dtype == "int64" else int(np.prod(i.shape)) for i in inputs]
    stream = lcg(seed, max(1, sum(counts)))
    made = []
    for entry, count in zip(inputs, counts, strict=True):
        u, stream = stream[:count], stream[count:]
        if entry.literal is not None:
            made.append(torch.tensor(entry.literal, dtype=torch.int64).reshape(entry.shape))
        elif entry.dtype == "uint8":
            made.append(torch.from_numpy((u % 256).astype(np.uint8)).reshape(entry.shape))
        elif entry.dtype == "float32":
            made.append(torch.from_numpy((u % 256).astype(np.float32) / np.float32(255)).reshape(entry.shape))
        else:
            rows = np.zeros(entry.shape, np.int64)
            rows[:, 0], rows[:, 7] = 49406, 49407
            rows[:, 1:7] = (u % 49000 + 1).reshape(-1, 6)
            made.append(torch.from_numpy(rows))
    return made


def summary(outputs: Sequence[Tensor], values: int = 16) -> list[dict]:
    """Returns what a known answer keeps of each output."""
    kept = []
    for output in outputs:
        wide = output.to(torch.float64)
        kept.append(
            {
                "shape": list(output.shape),
                "sum": wide.sum().item(),
                "abs_sum": wide.abs().sum().item(),
                "values": wide.flatten()[:values].tolist(),
            }
        )
    return kept


def difference(got: Sequence[Tensor], want: Sequence[dict]) -> float:
    """Returns the largest difference between outputs and a known answer's. A value's is
    relative to max(1, |value|), a sum's to max(1, abs_sum). It is infinite if shapes
    differ or a difference is not a number."""
    if [list(output.shape) for output in got] != [entry["shape"] for entry in want]:
        return float("inf")
    worst = 0.0
    for has, entry in zip(summary(got), want, strict=True):
        scale = max(1.0, entry["abs_sum"])
        parts = [abs(has["sum"] - entry["sum"]) / scale, abs(has["abs_sum"] - entry["abs_sum"]) / scale]
        parts += [abs(g - w) / max(1.0, abs(w)) for g, w in zip(has["values"], entry["values"], strict=False)]
        worst = max(worst, *(part if part == part else float("inf") for part in parts))
    return worst


@contextmanager
def as_clipdet_runs() -> Iterator[None]:
    """Turns off gradients and takes the JIT's simple executor, as Go does: nothing is
    specialised on the first inputs' shapes."""
    with torch.inference_mode(), torch.jit.optimized_execution(False):
        yield


def run(module: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Calls a module and returns its outputs as a list, even if there is only one."""
    with as_clipdet_runs():
        outputs = module(*inputs)
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def counted(module: nn.Module, inputs: Sequence[Tensor]) -> tuple[list[Tensor], int]:
    """Returns run's outputs, and the floating-point operations of convolutions, matrix
    products and attention, two for a multiply-add."""
    counter = FlopCounterMode(display=False)
    # Not in inference mode: there a linear layer reaches the counter whole, and the
    # counter counts only the matrix products inside it.
    with torch.no_grad(), torch.jit.optimized_execution(False), counter:
        outputs = module(*inputs)
    return [outputs] if isinstance(outputs, Tensor) else list(outputs), counter.get_total_flops()


def read_manifest(path: Path) -> dict:
    """Returns an archive's manifest without loading its module."""
    return json.loads(torch._C.PyTorchFileReader(str(path)).get_record(MANIFEST))


def code(data: bytes) -> str:
    """Returns all TorchScript source in an archive: every class, method and function,
    used or not."""
    reader = torch._C.PyTorchFileReader(io.BytesIO(data))
    return "\n".join(reader.get_record(n).decode() for n in sorted(reader.get_all_records()) if n.endswith(".py"))


def inspect(data: bytes) -> list[str]:
    """Returns what in an archive breaks the contract, without calling forward. Loading it
    runs a __setstate__, if it has one. An archive without a manifest may be of any kind
    and type."""
    reader = torch._C.PyTorchFileReader(io.BytesIO(data))
    text = reader.get_record(MANIFEST).decode() if reader.has_record(MANIFEST) else "{}"
    described = json.loads(text)
    unit = torch._C.CompilationUnit()
    inner = torch._C.import_ir_module_from_buffer(unit, data, torch.device("cpu"), {}, False)
    module = torch.jit._recursive.wrap_cpp_module(inner)
    found = graph.problems(unit, module, ON_HOST.get(described.get("kind"), ()))
    found += [f"requires_grad: {name}" for name, value in tensors(module) if value.requires_grad]
    if any(part.training for part in module.modules()):
        found.append("training mode: call eval() before scripting")
    if "dtype" in described:
        found += other_types(module, described["dtype"])
    if "digest" in described and described["digest"] != directory_digest(directory(data), text):
        found.append("a digest that is not the archive's")
    return found


def tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


# Buffers of a whole network that are numbers of pictures and boxes and not weights.
CONSTANTS = ("mean", "std", "cells", "steps_x", "steps_y")


def other_types(module: torch.jit.ScriptModule, dtype: str) -> list[str]:
    """Returns the weights that are not of the manifest's dtype and that CONTRACT.md does
    not exempt."""
    found = []
    for prefix, part in module.named_modules():
        for name, value in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
            usable = {DTYPES[dtype]}
            if "Norm" in part.original_name or prefix == "head.cls_logits" or (not prefix and name in CONSTANTS):
                usable.add(torch.float32)
            if part.original_name == "Embedding":
                usable.add(torch.float16)
            if (value.is_floating_point() or value.is_complex()) and value.dtype not in usable:
                place = f"{prefix}.{name}" if prefix else name
                found.append(f"weights of another type: {place} is {str(value.dtype)[6:]}, not {dtype}")
    return found


def serialise(module: torch.jit.ScriptModule, described: dict | None = None) -> bytes:
    """Returns an archive's bytes, which are the same if the module and the manifest are.
    The manifest gets its digest here.

    torch's own records are copied, with two exceptions. The .debug_pkl files are left
    out, because they hold source paths of the exporting machine. A class's constants are
    sorted, because torch takes their order from a set of strings.
    """
    saved = io.BytesIO()
    torch.jit.save(module, saved)
    saved.seek(0)
    reader = torch._C.PyTorchFileReader(saved)
    dropped = (".debug_pkl", "version", "byteorder", ".data/serialization_id")  # the writer makes the last three itself
    records = {name: reader.get_record(name) for name in reader.get_all_records() if not name.endswith(dropped)}
    del reader, saved  # as large as the model
    for name, record in records.items():
        if name.endswith(".py"):
            records[name] = re.sub(r"(?m)(^  \w+ : Final\[.*\n)+", sorted_lines, record.decode()).encode()
    if described is None:
        return packed(records)
    entries = directory(packed({})) | {name: (len(record), zlib.crc32(record)) for name, record in records.items()}
    unsealed = json.dumps({**described, "digest": NO_DIGEST}, indent=1)
    sealed = json.dumps({**described, "digest": directory_digest(entries, unsealed)}, indent=1)
    return packed({**records, MANIFEST: sealed.encode()})


def sorted_lines(match: re.Match[str]) -> str:
    return "".join(sorted(match[0].splitlines(keepends=True)))


def packed(records: Mapping[str, bytes]) -> bytes:
    """Returns a zip that torch.jit.load reads: the records in the order of their names,
    and the manifest last."""
    out = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(out)
    for name in sorted(records, key=lambda name: (name == MANIFEST, name)):
        writer.write_record(name, records[name], len(records[name]))
    writer.write_end_of_file()
    return out.getvalue()


def directory(data: bytes) -> dict[str, tuple[int, int]]:
    """Returns the size and CRC-32 of each record of an archive, by its name without the
    top folder."""
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        return {entry.filename.partition("/")[2]: (entry.file_size, entry.CRC) for entry in whole.infolist()}


def directory_digest(entries: Mapping[str, tuple[int, int]], manifest: str) -> str:
    """Returns the digest that a manifest must hold (CONTRACT.md). It covers the other
    records, and the manifest's own text with zeros in place of the digest."""
    names = sorted(set(entries) - {MANIFEST, ".data/serialization_id"}, key=str.encode)
    lines = "".join(f"{name} {entries[name][0]} {entries[name][1]:08x}\n" for name in names)
    return hashlib.sha256((lines + manifest.replace(json.loads(manifest)["digest"], NO_DIGEST)).encode()).hexdigest()


def save(
    path: Path,
    module: nn.Module,
    fields: dict,
    inputs: Sequence[Input],
    *,
    tolerance: float,
    seed: int = 1,
    values: int = 16,
    twin: nn.Module | None = None,
    runs_here: bool = True,
    may_wait: bool = False,
    together: int = 1,
) -> dict:
    """Scripts a module if it is not scripted yet, checks it, writes it to path, and
    returns its manifest.

    twin, the same weights in float32, makes the known answer and counts its operations;
    None is the module itself. runs_here says whether this machine can run the module's
    dtype, which is then compared with the answer. may_wait is for other people's
    networks: if they wait for the device, which slows a GPU down, that is only a warning.
    together is how many copies of the inputs the operations are counted on, and divided by,
    for a module whose cost of one alone is that of several. Raises ContractError, and writes nothing, if a check fails.
    """
    module = module.eval().requires_grad_(False)
    scripted = module if isinstance(module, torch.jit.ScriptModule) else torch.jit.script(module)
    answering = scripted if twin is None else twin.eval()
    one = generate(seed, inputs)
    outputs, flops = counted(answering, one)
    if together > 1:
        _, flops = counted(answering, [torch.cat([value] * together) for value in one])
    expected = summary(outputs, values)
    described = {
        **fields,
        **({"flops": flops // together} if flops else {}),
        "known_answer": {
            "seed": seed,
            "inputs": [entry.manifest() for entry in inputs],
            "outputs": expected,
            "tolerance": tolerance,
        },
    }
    data = serialise(scripted, described)
    problems = inspect(data)
    if may_wait:
        for wait in (problem for problem in problems if problem.startswith(graph.WAIT)):
            warnings.warn(f"{path.name}: {wait}", stacklevel=2)
        problems = [problem for problem in problems if not problem.startswith(graph.WAIT)]
    if runs_here and not problems:
        problems = replay(data, fields["kind"], inputs, described["known_answer"])
    if problems:
        raise ContractError(f"{path.name} breaks torchscript/CONTRACT.md: " + "; ".join(dict.fromkeys(problems)))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
    return read_manifest(path)


def replay(data: bytes, kind: str, inputs: Sequence[Input], answer: dict) -> list[str]:
    """Loads an archive, computes its known answer, alone and in batches, and returns what
    differs. Of a clip-text it also tries the tokens without the columns after the last
    end of text."""
    module = torch.jit.load(io.BytesIO(data), map_location="cpu")
    one = generate(answer["seed"], inputs)
    problems = []
    for batch in BATCHES:
        try:
            outputs = run(module, [torch.cat([value] * batch) for value in one])
        except RuntimeError as error:
            problems.append(f"fails for a batch of {batch * one[0].shape[0]}: {str(error).strip().splitlines()[-1]}")
            continue
        for row, part in enumerate(zip(*(output.chunk(batch) for output in outputs), strict=True)):
            off = difference(part, answer["outputs"])
            if off > answer["tolerance"]:
                problems.append(f"known answer off by {off:.2g} in a batch of {batch}, part {row}")
    if kind == "clip-text":
        used = int(one[0].argmax(1).max()) + 1
        off = difference(run(module, [one[0][:, :used]]), answer["outputs"])
        if off > answer["tolerance"]:
            problems.append(f"columns after the last end of text change the answer by {off:.2g}")
    return problems
