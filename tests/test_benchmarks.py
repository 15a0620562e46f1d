"""Every benchmark can be run as it is documented; what it measures is for people to judge."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
def test_issuance(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "issuance.py"), "--quick", "--json", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["ratios"].keys() == {
        *("softhsm_of_limit", "software_of_limit"),
        *("softhsm_two_workers", "software_two_workers"),
    }
    assert all(0.2 < ratio < 3 for ratio in result["ratios"].values())
    assert result["curve"] == "brainpoolP384r1"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_gateway(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "gateway.py"), "--quick", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    ratios = json.loads(done.stdout)["ratios"]
    assert ratios.keys() >= {"cms_of_limit", "cms_bulk", "tls_handshake"}
    assert all(0.2 < ratio < 3 for ratio in ratios.values())


@pytest.mark.slow
def test_provisioning(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "provisioning.py"), "--quick", "--json", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert 0.2 < result["ratios"]["gateways_of_keys"] < 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_delivery(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "delivery.py"), "--quick", "--json", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    sizes = result["readings_per_second"]
    assert result["ratios"].keys() == {f"{way}_of_cms_{size}" for way in ("whole", "server") for size in sizes}
    assert all(0.02 < ratio < 3 for ratio in result["ratios"].values())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_service(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "service.py"), "--quick", "--json", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    ratios = json.loads(done.stdout)["ratios"]
    assert ratios.keys() >= {"service_of_batch", "cpu_of_batch"}
    assert all(0.2 < ratio < 3 for ratio in ratios.values())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_portal(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "portal.py"), "--quick", "--json", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert 0.2 < result["ratios"]["pages_of_many"] < 3
    assert list(tmp_path.iterdir()) == []
