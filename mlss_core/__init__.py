"""MLSSNet thermal tracker in PyTorch: network, tracker, training, evaluation; no ROS."""

import os

__version__ = "0.1.0"

# Threads that wait for work must sleep, not spin: beside other busy processes, as on any robot,
# spinning made a frame take eight times as long. Counts where torch is imported after this.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
