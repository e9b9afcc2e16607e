use super::{COUNTER, Clause, SqliteRows};
use crate::{
    Batch, Cell, Column, Condition, Database, Index, Owner, Record, Schema, Scope, StoreError,
    Table,
    relational::{
        contract::{SCHEMA, relational},
        schema::migration,
    },
};
use rusqlite::{Connection, params_from_iter};
use serde::{Deserialize, Serialize};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

async fn files_keep_the_contract(open: impl Fn(PathBuf) -> Result<SqliteRows, StoreError>) {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    relational(|| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        open(folder.path().join(format!("{number}.db"))).unwrap()
    })
    .await;
}

#[tokio::test]
async fn rows_in_a_file_keep_the_contract() {
    files_keep_the_contract(|path| SqliteRows::open(path, &SCHEMA)).await;
}

#[tokio::test]
async fn rows_that_nobody_waits_for_keep_the_contract() {
    files_keep_the_contract(|path| SqliteRows::open_in_background(path, &SCHEMA)).await;
}

#[tokio::test]
async fn rows_in_memory_keep_the_contract() {
    relational(|| SqliteRows::open(":memory:", &SCHEMA).unwrap()).await;
}

static OLD: Table =
    Table { name: "things", since: 1, columns: &[Column::text("kind", 1)], indexes: &[] };
static NEW: Table = Table {
    name: "things",
    since: 1,
    columns: &[Column::text("kind", 1), Column::integer("size", 2), Column::text("place", 2)],
    indexes: &[Index::narrow(&["place", "kind"]), Index::wide(&["size"])],
};
static OLD_SCHEMA: Schema = Schema { version: 1, tables: &[&OLD] };
static NEW_SCHEMA: Schema = Schema { version: 2, tables: &[&NEW, &SECOND] };
static SECOND: Table = Table { name: "others", since: 2, columns: &[], indexes: &[] };

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Before(String);

impl Record for Before {
    const TABLE: &'static Table = &OLD;
    fn id(&self) -> &str {
        &self.0
    }
    fn cells(&self) -> Vec<Cell> {
        vec!["k".into()]
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct After(String);

impl Record for After {
    const TABLE: &'static Table = &NEW;
    fn id(&self) -> &str {
        &self.0
    }
    fn cells(&self) -> Vec<Cell> {
        vec!["k".into(), 7.into(), "p".into()]
    }
}

#[tokio::test]
async fn an_older_file_is_brought_up_to_date_and_a_newer_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/deep/rows.db");
    let me = Owner::default();
    {
        let database = Database::new(Arc::new(SqliteRows::open(&path, &OLD_SCHEMA).unwrap()));
        database.insert(&me, &Before("a".to_owned())).await.unwrap();
    }
    for _ in 0..2 {
        let database = Database::new(Arc::new(SqliteRows::open(&path, &NEW_SCHEMA).unwrap()));
        let held = database.get::<After>(&me, "a").await.unwrap().unwrap();
        let batch = Batch::default().insert(&me, &After("b".to_owned()));
        database.apply(batch).await.unwrap();
        let sized = Database::query::<After>(&me).with(Condition::is("size", 7));
        assert_eq!(database.list(sized).await.unwrap().records.len(), 1);
        assert_eq!(held.record.0, "a");
        database
            .apply(Batch::default().clear::<After>(&me, vec![Condition::is("id", "b")]))
            .await
            .unwrap();
    }
    let error = SqliteRows::open(&path, &OLD_SCHEMA).err().unwrap();
    assert!(error.to_string().contains("newer version"), "{error}");
}

#[tokio::test]
async fn two_processes_change_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.db");
    let open = || Database::new(Arc::new(SqliteRows::open(&path, &OLD_SCHEMA).unwrap()));
    let (one, two) = (open(), open());
    let me = Owner::default();
    for round in 0..20 {
        let (a, b) = (Before(format!("a{round}")), Before(format!("b{round}")));
        let (first, second) = tokio::join!(one.insert(&me, &a), two.insert(&me, &b));
        first.unwrap();
        second.unwrap();
    }
    let query = || Database::query::<Before>(&me);
    assert_eq!(one.list(query()).await.unwrap().records.len(), 40);
    assert_eq!(two.list(query()).await.unwrap().records.len(), 40);
}

#[test]
fn rows_of_an_owner_are_found_by_the_narrowest_index() {
    let connection = Connection::open_in_memory().unwrap();
    for statement in migration(&NEW_SCHEMA, 0, COUNTER) {
        connection.execute_batch(&statement).unwrap();
    }
    let scope = Scope::from(&Owner::default());
    let plan = |condition: Condition| -> String {
        let clause = Clause::new(&NEW, &scope, &[condition]);
        let statement = format!(
            "EXPLAIN QUERY PLAN SELECT body FROM things WHERE {} ORDER BY seq",
            clause.text
        );
        let parameters = params_from_iter(&clause.parameters);
        connection.query_row(&statement, parameters, |row| row.get("detail")).unwrap()
    };
    let by = |index: &str| format!("SEARCH things USING INDEX {index}");
    let owners = by("things_by_owner (tenant=?");
    assert!(plan(Condition::is("place", "p")).starts_with(&by("things_by_place_kind (place=?)")));
    let places = Condition::one_of("place", ["p", "q"]);
    assert!(plan(places).starts_with(&by("things_by_place_kind (place=?)")));
    let among = |condition| Condition::among::<After>("id", "place", vec![condition]);
    let id = by("sqlite_autoindex_things_1 (id=?)");
    assert!(plan(Condition::is("id", "a")).starts_with(&id));
    assert!(plan(among(Condition::is("place", "p"))).starts_with(&id));
    // Many rows of everybody may be like this.
    assert!(plan(Condition::is("size", 1)).starts_with(&owners));
    assert!(plan(Condition::is("kind", "k")).starts_with(&owners));
    assert!(plan(among(Condition::is("size", 1))).starts_with(&owners));
    assert!(plan(Condition::more_than("size", 1)).starts_with(&owners));
}
