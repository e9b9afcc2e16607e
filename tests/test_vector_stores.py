"""Vector stores with OpenAI's client: files in, the right texts out."""

import json
import random
import urllib.error
import urllib.request

import openai
import pytest

from knowledge import BREAD, PYTHON, VOLCANO, Knowledge
from server import until


@pytest.fixture(scope="module")
def knowledge(tmp_path_factory):
    server = Knowledge(str(tmp_path_factory.mktemp("knowledge")))
    yield server
    server.kill()


@pytest.fixture
def ai(knowledge):
    return knowledge.client()


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
