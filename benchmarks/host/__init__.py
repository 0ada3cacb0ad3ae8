"""The host application of the benchmarks: the same models whoever audits them."""
