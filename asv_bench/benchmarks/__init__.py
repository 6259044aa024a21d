"""Benchmarks: each kernel beside its twin in the oracle."""
