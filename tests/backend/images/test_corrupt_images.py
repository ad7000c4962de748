"""Files that are no good picture: an answer or a named error, in bounded memory, and no crash."""

import io
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from fake_model import FakePredictor, png
from PIL import Image

from backend.codecs.brush import decode_brush
from backend.core.errors import ImageError
from backend.core.units import MEGABYTE
from backend.images.decode import decode_image
from backend.images.fetch import ImageLoader
from backend.label_studio.projects import LABELING_CONFIG
from backend.segmentation.click_service import ClickService
from backend.service.app import create_app
from backend.settings.settings import Settings
from benchmarks.key_points import key_point

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF")
GOOD_HW = (60, 80)


def file(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@cache
def noise(height=120, width=160):
    """A picture that no format makes small."""
    values = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, *chunks, pixels=b"\0" * 1000):
    """A PNG of RGB whose header may promise more than there is."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    end = png_chunk(b"IDAT", zlib.compress(pixels)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + end


# Through the whole service


class Service:
    """The app with a model that needs no weights; each click is on a new task's image."""

    def __init__(self, files):
        self.files = files
        click_service = ClickService(FakePredictor(), Settings())
        self.client = create_app(Settings(), click_service=click_service).test_client()

    def click(self, content):
        number = len(self.files)
        self.files[f"/data/upload/1/{number}.jpg"] = content
        body = {
            "tasks": [{"id": number, "data": {"image": f"/data/upload/1/{number}.jpg"}}],
            "project": "1.5",
            "label_config": LABELING_CONFIG,
            "params": {"context": {"result": [key_point((40, 30), GOOD_HW)]}},
        }
        return self.client.post("/predict", json=body)

    def answers_a_good_click(self):
        response = self.click(png(*GOOD_HW, color=(len(self.files) % 256, 1, 2)))
        (region,) = response.json["results"][0]["result"]
        mask = decode_brush(region["value"]["rle"], *GOOD_HW)
        y, x = np.mgrid[0 : GOOD_HW[0], 0 : GOOD_HW[1]]
        return bool((mask == (np.hypot(x - 40, y - 30) < 20)).all())


@pytest.fixture(scope="module")
def service():
    files = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageLoader, "fetch", lambda _loader, uri, **_named: files[uri])
        yield Service(files)


def outcome(response):
    """200, or 422 with a reason about the image."""
    if response.status_code == 422:
        assert response.json["error"]["code"] in ("image_undecodable", "image_too_large")
        assert response.status.startswith("422 Image ")
    else:
        assert response.status_code == 200, response.status
    return response.status_code


@pytest.mark.parametrize("tenth", range(10))
@pytest.mark.parametrize("kind", FORMATS)
def test_file_cut_at_a_tenth_of_its_length_is_named(service, kind, tenth):
    whole = file(noise(), kind)
    response = service.click(whole[: len(whole) * tenth // 10])
    assert outcome(response) == 422
    assert service.answers_a_good_click()


@pytest.mark.parametrize("kind", FORMATS)
def test_whole_file_of_each_format_is_answered_whatever_it_is_called(service, kind):
    """Its address ends in .jpg."""
    assert outcome(service.click(file(noise(), kind))) == 200


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "an empty file", id="zero-bytes"),
        pytest.param(b"\0" * 5000, "an unknown format (5000 bytes)", id="zeros"),
        pytest.param(b"<!DOCTYPE html><html>Log in</html>", "an HTML page", id="html"),
        pytest.param(b'{"detail": "Not found."}', "JSON instead of an image", id="json"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing", id="svg"),
        pytest.param(b"%PDF-1.7 ...", "a PDF instead of an image", id="pdf"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n", "an unknown format", id="eps"),
        pytest.param(png_of(0, 0), "PNG damaged", id="0x0"),
        pytest.param(png_of(8, 0), "PNG damaged", id="8x0"),
        pytest.param(file(noise(), "PNG")[:33] + b"\xff" * 5000, "PNG damaged", id="bytes-inside"),
    ],
)
def test_what_is_no_picture_is_named(service, content, reason):
    response = service.click(content)
    assert outcome(response) == 422
    assert response.json["error"]["reason"].startswith(f"Image not decodable: {reason}")
    assert service.answers_a_good_click()


def animation(kind, **options):
    red, blue = (Image.new("RGB", GOOD_HW[::-1], color) for color in ((200, 0, 0), (0, 0, 200)))
    more = {"save_all": True, "append_images": [blue] * 3, "duration": 100}
    return file(red, kind, **more, **options)


ODD = {
    "animated-gif": animation("GIF"),
    "animated-webp": animation("WEBP", lossless=True),
    "animated-png": animation("PNG"),
    "animated-avif": animation("AVIF"),
    "1x1": file(Image.new("RGB", (1, 1)), "PNG"),
    "1x20000": file(Image.new("RGB", (1, 20_000)), "PNG"),
    "20000x1": file(Image.new("RGB", (20_000, 1)), "JPEG"),
    "cmyk-jpeg": file(noise().convert("CMYK"), "JPEG"),
    "cmyk-tiff": file(noise().convert("CMYK"), "TIFF"),
    "ycbcr-tiff": file(noise().convert("YCbCr"), "TIFF"),
    "lab-tiff": file(Image.new("LAB", (9, 9)), "TIFF"),
    "16-bit": file(Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)), "PNG"),
    "1-bit": file(noise().convert("1"), "PNG"),
    "palette": file(noise().quantize(16), "PNG"),
    "palette-transparent": file(noise().quantize(16), "PNG", transparency=3),
    "palette-half-transparent": file(noise().quantize(4), "PNG", transparency=b"\0\x80\xff\x10"),
    "grey-alpha": file(noise().convert("LA"), "PNG"),
    "rgba": file(noise().convert("RGBA"), "WEBP"),
    "gif-transparent": file(noise().quantize(16), "GIF", transparency=0),
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD.keys())
def test_odd_picture_is_answered(service, content):
    assert outcome(service.click(content)) == 200
    assert service.answers_a_good_click()


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 20_000), (20_000, 1)], ids=str)
def test_thinnest_picture_has_a_mask_of_the_real_model(demo_predictor, size_hw):
    embedding = demo_predictor.embed(np.full((*size_hw, 3), 100, np.uint8))
    masks = demo_predictor.predict_object(embedding, points_xy=[[0.5, 0.5]], point_labels=[1])
    assert masks.masks[0].shape == size_hw


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_animation_is_its_first_frame(kind):
    pixels = decode_image(ODD[f"animated-{kind}"], name="image", max_pixels=10**6)
    assert pixels.shape == (*GOOD_HW, 3)
    assert (pixels == (200, 0, 0)).all()


def test_picture_of_several_bands_is_the_one_that_pillow_makes(monkeypatch):
    monkeypatch.setattr("backend.images.decode.BAND_PIXELS", 1000)  # 6 rows of 160 pixels
    for content in (ODD["rgba"], ODD["palette-half-transparent"], ODD["cmyk-tiff"]):
        found = decode_image(content, name="image", max_pixels=10**6)
        with Image.open(io.BytesIO(content)) as picture:
            rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        assert (found == np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))).all()


@pytest.mark.parametrize("kind", FORMATS)
def test_no_damaged_byte_gives_another_fault_than_a_named_one(kind):
    whole = file(noise(20, 30), kind)
    random = np.random.default_rng(1)
    for _ in range(150):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            damaged[place] = random.integers(0, 256)
        with suppress(ImageError):  # and anything else fails
            pixels = decode_image(bytes(damaged), name="image", max_pixels=10**6)
            assert pixels.size <= 3 * 10**6


# Memory, of a process that only decodes

CHILD = """
import resource, sys
from backend.images.decode import decode_image
from backend.core.errors import ImageError
data = sys.stdin.buffer.read()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
try:
    print(*decode_image(data, name="image", max_pixels=100_000_000).shape)
except ImageError as error:
    print(error.reason)
print(peak() - before)
"""


def decode_in_a_child(content):
    """What comes out, and by how many megabytes the most memory that was used grew."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=content, capture_output=True, timeout=120, check=True
    )
    printed, kilobytes = done.stdout.decode().splitlines()
    return printed, int(kilobytes) * 1024 / MEGABYTE


def with_size(kind, mark, offset, code, *, width=60_000, height=60_000, **options):
    """A file of 8 x 8 pixels that says that it has others."""
    content = bytearray(file(Image.new("RGB", (8, 8)), kind, **options))
    place = content.index(mark) + offset
    size = struct.pack(code, width, height)
    content[place : place + len(size)] = size
    return bytes(content)


def animated_webp(side):
    frame = file(Image.new("RGBA", (16, 16)), "WEBP", lossless=True)[12:]
    small, large = (struct.pack("<I", number - 1)[:3] * 2 for number in (16, side))
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x12\0\0\0" + large
    body += b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    body += b"ANMF" + struct.pack("<I", 16 + len(frame)) + b"\0" * 6 + small + b"\x0a\0\0\0"
    body += frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def lossless_webp(side):
    content = bytearray(file(Image.new("RGBA", (16, 16)), "WEBP", lossless=True))
    place = content.index(b"VP8L") + 9
    content[place : place + 4] = struct.pack("<I", (side - 1) | (side - 1) << 14 | 1 << 28)
    return bytes(content)


def tiff(side):
    strip = zlib.compress(b"\0" * 10_000)
    tags = [(256, 4, side), (257, 4, side), (258, 3, 8), (259, 3, 8), (262, 3, 1)]
    tags += [(273, 4, 8), (278, 4, side), (279, 4, len(strip))]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip
    return head + struct.pack("<H", len(tags)) + entries + b"\0" * 4


MUCH = zlib.compress(b"a" * 100_000_000)
BOMBS = {
    "png": (png_of(100_000, 100_000), "Image too large: 100000 x 100000 pixels"),
    "jpeg": (with_size("JPEG", b"\xff\xc0", 5, ">HH"), "Image too large: 60000 x 60000"),
    "gif": (with_size("GIF", b"GIF8", 6, "<HH"), "Image too large: 60000 x 60000"),
    "gif-frame": (with_size("GIF", b",\0\0\0\0", 5, "<HH"), "Image too large: 60000 x 60000"),
    "bmp": (with_size("BMP", b"BM", 18, "<ii"), "Image too large: 60000 x 60000"),
    "avif": (with_size("AVIF", b"ispe", 8, ">II"), "Image not decodable: AVIF damaged"),
    "tiff": (tiff(60_000), "Image too large: 60000 x 60000"),
    "webp": (lossless_webp(16_383), "Image too large: 16383 x 16383"),
    "webp-animated": (animated_webp(16_383), "Image too large: 16383 x 16383"),
    "png-text": (png_of(8, 8, png_chunk(b"zTXt", b"a\0\0" + MUCH)), "Image not decodable: PNG"),
    "png-profile": (png_of(8, 8, png_chunk(b"iCCP", b"a\0\0" + MUCH)), "Image not decodable: PNG"),
    "png-pixels": (png_of(8, 8, pixels=b"\0" * 100_000_000), "8 8 3"),
}


@pytest.mark.parametrize(("content", "printed"), BOMBS.values(), ids=BOMBS.keys())
def test_bomb_is_refused_before_memory_is_taken(content, printed):
    assert len(content) < MEGABYTE
    found, grown_mb = decode_in_a_child(content)
    assert found.startswith(printed)
    assert grown_mb < 30


LARGE = (10_000, 10_000)
LARGEST = {
    "jpeg": (lambda: file(Image.new("RGB", LARGE), "JPEG"), 650),
    "png-palette-transparent": (
        lambda: file(Image.new("P", LARGE), "PNG", transparency=0, compress_level=1),
        500,
    ),
    "gif": (lambda: file(Image.new("P", LARGE), "GIF", transparency=0), 500),
    "png-rgba": (lambda: file(Image.new("RGBA", LARGE), "PNG", compress_level=1), 800),
}


@pytest.mark.parametrize(("make", "most_mb"), LARGEST.values(), ids=LARGEST.keys())
def test_picture_of_100_megapixels_is_decoded_in_bounded_memory(make, most_mb):
    """300 MB are its pixels, RGB."""
    found, grown_mb = decode_in_a_child(make())
    assert found == "10000 10000 3"
    assert grown_mb < most_mb
