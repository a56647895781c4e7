"""The command line of export.py, and whether it always writes the same bytes."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import archive
import export
import photorpn
import published
import smallrpn

HERE = Path(export.__file__).parent
MOBILENET = "fasterrcnn_mobilenet_v3_large_320_fpn"


def test_rpn_from_a_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["rpn", "--name", MOBILENET, "--random", "1", "--out", str(tmp_path)]
    assert export.main([*arguments, "--memory-format", "contiguous"]) == 0
    printed = capsys.readouterr()
    path = tmp_path / "rpn.pt"
    assert archive.file_digest(path) in printed.out
    assert "licence of the weights: none: random" in printed.out
    assert "still lacks clip-image, clip-text" in printed.out
    described = archive.read_manifest(path)
    assert (described["architecture"], described["memory_format"]) == (MOBILENET, "contiguous")
    assert (described["min_size"], described["max_size"], described["proposals"]) == (320, 640, 150)


def test_nothing_is_printed_but_the_summary(tmp_path: Path) -> None:
    # As users run it. Notes that torch.jit is deprecated are for developers, and
    # open_clip's note on random weights is for nobody.
    command = [sys.executable, str(HERE / "export.py"), "clip", "--name", "RN50", "--random", "1", "--out", tmp_path]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 4


def test_problems_are_one_line_and_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    cases = {
        "other.pth": "not a Faster R-CNN's weights",
        "missing.pth": "No such file",
    }
    for file, why in cases.items():
        arguments = ["rpn", "--name", MOBILENET, "--checkpoint", str(tmp_path / file), "--out", str(tmp_path / "out")]
        assert export.main(arguments) == 1
        printed = capsys.readouterr()
        assert printed.err.count("\n") == 1
        assert why in printed.err
        assert file in printed.err
        assert not printed.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["all", "--clip", "ViT-Z", "--rpn", MOBILENET, "--random", "1"], "unknown model 'ViT-Z'"),
        (["all", "--rpn", "yolo", "--random", "1"], "unknown detector 'yolo'"),
        (
            ["all", "--clip", "ViT-B-32", "--rpn", MOBILENET, "--pretrained", "best"],
            "no weights are published as 'best'",
        ),
        (["clip", "--name", "ViT-B-16"], "ViT-B-16: its weights need a tag: give it with --pretrained; tags: openai, "),
        (["all", "--rpn", MOBILENET, "--random", "1", "--clip-checkpoint", "missing.pt"], "missing.pt"),
        (["clip", "--name", "ViT-B-16-SigLIP", "--pretrained", "webli"], "ViT-B-16-SigLIP: its text tower"),
        (["clip", "--name", "RN50", "--dtype", "float32", "int8"], "int8 is for transformers"),
        (["all", "--rpn", MOBILENET, "--dtype", "int8", "--calibrate", "no-photos"], "no-photos"),
        (["all", "--rpn", MOBILENET, "--dtype", "int8", "--calibrate", str(HERE / "tests")], "there is no picture"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(
    arguments: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(listed: published.Published) -> Path:
        raise AssertionError(f"fetches {listed.address}")

    monkeypatch.setattr(published.Published, "fetch", fetch)
    assert export.main([*arguments, "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert why in printed.err
    assert not (tmp_path / "out").exists()


def test_parts_of_the_training_are_not_mixed_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.asdict(smallrpn.Config())
    torch.save(
        {"config": config, "state": smallrpn.SmallRPN(smallrpn.Config()).state_dict(), "notes": {}},
        tmp_path / "rpn.ckpt",
    )
    torch.save({"look": nn.Linear(photorpn.WIDTH, 1).state_dict()}, tmp_path / "look.ckpt")
    torch.save([1], tmp_path / "list.ckpt")
    cases = {
        ("look", "rpn"): "--rpn {}/look.ckpt: not a checkpoint of train_rpn.py: it has no 'config'",
        ("rpn", "rpn"): "--look {}/rpn.ckpt: not a checkpoint of train_look.py: it has no 'look'",
        ("list", "look"): "--rpn {}/list.ckpt: not a checkpoint of train_rpn.py: ",
        ("rpn", "look"): "npm is needed to fetch ",
    }
    monkeypatch.setenv("PATH", "")  # so that no npm is found
    monkeypatch.setenv("CLIPDET_HOME", str(tmp_path / "home"))
    for (rpn, look), why in cases.items():
        arguments = ["builtin", "--rpn", str(tmp_path / f"{rpn}.ckpt"), "--look", str(tmp_path / f"{look}.ckpt")]
        assert export.main([*arguments, "--out", str(tmp_path / "out")]) == 1
        printed = capsys.readouterr()
        assert printed.err.startswith("export.py builtin: " + why.format(tmp_path)), printed.err
        assert printed.err.count("\n") == 1
    clip = [text for part in export.PARTS for text in (f"--{part}", str(tmp_path / "list.ckpt"))]
    proposals = ["--rpn", str(tmp_path / "rpn.ckpt"), "--look", str(tmp_path / "look.ckpt")]
    assert export.main(["builtin", *proposals, *clip, "--out", str(tmp_path / "out")]) == 1
    assert f"--clip {tmp_path}/list.ckpt: not a checkpoint of train_clip.py: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "required"),
        (["clip", "--random", "1", "--out", "out"], "the following arguments are required: --name"),
        (["rpn", "--name", MOBILENET, "--random", "1", "--checkpoint", "f", "--out", "out"], "not allowed with"),
        (["clip", "--name", "ViT-B-32", "--random", "1", "--out", "out", "--dtype", "int4"], "invalid choice"),
        (["rpn", "--name", MOBILENET, "--random", "1", "--licence", "MIT", "--out", "out"], "give --checkpoint FILE"),
        (["clip", "--name", "ViT-B/32", "--source", "https://example.com", "--out", "out"], "give --checkpoint FILE"),
        (["builtin", "--out", "out"], "nothing to export"),
        (["builtin", "--rpn", "r", "--clip", "c", "--words", "w", "--out", "out"], "--rpn, --look go together"),
        (["builtin", "--clip", "c", "--words", "w", "--out", "out"], "--words go together"),
    ],
)
def test_wrong_usage_exits_2(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        export.main(arguments)
    assert caught.value.code == 2
    assert why in capsys.readouterr().err


def test_exports_are_the_same_in_every_process(tmp_path: Path) -> None:
    for seed in ("1", "2"):  # of the hashes, which order Python's sets
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(HERE)}
        command = [sys.executable, str(REPOSITORY / "testdata" / "make" / "tiny.py"), str(tmp_path / seed)]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    one, two = ({p.relative_to(tmp_path / s): p.read_bytes() for p in (tmp_path / s).rglob("*.*")} for s in ("1", "2"))
    assert len(one) == 16
    assert [str(name) for name in one if one[name] != two[name]] == []


REPOSITORY = HERE.parent
FOLDERS = ("pkg/model/builtin", "testdata/models/tiny", "testdata/models/half", "testdata/models/eight")
COMMITTED = [path for folder in FOLDERS for path in sorted((REPOSITORY / folder).glob("*.pt"))]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_committed_models_keep_the_contract(path: Path) -> None:
    # Whichever torch exported it: archives of earlier exports must keep working.
    described = archive.read_manifest(path)
    assert described["exporter"].startswith("clipdet-export 1 torch ")
    answer = described["known_answer"]
    inputs = [
        archive.Input(tuple(i["shape"]), i["dtype"], tuple(map(tuple, i["literal"])) if "literal" in i else None)
        for i in answer["inputs"]
    ]
    assert archive.inspect(path.read_bytes()) == []
    assert archive.replay(path.read_bytes(), described["kind"], inputs, answer) == []


def test_all_committed_models_are_looked_at() -> None:
    assert len(COMMITTED) == 11
