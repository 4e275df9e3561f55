"""Go on training the shipped weights with sequences of one's own, and say where the new ones are.

    python examples/train_on_folder.py SEQUENCES OUT [--steps 500] [--batch 8] [--resume]

SEQUENCES is a folder of labelled sequences: NAME/img/0001.png ... with NAME/groundtruth_rect.txt,
or NAME.mp4 with NAME.txt; OUT is a new folder, or with --resume that of a run which was broken
off. The tracker takes OUT/train/last.safetensors as its --weights. Compare both on sequences that
were not trained on before you believe in it (compare_with_csrt.py).
"""

import argparse
import sys
from pathlib import Path

from mlss_core.checkpoint import DEFAULT_WEIGHTS, load_network
from mlss_core.errors import MlssError
from mlss_core.train.curate import CurateParams, curate
from mlss_core.train.loop import train
from mlss_core.train.params import TrainParams

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("sequences", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("--steps", type=int, default=500)
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--resume", action="store_true")
args = parser.parse_args()


def tell(step: int, figures: dict[str, float]) -> None:
    """Print how far training is."""
    print(f"step {step}: loss {figures['loss']:.3f}", flush=True)


try:
    report = curate([args.sequences], args.out / "crops", CurateParams(val_fraction=0.0))
    print(f"{report.pop('kept')} crops")
    for reason, count in report.items():
        print(f"dropped {count}: {reason}")
    params = TrainParams(
        crops=str(args.out / "crops"),
        out=str(args.out / "train"),
        steps=args.steps,
        batch=args.batch,
        initial_weights=str(DEFAULT_WEIGHTS),
        network=load_network().params,  # with the calibration of the score
        learning_rate=1e-3,  # a tenth of what training from nothing begins with
        final_learning_rate=1e-5,
        validation_batches=0,
        loader_workers=0,
    )
    train(params, args.resume, on_step=tell)
except MlssError as error:
    sys.exit(f"train_on_folder: {error}")
print(args.out / "train" / "last.safetensors")
