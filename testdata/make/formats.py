"""Writes the small pictures of testdata/formats, and what Pillow reads in each.

    python testdata/make/formats.py testdata/formats

Every picture NAME.EXT comes with NAME.EXT.ppm: the upright RGB pixels that a Python
pipeline sees, after ImageOps.exif_transpose and convert("RGB"). Made with Pillow 10.4.0
(libjpeg-turbo 3.0.3, libwebp 1.4.0).
"""

import argparse
import io
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

WIDTH, HEIGHT = 45, 35  # odd, and no multiple of a JPEG's or a WebP's blocks
ORIENTATION = 0x0112


def scene(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Returns a picture without symmetry: gradients, hard edges in strong colours, fine
    texture."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    planes = [255 * x / width, 255 * y / height, 128 + 100 * np.sin(x * y / 60)]
    texture = np.random.default_rng(5).integers(-25, 26, (height, width, 1))
    picture = Image.fromarray(np.clip(np.stack(planes, -1) + texture, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    draw.ellipse([3, 4, 15, 16], fill=(255, 0, 0))
    draw.rectangle([20, 6, 38, 13], fill=(0, 0, 255), outline=(255, 255, 0))
    draw.line([2, 32, 42, 18], fill=(0, 255, 0), width=2)
    return picture


def alpha(size: tuple[int, int]) -> Image.Image:
    """Returns a ramp from clear on the left to opaque on the right."""
    ramp = np.linspace(0, 255, size[0]).round().astype(np.uint8)
    return Image.fromarray(np.tile(ramp, (size[1], 1)))


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """Returns the bytes that Pillow writes."""
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def exif(orientation: int) -> Image.Exif:
    """Returns an EXIF block with only the orientation."""
    block = Image.Exif()
    block[ORIENTATION] = orientation
    return block


def png(samples: np.ndarray, depth: int, colour: int, interlaced: bool = False) -> bytes:
    """Returns a PNG of samples [H,W,C], of the kinds that Pillow does not write.
    https://www.w3.org/TR/png-3/"""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b""
    for x, y, step_x, step_y in passes if interlaced else [(0, 0, 1, 1)]:
        for row in samples[y::step_y, x::step_x]:
            rows += b"\0" + row.astype(f">u{depth // 8}").tobytes()
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def sampling(jpeg: bytes, first: int) -> bytes:
    """Gives a JPEG's first component other sampling factors. The blocks then lie
    elsewhere: the picture is scrambled but valid."""
    start = jpeg.index(b"\xff\xc0")
    return jpeg[: start + 11] + bytes([first]) + jpeg[start + 12 :]


def sampled(picture: Image.Image, factors: list[tuple[int, int]], marker: bytes = b"") -> bytes:
    """Returns a JPEG of any sampling factors, with one scan for each component, each made
    from a grey JPEG of Pillow's."""
    across, down = max(h for h, _ in factors), max(v for _, v in factors)
    scans, tables = b"", b""
    for number, ((h, v), plane) in enumerate(zip(factors, picture.split(), strict=True)):
        size = -(-picture.width * h // across), -(-picture.height * v // down)
        grey = saved(plane.resize(size, Image.Resampling.BOX), "JPEG", quality=85)
        frame, huffman, scan = grey.index(b"\xff\xc0"), grey.index(b"\xff\xc4"), grey.index(b"\xff\xda")
        tables = grey[grey.index(b"\xff\xdb") : frame] + grey[huffman:scan]
        scans += struct.pack(">HHBBBBBB", 0xFFDA, 8, 1, number, 0, 0, 63, 0) + grey[scan + 10 : -2]
    header = struct.pack(">HHBHHB", 0xFFC0, 8 + 3 * len(factors), 8, picture.height, picture.width, len(factors))
    specs = b"".join(bytes([number, h << 4 | v, 0]) for number, (h, v) in enumerate(factors))
    return b"\xff\xd8" + marker + tables + header + specs + scans + b"\xff\xd9"


def adobe(jpeg: bytes, transform: int | None) -> bytes:
    """Sets the colour transform in Adobe's marker, or removes the marker."""
    start = jpeg.index(b"\xff\xee\x00\x0eAdobe")
    if transform is None:
        return jpeg[:start] + jpeg[start + 16 :]
    return jpeg[: start + 15] + bytes([transform]) + jpeg[start + 16 :]


def anmf(frame: bytes, x: int, y: int, width: int, height: int) -> bytes:
    """Returns a frame of a WebP animation, from a still WebP without metadata."""
    body = b"".join(struct.pack("<I", v)[:3] for v in (x // 2, y // 2, width - 1, height - 1, 100)) + b"\2" + frame[12:]
    return b"ANMF" + struct.pack("<I", len(body)) + body


def pngs() -> Iterable[tuple[str, bytes]]:
    """Yields PNGs of each colour type and depth."""
    rgb, size = scene(), (WIDTH, HEIGHT)
    clear = rgb.copy()
    clear.putalpha(alpha(size))
    wide = np.asarray(rgb).astype(np.uint16) * 256 + np.arange(WIDTH, dtype=np.uint16)[None, :, None]
    yield "rgb.png", saved(rgb, "PNG")
    yield "rgba.png", saved(clear, "PNG")
    yield "palette.png", saved(rgb.quantize(64), "PNG")
    yield "palette-16.png", saved(rgb.quantize(16), "PNG")
    yield "palette-clear.png", saved(rgb.quantize(32), "PNG", transparency=3)
    yield "grey.png", saved(rgb.convert("L"), "PNG")
    yield "grey-1bit.png", saved(rgb.convert("1"), "PNG")
    yield "grey-alpha.png", saved(Image.merge("LA", [rgb.convert("L"), alpha(size)]), "PNG")
    yield "grey-clear.png", saved(rgb.convert("L"), "PNG", transparency=128)
    yield "rgb-16bit.png", png(wide, 16, 2)
    yield "rgba-16bit.png", png(np.dstack([wide, np.asarray(alpha(size)).astype(np.uint16) * 257]), 16, 6)
    yield "rgb-interlaced.png", png(np.asarray(rgb), 8, 2, interlaced=True)
    yield "rgb-exif6.png", saved(rgb, "PNG", exif=exif(6))


def jpegs() -> Iterable[tuple[str, bytes]]:
    """Yields JPEGs of each subsampling, colour space and mode, and of all eight
    orientations."""
    rgb = scene()
    for name, subsampling in [("444", 0), ("422", 1), ("420", 2)]:
        yield f"{name}.jpg", saved(rgb, "JPEG", subsampling=subsampling, quality=85)
        yield f"{name}-progressive.jpg", saved(rgb, "JPEG", subsampling=subsampling, quality=85, progressive=True)
    # Square and a multiple of 16, so that other factors make as many units.
    square = saved(scene(48, 48), "JPEG", subsampling=1)
    yield "440.jpg", sampling(square, 0x12)
    yield "411.jpg", sampling(saved(scene(64, 32), "JPEG", subsampling=2), 0x41)
    yield "quality-100.jpg", saved(rgb, "JPEG", quality=100)
    yield "quality-5.jpg", saved(rgb, "JPEG", quality=5)
    yield "restart.jpg", saved(rgb, "JPEG", restart_marker_blocks=2)
    yield "grey.jpg", saved(rgb.convert("L"), "JPEG")
    yield "rgb.jpg", saved(rgb, "JPEG", keep_rgb=True)
    cmyk = saved(rgb.convert("CMYK"), "JPEG", quality=90)
    yield "cmyk.jpg", cmyk
    yield "ycck.jpg", adobe(cmyk, 2)
    yield "cmyk-unmarked.jpg", adobe(cmyk, None)  # Pillow still takes its inks to be inverted
    yield "cmyk-420.jpg", saved(rgb.convert("CMYK"), "JPEG", subsampling=2)
    for size in (1, 2, 3, 4, 5):
        yield f"420-{size}x{size}.jpg", saved(scene().crop((10, 4, 10 + size, 4 + size)), "JPEG", quality=90)
    colours = rgb.convert("YCbCr")
    one = (1, 1)
    for name, factors in {
        "410": [(4, 2), one, one],
        "1x4": [(1, 4), one, one],
        "2x4": [(2, 4), one, one],
        "4x4": [(4, 4), one, one],
        "3x1": [(3, 1), one, one],
        "1x3": [(1, 3), one, one],
        "3x2": [(3, 2), one, one],
        "444-by-2x2": [(2, 2), (2, 2), (2, 2)],
        "422-by-2x2": [(2, 2), (1, 2), (1, 2)],
        "440-by-2x2": [(2, 2), (2, 1), (2, 1)],
        "422-420": [(2, 2), (1, 2), one],
        "440-422": [(2, 2), (2, 1), (1, 2)],
        "luma-halved": [one, (2, 2), (2, 2)],
        "luma-halved-across": [one, (2, 1), one],
    }.items():
        yield f"sampled-{name}.jpg", sampled(colours, factors)
    marker = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
    inks = Image.merge("CMYK", [*colours.split(), alpha(rgb.size)])
    yield "sampled-ycck-420.jpg", sampled(inks, [(2, 2), one, one, (2, 2)], marker + b"\2")
    yield "sampled-ycck-422.jpg", sampled(inks, [(2, 1), one, one, (2, 1)], marker + b"\2")
    yield "sampled-rgb-420.jpg", sampled(rgb, [(2, 2), one, one], marker + b"\0")
    for orientation in range(1, 9):
        yield f"exif{orientation}.jpg", saved(rgb, "JPEG", exif=exif(orientation), quality=80)


def webps() -> Iterable[tuple[str, bytes]]:
    """Yields WebPs, lossy and lossless, with alpha, EXIF and animation."""
    rgb = scene()
    clear = rgb.copy()
    clear.putalpha(alpha(rgb.size))
    yield "lossy.webp", saved(rgb, "WEBP", quality=80)
    yield "lossy-alpha.webp", saved(clear, "WEBP", quality=80, exact=True)
    yield "lossy-exif8.webp", saved(rgb, "WEBP", quality=80, exif=exif(8))
    yield "lossy-1x1.webp", saved(rgb.crop((10, 4, 11, 5)), "WEBP")
    yield "lossy-3x2.webp", saved(rgb.crop((10, 4, 13, 6)), "WEBP")
    yield "lossless.webp", saved(rgb, "WEBP", lossless=True)
    yield "lossless-alpha.webp", saved(clear, "WEBP", lossless=True, exact=True)
    flipped = ImageOps.flip(rgb)
    yield "animation.webp", saved(rgb, "WEBP", save_all=True, append_images=[flipped], duration=100)
    still = saved(rgb.crop((0, 0, 20, 16)), "WEBP", quality=80)
    header = b"VP8X" + struct.pack("<IB3x", 10, 2) + b"".join(struct.pack("<I", v - 1)[:3] for v in rgb.size)
    body = b"WEBP" + header + b"ANIM" + struct.pack("<IIH", 6, 0, 0) + anmf(still, 8, 10, 20, 16)
    yield "animation-offset.webp", b"RIFF" + struct.pack("<I", len(body)) + body


def gifs_and_bmps() -> Iterable[tuple[str, bytes]]:
    """Yields GIFs with the first frame in several forms, and BMPs."""
    rgb = scene()
    palette = rgb.quantize(32)
    yield "plain.gif", saved(palette, "GIF", interlace=0)
    yield "interlaced.gif", saved(palette, "GIF", interlace=1)
    yield "animation.gif", saved(palette, "GIF", save_all=True, append_images=[ImageOps.flip(palette)], duration=100)
    # The frame of a smaller GIF, moved on a larger screen. Colour 0 is black, and Pillow
    # shows it around the frame.
    small = Image.new("P", (20, 16))
    small.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 255, 255, 255])
    ImageDraw.Draw(small).ellipse([2, 2, 14, 11], fill=1, outline=2)
    moved = bytearray(saved(small, "GIF", interlace=0))
    moved[6:10] = struct.pack("<HH", WIDTH, HEIGHT)
    at = moved.index(b",\0\0\0\0" + struct.pack("<HH", 20, 16))
    moved[at + 1 : at + 5] = struct.pack("<HH", 8, 10)
    yield "offset.gif", bytes(moved)
    # If colour 0 is clear, it is black in Pillow too.
    yield "clear.gif", saved(small, "GIF", transparency=0)
    yield "rgb.bmp", saved(rgb, "BMP")
    yield "rgba.bmp", saved(rgb.convert("RGBA"), "BMP")
    yield "palette.bmp", saved(palette, "BMP")
    yield "1bit.bmp", saved(rgb.convert("1"), "BMP")


def main() -> None:
    """Writes every picture, and what Pillow reads in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to write into")
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    for files in (pngs(), jpegs(), webps(), gifs_and_bmps()):
        for name, data in files:
            (folder / name).write_bytes(data)
            picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
            ppm = b"P6 %d %d 255\n" % picture.size + picture.tobytes()
            (folder / f"{name}.ppm").write_bytes(ppm)
    rgb = scene()
    # Pillow would clip these 16 bits at 255. clipdet takes their high byte, so the
    # expected pixels are made here.
    grey = np.asarray(rgb.convert("L"))
    deep = grey.astype(np.uint16)[..., None] * 256 + np.arange(WIDTH, dtype=np.uint16)[None, :, None]
    (folder / "grey-16bit.png").write_bytes(png(deep, 16, 0))
    ppm = b"P6 %d %d 255\n" % rgb.size + np.repeat(grey[..., None], 3, -1).tobytes()
    (folder / "grey-16bit.png.ppm").write_bytes(ppm)


if __name__ == "__main__":
    main()
