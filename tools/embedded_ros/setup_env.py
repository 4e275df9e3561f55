"""Makes .venv, the environment of every make target; run by `make setup`.

Where no ROS 2 is sourced, it installs ROS 2 Kilted from wheels and builds the vision_msgs
messages.
Where one is sourced, the environment sees that one's packages and adds only what is missing.
A second run compares one stamp and ends. Needs the standard library only.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
BUILD = ROOT / "build"
LOG = BUILD / "setup.log"
CONSTRAINTS = HERE / "constraints.txt"
ROS_REQUIREMENTS = HERE / "requirements-ros.txt"
INTERFACES = HERE / "vision_msgs"
PROGRESS_S = 15.0  # between two signs of life of a long step
SUPPORTED_PYTHONS = ((3, 11), (3, 12), (3, 13))  # what the ROS wheels and constraints.txt share
# Hash of the public vision_msgs package (4.0 to 4.2). It covers all messages inside the array, and
# DDS matches topics by it: another hash would mean that no other ROS 2 machine understands us.
DETECTION_ARRAY_HASH_START = "RIHS01_214274120007f4a6"


class SetupError(Exception):
    """The environment cannot be made; the text says what to do, in one line."""


def main() -> int:
    """Make or refresh the environment; 0 when it is complete."""
    ros_distro = os.environ.get("ROS_DISTRO") or None
    interpreter = f"{sys.version} in {VENV} with {ros_distro or 'wheels'}"
    own_files = (ROOT / "setup.py", Path(__file__))
    key = digest(interpreter, *own_files, CONSTRAINTS, ROS_REQUIREMENTS, *interface_files())
    complete = VENV / ".setup-complete"
    if complete.is_file() and complete.read_text() == key:
        return 0
    try:
        check_prerequisites(ros_distro)
        BUILD.mkdir(exist_ok=True)
        (BUILD / "COLCON_IGNORE").touch()
        with (BUILD / ".setup-lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two make runs at once: the second waits
            if not complete.is_file() or complete.read_text() != key:
                complete.unlink(missing_ok=True)
                make_environment(ros_distro, interpreter)
                complete.write_text(key)
    except SetupError as error:
        print(f"setup: error: {error}", file=sys.stderr)
        return 1
    say("complete")
    return 0


def check_prerequisites(ros_distro: str | None) -> None:
    """Raise a SetupError that says what to install when something is missing."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise SetupError(
            f"Python {version} lacks its venv module; apt install python{version}-venv"
        )
    if ros_distro:
        check_sourced_ros(ros_distro)
        return
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise SetupError(
            f"ROS 2 wheels exist for x86-64 Linux only, this is {platform.machine()} "
            f"{platform.system()}; install ROS 2 with apt and source it"
        )
    if sys.version_info[:2] not in SUPPORTED_PYTHONS:
        raise SetupError(
            f"expected Python 3.11, 3.12 or 3.13, got {version}; "
            "apt install one of them with its -venv and -dev, or name one with PYTHON=..."
        )
    for language, names in {"C": ("cc", "gcc", "clang"), "C++": ("c++", "g++", "clang++")}.items():
        if not any(shutil.which(name) for name in names):
            raise SetupError(f"no {language} compiler found; apt install {names[1]}")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        raise SetupError(f"no Python headers found; apt install python{version}-dev")


def check_sourced_ros(ros_distro: str) -> None:
    """Raise a SetupError when this Python cannot use the ROS 2 that is sourced."""
    for package in ("rclpy", "vision_msgs.msg", "diagnostic_msgs.msg"):
        probe = subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True)
        if probe.returncode != 0:
            name = f"ros-{ros_distro}-{package.split('.')[0].replace('_', '-')}"
            raise SetupError(
                f"ROS 2 {ros_distro} is sourced, but {sys.executable} cannot import {package}; "
                f"apt install {name}, or use that distribution's Python with PYTHON=python3"
            )


def make_environment(ros_distro: str | None, interpreter: str) -> None:
    """Bring .venv up to date; made anew when `interpreter` is not the one that made it."""
    LOG.write_text("")
    made_with = VENV / ".interpreter"
    if not made_with.is_file() or made_with.read_text() != interpreter:
        say("making .venv")
        shutil.rmtree(VENV, ignore_errors=True)
        system = ["--system-site-packages"] if ros_distro else []
        run(sys.executable, "-m", "venv", *system, VENV)
        (VENV / "COLCON_IGNORE").touch()
        made_with.write_text(interpreter)
    if ros_distro:
        say(f"installing Python packages beside ROS 2 {ros_distro}")
        install_beside_sourced_ros()
    else:
        say("installing Python packages and ROS 2 Kilted (1 to 3 minutes; 2 GB, 6 with CUDA)")
        pip_install("-c", CONSTRAINTS, "-r", ROS_REQUIREMENTS, "-e", f"{ROOT}[all,dev]")
        say("adding the vision_msgs messages")
        install_vision_msgs()


def install_beside_sourced_ros() -> None:
    """Install what the system lacks; its NumPy stays, since its compiled packages are tied to it.

    The system's OpenCV stays too: it has windows, and cv_bridge is linked to it.
    """
    pip_install("--no-deps", "-e", ROOT)
    code = (
        "import importlib.metadata as m, importlib.util as u, json; print(json.dumps("
        "[m.requires('mlss_tracker_ros'), m.version('numpy'), u.find_spec('cv2') is not None]))"
    )
    output = subprocess.run([VENV_PYTHON, "-c", code], capture_output=True, text=True, check=True)
    requirements, numpy_version, has_opencv = json.loads(output.stdout)
    wanted = {line.split(";")[0].strip() for line in requirements}
    if has_opencv:
        wanted = {line for line in wanted if not line.startswith("opencv")}
    constraints = BUILD / "constraints-system.txt"
    pins = CONSTRAINTS.read_text().splitlines()
    torch_pin = next(pin for pin in pins if pin.startswith("torch=="))
    constraints.write_text(f"numpy=={numpy_version}\n{torch_pin}\n")
    pip_install("-c", constraints, *sorted(wanted))


def install_vision_msgs() -> None:
    """Build the messages once, keep the result below build/ and copy it into .venv."""
    key = digest(f"{sys.version} {VENV}", CONSTRAINTS, ROS_REQUIREMENTS, *interface_files())
    cache = BUILD / "vision_msgs" / key[:16]
    staged = cache / "staged"
    if not (cache / "complete").is_file():
        shutil.rmtree(cache, ignore_errors=True)
        use_local_headers()
        environment = {
            **os.environ,
            "AMENT_PREFIX_PATH": str(VENV),
            "DESTDIR": str(staged),
            "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}",
        }
        environment.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
        cmake, objects = VENV / "bin" / "cmake", cache / "objects"
        options = ("CMAKE_BUILD_TYPE=Release", f"CMAKE_INSTALL_PREFIX={VENV}", "BUILD_TESTING=OFF")
        defines = [f"-D{option}" for option in options]
        run(cmake, "-GNinja", "-S", INTERFACES, "-B", objects, *defines, env=environment)
        run(cmake, "--build", objects, "--parallel", "2", env=environment)
        run(cmake, "--install", objects, env=environment)
        (cache / "complete").touch()
    shutil.copytree(
        staged / VENV.relative_to("/"), VENV, copy_function=replace_file, dirs_exist_ok=True
    )
    description = json.loads((VENV / "share/vision_msgs/msg/Detection2DArray.json").read_text())
    hashes = {entry["type_name"]: entry["hash_string"] for entry in description["type_hashes"]}
    found = hashes["vision_msgs/msg/Detection2DArray"]
    if not found.startswith(DETECTION_ARRAY_HASH_START):
        raise SetupError(
            f"expected type hash {DETECTION_ARRAY_HASH_START}... of Detection2DArray as in the "
            f"public vision_msgs, got {found}; restore {INTERFACES.relative_to(ROOT)}"
        )


def replace_file(source: str, target: str) -> None:
    """Copy beside the target and swap: writing into a loaded library kills who has loaded it."""
    shutil.copy2(source, f"{target}.new")
    Path(f"{target}.new").replace(target)


def use_local_headers() -> None:
    """Point the wheels' CMake files at our headers instead of their build machine's."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    theirs_root = f"/opt/python/{tag}-{tag}"
    numpy_headers = f"lib/{version}/site-packages/numpy/_core/include"
    replacements = {
        f"{theirs_root}/include/{version}": sysconfig.get_path("include"),
        f"{theirs_root}/{numpy_headers}": str(VENV / numpy_headers),
    }
    for path in VENV.glob("share/**/*.cmake"):
        text = original = path.read_text()
        for theirs, ours in replacements.items():
            text = text.replace(theirs, ours)
        if text != original:
            path.write_text(text)


def interface_files() -> list[Path]:
    """Sources of the vision_msgs messages."""
    return sorted(path for path in INTERFACES.rglob("*") if path.is_file())


def digest(text: str, *paths: Path) -> str:
    """SHA-256 over a text and the contents of files, as hexadecimal digits."""
    hasher = hashlib.sha256(text.encode())
    for path in paths:
        hasher.update(path.read_bytes())
    return hasher.hexdigest()


def say(text: str) -> None:
    """Tell the user which step has begun."""
    print(f"setup: {text}", flush=True)


def pip_install(*arguments: object) -> None:
    """Run pip of the environment, quietly."""
    run(VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check", *arguments)


def finished(process: subprocess.Popen[bytes]) -> int | None:
    """Exit code of a process; None when it still runs after PROGRESS_S."""
    try:
        return process.wait(PROGRESS_S)
    except subprocess.TimeoutExpired:
        return None


def size_mb(folder: Path) -> str:
    """Size of a folder that is being written, in MB."""
    counted = subprocess.run(["du", "-sm", folder], capture_output=True, text=True)
    return counted.stdout.partition("\t")[0]


def run(*command: object, env: dict[str, str] | None = None) -> None:
    """Run a command with its output going to build/setup.log; now and then its last line is said.

    Where that stays the same, as while pip copies files, the size of .venv is said instead.

    Raises:
        SetupError: it failed; its last lines are printed before.
    """
    words = [str(word) for word in command]
    with LOG.open("a") as log:
        print("+", *words, file=log, flush=True)
        process = subprocess.Popen(words, env=env, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
        said = ""
        while (code := finished(process)) is None:
            last = LOG.read_text(errors="replace").splitlines()[-1].strip()
            say(f"  {last[:90]}" if last != said else f"  {size_mb(VENV)} MB in .venv")
            said = last
    if code != 0:
        print(*LOG.read_text().splitlines()[-15:], sep="\n", file=sys.stderr)
        raise SetupError(f"{Path(words[0]).name} failed; the whole output is in {LOG}")


if __name__ == "__main__":
    sys.exit(main())
