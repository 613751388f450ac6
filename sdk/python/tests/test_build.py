"""What an author is told when a provider cannot be built; the tool itself is not needed for any of it."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TEMPLATE = Path(__file__).parents[1] / "template" / "provider.py"


def build(provider: str | None) -> str:
    with tempfile.TemporaryDirectory() as folder:
        if provider is not None:
            (Path(folder) / "provider.py").write_text(provider)
        command = [sys.executable, "-m", "strowger_sdk", "build", folder, "--wit", folder, "--output", f"{folder}/out.wasm"]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
        assert outcome.returncode == 1, outcome
        assert "strowger_sdk/__main__.py" not in outcome.stderr, outcome.stderr
        return outcome.stderr


class BuildTest(unittest.TestCase):
    def test_there_is_a_provider(self) -> None:
        self.assertIn("there is no provider.py in", build(None))
        self.assertIn("class Acme(Provider, Calling):", build("from strowger_sdk import Provider\n"))

    def test_there_is_one_provider(self) -> None:
        two = TEMPLATE.read_text() + "\n\nclass Other(NewProvider): ...\n"
        self.assertIn("2 providers: NewProvider, Other", build(two))

    def test_a_missing_function_is_named(self) -> None:
        text = TEMPLATE.read_text().replace("class NewProvider(Provider):", "class NewProvider(Provider, Numbers):")
        said = build("from strowger_sdk.numbers import Numbers\n" + text)
        self.assertIn("`NewProvider` lacks 2 of the functions", said)
        self.assertIn("def validate_number(self, config: Any, address: str, io: Io) -> Ownership: ...", said)

    def test_a_missing_leg_is_named(self) -> None:
        self.assertIn("leg_type = MyLeg", build(TEMPLATE.read_text().replace("    leg_type = MediaStream\n", "")))
        less = TEMPLATE.read_text().replace("def serialize_frame", "def serialise_frame")
        self.assertIn("`MediaStream` lacks serialize_frame", build(less))

    def test_an_author_sees_the_authors_own_lines(self) -> None:
        said = build("import strowger_sdk\nx = strowger_sdk.Nothing\n")
        self.assertIn("provider.py cannot be imported", said)
        self.assertIn("line 2", said)
        self.assertNotIn("importlib", said)
