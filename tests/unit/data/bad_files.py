"""Every kind of file that strangers have put among their images, and what must become of it."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

RANDOM = np.random.default_rng(7)
NOISE = Image.fromarray(RANDOM.integers(0, 256, (48, 64, 3), np.uint8))
GREY = NOISE.convert("L")
ACCEPTED = ""


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """An image as a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


JPEG, PNG = encoded(NOISE, "JPEG"), encoded(NOISE)


def sixteen_bits(samples: int) -> bytes:
    """A PNG of 16 bits a sample, which Pillow does not write in colour."""
    pixels = RANDOM.integers(0, 65536, (16, 16, samples)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    kind = {1: 0, 3: 2}[samples]
    return png_of(struct.pack(">IIBBBBB", 16, 16, 16, kind, 0, 0, 0), zlib.compress(rows))


def png_of(header: bytes, content: bytes, profile: bytes = b"") -> bytes:
    """A PNG of these chunks."""
    colours = [(b"iCCP", b"a name\0\0" + zlib.compress(profile))] if profile else []
    chunks = [(b"IHDR", header), *colours, (b"IDAT", content), (b"IEND", b"")]
    packed = (struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def bomb() -> bytes:
    """40,000 x 40,000 pixels in 200 kB."""
    row = b"\0" * 5001
    content = zlib.compressobj(9)
    packed = b"".join(content.compress(row * 1000) for _ in range(40)) + content.flush()
    return png_of(struct.pack(">IIBBBBB", 40_000, 40_000, 1, 0, 0, 0, 0), packed)


def too_few_rows() -> bytes:
    """A PNG that says it is larger than its pixels."""
    rows = b"".join(b"\0" + RANDOM.bytes(64) for _ in range(10))
    return png_of(struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0), zlib.compress(rows))


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(NOISE, "JPEG", exif=exif)


def many_chunks() -> bytes:
    """Megabytes of comment, decompressed from kilobytes."""
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * 70_000_000, zip=True)
    return encoded(NOISE, pnginfo=info)


def palette(**options: Any) -> bytes:
    return encoded(NOISE.convert("P", palette=Image.Palette.ADAPTIVE), **options)


def animated(kind: str) -> bytes:
    frames = [Image.fromarray(RANDOM.integers(0, 256, (16, 16, 3), np.uint8)) for _ in range(3)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def interlaced() -> bytes:
    """The noise in the seven passes of Adam7, which Pillow does not write, with a colour profile."""
    starts_and_steps = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    passes = [np.asarray(NOISE)[y::down, x::right] for y, x, down, right in starts_and_steps]
    rows = b"".join(b"\0" + row.tobytes() for each in passes for row in each)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return png_of(struct.pack(">IIBBBBB", *NOISE.size, 8, 2, 0, 0, 1), zlib.compress(rows), profile)


def flipped_in_the_middle(content: bytes) -> bytes:
    spoilt = bytearray(content)
    spoilt[len(content) // 2] ^= 0xFF
    return bytes(spoilt)


KINDS: dict[str, tuple[Callable[[], bytes], str]] = {
    # The name of the file, its content, and the start of the reason why it is refused.
    "jpeg.jpg": (lambda: JPEG, ACCEPTED),
    "progressive.jpg": (lambda: encoded(NOISE, "JPEG", progressive=True), ACCEPTED),
    "grey.jpg": (lambda: encoded(GREY, "JPEG"), ACCEPTED),
    "cmyk.jpg": (lambda: encoded(NOISE.convert("CMYK"), "JPEG"), ACCEPTED),
    "rotated.jpg": (rotated, ACCEPTED),
    "rubbish-after-the-end.jpg": (lambda: JPEG + b"\0" * 5000, ACCEPTED),
    "colour.png": (lambda: encoded(NOISE), ACCEPTED),
    "grey.png": (lambda: encoded(GREY), ACCEPTED),
    "one-bit.png": (lambda: encoded(GREY.convert("1")), ACCEPTED),
    "palette.png": (palette, ACCEPTED),
    "palette-transparent.png": (lambda: palette(transparency=0), ACCEPTED),
    "alpha.png": (lambda: encoded(NOISE.convert("RGBA")), ACCEPTED),
    "grey-alpha.png": (lambda: encoded(GREY.convert("LA")), ACCEPTED),
    "sixteen-bits.png": (lambda: sixteen_bits(1), ACCEPTED),
    "sixteen-bits-colour.png": (lambda: sixteen_bits(3), ACCEPTED),
    "interlaced-with-profile.png": (interlaced, ACCEPTED),
    "wrong-extension.png": (lambda: JPEG, ACCEPTED),
    "no-extension": (lambda: PNG, ACCEPTED),
    "UPPER.JPG": (lambda: encoded(GREY.rotate(90), "JPEG"), ACCEPTED),
    "upper.jpg": (lambda: encoded(GREY.rotate(180), "JPEG"), ACCEPTED),
    "line\nbreak.png": (lambda: encoded(NOISE.rotate(90)), ACCEPTED),
    "<b>&.png": (lambda: encoded(NOISE.rotate(180)), ACCEPTED),
    "ünï 猫 🐈.png": (lambda: encoded(NOISE.rotate(10)), ACCEPTED),
    "picture.webp": (lambda: encoded(NOISE, "WEBP"), ACCEPTED),
    "picture.bmp": (lambda: encoded(NOISE, "BMP"), ACCEPTED),
    "picture.tif": (lambda: encoded(NOISE, "TIFF"), ACCEPTED),
    "picture.ppm": (lambda: encoded(NOISE, "PPM"), ACCEPTED),
    "picture.tga": (lambda: encoded(NOISE, "TGA"), ACCEPTED),
    "picture.ico": (lambda: encoded(NOISE.resize((32, 32)), "ICO"), ACCEPTED),
    "animated.gif": (lambda: animated("GIF"), ACCEPTED),
    "animated.png": (lambda: animated("PNG"), ACCEPTED),
    "animated.webp": (lambda: animated("WEBP"), ACCEPTED),
    "pages.tif": (lambda: animated("TIFF"), ACCEPTED),
    "zero.jpg": (lambda: b"", "zero bytes"),
    "one-byte.jpg": (lambda: b"\xff", "not an image"),
    "only-header.jpg": (lambda: JPEG[:200], "not an image|truncated|broken"),
    "truncated.jpg": (lambda: JPEG[: len(JPEG) // 2], "truncated image"),
    "truncated.png": (lambda: PNG[: len(PNG) // 2], "truncated image"),
    "truncated.gif": (lambda: encoded(NOISE, "GIF")[:2000], "truncated image"),
    "truncated.webp": (lambda: encoded(NOISE, "WEBP")[:300], "broken image|not an image|truncated"),
    "truncated.tif": (lambda: encoded(NOISE, "TIFF")[:3000], "broken image|not an image|truncated"),
    "damaged.png": (lambda: flipped_in_the_middle(PNG), "broken image"),
    "too-few-rows.png": (too_few_rows, ACCEPTED),  # no decoder complains: what is missing is black
    "bomb.png": (bomb, "more than 89478485 pixels"),
    "bomb-of-text.png": (many_chunks, "broken image|not an image"),
    "page.jpg": (lambda: b"<!DOCTYPE html><html>404 Not Found</html>", 'not an image (starts with "<!DOCTYP")'),
    "error.png": (lambda: b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "not an image"),
    "drawing.svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not an image"),
    "notes.txt": (lambda: b"a text", "not an image"),
    "packed.jpg.gz": (lambda: gzip.compress(JPEG), "not an image"),
    "movie.mp4": (lambda: b"\0\0\0\x18ftypmp42" + b"\0" * 200, "not an image"),
    "document.pdf": (lambda: b"%PDF-1.7\n" + b"\0" * 200, "not an image"),
    "zeros.jpg": (lambda: b"\0" * 4096, "not an image"),
    "float.tif": (lambda: encoded(Image.new("F", (16, 16)), "TIFF"), "pixels of mode F"),
    "integers.tif": (lambda: encoded(Image.new("I", (16, 16)), "TIFF"), "pixels of mode I"),
    "pixel.png": (lambda: encoded(Image.new("RGB", (1, 1))), "shorter side of 1"),
    "line.png": (lambda: encoded(GREY.resize((20_000, 1))), "shorter side of 1; longer side of 20000; 2e+04 times"),
    "strip.png": (lambda: encoded(GREY.resize((2000, 16))), "125 times longer than wide"),
    "huge.png": (lambda: encoded(GREY.resize((5000, 600))), "longer side of 5000"),
    "blank.png": (lambda: encoded(Image.new("RGB", (16, 16), "red")), "one single colour"),
    "black.jpg": (lambda: encoded(Image.new("L", (16, 16)), "JPEG"), "one single colour"),
    "transparent.png": (lambda: encoded(Image.new("RGBA", (16, 16))), "one single colour"),
}
