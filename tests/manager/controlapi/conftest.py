import pytest
from asked import Requests


@pytest.fixture
def at() -> Requests:
    return Requests()
