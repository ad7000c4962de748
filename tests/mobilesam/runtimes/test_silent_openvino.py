"""Nobody is told that OpenVINO was started here."""

import os
import subprocess
import sys

START = """
import sys
seen = []
sys.addaudithook(lambda event, _: seen.append(event))
from mobilesam import Predictor
predictor = Predictor("demo", device="cpu", runtime="openvino")  # converted, as at a first start
print(predictor.runtime)
print({"os.fork", "socket.connect", "socket.getaddrinfo", "urllib.Request"} & {*seen})
"""


def test_start_in_openvino_forks_nothing_connects_to_nobody_and_leaves_no_id(tmp_path):
    own = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    inherited = {name: value for name, value in os.environ.items() if name != "CI"}  # silent there
    done = subprocess.run(
        [sys.executable, "-c", START],
        env=inherited | own,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.split() == ["openvino", "set()"]
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
