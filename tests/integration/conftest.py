# SPDX-License-Identifier: Apache-2.0
"""What all integration tests have in common: no test may hang, and none may use a proxy."""

import os

import pytest

TIMEOUT_S = 300

# The daemons and receivers are on this machine; a proxy of the environment is not for them.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


def pytest_configure(config):
    config.addinivalue_line("markers", "timeout(seconds): a test that takes longer has failed")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
