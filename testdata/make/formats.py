"""Writes the small pictures of testdata/formats, and what Pillow reads in each.

    python testdata/make/formats.py testdata/formats

Every picture NAME.EXT comes with NAME.EXT.ppm: the upright RGB pixels that a Python
pipeline sees, after ImageOps.exif_transpose and convert("RGB"). Made with Pillow 10.4.0
(libjpeg-turbo 3.0.3, libwebp 1.4.0).
"""

import argparse
import io
import struct
import textwrap
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps
from PIL.PngImagePlugin import PngInfo

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


def xmp(orientation: int, element: bool = False) -> str:
    """Returns an XMP packet that states the orientation, in one of the two forms."""
    space = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
    inner = f' tiff:Orientation="{orientation}"/>'
    if element:
        inner = f"><tiff:Orientation>{orientation}</tiff:Orientation></rdf:Description>"
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {space}><rdf:Description{inner}</rdf:RDF></x:xmpmeta>'


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
    notes = PngInfo()
    notes.add_itxt("XML:com.adobe.xmp", xmp(6))
    yield "xmp6.png", saved(rgb, "PNG", pnginfo=notes)
    notes = PngInfo()
    notes.add_itxt("XML:com.adobe.xmp", xmp(6), zip=True)
    yield "xmp6-zip.png", saved(rgb, "PNG", pnginfo=notes)
    for name, orientation, zipped in [("raw-profile6.png", 6, False), ("raw-profile8-zip.png", 8, True)]:
        block = exif(orientation).tobytes()
        digits = "\n".join(textwrap.wrap(block.hex(), 72))
        notes = PngInfo()
        notes.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{digits}\n", zip=zipped)
        yield name, saved(rgb, "PNG", pnginfo=notes)
    yield "no-end.png", saved(rgb, "PNG")[:-12]  # without IEND, the last chunk


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
    # An orientation of the type LONG, which Pillow takes though EXIF wants SHORT.
    long = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHIII", 1, ORIENTATION, 4, 1, 6, 0)
    yield "exif6-long.jpg", saved(rgb, "JPEG", exif=long)
    yield "xmp6.jpg", saved(rgb, "JPEG", xmp=xmp(6).encode())
    yield "xmp8-element.jpg", saved(rgb, "JPEG", xmp=xmp(8, element=True).encode())
    yield "exif3-xmp6.jpg", saved(rgb, "JPEG", exif=exif(3), xmp=xmp(6).encode())


def webps() -> Iterable[tuple[str, bytes]]:
    """Yields WebPs, lossy and lossless, with alpha, EXIF and animation."""
    rgb = scene()
    clear = rgb.copy()
    clear.putalpha(alpha(rgb.size))
    yield "lossy.webp", saved(rgb, "WEBP", quality=80)
    yield "lossy-alpha.webp", saved(clear, "WEBP", quality=80, exact=True)
    yield "lossy-exif8.webp", saved(rgb, "WEBP", quality=80, exif=exif(8))
    yield "xmp8.webp", saved(rgb, "WEBP", xmp=xmp(8).encode())
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
    yield "clear-yellow.gif", saved(small, "GIF", transparency=2)
    moved = bytearray(saved(small, "GIF", interlace=0, transparency=2))
    moved[6:10] = struct.pack("<HH", WIDTH, HEIGHT)
    at = moved.index(b",\0\0\0\0" + struct.pack("<HH", 20, 16))
    moved[at + 1 : at + 5] = struct.pack("<HH", 8, 10)
    yield "offset-yellow.gif", bytes(moved)
    yield "rgb.bmp", saved(rgb, "BMP")
    yield "rgba.bmp", saved(rgb.convert("RGBA"), "BMP")
    yield "palette.bmp", saved(palette, "BMP")
    yield "1bit.bmp", saved(rgb.convert("1"), "BMP")


def bmp(
    samples: np.ndarray,
    bits: int,
    header: int = 40,
    palette: bytes = b"",
    masks: tuple[int, ...] = (),
    compression: int = 0,
    packed: bytes | None = None,
    top: bool = False,
) -> bytes:
    """Returns a BMP of the kinds that Pillow doesn't write. samples are pixel values
    [H,W], or [H,W,3] of blue, green and red; packed are runs in place of them."""
    height, width = samples.shape[:2]
    if packed is None:
        packed = b""
        for row in samples if top else samples[::-1]:
            if bits < 8:
                digits = "".join(format(v, f"0{bits}b") for v in row)
                line = bytes(int(digits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(digits), 8))
            else:
                line = row.astype("u1" if bits in (8, 24) else f"<u{bits // 8}").tobytes()
            packed += line + bytes(-len(line) % 4)
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        colours, signed = len(palette) // 4, -height if top else height
        info = struct.pack("<IIiHHIIiiII", header, width, signed, 1, bits, compression, 0, 0, 0, colours, 0)
        if header > 40:
            info += struct.pack(f"<{len(masks)}I", *masks)
            info += bytes(header - len(info))
        else:
            info += struct.pack(f"<{len(masks)}I", *masks)
    body = info + palette
    return b"BM" + struct.pack("<IHHI", 14 + len(body) + len(packed), 0, 0, 14 + len(body)) + body + packed


def runs(samples: np.ndarray, bits: int) -> bytes:
    """Packs pixel values [H,W] as a BMP's runs: pieces of the values as they are, and
    runs of 3 or more equal ones."""

    def packed(values: list[int]) -> bytes:
        if bits == 8:
            return bytes(values)
        return bytes(a << 4 | b for a, b in zip(values[::2], [*values[1::2], 0], strict=False))

    out = b""
    for row in samples[::-1].tolist():
        x = 0
        while x < len(row):
            n = next((i for i in range(x, len(row)) if row[i] != row[x]), len(row)) - x
            if n >= 3 or len(row) - x < 3:
                out += bytes([n, row[x] if bits == 8 else row[x] * 17])
            else:
                n = min(7, len(row) - x)
                piece = packed(row[x : x + n])
                out += bytes([0, n]) + piece + bytes(len(piece) % 2)
            x += n
        out += b"\0\0"
    return out + b"\0\1"


def bmps() -> Iterable[tuple[str, bytes]]:
    """Yields BMPs of the other kinds that Pillow reads."""
    rgb = np.asarray(scene()).astype(np.uint32)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    high = red >> 3 << 10 | green >> 3 << 5 | blue >> 3
    yield "16bit.bmp", bmp(high, 16)
    yield "16bit-555.bmp", bmp(high, 16, masks=(0x7C00, 0x3E0, 0x1F), compression=3)
    high = red >> 3 << 11 | green >> 2 << 5 | blue >> 3
    yield "16bit-565.bmp", bmp(high, 16, masks=(0xF800, 0x7E0, 0x1F), compression=3)
    yield "16bit-565-v4.bmp", bmp(high, 16, header=108, masks=(0xF800, 0x7E0, 0x1F, 0), compression=3)
    whole = red << 24 | green << 16 | blue << 8
    yield "32bit-fields.bmp", bmp(whole, 32, masks=(0xFF000000, 0xFF0000, 0xFF00), compression=3)
    whole = 77 << 24 | blue << 16 | green << 8 | red
    masks = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    yield "32bit-v5.bmp", bmp(whole, 32, header=124, masks=masks, compression=3)
    yield "24bit-top.bmp", bmp(rgb[..., ::-1], 24, top=True)
    yield "24bit-os2.bmp", bmp(rgb[..., ::-1], 24, header=12)
    for colours, bits in [(2, 1), (16, 4), (256, 8)]:
        picture = scene().quantize(colours, dither=Image.Dither.NONE)
        table = np.asarray(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
        table = np.vstack([table, np.zeros((colours, 3), np.uint8)])[:colours, ::-1]
        padded = np.hstack([table, np.zeros((colours, 1), np.uint8)])
        values = np.asarray(picture)
        yield f"{bits}bit-os2.bmp", bmp(values, bits, header=12, palette=table.tobytes())
        yield f"{bits}bit-os2-v2.bmp", bmp(values, bits, header=64, palette=padded.tobytes())
        if bits > 1:
            yield (
                f"{bits}bit-runs.bmp",
                bmp(values, bits, palette=padded.tobytes(), compression={8: 1, 4: 2}[bits], packed=runs(values, bits)),
            )
    yield "palette-short.bmp", bmp(values, 8, palette=padded[:100].tobytes())
    # After five rows the runs continue further right and two rows up.
    five = runs(values[-5:], 8)[:-2]
    moved = five + bytes([0, 2, 7, 2, 9, 200, 0, 0]) + runs(values[:-8], 8)
    yield "8bit-runs-moved.bmp", bmp(values, 8, palette=padded.tobytes(), compression=1, packed=moved)


def tiled(samples: np.ndarray) -> bytes:
    """Returns a big-endian TIFF of 8-bit RGB samples [H,W,3] in tiles of 16 x 16."""
    height, width = samples.shape[:2]
    padded = np.pad(samples, ((0, -height % 16), (0, -width % 16), (0, 0)))
    tiles = [padded[y : y + 16, x : x + 16].tobytes() for y in range(0, height, 16) for x in range(0, width, 16)]
    tags = [(256, width), (257, height), (259, 1), (262, 2), (277, 3), (322, 16), (323, 16)]
    start = 8 + 2 + 12 * (len(tags) + 3) + 4
    bits = struct.pack(">HHH", 8, 8, 8)
    counts = struct.pack(f">{len(tiles)}I", *[768] * len(tiles))
    first = start + len(bits) + 2 * len(counts)
    offsets = struct.pack(f">{len(tiles)}I", *[first + 768 * i for i in range(len(tiles))])
    entries = [struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags]
    entries.append(struct.pack(">HHII", 258, 3, 3, start))
    entries.append(struct.pack(">HHII", 324, 4, len(tiles), start + len(bits)))
    entries.append(struct.pack(">HHII", 325, 4, len(tiles), start + len(bits) + len(counts)))
    directory = struct.pack(">H", len(entries)) + b"".join(sorted(entries)) + bytes(4)
    return b"MM\0*\0\0\0\x08" + directory + bits + offsets + counts + b"".join(tiles)


def tiffs() -> Iterable[tuple[str, bytes]]:
    """Yields TIFFs of each colour and compression that is read."""
    rgb = scene()
    yield "plain.tiff", saved(rgb, "TIFF")
    for name, compression in {"lzw": "tiff_lzw", "deflate": "tiff_adobe_deflate", "packbits": "packbits"}.items():
        yield f"{name}.tiff", saved(rgb, "TIFF", compression=compression)
    yield "predictor.tiff", saved(rgb, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    yield "grey.tiff", saved(rgb.convert("L"), "TIFF")
    yield "1bit.tiff", saved(rgb.convert("1"), "TIFF")
    yield "fax.tiff", saved(rgb.convert("1"), "TIFF", compression="group4")
    yield "fax-white-0.tiff", saved(rgb.convert("1"), "TIFF", compression="group4", tiffinfo={262: 0})
    yield "fax-3.tiff", saved(rgb.convert("1"), "TIFF", compression="group3")
    yield "palette.tiff", saved(rgb.quantize(64), "TIFF")
    clear = rgb.copy()
    clear.putalpha(alpha(rgb.size))
    yield "rgba.tiff", saved(clear, "TIFF")
    yield "pages.tiff", saved(rgb, "TIFF", save_all=True, append_images=[ImageOps.flip(rgb)])
    yield "orientation6.tiff", saved(rgb, "TIFF", tiffinfo={ORIENTATION: 6})
    yield "xmp6.tiff", saved(rgb, "TIFF", tiffinfo={700: xmp(6).encode()})
    yield "tiled.tiff", tiled(np.asarray(rgb))


# Files that come from elsewhere (README.md): only what Pillow reads in them is made.
GIVEN = ["case-16-565.bmp", "case-rle8.bmp", "case-no-iend.png", "case.tif", "case-logo.gif", "case-logo.png"]


def main() -> None:
    """Writes every picture, and what Pillow reads in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to write into")
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    given = [(name, (folder / name).read_bytes()) for name in GIVEN if (folder / name).exists()]
    for files in (pngs(), jpegs(), webps(), gifs_and_bmps(), bmps(), tiffs(), given):
        for name, data in files:
            if files is not given:
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
    low = deep >> 4
    low[0, 0] = 4095
    (folder / "grey-12bit.png").write_bytes(png(low, 16, 0))
    ppm_low = b"P6 %d %d 255\n" % rgb.size + np.repeat((low >> 8).astype(np.uint8), 3, -1).tobytes()
    (folder / "grey-12bit.png.ppm").write_bytes(ppm_low)
    (folder / "grey-16bit.tiff").write_bytes(saved(Image.fromarray(deep[..., 0]), "TIFF"))
    (folder / "grey-16bit.tiff.ppm").write_bytes(ppm)


if __name__ == "__main__":
    main()
