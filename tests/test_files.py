"""Files and uploads with OpenAI's client."""

import hashlib
import io
import json
import os
import subprocess
import urllib.request

import openai
import pytest

from conftest import start_gateway
from server import until


@pytest.fixture
def files(gateway):
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0, timeout=120)


def kept(server):
    """The files on the disk of a server, those included that are being written."""
    found = []
    for folder, _, names in os.walk(os.path.join(server.folder.name, "distributions")):
        found += [os.path.join(folder, name) for name in names if "/files/" in folder + "/"]
    return found


def test_a_file_is_kept_listed_read_and_removed(files):
    made = files.files.create(file=("notes.txt", b"hello world", "text/plain"), purpose="assistants")
    assert made.id.startswith("file-") and made.object == "file" and made.bytes == 11
    assert (made.filename, made.purpose, made.status) == ("notes.txt", "assistants", "processed")
    assert files.files.retrieve(made.id) == made
    assert made.id in [file.id for file in files.files.list(purpose="assistants")]
    assert made.id not in [file.id for file in files.files.list(purpose="vision")]
    assert files.files.content(made.id).read() == b"hello world"
    assert files.files.delete(made.id).deleted
    for call in [files.files.retrieve, files.files.content, files.files.delete]:
        with pytest.raises(openai.NotFoundError) as failure:
            call(made.id)
        assert failure.value.type == "invalid_request_error"


def test_pages_follow_each_other(files):
    made = [files.files.create(file=(f"{number}.txt", b"x"), purpose="evals").id for number in range(7)]
    listed = [file.id for file in files.files.list(purpose="evals", limit=3, order="asc")]
    assert listed == made
    newest = files.files.list(purpose="evals", limit=2)
    assert [file.id for file in newest.data] == made[:-3:-1] and newest.has_more


def test_a_file_can_expire(files):
    after = {"anchor": "created_at", "seconds": 3600}
    made = files.files.create(file=("a", b"x"), purpose="user_data", expires_after=after)
    assert made.expires_at == made.created_at + 3600
    with pytest.raises(openai.BadRequestError) as failure:
        files.files.create(file=("a", b"x"), purpose="user_data", expires_after={**after, "seconds": 1})
    assert failure.value.param == "expires_after.seconds"


def test_wrong_purposes_are_refused(files):
    for purpose in ["nonsense", "batch_output", ""]:
        with pytest.raises(openai.BadRequestError) as failure:
            files.files.create(file=("a", b"x"), purpose=purpose)
        assert failure.value.param == "purpose"


def test_an_upload_in_parts_becomes_a_file(files):
    content = os.urandom(700_000)
    upload = files.uploads.create(filename="big.bin", purpose="assistants", bytes=len(content), mime_type="application/pdf")
    assert upload.id.startswith("upload_") and upload.status == "pending"
    cuts = [content[:300_000], content[300_000:300_001], content[300_001:]]
    parts = [files.uploads.parts.create(upload.id, data=cut).id for cut in reversed(cuts)]
    assert all(part.startswith("part_") for part in parts)
    with pytest.raises(openai.BadRequestError):
        files.uploads.complete(upload.id, part_ids=parts[::-1], md5="0" * 32)
    done = files.uploads.complete(upload.id, part_ids=parts[::-1], md5=hashlib.md5(content).hexdigest())
    assert done.status == "completed"
    assert files.files.content(done.file.id).read() == content
    with pytest.raises(openai.BadRequestError):
        files.uploads.cancel(upload.id)


def test_the_helper_of_the_client_uploads_in_parts(files):
    content = os.urandom(300_000)
    done = files.uploads.upload_file_chunked(
        file=content, filename="chunked.bin", bytes=len(content), mime_type="text/plain", purpose="assistants", part_size=100_000
    )
    assert files.files.content(done.file.id).read() == content


def test_a_large_file_is_never_in_memory(gateway, files):
    class Endless(io.RawIOBase):
        left = 200 << 20

        def readable(self):
            return True

        def readinto(self, buffer):
            size = min(len(buffer), self.left)
            buffer[:size] = b"x" * size
            self.left -= size
            return size

    before = gateway.server.memory()
    boundary = "large"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="large"\r\n\r\n'.encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    source = Endless()

    def body():
        yield head
        while piece := source.read(1 << 20):
            yield piece
        yield tail

    request = urllib.request.Request(
        f"{gateway.url}/v1/files",
        data=body(),
        method="POST",
        headers={"content-type": f"multipart/form-data; boundary={boundary}", "content-length": str(len(head) + (200 << 20) + len(tail))},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        made = json.load(answer)
    assert made["bytes"] == 200 << 20
    with files.files.with_streaming_response.content(made["id"]) as content:
        assert sum(len(piece) for piece in content.iter_bytes()) == 200 << 20
    assert gateway.server.memory() - before < 40 << 20
    files.files.delete(made["id"])


def test_what_was_acknowledged_survives_a_killed_server(upstream):
    server = start_gateway(upstream)
    try:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60)
        made = [client.files.create(file=(f"{number}", f"content {number}".encode()), purpose="batch") for number in range(5)]
        server.process.kill()
        server.process.wait()
        environment = {"CHASKI_CONFIG_DIR": server.folder.name, "PATH": os.environ["PATH"], "HOME": server.folder.name}
        arguments = [server.process.args[0], "run", "starter", "--image-name", "gateway", "--port", str(server.port)]
        again = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            server.process = again
            until("the server to start", server.answers)
            assert [client.files.content(file.id).read() for file in made] == [f"content {number}".encode() for number in range(5)]
            assert len(kept(server)) == 5
        finally:
            again.kill()
            again.wait()
    finally:
        server.stop()


def test_callers_do_not_see_the_files_of_others(upstream):
    settings = f"server: {{auth: {{endpoint: '{upstream.url}/auth', ttl_seconds: 60}}}}"
    server = start_gateway(upstream, settings)
    try:
        one, other = (openai.OpenAI(base_url=f"{server.url}/v1", api_key=f"good-{name}", max_retries=0) for name in ("one", "other"))
        made = one.files.create(file=("a", b"secret"), purpose="user_data")
        assert [file.id for file in one.files.list()] == [made.id]
        assert list(other.files.list()) == []
        for call in [other.files.retrieve, other.files.content, other.files.delete]:
            with pytest.raises(openai.NotFoundError):
                call(made.id)
        upload = one.uploads.create(filename="a", purpose="assistants", bytes=1, mime_type="text/plain")
        with pytest.raises(openai.NotFoundError):
            other.uploads.parts.create(upload.id, data=b"x")
        with pytest.raises(openai.NotFoundError):
            other.uploads.cancel(upload.id)
        assert one.files.content(made.id).read() == b"secret"
    finally:
        server.stop()
