"""``python -m strowger_sdk build``: makes a component of the provider in a folder."""

import argparse
import os
import subprocess
import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

from .export import abilities
from .find import MODULE, NoProvider, provider_type

#: Of the folder with the contract, which comes with this package.
CONTRACT_VERSION = "0.1.0"

# The lines of an author's own traceback that matter: where it went wrong.
_FRAMES_MAX = 6

_COMPONENTIZE = "import sys; from componentize_py import script; sys.argv[0] = 'componentize-py'; script()"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m strowger_sdk", description="Makes a component of provider.py.")
    commands = parser.add_subparsers(required=True)
    build = commands.add_parser("build", help="make a component of the provider in a folder")
    build.add_argument("folder", nargs="?", default=".", type=Path, help="where provider.py is")
    build.add_argument("--wit", type=Path, required=True, help="the folder with the contract")
    build.add_argument("--output", type=Path, required=True, help="the component to write")
    build.set_defaults(run=_build)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except NoProvider as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


def _build(arguments: argparse.Namespace) -> None:
    folder: Path = arguments.folder
    if not (folder / f"{MODULE}.py").is_file():
        raise NoProvider(f"there is no provider.py in {folder}\n  Run this in a provider's folder, or name it.")
    sys.path.insert(0, str(folder.resolve()))
    world = _world(_abilities())
    sdk = Path(__file__).resolve().parent.parent
    with TemporaryDirectory() as scratch:
        (Path(scratch) / "component.wit").write_text(world)
        command = [sys.executable, "-c", _COMPONENTIZE, "--quiet", "--world", "provider:component/component"]
        command += ["--wit-path", str(arguments.wit), "--wit-path", scratch]
        command += ["componentize", "--stub-wasi", "--python-path", str(folder), "--python-path", str(sdk)]
        command += [f"{__package__}.component", "--output", str(arguments.output)]
        # The tool's own backtrace says nothing about a provider.
        environment = {**os.environ, "RUST_BACKTRACE": "0"}
        outcome = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    if outcome.returncode != 0:
        raise NoProvider(_tool_problem(outcome.stderr))


def _world(abilities: list[str]) -> str:
    """The contract of one provider: what every provider exports, and its abilities."""
    worlds = ["provider", *(f"with-{ability}" for ability in abilities)]
    included = "\n".join(f"  include strowger:provider/{world}@{CONTRACT_VERSION};" for world in worlds)
    return f"package provider:component;\n\nworld component {{\n{included}\n}}\n"


def _abilities() -> list[str]:
    """Imports the author's module; what it raises is told by the author's own lines."""
    try:
        return abilities(provider_type())
    except NoProvider:
        raise
    except Exception as error:
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
        own = [frame for frame in own if Path(frame.filename).parent != Path(__file__).parent]
        lines = "".join(traceback.format_list(own[-_FRAMES_MAX:]) + traceback.format_exception_only(error))
        raise NoProvider(f"provider.py cannot be imported\n{lines.rstrip()}") from None


def _tool_problem(text: str) -> str:
    if "No module named 'componentize_py'" in text:
        return (
            "componentize-py is not installed\n  Install it into the environment of this Python:\n\n"
            f"      {sys.executable} -m pip install --require-hashes --requirement requirements.txt"
        )
    # The tool raises its own problem as an assertion.
    _, found, problem = text.partition("AssertionError: ")
    problem = (problem if found else text).strip()
    # What a module prints while it is imported, and modules that are not there inside of a component, end up here.
    return f"componentize-py could not make the component\n  {problem}"


if __name__ == "__main__":
    sys.exit(main())
