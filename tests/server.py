"""The real binary as a child process."""

import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.environ.get("CHASKI_BINARY", os.path.join(ROOT, "target", "debug", "chaski"))
WEIGHTS = os.environ.get("CHASKI_TEST_WEIGHTS", os.path.join(ROOT, "target", "test-weights"))
PATIENCE = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, condition, seconds=PATIENCE):
    """Waits for a condition by name; returns what it gave."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for: {what}")


class Server:
    """`chaski run` with its state in a folder of its own."""

    def __init__(self, arguments, **environment):
        self.folder = tempfile.TemporaryDirectory(prefix="chaski-test-")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = os.path.join(self.folder.name, "server.log")
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environment = {
            **kept,
            "CHASKI_CONFIG_DIR": self.folder.name,
            "CHASKI_WEIGHTS_DIR": WEIGHTS,
            "SQLITE_STORE_DIR": self.folder.name,
            **environment,
        }
        with open(self.log_path, "w") as log:
            command = [BINARY, "run", *arguments, "--port", str(self.port)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        try:
            until("the server to start", self.answers)
        except AssertionError:
            self.process.kill()
            raise AssertionError(f"the server did not start:\n{self.log()}") from None

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the server left with status {self.process.returncode}:\n{self.log()}")
        try:
            return urllib.request.urlopen(f"{self.url}/v1/health", timeout=1).status == 200
        except (urllib.error.URLError, OSError):
            return False

    def log(self):
        with open(self.log_path) as log:
            return log.read()

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as answer:
            return json.load(answer)

    def memory(self):
        """Resident memory in bytes."""
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def terminate(self, seconds=PATIENCE):
        """Sends SIGTERM and returns the exit status."""
        self.process.terminate()
        return self.process.wait(seconds)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.folder.cleanup()
