"""Published weights by name, from a file in place of a download, or from a server in
place of the publisher's."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import open_clip
import pytest
import safetensors.torch
import test_rpn
import torch
from open_clip.transformer import QuickGELU
from torch import nn
from torch.nn.functional import normalize
from torchvision.models import detection

import archive
import detectors
import export
import published
import towers

HERE = Path(export.__file__).parent


def test_where_weights_are() -> None:
    resnet = published.rpn("fasterrcnn_resnet50_fpn")
    assert (resnet.file, resnet.digest) == ("fasterrcnn_resnet50_fpn_coco-258fb6c6.pth", "258fb6c6")
    for name in detectors.NORM_EPS:
        listed = published.rpn(name)
        assert listed.address.startswith("https://download.pytorch.org/models/fasterrcnn_")
        assert len(listed.digest) == 8, listed
        assert listed.licence.startswith("BSD-3-Clause")
    released = published.clip("ViT-B-32-quickgelu", "laion400m_e32")
    assert released.digest == "46683a32"
    hub = published.clip("ViT-B-32", "laion2b_s34b_b79k")
    assert hub.hub == ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "open_clip_pytorch_model.bin")
    assert hub.licence == "see https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    with pytest.raises(ValueError, match=r"ViT-B-32: no weights are published as 'best'; tags: openai, .*laion2b_s34b"):
        published.clip("ViT-B-32", "best")


def test_which_downloads_are_checked() -> None:
    for name in published.OPENAI:
        assert len(published.clip(name, "openai").digest) == 64, name
    unknown = set()
    for name, tag in open_clip.list_pretrained():
        listed = published.clip(name, tag)
        if not listed.hub and not listed.digest:
            unknown.add(tag)
    # CONTRACT.md names the weights that only their address identifies.
    assert unknown == {"metaclip_400m", "metaclip_fullcc", "metaclip_altogether"}


@pytest.mark.parametrize("name", detectors.NORM_EPS)
def test_detectors_are_built_as_torchvision_builds_published_ones(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # torchvision takes the file from its cache by the published name, and treats it as
    # the published one.
    listed = published.rpn(name)
    file = tmp_path / "hub" / "checkpoints" / listed.file
    file.parent.mkdir(parents=True)
    state = detectors.from_seed(name, 3)[0].state_dict()
    if name == "fasterrcnn_resnet50_fpn":  # published before these names changed
        state = {key.replace("conv.0.0.", "conv."): value for key, value in state.items()}
        state = {key.replace("_blocks.0.0.", "_blocks.0."): value for key, value in state.items()}
    torch.save(state, file)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    theirs = getattr(detection, name)(weights="COCO_V1").eval()
    ours, weights = detectors.from_file(name, file, listed.licence, listed.address)
    assert weights.source == listed.address
    for detector in (ours, theirs):  # for time, and memory
        detector.transform.min_size, detector.transform.max_size = (192,), 320
    images = test_rpn.pictures([(97, 131)])
    for one, other in zip(test_rpn.reference(ours, images), test_rpn.reference(theirs, images), strict=True):
        assert len(one) > 20
        assert torch.equal(one, other)


def test_the_tag_settles_the_activation() -> None:
    others = []  # the names that open_clip configures with GELU
    for name, tag in open_clip.list_pretrained():
        trained = open_clip.pretrained.get_pretrained_cfg(name, tag).get("quick_gelu", False)
        assert towers.Model(name, tag).quick_gelu == trained, (name, tag)
        if trained and not open_clip.get_model_config(name).get("quick_gelu", False):
            others.append((name, tag))
    assert {("ViT-B-32", "metaclip_400m"), ("ViT-B-16", "dfn2b"), ("RN50", "cc12m")} < set(others)
    assert towers.Model("ViT-B/32", "laion400m_e32").quick_gelu, "OpenAI's name with another's tag"


@pytest.mark.parametrize(
    ("tag", "want"),
    [("laion400m_e32", {QuickGELU}), ("laion2b_s34b_b79k", {nn.GELU}), (None, {nn.GELU})],
)
def test_both_towers_have_the_activation(tag: str | None, want: set[type]) -> None:
    model = towers.Model("ViT-B-32", tag).build()
    assert {type(block.mlp.gelu) for block in model.visual.transformer.resblocks} == want
    assert {type(block.mlp.gelu) for block in model.transformer.resblocks} == want


@pytest.mark.parametrize("form", ["bin", "safetensors"])
def test_gelu_of_open_clip(tmp_path: Path, form: str) -> None:
    name, tag = "ViT-B-32", "laion2b_s34b_b79k"
    model = towers.Model(name, tag).build()
    file = tmp_path / f"open_clip_pytorch_model.{form}"
    if form == "bin":
        torch.save(model.state_dict(), file)
        theirs = open_clip.create_model(name, pretrained=str(file)).eval()
    else:
        safetensors.torch.save_file(model.state_dict(), file)
        theirs = model
    arguments = ["clip", "--name", name, "--pretrained", tag, "--checkpoint", str(file), "--out", str(tmp_path / "out")]
    assert export.main([*arguments, "--dtype", "float32", "bfloat16"]) == 0
    generator = torch.Generator().manual_seed(2)
    crops = nn.functional.interpolate(torch.rand(3, 3, 6, 6, generator=generator), size=(224, 224))
    mean, std = (
        torch.tensor(values)[:, None, None] for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )
    tokens = archive.generate(9, [archive.Input((3, 77), "int64")])[0]
    with torch.inference_mode():
        want = normalize(theirs.encode_image((crops - mean) / std)), normalize(theirs.encode_text(tokens))
    for dtype in ("float32", "bfloat16"):
        for kind, batch, expected in (("clip-image", crops, want[0]), ("clip-text", tokens, want[1])):
            got = archive.run(torch.jit.load(str(tmp_path / "out" / archive.file_name(kind, dtype))), [batch])[0]
            off, cosine = (got - expected).abs().max().item(), (got * expected).sum(1).min().item()
            print(f"{name} {tag} {kind} {dtype}: difference up to {off:.1e}, cosine at least {cosine:.6f}")
            assert off <= 1e-4 if dtype == "float32" else cosine >= 0.999


def test_a_published_file_is_known_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ViT-B-32.pt"
    file.write_bytes(b"weights")
    listed = published.Published("https://example.com/ViT-B-32.pt", hashlib.sha256(b"weights").hexdigest(), "MIT")
    assert export.Origin(file).place(listed) == (file, "MIT", "https://example.com/ViT-B-32.pt")
    assert export.Origin(file, licence="mine").place(listed)[1] == "mine"
    file.write_bytes(b"other weights")
    assert export.Origin(file).place(listed) == (file, "unknown", "a local file")
    assert export.Origin(file, source="my run").place(None) == (file, "unknown", "my run")


class Hub(ThreadingHTTPServer):
    """A server in place of the hub: a repository with one large file."""

    def __init__(self, content: bytes, digest: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.digest = content, digest


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(b"")

    def do_GET(self) -> None:
        self.answer(self.server.content)

    def answer(self, body: bytes) -> None:
        if not self.server.content or not self.path.endswith("/open_clip_pytorch_model.bin"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("X-Linked-Etag", f'"{self.server.digest}"')
        self.send_header("X-Linked-Size", str(len(self.server.content)))
        self.send_header("ETag", f'"{self.server.digest}"')
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("hub") / "weights.bin"
    torch.save(towers.Model("ViT-B-32").build().state_dict(), file)
    return file.read_bytes()


@pytest.fixture(params=["honest", "lying", "empty"])
def hub(request: pytest.FixtureRequest, weights: bytes) -> Iterator[Hub]:
    digest = hashlib.sha256(weights if request.param == "honest" else b"").hexdigest()
    with Hub(weights if request.param != "empty" else b"", digest) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_weights_of_the_hub(tmp_path: Path, hub: Hub, request: pytest.FixtureRequest) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, str(HERE / "export.py"), "clip", "--name", "ViT-B-32", "--pretrained"]
    command += ["laion2b_s34b_b79k", "--out", str(tmp_path / "models")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    kind = request.node.callspec.params["hub"]
    if kind != "honest":
        assert done.returncode == 1, done.stderr
        assert f"export.py clip: {published.clip('ViT-B-32', 'laion2b_s34b_b79k').address}: " in done.stderr
        want = "404 Not Found' for url" if kind == "empty" else f"{hub.digest} was damaged (its sha256 differs"
        assert want in done.stderr
        assert ("--checkpoint" in done.stderr) == (kind == "empty")
        assert not (tmp_path / "models").exists()
        assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_symlink()]
        assert not list((tmp_path / "cache").rglob("blobs/*"))
        return
    assert done.returncode == 0, done.stderr
    described = archive.read_manifest(tmp_path / "models" / "clip-image.pt")
    assert described["architecture"] == "ViT-B-32"
    assert described["weights"] == {
        "name": "open_clip_pytorch_model.bin",
        "sha256": hub.digest,
        "licence": "see https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "source": "https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K/blob/main/open_clip_pytorch_model.bin",
    }, json.dumps(described["weights"])
