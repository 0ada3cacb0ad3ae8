"""
The only writer of events and entries.

``writing`` puts an event and its pending pointer into the caller's transaction; ``append`` gives pending events their
place in their tenant's log; ``verify`` checks that every stored byte is what was appended.
"""
