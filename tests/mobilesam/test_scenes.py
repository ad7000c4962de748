import numpy as np
import pytest

from mobilesam.scenes import generate_scene


@pytest.mark.parametrize("size_hw", [(256, 256), (480, 640), (32, 100)], ids=str)
def test_scene_has_the_asked_size_and_separate_objects(size_hw):
    for seed in range(5):
        scene = generate_scene(seed, size_hw)
        assert scene.image.shape == (*size_hw, 3)
        assert scene.image.dtype == np.uint8
        assert scene.masks.dtype == bool
        assert scene.masks.shape[1:] == size_hw
        assert 1 <= len(scene.masks) <= 9
        assert scene.masks.sum(axis=0).max() == 1
        assert scene.masks.any(axis=(1, 2)).all()


def test_seed_gives_the_same_scene_again():
    first, again = generate_scene(7), generate_scene(7)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.masks, again.masks)


def test_seeds_give_different_scenes():
    assert not np.array_equal(generate_scene(7).image, generate_scene(8).image)


def test_objects_differ_from_what_surrounds_them():
    """Else there would be nothing to segment."""
    differences = []
    for seed in range(10):
        scene = generate_scene(seed)
        ground = ~scene.masks.any(axis=0)
        for mask in scene.masks:
            inside, outside = scene.image[mask].mean(axis=0), scene.image[ground].mean(axis=0)
            differences.append(np.linalg.norm(inside - outside))
    assert np.median(differences) > 60


def test_scene_too_small_to_hold_anything_is_refused():
    with pytest.raises(ValueError, match="32 pixels or more, got 100 x 31"):
        generate_scene(0, (31, 100))
