"""What the commands are given: the file of a labeling config, a Label Studio."""

from pathlib import Path

from backend.core.errors import DatasetError
from backend.label_studio.client import LabelStudio
from backend.label_studio.connections import Connections


def read_labeling_config(path: Path) -> str:
    """Read the XML of a labeling config; it is not parsed.

    Raises:
        DatasetError: there is no such file, or it is no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"cannot read the labeling config {str(path)!r}: {error}",
            remedy="save Settings > Labeling Interface > Code to a file and give that",
        ) from error


def require_label_studio(connections: Connections, instead: str) -> LabelStudio:
    """Return the Label Studio of the settings.

    Args:
        connections: of the settings.
        instead: what can be done without one, as an imperative.

    Raises:
        DatasetError: LABEL_STUDIO_URL is not set.
    """
    server = connections.find("")
    if server is None:
        raise DatasetError(
            "a project is in Label Studio, and LABEL_STUDIO_URL is not set",
            remedy=f"set it and LABEL_STUDIO_API_KEY, or {instead}",
        )
    return server
