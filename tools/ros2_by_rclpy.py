"""The `ros2` commands of the documents on rclpy alone, for a machine without ROS 2 from apt.

`make docs-check` puts it on the path as `ros2` where there is no other. The words and what they
do to the graph are those of the real tool, as far as README and tutorial use them: topic pub,
echo, hz and list, service call, param describe and set, lifecycle get and set, run, and launch,
which starts the nodes of tracker.launch.py and fleet.launch.py itself; test/launch runs those.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
import yaml
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile

PATIENCE_S = 30.0
CONFIG = Path(__file__).resolve().parents[1] / "config"


def main() -> int:
    """Run one command; returns its exit code."""
    words = sys.argv[1:]
    if words[:1] == ["run"]:
        return run(words[1:])
    if words[:1] == ["launch"]:
        return launch(words[1:])
    commands = {
        ("topic", "pub"): topic_pub,
        ("topic", "echo"): topic_echo,
        ("topic", "hz"): topic_hz,
        ("topic", "list"): topic_list,
        ("service", "call"): service_call,
        ("param", "describe"): param_describe,
        ("param", "set"): param_set,
        ("lifecycle", "get"): lifecycle_get,
        ("lifecycle", "set"): lifecycle_set,
    }
    command = commands.get(tuple(words[:2]))
    if command is None:
        print(f"expected one of {sorted(commands)}, got {words[:2]}", file=sys.stderr)
        return 2
    rclpy.init()
    try:
        return command(rclpy.create_node("ros2_by_rclpy"), words[2:])
    except TimeoutError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        rclpy.try_shutdown()


def until(node: Node, condition: Callable[[], Any], what: str) -> Any:
    """Spin until `condition` is truthy, and return its value.

    Raises:
        TimeoutError: it took too long.
    """
    end_s = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        if time.monotonic() > end_s:
            raise TimeoutError(f"waited {PATIENCE_S:g} s for {what}")
        rclpy.spin_once(node, timeout_sec=0.05)
    return value


def interface(name: str) -> Any:
    """Class of a message or service such as std_srvs/srv/Trigger."""
    package, kind, word = name.split("/")
    return getattr(importlib.import_module(f"{package}.{kind}"), word)


def fill(message: Any, values: dict[str, Any]) -> Any:
    """Set the fields of a message from YAML; an unknown one raises AttributeError."""
    for name, value in values.items():
        if isinstance(value, dict):
            fill(getattr(message, name), value)
        else:
            kind = type(getattr(message, name))
            setattr(message, name, kind(value) if kind is float else value)
    return message


def topic_pub(node: Node, words: list[str]) -> int:
    """`--once TOPIC TYPE YAML`, as soon as somebody hears it."""
    once, topic, kind, text = words
    assert once == "--once", words
    publisher = node.create_publisher(interface(kind), topic, 1)
    until(node, publisher.get_subscription_count, f"a subscription of {topic}")
    publisher.publish(fill(interface(kind)(), yaml.safe_load(text)))
    until(node, lambda: publisher.wait_for_all_acked(), "its delivery")
    print(f"published on {topic}")
    return 0


def listen(node: Node, topic: str, heard: Callable[[Any], None], keeps: bool = True) -> None:
    """Subscribe to a topic with the type and the quality of service of its publisher.

    Without `keeps` what was sent before is left out.
    """
    publishers = until(node, lambda: node.get_publishers_info_by_topic(topic), f"topic {topic}")
    theirs = publishers[0].qos_profile
    durability = theirs.durability if keeps else DurabilityPolicy.VOLATILE
    qos = QoSProfile(depth=10, reliability=theirs.reliability, durability=durability)
    node.create_subscription(interface(publishers[0].topic_type), topic, heard, qos)


def topic_echo(node: Node, words: list[str]) -> int:
    """`[--once] [--qos-durability volatile] [--field NAME] TOPIC`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--qos-durability", choices=["volatile"])
    parser.add_argument("--field")
    parser.add_argument("topic")
    options = parser.parse_args(words)
    messages: list[Any] = []
    listen(node, options.topic, messages.append, keeps=not options.qos_durability)
    while True:
        until(node, lambda: messages, f"a message on {options.topic}")
        message = messages.pop(0)
        print(getattr(message, options.field) if options.field else message)
        print("---", flush=True)
        if options.once:
            return 0


def topic_hz(node: Node, words: list[str]) -> int:
    """`--window N TOPIC`."""
    _, window, topic = words
    times: list[float] = []
    listen(node, topic, lambda _: times.append(time.monotonic()))
    while True:
        heard = max(len(times), 1)
        until(node, lambda heard=heard: len(times) > heard, f"messages on {topic}")
        recent = times[-int(window) :]
        print(f"average rate: {(len(recent) - 1) / (recent[-1] - recent[0]):.3f}", flush=True)


def topic_list(node: Node, words: list[str]) -> int:
    """Every topic, once the graph has been heard of."""
    assert not words, words
    until(node, lambda: len(node.get_topic_names_and_types()) > 3, "topics of other nodes")
    print("\n".join(name for name, _ in node.get_topic_names_and_types()))
    return 0


def call(node: Node, kind: Any, name: str, request: Any) -> Any:
    """Answer of a service."""
    client = node.create_client(kind, name)
    until(node, client.service_is_ready, f"service {name}")
    future = client.call_async(request)
    until(node, future.done, f"an answer of {name}")
    return future.result()


def service_call(node: Node, words: list[str]) -> int:
    """`SERVICE TYPE [YAML]`."""
    name, kind, *text = words
    values = yaml.safe_load(text[0]) if text else {}
    print(call(node, interface(kind), name, fill(interface(kind).Request(), values)))
    return 0


def param_describe(node: Node, words: list[str]) -> int:
    """`NODE NAME`; 1 when the node has no such parameter."""
    target, name = words
    request = DescribeParameters.Request(names=[name])
    descriptors = call(node, DescribeParameters, f"{target}/describe_parameters", request)
    print(descriptors)
    return 0 if descriptors.descriptors and descriptors.descriptors[0].description else 1


def param_set(node: Node, words: list[str]) -> int:
    """`NODE NAME VALUE`; 1 when it is refused."""
    target, name, text = words
    message = Parameter(name, value=yaml.safe_load(text)).to_parameter_msg()
    request = SetParameters.Request(parameters=[message])
    (result,) = call(node, SetParameters, f"{target}/set_parameters", request).results
    print("Set parameter successful" if result.successful else result.reason)
    return 0 if result.successful else 1


def lifecycle_get(node: Node, words: list[str]) -> int:
    """`NODE`."""
    state = call(node, GetState, f"{words[0]}/get_state", GetState.Request()).current_state
    print(f"{state.label} [{state.id}]")
    return 0


def lifecycle_set(node: Node, words: list[str]) -> int:
    """`NODE TRANSITION`; 1 when there is none of that name now, or it fails."""
    target, label = words
    query = GetAvailableTransitions.Request()
    offered = call(node, GetAvailableTransitions, f"{target}/get_available_transitions", query)
    transitions = [each.transition for each in offered.available_transitions]
    chosen = next((each for each in transitions if each.label == label), None)
    if chosen is None:
        print(f"expected one of {[each.label for each in transitions]}, got {label}")
        return 1
    request = ChangeState.Request(transition=chosen)
    done = call(node, ChangeState, f"{target}/change_state", request).success
    print("Transitioning successful" if done else "Transitioning failed")
    return 0 if done else 1


def run(words: list[str]) -> int:
    """`mlss_tracker_ros EXECUTABLE [ARGUMENTS]`."""
    package, executable, *arguments = words
    return together([module(package, executable, arguments)])


def launch(words: list[str]) -> int:
    """`mlss_tracker_ros FILE [NAME:=VALUE ...]`."""
    package, file, *arguments = words
    given = dict(argument.split(":=", 1) for argument in arguments)
    if file == "tracker.launch.py":
        return together(tracker_and_camera(package, given))
    assert file == "fleet.launch.py", words
    cameras = given.pop("cameras").strip("[]").split(",")
    nodes = (tracker_and_camera(package, {**given, "namespace": f"/{name}"}) for name in cameras)
    return together(list(itertools.chain(*nodes)))


def tracker_and_camera(package: str, given: dict[str, str]) -> list[list[str]]:
    """Commands of the nodes that `tracker.launch.py` starts with these arguments."""
    common = ["--ros-args", "-r", f"__ns:={given.get('namespace', '/')}"]
    images = ["-r", f"image_raw:={given.get('image_topic', 'image_raw')}"]
    tracker = [*common, *images]
    if "click_topic" in given:
        tracker += ["-r", f"~/clicked_corner:={given['click_topic']}"]
    for name in {"device", "weights", "autostart", "use_sim_time"} & set(given):
        tracker += ["-p", f"{name}:={given[name]}"]
    if "init_box" in given:
        numbers = ",".join(str(float(number)) for number in given["init_box"].split(","))
        tracker += ["-p", f"init_box:=[{numbers}]"]
    commands = [module(package, "tracker_node", tracker)]
    if given.get("camera") == "sim":
        camera = [*common, *images, "--params-file", str(CONFIG / "cameras/sim.yaml")]
        commands.append(module(package, "camera_node", camera))
    return commands


def module(package: str, executable: str, arguments: list[str]) -> list[str]:
    """Command of one of this package's programs, which are modules of the same name."""
    assert package == "mlss_tracker_ros", package
    return [sys.executable, "-m", f"{package}.{executable}", *arguments]


def together(commands: list[list[str]]) -> int:
    """Run programs until Ctrl-C; the first exit code that is not 0, else 0."""
    processes = [subprocess.Popen(command) for command in commands]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the whole group has it, and they end
    return next((code for code in [process.wait() for process in processes] if code), 0)


if __name__ == "__main__":
    sys.exit(main())
