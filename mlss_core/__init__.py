"""MLSSNet thermal tracker in PyTorch: network, tracker, training, evaluation; no ROS."""

import os

__version__ = "0.1.0"

# Threads that wait for work must soon sleep, not spin on: beside other busy processes, as on any
# robot, spinning made a frame take eight times as long; sleeping at once costs a third more on an
# idle machine. GNU OpenMP, PyTorch's own on Linux, can spin for a moment first. Counts where torch
# is imported after this (tools/reliability/neighbours.py).
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
