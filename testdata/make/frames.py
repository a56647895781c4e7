"""Writes testdata/frames: a GIF and a WebP that move, with every disposal and blending,
transparent pixels and frames that cover a part of the screen, and beside each all its
frames as Pillow shows them in RGB, one below the other.

    ./setup-libtorch.sh python testdata/make/frames.py
"""

import io
import random
import struct
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


def moving_gif() -> bytes:
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
    return gif + b"\x3b"


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def u24(value: int) -> bytes:
    return value.to_bytes(3, "little")


def anmf(place: tuple[int, int, int, int], seed: int, flags: int, clear: bool, **how: object) -> bytes:
    """Returns a frame of patches of colour, some clear or half so. Of flags 1 is the
    disposal to the background, and 2 replaces what the frame covers."""
    x, y, width, height = place
    draw = random.Random(seed)
    small = Image.new("RGBA", ((width + 2) // 3, (height + 2) // 3))
    for at in ((x, y) for y in range(small.height) for x in range(small.width)):
        alpha = draw.choice([0, 1, 60, 128, 254, 255]) if clear else 255
        small.putpixel(at, (*(draw.randrange(256) for _ in range(3)), alpha))
    file = io.BytesIO()
    picture = small.resize((3 * small.width, 3 * small.height), Image.Resampling.NEAREST)
    picture.crop((0, 0, width, height)).save(file, "WEBP", exact=True, **how)
    parts, rest = b"", file.getvalue()[12:]
    while rest:
        size = 8 + int.from_bytes(rest[4:8], "little")
        if rest[:4] in (b"ALPH", b"VP8 ", b"VP8L"):
            parts += chunk(rest[:4], rest[8:size])
        rest = rest[size + size % 2 :]
    head = u24(x // 2) + u24(y // 2) + u24(width - 1) + u24(height - 1) + u24(100) + bytes([flags])
    return chunk(b"ANMF", head + parts)


def moving_webp() -> bytes:
    screen = u24(WIDTH - 1) + u24(HEIGHT - 1)
    body = chunk(b"VP8X", bytes([0x12, 0, 0, 0]) + screen) + chunk(b"ANIM", bytes(6))
    whole = (0, 0, WIDTH, HEIGHT)
    lossless = {"lossless": True}
    for flags, clear, place, how in [
        (0, True, (2, 0, 17, 13), {}),
        (0, True, (4, 2, 20, 12), lossless),
        (1, True, (6, 4, 12, 9), {"alpha_quality": 50}),
        (0, True, (0, 2, 20, 14), lossless),  # over a part that was left clear
        (3, True, (8, 0, 16, 16), {"quality": 100}),
        (1, False, (0, 0, 9, 9), lossless),
        (1, False, whole, {}),  # needs no frame before it, nor do those after it
        (0, True, (2, 2, 10, 10), lossless),
        (0, True, whole, {"quality": 30}),
        (2, True, (10, 6, 13, 9), lossless),
        (3, True, whole, lossless),
        (0, True, (4, 4, 16, 11), {}),
        (0, False, (0, 8, 5, 5), lossless),
    ]:
        body += anmf(place, len(body), flags, clear, **how)
    return chunk(b"RIFF", b"WEBP" + body)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, data in [("moves.gif", moving_gif()), ("moves.webp", moving_webp())]:
        path = FOLDER / name
        path.write_bytes(data)
        shown = Image.open(path)
        strip = Image.new("RGB", (WIDTH, HEIGHT * shown.n_frames))
        for n in range(shown.n_frames):
            shown.seek(n)
            strip.paste(shown.convert("RGB"), (0, HEIGHT * n))
        strip.save(FOLDER / f"{name}.ppm")


if __name__ == "__main__":
    main()
