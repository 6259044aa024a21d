"""The dashboard: what the benchmarks in `benchmarks/` have measured, as web pages and as tables of the documents."""
