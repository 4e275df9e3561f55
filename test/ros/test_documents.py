"""The `ros2` commands that documents show: packages, files, arguments, types and fields exist.

`make docs-check` runs those of README and tutorial that need no screen and nothing from apt.
"""

import ast
import re
import shlex

import pytest
import yaml
from check_commands import commands_of
from ros2_by_rclpy import fill, interface

DOCUMENTS = ("README.md", "docs/tutorial.md", "docs/topics.md", "docs/troubleshooting.md")


@pytest.fixture(scope="module")
def commands():
    """Every `ros2` command of the documents, as words."""
    texts = [command.text for name in DOCUMENTS for command in commands_of(name)]
    return [shlex.split(text, comments=True) for text in texts if text.startswith("ros2 ")]


def selected(commands, *start):
    found = [words for words in commands if tuple(words[1 : 1 + len(start)]) == start]
    assert found, f"no document shows ros2 {' '.join(start)}"
    return found


def test_published_messages_have_their_fields(commands):
    for words in selected(commands, "topic", "pub"):
        _, type_name, text = [word for word in words[3:] if not word.startswith("-")][:3]
        fill(interface(type_name)(), yaml.safe_load(text))


def test_called_services_have_their_types_and_fields(commands):
    for words in selected(commands, "service", "call"):
        request = interface(words[4]).Request()
        fill(request, yaml.safe_load(words[5]) if len(words) > 5 else {})


def test_run_executables_are_installed(commands, repository):
    installed = set(re.findall(r'"(\w+) = mlss', (repository / "setup.py").read_text()))
    own = [words for words in selected(commands, "run") if words[2] == "mlss_tracker_ros"]
    assert {words[3] for words in own} <= installed


def test_launch_files_take_the_arguments_shown(commands, repository):
    declared = {}
    for path in (repository / "launch").iterdir():
        declared[path.name] = {
            node.args[0].value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
            and getattr(node.func, "id", "") == "DeclareLaunchArgument"
        }
    declared["fleet.launch.py"] |= declared["tracker.launch.py"]
    for _, _, package, name, *arguments in selected(commands, "launch"):
        assert package == "mlss_tracker_ros"
        assert {argument.partition(":=")[0] for argument in arguments} <= declared[name]


def test_set_parameters_exist(commands):
    from mlss_core.params import tracker_params
    from mlss_tracker_ros.node_params import NodeParams
    from mlss_tracker_ros.parameters import rows

    known = {row.name for params in (NodeParams(), tracker_params()) for row in rows(params)}
    for words in selected(commands, "param"):
        assert words[4] in known


def test_bags_are_played_as_the_player_takes_them_and_without_the_trackers_old_answers(commands):
    for words in selected(commands, "bag", "play"):
        names = [word for word in words[3:] if not word.startswith(("-", "/"))]
        assert len(names) == max(1, words.count("-i")), "one bag, or each after its own -i"
        if "--clock" in words and names == ["flight"]:  # tracked anew
            topics = words[words.index("--topics") + 1 :]
            assert topics == ["/image_raw", "/mlss_tracker/init_box"]


def test_the_sites_parameters_of_camera_and_picker_are_read_only():
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    from make_site import parameters_page

    page = parameters_page()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    for name, first in (("camera_node", "source"), ("box_picker", "tracker")):
        rows = [line for line in sections[name].splitlines() if line.startswith("| `")]
        assert rows[0].startswith(f"| `{first}`")
        assert [row for row in rows if not row.endswith(" *read-only* |")] == []
    assert '`class_id` | `"target"` |  |  | hypothesis.class_id of every detection. |' in page
