"""What hosts are given for their own tests: captured events, expected events, and the pytest plugin."""
