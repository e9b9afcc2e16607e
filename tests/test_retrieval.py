"""Vector databases, chunks and the RAG tool, with the clients of the Llama Stack API."""

import base64
import http.server
import threading
import uuid

import llama_stack_client
import pytest

from conftest import start_gateway
from hostile_files import Canary, hostile_files

FACTS = {
    "llamas": "Llamas are domesticated camelids of the Andes that carry loads over mountain passes.",
    "rust": "The borrow checker of the Rust language proves at compile time that references are valid.",
    "bread": "Sourdough bread rises with wild yeast and needs many hours of fermentation.",
    "moon": "The gravity of the Moon causes the tides of the oceans on Earth.",
}


def chunks():
    return [
        {"content": text, "metadata": {"document_id": name, "length": len(text)}} for name, text in FACTS.items()
    ]


@pytest.fixture
def database(llama, served):
    name = f"db-{uuid.uuid4()}"
    llama.vector_dbs.register(vector_db_id=name, embedding_model=served.embedding)
    yield name
    llama.vector_dbs.unregister(vector_db_id=name)


def documents_of(answer):
    return [chunk.metadata["document_id"] for chunk in answer.chunks]


def text_of(result):
    return "".join(item.text for item in result.content)


def test_vector_databases_are_registered_listed_retrieved_and_removed(llama, served):
    made = llama.vector_dbs.register(vector_db_id="team/docs", embedding_model=served.embedding, embedding_dimension=7)
    assert (made.identifier, made.embedding_dimension) == ("team/docs", served.dimensions)
    assert made.provider_id in {provider.provider_id for provider in llama.providers.list()}
    found = llama.vector_dbs.retrieve("team/docs")
    assert found.embedding_model == served.embedding
    assert "team/docs" in {db.identifier for db in llama.vector_dbs.list()}
    llama.vector_dbs.unregister("team/docs")
    assert "team/docs" not in {db.identifier for db in llama.vector_dbs.list()}
    with pytest.raises(llama_stack_client.BadRequestError, match="Vector DB 'team/docs' not found"):
        llama.vector_dbs.retrieve("team/docs")


def test_a_model_that_does_not_embed_makes_no_database(llama, served):
    with pytest.raises(llama_stack_client.BadRequestError, match="is not an embedding model"):
        llama.vector_dbs.register(vector_db_id="x", embedding_model=served.chat)


def test_chunks_come_back_with_their_facts(llama, database):
    llama.vector_io.insert(vector_db_id=database, chunks=chunks())
    answer = llama.vector_io.query(vector_db_id=database, query=FACTS["rust"], params={"max_chunks": 2})
    assert len(answer.chunks) == len(answer.scores) == 2
    assert answer.chunks[0].content == FACTS["rust"]
    assert answer.chunks[0].metadata == {"document_id": "rust", "length": len(FACTS["rust"])}
    assert answer.scores == sorted(answer.scores, reverse=True)


def test_the_same_chunks_are_kept_once(llama, database):
    for _ in range(3):
        llama.vector_io.insert(vector_db_id=database, chunks=chunks())
    answer = llama.vector_io.query(vector_db_id=database, query="anything", params={"max_chunks": 50})
    assert sorted(documents_of(answer)) == sorted(FACTS)


def test_filters_choose_chunks(llama, database):
    llama.vector_io.insert(vector_db_id=database, chunks=chunks())
    one_of = {"type": "in", "key": "document_id", "value": ["moon", "bread"]}
    answer = llama.vector_io.query(vector_db_id=database, query="x", params={"max_chunks": 9, "filters": one_of})
    assert sorted(documents_of(answer)) == ["bread", "moon"]
    long = {"type": "and", "filters": [one_of, {"type": "gt", "key": "length", "value": len(FACTS["moon"])}]}
    answer = llama.vector_io.query(vector_db_id=database, query="x", params={"max_chunks": 9, "filters": long})
    assert documents_of(answer) == ["bread"]


def test_words_are_searched_too(llama, database):
    llama.vector_io.insert(vector_db_id=database, chunks=chunks())
    answer = llama.vector_io.query(vector_db_id=database, query="yeast", params={"mode": "keyword"})
    assert documents_of(answer) == ["bread"]
    answer = llama.vector_io.query(vector_db_id=database, query="tides", params={"mode": "hybrid"})
    assert documents_of(answer)[0] == "moon"


def test_what_cannot_be_inserted_or_asked_is_refused_with_a_reason(llama, database):
    refused = llama_stack_client.BadRequestError
    with pytest.raises(refused, match="document_id"):
        llama.vector_io.insert(vector_db_id=database, chunks=[{"content": "x", "metadata": {}}])
    with pytest.raises(refused, match="not served by"):
        llama.vector_io.insert(vector_db_id="absent", chunks=chunks())
    with pytest.raises(refused, match="'vector', 'keyword' or 'hybrid'"):
        llama.vector_io.query(vector_db_id=database, query="x", params={"mode": "telepathy"})
    with pytest.raises(refused, match="greater than or equal to 1"):
        llama.vector_io.query(vector_db_id=database, query="x", params={"max_chunks": 0})


def test_meaning_is_found(embedded):
    client = llama_stack_client.LlamaStackClient(base_url=embedded.url, max_retries=0, timeout=120)
    client.vector_dbs.register(vector_db_id="meaning", embedding_model=embedded.embedding)
    client.vector_io.insert(vector_db_id="meaning", chunks=chunks())
    for question, document in [
        ("Which animals transport goods in South America?", "llamas"),
        ("memory safety in programming", "rust"),
        ("How is a loaf baked?", "bread"),
        ("Why does the sea level change twice a day?", "moon"),
    ]:
        for mode in ["vector", "hybrid"]:
            params = {"max_chunks": 1, "mode": mode}
            answer = client.vector_io.query(vector_db_id="meaning", query=question, params=params)
            assert documents_of(answer) == [document], (question, mode)
    params = {"max_chunks": 4, "score_threshold": 0.8}
    answer = client.vector_io.query(vector_db_id="meaning", query=FACTS["moon"], params=params)
    assert documents_of(answer) == ["moon"]


def test_documents_become_a_context(llama, database):
    documents = [
        {"document_id": "llamas", "content": FACTS["llamas"], "mime_type": "text/plain", "metadata": {"kind": "animal"}},
        {
            "document_id": "moon",
            "content": "data:text/plain;base64," + base64.b64encode(FACTS["moon"].encode()).decode(),
            "metadata": {},
        },
    ]
    llama.tool_runtime.rag_tool.insert(documents=documents, vector_db_id=database, chunk_size_in_tokens=256)
    result = llama.tool_runtime.rag_tool.query(content=FACTS["moon"], vector_db_ids=[database])
    text = text_of(result)
    assert text.startswith("knowledge_search tool found 2 chunks:\nBEGIN of knowledge_search tool results.\n")
    assert f"Result 1:\nDocument_id:moon\nContent: {FACTS['moon']}\n" in text
    assert text.endswith("END of knowledge_search tool results.\n")
    assert result.to_dict()["metadata"]["document_ids"] == ["moon", "llamas"]
    only = {"max_chunks": 5, "filters": {"type": "eq", "key": "kind", "value": "animal"}}
    result = llama.tool_runtime.rag_tool.query(content="x", vector_db_ids=[database], query_config=only)
    assert result.to_dict()["metadata"]["document_ids"] == ["llamas"]


def test_a_document_that_is_inserted_again_is_replaced(llama, database):
    def insert(text):
        document = {"document_id": "d", "content": text, "metadata": {}}
        llama.tool_runtime.rag_tool.insert(documents=[document], vector_db_id=database, chunk_size_in_tokens=16)

    insert(" ".join(f"Sentence number {number} of the first version." for number in range(40)))
    insert("The second version.")
    answer = llama.vector_io.query(vector_db_id=database, query="version", params={"max_chunks": 50})
    assert [chunk.content for chunk in answer.chunks] == ["The second version."]


def test_a_context_keeps_to_its_tokens(llama, database):
    documents = [
        {"document_id": str(number), "content": "word " * 60 + str(number), "metadata": {}} for number in range(5)
    ]
    llama.tool_runtime.rag_tool.insert(documents=documents, vector_db_id=database, chunk_size_in_tokens=512)
    config = {"max_chunks": 5, "max_tokens_in_context": 150}
    result = llama.tool_runtime.rag_tool.query(content="word", vector_db_ids=[database], query_config=config)
    assert len(result.to_dict()["metadata"]["document_ids"]) == 2


def test_nothing_asked_is_no_context(llama):
    assert llama.tool_runtime.rag_tool.query(content="x", vector_db_ids=[]).content is None


def test_addresses_are_fetched_where_that_is_allowed(upstream):
    class Files(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            page = b"<html><head><title>t</title><script>no()</script></head><body><h1>Head</h1><p>A paragraph.</p></body>"
            self.send_response(200 if self.path == "/page" else 404)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            pass

    files = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=files.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{files.server_port}"
    server = start_gateway(upstream, f"server: {{egress_allow: ['{host}']}}")
    try:
        client = llama_stack_client.LlamaStackClient(base_url=server.url, max_retries=0, timeout=120)
        client.vector_dbs.register(vector_db_id="pages", embedding_model="embedding-model")

        def insert(address):
            document = {"document_id": "page", "content": {"uri": address}, "metadata": {}}
            client.tool_runtime.rag_tool.insert(documents=[document], vector_db_id="pages", chunk_size_in_tokens=128)

        insert(f"http://{host}/page")
        text = text_of(client.tool_runtime.rag_tool.query(content="head", vector_db_ids=["pages"]))
        assert "A paragraph." in text and "<p>" not in text and "no()" not in text
        for address, reason in [
            (f"http://{host}/gone", "status 404"),
            (f"http://127.0.0.1:{server.port}/v1/models", "document `page`"),
            ("http://169.254.169.254/latest/meta-data", "document `page`"),
            ("file:///etc/passwd", "files of the server are not read"),
        ]:
            with pytest.raises(llama_stack_client.BadRequestError, match=reason):
                insert(address)
    finally:
        server.stop()
        files.shutdown()


def test_addresses_of_this_machine_are_not_asked_however_they_are_written(upstream):
    canary = Canary()
    port = canary.server.server_port

    class Sender(http.server.BaseHTTPRequestHandler):
        """Sends whoever asks on to the canary."""

        def do_GET(self):
            self.send_response(int(self.path[1:4]))
            self.send_header("location", f"http://127.0.0.1:{port}/sent")
            self.end_headers()

        def log_message(self, *_):
            pass

    sender = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sender)
    threading.Thread(target=sender.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{sender.server_port}"
    server = start_gateway(upstream, f"server: {{egress_allow: ['{host}']}}")
    addresses = [
        *(f"http://{name}:{port}/x" for name in ["127.0.0.1", "localhost", "0.0.0.0", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::]"]),
        *(f"http://{name}:{port}/x" for name in ["[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "127.0.0.1.", "127。0。0。1"]),
        f"http://good@127.0.0.1:{port}/x",
        f"http://good\\@127.0.0.1:{port}/x",
        f"http://127.0.0.1:{port}#@good/x",
        f"http:///127.0.0.1:{port}/x",
        f"HTTP://127.0.0.1:{port}/x",
        f"ftp://127.0.0.1:{port}/x",
        f"gopher://127.0.0.1:{port}/x",
        f"jar:http://127.0.0.1:{port}/x!/y",
        "unix:/tmp/x",
        "file:///etc/passwd",
        *(f"http://{host}/{status}" for status in (301, 302, 307, 308)),
    ]
    try:
        client = llama_stack_client.LlamaStackClient(base_url=server.url, max_retries=0, timeout=120)
        client.vector_dbs.register(vector_db_id="pages", embedding_model="embedding-model")
        for address in addresses:
            document = {"document_id": "page", "content": {"uri": address}, "metadata": {}}
            with pytest.raises(llama_stack_client.BadRequestError):
                client.tool_runtime.rag_tool.insert(documents=[document], vector_db_id="pages", chunk_size_in_tokens=128)
        assert canary.asked == []
    finally:
        server.stop()
        sender.shutdown()
        canary.stop()


def test_hostile_documents_are_refused_and_stop_nothing(llama, database, tmp_path):
    canary = Canary()
    secret = tmp_path / "secret.txt"
    secret.write_text("the planted secret")
    refused = set()
    try:
        for name, content in hostile_files(canary, str(secret)).items():
            if name.startswith("deep."):
                continue  # Without its name, this is only a long text.
            address = "data:application/octet-stream;base64," + base64.b64encode(content).decode()
            document = {"document_id": name, "content": {"uri": address}, "metadata": {}}
            try:
                llama.tool_runtime.rag_tool.insert(documents=[document], vector_db_id=database, chunk_size_in_tokens=512)
            except llama_stack_client.APIStatusError as error:
                assert error.status_code in (400, 408, 413, 504), (name, error)
                assert name in str(error) and str(tmp_path) not in str(error)
                refused.add(name)
        assert {"bomb.docx", "many.docx", "linked.docx", "broken.pdf", "bomb.txt.gz"} <= refused
        assert canary.asked == []
        llama.vector_io.insert(vector_db_id=database, chunks=chunks())
        answer = llama.vector_io.query(vector_db_id=database, query="llamas of the Andes", params={"max_chunks": 50})
        assert set(FACTS) <= set(documents_of(answer))
        assert not any("planted secret" in chunk.content or "lollol" in chunk.content for chunk in answer.chunks)
    finally:
        canary.stop()


def test_what_was_inserted_survives_the_end_of_the_process(upstream, tmp_path):
    def client_of(server):
        return llama_stack_client.LlamaStackClient(base_url=server.url, max_retries=0, timeout=120)

    first = start_gateway(upstream, store=str(tmp_path))
    try:
        client = client_of(first)
        client.vector_dbs.register(vector_db_id="kept", embedding_model="embedding-model")
        client.vector_io.insert(vector_db_id="kept", chunks=chunks())
        first.process.kill()
        first.process.wait()
    finally:
        first.stop()
    second = start_gateway(upstream, store=str(tmp_path))
    try:
        client = client_of(second)
        assert [db.identifier for db in client.vector_dbs.list()] == ["kept"]
        answer = client.vector_io.query(vector_db_id="kept", query=FACTS["moon"], params={"max_chunks": 1})
        assert documents_of(answer) == ["moon"]
    finally:
        second.stop()
