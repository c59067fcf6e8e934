"""Benchmarks: run with ``make benchmark`` or ``python -m tests.benchmarks``. They print; they never fail on a time."""
