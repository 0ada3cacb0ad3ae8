"""Where we run: facts about the process that change what a sensible default is."""

from __future__ import annotations

import sys


def is_test_run() -> bool:
    """
    Whether Django's test environment is set up in this process (test runner, pytest-django, parallel workers).

    Hosts' tests then append in the same thread and flush their tables freely: no thread outlives a test, no guard
    refuses the flush. ``setup_test_environment()`` leaves this mark and ``teardown_test_environment()`` removes it;
    a process that never imported ``django.test`` is not in a test.
    """
    test_utils = sys.modules.get("django.test.utils")
    return test_utils is not None and hasattr(test_utils._TestState, "saved_data")
