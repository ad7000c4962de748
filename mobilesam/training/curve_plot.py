"""The learning curve as a picture, drawn with OpenCV: one plot is not worth a plotting library."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 900, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 70, 40, 60  # margins in pixels
INK, GRID = (60, 60, 60), (225, 225, 225)
LOSS_COLOUR, IOU_COLOUR = (60, 120, 230), (160, 110, 20)  # BGR
FONT = cv2.FONT_HERSHEY_SIMPLEX

Curve = Sequence[tuple[float, int, float, float]]  # seconds, step, loss, held-out IoU


def draw_curve(curve: Curve, path: Path) -> None:
    """Write a PNG of the loss (left axis) and the held-out IoU (right axis) over minutes.

    Args:
        curve: of `trainer.Progress`, one point or more.
        path: of the file; its folder is there.

    Raises:
        OSError: the file cannot be written.
    """
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    minutes = np.array([point[0] / 60 for point in curve])
    loss = np.array([point[2] for point in curve])
    iou = np.array([point[3] for point in curve])
    end = max(float(minutes.max()), 1e-6)
    top_loss = float(np.nanmax(loss)) if np.isfinite(loss).any() else 1.0
    for tick in range(6):
        share = tick / 5
        y = round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM))
        x = round(LEFT + share * (WIDTH - LEFT - RIGHT))
        cv2.line(picture, (LEFT, y), (WIDTH - RIGHT, y), GRID, 1)
        _write(picture, f"{share * top_loss:.2g}", (14, y + 5), LOSS_COLOUR)
        _write(picture, f"{share:.1f}", (WIDTH - RIGHT + 10, y + 5), IOU_COLOUR)
        _write(picture, f"{share * end:.1f}", (x - 14, HEIGHT - BOTTOM + 24), INK)
    _write(picture, "loss", (14, 24), LOSS_COLOUR)
    _write(picture, f"held-out IoU, best {np.nanmax(iou):.3f}", (WIDTH - 260, 24), IOU_COLOUR)
    _write(picture, "minutes of training", (WIDTH // 2 - 70, HEIGHT - 12), INK)
    _line(picture, minutes / end, loss / top_loss, LOSS_COLOUR)
    _line(picture, minutes / end, iou, IOU_COLOUR)
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise OSError(f"cannot encode the plot for {path}")
    path.write_bytes(data.tobytes())


def _line(
    picture: NDArray[np.uint8],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    colour: tuple[int, int, int],
) -> None:
    here = np.isfinite(y)
    points = np.stack(
        [
            LEFT + x[here] * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - np.clip(y[here], 0, 1) * (HEIGHT - TOP - BOTTOM),
        ],
        axis=1,
    )
    corners = np.rint(points).astype(np.int32)
    cv2.polylines(picture, [corners.reshape(-1, 1, 2)], isClosed=False, color=colour, thickness=2)
    for corner in corners:
        cv2.circle(picture, (int(corner[0]), int(corner[1])), 4, colour, -1, cv2.LINE_AA)


def _write(
    picture: NDArray[np.uint8], text: str, at: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    cv2.putText(picture, text, at, FONT, 0.5, colour, 1, cv2.LINE_AA)
