"""Images of random sizes with prompts and the masks to expect, and a host that fails on purpose."""

import io
import random
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from backend.codecs.brush import decode_brush
from backend.images.decode import decode_image
from benchmarks.key_points import key_point
from benchmarks.service_load import FIRST_SEED, RIGHT_IOU
from mobilesam import Embedding, ObjectPrompt, Predictor, predict_refined
from mobilesam.mask_geometry import central_point, intersection_over_union
from mobilesam.scenes import generate_scene
from mobilesam.training.prompt_sampling import loose_box

SIDES_PX = (48, 1400)  # of the images, shortest and longest
OBJECTS = 3  # of an image that are prompted for
MAX_PIXELS = 10**8
HUGE_HW = (10_001, 10_001)  # of a picture with a file of some kilobytes
SLOW_INTERVAL_S = 0.2  # between two bytes of a slow answer

# What the host does with the last part of an address, and the error's code that is right then.
FAULTS = {
    "missing": "image_unreachable",
    "forbidden": "image_unreachable",
    "broken": "image_unreachable",  # 500
    "cut": "image_unreachable",
    "slow": "image_unreachable",
    "truncated": "image_undecodable",
    "page": "image_undecodable",  # HTML in place of an image
    "empty": "image_undecodable",
    "huge": "image_too_large",
}
STATUSES = {"missing": 404, "forbidden": 403, "broken": 500}


@dataclass(frozen=True)
class SoakPrompt:
    """What an annotator does for one object: requests, each with the mask to expect."""

    contexts: list[list[dict[str, Any]]]
    packed: list[NDArray[np.uint8]]  # np.packbits of the masks


@dataclass(frozen=True)
class SoakImage:
    """A picture's file, its size, and what to ask for."""

    file: bytes
    size_hw: tuple[int, int]
    prompts: list[SoakPrompt]

    def is_right(self, answer: dict[str, Any], packed: NDArray[np.uint8]) -> bool:
        """Whether the answer to a request holds the expected mask."""
        height, width = self.size_hw
        mask = np.zeros(self.size_hw, bool)
        for region in answer["results"][0]["result"]:
            mask |= decode_brush(region["value"]["rle"], height, width)
        expected = np.unpackbits(packed, count=height * width).reshape(self.size_hw).astype(bool)
        return intersection_over_union(mask, expected) >= RIGHT_IOU


def make_images(predictor: Predictor, count: int, seed: int) -> list[SoakImage]:
    """Paint scenes, and ask the model alone for the masks of clicks, boxes and negative clicks."""
    rng = np.random.default_rng(seed)
    images = []
    for number in range(count):
        height, width = (int(side) for side in np.exp(rng.uniform(*np.log(SIDES_PX), 2)))
        scene = generate_scene(FIRST_SEED + seed + number, (height, width))
        buffer = io.BytesIO()
        Image.fromarray(scene.image).save(buffer, "JPEG", quality=90)
        image = decode_image(buffer.getvalue(), name="scene", max_pixels=MAX_PIXELS)
        embedding = predictor.embed(image).in_half_precision()  # as the service keeps them
        prompts = [
            _prompt(predictor, embedding, mask, rng, kind=(number + index) % 4)
            for index, mask in enumerate(scene.masks[:OBJECTS])
        ]
        images.append(SoakImage(buffer.getvalue(), (height, width), prompts))
    return images


def _prompt(
    predictor: Predictor,
    embedding: Embedding,
    mask: NDArray[np.bool_],
    rng: Generator,
    *,
    kind: int,
) -> SoakPrompt:
    size_hw = mask.shape[0], mask.shape[1]
    inside = central_point(mask)
    outside = central_point(~mask)

    def packed(**prompt: Any) -> NDArray[np.uint8]:
        return np.packbits(predict_refined(predictor, embedding, ObjectPrompt(**prompt)).masks[0])

    positive = key_point(inside, size_hw)
    negative = key_point(outside, size_hw) | {"is_positive": False, "id": "off"}
    one = packed(points_xy=(inside,), point_labels=(1,))
    two = packed(points_xy=(inside, outside), point_labels=(1, 0))
    if kind == 0:
        return SoakPrompt([[positive]], [one])
    if kind == 1:
        return SoakPrompt([[positive, negative]], [two])
    if kind == 2:  # first a click, then a negative one alone, which refines it
        return SoakPrompt([[positive], [negative]], [one, two])
    box = loose_box(rng, mask)
    return SoakPrompt([[_rectangle(box, size_hw)]], [packed(box_xyxy=tuple(box.tolist()))])


def _rectangle(box_xyxy: NDArray[np.float64], size_hw: tuple[int, int]) -> dict[str, Any]:
    height, width = size_hw
    left, top, right, bottom = (float(side) for side in box_xyxy)
    value = {
        "x": 100 * left / width,
        "y": 100 * top / height,
        "width": 100 * (right - left) / width,
        "height": 100 * (bottom - top) / height,
        "rotation": 0,
        "rectanglelabels": ["Object"],
    }
    point = key_point((0, 0), size_hw)
    del point["is_positive"]
    return point | {"type": "rectanglelabels", "from_name": "box", "value": value}


@contextmanager
def failing_host(images: Sequence[SoakImage]) -> Iterator[str]:
    """Serve `/<what>/<number>.jpg`: "good" is image `number`, modulo, as a file of its own."""
    huge = io.BytesIO()
    Image.new("1", HUGE_HW[::-1]).save(huge, "PNG")
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, what, name = self.path.split("/")
            number = int(re.sub(r"\D", "", name))
            # Behind the end of a JPEG: another file, and the same picture.
            file = images[number % len(images)].file + number.to_bytes(8)
            content = {
                "truncated": file[: 20 + number % 200],
                "page": b"<!doctype html><title>Log in</title>",
                "empty": b"",
                "huge": huge.getvalue(),
            }.get(what, file)
            with suppress(OSError):
                self.send_response(STATUSES.get(what, 200))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if what == "cut":
                    self.wfile.write(content[: len(content) // 2])
                    return
                for byte in content if what == "slow" else b"":
                    self.wfile.write(bytes([byte]))
                    if over.wait(SLOW_INTERVAL_S):
                        return
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def random_fault(chance: random.Random, share: float) -> str:
    """Choose what the host does with an image: mostly nothing but to serve it."""
    return chance.choice([*FAULTS]) if chance.random() < share else "good"
