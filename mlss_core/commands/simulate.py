"""`mlss simulate`: synthetic thermal sequences with ground truth."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from mlss_core.errors import ConfigError
from mlss_core.simulate import SceneParams, random_scene
from mlss_core.simulate.write import write_scene

_FIELDS = [item for item in dataclasses.fields(SceneParams) if item.name != "seed"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: one for each parameter of a scene."""
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the sequences")
    parser.add_argument(
        "--scenes", type=int, default=1, metavar="N", help="how many (%(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the first scene; the next has S + 1"
    )
    parser.add_argument(
        "--base",
        choices=("random", "demo"),
        default="random",
        help="what decides the parameters not given here: a draw by the seed, or the scene of "
        "the demo (%(default)s)",
    )
    scene = parser.add_argument_group("parameters of a scene", "with the demo's in brackets")
    for item in _FIELDS:
        meta, default = item.metadata, item.default
        name = f"--{item.name.replace('_', '-')}"
        unit = f", {meta['unit']}" if meta["unit"] else ""
        text = f"{meta['doc'].replace('%', '%%')} [{default}{unit}]"
        if isinstance(default, bool):
            scene.add_argument(name, action=argparse.BooleanOptionalAction, help=text)
            continue
        kind = int if isinstance(default, int) else float if isinstance(default, float) else str
        metavar = None if meta["choices"] else "X"
        scene.add_argument(name, type=kind, choices=meta["choices"], metavar=metavar, help=text)


def run(args: argparse.Namespace) -> int:
    """Write the scenes, with a progress bar over all frames.

    Raises:
        ConfigError: no scene is asked for, or a parameter of one is out of its range.
    """
    from tqdm import tqdm

    if args.scenes < 1:
        raise ConfigError(f"expected --scenes of at least 1, got {args.scenes}")
    given = {
        item.name: getattr(args, item.name)
        for item in _FIELDS
        if getattr(args, item.name) is not None
    }
    scenes = [
        random_scene(seed, **given)
        if args.base == "random"
        else SceneParams(**{**given, "seed": seed})
        for seed in range(args.seed, args.seed + args.scenes)
    ]
    total = sum(scene.frames for scene in scenes)
    with tqdm(total=total, unit="frame", desc="simulate") as bar:
        for scene in scenes:
            bar.set_postfix_str(f"{scene.kind} {scene.seed}")
            write_scene(scene, args.out, progress=bar.update)
    print(f"{len(scenes)} sequences, {total} frames in {args.out}")
    return 0
