//! The promises of [`Relational`], as a function that every backend's tests call.

use super::{
    Batch, Cell, Column, Condition, Database, Held, Index, Order, Owner, Place, Record, Relational,
    RowError, Schema, Scope, Table, Tallied,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

static NOTES: Table = Table {
    name: "notes",
    since: 1,
    columns: &[Column::text("colour", 1), Column::integer("weight", 1)],
    indexes: &[Index::wide(&["colour"])],
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
    makes_a_batch_only_if_a_row_is_as_it_was_read(&database()).await;
    keeps_each_of_many_batches_apart(&database()).await;
    applies_a_batch_as_a_whole(&database()).await;
    counts_and_adds_up(&database()).await;
    takes_any_text(&database()).await;
    passes_over(&database()).await;
    finds_values_among_those_of_another_question(&database()).await;
    reads_each_record_of_a_page_on_its_own(&database()).await;
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

async fn makes_a_batch_only_if_a_row_is_as_it_was_read(database: &Database) {
    let me = owner("", "me");
    database.insert(&me, &note("a", "red", 1)).await.unwrap();
    let first = Held::inserted(me.clone(), note("a", "red", 1));
    assert_eq!(database.get::<Note>(&me, "a").await.unwrap(), Some(first.clone()));
    let adding = |held: &Held<Note>, id: &str| {
        database.apply(Batch::default().insert(&me, &note(id, "blue", 1)).expect(held))
    };
    adding(&first, "b").await.unwrap();
    adding(&first, "c").await.expect("what is expected is not changed by that");
    let blue = note("a", "blue", 2);
    database.replace(&first, &blue).await.unwrap();
    let refused = adding(&first, "d").await;
    assert!(matches!(refused, Err(RowError::Changed { .. })), "{refused:?}");
    assert_eq!(ids(database, Database::query(&me)).await.0, ["c", "b", "a"]);
    let second = first.replaced(blue);
    assert_eq!(database.get::<Note>(&me, "a").await.unwrap(), Some(second.clone()));
    adding(&second, "d").await.unwrap();
    database.apply(Batch::default().remove(&second)).await.unwrap();
    let refused = adding(&second, "e").await;
    assert!(matches!(refused, Err(RowError::Changed { .. })), "{refused:?}");
}

async fn keeps_each_of_many_batches_apart(database: &Database) {
    let me = owner("", "me");
    database.insert(&me, &note("taken", "red", 1)).await.unwrap();
    // Each third one fails, after a change that must not be seen.
    let batches = (0..300).map(|number| {
        let (first, second) = (number.to_string(), format!("{number}+"));
        let second = if number % 3 == 0 { "taken".to_owned() } else { second };
        let batch = Batch::default().insert(&me, &note(&first, "blue", 1));
        database.apply(batch.insert(&me, &note(&second, "blue", 1)))
    });
    let outcomes = futures_util::future::join_all(batches).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_ok(), number % 3 != 0, "{number}: {outcome:?}");
    }
    let query = Database::query::<Note>(&me).order(Order::OldestFirst).limit(1000);
    let succeeded = (0..300).filter(|number| number % 3 != 0);
    let pairs = succeeded.flat_map(|number| [number.to_string(), format!("{number}+")]);
    let expected: Vec<String> = std::iter::once("taken".to_owned()).chain(pairs).collect();
    assert_eq!(ids(database, query).await.0, expected);
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

async fn passes_over(database: &Database) {
    let me = owner("", "me");
    for id in ["a", "b", "c", "d"] {
        database.insert(&me, &note(id, "red", 1)).await.unwrap();
    }
    let all = || Database::query::<Note>(&me);
    let newest = ids(database, all().offset(1).limit(2)).await;
    assert_eq!(newest, (vec!["c".into(), "b".into()], true));
    let oldest = ids(database, all().order(Order::OldestFirst).offset(2)).await;
    assert_eq!(oldest, (vec!["c".into(), "d".into()], false));
    assert_eq!(ids(database, all().offset(9)).await, (vec![], false));
}

async fn finds_values_among_those_of_another_question(database: &Database) {
    let (me, you) = (owner("", "me"), owner("", "you"));
    for (id, colour, weight) in [("a", "red", 1), ("b", "blue", 9), ("c", "red", 9)] {
        database.insert(&me, &note(id, colour, weight)).await.unwrap();
    }
    database.insert(&you, &note("z", "green", 9)).await.unwrap();
    database.insert(&me, &note("d", "green", 1)).await.unwrap();
    let heavy = vec![Condition::more_than("weight", 5)];
    let like = Condition::among::<Note>("colour", "colour", heavy);
    let query = Database::query::<Note>(&me).with(like.clone()).order(Order::OldestFirst);
    // The heavy green one is somebody else's.
    assert_eq!(ids(database, query).await.0, ["a", "b", "c"]);
    assert_eq!(ids(database, Database::query::<Note>(&you).with(like)).await.0, ["z"]);
}

/// A record that is kept with the notes and is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Scribble(String);

impl Record for Scribble {
    const TABLE: &'static Table = &NOTES;

    fn id(&self) -> &str {
        &self.0
    }

    fn cells(&self) -> Vec<Cell> {
        vec!["".into(), 0.into()]
    }
}

async fn reads_each_record_of_a_page_on_its_own(database: &Database) {
    let me = owner("", "me");
    database.insert(&me, &note("a", "red", 1)).await.unwrap();
    database.insert(&me, &Scribble("b".to_owned())).await.unwrap();
    database.insert(&me, &note("c", "red", 1)).await.unwrap();
    assert!(database.list(Database::query::<Note>(&me)).await.is_err());
    let each = database.each(Database::query::<Note>(&me).order(Order::OldestFirst)).await.unwrap();
    let read: Vec<_> = each.iter().map(|(id, row)| (id.as_str(), row.is_ok())).collect();
    assert_eq!(read, [("a", true), ("b", false), ("c", true)]);
    let error = each.into_iter().find_map(|(_, row)| row.err()).unwrap();
    assert!(error.to_string().contains("notes/b"), "{error}");
}
