"""Camera, tracker and a checking client as separate processes on a real DDS graph.

`python -m mlss_tracker_ros.demo [--source DIR] [--out build/demo] [--frames N]`. The simulated
camera is live: 30 Hz, the newest image wins. A recording is played so that every image counts.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import get_rmw_implementation_identifier

from mlss_core.errors import MlssError
from mlss_core.sequences import Sequence
from mlss_tracker_ros.demo_client import DemoClient
from mlss_tracker_ros.demo_processes import Children, DemoError, own_graph, ros_distro
from mlss_tracker_ros.demo_report import (
    Row,
    figures,
    sheet_titles,
    write_film,
    write_sheet,
    write_summary,
    write_table,
)
from mlss_tracker_ros.demo_source import len_played, open_source, scene

MIN_MEAN_IOU = 0.5
NEWEST_WINS = "newest image wins"
FEW_A_SECOND = 4.0  # processed: below that the simulated person is lost now and then
RATE_HZ = 30.0
START_S = 120.0  # for the processes to come up
SILENCE_S = 20.0  # without a message the run is over


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; returns its exit code: 0, 1 when a check fails, 130 after Ctrl-C."""
    options = parse_options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    children = Children(options.out)
    signal.signal(signal.SIGINT, children.interrupt)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        sequence = open_source(options)
        os.environ.update(own_graph())
        client = play(options, sequence, children)
        bad_ends = children.stop()
        return report(options, sequence, client, bad_ends)
    except KeyboardInterrupt:
        print("\ninterrupted; ending camera and tracker", flush=True)
        return 130
    except MlssError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        children.stop()


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="demo", description="Camera, tracker and checking client on a real ROS 2 graph."
    )
    parser.add_argument(
        "--source", type=Path, help="labelled sequence folder or video; default: simulated camera"
    )
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="folder to write")
    parser.add_argument("--frames", type=int, default=0, help="images to play; default: all")
    parser.add_argument("--rate", type=float, default=RATE_HZ, help="images a second")
    parser.add_argument("--seed", type=int, default=4, help="scene of the simulated camera")
    parser.add_argument("--weights", type=Path, help="weights file; default: the shipped ones")
    parser.add_argument("--profile", default="robust", help="robust or reference")
    return parser.parse_args(arguments)


def play(options: argparse.Namespace, sequence: Sequence, children: Children) -> DemoClient:
    """Start the processes, and listen until the last image is answered."""
    recorded = options.source is not None
    camera = camera_params(options, sequence)
    tracker: dict[str, Any] = {"profile": options.profile, "process_every_frame": recorded}
    if not recorded:  # deep enough to count what the transport loses, and not what a busy CPU does
        tracker["qos_overrides./image_raw.subscription.depth"] = 10
    if options.weights is not None:
        tracker["weights"] = str(options.weights)
    print(f"{sequence.name}: {len_played(options, sequence)} images, domain "
          f"{os.environ['ROS_DOMAIN_ID']}; logs in {options.out}", flush=True)  # fmt: skip
    children.start("camera", "mlss_tracker_ros.camera_node", camera)
    children.start("tracker", "mlss_tracker_ros.tracker_node", tracker)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # Ctrl-C stays KeyboardInterrupt
    client = DemoClient()
    executor = SingleThreadedExecutor()
    executor.add_node(client)

    def spin_until(done: Callable[[], bool], what: str, patience_s: float) -> None:
        start = time.monotonic()
        while not done():
            executor.spin_once(timeout_sec=0.1)
            children.check()
            if client.tracker_refused:
                raise DemoError(f"expected the tracker to start, it {client.tracker_refused}")
            quiet_since = max(start, client.last_heard_s)
            if time.monotonic() - quiet_since > patience_s:
                raise DemoError(
                    f"expected {what}, got none for {patience_s:g} s; see the logs in "
                    f"{options.out}: {children.last_line('tracker')}"
                )
            progress(client, sequence)

    try:
        spin_until(lambda: client.connected, "camera and tracker to come up", START_S)
        client.watch()
        spin_until(lambda: client.finished and answered(client, recorded), "messages", SILENCE_S)
        settled = time.monotonic() + 2.2  # two more statuses, with the final figures
        spin_until(lambda: time.monotonic() > settled, "messages", SILENCE_S)
    except ExternalShutdownException as error:
        raise KeyboardInterrupt from error
    finally:
        print(flush=True)
        executor.shutdown()
        client.destroy_node()
        rclpy.try_shutdown()
    return client


def camera_params(options: argparse.Namespace, sequence: Sequence) -> dict[str, Any]:
    """ROS parameters of the camera node."""
    params: dict[str, Any] = {
        "rate": options.rate,
        "frames": len_played(options, sequence),
        "wait_for_subscribers": 2,  # the tracker and the client
    }
    if options.source is None:
        shown = dataclasses.asdict(scene(options))
        return {**params, **{f"sim.{name}": value for name, value in shown.items()}}
    return {
        **params,
        "source": str(options.source),
        "pace_topic": "mlss_tracker/detections",
        "pace_window": 2,
    }


def answered(client: DemoClient, recorded: bool) -> bool:
    """Whether nothing more will come: every image of a recording, the last one of a camera."""
    if recorded:
        return set(client.truth) <= set(client.answers)
    return not client.truth or max(client.truth) in client.answers


def progress(client: DemoClient, sequence: Sequence) -> None:
    """One line that is written over, where there is a terminal."""
    if sys.stdout.isatty():
        state = client.tracker.get("state", "starting")
        print(
            f"\r{len(client.images)} images, {len(client.answers)} processed, {state:<14}",
            end="",
            flush=True,
        )


def report(
    options: argparse.Namespace, sequence: Sequence, client: DemoClient, bad_ends: dict[str, int]
) -> int:
    """Write the files, print the table; returns the exit code."""
    rows = rows_of(client)
    summary = summarise(options, client, rows)
    wrong = client.wrong_headers()
    problems = []
    if summary["mean_iou"] < MIN_MEAN_IOU:
        problems.append(too_low(summary))
    if wrong:
        problems.append(f"{wrong} headers of detections differ from their images'")
    problems += [f"{name} ended with code {code}" for name, code in bad_ends.items()]
    out = options.out
    write_summary(out / "summary.json", {**summary, "problems": problems})
    write_table(out / "detections.csv", rows)
    print("writing film and sheet", flush=True)
    write_film(out / "overlay.mp4", sequence.frames, rows, max(summary["fps"], 1.0))
    write_sheet(out / "sheet.png", sequence.frames, rows, sheet_titles(summary))
    print_table(summary, out)
    for problem in problems:
        print(f"demo: failed: {problem}", file=sys.stderr)
    return 1 if problems else 0


def too_low(summary: dict[str, Any]) -> str:
    """What to do about a mean IoU that is too low."""
    text = f"expected a mean IoU of at least {MIN_MEAN_IOU}, got {summary['mean_iou']:.3f}; "
    if summary["mode"] == NEWEST_WINS and summary["fps"] < FEW_A_SECOND:
        few = f"{summary['fps']:.1f} images a second are too few for a target that moves"
        return f"{text}{few}: end what else keeps the processor busy and try again"
    return f"{text}see in sheet.png where it went, in docs/model_card.md what the weights fail at"


def rows_of(client: DemoClient) -> list[Row]:
    """Every image that was published, in order, with what the tracker said of it."""
    rows = []
    for number, (stamp_ns, (truth, visible)) in enumerate(client.truth.items()):
        answer = client.answers.get(stamp_ns)
        known = answer is not None
        rows.append(
            Row(
                number,
                stamp_ns,
                truth,
                visible,
                known,
                answer.box if known else None,  # type: ignore[union-attr]
                answer.score if known else 0.0,  # type: ignore[union-attr]
                answer.latency_s if known else 0.0,  # type: ignore[union-attr]
            )
        )
    return rows


def summarise(options: argparse.Namespace, client: DemoClient, rows: list[Row]) -> dict[str, Any]:
    """Figures of the run: what was measured here, and what the tracker's status says."""
    received = int(client.tracker.get("received", 0))
    stamps = [row.stamp_ns for row in rows if row.processed]
    span_s = (stamps[-1] - stamps[0]) / 1e9 if len(stamps) > 1 else 0.0
    return {
        "source": str(options.source) if options.source else f"simulator, seed {options.seed}",
        "mode": "every image" if options.source else NEWEST_WINS,
        "frames_published": len(rows),
        "frames_received": received,
        "frames_lost": len(rows) - received,
        "dropped": int(client.tracker.get("dropped", 0)),
        **figures(rows),
        "fps": (len(stamps) - 1) / span_s if span_s else 0.0,
        "tracker_ms_p50": float(client.tracker.get("tracker_ms_p50", "nan")),
        "wrong_headers": client.wrong_headers(),
        "device": client.tracker.get("device", ""),
        "precision": client.tracker.get("precision", ""),
        "profile": options.profile,
        "ros_distro": ros_distro(),
        "rmw": get_rmw_implementation_identifier(),
    }


def print_table(summary: dict[str, Any], out: Path) -> None:
    """Print the closing table."""
    latency = summary["latency_ms"]
    p50, p95 = (latency[key] if latency[key] is not None else np.nan for key in ("p50", "p95"))
    lines = [
        ("images published", summary["frames_published"]),
        ("lost on the way to the tracker", summary["frames_lost"]),
        ("dropped by policy (newest wins)", summary["dropped"]),
        ("processed with a target", summary["processed"]),
        ("mean IoU", f"{summary['mean_iou']:.3f}"),
        ("success AUC", f"{summary['success_auc']:.3f}"),
        ("precision at 20 px", f"{summary['precision_20px']:.3f}"),
        ("image to detection, p50 / p95", f"{p50:.1f} / {p95:.1f} ms"),
        ("processed a second", f"{summary['fps']:.1f}"),
        ("device", f"{summary['device']} {summary['precision']}"),
        ("ROS 2", f"{summary['ros_distro']}, {summary['rmw']}"),
        ("written", f"{out}/summary.json, detections.csv, overlay.mp4, sheet.png"),
    ]
    for name, value in lines:
        print(f"  {name:<32} {value}")


if __name__ == "__main__":
    sys.exit(main())
