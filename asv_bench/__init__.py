"""The dashboard: what the benchmarks in `benchmarks/` have measured, as web pages and as the README's tables."""
