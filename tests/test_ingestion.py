"""Reading files, with OpenAI's client: hostile ones, many of them, and whatever happens to the server."""

import os
import signal
import urllib.request

import pytest

from hostile_files import Canary, hostile_files
from knowledge import BREAD, PYTHON, VOLCANO, Knowledge, poll
from server import until


@pytest.fixture(scope="module")
def knowledge(tmp_path_factory):
    server = Knowledge(str(tmp_path_factory.mktemp("knowledge")))
    yield server
    server.kill()


@pytest.fixture
def ai(knowledge):
    return knowledge.client()


def test_files_that_cannot_be_read_say_why_and_do_not_stop_the_others(ai):
    contents = [("good.txt", BREAD.encode()), ("empty.txt", b""), ("scan.png", b"\x89PNG\r\n\x1a\n" + bytes(50)), ("bad.docx", b"PK\x03\x04 no")]
    files = [ai.files.create(file=content, purpose="assistants").id for content in contents]
    store = ai.vector_stores.create()
    batch = ai.vector_stores.file_batches.create_and_poll(store.id, file_ids=files)
    assert batch.id.startswith("vsfb_") and batch.status == "completed"
    assert (batch.file_counts.completed, batch.file_counts.failed, batch.file_counts.total) == (1, 3, 4)
    failed = ai.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, filter="failed").data
    errors = {file.id: file.last_error for file in failed}
    assert [errors[file].code for file in files[1:]] == ["unsupported_file", "unsupported_file", "invalid_file"]
    assert all(len(error.message) > 10 for error in errors.values())
    assert [file.id for file in ai.vector_stores.files.list(store.id, filter="completed").data] == files[:1]


@pytest.fixture
def canary():
    canary = Canary()
    yield canary
    canary.stop()


def test_hostile_files_end_in_an_error_for_themselves_alone(ai, knowledge, canary, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the planted secret")
    hostile = hostile_files(canary, str(secret))
    contents = {"first.txt": BREAD.encode(), **hostile, "last.txt": VOLCANO.encode()}
    files = {ai.files.create(file=item, purpose="assistants").id: item[0] for item in contents.items()}
    store = ai.vector_stores.create(name="hostile")
    batch = ai.vector_stores.file_batches.create(store.id, file_ids=list(files))
    done = poll(ai, store.id, batch.id)
    assert done.status == "completed" and done.file_counts.in_progress == 0
    found = {files[file.id]: file for file in ai.vector_stores.files.list(store.id, limit=100).data}
    assert found["first.txt"].status == found["last.txt"].status == "completed"
    for name, file in found.items():
        if file.status == "failed":
            assert file.last_error.code in ("invalid_file", "unsupported_file"), (name, file.last_error)
            assert len(file.last_error.message) > 10 and str(tmp_path) not in file.last_error.message
        else:
            pieces = ai.vector_stores.files.content(file.id, vector_store_id=store.id).data
            text = "".join(piece.text for piece in pieces)
            assert len(text) < 10_000_000 and "planted secret" not in text and "lollol" not in text, name
    for name in ["bomb.docx", "many.docx", "linked.docx", "broken.pdf", "bomb.txt.gz"]:
        assert found[name].status == "failed", name
    assert canary.asked == []
    assert knowledge.process.poll() is None


def workers(server):
    """The processes of the server that read files."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/stat") as status, open(f"/proc/{process}/cmdline") as command:
                parent = int(status.read().rsplit(")", 1)[1].split()[1])
                if parent == server.process.pid and "parse-document" in command.read():
                    found.append(int(process))
        except OSError:
            pass
    return found


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="processes are looked up in /proc")
def test_files_are_read_in_processes_of_their_own_which_may_die(ai, knowledge):
    store = ai.vector_stores.create()
    for turn in range(3):
        file = ai.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=(f"{turn}.txt", BREAD.encode()))
        assert file.status == "completed", file.last_error
        processes = workers(knowledge)
        assert processes
        for process in processes:
            os.kill(process, signal.SIGKILL)
        until("the workers to be gone", lambda: all_dead(processes))


def all_dead(processes):
    """Whether the processes compute no more; their parent may not have looked yet."""
    for process in processes:
        try:
            with open(f"/proc/{process}/stat") as status:
                if status.read().rsplit(")", 1)[1].split()[0] not in "ZX":
                    return False
        except OSError:
            pass
    return True


def test_a_batch_that_is_cancelled_stops(ai):
    text = "\n\n".join(f"Paragraph {number} of a long text about many different things." for number in range(3000))
    files = [ai.files.create(file=(f"{number}.txt", text.encode()), purpose="assistants").id for number in range(8)]
    store = ai.vector_stores.create()
    batch = ai.vector_stores.file_batches.create(store.id, file_ids=files)
    cancelled = ai.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert cancelled.status == "cancelled" and cancelled.file_counts.in_progress == 0 and cancelled.file_counts.cancelled > 0
    found = {result.file_id for result in ai.vector_stores.search(store.id, query="paragraph").data}
    completed = {file.id for file in ai.vector_stores.files.list(store.id, filter="completed").data}
    assert found <= completed


def test_a_batch_survives_killed_servers(tmp_path):
    server = Knowledge(str(tmp_path))
    try:
        ai = server.client()
        count = 60
        names = {}
        for number in range(count):
            text = "\n\n".join(f"Topic {number}, part {part}: the code word is zq{number}x{part}." for part in range(20))
            names[ai.files.create(file=(f"{number}.txt", text.encode()), purpose="assistants").id] = number
        store = ai.vector_stores.create(name="survivor")
        batch = ai.vector_stores.file_batches.create(store.id, file_ids=list(names))

        def completed():
            return ai.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id).file_counts.completed

        for least in [5, 20]:
            until(f"{least} files", lambda: completed() >= least, 120)
            server.kill()
            server.start()
        done = poll(ai, store.id, batch.id)
        assert (done.status, done.file_counts.completed, done.file_counts.total) == ("completed", count, count)
        for file, number in list(names.items())[:: count // 10]:
            pieces = ai.vector_stores.files.content(file, vector_store_id=store.id).data
            text = "".join(piece.text for piece in pieces)
            words = [word.strip(".") for word in text.split() if word.startswith("zq")]
            assert words == [f"zq{number}x{part}" for part in range(20)], "nothing twice and nothing lost"
            results = ai.vector_stores.search(store.id, query=f"zq{number}x7", extra_body={"search_mode": "keyword"})
            assert results.data[0].filename == f"{number}.txt"
            chunks = [result.content[0].metadata["chunk_id"] for result in results.data]
            assert len(chunks) == len(set(chunks))
    finally:
        server.kill()


def test_the_server_answers_while_files_are_read(ai, knowledge):
    text = "\n\n".join(f"Paragraph {number} speaks of a thing that the others do not." for number in range(20_000))
    files = [ai.files.create(file=(f"{number}.txt", text.encode()), purpose="assistants").id for number in range(3)]
    store = ai.vector_stores.create()
    batch = ai.vector_stores.file_batches.create(store.id, file_ids=files)
    for _ in range(300):
        with urllib.request.urlopen(f"{knowledge.url}/v1/health", timeout=5) as answer:
            assert answer.status == 200
    assert ai.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id).status == "in_progress"
    ai.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)


def test_the_command_line_reads_and_searches(knowledge, tmp_path):
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    (folder / "python.txt").write_text(PYTHON)
    (folder / "deep" / "volcano.md").write_text(VOLCANO)
    (folder / "scan.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    first = knowledge.run("ingest", str(folder), "--store", "cli")
    assert first.returncode == 1 and "2 files read" in first.stdout and "scan.png" in first.stderr
    (folder / "scan.png").unlink()
    (folder / "python.txt").write_text(PYTHON + "It was made by Guido van Rossum.\n")
    second = knowledge.run("ingest", str(folder), "--store", "cli")
    assert second.returncode == 0 and "1 files read" in second.stdout and "1 unchanged" in second.stdout, second
    found = knowledge.run("search", "who", "made", "Python", "--store", "cli")
    assert found.returncode == 0 and "python.txt" in found.stdout.splitlines()[0] and "Guido" in found.stdout
    assert found.stdout.count("python.txt") == 1
    missing = knowledge.run("search", "x", "--store", "none")
    assert missing.returncode == 1 and "there is no vector store `none`" in missing.stderr
