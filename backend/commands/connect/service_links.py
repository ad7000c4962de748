"""The links on this machine: settings, weights, device, the running service and its port."""

import socket
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

from backend.commands.connect.chain import Chain, Finding
from backend.commands.connect.running_service import Health, RunningService
from backend.core.errors import BackendError
from backend.core.text import without_secrets
from backend.label_studio.ml_backends import BasicAuth
from backend.segmentation.click_service import load_predictor
from backend.settings.settings import Settings
from mobilesam import CheckpointError, MobileSamError
from mobilesam.weights.checkpoint import find_checkpoint, identify_weights

CONNECT_TIMEOUT_S = 3.0


class ServiceLinks:
    """Tests the links up to a service that answers.

    Args:
        chain: gets the links.
        environment: the variables that the settings come from.
        backend_url: address of the service from here; the settings' port here if None.
    """

    def __init__(
        self, chain: Chain, environment: Mapping[str, str], backend_url: str | None
    ) -> None:
        self._chain = chain
        self._environment = environment
        self._backend_url = backend_url
        self.settings = Settings()
        self.service = RunningService("http://localhost", None)
        self.health: Health | None = None

    @property
    def model_version(self) -> str | None:
        """What the service says that it runs; None if none answers."""
        return self.health.model_version if self.health else None

    def test(self) -> None:
        """Test them all. A model is loaded only where no service has one."""
        chain = self._chain
        chain.test("settings", self._settings)
        names_port = [] if self._backend_url else ["settings"]
        self._backend_url = self._backend_url or f"http://localhost:{self.settings.port}"
        self.service = RunningService(self._backend_url, BasicAuth.of(self.settings))
        chain.test("port", self._port, needs=names_port)
        chain.test("service", self._health, needs=["port"])
        if self.health is not None:
            health = self.health
            chain.test("weights", lambda: self._running_weights(health), needs=["settings"])
            chain.test("device", lambda: self._running_device(health), needs=["settings"])
        else:
            chain.test("weights", self._weights_here, needs=["settings"])
            chain.test("device", self._device_here, needs=["weights"])

    def _settings(self) -> Finding:
        self.settings = Settings.from_environment(self._environment)
        known = {field.metadata["variable"] for field in fields(self.settings)}
        given = sorted(name for name in known if self._environment.get(name, "").strip())
        return Finding(", ".join(given) or "all as they are by default")

    def _port(self) -> Finding:
        parts = urlsplit(str(self._backend_url))
        address = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection(address, CONNECT_TIMEOUT_S).close()
        except OSError as error:
            raise BackendError(
                f"nothing listens at {address[0]}:{address[1]} ({error.strerror or error})",
                remedy="start the service (python -m backend serve), or name its address from "
                "here with --backend-url",
            ) from None
        return Finding(f"{address[0]}:{address[1]} accepts connections")

    def _health(self) -> Finding:
        self.health = self.service.health()
        return Finding(f"{self.health.model_version} at {without_secrets(self.service.url)}")

    def _running_weights(self, health: Health) -> Finding:
        """Compare with the settings, where they name weights: the service may have others."""
        if self._is_set("MOBILESAM_CHECKPOINT"):
            wanted = self.settings.checkpoint
            if wanted not in (health.weights, health.model_version) and not identify_weights(
                _checkpoint(wanted)
            ).is_in(health.model_version):
                raise BackendError(
                    f"the service runs {health.model_version}, "
                    f"and MOBILESAM_CHECKPOINT={wanted} here",
                    remedy="start the service again with the settings that you want",
                )
        return Finding(_weights_detail(health.weights, f"{health.model_version}, in the service"))

    def _running_device(self, health: Health) -> Finding:
        runs = f"{health.device}, {health.runtime} {health.precision}"
        wanted = {
            "MOBILESAM_DEVICE": (self.settings.device, health.device),
            "MOBILESAM_RUNTIME": (self.settings.runtime, health.runtime),
            "MOBILESAM_PRECISION": (self.settings.precision, health.precision),
        }
        for name, (value, running) in wanted.items():
            if self._is_set(name) and value != "auto" and not running.startswith(value):
                raise BackendError(
                    f"the service runs on {runs}, and {name}={value} here",
                    remedy="start the service again with the settings that you want",
                )
        return Finding(runs)

    def _weights_here(self) -> Finding:
        path = _checkpoint(self.settings.checkpoint)
        return Finding(_weights_detail(self.settings.checkpoint, str(path)))

    def _device_here(self) -> Finding:
        try:
            predictor = load_predictor(self.settings)
        except MobileSamError as error:
            raise BackendError(
                str(error), remedy="set MOBILESAM_DEVICE and MOBILESAM_RUNTIME to what is here"
            ) from error
        return Finding(
            f"{predictor.device}, {predictor.runtime} {predictor.precision}, "
            f"with {predictor.model_id}"
        )

    def _is_set(self, name: str) -> bool:
        return bool(self._environment.get(name, "").strip())


def _checkpoint(name: str) -> Path:
    try:
        return find_checkpoint(name)
    except CheckpointError as error:
        raise BackendError(
            str(error),
            remedy="python -m mobilesam download (serve does it too), "
            "or correct MOBILESAM_CHECKPOINT",
        ) from error


def _weights_detail(weights: str, what: str) -> str:
    if weights == "demo":
        return f"demo, for trying the software and not for labelling ({what})"
    return f"{weights} ({what})"
