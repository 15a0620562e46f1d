"""The examples run as they stand."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(example: str, folder: Path) -> None:
    """Run an example in an empty folder, and see that it ends as it should."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {"PATH": path, "HOME": str(folder), "SMPKI_HOME": str(folder / "home"), "TMPDIR": str(folder)}
    done = subprocess.run([EXAMPLES / example / "run"], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "done: the whole story went as it should"


def test_the_whole_life_of_certificates(tmp_path: Path) -> None:
    """One story from an empty folder: root, Sub-CA, people, a gateway; renewal, suspension, revocation; a new root."""
    run("lifecycle", tmp_path)


def test_from_the_factory_to_a_delivered_reading(tmp_path: Path) -> None:
    """One story from an empty folder: a gateway is made, adopted, personalised; it delivers, also once it was started
    again and its certificates were renewed; suspended, it is refused."""
    run("gateway", tmp_path)


def test_a_market_participant_over_the_web_service(tmp_path: Path) -> None:
    """One story from an empty folder: registration, a renewal that is answered later, the chain, revocation; what is
    revoked is refused."""
    run("market-participant", tmp_path)
