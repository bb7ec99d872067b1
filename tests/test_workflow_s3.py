"""A study between two buckets of an object store, by the rules that docs/scale.md shows.

The store is moto's server, an imitation of S3 that answers over HTTP on this machine.
"""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from small_study import LIMITS, ROOT

boto3 = pytest.importorskip("boto3")
pytest.importorskip("flask_cors")
pytest.importorskip("snakemake_storage_plugin_s3")

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
CONFIG = {
    "study": {"name": "tiny"},
    "source": {"kind": "simulated"},
    "simulate": {
        "n_subjects": 2, "kspace": False, "matrix": 64, "spacing_mm": 3.6, "n_frames": 4,
    },
    "qc": {"thresholds": LIMITS},
    "atlas": {"enabled": False},
    "fairness": {"attributes": ["sex"], "intersections": [], "min_group": 2, "n_boot": 100},
    "storage": {"archives": True},
}  # fmt: skip


@pytest.fixture
def store(monkeypatch) -> Iterator[Any]:
    """A client of a store with the bucket of the docs that holds the config."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, server)
        client = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1"
        )
        for bucket in ("raw", "results"):
            client.create_bucket(Bucket=bucket)
        client.put_object(Bucket="raw", Key="config.yaml", Body=yaml.safe_dump(CONFIG).encode())
        yield client
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None, "the store did not start"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the store does not answer")


def documented_rules() -> str:
    """Return the Snakefile that the docs show, with this checkout's place in it."""
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"```text\n(rule all:.*?)```", text, flags=re.DOTALL)
    return str(found).replace("POPSCAN/", f"{ROOT}/")


def snakemake(cwd: Path, endpoint: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["timeout", "-k", "10", "900", sys.executable, "-m", "snakemake", "--cores", "2"]
    return subprocess.run(
        [*command, "--storage-s3-endpoint-url", endpoint, *arguments],
        cwd=cwd,
        env={
            **os.environ, "OMP_NUM_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


def test_the_documented_rules_fetch_the_config_and_publish_what_may_be_shared(store, tmp_path):
    (tmp_path / "Snakefile").write_text(documented_rules())
    endpoint = store.meta.endpoint_url
    done = snakemake(tmp_path, endpoint)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    shared = store.get_object(Bucket="results", Key="tiny/share.tar")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(shared)) as archive:
        names = archive.getnames()
    assert "share/index.html" in names
    assert not [name for name in names if "sub-" in name]
    again = snakemake(tmp_path, endpoint, "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_store_in_place_of_the_disk_is_refused_before_the_first_job(store, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    given = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml"]
    given += ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://results"]
    done = snakemake(tmp_path, store.meta.endpoint_url, *given)
    assert done.returncode == 1
    assert "keep the results on a shared disk" in done.stderr
    assert not (tmp_path / "results").exists()
    assert store.list_objects_v2(Bucket="results")["KeyCount"] == 0
