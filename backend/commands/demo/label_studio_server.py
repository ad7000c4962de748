"""A Label Studio of our own, for the demo and the browser test: installed, configured, started."""

import json
import os
import secrets
import subprocess
import venv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from filelock import FileLock

from backend.commands.demo.child_process import ChildProcess
from backend.core.errors import BackendError

VERSION = "1.23.2"
HOST = "127.0.0.1"
START_TIMEOUT_S = 300.0  # the first start makes the database: 30 s on a quiet machine

SETTINGS = {
    # Backends on loopback and private addresses are refused otherwise.
    "LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS": "false",
    # Acts when the database is made: the token below is a legacy one.
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    # Nothing is sent anywhere, and no release is asked for.
    "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
    "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
    "LABEL_STUDIO_SENTRY_DSN": "",
    "LABEL_STUDIO_FRONTEND_SENTRY_DSN": "",
    # The tips in its pages come from GitHub and have no switch: a proxy that is not there.
    "HTTPS_PROXY": f"http://{HOST}:9",
    "https_proxy": f"http://{HOST}:9",
    # Unprefixed variables of these names would count otherwise.
    "LABEL_STUDIO_HOST": "",
    "LABEL_STUDIO_DEBUG": "false",
    "LABEL_STUDIO_LOG_LEVEL": "WARNING",
}


def install_label_studio(folder: Path) -> Path:
    """Put Label Studio into an environment of its own, unless it is there already.

    An installation that was interrupted is begun anew. pip's output goes to the terminal.

    Args:
        folder: of the virtual environment.

    Returns:
        Path of the environment's Python.

    Raises:
        BackendError: pip failed.
    """
    python = folder / "bin" / "python"
    stamp = folder / f"label-studio-{VERSION}.installed"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if stamp.exists() and python.exists():
            return python
        print(f"Installing Label Studio {VERSION} into {folder}: 1 GB, once", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
        done = subprocess.run([*pip, "install", f"label-studio=={VERSION}"], check=False)
        if done.returncode != 0:
            raise BackendError(
                f"pip could not install Label Studio {VERSION} into {folder}",
                remedy="read pip's output above, mend what it names and start again",
            )
        stamp.touch()
    return python


@dataclass(frozen=True)
class Login:
    """The one user of our Label Studio; `token` is a legacy token."""

    email: str
    password: str
    token: str

    @classmethod
    def kept_in(cls, path: Path) -> Self:
        """The login in the file at `path`, which only its owner may read; made once."""
        if path.exists():
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        login = cls("demo@localhost", secrets.token_urlsafe(12), secrets.token_hex(20))
        part = path.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_text(json.dumps(asdict(login), indent=2), encoding="utf-8")
        part.replace(path)
        return login


class LabelStudioServer(ChildProcess):
    """Label Studio on loopback with SQLite; runs while the `with` block does.

    The database, the uploads, the login and the log are in the data folder, so that it can be
    deleted as a whole.

    Args:
        python: of the environment that `install_label_studio` made.
        data: the data folder; a new one gets a database and a login at the first start.
        port: to listen on.
    """

    def __init__(self, python: Path, data: Path, *, port: int) -> None:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.url = f"http://{HOST}:{port}"
        self.login = Login.kept_in(data / "credentials.json")
        command = [str(python), "-I", "-m", "label_studio.server", "start", "--no-browser"]
        super().__init__(
            "Label Studio",
            [*command, "--internal-host", HOST, "--port", str(port)],
            environment={
                **{name: value for name, value in os.environ.items() if not _is_setting(name)},
                **SETTINGS,
                "LABEL_STUDIO_BASE_DATA_DIR": str(data.resolve()),
                "LABEL_STUDIO_USERNAME": self.login.email,
                "LABEL_STUDIO_PASSWORD": self.login.password,
                "LABEL_STUDIO_USER_TOKEN": self.login.token,
            },
            log=data / "label_studio.log",
        )

    def wait_until_up(self) -> None:
        """Wait until it answers.

        Raises:
            BackendError: it ended, or did not answer in time; the remedy shows its log.
        """
        self.wait_until_healthy(f"{self.url}/health", timeout_s=START_TIMEOUT_S)


def _is_setting(name: str) -> bool:
    """Whether Label Studio would read this variable, which is meant for another one."""
    return name.startswith(("LABEL_STUDIO_", "HEARTEX_"))
