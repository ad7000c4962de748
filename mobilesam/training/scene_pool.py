"""Scenes on disk for training: painted by a process of its own, drawn with variations."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from mobilesam.images.resize import PIXEL_MEAN, PIXEL_STD
from mobilesam.scenes import SIDE, generate_scene

FIRST_HELD_OUT_SEED = 10_000_000  # scenes from here on are never trained on
SCENES_AT_START = 400
SCENES_PER_STEP = 2  # the pool opens up by as many, whoever is faster, so a run can be repeated
OWNER = 3  # the channel after red, green, blue: number of the object seen there, 0 for the ground
PAINTED = 255  # in the last pixel's owner channel: this scene is whole


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    `pixels` is (B, 3, 256, 256), normalised; `targets` (B * P, 256, 256) bool, P objects of each
    picture in turn.
    """

    pixels: Tensor
    targets: NDArray[np.bool_]


class ScenePool:
    """A file of scenes (N, 256, 256, 4) uint8 that is filled while it is read."""

    def __init__(self, path: Path, scenes: int) -> None:
        self.path = path
        self.scenes = scenes
        shape = (scenes, SIDE, SIDE, 4)
        if not path.exists() or path.stat().st_size != _file_size(shape):
            np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape).flush()
        self.array = np.lib.format.open_memmap(path, mode="r")

    def draw(self, rng: Generator, step: int, pictures: int, prompts: int) -> Batch:
        """Return a batch for a step, waiting for the painter where it is behind."""
        open_scenes = min(self.scenes, SCENES_AT_START + SCENES_PER_STEP * step)
        pixels, targets = [], []
        for index in rng.integers(0, open_scenes, pictures):
            while self.array[index, -1, -1, OWNER] != PAINTED:
                time.sleep(0.1)
            image, owner = vary(rng, self.array[index])
            pixels.append(image)
            objects = _objects_of(owner)
            chosen = rng.permutation(np.resize(rng.permutation(objects), prompts))
            targets.append(owner == chosen[:, None, None])
        return Batch(torch.from_numpy(np.stack(pixels)), np.concatenate(targets))


def fill_pool(path: Path, scenes: int, seed: int) -> None:
    """Paint the scenes that a pool's file lacks, in order."""
    array = np.lib.format.open_memmap(path, mode="r+")
    for index in range(scenes):
        if array[index, -1, -1, OWNER] == PAINTED:
            continue
        scene = generate_scene(seed * 1_000_000 + index)
        owner = np.zeros((SIDE, SIDE), np.uint8)
        for number, mask in enumerate(scene.masks, start=1):
            owner[mask] = number
        owner[-1, -1] = 0
        array[index] = np.dstack([scene.image, owner])
        array[index, -1, -1, OWNER] = PAINTED


def vary(rng: Generator, scene: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Turn, mirror, recolour and crop a scene as if it were another picture.

    Returns:
        image (3, 256, 256) float32 normalised, zeros right and below as the model pads, and owner
        (256, 256).
    """
    picture = np.rot90(scene, int(rng.integers(4)))
    picture = picture[:, ::-1] if rng.random() < 0.5 else picture
    rgb = picture[..., :OWNER][..., rng.permutation(3)].astype(np.float32)
    owner = np.where(picture[..., OWNER] == PAINTED, 0, picture[..., OWNER]).astype(np.uint8)
    if rng.random() < 0.3:
        rgb = 255 - rgb
    if rng.random() < 0.2:  # as in a picture without colour
        rgb = np.repeat(rgb.mean(axis=2, keepdims=True), 3, axis=2)
    normalised = (rgb - PIXEL_MEAN) / PIXEL_STD
    if rng.random() < 0.6:  # most pictures are not square
        keep = int(rng.integers(SIDE // 2, SIDE))
        rows = rng.random() < 0.7
        cropped = (slice(0, keep), slice(None)) if rows else (slice(None), slice(0, keep))
        if len(_objects_of(owner[cropped])):
            outside = np.ones((SIDE, SIDE), bool)
            outside[cropped] = False
            normalised[outside] = 0
            owner[outside] = 0
    return np.ascontiguousarray(normalised.transpose(2, 0, 1), np.float32), owner


def _objects_of(owner: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the numbers of the objects with at least 150 visible pixels."""
    areas = np.bincount(owner.ravel())
    numbers = np.flatnonzero(areas >= 150)
    return numbers[numbers > 0]


def _file_size(shape: tuple[int, ...]) -> int:
    header = 128  # of the npy format, for every shape that occurs here
    return header + int(np.prod(shape))
