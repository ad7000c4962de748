"""Generated pictures with known masks, to train the demo weights on and to test with.

A scene holds textured shapes of many kinds on a textured ground: they cover each other, cast
shadows and lie among clutter under uneven light. One seed gives one scene, pixel for pixel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Pixels = NDArray[np.float32]

FIRST_HELD_OUT_SEED = 10_000_000  # of scenes that no training sees
SIDE = 256  # sizes below are for scenes whose short side has this many pixels
SUBPIXEL_BITS = 4  # of cv2's fixed-point polygon corners
LEAST_VISIBLE = 0.4  # of an object; what is covered more is drawn but no object to find
LEAST_AREA = 0.006  # of the scene's area


@dataclass(frozen=True)
class Scene:
    """A picture and its objects.

    `image` is (H, W, 3) uint8 RGB, `masks` (N, H, W) bool: the visible pixels of each object, so no
    two masks overlap. The nearest object comes last.
    """

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_]


def generate_scene(seed: int, size_hw: tuple[int, int] = (SIDE, SIDE)) -> Scene:
    """Paint the scene of a seed.

    Args:
        seed: any whole number from 0; another size is another scene.
        size_hw: height and width in pixels, 32 or more each.

    Returns:
        The scene with 1 to 9 objects.

    Raises:
        ValueError: a side is shorter than 32 pixels.
    """
    height, width = size_hw
    if min(size_hw) < 32:
        raise ValueError(f"a scene's sides must have 32 pixels or more, got {width} x {height}")
    for attempt in range(100):
        rng = np.random.default_rng([seed, height, width, attempt])
        scene = _paint(rng, height, width)
        if len(scene.masks):
            return scene
    raise AssertionError("a hundred scenes without an object cannot be")  # pragma: no cover


def _paint(rng: Generator, height: int, width: int) -> Scene:
    unit = min(height, width) / SIDE
    ground_color = rng.uniform(0.1, 0.9, 3)
    canvas = _texture(rng, height, width, ground_color, unit)
    _draw_clutter(rng, canvas, unit, count=int(rng.integers(0, 14)))

    light_angle = rng.uniform(0, 2 * np.pi)
    light = np.array([np.cos(light_angle), np.sin(light_angle)])
    colors = [ground_color]
    owner = np.zeros((height, width), np.uint8)  # number of the object seen at each pixel
    whole_areas = []
    for number in range(1, int(rng.integers(3, 10))):
        colors.append(_distinct_color(rng, colors))
        alpha = _random_shape(rng, height, width, unit)
        _lay_shadow(rng, canvas, alpha, light, unit)
        paint = _shaded_texture(rng, alpha, colors[-1], light, unit)
        canvas += alpha[..., None] * (paint - canvas)
        owner[alpha > 0.5] = number
        whole_areas.append(np.count_nonzero(alpha > 0.5))

    _draw_clutter(rng, canvas, unit, count=int(rng.integers(0, 3)))
    image = _photograph(rng, canvas, light, unit)
    masks = [owner == number for number in range(1, len(whole_areas) + 1)]
    kept = [
        mask
        for mask, whole in zip(masks, whole_areas, strict=True)
        if mask.sum() >= max(LEAST_VISIBLE * whole, LEAST_AREA * height * width)
    ]
    return Scene(image, np.array(kept, bool).reshape(-1, height, width))


# Colours and textures


def _distinct_color(rng: Generator, others: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the best of a few random colours: the one that differs most from the others."""
    candidates = rng.uniform(0.05, 0.95, (6, 3))
    distances = np.linalg.norm(candidates[:, None] - np.array(others)[None], axis=-1)
    best: NDArray[np.float64] = candidates[np.argmax(distances.min(axis=1))]
    return best


def _noise(rng: Generator, height: int, width: int, cell_px: float) -> Pixels:
    """Return smooth noise (H, W) in about -1..1 whose bumps are `cell_px` wide."""
    rows, columns = int(height / cell_px) + 3, int(width / cell_px) + 3
    coarse = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)


def _texture(
    rng: Generator, height: int, width: int, color: NDArray[np.float64], unit: float
) -> Pixels:
    """Return a texture (H, W, 3) around one colour, in 0..1."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    along = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    across = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))
    period = rng.uniform(6, 30) * unit
    kind = rng.choice(["plain", "grain", "stripes", "checks", "dots", "gradient", "marble"])
    pattern: NDArray[np.floating]
    if kind == "plain":
        pattern = np.zeros((height, width), np.float32)
    elif kind == "grain":
        pattern = _noise(rng, height, width, rng.uniform(2, 12) * unit)
    elif kind == "stripes":
        pattern = np.sin(2 * np.pi * along / period)
    elif kind == "checks":
        pattern = np.sign(np.sin(np.pi * along / period) * np.sin(np.pi * across / period))
    elif kind == "dots":
        bumps = np.cos(2 * np.pi * along / period) + np.cos(2 * np.pi * across / period)
        pattern = np.where(bumps > 0.7, 1.0, -1.0)
    elif kind == "gradient":
        pattern = 2 * (along - along.min()) / max(1.0, float(np.ptp(along))) - 1
    else:
        warp = _noise(rng, height, width, 20 * unit)
        pattern = np.sin(2 * np.pi * along / period + 4 * warp)
    other_color = color + rng.normal(0, 0.11, 3)
    half_way = (np.asarray(pattern, np.float32)[..., None] + 1) / 2
    mixed = color + half_way * (other_color - color)
    mixed += 0.05 * _noise(rng, height, width, 40 * unit)[..., None]
    return np.clip(mixed, 0, 1).astype(np.float32)


def _shaded_texture(
    rng: Generator,
    alpha: Pixels,
    color: NDArray[np.float64],
    light: NDArray[np.float64],
    unit: float,
) -> Pixels:
    """Return an object's paint (H, W, 3): brighter towards the light, darker at its rim."""
    height, width = alpha.shape
    rows, columns = np.nonzero(alpha)
    paint: Pixels = np.zeros((height, width, 3), np.float32)
    if not len(rows):
        return paint
    top, bottom = rows.min(), rows.max() + 1
    left, right = columns.min(), columns.max() + 1
    size_px = max(bottom - top, right - left)
    patch = _texture(rng, bottom - top, right - left, color, unit)
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    slope = ((x - x.mean()) * light[0] + (y - y.mean()) * light[1]) / size_px
    shade = 1 + rng.uniform(0, 0.5) * slope
    if rng.random() < 0.5:
        inside = (alpha[top:bottom, left:right] > 0.5).astype(np.uint8)
        rim = cv2.distanceTransform(np.pad(inside, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        shade = shade * (1 - rng.uniform(0.1, 0.35) * np.exp(-rim / (0.12 * size_px)))
    paint[top:bottom, left:right] = np.clip(patch * shade[..., None], 0, 1)
    return paint


# Shapes: outlines (N, 2) float around the origin with a radius of about 1


def _ellipse(_rng: Generator) -> NDArray[np.float64]:
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _regular_polygon(rng: Generator) -> NDArray[np.float64]:
    angles = np.linspace(0, 2 * np.pi, int(rng.integers(3, 8)), endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _star(rng: Generator) -> NDArray[np.float64]:
    spikes = int(rng.integers(4, 9))
    angles = np.linspace(0, 2 * np.pi, 2 * spikes, endpoint=False)
    radii = np.where(np.arange(2 * spikes) % 2, rng.uniform(0.4, 0.7), 1.0)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _blob(rng: Generator) -> NDArray[np.float64]:
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    radii = np.ones_like(angles)
    for wave in range(2, 6):
        radii += rng.normal(0, 0.35 / wave) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
    radii = np.clip(radii, 0.3, 1.7)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _rounded_rectangle(rng: Generator) -> NDArray[np.float64]:
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    power = rng.uniform(0.15, 0.6)  # of a superellipse: small is square, 1 is round
    x, y = np.cos(angles), np.sin(angles)
    return np.stack([np.sign(x) * np.abs(x) ** power, np.sign(y) * np.abs(y) ** power], axis=1)


def _cross(rng: Generator) -> NDArray[np.float64]:
    arm = rng.uniform(0.25, 0.5)
    quarter = np.array([[1, -arm], [1, arm], [arm, arm]])
    turns = [np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), times) for times in range(4)]
    return np.concatenate([quarter @ turn for turn in turns])


def _crescent(rng: Generator) -> NDArray[np.float64]:
    angles = np.linspace(-np.pi / 2, np.pi / 2, 30)
    outer = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    inner = outer[::-1] * np.array([rng.uniform(-0.4, 0.3), 1.0])
    return np.concatenate([outer, inner])


def _bottle(rng: Generator) -> NDArray[np.float64]:
    neck, shoulder = rng.uniform(0.15, 0.35), rng.uniform(-0.5, 0.0)
    side = np.array([[neck, -1], [neck, shoulder - 0.2], [0.55, shoulder + 0.1], [0.55, 1]])
    return np.concatenate([side, side[::-1] * np.array([-1, 1])])


SHAPES: tuple[Callable[[Generator], NDArray[np.float64]], ...] = (
    _ellipse,
    _regular_polygon,
    _star,
    _blob,
    _rounded_rectangle,
    _cross,
    _crescent,
    _bottle,
)


def _random_shape(rng: Generator, height: int, width: int, unit: float) -> Pixels:
    """Return one shape's coverage (H, W) in 0..1 at a random place, size and angle."""
    outline = SHAPES[rng.integers(len(SHAPES))](rng)
    radius_px = np.exp(rng.uniform(np.log(20), np.log(66))) * unit
    center = rng.uniform([0.05 * width, 0.05 * height], [0.95 * width, 0.95 * height])
    alpha = _fill(_placed(rng, outline, radius_px, center), height, width)
    if rng.random() < 0.1:  # a hole, as in a ring or a frame
        hole = _placed(rng, _ellipse(rng), rng.uniform(0.3, 0.5) * radius_px, center)
        alpha = alpha * (1 - _fill(hole, height, width))
    return alpha


def _placed(
    rng: Generator, outline: NDArray[np.float64], radius_px: float, center: NDArray[np.float64]
) -> NDArray[np.float64]:
    angle, squeeze = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.0)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    return (outline * np.array([1.0, squeeze]) * radius_px) @ turn + center


def _fill(outline: NDArray[np.float64], height: int, width: int) -> Pixels:
    alpha = np.zeros((height, width), np.uint8)
    corners = np.rint(outline * 2**SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(alpha, [corners], 255, lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS)
    return alpha.astype(np.float32) / np.float32(255)


# Everything that is not an object


def _draw_clutter(rng: Generator, canvas: Pixels, unit: float, *, count: int) -> None:
    """Draw thin lines and specks, too small to be objects."""
    height, width = canvas.shape[:2]
    for _ in range(count):
        color = rng.uniform(0, 1, 3).tolist()
        x, y = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        if rng.random() < 0.5:
            end = (int(x + rng.normal(0, 60) * unit), int(y + rng.normal(0, 60) * unit))
            cv2.line(canvas, (x, y), end, color, max(1, round(unit)), cv2.LINE_AA)
        else:
            radius = max(1, round(rng.uniform(1, 3) * unit))
            cv2.circle(canvas, (x, y), radius, color, -1, cv2.LINE_AA)


def _lay_shadow(
    rng: Generator, canvas: Pixels, alpha: Pixels, light: NDArray[np.float64], unit: float
) -> None:
    """Darken what lies behind an object on the side away from the light."""
    if rng.random() < 0.4:
        return
    shift = -light * rng.uniform(2, 7) * unit
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    height, width = alpha.shape
    shadow = cv2.warpAffine(alpha, matrix, (width, height))
    shadow = cv2.GaussianBlur(shadow, (0, 0), rng.uniform(1.5, 4) * unit)
    canvas *= (1 - rng.uniform(0.2, 0.5) * shadow)[..., None]


def _photograph(
    rng: Generator, canvas: Pixels, light: NDArray[np.float64], unit: float
) -> NDArray[np.uint8]:
    """Apply uneven light, a colour cast, blur and sensor noise."""
    height, width = canvas.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    falloff = light[0] * (x / width - 0.5) + light[1] * (y / height - 0.5)
    exposure = 1 + rng.uniform(0, 0.5) * falloff + rng.uniform(-0.15, 0.1)
    picture = canvas * exposure[..., None] * (1 + rng.normal(0, 0.04, 3))
    blurred = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), rng.uniform(0.3, 0.9) * unit)
    noisy = blurred + rng.normal(0, rng.uniform(0, 0.025), canvas.shape)
    clipped: NDArray[np.uint8] = np.clip(noisy * 255 + 0.5, 0, 255).astype(np.uint8)
    return clipped
