"""`python -m backend demo`: Label Studio and the backend, connected, with pictures to click on."""

import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout
from skimage import data

from backend.commands.connect.clicks import click_through_label_studio, find_target
from backend.commands.connect.running_service import RunningService
from backend.commands.demo.child_process import ChildProcess, free_port
from backend.commands.demo.label_studio_server import HOST, LabelStudioServer, install_label_studio
from backend.core.errors import BackendError
from backend.images.samples import COIN_XY, COINS, NAMES, sample_picture
from backend.label_studio import projects
from backend.label_studio.client import LabelStudio
from backend.labeling.parse_config import parse_labeling_config

HOME = Path(".label-studio")
LABEL_STUDIO_PORT = 8080
BACKEND_START_TIMEOUT_S = 300.0  # it loads and warms up the model before it listens
WATCH_INTERVAL_S = 1.0

TITLE = "MobileSAM demo"
INSTRUCTION = """\
<p>Turn on <b>Auto-Annotation</b> below the picture. Press <b>K</b> for the smart key point and
<b>1</b> for its label, then click an object: its mask appears.</p>
<ul>
<li><b>1</b> and another click adds to the mask, <b>1</b> and <b>Alt</b>-click takes away.</li>
<li><b>R</b> and <b>3</b>, then drag a box around an object.</li>
<li>The green tick accepts the mask; the next click starts a new one.</li>
</ul>
"""


class BackendServer(ChildProcess):
    """The service, as `python -m backend serve`; runs while the `with` block does.

    Args:
        label_studio: whose images it will fetch.
        checkpoint: weights: "official", "demo" or the path of a .pt file.
        port: to listen on.
        log: file that gets its output.
    """

    def __init__(
        self, label_studio: LabelStudioServer, *, checkpoint: str, port: int, log: Path
    ) -> None:
        self.url = f"http://{HOST}:{port}"
        super().__init__(
            "The backend",
            [sys.executable, "-m", "backend", "serve"],
            environment={
                **os.environ,
                "MOBILESAM_HOST": HOST,
                "PORT": str(port),
                "LABEL_STUDIO_URL": label_studio.url,
                "LABEL_STUDIO_API_KEY": label_studio.login.token,
                "MOBILESAM_CHECKPOINT": checkpoint,
            },
            log=log,
        )

    def wait_until_up(self) -> None:
        """Wait until it answers.

        Raises:
            BackendError: it ended, or did not answer in time; the remedy shows its log.
        """
        self.wait_until_healthy(f"{self.url}/health", timeout_s=BACKEND_START_TIMEOUT_S)


def run_demo(*, checkpoint: str, backend_port: int) -> None:
    """Start the demo, say where it is, and stay until Ctrl-C, SIGTERM or a closed terminal.

    Everything is kept in `.label-studio` in the current folder: a second start finds its Label
    Studio, login, project and annotations again.

    Args:
        checkpoint: weights for the backend: "official", "demo" or the path of a .pt file.
        backend_port: where to begin looking for a free port for the backend.

    Raises:
        BackendError: something did not start, ended by itself, or refused the test click.
    """
    _bypass_proxies()
    # SIGINT too: a shell script's background job starts with it ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    HOME.mkdir(exist_ok=True)
    try:
        with FileLock(HOME / "demo.lock", timeout=0), ExitStack() as stack:
            _run(stack, checkpoint, backend_port)
    except Timeout:
        raise BackendError(
            f"a demo is already running in {HOME.resolve()}",
            remedy="use that one, or end it first",
        ) from None
    except KeyboardInterrupt:
        print("\nStopped.")


def _run(stack: ExitStack, checkpoint: str, preferred_backend_port: int) -> None:
    python = install_label_studio(HOME / "venv")
    label_studio_port = _port("Label Studio", LABEL_STUDIO_PORT)
    backend_port = _port("The backend", preferred_backend_port)
    label_studio = LabelStudioServer(python, HOME / "data", port=label_studio_port)
    backend = BackendServer(
        label_studio, checkpoint=checkpoint, port=backend_port, log=HOME / "backend.log"
    )
    print("Starting Label Studio and the backend (the first time takes a minute) ...", flush=True)
    stack.enter_context(label_studio)
    stack.enter_context(backend)
    stack.callback(_ignore_signals)  # runs first, so that both are ended whatever is pressed
    backend.wait_until_up()
    label_studio.wait_until_up()

    server = LabelStudio(label_studio.url, label_studio.login.token)
    stack.callback(server.close)
    project_id = projects.open_project(server, TITLE, instruction=INSTRUCTION)
    pictures = {name: sample_picture(name) for name in NAMES}
    tasks = projects.upload_pictures(server, project_id, pictures)
    backend_id = projects.connect_backend(server, project_id, backend.url)
    area_px = _click_once(server, project_id, backend_id, tasks[COINS])
    print(f"Test click through Label Studio: a mask of {area_px:,} pixels came back.\n")
    _announce(label_studio, project_id, backend.url)
    _watch(label_studio, backend)


def _port(name: str, preferred: int) -> int:
    port = free_port(preferred)
    if port != preferred:
        print(f"Port {preferred} is taken: {name} uses {port}.")
    return port


def _click_once(server: LabelStudio, project_id: int, backend_id: int, task_id: int) -> int:
    """Click a coin through Label Studio's API.

    Returns:
        How many pixels the mask has that the backend answered.

    Raises:
        BackendError: no mask came back.
    """
    height, width = data.coins().shape
    coin_pct = 100 * COIN_XY[0] / width, 100 * COIN_XY[1] / height
    config = parse_labeling_config(projects.describe_project(server, project_id).label_config)
    target = find_target(config, {"id": task_id, "data": {}})
    mask = click_through_label_studio(server, backend_id, target, [coin_pct])
    if not mask.area_px:
        raise BackendError(
            f"the test click on task {task_id} gave no mask", remedy=f"read {HOME / 'backend.log'}"
        )
    return mask.area_px


def _announce(label_studio: LabelStudioServer, project_id: int, backend_url: str) -> None:
    health = RunningService(backend_url, None).health()
    login = label_studio.login
    if health.weights == "demo":
        print(
            "*** DEMO WEIGHTS: small, trained on generated scenes, for trying the software only.\n"
            "*** For real work get the official ones: python -m mobilesam download\n"
        )
    print(
        f"Label Studio   {label_studio.url}/projects/{project_id}/data\n"
        f"Login          {login.email}\n"
        f"Password       {login.password}\n"
        f"Backend        {backend_url} ({health.weights} weights, on {health.device})\n\n"
        "Open a picture and turn Auto-Annotation on. Press K, then 1, and click an object;\n"
        "or press R, then 3, and drag a box around one.\n"
        "Ctrl-C stops everything.",
        flush=True,
    )


def _watch(*children: ChildProcess) -> None:
    while True:
        for child in children:
            child.check_running()
        time.sleep(WATCH_INTERVAL_S)


def _bypass_proxies() -> None:
    """Let no proxy stand between Label Studio, the backend and this process."""
    exempt = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = f"{exempt},{HOST}" if exempt else HOST


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
