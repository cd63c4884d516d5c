"""``python -m benchmarks.diagnosis.drawn``: see `command`, from which worker processes can import functions."""

import os

from benchmarks.diagnosis.drawn.command import main

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
