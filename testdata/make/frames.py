"""Writes testdata/frames: a GIF that moves, with every disposal, transparent pixels and
frames that cover a part of the screen, and beside it all frames as Pillow shows them in
RGB, one below the other.

    ./setup-libtorch.sh python testdata/make/frames.py
"""

import random
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT = 24, 16
FOLDER = Path(__file__).parents[1] / "frames"


def block(disposal: int, transparent: int | None) -> bytes:
    """Returns a graphic control extension."""
    flags = disposal << 2 | (transparent is not None)
    return bytes([0x21, 0xF9, 4, flags, 10, 0, transparent or 0, 0])


def frame(place: tuple[int, int, int, int], seed: int, local: bool) -> bytes:
    """Returns an image block of random pixels of 4 colours, in LZW codes of 3 bits."""
    _, _, width, height = place
    draw = random.Random(seed)
    head = b"\x2c" + b"".join(v.to_bytes(2, "little") for v in place)
    head += bytes([0x81 if local else 0])
    table = bytes(draw.randrange(256) for _ in range(12)) if local else b""
    bits, count = 0, 0

    def put(code: int) -> None:
        nonlocal bits, count
        bits |= code << count
        count += 3

    for i in range(width * height):
        if i % 2 == 0:
            put(4)  # clears the table, so that codes stay 3 bits wide
        put(draw.randrange(4))
    put(5)
    data = bits.to_bytes((count + 7) // 8, "little")
    parts = [data[i : i + 255] for i in range(0, len(data), 255)]
    return head + table + b"\x02" + b"".join(bytes([len(p)]) + p for p in parts) + b"\x00"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    screen = WIDTH.to_bytes(2, "little") + HEIGHT.to_bytes(2, "little")
    table = bytes([200, 30, 40, 20, 180, 60, 70, 80, 220, 250, 240, 10])
    whole = (0, 0, WIDTH, HEIGHT)
    gif = b"GIF89a" + screen + bytes([0x81, 1, 0]) + table
    for disposal, transparent, place, local in [
        (1, None, whole, False),
        (0, 2, (3, 2, 10, 8), False),
        (2, 1, (5, 5, 12, 9), True),
        (1, 0, (0, 0, 7, 7), False),
        (3, 3, (10, 1, 14, 15), True),
        (1, 3, (2, 9, 20, 4), False),
        (1, None, (12, 3, 5, 5), True),
    ]:
        gif += block(disposal, transparent) + frame(place, len(gif), local)
    path = FOLDER / "moves.gif"
    path.write_bytes(gif + b"\x3b")
    shown = Image.open(path)
    strip = Image.new("RGB", (WIDTH, HEIGHT * shown.n_frames))
    for n in range(shown.n_frames):
        shown.seek(n)
        strip.paste(shown.convert("RGB"), (0, HEIGHT * n))
    strip.save(FOLDER / "moves.gif.ppm")


if __name__ == "__main__":
    main()
