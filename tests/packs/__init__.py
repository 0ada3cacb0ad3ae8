"""Each pack against the real package: a suite of its own, with every supported package installed at once."""
