"""Schemathesis against a gateway that runs, with the document that it serves.

    run.py STROWGER PROVIDERS [-- arguments of schemathesis run]

Nothing leaves the machine, because there is nowhere to go: all of it runs in a network of its own that has a loopback
interface and nothing else. The gateway is started with an empty database, and with one configuration, number, agent, call and
endpoint, so that there is something to be found. The first run has the key of an organisation, the second that of the operator.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.request

import hooks

HERE = pathlib.Path(__file__).resolve().parent
READY_S = 120
# How often everything is there, and how often what is there is asked for.
SETS = 4
# Not the name that the document has as its example.
MAIN = "The first"
KNOWN_PROBABILITY = 0.9
STOP_S = 20
# What the recipe takes for "nothing was tested".
NO_NETWORK = 77
ISOLATED = "STROWGER_ISOLATED"
# What a schema can only call a text. The numbers are reserved for fiction.
TEXTS = {
    "body.phone_number": ["browser"],
    "body.destination": ["+12025550199"],
    "body.address": [f"+120255501{number:02}" for number in range(40)],
    "body.country_code": ["US", "GB"],
    "body.url": ["https://example.com/hooks", "wss://agent.example.com/call"],
    "body.event_types[*]": ["call.created", "call.ended"],
    "header.If-Match": ["*"],
}
# Ed25519, RFC 8032, section 7.1, test 1: nobody has to sign with it.
PUBLIC_KEY = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"


def isolate() -> None:
    """Goes on in a network of its own."""
    if os.environ.get(ISOLATED) != "1":
        root = ["unshare", "--net"]
        user = ["unshare", "--user", "--map-root-user", "--net"]
        for command in (root, user) if os.geteuid() == 0 else (user, ["sudo", "--non-interactive", "--preserve-env", *root]):
            if not shutil.which(command[0]):
                continue
            if subprocess.run([*command, "true"], capture_output=True).returncode == 0:
                os.environ[ISOLATED] = "1"
                os.execvp(command[0], [*command, sys.executable, *sys.argv])
        print("a network of its own is needed, which `unshare --net` makes here neither for this user nor for root", file=sys.stderr)
        sys.exit(NO_NETWORK)
    # Up: IFF_UP and IFF_RUNNING, with SIOCSIFFLAGS.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x41))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Gateway:
    """A gateway with an empty database in a temporary folder."""

    def __init__(self, program: str, providers: str, folder: str) -> None:
        self.program, self.folder = program, folder
        self.lines: list[str] = []
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        # What the program is told, it is told here.
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("STROWGER_")}
        arguments = ["serve", "--data-dir", folder, "--listen", f"127.0.0.1:{port}", "--providers", providers]
        self.process = subprocess.Popen(
            [program, *arguments, "--shutdown-grace-s", "1"],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.ready = threading.Event()
        threading.Thread(target=self.listen, daemon=True).start()
        if not self.ready.wait(READY_S) or self.process.poll() is not None:
            sys.exit("the gateway is not ready:\n" + "\n".join(self.lines))

    def listen(self) -> None:
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            if line.startswith("Listening on"):
                self.ready.set()
        self.ready.set()

    def key(self, *command: str) -> str:
        """A key that a command makes."""
        made = subprocess.run(
            [self.program, *command, "--data-dir", self.folder], env=self.environment, check=True, capture_output=True, text=True
        )
        return re.search(r"strow\S*_\S+", made.stdout).group()

    def ask(self, key: str, method: str, path: str, body: dict | None = None) -> dict:
        request = urllib.request.Request(
            f"{self.url}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=READY_S) as answer:
            return json.load(answer)

    def furnish(self, key: str, operator: str) -> dict[str, list[str]]:
        """Something of everything, some of it more than once: what is deleted is gone. Names of parameters, and what fits them."""
        known: dict[str, list[str]] = {}

        def make(path: str, body: dict, *names: str, field: str = "id", asks: str = key) -> str:
            made = self.ask(asks, "POST", path, body)[field]
            for name in names:
                known.setdefault(name, []).append(made)
            return made

        configs = "/organizations/telephony-configs"
        browser = {"provider": "browser", "public_key": PUBLIC_KEY}

        def configuration(name: str) -> str:
            new = {"name": name, "is_default_outbound": name == MAIN, "config": browser}
            return make(configs, new, "path.configuration", "body.telephony_configuration_id")

        # It stays: calls are in progress over it.
        main = configuration(MAIN)
        for number in range(SETS):
            configuration(f"Spare {number}")
            agent = make("/agents", {"name": f"Echo {number}", "protocol": "echo"}, "path.agent", "body.agent_id", "body.inbound_agent_id")
            address = {"address": f"10{number}", "inbound_agent_id": agent}
            make(f"{configs}/{main}/phone-numbers", address, "path.number", "body.from_phone_number_id")
            endpoint = make("/webhook-endpoints", {"url": "https://example.com/hooks"}, "path.endpoint")
            make(f"/webhook-endpoints/{endpoint}/test", {}, "path.delivery")
            call = {"agent_id": agent, "phone_number": "browser", "telephony_configuration_id": main}
            make("/telephony/initiate-call", call, "path.call", field="call_id")
            make("/api-keys", {"name": "spare", "role": "read"}, "path.key")
            make("/operator/organizations", {"name": f"Organisation {number}"}, "path.organization", asks=operator)
        # Most often the one that has numbers.
        for name in ("path.configuration", "body.telephony_configuration_id"):
            known[name] += SETS * [main]
        for provider in self.ask(operator, "GET", "/operator/telephony-providers")["providers"]:
            known.setdefault("path.provider", []).append(provider["provider"])
            known.setdefault("path.digest", []).append(provider["live"])
        return known | TEXTS

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def configured(folder: str, known: dict[str, list[str]]) -> str:
    """The settings of Schemathesis, with what there is."""
    shutil.copy(HERE / "hooks.py", folder)
    settings = (HERE / "schemathesis.toml").read_text()
    names = {name: re.sub(r"\W+", "-", name).strip("-") for name in known}
    dictionaries = [f"[dictionaries.{names[name]}]\nvalues = {json.dumps(values)}\n" for name, values in known.items()]
    bindings = [f'"{name}" = {{ dictionary = "{names[name]}", probability = {KNOWN_PROBABILITY} }}' for name in known]
    path = pathlib.Path(folder, "schemathesis.toml")
    path.write_text("\n".join([settings, *dictionaries, "[parameters]", *bindings, ""]))
    return str(path)


def schemathesis(gateway: Gateway, settings: str, key: str, *arguments: str) -> bool:
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", settings, "run"]
    document = f"{gateway.url}/api/v1/openapi.json"
    ended = subprocess.run(
        [*command, document, *arguments],
        env={**os.environ, "STROWGER_TEST_KEY": key, "PYTHONDONTWRITEBYTECODE": "1"},
        # Whatever it writes down is beside the database.
        cwd=gateway.folder,
    )
    return ended.returncode == 0


def tell_what_was_never_done(folder: str) -> None:
    """What was only ever refused was hardly tested. It depends on a little luck, so it is told and fails nothing."""
    answers = [line.split(" ", 1) for line in pathlib.Path(folder, hooks.ANSWERS).read_text().splitlines()]
    asked = {operation for _, operation in answers}
    done = {operation for status, operation in answers if int(status) < 400}
    print(f"Of {len(asked)} operations, {len(done)} were done. Those that were not:")
    for operation in sorted(asked - done):
        print(f"  {operation}: {hooks.NEVER_DONE.get(operation, 'for no known reason')}")


def main() -> None:
    isolate()
    program, providers, *more = (argument for argument in sys.argv[1:] if argument != "--")
    folder = tempfile.mkdtemp(prefix="strowger-openapi-")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        gateway = Gateway(program, providers, folder)
        stack.callback(gateway.stop)
        key, operator = gateway.key("org", "create", "Acme"), gateway.key("key", "create", "--operator")
        settings = configured(folder, gateway.furnish(key, operator))
        passed = [
            schemathesis(gateway, settings, key, "--exclude-tag", "Operator", *more),
            schemathesis(gateway, settings, operator, "--include-tag", "Operator", *more),
        ]
        # What was asked with a key that opens nothing any more was not asked at all.
        gateway.ask(key, "GET", "/organization")
        gateway.ask(operator, "GET", "/operator/status")
        panics = [line for line in gateway.lines if "panicked" in line]
        tell_what_was_never_done(folder)
        if panics or gateway.process.poll() is not None or not all(passed):
            sys.exit("\n".join(["Schemathesis has found something, or the gateway has failed (see above)", *panics]))


if __name__ == "__main__":
    main()
