"""The way out: what an auditor or customer takes home."""
