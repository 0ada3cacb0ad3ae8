"""The project against its peers and the physical limits, in one run: ``python -m benchmarks``."""
