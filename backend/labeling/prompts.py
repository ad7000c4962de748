"""Prompts: what is to be segmented, in percent, and in pixels once the image is known."""

import math
from dataclasses import dataclass, replace

from backend.core.errors import PromptError

# Of a side, and far below a pixel of any image.
NO_LENGTH_PCT = 1e-6


@dataclass(frozen=True)
class Point:
    """A click, in percent of the image as displayed; negative: not part of the object."""

    x_pct: float
    y_pct: float
    is_positive: bool


@dataclass(frozen=True)
class Rectangle:
    """A dragged box: its top left corner, and its sides before it is turned about that corner.

    `image_aspect` is the image's width / height as the client gave them, until the image is here;
    `region` names the region that the rectangle comes from, for errors.
    """

    x_pct: float
    y_pct: float
    width_pct: float
    height_pct: float
    rotation_deg: float  # clockwise
    image_aspect: float
    region: str

    def box_xyxy_px(self, size_hw: tuple[int, int]) -> tuple[float, float, float, float]:
        """Bound the rectangle, turned in pixels, by an upright box inside the image.

        Raises:
            PromptError: all of it lies outside the image.
        """
        height, width = size_hw
        left, top = self.x_pct / 100 * width, self.y_pct / 100 * height
        across, down = self.width_pct / 100 * width, self.height_pct / 100 * height
        cos, sin = self._cos_sin()
        xs = [left + u * cos - v * sin for u in (0, across) for v in (0, down)]
        ys = [top + u * sin + v * cos for u in (0, across) for v in (0, down)]
        x_min, y_min = _clip(min(xs), width), _clip(min(ys), height)
        x_max, y_max = _clip(max(xs), width), _clip(max(ys), height)
        if x_min >= x_max or y_min >= y_max:
            raise PromptError(
                f"{self.region} lies outside the image of {width} x {height} pixels",
                remedy="draw the rectangle on the image",
                reason="Rectangle lies outside the image",
            )
        return x_min, y_min, x_max, y_max

    def holds(self, point: Point) -> bool:
        """Whether a point lies inside."""
        cos, sin = self._cos_sin()
        right, below = (point.x_pct - self.x_pct) * self.image_aspect, point.y_pct - self.y_pct
        u, v = right * cos + below * sin, below * cos - right * sin  # turned back
        return 0 <= u <= self.width_pct * self.image_aspect and 0 <= v <= self.height_pct

    def _cos_sin(self) -> tuple[float, float]:
        angle = math.radians(self.rotation_deg)
        return math.cos(angle), math.sin(angle)


@dataclass(frozen=True)
class Prompt:
    """All that describes one object: points, or a rectangle that points may refine.

    `to_name` is the Image tag, `item_index` the page of a list of images; they, `labels` and
    `image_rotation` go back in the answer as they came.
    """

    to_name: str
    item_index: int | None
    labels: tuple[str, ...]
    image_rotation: float
    points: tuple[Point, ...] = ()
    rectangle: Rectangle | None = None

    @property
    def needs_last_object(self) -> bool:
        """Whether only negative points are there: they refine the last object of these labels."""
        return self.rectangle is None and not any(point.is_positive for point in self.points)

    def refining(self, last: "Prompt") -> "Prompt":
        """Add this prompt's points to an earlier object; Label Studio sends pending ones again."""
        new = tuple(point for point in self.points if point not in last.points)
        return replace(self, points=last.points + new, rectangle=last.rectangle)

    def points_xy_px(self, size_hw: tuple[int, int]) -> list[tuple[float, float]]:
        """The points, in pixels of the image as displayed, in the order they were sent."""
        height, width = size_hw
        return [
            (_clip(point.x_pct / 100 * width, width), _clip(point.y_pct / 100 * height, height))
            for point in self.points
        ]

    @property
    def point_labels(self) -> list[int]:
        """1 for each positive and 0 for each negative point, in the order of `points_xy_px`."""
        return [int(point.is_positive) for point in self.points]

    def box_xyxy_px(self, size_hw: tuple[int, int]) -> tuple[float, float, float, float] | None:
        """The upright box around the rectangle, in pixels of the image as displayed.

        Raises:
            PromptError: the rectangle lies outside the image.
        """
        return None if self.rectangle is None else self.rectangle.box_xyxy_px(size_hw)


def _clip(value: float, high: float) -> float:
    return min(max(value, 0.0), high)
