"""Weights files: the official checkpoint by its names, and this project's own format.

Every file is read with `torch.load(weights_only=True)`, which runs no code from it.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mobilesam.errors import CheckpointError
from mobilesam.model.mobile_sam import SIZES, MobileSAM, ModelSizes, PromptDecoder
from mobilesam.weights.download import OFFICIAL, default_checkpoint_path

BUNDLED_DEMO = Path(__file__).with_name("demo.pt")

# The official checkpoint's names -> ours, applied in this order.
_RENAMES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^image_encoder\.(patch_embed|layers)\.", r"image_encoder.trunk.\1."),
        (r"\.patch_embed\.seq\.0\.", ".patch_embed.conv1."),
        (r"\.patch_embed\.seq\.2\.", ".patch_embed.conv2."),
        (r"(trunk\..*)\.c\.", r"\1.conv."),
        # A merging layer closes a stage there and opens the next one here.
        (r"trunk\.layers\.0\.downsample\.", "trunk.stages.1.downsample."),
        (r"trunk\.layers\.1\.downsample\.", "trunk.stages.2.downsample."),
        (r"trunk\.layers\.2\.downsample\.", "trunk.stages.3.downsample."),
        (r"trunk\.layers\.", "trunk.stages."),
        (r"\.pe_layer\.positional_encoding_gaussian_matrix$", ".frequencies"),
        (r"\.not_a_point_embed\.", ".padding."),
        (r"\.no_mask_embed\.", ".no_mask."),
        (r"\.transformer\.layers\.", ".transformer.blocks."),
        (r"\.final_attn_token_to_image\.", ".final_tokens_to_image."),
        (r"\.norm_final_attn\.", ".final_norm."),
        (r"\.cross_attn_token_to_image\.", ".tokens_to_image."),
        (r"\.cross_attn_image_to_token\.", ".image_to_tokens."),
        (r"\.self_attn\.", ".self_attention."),
        (r"\.q_proj\.", ".query."),
        (r"\.k_proj\.", ".key."),
        (r"\.v_proj\.", ".value."),
        (r"\.out_proj\.", ".out."),
        (r"\.mlp\.lin1\.", ".mlp.layers.0."),
        (r"\.mlp\.lin2\.", ".mlp.layers.1."),
        (r"\.output_upscaling\.", ".upscaling."),
        (r"\.output_hypernetworks_mlps\.", ".hypernetworks."),
        (r"\.iou_prediction_head\.", ".iou_head."),
    )
)
_UNUSED = re.compile(r"^image_encoder\.(norm_head|head)\.")  # the pre-training's classifier
_ENCODER = "image_encoder."
_POINT_KIND = "prompt_encoder.point_embeddings.{}.weight"
_REMEDY = (
    "run `python -m mobilesam download` for the official mobile_sam.pt "
    f"({OFFICIAL.size_bytes:,} bytes, from {OFFICIAL.url}), or use the bundled weights: demo"
)


def find_checkpoint(name: str | Path) -> Path:
    """Resolve the name of weights to their file.

    Args:
        name: "demo", "official", or a path. "mobile_sam.pt" that is not in the current folder means
            the downloaded official file.

    Raises:
        CheckpointError: there is no such file.
    """
    if str(name) == "demo":
        return BUNDLED_DEMO
    path = default_checkpoint_path() if str(name) == "official" else Path(name).expanduser()
    if not path.exists() and str(name) == OFFICIAL.name:
        path = default_checkpoint_path()
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder, expected a weights file; {_REMEDY}")
    if not path.exists():
        raise CheckpointError(f"no weights file at {path}; {_REMEDY}")
    return path


class WeightsId(NamedTuple):
    """Which weights a file holds: "official", "demo" or the file's name, and its SHA-256."""

    name: str
    sha256: str

    @property
    def model_id(self) -> str:
        """Cache key and model version: name and the start of the SHA-256."""
        return f"mobilesam-{self.name}-weights-{self.sha256[:8]}"

    def is_in(self, model_id: str) -> bool:
        """Whether a model id has this SHA-256, under any file name."""
        return model_id.endswith(f"-{self.sha256[:8]}")


def identify_weights(path: Path) -> WeightsId:
    """Hash a weights file, without loading it."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if path == BUNDLED_DEMO:
        return WeightsId("demo", sha256)
    if sha256 == OFFICIAL.sha256:
        return WeightsId("official", sha256)
    # A file of somebody's that is called official.pt is not taken for the official weights.
    return WeightsId(path.name if path.stem in ("official", "demo") else path.stem, sha256)


@dataclass(frozen=True, eq=False)  # equal tensors are no single truth value
class Weights:
    """What a weights file holds; the model, or the half that is needed, is built from it.

    Building the image encoder imports timm, which takes seconds: see `image_encoder`.
    """

    path: Path
    sizes: ModelSizes
    tensors: Mapping[str, Tensor]

    def build_model(self) -> MobileSAM:
        """Return the whole model, on the CPU, for inference.

        Raises:
            CheckpointError: a weight is missing, too many or of another shape.
        """
        model = MobileSAM(self.sizes)
        _check(self.path, self.tensors, model.state_dict())
        model.load_state_dict(self.tensors)
        return model.eval().requires_grad_(requires_grad=False)

    def build_fused_model(self) -> MobileSAM:
        """Return `build_model` with its batch norms folded into the convolutions."""
        model = self.build_model()
        model.image_encoder.fuse_norms()
        return model

    def build_decoder(self) -> PromptDecoder:
        """Return the model without its image encoder, whose weights are not looked at.

        Raises:
            CheckpointError: as for `build_model`.
        """
        decoder = PromptDecoder(self.sizes)
        tensors = {
            name: value for name, value in self.tensors.items() if not name.startswith(_ENCODER)
        }
        _check(self.path, tensors, decoder.state_dict())
        decoder.load_state_dict(tensors)
        return decoder.eval().requires_grad_(requires_grad=False)


def load_model(path: Path) -> MobileSAM:
    """Build the model that a weights file is for and fill it, on the CPU, for inference.

    Raises:
        CheckpointError: the file is not such a file; says what it is and how to get one.
    """
    return read_weights(path).build_model()


def read_weights(path: Path) -> Weights:
    """Read a weights file of either format and give its weights this project's names.

    Raises:
        CheckpointError: the file is no weights file; says what it is and how to get one.
    """
    content = _read(path)
    own, name = content.get("weights"), str(content.get("sizes", "vit_t"))
    weights = _named(own) if isinstance(own, Mapping) else from_official(_unwrapped(content))
    if name not in SIZES:
        raise CheckpointError(f"{path} is for an unknown model {name!r}; {_REMEDY}")
    if not weights:
        raise CheckpointError(f"{path} holds no named weights, only {_entries(content)}; {_REMEDY}")
    return Weights(path, SIZES[name], weights)


def from_official(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename an official state dict; names that are not official come out as they are."""
    weights: dict[str, Tensor] = {}
    point_kinds = [_POINT_KIND.format(kind) for kind in range(4)]
    for name, value in official.items():
        if _UNUSED.match(name) or name in point_kinds:
            continue
        renamed = name
        for pattern, replacement in _RENAMES:
            renamed = pattern.sub(replacement, renamed)
        weights[renamed] = value
    rows = [official[name] for name in point_kinds if name in official]
    shapes = {tuple(row.shape) for row in rows}
    if len(rows) == len(point_kinds) and len(shapes) == 1 and () not in shapes:
        weights["prompt_encoder.point_kinds.weight"] = torch.cat(rows)
    return weights


def save_weights(
    model: MobileSAM, sizes: str, path: Path, *, notes: Mapping[str, str] | None = None
) -> None:
    """Write a model in this project's format, floats in half precision.

    Args:
        model: the weights to save.
        sizes: the model's row in `model.SIZES`.
        path: file to write; its folder is made, an earlier file is replaced when this one is whole.
        notes: where the weights come from, kept in the file; see `read_notes`.
    """
    weights = {
        name: value.detach().cpu().half() if value.is_floating_point() else value.cpu()
        for name, value in model.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save({"sizes": sizes, "weights": weights, "notes": dict(notes or {})}, part)
    part.replace(path)


def read_notes(path: Path) -> dict[str, str]:
    """Return the notes that `save_weights` put into a file; none in files of other origin.

    Raises:
        CheckpointError: the file cannot be read.
    """
    notes = _read(path).get("notes")
    if not isinstance(notes, Mapping):
        return {}
    return {str(key): str(value) for key, value in notes.items()}


def _read(path: Path) -> Mapping[object, object]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}; {_REMEDY}") from error
    except Exception as error:  # torch's unpickler lets junk raise anything
        raise CheckpointError(f"{path} {_describe(path)}; {_REMEDY}") from error
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise CheckpointError(f"{path} holds a {kind}, expected named weights; {_REMEDY}")
    return content


def _describe(path: Path) -> str:
    """Guess from its first bytes what a file is that torch cannot read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(256)
    if not start:
        return "is empty"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page (HTML), probably an error page that was saved instead of the weights"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the weights themselves"
    if start.startswith(b"PK"):
        return f"is a damaged or truncated torch file of {size:,} bytes"
    return f"is no torch file ({size:,} bytes, starting with {start[:16]!r})"


def _unwrapped(content: Mapping[object, object]) -> dict[str, Tensor]:
    """Return the weights inside the usual wrappers of training scripts."""
    for wrapper in ("model", "state_dict"):
        inner = content.get(wrapper)
        if isinstance(inner, Mapping):
            content = inner
    return _named(content)


def _named(content: Mapping[object, object]) -> dict[str, Tensor]:
    """Return the weights among the entries; training scripts keep numbers and such beside them."""
    return {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


def _entries(content: Mapping[object, object]) -> str:
    """Name the first few entries of a file with their kinds."""
    kinds = [f"{name!r}: {type(value).__name__}" for name, value in content.items()]
    return ", ".join(kinds[:3]) or "nothing"


def _check(path: Path, weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    missing = sorted(wanted.keys() - weights.keys())
    unexpected = sorted(weights.keys() - wanted.keys())
    misshapen = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in weights and weights[name].shape != wanted[name].shape
    ]
    if not (missing or unexpected or misshapen):
        return
    what = f"has weights of another model{_guess(weights)}"
    details = [
        f"{len(names)} {label} (such as {names[0]})"
        for label, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
        )
        if names
    ]
    raise CheckpointError(f"{path} {what}: {', '.join(details)}; {_REMEDY}")


def _guess(weights: Mapping[str, Tensor]) -> str:
    """Name the well-known model that foreign weights belong to, if it is one."""
    first = weights.get("image_encoder.pos_embed")
    if first is not None and first.ndim == 4:
        names = {768: "ViT-B", 1024: "ViT-L", 1280: "ViT-H"}
        return f", SAM {names.get(first.shape[-1], 'ViT')}"
    if any(name.startswith(("sam_mask_decoder", "memory_")) for name in weights):
        return ", SAM 2"
    return ""
