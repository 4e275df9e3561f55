"""Installs mlss_core (plain Python) and mlss_tracker_ros (ROS 2, ament_python).

Tool settings live in pyproject.toml; metadata stays here because the oldest supported ROS 2
(Humble, setuptools 59) does not read it from there.
"""

import re
from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "mlss_tracker_ros"

EXTRAS = {
    "train": ["pyyaml", "tensorboard>=2.12", "matplotlib>=3.7", "rich"],
    "eval": ["matplotlib>=3.7", "rich"],
    "vot": ["vot-trax>=4.0.2"],  # the toolkit itself: tools/vot/requirements.txt
    "bag": ["rosbags>=0.10", "rosbags-image>=0.10"],
    "export": ["onnx>=1.14", "onnxruntime>=1.16"],
}
EXTRAS["all"] = sorted({requirement for extra in EXTRAS.values() for requirement in extra})
# Windows for box_picker. Not in "all": it takes the place of the headless build's files.
EXTRAS["gui"] = ["opencv-contrib-python>=4.5.4,<5"]
EXTRAS["docs"] = ["mkdocs>=1.6,<2", "mkdocs-material>=9.6,<10", "mkdocstrings[python]>=1,<2"]
EXTRAS["test"] = [  # with pytest here, `colcon test` runs it
    "hypothesis",
    "pytest<8.4",  # launch_testing breaks with newer ones
    "pytest-timeout",
]
EXTRAS["dev"] = [
    *EXTRAS["test"],
    "colcon-common-extensions",
    "mypy",
    "ruff",
    "setuptools<80",  # colcon-core
    "types-PyYAML",
    "types-tqdm",
]


def read_version() -> str:
    """Version of the package, from its single source: mlss_core/__init__.py."""
    text = Path(__file__).with_name("mlss_core").joinpath("__init__.py").read_text()
    match = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if match is None:
        raise RuntimeError('mlss_core/__init__.py has no line __version__ = "..."')
    return match.group(1)


setup(
    name=PACKAGE,
    version=read_version(),
    description="MLSSNet thermal infrared single-object tracker for ROS 2",
    long_description="A Siamese single-object tracker for thermal infrared video (MLSSNet) in "
    "PyTorch, as a plain Python package (mlss_core, command mlss) and as a ROS 2 node.",
    license="Apache-2.0",
    maintainer="mlss_tracker maintainers",
    maintainer_email="maintainers@mlss-tracker.invalid",
    packages=find_packages(include=["mlss_core", "mlss_core.*", PACKAGE, f"{PACKAGE}.*"]),
    package_data={"mlss_core": ["py.typed", "weights/*"], PACKAGE: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", sorted(glob("launch/*.launch.py"))),
        (f"share/{PACKAGE}/config", sorted(glob("config/*.*"))),
        (f"share/{PACKAGE}/config/cameras", sorted(glob("config/cameras/*"))),
        (f"share/{PACKAGE}/config/sros2", sorted(glob("config/sros2/*"))),
    ],
    entry_points={
        "console_scripts": [
            "tracker_node = mlss_tracker_ros.tracker_node:main",
            "camera_node = mlss_tracker_ros.camera_node:main",
            "box_picker = mlss_tracker_ros.box_picker:main",
            "demo = mlss_tracker_ros.demo:main",
            "mlss = mlss_core.cli:main",
        ],
    },
    python_requires=">=3.10",
    install_requires=[
        "h5py>=3.6",
        "numpy>=1.21",
        "opencv-contrib-python-headless>=4.5.4,<5",  # 5 renumbers the types that cv_bridge knows
        "safetensors>=0.4",
        "scipy>=1.8",
        "torch>=2.4",
        "tqdm",
    ],
    extras_require=EXTRAS,
    zip_safe=True,
)
