"""Files of every kind -> the pixels that a browser shows."""

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from backend.core.errors import ImageTooLargeError, ImageUndecodableError
from backend.images.decode import decode_image

HEIGHT, WIDTH = 24, 40
GREY = np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)
RGB = np.stack([GREY, 255 - GREY, np.roll(GREY, 5, axis=1)], axis=-1)
ALPHA = np.roll(GREY, 9, axis=0)
GREY_16 = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
ORIENTATION_6 = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def decode(data, max_pixels=10_000):
    image = decode_image(data, name="image of task 4", max_pixels=max_pixels)
    assert image.dtype == np.uint8
    assert image.shape[2:] == (3,)
    assert image.flags.c_contiguous
    assert image.flags.writeable
    return image


def save(image, file_format, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def pillow(data):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def exif(orientation):
    block = Image.Exif()
    block[0x112] = orientation
    return block


def on_white(rgb, alpha):
    """What the color and alpha look like on a white page, before rounding."""
    opacity = alpha[:, :, None] / 255
    return rgb * opacity + 255 * (1 - opacity)


def png_16(color_type, values, transparent=None):
    """A PNG of 16 bits; Pillow writes only grey ones, without a transparent grey."""

    def chunk(name, data):
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, color_type, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    if transparent is not None:
        start += chunk(b"tRNS", struct.pack(">H", transparent))
    return start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="420"),
        pytest.param({"subsampling": "4:2:2"}, id="422"),
        pytest.param({"subsampling": "4:4:4", "quality": 100}, id="444"),
        pytest.param({"progressive": True, "quality": 30}, id="progressive"),
        pytest.param({"keep_rgb": True}, id="stored-as-rgb"),
        pytest.param({"restart_marker_blocks": 2}, id="restarts"),
    ],
)
@pytest.mark.parametrize("size", [(24, 40), (1, 1), (1, 333), (17, 31)])
def test_jpeg_is_decoded_exactly_as_pillow_does(size, options):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    data = save(pixels, "JPEG", **options)
    assert np.array_equal(decode(data), pillow(data))


def test_grey_jpeg_is_decoded_exactly_as_pillow_does():
    data = save(GREY, "JPEG")
    assert np.array_equal(decode(data), pillow(data))


@pytest.mark.parametrize("tail", [b"\0\0\0", b"trailing bytes of a camera" * 10])
def test_jpeg_with_a_tail_is_decoded(tail):
    data = save(RGB, "JPEG")
    assert np.array_equal(decode(data + tail), pillow(data))


def test_jpeg_of_several_pictures_shows_the_first():
    data = save(RGB, "MPO", save_all=True, append_images=[Image.fromarray(255 - RGB)])
    assert np.array_equal(decode(data), pillow(save(RGB, "JPEG")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "AVIF", "TIFF"])
def test_exif_orientation_turns_the_image(file_format, orientation):
    data = save(RGB, file_format, exif=exif(orientation))
    image = decode(data)
    assert image.shape[:2] == ((WIDTH, HEIGHT) if orientation > 4 else (HEIGHT, WIDTH))
    assert np.array_equal(image, pillow(data))


def test_exif_orientation_6_brings_the_left_column_to_the_top():
    image = decode(save(RGB, "PNG", exif=exif(6)))
    assert np.array_equal(image[0], RGB[::-1, 0])


@pytest.mark.parametrize("orientation", [0, 9, 600])
def test_exif_orientation_that_is_none_turns_nothing(orientation):
    assert decode(save(RGB, "PNG", exif=exif(orientation))).shape == RGB.shape


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_exif_turns_nothing():
    data = save(RGB, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(data).shape == RGB.shape


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(save(RGB, "WEBP", exif=exif(6), lossless=True), id="webp-exif"),
        pytest.param(save(RGB, "WEBP", xmp=ORIENTATION_6, lossless=True), id="webp-xmp"),
        pytest.param(save(RGB, "JPEG", xmp=ORIENTATION_6), id="jpeg-xmp"),
    ],
)
def test_orientation_that_browsers_ignore_turns_nothing(data):
    """Chromium shows these as they are stored; Pillow alone would turn them."""
    assert decode(data).shape == RGB.shape


def test_png_with_an_orientation_in_xmp_is_not_turned():
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", ORIENTATION_6.decode())
    assert np.array_equal(decode(save(RGB, "PNG", pnginfo=info)), RGB)


PALETTE = Image.fromarray(RGB).quantize(16)
ENTRIES = np.asarray(PALETTE)
OF_PALETTE = np.asarray(PALETTE.convert("RGB"))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(save(RGB, "PNG"), RGB, id="png"),
        pytest.param(save(RGB, "WEBP", lossless=True), RGB, id="webp"),
        pytest.param(save(RGB, "BMP"), RGB, id="bmp"),
        pytest.param(save(RGB, "TIFF", compression="tiff_lzw"), RGB, id="tiff"),
        pytest.param(save(GREY, "PNG"), np.dstack([GREY] * 3), id="grey"),
        pytest.param(save(GREY > 99, "PNG"), np.dstack([(GREY > 99) * 255] * 3), id="1-bit"),
        pytest.param(save(PALETTE, "PNG"), OF_PALETTE, id="palette"),
        pytest.param(save(PALETTE, "GIF"), OF_PALETTE, id="gif"),
        pytest.param(
            save(PALETTE, "PNG", transparency=3),
            np.where((ENTRIES == 3)[:, :, None], 255, OF_PALETTE),
            id="palette-one-transparent",
        ),
        pytest.param(
            save(PALETTE, "GIF", transparency=3),
            np.where((ENTRIES == 3)[:, :, None], 255, OF_PALETTE),
            id="gif-one-transparent",
        ),
        pytest.param(
            save(PALETTE, "PNG", transparency=bytes(range(0, 256, 16))),
            on_white(OF_PALETTE, ENTRIES.astype(np.uint8) * 16),
            id="palette-with-alpha",
        ),
        pytest.param(save(np.dstack([RGB, ALPHA]), "PNG"), on_white(RGB, ALPHA), id="png-alpha"),
        pytest.param(
            save(np.dstack([RGB, ALPHA]), "WEBP", lossless=True, exact=True),
            on_white(RGB, ALPHA),
            id="webp-alpha",
        ),
        pytest.param(
            save(np.dstack([GREY, ALPHA]), "PNG"),
            on_white(np.dstack([GREY] * 3), ALPHA),
            id="grey-alpha",
        ),
        pytest.param(
            save(RGB, "PNG", transparency=tuple(int(value) for value in RGB[3, 7])),
            np.where((RGB[3, 7] == RGB).all(axis=2)[:, :, None], 255, RGB),
            id="one-color-transparent",
        ),
    ],
)
def test_image_is_decoded_as_displayed(data, expected):
    assert np.abs(decode(data) - expected).max() <= 1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(save(GREY_16, "PNG"), np.dstack([GREY_16] * 3), id="png-grey"),
        pytest.param(save(GREY_16, "TIFF"), np.dstack([GREY_16] * 3), id="tiff-grey"),
        pytest.param(save(GREY_16.astype(">u2"), "TIFF"), np.dstack([GREY_16] * 3), id="tiff-big"),
        pytest.param(
            png_16(2, np.dstack([GREY_16, 65535 - GREY_16, GREY_16 // 3])),
            np.dstack([GREY_16, 65535 - GREY_16, GREY_16 // 3]),
            id="png-rgb",
        ),
    ],
)
def test_16_bits_are_scaled_to_8(data, expected):
    """Chromium keeps the high byte, and so does this."""
    assert np.array_equal(decode(data), expected >> 8)


def test_transparent_grey_of_16_bits_lies_on_white():
    image = decode(png_16(0, GREY_16, transparent=int(GREY_16[3, 7])))
    assert image[3, 7].tolist() == [255, 255, 255]
    assert image[3, 6].tolist() == [int(GREY_16[3, 6]) >> 8] * 3


def test_16_bit_alpha_lies_on_white():
    data = png_16(6, np.dstack([GREY_16, GREY_16, GREY_16, GREY_16[::-1]]))
    grey, alpha = (GREY_16 >> 8).astype(np.uint8), (GREY_16[::-1] >> 8).astype(np.uint8)
    assert np.abs(decode(data) - on_white(np.dstack([grey] * 3), alpha)).max() <= 1


def test_cmyk_jpeg_of_adobe_kind_is_not_inverted():
    """Pillow writes CMYK as Adobe does, inverted and marked so."""
    ink = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    ink[:, :, 0] = 255  # all cyan
    data = save(Image.fromarray(ink, "CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data
    assert np.abs(decode(data).mean(axis=(0, 1)) - [0, 255, 255]).max() < 4


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animation_shows_its_first_frame(file_format):
    frames = [Image.new("RGB", (WIDTH, HEIGHT), color) for color in ("red", "lime", "blue")]
    options = {} if file_format == "TIFF" else {"duration": 1000}
    options |= {"lossless": True} if file_format == "WEBP" else {}
    data = save(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    assert (decode(data) == [255, 0, 0]).all()


def test_image_of_as_many_pixels_as_allowed_is_decoded():
    assert decode(save(RGB, "PNG"), max_pixels=HEIGHT * WIDTH).shape == RGB.shape


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF"])
def test_image_of_too_many_pixels_is_refused(file_format):
    with pytest.raises(ImageTooLargeError, match=r"image of task 4: 40 x 24 pixels") as caught:
        decode(save(RGB, file_format), max_pixels=HEIGHT * WIDTH - 1)
    assert caught.value.reason == "Image too large: 40 x 24 pixels"


def test_bomb_is_refused_before_its_pixels_are_decoded(monkeypatch):
    """A few bytes that claim 30000 x 30000 pixels, of which there are none."""
    data = bytearray(save(RGB, "PNG"))
    data[16:24] = struct.pack(">II", 30000, 30000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    monkeypatch.setattr(Image.Image, "convert", None)
    with pytest.raises(ImageTooLargeError, match="30000 x 30000"):
        decode(bytes(data), max_pixels=100_000_000)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "an empty file", id="empty"),
        pytest.param(b"<!DOCTYPE html><html>", "an HTML page instead of an image", id="html"),
        pytest.param(b"\xef\xbb\xbf\r\n <HTML>", "an HTML page instead of an image", id="html-bom"),
        pytest.param(b'{"detail": "no"}', "JSON instead of an image", id="json"),
        pytest.param(b"<?xml version='1.0'?><Error>", "XML instead of an image", id="xml"),
        pytest.param(b"<?xml version='1.0'?><svg>", "an SVG drawing instead", id="svg"),
        pytest.param(b"<svg width='4'>", "an SVG drawing instead of an image", id="svg-bare"),
        pytest.param(b"%PDF-1.7", "a PDF instead of an image", id="pdf"),
        pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC or a video instead", id="heic"),
        pytest.param(save(RGB, "EPS"), "an unknown format", id="eps"),
        pytest.param(b"\x01\x02\x03", r"an unknown format \(3 bytes\)", id="unknown"),
        pytest.param(save(np.float32(GREY), "TIFF"), "TIFF of 32 bits per grey", id="float"),
    ],
)
def test_what_came_instead_of_an_image_is_named(data, words):
    with pytest.raises(ImageUndecodableError, match=f"decode image of task 4: {words}") as caught:
        decode(data)
    assert caught.value.reason.startswith("Image not decodable: ")
    assert caught.value.reason.isascii()
    assert len(caught.value.reason) < 100


def test_eps_does_not_start_ghostscript(monkeypatch):
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args: started.append(args))
    with pytest.raises(ImageUndecodableError):
        decode(save(RGB, "EPS"))
    assert started == []


NOISE = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.mark.parametrize("tenth", range(1, 10))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WebP", "AVIF"])
def test_truncated_image_is_named(name, tenth):
    data = save(NOISE, name.upper())
    with pytest.raises(ImageUndecodableError, match=f"{name} (truncated|damaged)"):
        decode(data[: len(data) * tenth // 10])


def test_truncated_jpeg_is_called_truncated():
    data = save(NOISE, "JPEG")
    with pytest.raises(ImageUndecodableError, match=r"JPEG truncated \(1000 bytes\)") as caught:
        decode(data[:1000])
    assert caught.value.reason == "Image not decodable: JPEG truncated (1000 bytes)"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"])
def test_damaged_image_is_decoded_or_named(file_format):
    """Whatever a decoder raises on damaged bytes becomes a named error."""
    data = save(NOISE, file_format)
    random = np.random.default_rng(2)
    for _ in range(60):
        damaged = bytearray(data)
        for place in random.integers(0, len(data), 3):
            damaged[place] = random.integers(256)
        with suppress(ImageUndecodableError, ImageTooLargeError):
            decode(bytes(damaged))
