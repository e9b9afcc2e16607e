//! The promises of [`Relational`], as a function that every backend's tests call.

use super::{
    Batch, Cell, Column, Condition, Database, Order, Owner, Place, Record, Relational, RowError,
    Schema, Scope, Table, Tallied,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

static NOTES: Table = Table {
    name: "notes",
    since: 1,
    columns: &[Column::text("colour", 1), Column::integer("weight", 1)],
    indexes: &[&["colour"]],
};

/// The tables that a backend must have for the contract.
pub(crate) static SCHEMA: Schema = Schema { version: 1, tables: &[&NOTES] };

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Note {
    id: String,
    colour: String,
    weight: i64,
}

impl Record for Note {
    const TABLE: &'static Table = &NOTES;

    fn id(&self) -> &str {
        &self.id
    }

    fn cells(&self) -> Vec<Cell> {
        vec![self.colour.as_str().into(), self.weight.into()]
    }
}

fn note(id: &str, colour: &str, weight: i64) -> Note {
    Note { id: id.to_owned(), colour: colour.to_owned(), weight }
}

fn owner(tenant: &str, principal: &str) -> Owner {
    Owner { tenant: tenant.to_owned(), principal: principal.to_owned() }
}

/// Everything a relational backend promises, on fresh databases with [`SCHEMA`] made by `make`.
pub(crate) async fn relational<S: Relational>(make: impl Fn() -> S) {
    let database = || Database::new(Arc::new(make()));
    keeps_owners_apart(&database()).await;
    pages_in_both_directions(&database()).await;
    replaces_only_what_has_not_changed(&database()).await;
    applies_a_batch_as_a_whole(&database()).await;
    counts_and_adds_up(&database()).await;
    takes_any_text(&database()).await;
}

async fn ids(database: &Database, query: super::Query<Note>) -> (Vec<String>, bool) {
    let page = database.list(query).await.unwrap();
    (page.records.into_iter().map(|held| held.record.id).collect(), page.has_more)
}

async fn keeps_owners_apart(database: &Database) {
    let (mine, theirs) = (owner("t", "me"), owner("t", "you"));
    let elsewhere = owner("u", "me");
    database.insert(&mine, &note("a", "red", 1)).await.unwrap();
    assert!(database.get::<Note>(&mine, "a").await.unwrap().is_some());
    for other in [&theirs, &elsewhere, &Owner::default()] {
        assert!(database.get::<Note>(other, "a").await.unwrap().is_none());
        assert_eq!(ids(database, Database::query(other)).await, (vec![], false));
        let batch = Batch::default().clear::<Note>(other, vec![Condition::is("id", "a")]);
        database.apply(batch).await.unwrap();
        let taken = database.insert(other, &note("a", "blue", 2)).await;
        assert!(matches!(taken, Err(RowError::Exists { .. })), "{taken:?}");
        let query = Database::query::<Note>(other).place(Place::After("a".to_owned()));
        let lost = database.list(query).await;
        assert!(matches!(lost, Err(RowError::NoPlace { .. })), "{lost:?}");
    }
    let seen = database.get::<Note>(Scope::Upkeep, "a").await.unwrap().unwrap();
    assert_eq!((seen.owner(), seen.record.weight), (&mine, 1));
}

async fn pages_in_both_directions(database: &Database) {
    let me = owner("", "me");
    for (index, id) in ["e", "d", "c", "b", "a"].into_iter().enumerate() {
        let colour = if index % 2 == 0 { "red" } else { "blue" };
        database.insert(&me, &note(id, colour, 0)).await.unwrap();
        database.insert(&owner("", "you"), &note(&format!("x{id}"), "red", 0)).await.unwrap();
    }
    let page = |order, place, limit| {
        ids(database, Database::query(&me).order(order).place(place).limit(limit))
    };
    let after = |id: &str| Place::After(id.to_owned());
    let before = |id: &str| Place::Before(id.to_owned());
    let is = |found: (Vec<String>, bool), expected: &[&str], more: bool| {
        assert_eq!(found, (expected.iter().map(ToString::to_string).collect(), more));
    };
    is(page(Order::NewestFirst, Place::Start, 2).await, &["a", "b"], true);
    is(page(Order::NewestFirst, after("b"), 2).await, &["c", "d"], true);
    is(page(Order::NewestFirst, after("d"), 2).await, &["e"], false);
    is(page(Order::NewestFirst, after("e"), 2).await, &[], false);
    is(page(Order::NewestFirst, before("d"), 2).await, &["b", "c"], true);
    is(page(Order::NewestFirst, before("b"), 2).await, &["a"], false);
    is(page(Order::OldestFirst, Place::Start, 9).await, &["e", "d", "c", "b", "a"], false);
    is(page(Order::OldestFirst, after("d"), 1).await, &["c"], true);
    is(page(Order::OldestFirst, before("c"), 5).await, &["e", "d"], false);
    let red = Database::query(&me).with(Condition::is("colour", "red")).order(Order::OldestFirst);
    is(ids(database, red.clone()).await, &["e", "c", "a"], false);
    is(ids(database, red.place(after("e")).limit(1)).await, &["c"], true);
}

async fn replaces_only_what_has_not_changed(database: &Database) {
    let me = owner("", "me");
    database.insert(&me, &note("a", "red", 1)).await.unwrap();
    let held = database.get::<Note>(&me, "a").await.unwrap().unwrap();
    database.replace(&held, &note("a", "blue", 2)).await.unwrap();
    let late = database.replace(&held, &note("a", "green", 3)).await;
    assert!(matches!(late, Err(RowError::Changed { .. })), "{late:?}");
    let removed = database.apply(Batch::default().remove(&held)).await;
    assert!(matches!(removed, Err(RowError::Changed { .. })), "{removed:?}");
    let held = database.get::<Note>(&me, "a").await.unwrap().unwrap();
    assert_eq!(held.record, note("a", "blue", 2));
    let blue = Database::query::<Note>(&me).with(Condition::is("colour", "blue"));
    assert_eq!(ids(database, blue).await.0, ["a"], "the columns change with the record");
    database.apply(Batch::default().remove(&held)).await.unwrap();
    assert!(database.get::<Note>(&me, "a").await.unwrap().is_none());
}

async fn applies_a_batch_as_a_whole(database: &Database) {
    let me = owner("", "me");
    database.insert(&me, &note("taken", "red", 1)).await.unwrap();
    let batch = Batch::default()
        .insert(&me, &note("new", "red", 1))
        .clear::<Note>(&me, vec![Condition::is("id", "taken")])
        .insert(&me, &note("new", "red", 1));
    assert!(database.apply(batch).await.is_err());
    assert_eq!(ids(database, Database::query(&me)).await.0, ["taken"]);
    database.apply(Batch::default()).await.unwrap();
}

async fn counts_and_adds_up(database: &Database) {
    let me = owner("", "me");
    for (id, colour, weight) in [("a", "red", 1), ("b", "blue", 2), ("c", "red", 3), ("d", "", 4)] {
        database.insert(&me, &note(id, colour, weight)).await.unwrap();
    }
    database.insert(&owner("", "you"), &note("z", "red", 100)).await.unwrap();
    let heavy = vec![Condition::more_than("weight", 1), Condition::is_not("colour", "")];
    let tallied = |colour: &str, rows, sum| Tallied { value: Cell::from(colour), rows, sum };
    assert_eq!(
        database.tally::<Note>(&me, heavy, "colour", "weight").await.unwrap(),
        [tallied("blue", 1, 2), tallied("red", 1, 3)]
    );
    let some = vec![Condition::one_of("id", ["a", "d", "no"]), Condition::at_most("weight", 3)];
    assert_eq!(
        database.tally::<Note>(&me, some, "colour", "weight").await.unwrap(),
        [tallied("red", 1, 1)]
    );
    let none = vec![Condition::one_of("id", Vec::<&str>::new())];
    assert_eq!(database.tally::<Note>(&me, none, "colour", "weight").await.unwrap(), []);
}

async fn takes_any_text(database: &Database) {
    let hostile = [
        "'; DROP TABLE notes; --",
        "\" OR 1=1",
        "%",
        "_",
        "$.id",
        "\\",
        "[a]",
        "a\u{0}b",
        "",
        "🏃 é",
        &"x".repeat(65_536),
    ];
    for text in hostile {
        let me = owner(text, text);
        database.insert(&me, &note(text, text, 0)).await.unwrap();
        let held = database.get::<Note>(&me, text).await.unwrap().unwrap();
        assert_eq!((held.record.colour.as_str(), held.owner()), (text, &me));
        let same = Database::query::<Note>(Scope::Upkeep).with(Condition::is("colour", text));
        assert_eq!(ids(database, same).await.0, [text]);
    }
}
