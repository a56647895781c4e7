"""Reads the graphs of an archive for what would fail, or make the host wait, on a GPU. It
runs nothing.

It reads every method and function, used or not, and inlines none, so that a finding names
the function that it is in. From forward on it follows two things through each graph:
which tensors lie on the host (reading those costs nothing), and which are masks (indexing
with one makes the host wait for its count). A value of which nothing is known counts as
on the device. What runs only if a tensor's is_cuda is false finds every tensor on the
host.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

WAIT = "a wait for the device"  # how a finding begins that slows a GPU down but breaks nothing

# The one wait that the contract allows: whether a round of suppression changed anything.
# The function's code may have it once.
ALLOWED_WAITS = {"rpn.suppress": "aten::equal"}

# Operators whose result's size is a count that the host has to learn first, or that check
# their result on the host. gives_number finds those that return a number.
COUNTING = re.compile(
    "aten::(nonzero|nonzero_numpy|argwhere|masked_select|_?unique|_unique2|unique_dim|unique_consecutive|bincount|histc|"
    "multinomial|one_hot|inverse|cholesky|linalg_(inv|pinv|solve|cholesky|eigh?|svd|lstsq|lu_factor|matrix_rank))|"
    "prim::Print"
)
# Operators that give a number or a truth value without reading a tensor's values.
METADATA = re.compile(
    "aten::(size|len|dim|ndimension|numel|stride|storage_offset|element_size|is_floating_point|is_complex|is_contiguous|"
    "is_pinned|get_device|__is__|__isnot__)|prim::(dtype|layout|requires_grad|is_[a-z]+)"
)
NUMBER = re.compile(r"(int|float|bool|Scalar|number|complex)(\[\])*")
MASKS = re.compile(
    "aten::([gln]e|[gl]t|eq|greater(_equal)?|less(_equal)?|isnan|isinf|isfinite|isclose|isin|any|all|"
    "logical_(and|or|xor|not))_?"
)
# Operators whose result is a mask if their input is one.
KEEP_MASKS = re.compile(
    "prim::.*|aten::(to|(reshape|flatten|view|view_as|slice|select|unsqueeze|squeeze|expand|expand_as|repeat|permute|"
    "transpose|t|clone|contiguous|detach|cat|stack|unbind|split|chunk|flip|roll|gather|index|index_select|narrow|triu|"
    "tril|__and__|__or__|__xor__|bitwise_(and|or|xor|not)|__getitem__|values)_?)"
)
# Operators of oneDNN that libtorch has on CPUs: 8-bit products (eight.py).
EIGHT_BITS = ("onednn::qlinear_prepack", "onednn::qlinear_pointwise")
CHANGE_LISTS = ("aten::append", "aten::insert", "aten::extend", "aten::_set_item")
BOOL = 11  # torch.bool in graphs


@dataclass(frozen=True)
class Value:
    """What is known of a value and of what it holds. host: all its tensors are on the
    host, or it is the host's device. mask: one of its tensors may be a mask. parts: the
    same of each part of a tuple."""

    host: bool = True
    mask: bool = False
    parts: tuple[Value, ...] = ()


def join(*values: Value) -> Value:
    """Returns what is known of a value that may be any of these."""
    parts = ()
    if values and len({len(v.parts) for v in values}) == 1:
        parts = tuple(join(*part) for part in zip(*(v.parts for v in values), strict=True))
    return Value(all(v.host for v in values), any(v.mask for v in values), parts)


def as_host(value: Value) -> Value:
    """Returns what is known of a value if all its tensors are on the host."""
    return Value(True, value.mask, tuple(map(as_host, value.parts)))


def problems(unit: torch._C.CompilationUnit, module: torch.jit.ScriptModule, on_host: Sequence[bool] = ()) -> list[str]:
    """Returns what in a loaded module's code breaks the contract, each with its function.
    unit is what the module was loaded into. on_host says which arguments of forward are
    on the host by the contract, in their order."""
    reader = Reader(unit, module)
    functions = {f.qualified_name: f for f in unit.get_functions()}
    start = functions.get(f"{module._c._type().qualified_name()}.forward")
    if start is not None:
        given = [Value(), *(Value(host) for host in on_host)]
        reader.call(start, given + [Value(host=False)] * (len(list(start.graph.inputs())) - len(given)))
    for name in sorted(functions):
        if name not in reader.read:
            # These run when an archive is written and loaded, where a wait does no harm.
            loading = name.endswith((".__getstate__", ".__setstate__"))
            reader.call(functions[name], [Value(host=loading)] * len(list(functions[name].graph.inputs())))
    return sorted(reader.found)


class Reader:
    """Follows values from function to function and collects the findings."""

    def __init__(self, unit: torch._C.CompilationUnit, module: nn.Module) -> None:
        self.unit = unit
        self.found: set[str] = set()
        self.read: set[str] = set()  # functions, by their qualified name
        self.answers: dict[tuple, Value] = {}
        self.waits: dict[str, set[str]] = {}  # of a function that may wait: the nodes that do
        self.on_cpu = False  # what is being read runs only where nothing is on a GPU
        self.masks = mask_attributes(module)

    def call(self, function: torch._C.ScriptFunction, arguments: Sequence[Value]) -> Value:
        """Reads a function, given what is known of its arguments. Returns what is known
        of its result."""
        key = (function.qualified_name, self.on_cpu, *arguments)
        if key not in self.answers:
            self.read.add(function.qualified_name)
            graph = function.graph
            known = dict(zip((v.debugName() for v in graph.inputs()), arguments, strict=True))
            self.block(graph, known, plain(function.qualified_name))
            self.answers[key] = join(*(known[v.debugName()] for v in graph.outputs()))
        return self.answers[key]

    def follow(self, name: str, arguments: Sequence[Value], where: str) -> Value:
        """Reads the function that a graph calls by its qualified name."""
        function = self.unit.find_function(name)
        if function is None:  # a method of an interface
            self.found.add(f"code that can't be followed: {plain(name)} in {where}")
            return Value(host=False)
        return self.call(function, arguments)

    def block(self, block: torch._C.Graph | torch._C.Block, known: dict[str, Value], where: str) -> None:
        for node in block.nodes():
            inputs = [known[v.debugName()] for v in node.inputs()]
            results = self.node(node, inputs, known, where)
            for output, result in zip(node.outputs(), results, strict=True):
                known[output.debugName()] = result

    def block_on_cpu(self, block: torch._C.Block, known: dict[str, Value], where: str) -> None:
        """Reads a block that runs only if nothing is on a GPU."""
        before, self.on_cpu = self.on_cpu, True
        here = {name: as_host(value) for name, value in known.items()}
        self.block(block, here, where)
        self.on_cpu = before
        for name, value in here.items():
            known[name] = join(known[name], value) if name in known else value

    def node(self, node: torch._C.Node, inputs: list[Value], known: dict[str, Value], where: str) -> list[Value]:
        """Returns what is known of a node's outputs."""
        kind, outputs = node.kind(), list(node.outputs())
        if kind == "prim::Constant":
            self.constant(node, where)
            return [Value()]
        if kind == "prim::CallFunction":
            return [self.follow(node.inputsAt(0).type().annotation_str, inputs[1:], where)]
        if kind == "prim::CallMethod":
            return [self.follow(f"{node.inputsAt(0).type().annotation_str}.{node.s('name')}", inputs, where)]
        if kind == "prim::If":
            then, otherwise = node.blocks()
            self.block(then, known, where)
            if node.inputsAt(0).node().kind() == "prim::is_cuda":
                self.block_on_cpu(otherwise, known, where)
            else:
                self.block(otherwise, known, where)
            ends = ([known[v.debugName()] for v in branch.outputs()] for branch in node.blocks())
            return [join(*values) for values in zip(*ends, strict=True)]
        if kind == "prim::Loop":
            return self.loop(node, inputs[2:], known, where)
        if kind == "prim::TupleConstruct":
            return [Value(all(v.host for v in inputs), any(v.mask for v in inputs), tuple(inputs))]
        if kind == "prim::TupleUnpack":
            return list(inputs[0].parts) or [inputs[0]] * len(outputs)
        if kind == "prim::GetAttr":
            tensors = (holds_tensors(outputs[0]) or is_device(outputs[0])) and not self.on_cpu
            mask = (plain(node.inputsAt(0).type().str()), node.s("name")) in self.masks
            return [Value(not tensors, mask)]
        if kind in CHANGE_LISTS:
            known[node.inputsAt(0).debugName()] = join(*inputs)
        if any(node.kindOf(name) == "g" for name in node.attributeNames()) or list(node.blocks()):
            self.found.add(f"code that can't be followed: {kind} in {where}")
        self.operator(node, inputs, where)
        return [self.result(node, inputs, output) for output in outputs]

    def loop(self, node: torch._C.Node, carried: list[Value], known: dict[str, Value], where: str) -> list[Value]:
        """Reads the body again until nothing changes. A value that any round leaves on
        the device is on the device."""
        (body,) = node.blocks()
        while True:
            before = dict(known)
            for parameter, value in zip(body.inputs(), [Value(), *carried], strict=True):
                known[parameter.debugName()] = value
            self.block(body, known, where)
            ends = [known[v.debugName()] for v in list(body.outputs())[1:]]
            joined = [join(*pair) for pair in zip(carried, ends, strict=True)]
            if joined == carried and all(known[name] == value for name, value in before.items()):
                return carried
            carried = joined

    def constant(self, node: torch._C.Node, where: str) -> None:
        output = node.output()
        if is_device(output):
            self.found.add(f"a fixed device: {output.toIValue()} in {where}")
        if holds_tensors(output) and output.toIValue() is not None:
            self.found.add(
                f"a tensor constant, which stays behind when the module moves (tracing makes them): in {where}"
            )

    def operator(self, node: torch._C.Node, inputs: list[Value], where: str) -> None:
        """Finds what an operator must not be or do."""
        kind = node.kind()
        space = kind.partition("::")[0]
        if space not in ("aten", "prim") and kind not in EIGHT_BITS:
            self.found.add(f"an operator of {space}, which libtorch lacks: {kind} in {where}")
        if kind in ("aten::device", "aten::cuda"):
            self.found.add(f"a fixed device: {kind} in {where}")
        given = arguments(node)
        if constant_of(given.get("requires_grad")) is True:
            self.found.add(f"requires_grad: {kind} in {where}")
        if any(constant_of(given.get(flag)) is True for flag in ("train", "training", "use_input_stats")):
            self.found.add(f"training mode: {kind} in {where}")
        tensors = [v for v, i in zip(inputs, node.inputs(), strict=True) if holds_tensors(i)]
        if "device" in given and not tensors and absent(given["device"]):
            self.found.add(f"a tensor on the host, so give it the device of an argument: {kind} in {where}")
        waits = COUNTING.fullmatch(kind) or gives_number(node)
        if waits and not all(v.host for v in tensors):
            self.wait(node, kind, where)
        elif self.copies(node, given, inputs):
            self.wait(node, f"{kind} between host and device", where)
        elif kind in ("aten::index", "aten::index_put", "aten::index_put_") and not inputs[0].host and inputs[1].mask:
            self.wait(node, f"{kind} with a mask", where)
        elif kind == "aten::where" and len(given) == 1 and not inputs[0].host:
            self.wait(node, kind, where)
        elif kind == "aten::repeat_interleave" and holds_tensors(given["repeats"]) and absent(given["output_size"]):
            self.wait(node, f"{kind} without output_size", where)

    def copies(self, node: torch._C.Node, given: dict[str, torch._C.Value], inputs: list[Value]) -> bool:
        """Returns whether an operator copies between host and device and waits. With
        non_blocking a copy to the device doesn't wait."""
        kind = node.kind()
        if kind in ("aten::cpu", "aten::to", "aten::tensor", "aten::as_tensor"):
            source, target = inputs[0].host, self.result(node, inputs, node.output()).host
        elif kind == "aten::copy_":
            source, target = inputs[1].host, inputs[0].host
        else:
            return False
        at_once = constant_of(given.get("non_blocking")) is True and source
        return source != target and not at_once

    def wait(self, node: torch._C.Node, what: str, where: str) -> None:
        if ALLOWED_WAITS.get(where) == node.kind():
            self.waits.setdefault(where, set()).add(node.output().debugName())
            if len(self.waits[where]) == 1:
                return
        self.found.add(f"{WAIT}: {what} in {where}")

    def result(self, node: torch._C.Node, inputs: list[Value], output: torch._C.Value) -> Value:
        """Returns what is known of an operator's output."""
        kind = node.kind()
        if not holds_tensors(output) and not is_device(output):
            return Value()
        if kind == "aten::cpu" or kind == "prim::NumToTensor":
            return Value(mask=bool(inputs) and inputs[0].mask)
        if kind in ("prim::ListConstruct", "prim::DictConstruct", "aten::dict", "aten::list") and not inputs:
            return Value(host=False)  # what is added later may be on the device
        given = arguments(node)
        by_name = dict(zip(given, inputs, strict=False))
        host = all(v.host for v in inputs)
        if kind == "aten::to":
            kept = absent(given.get("device")) and "other" not in given
            host = inputs[0].host if kept else by_name.get("device", by_name.get("other", inputs[0])).host
        dtype = constant_of(given.get("dtype"))
        mask = bool(MASKS.fullmatch(kind) or (KEEP_MASKS.fullmatch(kind) and any(v.mask for v in inputs)))
        if dtype is not None:
            mask = dtype == BOOL
        return Value(host, mask)


def mask_attributes(module: nn.Module) -> set[tuple[str, str]]:
    """Returns (class, attribute) for each bool parameter and buffer."""
    return {
        (plain(part._c._type().str()), name)
        for part in module.modules()
        for name, value in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
        if value.dtype == torch.bool
    }


def plain(name: str) -> str:
    """Returns a class's or function's name as in Python, without what TorchScript
    adds."""
    return re.sub(r"(^__torch__\.)|(___torch_mangle_\d+\.)", "", name)


def arguments(node: torch._C.Node) -> dict[str, torch._C.Value]:
    """Returns an operator's inputs by the names in its schema, or nothing for a node
    without a schema."""
    schema = node.schema()
    if not schema.startswith(("aten::", "prim::")):
        return {}
    names = [argument.name for argument in torch._C.parse_schema(schema).arguments]
    return dict(zip(names, node.inputs(), strict=False))


def constant_of(value: torch._C.Value | None) -> object:
    """Returns a constant's value, or None for everything else."""
    return value.toIValue() if value is not None and value.node().kind() == "prim::Constant" else None


def absent(value: torch._C.Value | None) -> bool:
    """Returns whether an optional argument is left out."""
    return value is None or value.type().kind() == "NoneType"


def holds_tensors(value: torch._C.Value) -> bool:
    return "Tensor" in value.type().str()


def is_device(value: torch._C.Value) -> bool:
    return value.type().str() in ("Device", "Device?")


def gives_number(node: torch._C.Node) -> bool:
    """Returns whether an operator makes numbers of tensors' values."""
    dictionary = any(v.type().str().startswith("Dict(") for v in node.inputs())  # a lookup of its keys
    if METADATA.fullmatch(node.kind()) or dictionary:
        return False
    return any(NUMBER.fullmatch(v.type().str()) for v in node.outputs())
