"""Management commands: they parse arguments, call one function and set the exit code."""
