//! What is in the database: a row for a turn, an entry for each thing that happens in it.

use super::*;
use crate::meta_reference::records::Usage;
use chaski_store::{Cell, Column, Index, Record, Schema, Scope, Table};
use chaski_testkit::eventually;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("agents.db")
}

/// All turns and all entries that a file has, the oldest first.
async fn rows(path: &Path) -> (Vec<StoredTurn>, Vec<StoredEntry>) {
    let database = Database::new(Arc::new(SqliteRows::open(path, &SCHEMA).unwrap()));
    let turns = database.list(Database::query::<StoredTurn>(Scope::Upkeep)).await.unwrap();
    let entries = database.list(Database::query::<StoredEntry>(Scope::Upkeep)).await.unwrap();
    (
        turns.records.into_iter().rev().map(|held| held.record).collect(),
        entries.records.into_iter().rev().map(|held| held.record).collect(),
    )
}

/// Changes the only turn of a file, which is not under way.
pub(super) async fn change(path: &Path, edit: impl FnOnce(&mut StoredTurn)) {
    let database = Database::new(Arc::new(SqliteRows::open(path, &SCHEMA).unwrap()));
    let query = Database::query::<StoredTurn>(Scope::Upkeep);
    let row = database.list(query).await.unwrap().records.pop().expect("there is a turn");
    let mut turn = row.record.clone();
    edit(&mut turn);
    database.replace(&row, &turn).await.unwrap();
}

#[tokio::test]
async fn each_step_is_a_row_and_the_row_of_the_turn_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let script = [
        calls(&[("add", json!({ "a": 1 })), ("add", json!({ "a": 2 }))]),
        calls(&[("add", json!({ "a": 3 }))]),
        text(&["done"]),
    ];
    let world = World::at(&file(&folder), json!({ "toolgroups": ["my::math"] }), script).await;
    let turn = world.turn("go").await.turn();
    assert_eq!(turn.steps.len(), 6);
    let (turns, entries) = rows(&file(&folder)).await;
    let [row] = turns.as_slice() else { panic!("one turn: {turns:?}") };
    assert!(row.turn.steps.is_empty());
    assert_eq!(row.turn, Turn { steps: Vec::new(), ..turn.clone() });
    let steps: Vec<Step> = entries.iter().filter_map(|entry| entry.step.clone()).collect();
    assert_eq!(steps, turn.steps);
    let begun: Vec<&[String]> = entries
        .iter()
        .map(|entry| entry.begun.as_slice())
        .filter(|begun| !begun.is_empty())
        .collect();
    assert_eq!(begun, [["call1", "call2"].as_slice(), ["call3"].as_slice()]);
    let last = &entries.last().unwrap().usage;
    let used = Usage { iterations: 3, calls: 3, tokens: 30, ..row.usage };
    assert_eq!((last, row.usage), (&used, used));
    assert_eq!(world.session().await.turns, [turn]);
}

#[tokio::test]
async fn a_turn_that_failed_says_so_when_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::at(&file(&folder), json!({}), [Said::Failure]).await;
    assert!(world.turn("hi").await.error.is_some());
    let (turns, _) = rows(&file(&folder)).await;
    let which = TurnRequest {
        agent_id: world.agent_id.clone(),
        session_id: world.session_id.clone(),
        turn_id: turns[0].turn.turn_id.clone(),
    };
    let turn = world.agents.get_turn(&world.cx, which).await.unwrap().unwrap();
    assert_eq!((turn.completed_at, turn.status), (None, Some(TurnStatus::Failed)));
}

#[tokio::test]
async fn what_is_removed_leaves_no_entries() {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({ "toolgroups": ["my::math"] });
    let script = [text(&["one"]), text(&["two"])];
    let mut world = World::at(&file(&folder), config, script).await;
    world.turn("hi").await;
    world.agents.delete_session(&world.cx, world.which()).await.unwrap();
    assert_eq!(rows(&file(&folder)).await, (vec![], vec![]));

    world.session_id = world.new_session().await;
    world.turn("hi").await;
    world.agents.delete_agent(&world.cx, &world.agent_id).await.unwrap();
    assert_eq!(rows(&file(&folder)).await, (vec![], vec![]));
}

#[tokio::test]
async fn documents_are_removed_with_their_session_and_with_their_agent() {
    let config = json!({ "toolgroups": ["builtin::rag/knowledge_search"] });
    let mut world = World::new(config, (0..3).map(|_| text(&["ok"]))).await;
    let first = world.session_id.clone();
    let documents = json!([{ "content": "Tigers.", "mime_type": "text/plain" }]);
    let with_documents = json!({ "documents": documents });
    let mut databases = Vec::new();
    for _ in 0..3 {
        assert!(world.turn_with(with_documents.clone()).await.error.is_none());
        databases.push(format!("vector_db_{}", world.session_id));
        world.session_id = world.new_session().await;
    }
    databases.sort();
    assert_eq!(world.databases(), databases);
    world.session_id = first;
    world.agents.delete_session(&world.cx, world.which()).await.unwrap();
    databases.retain(|id| *id != format!("vector_db_{}", world.session_id));
    assert_eq!(world.databases(), databases);
    world.agents.delete_agent(&world.cx, &world.agent_id).await.unwrap();
    assert!(world.databases().is_empty());
}

#[tokio::test]
async fn a_turn_whose_session_is_removed_ends_and_writes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({ "toolgroups": ["my::math"] });
    let world = World::at(&file(&folder), config, [calls(&[("slow", json!({}))])]).await;
    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    *world.script.together.lock().unwrap() = Some(Arc::clone(&barrier));
    let mut events = world.open_turn().await.unwrap();
    eventually("the tool runs", || world.invoked().len() == 1).await;
    world.agents.delete_session(&world.cx, world.which()).await.unwrap();
    barrier.wait().await;
    let mut error = None;
    while let Some(event) = chaski_testkit::within("an event", events.next()).await {
        error = event.err();
    }
    assert!(world::is_conflict(&error.unwrap()));
    assert_eq!(rows(&file(&folder)).await, (vec![], vec![]));
}

static OLD_AGENTS: Table = Table { name: "agents", since: 1, columns: &[], indexes: &[] };
static OLD_SESSIONS: Table = Table {
    name: "agent_sessions",
    since: 1,
    columns: &[Column::text("agent", 1)],
    indexes: &[Index::narrow(&["agent"])],
};
static OLD_TURNS: Table = Table {
    name: "agent_turns",
    since: 1,
    columns: &[Column::text("agent", 1), Column::text("session", 1), Column::text("state", 1)],
    indexes: &[Index::narrow(&["session"]), Index::narrow(&["agent"])],
};
static OLD: Schema = Schema { version: 1, tables: &[&OLD_AGENTS, &OLD_SESSIONS, &OLD_TURNS] };

/// A turn as version 1 of the schema wrote it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct OldTurn(Value);

impl Record for OldTurn {
    const TABLE: &'static Table = &OLD_TURNS;

    fn id(&self) -> &str {
        self.0["turn"]["turn_id"].as_str().unwrap()
    }

    fn cells(&self) -> Vec<Cell> {
        let text = |value: &Value| Cell::from(value.as_str().unwrap());
        vec![text(&self.0["agent_id"]), text(&self.0["turn"]["session_id"]), text(&self.0["state"])]
    }
}

/// A turn of `session` that waits for the answer of a client, after its first inference.
fn old_turn(agent: &str, session: &str) -> OldTurn {
    let call = json!({ "call_id": "c1", "tool_name": "ask_user", "arguments": {} });
    let answer = json!({
        "role": "assistant", "content": "", "stop_reason": "end_of_turn", "tool_calls": [call],
    });
    OldTurn(json!({
        "agent_id": agent,
        "turn": {
            "turn_id": "old", "session_id": session,
            "input_messages": [{ "role": "user", "content": "hi", "context": null }],
            "steps": [{
                "step_type": "inference", "turn_id": "old", "step_id": "s1",
                "started_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:01Z",
                "model_response": answer,
            }],
            "output_message": answer, "output_attachments": [],
            "started_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:02Z",
        },
        "state": "awaiting_input", "toolgroups": [], "tool_config": null, "files": {},
        "iterations": 1, "calls": 0, "tokens": 10, "pending": [call], "begun": ["c0"],
    }))
}

#[tokio::test]
async fn turns_of_the_first_schema_are_read_and_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let (agent, session) = ("a".to_owned(), "s".to_owned());
    let config =
        json!({ "model": "m", "instructions": "", "client_tools": [{ "name": "ask_user" }] });
    let owner = World::empty(Path::new(":memory:"), []).await.cx.owner();
    {
        let database = Database::new(Arc::new(SqliteRows::open(&path, &OLD).unwrap()));
        let kept = StoredAgent {
            agent: Agent {
                agent_id: agent.clone(),
                agent_config: AgentConfig::from_json(config).unwrap(),
                created_at: "2026-01-01T00:00:00Z".to_owned(),
            },
        };
        database.insert(&owner, &kept).await.unwrap();
        let kept = StoredSession {
            agent_id: agent.clone(),
            session: Session {
                session_id: session.clone(),
                session_name: "old".to_owned(),
                turns: Vec::new(),
                started_at: "2026-01-01T00:00:00Z".to_owned(),
            },
            vector_db: None,
        };
        database.insert(&owner, &kept).await.unwrap();
        database.insert(&owner, &old_turn(&agent, &session)).await.unwrap();
    }
    let mut world = World::empty(&path, [text(&["thanks"])]).await;
    (world.agent_id, world.session_id) = (agent, session);
    let read = world.session().await.turns.pop().unwrap();
    assert_eq!(read.steps.len(), 1);
    let answer = json!([{ "call_id": "c1", "tool_name": "ask_user", "content": "yes" }]);
    let whole = world.resume("old", answer).await.turn();
    let ids: Vec<&str> = whole.steps.iter().map(Step::id).collect();
    assert_eq!((ids[0], ids.len()), ("s1", 3));
    assert_eq!(whole.output_message.content.texts("").as_deref(), Some("thanks"));
    assert_eq!(world.session().await.turns, [whole]);
    let (turns, entries) = rows(&path).await;
    assert!(turns[0].turn.steps.is_empty());
    assert_eq!(entries.len(), 3);
    let Usage { iterations, calls, tokens, .. } = turns[0].usage;
    assert_eq!((iterations, calls, tokens), (2, 0, 20));
    assert!(turns[0].begun.contains("c0"));
}
