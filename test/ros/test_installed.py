"""What colcon installs runs from where it installs it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.slow]

COLCON = shutil.which("colcon", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.mark.skipif(COLCON is None, reason="needs colcon")
def test_colcon_installs_a_node_that_answers(
    repository, make_client, namespace, weights, tmp_path
):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    places = ["--build-base", tmp_path / "build", "--install-base", tmp_path / "install"]
    build = [COLCON, "--log-base", tmp_path / "log", "build", "--base-paths", repository, *places]
    result = subprocess.run(build, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr

    prefix = tmp_path / "install" / "mlss_tracker_ros"
    share = prefix / "share" / "mlss_tracker_ros"
    for name in ("package.xml", "launch/tracker.launch.py", "config/fastdds.xml"):
        assert (share / name).is_file()
    index = prefix / "share" / "ament_index" / "resource_index" / "packages" / "mlss_tracker_ros"
    assert index.is_file()

    client = make_client(namespace)
    setup = f". {tmp_path}/install/setup.sh && exec "
    program = f"{prefix}/lib/mlss_tracker_ros/tracker_node --ros-args"
    options = f" -r __ns:={namespace} -p weights:={weights}"
    process = subprocess.Popen(["sh", "-c", setup + program + options], env=environment)
    try:
        client.connect()
        answer = client.track()
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=30)
    assert code == 0
    assert answer.header.frame_id == "thermal"
    assert not answer.detections  # no init box yet
