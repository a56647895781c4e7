"""The command line of export.py, and whether it always writes the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import archive
import export

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
        ([], "required"),
        (["clip", "--random", "1", "--out", "out"], "the following arguments are required: --name"),
        (["rpn", "--name", MOBILENET, "--random", "1", "--checkpoint", "f", "--out", "out"], "not allowed with"),
        (["clip", "--name", "ViT-B-32", "--random", "1", "--out", "out", "--dtype", "int4"], "invalid choice"),
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
