"""CI sets REQUIRE_BROWSER: there, a browser test that would be skipped is a failure."""

import os

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("REQUIRE_BROWSER") and "NO B" in str(report.longrepr):
        report.outcome = "failed"
