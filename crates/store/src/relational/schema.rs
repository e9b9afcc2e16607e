//! Tables, declared as data.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    Integer,
    Text,
}

/// A column that questions are asked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub kind: ColumnKind,
    /// The version of the schema that brought it. Rows that are older hold 0 or an empty text.
    pub since: u32,
}

impl Column {
    pub const fn integer(name: &'static str, since: u32) -> Self {
        Self { name, kind: ColumnKind::Integer, since }
    }

    pub const fn text(name: &'static str, since: u32) -> Self {
        Self { name, kind: ColumnKind::Text, since }
    }
}

/// A table. Every table has, before its declared columns: the place in the order of insertion, the
/// id, the tenant, the owner, the version of the row and the record itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    pub name: &'static str,
    /// The version of the schema that brought it.
    pub since: u32,
    pub columns: &'static [Column],
    /// What rows are found by, beside owner and id.
    pub indexes: &'static [Index],
}

/// An index of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    pub columns: &'static [&'static str],
    /// Whether a value of the first column finds fewer rows than an owner does.
    pub is_narrow: bool,
}

impl Index {
    /// An index whose first column holds ids: the few rows with one of them belong to one owner.
    pub const fn narrow(columns: &'static [&'static str]) -> Self {
        Self { columns, is_narrow: true }
    }

    /// An index whose first column holds what rows of many owners have alike, such as a state, or
    /// numbers that are compared by size. Questions for the rows of an owner do not use it for
    /// equal values.
    pub const fn wide(columns: &'static [&'static str]) -> Self {
        Self { columns, is_narrow: false }
    }
}

/// The tables of a database. To change it: raise `version`, and give what is new that version.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    pub version: u32,
    pub tables: &'static [&'static Table],
}

/// The statements that bring a database from `version` to that of the schema. They are the same for
/// every database but for the type of the counter.
pub(super) fn migration(schema: &Schema, version: u32, counter: &str) -> Vec<String> {
    let mut statements = Vec::new();
    for table in schema.tables {
        let name = table.name;
        if table.since > version {
            let mut columns = vec![
                format!("seq {counter}"),
                "id TEXT NOT NULL UNIQUE".to_owned(),
                "tenant TEXT NOT NULL".to_owned(),
                "owner TEXT NOT NULL".to_owned(),
                "version BIGINT NOT NULL".to_owned(),
                "body TEXT NOT NULL".to_owned(),
            ];
            columns.extend(table.columns.iter().map(declared));
            statements.push(format!("CREATE TABLE {name} ({})", columns.join(", ")));
            statements.push(format!("CREATE INDEX {name}_by_owner ON {name} (tenant, owner, seq)"));
        } else {
            let new = table.columns.iter().filter(|column| column.since > version);
            statements.extend(
                new.map(|column| format!("ALTER TABLE {name} ADD COLUMN {}", declared(column))),
            );
        }
        statements.extend(table.indexes.iter().map(|Index { columns, .. }| {
            let (words, list) = (columns.join("_"), columns.join(", "));
            format!("CREATE INDEX IF NOT EXISTS {name}_by_{words} ON {name} ({list}, seq)")
        }));
    }
    statements
}

fn declared(column: &Column) -> String {
    let kind = match column.kind {
        ColumnKind::Integer => "BIGINT NOT NULL DEFAULT 0",
        ColumnKind::Text => "TEXT NOT NULL DEFAULT ''",
    };
    format!("{} {kind}", column.name)
}
