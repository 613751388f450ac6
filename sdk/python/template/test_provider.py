"""Runs without a runtime: `PYTHONPATH=.strowger/python python3 -m unittest`."""

import unittest
from pathlib import Path

from provider import NewProvider
from strowger_sdk.testing import check_cases


class NewProviderTest(unittest.TestCase):
    def test_the_recorded_cases_hold(self) -> None:
        check_cases(NewProvider, Path(__file__).parent / "cases")


if __name__ == "__main__":
    unittest.main()
