import numpy as np
import pytest
import torch

from mobilesam import CheckpointError, Predictor
from mobilesam.model.mobile_sam import SIZES, MobileSAM
from mobilesam.weights.checkpoint import (
    BUNDLED_DEMO,
    WeightsId,
    find_checkpoint,
    from_official,
    identify_weights,
    load_model,
)
from mobilesam.weights.download import OFFICIAL, default_checkpoint_path

MIB = 2**20


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "weights.pt"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        return path

    return write


def test_official_names_all_find_their_place(parity_checkpoint):
    official = torch.load(parity_checkpoint, weights_only=True)
    ours = MobileSAM(SIZES["vit_t"]).state_dict()
    renamed = from_official(official)
    assert renamed.keys() == ours.keys()
    assert all(renamed[name].shape == ours[name].shape for name in ours)


def test_official_weights_inside_a_training_wrapper_load_too(parity_checkpoint, write):
    official = torch.load(parity_checkpoint, weights_only=True)
    assert load_model(write({"model": official})).sizes == SIZES["vit_t"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"<!DOCTYPE html><html>Not found</html>", "is a web page", id="html"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer", id="lfs"),
        pytest.param(b"\x89PNG\r\n", "is no torch file", id="picture"),
        pytest.param(b"hello world", "is no torch file", id="text"),
        pytest.param(b"a", "is no torch file", id="one-letter"),
        pytest.param([1, 2, 3], "holds a list", id="a-list"),
        pytest.param({}, "no named weights, only nothing", id="empty-dict"),
        pytest.param({1: torch.zeros(1)}, "no named weights, only 1: Tensor", id="number-as-name"),
        pytest.param(
            {"weights": {"a": 3}}, "no named weights, only 'weights': dict", id="number-as-weight"
        ),
        pytest.param(
            {"weights": {1: torch.zeros(1), "a": torch.zeros(1)}},
            "1 unexpected (such as a)",
            id="number-as-name-inside",
        ),
        pytest.param(
            {f"prompt_encoder.point_embeddings.{n}.weight": torch.zeros(1, n) for n in range(4)}
            | {"a": torch.zeros(1)},
            "weights of another model",
            id="point-kinds-of-different-sizes",
        ),
        pytest.param({"weights": {}, "sizes": "huge"}, "unknown model 'huge'", id="unknown-sizes"),
        pytest.param({"a": torch.zeros(1)}, "weights of another model", id="foreign"),
        pytest.param(
            {"image_encoder.pos_embed": torch.zeros(1, 2, 2, 1280)}, "SAM ViT-H", id="sam-vit-h"
        ),
        pytest.param({"sam_mask_decoder.x": torch.zeros(1)}, "SAM 2", id="sam-2"),
    ],
)
def test_wrong_files_are_named_with_what_to_do(write, content, words):
    path = write(content)
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    message = str(caught.value)
    assert str(path) in message
    assert words in message
    assert "python -m mobilesam download" in message
    assert "40,728,226 bytes" in message


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_truncated_file_is_named(write, share):
    whole = BUNDLED_DEMO.read_bytes()
    with pytest.raises(CheckpointError, match="damaged or truncated"):
        load_model(write(whole[: int(share * len(whole))]))


def test_file_with_code_is_refused_without_running_it(write, tmp_path):
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    with pytest.raises(CheckpointError):
        load_model(write({"x": Evil()}))
    assert not (tmp_path / "ran").exists()


def test_weight_of_another_shape_is_named(write):
    content = torch.load(BUNDLED_DEMO, weights_only=True)
    content["weights"]["mask_decoder.iou_token.weight"] = torch.zeros(1, 7)
    with pytest.raises(CheckpointError, match=r"1 of another shape .*iou_token.weight \(1, 7\)"):
        load_model(write(content))


@pytest.mark.parametrize("name", ["official", "mobile_sam.pt", OFFICIAL.name])
def test_official_weights_are_looked_up_where_download_puts_them(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="python -m mobilesam download"):
        find_checkpoint(name)
    path = default_checkpoint_path()
    path.parent.mkdir(parents=True)
    path.touch()
    assert find_checkpoint(name) == path


def test_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="is a folder"):
        Predictor(tmp_path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no weights file at .*nothing\.pt"):
        Predictor(tmp_path / "nothing.pt")


def test_bundled_demo_weights_are_small_and_of_the_same_classes():
    assert BUNDLED_DEMO.stat().st_size <= 6 * MIB
    model = load_model(BUNDLED_DEMO)
    assert isinstance(model, MobileSAM)
    assert model.sizes == SIZES["demo"]


def test_fused_norms_change_nothing():
    model = load_model(BUNDLED_DEMO)
    pixels = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 256, 256))).float()
    before = model.image_encoder(pixels)
    model.image_encoder.fuse_norms()
    torch.testing.assert_close(model.image_encoder(pixels), before, rtol=1e-4, atol=1e-4)


def test_weights_are_identified_as_the_predictor_names_them(tmp_path):
    copied = tmp_path / "fine-tuned.pt"
    copied.write_bytes(BUNDLED_DEMO.read_bytes())
    for path, name in ((BUNDLED_DEMO, "demo"), (copied, "fine-tuned")):
        weights_id = identify_weights(path)
        predictor = Predictor(path, "cpu", runtime="torch")
        assert weights_id.name == predictor.weights == name
        assert weights_id.model_id == predictor.model_id


def test_weights_are_known_under_another_files_name_and_others_are_not():
    weights_id = WeightsId("mine", "0123456789abcdef")
    assert weights_id.is_in("mobilesam-renamed-weights-01234567")
    assert not weights_id.is_in("mobilesam-mine-weights-76543210")


@pytest.mark.parametrize("name", ["official.pt", "demo.pt"])
def test_file_that_is_only_called_so_is_not_taken_for_those_weights(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"somebody's own")
    assert identify_weights(path).name == name
