//! Blocks: spans of one owner that are written together, as one row.

use super::{
    ids::TraceId,
    index::HashMap,
    records::{Part, StoredBlock, StoredSpan, now},
};
use chaski_store::{Condition, Database, Held, Order, Owner, Query, RowError, Scope};
use std::sync::Arc;
use uuid::Uuid;

/// The most spans of a block, all of which is read for one trace of it.
pub(super) const SPANS: usize = 128;
/// The spans that most traces have.
const USUAL: usize = 2;
/// The largest block, in bytes; a span that is larger has one for itself.
const LARGEST: usize = 64 * 1024;

/// The id of a block: when it was written, and a random number. Later blocks have greater ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BlockId(u128);

impl BlockId {
    /// The id of a row.
    pub(super) fn read(text: &str) -> Option<Self> {
        u128::from_str_radix(text, 16).ok().map(Self)
    }

    /// When it was written.
    pub(super) fn written(self) -> i64 {
        i64::try_from(self.0 >> 64).unwrap_or(i64::MAX)
    }

    pub(super) fn text(self) -> String {
        format!("{:032x}", self.0)
    }

    /// What a row with one of these ids is like.
    pub(super) fn any(ids: &[Self]) -> Condition {
        let texts: Vec<String> = ids.iter().map(|id| id.text()).collect();
        Condition::one_of("id", texts.iter().map(String::as_str))
    }
}

/// A clock in microseconds that never shows the same time twice.
#[derive(Debug, Default)]
pub(super) struct Clock {
    last: i64,
}

impl Clock {
    pub(super) fn tick(&mut self) -> i64 {
        self.last = now().max(self.last.saturating_add(1));
        self.last
    }

    /// Goes on from this time, if it is later.
    pub(super) fn at_least(&mut self, time: i64) {
        self.last = self.last.max(time);
    }

    fn block(&mut self) -> BlockId {
        let time = u128::try_from(self.tick()).unwrap_or_default();
        BlockId((time << 64) | (Uuid::new_v4().as_u128() >> 64))
    }
}

/// A span on its way into a block: whose it is, and of which trace.
pub(super) struct Draft {
    pub(super) owner: Arc<Owner>,
    pub(super) trace: TraceId,
    /// When the trace began to be kept.
    pub(super) created: i64,
    pub(super) span: StoredSpan,
}

/// A block that is to be written, and whose it is.
pub(super) struct New {
    pub(super) owner: Arc<Owner>,
    pub(super) id: BlockId,
    pub(super) block: StoredBlock,
}

/// A block that is being filled.
#[derive(Default)]
struct Open {
    parts: Vec<Part>,
    spans: usize,
    bytes: usize,
}

/// Puts spans into blocks.
pub(super) fn fill(drafts: Vec<Draft>, service: &str, clock: &mut Clock) -> Vec<New> {
    let mut full = Vec::new();
    let mut blocks: HashMap<Arc<Owner>, Open> = HashMap::default();
    // Most spans have the owner of the one before them.
    let mut last: Option<(Arc<Owner>, Open)> = None;
    for Draft { owner, trace, created, span } in drafts {
        let size = span.size();
        let (owner, mut open) = match last.take() {
            Some((known, open)) if known == owner => (known, open),
            other => {
                blocks.extend(other);
                blocks.remove_entry(&owner).unwrap_or_else(|| (owner, Open::default()))
            }
        };
        let is_full = open.spans >= SPANS || open.bytes + size > LARGEST;
        if is_full && open.spans > 0 {
            full.push((Arc::clone(&owner), std::mem::take(&mut open)));
        }
        open.spans += 1;
        open.bytes += size;
        match open.parts.last_mut() {
            Some(part) if part.trace == trace && part.created == created => part.spans.push(span),
            Some(_) | None => {
                let mut spans = Vec::with_capacity(USUAL);
                spans.push(span);
                open.parts.push(Part { trace, created, spans });
            }
        }
        last = Some((owner, open));
    }
    let all = full.into_iter().chain(blocks).chain(last);
    all.map(|(owner, Open { parts, .. })| {
        let id = clock.block();
        let block = StoredBlock { id: id.text(), service: service.to_owned(), parts };
        New { owner, id, block }
    })
    .collect()
}

/// Blocks that were read, the oldest first.
pub(super) struct Page {
    pub(super) blocks: Vec<Held<StoredBlock>>,
    /// The row that the next page follows; none where this one is empty.
    pub(super) last: Option<String>,
}

/// Reads a page of blocks. One that is damaged is left out, and told to the log.
pub(super) async fn read(database: &Database, query: Query<StoredBlock>) -> Result<Page, RowError> {
    let rows = database.each(query.order(Order::OldestFirst)).await?;
    let last = rows.last().map(|(id, _)| id.clone());
    let blocks = rows.into_iter().filter_map(|(id, row)| match row {
        Ok(held) => Some(held),
        Err(error) => {
            tracing::warn!(target: "core", block = id, "a block of spans is left out: {error}");
            None
        }
    });
    Ok(Page { blocks: blocks.collect(), last })
}

/// Reads these blocks, as far as they are there still.
pub(super) async fn read_some(
    database: &Database,
    scope: impl Into<Scope>,
    ids: &[BlockId],
) -> Result<Vec<Held<StoredBlock>>, RowError> {
    let query = Database::query(scope).with(BlockId::any(ids)).limit(ids.len());
    Ok(read(database, query).await?.blocks)
}
