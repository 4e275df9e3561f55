"""Loss and hits of several weights on the same held-out pairs: what docs/training.md compares.

    python tools/held_out_loss.py config/train.yaml WEIGHTS... [--batches 12] [--seed 5]

draws pairs from the held-out split of the config's crops, with its settings but for the region,
which is that of the weights. `pairs.mix` counts where a source holds something out.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch

from mlss_core.checkpoint import load_network
from mlss_core.train.crops import CropLibrary
from mlss_core.train.pairs import PairDataset
from mlss_core.train.params import load_train_params
from mlss_core.train.tracks import VALIDATION
from mlss_core.train.validate import held_out_terms


def main() -> None:
    """Print a row for each of the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--batches", type=int, default=12, help="%(default)s")
    parser.add_argument("--seed", type=int, default=5, help="of the pairs (%(default)s)")
    args = parser.parse_args()
    params = load_train_params(args.config)
    crops = CropLibrary(Path(params.crops), VALIDATION)
    mix = {name: share for name, share in params.pairs.mix.items() if name in crops.sources}
    pairs = dataclasses.replace(params.pairs, mix=mix)
    print(f"{'':40s}{'loss':>8s}{'drawn':>8s}{'swapped':>8s}{'hit':>8s}")
    for path in args.weights:
        network = load_network(path)
        own = dataclasses.replace(
            params, network=network.params, pairs=pairs, validation_batches=args.batches
        )
        terms = held_out_terms(
            network, PairDataset(crops, own, seed=args.seed), own, torch.device("cpu")
        )
        figures = (terms[name] for name in ("loss", "drawn", "swapped", "hit"))
        print(f"{str(path)[-38:]:40s}" + "".join(f"{value:8.3f}" for value in figures), flush=True)


if __name__ == "__main__":
    main()
