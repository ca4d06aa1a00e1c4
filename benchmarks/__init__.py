"""Speed and memory against peers, as ratios of medians of interleaved repeats: ``python -m benchmarks``."""
