"""The SROS2 policy names what the nodes really use; the code holds nothing that runs input."""

import ast
import xml.etree.ElementTree as ElementTree

import pytest
from rclpy.parameter import Parameter

from mlss_tracker_ros.box_picker import BoxPicker
from mlss_tracker_ros.camera_node import CameraNode

OPTIONAL = {"/clock", "/image_raw/compressed"}  # use_sim_time, image_transport: compressed
NEWER = {"/get_type_description"}  # from Jazzy on
# module -> what of it may be used where; everything else of this list is nowhere to be found
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_IMPORTS = {
    "ftplib": set(),
    "http": set(),
    "marshal": set(),
    "pickle": set(),
    "requests": set(),
    "shelve": set(),
    "socket": {"mlss_tracker_ros/demo_processes.py"},  # looks for a free domain
    "subprocess": {"mlss_tracker_ros/demo_processes.py"},  # the demo's own nodes, without a shell
    "urllib": set(),
}


def allowed(repository, node: str) -> dict[str, set[str]]:
    """Full names that the policy grants a node in the root namespace, by kind and right."""
    root = ElementTree.parse(repository / "config" / "sros2" / "policy.xml").getroot()
    (profile,) = root.iterfind(f".//profile[@node='{node}']")
    names: dict[str, set[str]] = {}
    for group in profile:
        right = next(iter(group.attrib))
        for item in group:
            name = item.text.replace("~", f"/{node}/")
            name = name if name.startswith("/") else f"/{name}"
            names.setdefault(right, set()).add(name)
    return names


def used(client, node: str, namespace: str) -> dict[str, set[str]]:
    """Full names that a node uses, as if it lived in the root namespace."""

    def names(query) -> set[str]:
        found = {name for name, _ in query(node, namespace)}
        return {name.removeprefix(namespace) for name in found}

    return {
        "publish": names(client.node.get_publisher_names_and_types_by_node),
        "subscribe": names(client.node.get_subscriber_names_and_types_by_node),
        "reply": names(client.node.get_service_names_and_types_by_node),
    }


@pytest.fixture
def camera(ros_context, namespace):
    overrides = [Parameter("sim.frames", value=1), Parameter("sim.width", value=160)]
    overrides.append(Parameter("sim.height", value=128))
    overrides.append(Parameter("pace_topic", value="mlss_tracker/detections"))
    node = CameraNode(context=ros_context, namespace=namespace, parameter_overrides=overrides)
    yield node
    node.destroy_node()


@pytest.fixture
def picker(ros_context, namespace):
    node = BoxPicker(lambda *_: None, context=ros_context, namespace=namespace)
    yield node
    node.destroy_node()


@pytest.mark.usefixtures("camera", "picker")
def test_the_policy_grants_the_nodes_what_they_use_and_no_more(
    repository, namespace, make_tracker, make_client
):
    make_tracker(namespace)
    client = make_client(namespace)
    client.connect()
    for node in ("mlss_tracker", "thermal_camera", "box_picker"):
        granted = allowed(repository, node)
        client.until(
            lambda node=node: used(client, node, namespace)["reply"], f"{node} in the graph"
        )
        taken = used(client, node, namespace)
        for right, names in taken.items():
            unused = granted[right] - names - OPTIONAL
            assert names <= granted[right], f"{node} may not {right} {names - granted[right]}"
            assert not {name for name in unused if not name.endswith(tuple(NEWER))}


def test_nothing_in_the_packages_runs_input_or_opens_a_connection(repository):
    sources = [*(repository / "mlss_core").rglob("*.py")]
    sources += [*(repository / "mlss_tracker_ros").rglob("*.py")]
    assert len(sources) > 100
    for path in sources:
        name = str(path.relative_to(repository))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", "")
                assert called not in FORBIDDEN_CALLS, f"{name}:{node.lineno} calls {called}"
                for keyword in node.keywords:
                    value = getattr(keyword.value, "value", None)
                    spoilt = keyword.arg in ("shell", "allow_pickle") and value is True
                    assert not spoilt, f"{name}:{node.lineno} sets {keyword.arg}"
                attribute = ast.unparse(node.func)
                assert attribute not in ("torch.load", "os.system", "os.popen", "yaml.load"), name
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for module in modules:
                where = FORBIDDEN_IMPORTS.get(module.partition(".")[0])
                assert where is None or name in where, f"{name} imports {module}"
