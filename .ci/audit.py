"""`make audit`: known vulnerabilities in what the lock files install, where anybody can be asked.

A found one fails. A service that cannot be asked does not: a build without internet goes on, and
says that nobody looked.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements-dev.lock"  # holds what requirements.lock does
TIMEOUT_S = 120
COMMAND = [
    *(sys.executable, "-m", "pip_audit", "--requirement", str(LOCK)),
    *("--require-hashes", "--disable-pip", "--format", "json"),
    *("--progress-spinner", "off", "--timeout", "10"),
]


def main() -> int:
    """Ask, report, and return the exit status: 1 if a vulnerability was found."""
    try:
        done = subprocess.run(
            COMMAND, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return _not_audited(f"no answer within {TIMEOUT_S} s")
    except (ValueError, LookupError):  # nothing but an error came
        return _not_audited(" ".join(done.stderr.split())[-300:])
    audited = [package for package in packages if "vulns" in package]
    if not audited:
        return _not_audited("the vulnerability service answers for none of the packages")
    found = [(package, fault) for package in audited for fault in package["vulns"]]
    for package, fault in found:
        fixed = ", ".join(fault["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {fault['id']}, fixed in {fixed}")
    print(f"{len(audited)} of {len(packages)} packages audited: {len(found)} vulnerabilities")
    return 1 if found else 0


def _not_audited(why: str) -> int:
    print(f"NOT AUDITED: {why}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
