"""One table: the ROS parameters are the dataclass fields, and the YAML file is the table."""

import dataclasses

import pytest
import yaml
from rclpy.node import Node
from rclpy.parameter import Parameter

from mlss_core.errors import ConfigError
from mlss_core.params import tracker_params
from mlss_tracker_ros.node_params import NodeParams, as_yaml
from mlss_tracker_ros.parameters import (
    check_changes,
    declare_params,
    load_params,
    rows,
    unknown_parameters,
)


@pytest.fixture
def make_node(ros_context):
    nodes = []

    def make(overrides=None):
        values = [Parameter(name, value=value) for name, value in (overrides or {}).items()]
        nodes.append(Node("holder", context=ros_context, parameter_overrides=values))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()


@pytest.mark.parametrize("params", [NodeParams(), tracker_params(), tracker_params("reference")])
def test_declared_and_loaded_again_the_defaults_are_the_same(make_node, params):
    node = make_node()
    declare_params(node, params)
    assert load_params(node, params) == params


def test_values_given_at_start_reach_the_nested_dataclass(make_node):
    node = make_node({"search.window_influence": 0.5, "search.scales": 5, "search.context": 1})
    declare_params(node, tracker_params())
    search = load_params(node, tracker_params()).search
    assert (search.window_influence, search.scales, search.context) == (0.5, 5, 1.0)
    assert isinstance(search.context, float)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("search.window_influence", 7.0),
        ("search.window_influence", "much"),
        ("search.scales", 99),
        ("search.scales", 2.5),
        ("template.gated", 1),
        ("search.peak", "highest"),
        ("precision", "fp8"),
        ("init_box", [1.0, 2.0]),
        ("max_targets", 0),
    ],
)
def test_a_wrong_value_at_start_is_refused_by_name(make_node, name, value):
    node = make_node({name: value})

    def declare_and_load():
        for params in (NodeParams(), tracker_params()):
            declare_params(node, params)
            load_params(node, params)

    with pytest.raises(ConfigError, match=name.rpartition(".")[2]):
        declare_and_load()


def test_every_parameter_has_a_description_and_numbers_have_a_range(make_node):
    node = make_node()
    unbounded = {"init_box"}
    for params in (NodeParams(), tracker_params()):
        declare_params(node, params)
        for row in rows(params):
            descriptor = node.describe_parameter(row.name)
            assert len(descriptor.description) > 10, row.name
            number = isinstance(row.default, int | float) and not isinstance(row.default, bool)
            ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
            assert bool(ranges) == (number and row.name not in unbounded), row.name


STRUCTURAL = ["device", "weights", "precision", "image_transport", "profile"]
STRUCTURAL += ["search.resampling", "box.refine", "box.size_rate"]  # read as networks are prepared


@pytest.mark.parametrize("name", STRUCTURAL)
def test_structural_parameters_are_read_only(make_node, name):
    node = make_node()
    for params in (NodeParams(), tracker_params()):
        declare_params(node, params)
    (answer,) = node.set_parameters([Parameter(name, value=node.get_parameter(name).value)])
    assert not answer.successful
    assert "read-only" in answer.reason


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("search.scale_step", 9.0, "scale_step"),
        ("search.peak", "highest", "one of rise, released"),
        ("init_max_age_s", "long", "init_max_age_s"),
        ("class_id", 3, "class_id"),
    ],
)
def test_a_refused_change_says_why_and_changes_nothing(make_node, name, value, reason):
    node = make_node()
    both = (NodeParams(), tracker_params())
    for params in both:
        declare_params(node, params)
    node.add_on_set_parameters_callback(lambda changes: check_changes(node, changes, *both))
    before = node.get_parameter(name).value
    (answer,) = node.set_parameters([Parameter(name, value=value)])
    assert not answer.successful
    assert reason in answer.reason
    assert node.get_parameter(name).value == before


def test_limits_the_wrong_way_round_are_refused_while_they_count(make_node):
    node = make_node({"thermal.fixed_min": 9000.0, "thermal.fixed_max": 7000.0})
    declare_params(node, tracker_params())
    node.add_on_set_parameters_callback(lambda c: check_changes(node, c, tracker_params()))
    (answer,) = node.set_parameters([Parameter("thermal.normalization", value="fixed")])
    assert "expected fixed_min not above fixed_max, got 9000 and 7000" in answer.reason
    assert node.set_parameters([Parameter("thermal.fixed_max", value=9500.0)])[0].successful
    assert node.set_parameters([Parameter("thermal.normalization", value="fixed")])[0].successful


def test_a_good_change_is_taken(make_node):
    node = make_node()
    declare_params(node, tracker_params())
    node.add_on_set_parameters_callback(lambda c: check_changes(node, c, tracker_params()))
    (answer,) = node.set_parameters([Parameter("presence.lost_after", value=3)])
    assert answer.successful
    assert load_params(node, tracker_params()).presence.lost_after == 3


def test_descriptions_say_what_a_change_does_to_targets_that_are_followed(make_node):
    node = make_node()
    declare_params(node, tracker_params())
    assert "next target starts" in node.describe_parameter("thermal.crop_top").description
    assert "start them again" in node.describe_parameter("search.region_scale").description


def test_the_shipped_yaml_is_the_table(repository):
    path = repository / "config" / "tracker.yaml"
    assert path.read_text() == as_yaml(), "run python -m mlss_tracker_ros.node_params > " + str(
        path
    )


def test_the_shipped_yaml_holds_every_parameter_at_its_default():
    text = as_yaml()
    given = yaml.safe_load(text)["/**"]["ros__parameters"]
    expected = {field.name: field.default for field in dataclasses.fields(NodeParams)}
    assert {**given, "init_box": tuple(given["init_box"])} == expected
    uncommented = yaml.safe_load(text.replace("    # search.", "    search."))
    assert uncommented["/**"]["ros__parameters"]["search.scales"] == tracker_params().search.scales


def test_a_misspelt_name_is_reported_with_the_nearest_one():
    known = [row.name for row in rows(tracker_params())]
    (line,) = unknown_parameters(["serach.scales", "search.context"], known)
    assert "'serach.scales'" in line
    assert "'search.scales'" in line
