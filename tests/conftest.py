"""Tests run on one thread unless the environment says otherwise, and not without a browser where CI forbids it."""

import os

# Before torch is imported, here and in the processes that tests start. Several threads on tensors this small wait for
# each other, most of all on a busy machine; where more are asked for, they sleep while they wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """CI sets REQUIRE_BROWSER: there, a browser test that would be skipped is a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("REQUIRE_BROWSER") and "NO B" in str(report.longrepr):
        report.outcome = "failed"
