"""The model as OpenVINO graphs, converted from torch once and kept in the user's cache folder.

Converting takes seconds, reading what was kept a fraction of one. A folder's name says all that a
graph depends on: the weights, the modules that define the model, and the libraries' versions.
"""

import hashlib
import logging
import os
import shutil
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree as ET

import torch
from torch import Tensor, nn

from mobilesam.model.mobile_sam import MobileSAM
from mobilesam.runtimes.fixed_shape_decoder import FixedShapeDecoder
from mobilesam.runtimes.silent_openvino import openvino as ov
from mobilesam.weights.checkpoint import Weights
from mobilesam.weights.download import cache_folder

KEPT = 4  # models, the last ones used; 40 MB each with the official weights
PART = "part-"  # how the folders begin that graphs are copied to, before they have their name
PART_IS_LEFT_AFTER_S = 3600  # whoever copied was killed
NAMES = ("encoder", "decoder", "mask_adder")
_LIBRARIES = ("openvino", "timm", "torch")
_PACKAGE = Path(__file__).parents[1]
# Files and folders of the package whose code decides what is in a graph.
_SOURCES = (
    "model",
    "runtimes/fixed_shape_decoder.py",
    "runtimes/openvino_graphs.py",
    "weights/checkpoint.py",
)

log = logging.getLogger(__name__)


class _ChannelsLast(nn.Module):
    """The image encoder for (1, S, S, 3) pixels and a (1, G, G, C) embedding.

    As images come and as the decoder reads: neither has to be rearranged in memory.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.encoder(pixels.permute(0, 3, 1, 2))
        return features.permute(0, 2, 3, 1)


class _MaskAdder(nn.Module):
    """The image (1, G, G, C) with a previous mask's logits (1, 1, 4G, 4G), as the decoder reads."""

    def __init__(self, decoder: FixedShapeDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, image: Tensor, mask_logits: Tensor) -> Tensor:
        return image + self.decoder.mask(mask_logits)


def load_graphs(core: ov.Core, weights: Weights, weights_sha256: str) -> list[ov.Model]:
    """Return the graphs of `NAMES`, from the cache folder where they are there.

    A folder that cannot be written, or holds something damaged, costs the time to convert and
    nothing else.
    """
    core.set_property({"ENABLE_MMAP": False})  # a folder may be deleted while its graphs are used
    folder = cache_folder() / "openvino" / graph_key(weights_sha256)
    try:
        if folder.is_dir():
            os.utime(folder)  # the folders not used lately are deleted
            return _read(core, folder)
    except (OSError, RuntimeError) as error:
        log.warning("%s is damaged and made anew: %s", folder, error)
        shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as place:
        made = Path(place)
        for name, graph in zip(NAMES, _convert(weights.build_fused_model()), strict=True):
            ov.save_model(graph, made / f"{name}.xml", compress_to_fp16=False)
            _keep_precise(made / f"{name}.xml")
        graphs = _read(core, made)
        try:
            _keep(made, folder)
        except OSError as error:
            log.warning("cannot keep the model for the next start in %s: %s", folder, error)
    return graphs


def _convert(model: MobileSAM) -> list[ov.Model]:
    side = model.sizes.input_size
    encoder = _ChannelsLast(model.image_encoder).eval()
    model.image_encoder.cache_biases()  # after `eval`, which empties the cache
    decoder = FixedShapeDecoder(model).eval()
    image, *_ = decoder.example_inputs()
    logits = torch.zeros(1, 1, 4 * image.shape[1], 4 * image.shape[2])
    graphs = []
    for module, inputs in (
        (encoder, (torch.zeros(1, side, side, 3),)),
        (decoder, decoder.example_inputs()),
        (_MaskAdder(decoder).eval(), (image, logits)),
    ):
        with torch.no_grad():
            graph = ov.convert_model(torch.export.export(module, inputs))
        graph.reshape(dict(enumerate(list(x.shape) for x in inputs)))
        graphs.append(graph)
    return graphs


def _keep_precise(path: Path) -> None:
    """Keep a graph in float32 but for the matrices of attention and MLPs, whatever the precision.

    They are most of the work, and what rounds least: bfloat16 everywhere takes a third less time,
    and costs the masks five times as much. OpenVINO reads the attribute from files only, and does
    not mind it on fully connected layers.
    """
    tree = ET.parse(path)  # noqa: S314 - OpenVINO wrote it just now
    for layer in tree.iter("layer"):
        info = layer.find("rt_info")
        if info is None:
            info = ET.Element("rt_info")
            layer.insert(0 if layer.find("data") is None else 1, info)
        ET.SubElement(info, "attribute", name="precise", version="0")
    tree.write(path)


def _read(core: ov.Core, folder: Path) -> list[ov.Model]:
    return [core.read_model(folder / f"{name}.xml") for name in NAMES]


def _keep(made: Path, folder: Path) -> None:
    """Copy graphs so that the folder appears in one step, and delete those not used lately."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=PART) as part:
        whole = shutil.copytree(made, Path(part) / "whole")
        if not folder.exists():  # another process may have been faster
            whole.rename(folder)
    for path in folder.parent.glob(f"{PART}*"):
        if time.time() - path.stat().st_mtime > PART_IS_LEFT_AFTER_S:
            shutil.rmtree(path, ignore_errors=True)
    others = [path for path in folder.parent.iterdir() if (path / "encoder.xml").exists()]
    for path in sorted(others, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def graph_key(weights_sha256: str, package: Path = _PACKAGE) -> str:
    """Name all that a graph depends on, so that no graph outlives a change of any of it.

    Args:
        weights_sha256: of the weights file.
        package: folder of this package's sources.
    """
    parts = [weights_sha256, *(f"{library} {version(library)}" for library in _LIBRARIES)]
    for source in _SOURCES:
        path = package / source
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            parts += [file.name, hashlib.sha256(file.read_bytes()).hexdigest()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
