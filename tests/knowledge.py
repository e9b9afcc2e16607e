"""A server with an embedding model in the process and an index on the disk, and texts to read."""

import os
import subprocess
import urllib.error
import urllib.request

import openai

from server import BINARY, WEIGHTS, free_port, until

PYTHON = "Python is a programming language with dynamic types and a large standard library.\n"
VOLCANO = "# Volcanoes\n\nLava is molten rock. A volcano erupts when magma rises through the crust.\n"
BREAD = "Bread is baked from flour, water, salt and yeast. Sourdough needs patience.\n"

RUN = """
version: '2'
image_name: knowledge
providers:
  inference:
  - {provider_id: vectors, provider_type: inline::sentence-transformers, config: {}}
  vector_io:
  - {provider_id: index, provider_type: inline::faiss, config: {kvstore: {type: sqlite, namespace: null, db_path: "%s/faiss.db"}}}
models:
- {model_id: all-MiniLM-L6-v2, provider_id: vectors, model_type: embedding, metadata: {embedding_dimension: 384}}
"""


class Knowledge:
    """A server with an embedding model in the process, that can be killed and started again."""

    def __init__(self, folder, server=""):
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = os.path.join(folder, "run.yaml")
        with open(self.config, "w") as run:
            run.write(RUN % folder + server)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "CHASKI_CONFIG_DIR": folder,
            "CHASKI_WEIGHTS_DIR": WEIGHTS,
        }
        self.process = None
        self.start()

    def start(self):
        with open(os.path.join(self.folder, "server.log"), "a") as log:
            command = [BINARY, "run", self.config, "--port", str(self.port)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment)
        until("the server to start", self.answers)

    def answers(self):
        assert self.process.poll() is None, open(os.path.join(self.folder, "server.log")).read()
        try:
            return urllib.request.urlopen(f"{self.url}/v1/health", timeout=1).status == 200
        except (urllib.error.URLError, OSError):
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def client(self):
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=120)

    def run(self, *arguments):
        command = [BINARY, *arguments, "--url", self.url]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=300)


def poll(ai, store, batch):
    def ended():
        found = ai.vector_stores.file_batches.retrieve(batch, vector_store_id=store)
        return found if found.status != "in_progress" else None

    return until("the end of a batch", ended, 240)
