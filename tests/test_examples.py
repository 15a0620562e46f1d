"""The examples run as they stand."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_whole_life_of_certificates(tmp_path: Path) -> None:
    """One story from an empty folder: root, Sub-CA, people, a gateway; renewal, suspension, revocation; a new root."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {"PATH": path, "HOME": str(tmp_path), "SMPKI_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [EXAMPLES / "lifecycle" / "run"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "done: the whole story went as it should"
