"""A peer of `bench_model`, in an environment of its own: times what it is told to on stdin.

`python model_peer.py mobilesam-mirror|ultralytics WEIGHTS IMAGE.npy` prints "ready", then for each
line "encode" or "decode" the milliseconds that it took.
"""

import os
import sys
import time
from collections.abc import Callable

import numpy as np


def official(weights: str, image: np.ndarray) -> dict[str, Callable[[], object]]:
    """The published code: `SamPredictor`."""
    from mobile_sam import SamPredictor, sam_model_registry  # noqa: PLC0415

    predictor = SamPredictor(sam_model_registry["vit_t"](checkpoint=weights).eval())
    height, width = image.shape[:2]
    point, label = np.array([[width / 2, height / 2]]), np.array([1])
    return {
        "encode": lambda: predictor.set_image(image),
        "decode": lambda: predictor.predict(point, label),
    }


def ultralytics(weights: str, image: np.ndarray) -> dict[str, Callable[[], object]]:
    """The predictor behind `SAM("mobile_sam.pt")`, its image kept between clicks."""
    os.environ["YOLO_OFFLINE"] = "true"
    from ultralytics import SAM  # noqa: PLC0415
    from ultralytics.models.sam import Predictor  # noqa: PLC0415

    predictor = Predictor(
        overrides={"imgsz": 1024, "device": "cpu", "save": False, "verbose": False}
    )
    predictor.setup_model(SAM(weights).model, verbose=False)
    height, width = image.shape[:2]
    bgr = image[..., ::-1].copy()

    def encode() -> None:
        predictor.reset_image()
        predictor.set_image(bgr)

    return {
        "encode": encode,
        "decode": lambda: predictor(points=[[width / 2, height / 2]], labels=[1]),
    }


def main() -> None:
    """Answer one line per line."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what the peer prints is not an answer
    name, weights, image = sys.argv[1:]
    makers = {"mobilesam-mirror": official, "ultralytics": ultralytics}
    actions = makers[name](weights, np.load(image))
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        actions[line.strip()]()
        print(1000 * (time.perf_counter() - started), file=answers, flush=True)


if __name__ == "__main__":
    main()
