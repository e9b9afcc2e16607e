"""Datasets and their rows, with the clients of the Llama Stack API."""

import base64
import concurrent.futures
import sqlite3
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import llama_stack_client
import pytest

from conftest import start_gateway
from server import until

CSV = "input_query,score,n\nWhat is the capital of France?,0.5,1\n\"Who, exactly?\",,2\n"
ROWS = [
    {"input_query": "What is the capital of France?", "score": 0.5, "n": 1},
    {"input_query": "Who, exactly?", "score": None, "n": 2},
]


def data_url(text=CSV):
    return f"data:text/csv;base64,{base64.b64encode(text.encode()).decode()}"


def name():
    return f"dataset-{uuid.uuid4()}"


def has_old_form(client):
    """Client 0.1.7 has requests of its own for datasets, and 0.1.8 those of this API."""
    return hasattr(client, "datasetio")


def register_uri(client, dataset_id, uri):
    if has_old_form(client):
        client.datasets.register(dataset_id=dataset_id, dataset_schema={}, url={"uri": uri})
    else:
        source = {"type": "uri", "uri": uri}
        client.datasets.register(dataset_id=dataset_id, purpose="eval/messages-answer", source=source)


def append(client, dataset_id, rows):
    if has_old_form(client):
        client.datasetio.append_rows(dataset_id=dataset_id, rows=rows)
    else:
        client.post(f"/v1/datasetio/append-rows/{dataset_id}", body={"rows": rows}, cast_to=object)


def registered(client, rows=(), dataset_id=None):
    """A dataset of these rows, registered in the form of this API."""
    body = {"purpose": "eval/messages-answer", "source": {"type": "rows", "rows": list(rows)}, "dataset_id": dataset_id}
    return client.post("/v1/datasets", body=body, cast_to=object)["identifier"]


def read(client, dataset_id, **query):
    return client.get(f"/v1/datasetio/iterrows/{dataset_id}", cast_to=object, options={"params": query})


def numbered(count, start=0):
    return [{"n": number} for number in range(start, start + count)]


@pytest.fixture
def client(gateway):
    return llama_stack_client.LlamaStackClient(base_url=gateway.url, max_retries=0)


def test_the_methods_of_newer_clients_work_from_registration_to_removal(llama):
    if has_old_form(llama):
        pytest.skip("this client has requests of its own")
    source = {"type": "uri", "uri": data_url()}
    dataset = llama.datasets.register(purpose="eval/question-answer", source=source, metadata={"a": 1})
    assert (dataset.provider_id, dataset.type, dataset.source.uri) == ("localfs", "dataset", data_url())
    dataset_id = dataset.identifier
    assert dataset_id in [dataset.identifier for dataset in llama.datasets.list()]
    assert llama.datasets.retrieve(dataset_id).metadata == {"a": 1}
    page = llama.datasets.iterrows(dataset_id, limit=1)
    assert (page.data, page.next_start_index) == (ROWS[:1], 1)
    page = llama.datasets.iterrows(dataset_id, start_index=1)
    assert (page.data, page.next_start_index) == (ROWS[1:], None)
    llama.datasets.unregister(dataset_id)
    with pytest.raises(llama_stack_client.BadRequestError, match=f"Dataset '{dataset_id}' not found"):
        llama.datasets.retrieve(dataset_id)


def test_the_methods_of_older_clients_work_from_registration_to_removal(llama):
    if not has_old_form(llama):
        pytest.skip("this client has the requests of this API")
    dataset_id = name()
    schema = {"input_query": {"type": "string"}, "score": {"type": "number"}, "n": {"type": "number"}}
    llama.datasets.register(dataset_id=dataset_id, dataset_schema=schema, url={"uri": data_url()}, metadata={"a": 1})
    assert dataset_id in [dataset.identifier for dataset in llama.datasets.list()]
    dataset = llama.datasets.retrieve(dataset_id)
    assert (dataset.identifier, dataset.provider_id, dataset.type) == (dataset_id, "localfs", "dataset")
    assert dataset.metadata["a"] == 1
    page = llama.datasetio.get_rows_paginated(dataset_id=dataset_id, rows_in_page=-1)
    assert page.rows == ROWS
    assert (page.total_count, page.next_page_token) == (2, None)
    llama.datasetio.append_rows(dataset_id=dataset_id, rows=numbered(3))
    seen, token = [], None
    while True:
        page = llama.datasetio.get_rows_paginated(
            dataset_id=dataset_id, rows_in_page=2, **({"page_token": token} if token else {})
        )
        seen += page.rows
        token = page.next_page_token
        if token is None:
            break
    assert seen == ROWS + numbered(3)
    llama.datasets.unregister(dataset_id)
    assert dataset_id not in [dataset.identifier for dataset in llama.datasets.list()]
    with pytest.raises(llama_stack_client.BadRequestError, match=f"Dataset '{dataset_id}' not found"):
        llama.datasets.retrieve(dataset_id)


def test_rows_are_read_in_parts(llama):
    dataset_id = registered(llama, numbered(5))
    assert dataset_id.startswith("dataset-")
    assert read(llama, dataset_id) == {"data": numbered(5), "next_start_index": None}
    assert read(llama, dataset_id, limit=2) == {"data": numbered(2), "next_start_index": 2}
    assert read(llama, dataset_id, start_index=4, limit=2) == {"data": numbered(1, 4), "next_start_index": None}
    again = registered(llama, numbered(1, 7), dataset_id)
    assert again == dataset_id
    assert read(llama, dataset_id)["data"] == numbered(1, 7)


def test_wrong_requests_are_answered_with_what_is_wrong(llama):
    dataset_id = registered(llama)
    for call, words in [
        (lambda: read(llama, dataset_id, limit="many"), "unable to parse string as an integer"),
        (lambda: read(llama, "nope"), "Dataset `nope` not served by"),
        (lambda: append(llama, "nope", []), "Dataset `nope` not served"),
        (lambda: append(llama, dataset_id, ["x"]), "valid dictionary"),
        (lambda: llama.get(f"/v1/datasetio/rows?dataset_id={dataset_id}&rows_in_page=1&page_token=x", cast_to=object), "page_token"),
        (lambda: llama.datasets.unregister("nope"), "Dataset 'nope' not found"),
        (lambda: llama.post("/v1/datasets", body={"purpose": "x"}, cast_to=object), "post-training/messages"),
    ]:
        with pytest.raises(llama_stack_client.BadRequestError, match=words):
            call()


def test_a_dataset_of_the_hub_needs_its_provider(client):
    with pytest.raises(llama_stack_client.BadRequestError, match="Provider `huggingface` not found"):
        register_uri(client, "d", "huggingface://datasets/x")


def test_no_request_reads_the_network_or_the_files_of_the_server(client, gateway, tmp_path):
    (tmp_path / "secret.csv").write_text("n\n1\n")
    for uri in [
        f"{tmp_path}/secret.csv",
        f"file://{tmp_path}/secret.csv",
        f"file://{tmp_path}/none.csv",
        "file:///etc/passwd",
        f"{gateway.url}/v1/models",
        "http://169.254.169.254/latest/meta-data/x.json",
        "http://[::1]:1/x.csv",
        "ftp://example.com/x.csv",
    ]:
        dataset_id = name()
        register_uri(client, dataset_id, uri)
        with pytest.raises(llama_stack_client.BadRequestError, match="may not|Unsupported file type"):
            read(client, dataset_id)


class Pages(BaseHTTPRequestHandler):
    def do_GET(self):
        body = {
            "/small.csv": CSV.encode(),
            "/huge.csv": b"n\n" + b"1\n" * 20_000_000,
            "/broken.xlsx": b"PK\x03\x04 and nothing more",
        }.get(self.path)
        self.send_response(200 if body else 404)
        self.end_headers()
        try:
            self.wfile.write(body or b"")
        except OSError:
            pass

    def log_message(self, *_):
        pass


def test_addresses_are_fetched_within_limits_and_files_of_the_configuration_are_read(upstream, tmp_path):
    (tmp_path / "table.jsonl").write_text('{"n": 1}\n{"n": 2}\n')
    pages = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    place = f"127.0.0.1:{pages.server_port}"
    declared = f"datasets:\n- {{dataset_id: file, purpose: eval/messages-answer, source: {{uri: '{tmp_path}/table.jsonl'}}}}"
    server = start_gateway(upstream, f"server: {{egress_allow: ['{place}']}}\n{declared}")
    try:
        client = llama_stack_client.LlamaStackClient(base_url=server.url, max_retries=0)
        assert read(client, "file")["data"] == numbered(2, 1)
        before = server.memory()
        for path, words in [
            ("small.csv", None),
            ("none.csv", "was answered with status 404"),
            ("huge.csv", "more than 33554432 bytes"),
            ("broken.xlsx", "XLSX"),
        ]:
            dataset_id = name()
            register_uri(client, dataset_id, f"http://{place}/{path}")
            if words is None:
                assert read(client, dataset_id)["data"] == ROWS
                continue
            with pytest.raises(llama_stack_client.BadRequestError, match=words):
                read(client, dataset_id)
        assert server.memory() - before < 256 * 1024 * 1024
    finally:
        server.stop()
        pages.shutdown()


def test_a_huge_body_is_refused_and_nothing_of_it_is_kept(client, gateway):
    dataset_id = registered(client)
    body = b'{"rows": [' + b'{"n": 1},' * 20_000_000 + b'{"n": 1}]}'
    headers = {"content-type": "application/json"}
    path = f"{gateway.url}/v1/datasetio/append-rows/{dataset_id}"
    try:
        answer = httpx.post(path, content=body, headers=headers, timeout=60)
        assert answer.status_code == 413, answer.text
    except httpx.WriteError:
        pass  # It was refused before it had been sent.
    assert read(client, dataset_id) == {"data": [], "next_start_index": None}


def test_rows_that_many_clients_append_at_once_are_all_there_after_a_crash(upstream, tmp_path):
    first = start_gateway(upstream, store=str(tmp_path))
    client = llama_stack_client.LlamaStackClient(base_url=first.url, max_retries=0)
    dataset_id = registered(client)
    acknowledged = []

    def append_batch(batch):
        rows = numbered(10, batch * 10)
        append(client, dataset_id, rows)
        acknowledged.extend(row["n"] for row in rows)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        appended = [pool.submit(append_batch, batch) for batch in range(400)]
        until("some rows", lambda: len(acknowledged) >= 500)
        first.process.kill()
        first.process.wait()
        concurrent.futures.wait(appended)
    assert [future for future in appended if future.exception()], "it was killed while rows came"
    second = start_gateway(upstream, store=str(tmp_path))
    try:
        client = llama_stack_client.LlamaStackClient(base_url=second.url, max_retries=0)
        kept = [row["n"] for row in read(client, dataset_id)["data"]]
        assert len(kept) == len(set(kept))
        assert set(acknowledged) <= set(kept)
        batches = {number // 10 for number in kept}
        assert len(kept) == 10 * len(batches), "each request was kept whole or not at all"
    finally:
        second.stop()


def test_spans_are_exported_to_a_dataset(llama, served):
    request_id = f"request-{uuid.uuid4()}"
    llama.inference.chat_completion(
        model_id=served.chat,
        messages=[{"role": "user", "content": "Say hello."}],
        sampling_params={"strategy": {"type": "greedy"}, "max_tokens": 8},
        extra_headers={"x-request-id": request_id},
    )
    filters = [{"key": "request_id", "op": "eq", "value": request_id}]
    wanted = ["gen_ai.request.model", "gen_ai.usage.output_tokens"]
    spans = until(
        "the spans", lambda: llama.telemetry.query_spans(attribute_filters=filters, attributes_to_return=wanted)
    )
    dataset_id = registered(llama)
    for _ in range(2):
        llama.telemetry.save_spans_to_dataset(
            attribute_filters=filters, attributes_to_save=wanted, dataset_id=dataset_id
        )
    rows = read(llama, dataset_id)["data"]
    assert len(rows) == 2 * len(spans), "the second export follows the first"
    row, span = rows[0], spans[0]
    assert set(row) == {"trace_id", "span_id", "parent_span_id", "name", "start_time", "end_time", *wanted}
    assert (row["trace_id"], row["span_id"], row["name"]) == (span.trace_id, span.span_id, span.name)
    assert row["gen_ai.request.model"] == served.chat
    assert row["start_time"] <= row["end_time"]


def test_the_table_of_the_reference_stays_in_the_file(upstream, tmp_path):
    """`kvstore` names a file that the reference keeps its datasets in."""
    with sqlite3.connect(tmp_path / "rows.db") as database:
        database.execute("CREATE TABLE kvstore (key TEXT PRIMARY KEY, value TEXT, expiration TIMESTAMP)")
        database.execute("INSERT INTO kvstore VALUES ('localfs_datasets:d', '{}', NULL)")
    database.close()
    server = start_gateway(upstream, store=str(tmp_path))
    client = llama_stack_client.LlamaStackClient(base_url=server.url, max_retries=0)
    dataset_id = registered(client)
    append(client, dataset_id, numbered(1))
    assert read(client, dataset_id)["data"] == numbered(1)
    server.stop()
    with sqlite3.connect(tmp_path / "rows.db") as database:
        assert database.execute("SELECT key FROM kvstore").fetchall() == [("localfs_datasets:d",)]
    database.close()
