"""The wheel: what it holds, and that it works by itself."""

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from packaging.requirements import Requirement

import mlss_core
from mlss_core.simulate import SceneParams, simulate

SCRIPTS = {"tracker_node", "camera_node", "box_picker", "demo", "mlss"}


@pytest.fixture(scope="module")
def wheel_path(repository, tmp_path_factory) -> Path:
    """The package built as pip builds it, from a copy, so that the clone stays as it is."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("mlss_core", "mlss_tracker_ros", "config", "launch", "resource"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(repository / name, source / name, ignore=ignored)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "package.xml", "LICENSE", "NOTICE"):
        shutil.copy(repository / name, source / name)
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", output]
    command = [sys.executable, "-m", "pip", "wheel", *options, source]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return next(output.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(wheel_path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(wheel_path) as archive:
        yield archive


def test_wheel_holds_every_file_that_is_needed_at_run_time(wheel, repository):
    names = set(wheel.namelist())
    tracked = [
        path
        for package in ("mlss_core", "mlss_tracker_ros")
        for path in (repository / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert {path.relative_to(repository).as_posix() for path in tracked} <= names
    data = f"mlss_tracker_ros-{mlss_core.__version__}.data/data/share"
    installed = {f"{data}/ament_index/resource_index/packages/mlss_tracker_ros"}
    installed |= {f"{data}/mlss_tracker_ros/package.xml"}
    for folder in ("launch", "config"):
        files = [path for path in (repository / folder).iterdir() if path.is_file()]
        installed |= {f"{data}/mlss_tracker_ros/{folder}/{path.name}" for path in files}
    assert installed <= names


def test_wheel_says_its_licence_and_whose_data_it_learnt_from(wheel):
    names = {Path(name).name: name for name in wheel.namelist()}
    assert "Apache License" in wheel.read(names["LICENSE"]).decode()
    notice = wheel.read(names["NOTICE"]).decode()
    assert all(source in notice for source in ("ddd_ir", "HIT-UAV", "COCO"))


def test_wheel_offers_the_extras(wheel):
    path = f"mlss_tracker_ros-{mlss_core.__version__}.dist-info/METADATA"
    metadata = wheel.read(path).decode()
    extras = set(re.findall(r"^Provides-Extra: (\w+)$", metadata, re.MULTILINE))
    assert {"train", "eval", "gui", "export"} <= extras
    # where colcon looks before it runs pytest for `colcon test`
    assert re.search(r'^Requires-Dist: pytest[<;].*extra == "test"', metadata, re.MULTILINE)


def test_wheel_offers_the_commands_and_each_leads_to_a_main(wheel, repository):
    path = f"mlss_tracker_ros-{mlss_core.__version__}.dist-info/entry_points.txt"
    entries = dict(re.findall(r"^(\w+) = ([\w.]+):main$", wheel.read(path).decode(), re.MULTILINE))
    assert set(entries) == SCRIPTS
    for module in entries.values():
        tree = ast.parse((repository / f"{module.replace('.', '/')}.py").read_text())
        assert "main" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def required_distributions(requirements: list[str]) -> set[str]:
    """Names of the distributions that requirements ask for, and that those ask for, and so on."""
    names: set[str] = set()
    left = [Requirement(text) for text in requirements]
    while left:
        wanted = left.pop()
        needed = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        if needed and wanted.name not in names:
            names.add(wanted.name)
            left += map(Requirement, importlib.metadata.requires(wanted.name) or [])
    return names


@pytest.fixture(scope="module")
def wheel_python(wheel_path, wheel, tmp_path_factory) -> Path:
    """Python of a new environment with the wheel and, as links, what its metadata asks for."""
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv/bin/python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet"]
    subprocess.run([*command, "--no-index", wheel_path], check=True)
    (folder / "requirements").mkdir()
    path = f"mlss_tracker_ros-{mlss_core.__version__}.dist-info/METADATA"
    lines = wheel.read(path).decode().splitlines()
    prefix = "Requires-Dist: "
    requirements = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    for name in required_distributions(requirements):
        distribution = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
            link = folder / "requirements" / top
            if not link.exists():
                link.symlink_to(distribution.locate_file(top))
    (site_packages,) = (folder / "venv/lib").glob("python*/site-packages")
    (site_packages / "requirements.pth").write_text(f"{folder / 'requirements'}\n")
    return python


def run_alone(*command: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder of its own, without what this environment adds."""
    added = {"PYTHONPATH", "AMENT_PREFIX_PATH"}
    environment = {key: value for key, value in os.environ.items() if key not in added}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_wheel_alone_tracks_a_video_without_ros(wheel_python, tmp_path):
    """Its own files and its declared requirements are all that `mlss track` needs."""
    scene = simulate(SceneParams(width=160, height=128, frames=4, seed=3))
    video = cv2.VideoWriter(
        str(tmp_path / "flight.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (160, 128)
    )
    for frame in scene.frames:
        grey = cv2.normalize(frame, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
        video.write(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    video.release()

    probe = (
        "import mlss_core, importlib.util as u; print(mlss_core.__file__, u.find_spec('rclpy'))"
    )
    imported, rclpy = run_alone(wheel_python, "-c", probe, folder=tmp_path).stdout.split()
    assert Path(imported).is_relative_to(wheel_python.parents[1])
    assert rclpy == "None"

    box = ",".join(f"{value:.2f}" for value in scene.box(0).to_ltwh())
    mlss = wheel_python.with_name("mlss")
    result = run_alone(mlss, "track", "flight.mp4", "--box", box, "--out", "out", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert len((tmp_path / "out/boxes.txt").read_text().splitlines()) == 4
    assert (tmp_path / "out/overlay.mp4").is_file()


@pytest.mark.slow
def test_command_without_its_extra_names_it(wheel_python, tmp_path):
    command = [wheel_python, "-m", "mlss_core.cli"]
    result = run_alone(*command, "train", "none.yaml", folder=tmp_path)
    assert result.returncode == 2
    assert result.stderr == (
        "mlss: error: expected the package yaml, got none; pip install 'mlss_tracker_ros[train]'\n"
    )
