"""Print the table of all benchmarks, or of those named: ``python -m benchmarks engine sparse``."""

import platform
import sys

import numpy as np
import scipy
import torch

from benchmarks import convolution, engine, models, sparse

PARTS = {"engine": engine.rows, "sparse": sparse.rows, "convolution": convolution.rows, "models": models.lines}


def main(names: list[str]) -> int:
    """Run the parts named, all by default."""
    unknown = set(names) - set(PARTS)
    if unknown:
        print(f"benchmarks: got {', '.join(sorted(unknown))}; wanted {', '.join(PARTS)}", file=sys.stderr)
        return 2
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, PyTorch {torch.__version__}, "
          f"{torch.get_num_threads()} threads; medians of interleaved repeats")  # fmt: skip
    for name in names or PARTS:
        for row in PARTS[name]():
            print(row, flush=True)
        if name == "sparse":
            print(sparse.lenet(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
