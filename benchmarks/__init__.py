"""Speed against peers, as ratios of medians of interleaved repeats in one run: ``python -m benchmarks``."""
