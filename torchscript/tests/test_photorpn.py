"""Proposals of photos and drawings, with random weights."""

import pytest
import torch
from torch import Tensor, nn

import photorpn
import rpn
import smallrpn
import ssdlite
import stored

SIZES = torch.tensor([[64, 96], [80, 50]])


def pictures() -> Tensor:
    """Two pictures of SIZES, padded to one size."""
    images = torch.randint(0, 256, (2, 3, 80, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    images[0, :, 64:], images[1, :, :, 50:] = 0, 0
    return images


@pytest.fixture(scope="module")
def made() -> photorpn.Proposals:
    torch.manual_seed(1)
    return photorpn.Proposals(smallrpn.SmallRPN().eval(), nn.Linear(photorpn.WIDTH, 1), ssdlite.SSDLite().eval())


def look(made: photorpn.Proposals, photo: float) -> photorpn.Proposals:
    """Gives the look the same logit for every picture."""
    made.look.weight.data.zero_()
    made.look.bias.data.fill_(photo)
    return made


def of_drawings(made: photorpn.Proposals) -> tuple[Tensor, Tensor]:
    return rpn.Proposals.forward(made, pictures(), SIZES)


def test_a_drawing_has_the_proposals_of_drawings(made: photorpn.Proposals) -> None:
    for found, want in zip(torch.jit.script(look(made, -9))(pictures(), SIZES), of_drawings(made), strict=True):
        assert torch.equal(found, want)


def test_a_photo_has_those_of_both(made: photorpn.Proposals) -> None:
    rows, counts = torch.jit.script(look(made, 9))(pictures(), SIZES)
    want, wanted = made.both(of_drawings(made)[0], made.photographed(pictures(), SIZES), torch.ones(2))
    assert rows.shape == (2, smallrpn.Config.proposals, 5)
    assert counts.tolist() == wanted.tolist() == [ssdlite.PROPOSALS + photorpn.ADDED] * 2
    assert torch.equal(rows, want)


@pytest.mark.parametrize(
    ("photo", "want"),
    [
        (0.0, [(0, 0.9), (1, 0.8), (2, 0.5)]),
        (0.5, [(3, 0.4), (2, 0.35)]),
        (1.0, [(3, 0.8), (2, 0.2)]),
    ],
)
def test_what_both_propose_is_taken_once_and_drawn_things_are_doubted(
    made: photorpn.Proposals, photo: float, want: list[tuple[int, float]]
) -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 6], [50, 50, 60, 60], [0, 0, 10, 9]])
    drawn, photographed = torch.zeros(1, 120, 5), torch.zeros(1, 60, 5)
    drawn[0, :3] = torch.cat([boxes[:3], torch.tensor([[0.9], [0.8], [0.5]])], 1)
    photographed[0, 0] = torch.cat([boxes[3], torch.tensor([0.8])])
    rows, counts = made.both(drawn, photographed, torch.tensor([photo]))
    assert counts.tolist() == [len(want)]
    for row, (box, objectness) in zip(rows[0], want, strict=False):
        torch.testing.assert_close(row, torch.cat([boxes[box], torch.tensor([objectness])]))
    assert not rows[0, len(want) :].any()


def test_of_two_pictures_one_may_be_a_drawing(made: photorpn.Proposals) -> None:
    look(made, 0)
    resized = made.resized(pictures(), SIZES)
    seen = photorpn.seen(made.backbone.trunk(made.prepare(pictures(), SIZES, resized)), resized)
    apart = seen[1] - seen[0]
    made.look.weight.data = apart[None] * 40 / (apart @ apart)
    made.look.bias.data = -(made.look.weight.data @ (seen[0] + seen[1]) / 2)
    rows, counts = made(pictures(), SIZES)
    drawn, photographed = of_drawings(made)[0], made.photographed(pictures(), SIZES)
    assert torch.equal(rows[0], drawn[0])
    assert torch.equal(rows, made.both(drawn, photographed, torch.tensor([0.0, 1.0]))[0])
    assert counts.tolist() == [smallrpn.Config.proposals, ssdlite.PROPOSALS + photorpn.ADDED]


def test_the_look_leaves_out_padding() -> None:
    maps = {"8": torch.ones(2, 3, 12, 12), "32": torch.ones(2, 2, 3, 3)}
    maps["8"][1, :, 8:], maps["8"][1, :, :, 4:] = 9, 9
    maps["32"][1, :, 2:], maps["32"][1, :, :, 1:] = 9, 9
    assert torch.equal(photorpn.seen(maps, torch.tensor([[96, 96], [60, 30]])), torch.ones(2, 5))


def test_stored_weights_have_few_bits(made: photorpn.Proposals) -> None:
    kinds = {module.eight for module in made.photographed.modules() if isinstance(module, stored.Conv2d)}
    assert kinds == {True}
    assert {module.eight for module in made.backbone.modules() if isinstance(module, stored.Conv2d)} == {False}
