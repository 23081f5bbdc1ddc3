"""What all tests of networks share."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def networks_of_one_thread(one_thread: None) -> None:
    """Parity and seconds should not depend on the cores of the machine, or on what else it does."""
