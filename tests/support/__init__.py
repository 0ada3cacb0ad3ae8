"""What tests and benchmarks stand on: servers and doubles that are not the product's own."""
