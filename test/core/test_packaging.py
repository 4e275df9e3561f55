"""Version, metadata and dependencies of the package; what `make setup` refuses."""

import ast
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import mlss_core

ROS_PACKAGES = {
    "ament_index_python",
    "builtin_interfaces",
    "diagnostic_msgs",
    "geometry_msgs",
    "launch",
    "launch_ros",
    "lifecycle_msgs",
    "rcl_interfaces",
    "rclpy",
    "rosgraph_msgs",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "vision_msgs",
    "visualization_msgs",
}
# Import name -> name on the package index, where they differ.
DISTRIBUTIONS = {"cv2": "opencv-contrib-python-headless", "yaml": "pyyaml"}
# Without a key of rosdep that a released package may depend on: they come from pip.
NO_ROSDEP_KEY = {"torch", "safetensors", "onnx", "onnxruntime", "rosbags", "trax", "cv_bridge"}
# Imported only where installed: their absence is handled.
OPTIONAL = {"cv_bridge", "trax"}


def imported_packages(folder: Path) -> set[str]:
    """Top-level names of all third-party packages that Python files below a folder import."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"mlss_core", "mlss_tracker_ros"}


def manifest(repository: Path) -> ElementTree.Element:
    return ElementTree.parse(repository / "package.xml").getroot()


def test_version_has_one_source(repository):
    command = [sys.executable, "setup.py", "--version"]
    printed = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    assert printed.stdout.split()[-1] == mlss_core.__version__
    assert manifest(repository).findtext("version") == mlss_core.__version__


def test_manifest_says_what_colcon_and_rosdep_need(repository):
    root = manifest(repository)
    assert root.get("format") == "3"
    assert root.findtext("name") == "mlss_tracker_ros"
    assert root.findtext("license") == "Apache-2.0"
    assert root.findtext("export/build_type") == "ament_python"
    assert (repository / "LICENSE").read_text().lstrip().startswith("Apache License")


def test_manifest_names_every_dependency_once(repository):
    found = [(e.tag, e.text) for e in manifest(repository) if e.tag.endswith("depend")]
    assert sorted(found) == sorted(set(found))


def test_manifest_names_every_ros_package_that_is_imported(repository):
    declared = {element.text for element in manifest(repository) if element.tag.endswith("depend")}
    imported = imported_packages(repository / "mlss_tracker_ros")
    imported |= imported_packages(repository / "launch")
    assert imported & ROS_PACKAGES <= declared


def test_manifest_names_the_rosdep_key_of_every_python_package(repository):
    root = manifest(repository)
    declared = {element.text for element in root if element.tag.endswith("depend")}
    at_run_time = {element.text for element in root if element.tag in ("depend", "exec_depend")}
    own = {path.stem for place in ("test", "tools") for path in (repository / place).rglob("*.py")}
    imported = imported_packages(repository / "test") - own
    for folder in ("mlss_core", "mlss_tracker_ros"):
        imported |= imported_packages(repository / folder)
    keys = {name: f"python3-{name}" for name in imported - NO_ROSDEP_KEY}
    keys["cv2"] = "python3-opencv"
    assert [key for name, key in keys.items() if not declared & {name, key}] == []
    text = (repository / "setup.py").read_text()
    asked = re.search(r"install_requires=\[(.*?)\]", text, re.DOTALL)[1]
    required = set(re.findall(r'"([a-z0-9]+)', asked)) - NO_ROSDEP_KEY
    missing = {f"python3-{name}" for name in required} - at_run_time
    assert missing == set()


def test_requirements_name_every_package_that_is_imported(repository):
    text = (repository / "setup.py").read_text()
    declared = {match.lower() for match in re.findall(r'"([A-Za-z][\w-]*)(?:[<>=].*?)?"', text)}
    imported = imported_packages(repository / "mlss_core")
    imported |= imported_packages(repository / "mlss_tracker_ros")
    wanted = {DISTRIBUTIONS.get(name, name) for name in imported - ROS_PACKAGES - OPTIONAL}
    assert wanted <= declared


def test_every_pinned_distribution_has_one_exact_version(repository):
    lines = (repository / "tools/embedded_ros/constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    names = [re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins]
    assert len(names) == len(set(names))


def test_core_imports_without_ros():
    """Every module of mlss_core loads where no ROS package can be imported."""
    probe = f"""
import importlib, pkgutil, sys

for name in {sorted(ROS_PACKAGES)}:
    sys.modules[name] = None  # importing it raises ImportError

import mlss_core

for module in pkgutil.walk_packages(mlss_core.__path__, "mlss_core."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def setup_env(repository, monkeypatch, tmp_path):
    """The set-up script as a module, on a machine where no ROS 2 is sourced."""
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    path = repository / "tools/embedded_ros/setup_env.py"
    spec = importlib.util.spec_from_file_location("setup_env", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "BUILD", tmp_path / "build")
    monkeypatch.setattr(module, "make_environment", lambda *_: pytest.fail("it went on"))
    return module


def refusal(setup_env, capsys) -> str:
    """What the user reads: one line, with exit code 1."""
    assert setup_env.main() == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("setup: error: ")
    return lines[0]


def test_setup_leaves_a_library_that_is_loaded_as_it_is(setup_env, tmp_path):
    built, installed = tmp_path / "built.so", tmp_path / "installed.so"
    built.write_text("new")
    installed.write_text("old")
    with installed.open() as loaded:
        setup_env.replace_file(str(built), str(installed))
        assert loaded.read() == "old"
    assert installed.read_text() == "new"
    assert sorted(tmp_path.glob("*.so*")) == [built, installed]


def test_setup_without_a_compiler_names_it(setup_env, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no C compiler found; apt install gcc" in refusal(setup_env, capsys)
    (tmp_path / "gcc").touch(mode=0o755)
    assert "no C++ compiler found; apt install g++" in refusal(setup_env, capsys)


def test_setup_without_headers_names_them(setup_env, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(setup_env.sysconfig, "get_path", lambda _: str(tmp_path))
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    assert f"no Python headers found; apt install {version}-dev" in refusal(setup_env, capsys)


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_setup_without_the_venv_module_names_it(setup_env, capsys, monkeypatch, module):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        setup_env.importlib.util, "find_spec", lambda name: None if name == module else found(name)
    )
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    assert f"apt install {version}-venv" in refusal(setup_env, capsys)


def test_setup_on_another_architecture_points_to_apt(setup_env, capsys, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert "x86-64 Linux only, this is aarch64" in refusal(setup_env, capsys)


def test_setup_with_an_unsupported_python_names_the_supported_ones(setup_env, capsys, monkeypatch):
    monkeypatch.setattr(setup_env, "SUPPORTED_PYTHONS", ((3, 8),))
    assert "expected Python 3.11, 3.12 or 3.13, got" in refusal(setup_env, capsys)


def test_setup_with_a_sourced_ros_that_this_python_cannot_import_says_which(
    setup_env, capsys, monkeypatch
):
    monkeypatch.setenv("ROS_DISTRO", "humble")
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    assert "apt install ros-humble-rclpy, or use" in refusal(setup_env, capsys)


def test_setup_shows_how_much_is_installed_while_pip_says_nothing(
    setup_env, monkeypatch, tmp_path
):
    monkeypatch.setattr(setup_env, "LOG", tmp_path / "setup.log")
    monkeypatch.setattr(setup_env, "VENV", tmp_path)
    monkeypatch.setattr(setup_env, "PROGRESS_S", 0.1)
    said = []

    def say(text):
        said.append(text.strip())
        if "Uninstalled" in said[:-1]:
            (tmp_path / "go").touch()

    monkeypatch.setattr(setup_env, "say", say)
    wait = "for n in $(seq 400); do [ -e go ] && break; sleep 0.05; done"
    setup_env.run("sh", "-c", f"cd {tmp_path}; echo Uninstalled; {wait}")
    assert re.fullmatch(r"\d+ MB in .venv", said[said.index("Uninstalled") + 1])


@pytest.mark.parametrize("name", ["python3.11", "python3.12", "python3.13"])
def test_make_takes_the_supported_python_that_is_there(repository, tmp_path, name):
    (tmp_path / name).symlink_to(sys.executable)
    leave_out = ("PYTHON", "ROS_DISTRO", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    environment = {key: value for key, value in os.environ.items() if key not in leave_out}
    result = subprocess.run(
        [shutil.which("make"), "--dry-run", "setup"],
        cwd=repository,
        env={**environment, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert f"{name} tools/embedded_ros/setup_env.py" in result.stdout


def test_make_without_the_interpreter_says_so(repository):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    command = ["make", "--no-print-directory", "setup", "PYTHON=/nonexistent/python"]
    result = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True
    )
    assert result.returncode != 0
    first, *rest = result.stderr.splitlines()
    assert "cannot run /nonexistent/python; apt install python3-venv" in first
    assert all(line.startswith("make: ***") for line in rest)
