"""reference.py builds published weights as they were trained."""

import warnings
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU

import detectors
import reference

DETECTOR = "fasterrcnn_mobilenet_v3_large_320_fpn"


def test_openais_weights_have_quickgelu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(detectors.from_seed(DETECTOR, 1)[0].state_dict(), tmp_path / "detector.pth")
    torch.save(open_clip.create_model("ViT-B-32", pretrained_text=False).half().state_dict(), tmp_path / "clip.pt")
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *_, **__: str(tmp_path / "clip.pt"))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="QuickGELU mismatch")
        models = reference.load(DETECTOR, tmp_path / "detector.pth", "ViT-B-32", "openai")
    for tower in (models.clip.visual, models.clip):
        assert {type(block.mlp.gelu) for block in tower.transformer.resblocks} == {QuickGELU}
