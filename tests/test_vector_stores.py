"""Vector stores with OpenAI's client: files in, the right texts out, whatever happens to the server."""

import json
import os
import random
import signal
import subprocess
import urllib.error
import urllib.request

import openai
import pytest

from hostile_files import Canary, hostile_files
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


@pytest.fixture(scope="module")
def knowledge(tmp_path_factory):
    server = Knowledge(str(tmp_path_factory.mktemp("knowledge")))
    yield server
    server.kill()


@pytest.fixture
def ai(knowledge):
    return knowledge.client()


def poll(ai, store, batch):
    def ended():
        found = ai.vector_stores.file_batches.retrieve(batch, vector_store_id=store)
        return found if found.status != "in_progress" else None

    return until("the end of a batch", ended, 240)


def test_a_file_is_read_found_and_taken_out(ai):
    store = ai.vector_stores.create(name="topics", metadata={"team": "docs"})
    assert store.id.startswith("vs_") and store.status == "completed" and store.metadata == {"team": "docs"}
    for name, text in [("python.txt", PYTHON), ("volcano.md", VOLCANO), ("bread.txt", BREAD)]:
        file = ai.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=(name, text.encode()))
        assert file.status == "completed" and file.last_error is None and file.usage_bytes > 0
    found = ai.vector_stores.retrieve(store.id)
    assert found.file_counts.completed == found.file_counts.total == 3 and found.usage_bytes > 100
    results = ai.vector_stores.search(store.id, query="What happens when magma rises?")
    assert results.data[0].filename == "volcano.md" and 0 < results.data[0].score <= 1
    assert "magma rises" in results.data[0].content[0].text
    scores = [result.score for result in results.data]
    assert scores == sorted(scores, reverse=True)
    # Words that no vector knows are found too.
    assert ai.vector_stores.search(store.id, query="sourdough", max_num_results=1).data[0].filename == "bread.txt"
    listed = ai.vector_stores.files.list(store.id, order="asc")
    assert len(listed.data) == 3
    volcano = results.data[0].file_id
    content = ai.vector_stores.files.content(volcano, vector_store_id=store.id)
    assert "Lava is molten rock" in "".join(piece.text for piece in content.data)
    assert ai.vector_stores.files.delete(volcano, vector_store_id=store.id).deleted
    assert "volcano.md" not in [result.filename for result in ai.vector_stores.search(store.id, query="magma").data]
    with pytest.raises(openai.NotFoundError):
        ai.vector_stores.files.retrieve(volcano, vector_store_id=store.id)
    assert ai.files.retrieve(volcano).filename == "volcano.md"
    ai.files.delete(listed.data[0].id)
    assert ai.vector_stores.retrieve(store.id).file_counts.total == 1
    assert ai.vector_stores.delete(store.id).deleted
    for call in [ai.vector_stores.retrieve, ai.vector_stores.delete, lambda id: ai.vector_stores.search(id, query="x")]:
        with pytest.raises(openai.NotFoundError):
            call(store.id)


def test_citations_are_exact_to_the_byte(ai):
    text = "".join(f"Überschrift {number}: the answer to question {number} is {number * 3}. 🏃\n\n" for number in range(200))
    file = ai.files.create(file=("answers.txt", text.encode()), purpose="assistants")
    store = ai.vector_stores.create(file_ids=[file.id])
    until("the file to be read", lambda: ai.vector_stores.retrieve(store.id).status == "completed", 120)
    for result in ai.vector_stores.search(store.id, query="the answer to question 77").data:
        place = result.content[0].metadata
        cited = text.encode()[place["start_byte"] : place["end_byte"]].decode()
        assert cited.strip() in result.content[0].text
    whole = "".join(piece.text for piece in ai.vector_stores.files.content(file.id, vector_store_id=store.id).data)
    assert whole.split() == text.split()


def test_filters_select_by_attributes(ai):
    store = ai.vector_stores.create(name="filtered")
    for year in range(2020, 2024):
        file = ai.files.create(file=(f"{year}.txt", f"Report of the year {year}: sales grew.".encode()), purpose="assistants")
        ai.vector_stores.files.create_and_poll(
            file.id, vector_store_id=store.id, attributes={"year": year, "draft": year > 2022, "region": "EU" if year % 2 else "US"}
        )

    def names(filters):
        results = ai.vector_stores.search(store.id, query="sales report", filters=filters, max_num_results=50)
        return sorted(result.filename for result in results.data)

    def compare(kind, key, value):
        return {"type": kind, "key": key, "value": value}

    assert names(compare("eq", "year", 2021)) == ["2021.txt"]
    assert names(compare("gte", "year", 2022)) == ["2022.txt", "2023.txt"]
    assert names(compare("ne", "region", "EU")) == ["2020.txt", "2022.txt"]
    assert names(compare("in", "region", ["EU", "XX"])) == ["2021.txt", "2023.txt"]
    assert names({"type": "and", "filters": [compare("lt", "year", 2023), compare("eq", "region", "EU")]}) == ["2021.txt"]
    assert names({"type": "or", "filters": [compare("eq", "draft", True), compare("eq", "year", 2020)]}) == ["2020.txt", "2023.txt"]
    for hostile in ["' OR 1=1 --", "%", "_", "$.year", "\\", "[year]", "a\0b", "x" * 10_000, "*", '"', "NEAR", "year:2020"]:
        assert names(compare("eq", hostile, "EU")) == []
        assert names(compare("eq", "region", hostile)) == []
        ai.vector_stores.search(store.id, query=hostile)
    with pytest.raises(openai.BadRequestError):
        names(compare("like", "region", "E%"))
    changed = ai.vector_stores.search(store.id, query="sales", filters=compare("eq", "year", 2021)).data[0].file_id
    ai.vector_stores.files.update(changed, vector_store_id=store.id, attributes={"year": 1999})
    assert names(compare("eq", "year", 2021)) == [] and names(compare("eq", "year", 1999)) == ["2021.txt"]
    result = ai.vector_stores.search(store.id, query="sales", filters=compare("eq", "year", 1999)).data[0]
    assert result.attributes == {"year": 1999}


def test_a_model_ranks_results_and_writes_queries(gateway):
    ai = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0, timeout=120)
    store = ai.vector_stores.create(extra_body={"embedding_model": gateway.embedding})
    for name, text in [("python.txt", PYTHON), ("volcano.md", VOLCANO), ("bread.txt", BREAD)]:
        ai.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=(name, text.encode()))
    # The scores are the model's: the share of the words of the query that a text has.
    ranked = ai.vector_stores.search(store.id, query="bread is baked", ranking_options={"ranker": "neural"}).data
    assert [result.filename for result in ranked][0] == "bread.txt"
    assert [round(result.score, 2) for result in ranked] == [1, 0.33, 0.33]
    named = {"ranker": "neural", "model": "rerank-model", "score_threshold": 0.9}
    ranked = ai.vector_stores.search(store.id, query="bread is baked", ranking_options=named).data
    assert [result.filename for result in ranked] == ["bread.txt"]
    for ranker in [{"ranker": "weighted", "alpha": 0.2}, {"ranker": "rrf", "impact_factor": 5}, {"ranker": "normalized"}]:
        found = ai.vector_stores.search(store.id, query="sourdough", ranking_options=ranker).data
        assert "bread.txt" in [result.filename for result in found] and all(0 <= result.score <= 1 for result in found)
    rewritten = ai.vector_stores.search(store.id, query="What is baked?", rewrite_query=True)
    assert rewritten.search_query[0].startswith("You said: ")
    with pytest.raises(openai.APIStatusError):
        ai.vector_stores.search(store.id, query="fail with 400", rewrite_query=True)


def holds(filters, attributes):
    """What a filter says about attributes: the reference that the server is compared with."""
    kind = filters["type"]
    if kind in ("and", "or"):
        return (all if kind == "and" else any)(holds(inner, attributes) for inner in filters["filters"])
    value, wanted = attributes.get(filters["key"]), filters["value"]

    def alike(one, other):
        return type(one) is type(other) or {type(one), type(other)} <= {int, float}

    if kind in ("in", "nin"):
        return any(alike(value, one) and value == one for one in wanted) == (kind == "in")
    if kind in ("eq", "ne"):
        return (alike(value, wanted) and value == wanted) == (kind == "eq")
    if not alike(value, wanted) or isinstance(value, bool):
        return False
    return {"gt": value > wanted, "gte": value >= wanted, "lt": value < wanted, "lte": value <= wanted}[kind]


def test_filters_choose_what_a_reference_chooses(ai):
    chance = random.Random(4)
    odd = ["plain", "' OR 1=1 --", "%", "_", "$.a", "\\", "[a]", "a\0b", "*", '"', "a.b", "é🏃", "document_id", "a b"]
    values = ["x", "y", "%", "' OR ''='", "*", '"x"', "\\", 1, 2, 2.5, -1, True, False]
    store = ai.vector_stores.create(name="compared")
    kept = {}
    for number in range(16):
        attributes = {key: chance.choice(values) for key in chance.sample(odd, 6)}
        name = f"{number}.txt"
        file = ai.files.create(file=(name, f"Report number {number}.".encode()), purpose="assistants")
        ai.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id, attributes=attributes)
        kept[name] = attributes

    def compare():
        kind = chance.choice(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"])
        if kind in ("in", "nin"):
            return {"type": kind, "key": chance.choice(odd), "value": chance.sample(values[:11], 3)}
        most = 11 if kind in ("gt", "gte", "lt", "lte") else len(values)
        return {"type": kind, "key": chance.choice(odd), "value": chance.choice(values[:most])}

    for turn in range(80):
        filters = compare()
        if turn % 3:
            filters = {"type": chance.choice(["and", "or"]), "filters": [compare(), {"type": chance.choice(["and", "or"]), "filters": [compare(), compare()]}]}
        results = ai.vector_stores.search(store.id, query="report", filters=filters, max_num_results=50, extra_body={"search_mode": "keyword"})
        expected = sorted(name for name, attributes in kept.items() if holds(filters, attributes))
        assert sorted(result.filename for result in results.data) == expected, filters


def test_words_that_databases_understand_are_only_words(ai):
    store = ai.vector_stores.create(name="words")
    for name, text in [("python.txt", PYTHON), ("volcano.md", VOLCANO), ("bread.txt", BREAD)]:
        ai.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=(name, text.encode()))

    def names(query):
        results = ai.vector_stores.search(store.id, query=query, extra_body={"search_mode": "keyword"})
        return sorted(result.filename for result in results.data)

    assert names("flour") == ["bread.txt"]
    # Nothing here is an operator, a column, a prefix or a wildcard.
    for query in ["flo*", "fl%r", "fl_ur", "content:zzz", "NEAR(zzz, 5)", "zzz NOT flour2", '"', '"""', "*", "^", "-", "()", "{}", "a\0b", "zzz;drop table chunks", "x" * 60_000]:
        assert names(query) == [], query
    for query in ['"flour" NEAR zzz', "flour OR", "NEAR(flour yeast)", "content:flour", "-flour", "flour^2", "(flour", "flour*"]:
        assert names(query) == ["bread.txt"], query


def test_searches_are_ordered_and_limited_as_asked(ai):
    store = ai.vector_stores.create(name="ranked")
    for name, text in [("python.txt", PYTHON), ("volcano.md", VOLCANO), ("bread.txt", BREAD)]:
        ai.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=(name, text.encode()))
    for mode in ["vector", "keyword", "hybrid"]:
        for ranker in ["auto", "default-2024-11-15", "rrf", "weighted", "normalized"]:
            results = ai.vector_stores.search(
                store.id, query="flour and yeast", ranking_options={"ranker": ranker}, extra_body={"search_mode": mode}
            )
            assert results.data[0].filename == "bread.txt", (mode, ranker)
            assert all(0 <= result.score <= 1 for result in results.data)
    assert len(ai.vector_stores.search(store.id, query="flour", max_num_results=1).data) == 1
    strict = ai.vector_stores.search(store.id, query="flour and yeast", ranking_options={"score_threshold": 0.99})
    assert [result.filename for result in strict.data] in ([], ["bread.txt"])
    several = ai.vector_stores.search(store.id, query=["flour and yeast", "molten rock"])
    assert {result.filename for result in several.data[:2]} == {"bread.txt", "volcano.md"}
    for wrong in [{"query": ""}, {"query": []}, {"max_num_results": 0}, {"max_num_results": 51}, {"ranking_options": {"ranker": "best"}}]:
        with pytest.raises(openai.BadRequestError):
            ai.vector_stores.search(store.id, **{"query": "x", **wrong})


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


def test_chunks_are_cut_as_asked(ai):
    text = " ".join(f"Word{number} is a word of the text." for number in range(1000))
    store = ai.vector_stores.create()
    file = ai.vector_stores.files.upload_and_poll(
        vector_store_id=store.id,
        file=("words.txt", text.encode()),
        chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20}},
    )
    assert file.chunking_strategy.static.max_chunk_size_tokens == 100
    content = ai.vector_stores.files.content(file.id, vector_store_id=store.id)
    assert len(content.data) > 50 and "".join(piece.text for piece in content.data).split() == text.split()
    for sizes in [{"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0}, {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 60}]:
        with pytest.raises(openai.BadRequestError):
            ai.vector_stores.create(chunking_strategy={"type": "static", "static": sizes})


def test_wrong_requests_are_refused_with_the_reason(ai):
    store = ai.vector_stores.create()
    with pytest.raises(openai.NotFoundError):
        ai.vector_stores.files.create(store.id, file_id="file-none")
    with pytest.raises(openai.NotFoundError):
        ai.vector_stores.create(file_ids=["file-none"])
    for wrong in [
        {"metadata": {f"k{number}": "v" for number in range(17)}},
        {"metadata": {"k" * 65: "v"}},
        {"metadata": {"k": "v" * 513}},
        {"expires_after": {"anchor": "last_active_at", "days": 366}},
        {"extra_body": {"embedding_model": "none"}},
        {"extra_body": {"provider_id": "none"}},
    ]:
        with pytest.raises(openai.APIStatusError) as failure:
            ai.vector_stores.create(**wrong)
        assert failure.value.status_code in (400, 404), wrong
    for call in [ai.vector_stores.file_batches.retrieve, ai.vector_stores.file_batches.cancel]:
        with pytest.raises(openai.NotFoundError):
            call("vsfb_none", vector_store_id=store.id)


def test_vector_stores_are_listed_changed_and_paged(ai):
    made = [ai.vector_stores.create(name=f"page {number}").id for number in range(5)]
    newest = ai.vector_stores.list(limit=3)
    assert [store.id for store in newest.data] == made[:1:-1] and newest.has_more
    following = ai.vector_stores.list(limit=2, after=made[2])
    assert [store.id for store in following.data] == [made[1], made[0]]
    assert [store.id for store in ai.vector_stores.list(limit=2, before=made[2]).data] == [made[4], made[3]]
    changed = ai.vector_stores.update(made[0], name="other", metadata={"a": "b"}, expires_after={"anchor": "last_active_at", "days": 7})
    assert (changed.name, changed.metadata, changed.expires_after.days) == ("other", {"a": "b"}, 7)
    assert changed.expires_at == changed.last_active_at + 7 * 24 * 3600


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


def test_callers_do_not_reach_the_vector_stores_of_others(upstream, tmp_path):
    settings = f"server: {{auth: {{endpoint: '{upstream.url}/auth', ttl_seconds: 60}}}}"
    server = Knowledge(str(tmp_path), settings)
    try:
        one, other = (openai.OpenAI(base_url=f"{server.url}/v1", api_key=f"good-{name}", max_retries=0) for name in ("one", "other"))
        store = one.vector_stores.create(name="secret")
        file = one.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("bread.txt", BREAD.encode()))
        batch = one.vector_stores.file_batches.create(store.id, file_ids=[file.id])
        assert list(other.vector_stores.list()) == [] and list(other.files.list()) == []
        theirs = other.vector_stores.create(name="theirs")
        for call in [
            lambda: other.vector_stores.retrieve(store.id),
            lambda: other.vector_stores.update(store.id, name="mine"),
            lambda: other.vector_stores.delete(store.id),
            lambda: other.vector_stores.search(store.id, query="bread"),
            lambda: other.vector_stores.files.list(store.id),
            lambda: other.vector_stores.files.retrieve(file.id, vector_store_id=store.id),
            lambda: other.vector_stores.files.content(file.id, vector_store_id=store.id),
            lambda: other.vector_stores.files.delete(file.id, vector_store_id=store.id),
            lambda: other.vector_stores.files.update(file.id, vector_store_id=store.id, attributes={}),
            lambda: other.vector_stores.files.create(theirs.id, file_id=file.id),
            lambda: other.vector_stores.file_batches.create(theirs.id, file_ids=[file.id]),
            lambda: other.vector_stores.create(file_ids=[file.id]),
            lambda: other.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id),
            lambda: other.vector_stores.file_batches.retrieve(batch.id, vector_store_id=theirs.id),
            lambda: other.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id),
        ]:
            with pytest.raises(openai.NotFoundError):
                call()
        # The chunks cannot be reached by the routes that do not ask whose they are.
        for path, body in [
            ("/v1/vector-io/query", {"vector_db_id": store.id, "query": "bread"}),
            ("/v1/vector-io/insert", {"vector_db_id": store.id, "chunks": []}),
        ]:
            request = urllib.request.Request(
                server.url + path,
                data=json.dumps(body).encode(),
                headers={"authorization": "Bearer good-other", "content-type": "application/json"},
            )
            with pytest.raises(urllib.error.HTTPError) as failure:
                urllib.request.urlopen(request, timeout=30)
            assert failure.value.code == 400
        assert one.vector_stores.search(store.id, query="bread").data[0].file_id == file.id
    finally:
        server.kill()
