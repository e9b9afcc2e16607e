//! Questions about traces and spans: the index tells which traces there are, and blocks of spans are
//! read where that is not enough.

use super::{
    MetaReference,
    blocks::{BlockId, read_some},
    filters::{Filter, few},
    ids::{SpanId, TraceId},
    index::Kept,
    records::{StoredSpan, now},
};
use chaski_api::{
    Error, Result,
    endpoints::telemetry::{QuerySpansRequest, QueryTracesRequest, SpanRequest, SpanTreeRequest},
    telemetry::{
        OrderBy, QuerySpanTreeResponse, QuerySpansResponse, QueryTracesResponse, Span,
        SpanWithStatus, Trace, TraceColumn,
    },
};
use chaski_store::Owner;
use serde_json::{Map, Value};
use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

/// The traces of a page, where the caller does not say.
const TRACES: i64 = 100;
/// The blocks that are read at one time.
const AT_ONCE: usize = 4;
/// The spans that are held at one time where those of many traces are wanted; one trace may have
/// more.
const HELD: usize = 2000;
/// The most spans that are answered.
const SPANS: usize = 10_000;

impl MetaReference {
    pub(super) async fn traces(
        &self,
        owner: &Owner,
        request: QueryTracesRequest,
    ) -> Result<QueryTracesResponse> {
        let filters = Filter::all(request.attribute_filters.unwrap_or_default())?;
        let count = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        let limit = count(request.limit.map_or(TRACES, |limit| limit.0));
        let offset = count(request.offset.map_or(0, |offset| offset.0));
        let order = request.order_by.unwrap_or_default();
        // In the order in which they are found, the rest need not be found.
        let enough = order.is_empty().then(|| offset.saturating_add(limit));
        let mut found = self.matching(owner, &filters, enough.unwrap_or(usize::MAX)).await?;
        found.sort_by(|one, two| {
            let orders = order.iter().map(|by| in_order(*by, one, two));
            orders.fold(Ordering::Equal, Ordering::then)
        });
        let page = found.iter().skip(offset).take(limit);
        Ok(QueryTracesResponse { data: page.map(|trace| trace.answer()).collect() })
    }

    pub(super) fn trace(&self, owner: &Owner, trace_id: &str) -> Result<Trace> {
        let found = self.lasting(owner, &trace_id.into());
        Ok(found.ok_or_else(|| missing("Trace", trace_id))?.answer())
    }

    pub(super) async fn span(&self, owner: &Owner, request: SpanRequest) -> Result<Span> {
        let SpanRequest { trace_id, span_id } = request;
        let missing = || missing("Span", &span_id);
        let trace = self.lasting(owner, &trace_id.as_str().into()).ok_or_else(missing)?;
        let found = self.span_of(owner, &trace, &span_id.as_str().into()).await?;
        Ok(found.ok_or_else(missing)?.answer(&trace.id))
    }

    pub(super) async fn tree(
        &self,
        owner: &Owner,
        request: SpanTreeRequest,
    ) -> Result<QuerySpanTreeResponse> {
        let SpanTreeRequest { span_id, attributes_to_return, max_depth } = request;
        let wanted = attributes_to_return;
        few("attributes_to_return", wanted.as_ref().map_or(0, Vec::len))?;
        let id = SpanId::from(span_id.as_str());
        let now = now();
        let traces: Vec<Arc<Kept>> = {
            let index = self.index.lock();
            index.newest(owner, now).filter(|trace| trace.may_have(&id, now)).cloned().collect()
        };
        let mut found = None;
        for trace in traces {
            if let Some(span) = self.span_of(owner, &trace, &id).await? {
                found = Some((trace, span));
                break;
            }
        }
        let (trace, first) = found.ok_or_else(|| missing("Span", &span_id))?;
        let mut spans = self.spans_of(owner, std::slice::from_ref(&trace)).await?;
        let family = Family::of(spans.remove(&trace.id).unwrap_or_default());
        let mut data = Map::new();
        for mut span in family.below(vec![first], max_depth) {
            if let Some(wanted) = &wanted {
                let mut all = Map::from(span.attributes);
                let chosen = wanted.iter().map(|name| {
                    (name.clone(), all.get_mut(name).map(Value::take).unwrap_or_default())
                });
                span.attributes = chosen.collect::<Map<_, _>>().into();
            }
            let status = span.status;
            let Span { span_id, trace_id, parent_span_id, name, start_time, end_time, attributes } =
                span.answer(&trace.id);
            let id = span_id.clone();
            let span = SpanWithStatus {
                span_id,
                trace_id,
                parent_span_id,
                name,
                start_time,
                end_time,
                attributes,
                status: Some(status),
            };
            let span = serde_json::to_value(span)
                .map_err(|error| Error::internal("a span cannot be written").caused_by(error))?;
            data.insert(id, span);
        }
        Ok(QuerySpanTreeResponse { data })
    }

    pub(super) async fn spans(
        &self,
        owner: &Owner,
        request: QuerySpansRequest,
    ) -> Result<QuerySpansResponse> {
        let QuerySpansRequest { attribute_filters, attributes_to_return, max_depth } = request;
        few("attributes_to_return", attributes_to_return.len())?;
        let filters = Filter::all(attribute_filters)?;
        let found = self.matching(owner, &filters, usize::MAX).await?;
        let mut data = Vec::new();
        let mut rest = found.as_slice();
        while !rest.is_empty() {
            let (traces, later) = rest.split_at(held_together(rest));
            rest = later;
            let mut spans = self.spans_of(owner, traces).await?;
            for trace in traces {
                let own = spans.remove(&trace.id).unwrap_or_default();
                let (roots, family) = Family::with_roots(own);
                for mut span in family.below(roots, max_depth) {
                    let mut all = Map::from(span.attributes);
                    let chosen = attributes_to_return.iter().map(|name| {
                        let value = all.get_mut(name).filter(|value| !value.is_null())?;
                        Some((name.clone(), value.clone()))
                    });
                    let Some(chosen) = chosen.collect::<Option<Map<_, _>>>() else { continue };
                    span.attributes = chosen.into();
                    data.push(span.answer(&trace.id));
                    if data.len() >= SPANS {
                        return Ok(QuerySpansResponse { data });
                    }
                }
            }
        }
        Ok(QuerySpansResponse { data })
    }

    /// A trace of an owner that has not expired.
    fn lasting(&self, owner: &Owner, trace: &TraceId) -> Option<Arc<Kept>> {
        let index = self.index.lock();
        index.find(owner, trace).filter(|trace| trace.expires > now()).cloned()
    }

    /// The traces of which one span fits all filters, the newest first; no more than the first
    /// `enough`. Each block is read once.
    async fn matching(
        &self,
        owner: &Owner,
        filters: &[Filter],
        enough: usize,
    ) -> Result<Vec<Arc<Kept>>> {
        let now = now();
        let marks: Vec<u64> = filters.iter().filter_map(Filter::mark).collect();
        let at_first = if filters.is_empty() { enough } else { usize::MAX };
        let candidates: Vec<Arc<Kept>> = {
            let index = self.index.lock();
            let traces = index.newest(owner, now).filter(|trace| trace.may_be(&marks));
            traces.take(at_first).cloned().collect()
        };
        if filters.is_empty() {
            return Ok(candidates);
        }
        let mut fits = HashMap::new();
        for trace in &candidates {
            fits.insert(&trace.id, (trace.created, false));
        }
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let mut rest = candidates.iter();
        while !rest.as_slice().is_empty() && found.len() < enough {
            // The blocks of the next traces, until there are some; others of their traces fit too.
            let (mut next, mut ids) = (Vec::new(), Vec::new());
            while ids.len() < AT_ONCE
                && let Some(trace) = rest.next()
            {
                next.push(trace);
                if fits.get(&trace.id).is_some_and(|(_, fits)| !fits) {
                    ids.extend(
                        trace.blocks.iter().map(|at| at.block).filter(|id| seen.insert(*id)),
                    );
                }
            }
            for ids in ids.chunks(AT_ONCE) {
                for held in read_some(&self.database, owner, ids).await? {
                    for part in held.record.parts {
                        let Some((created, fits)) = fits.get_mut(&part.trace) else { continue };
                        *fits |= *created == part.created
                            && part.spans.iter().any(|span| {
                                span.expires > now
                                    && filters.iter().all(|filter| filter.holds(&span.attributes))
                            });
                    }
                }
            }
            let fitting =
                next.into_iter().filter(|trace| fits.get(&trace.id).is_some_and(|fits| fits.1));
            found.extend(fitting.cloned());
        }
        Ok(found)
    }

    /// The spans of some traces, in the order in which they began.
    async fn spans_of(
        &self,
        owner: &Owner,
        traces: &[Arc<Kept>],
    ) -> Result<HashMap<TraceId, Vec<StoredSpan>>> {
        let now = now();
        let mut spans = HashMap::new();
        for trace in traces {
            spans.insert(trace.id.clone(), (trace.created, Vec::new()));
        }
        let blocks: BTreeSet<BlockId> =
            traces.iter().flat_map(|trace| &trace.blocks).map(|at| at.block).collect();
        let blocks: Vec<BlockId> = blocks.into_iter().collect();
        for ids in blocks.chunks(AT_ONCE) {
            for held in read_some(&self.database, owner, ids).await? {
                for part in held.record.parts {
                    if let Some((created, own)) = spans.get_mut(&part.trace)
                        && *created == part.created
                    {
                        own.extend(part.spans.into_iter().filter(|span| span.expires > now));
                    }
                }
            }
        }
        let sorted = spans.into_iter().map(|(trace, (_, mut own))| {
            own.sort_by_key(|span: &StoredSpan| span.start);
            (trace, own)
        });
        Ok(sorted.collect())
    }

    /// The span of a trace with this id; the newest where there are several.
    async fn span_of(
        &self,
        owner: &Owner,
        trace: &Kept,
        id: &SpanId,
    ) -> Result<Option<StoredSpan>> {
        let now = now();
        if !trace.may_have(id, now) {
            return Ok(None);
        }
        for stretches in trace.blocks.rchunks(AT_ONCE) {
            let ids: Vec<BlockId> = stretches.iter().map(|at| at.block).collect();
            for held in read_some(&self.database, owner, &ids).await?.into_iter().rev() {
                let parts = held.record.parts.into_iter().rev();
                let own =
                    parts.filter(|part| part.trace == trace.id && part.created == trace.created);
                let mut spans = own.flat_map(|part| part.spans.into_iter().rev());
                if let Some(span) = spans.find(|span| span.id == *id && span.expires > now) {
                    return Ok(Some(span));
                }
            }
        }
        Ok(None)
    }
}

/// How many of the first traces have few enough spans to be read together; at least one.
fn held_together(traces: &[Arc<Kept>]) -> usize {
    let mut spans = 0;
    let few = traces.iter().take_while(|trace| {
        spans += trace.had;
        spans <= HELD
    });
    few.count().max(1)
}

/// The spans of a trace by the spans that they are below.
struct Family(HashMap<SpanId, Vec<StoredSpan>>);

impl Family {
    fn of(spans: Vec<StoredSpan>) -> Self {
        let mut children: HashMap<SpanId, Vec<StoredSpan>> = HashMap::new();
        for span in spans {
            if let Some(parent) = &span.parent {
                children.entry(parent.clone()).or_default().push(span);
            }
        }
        Self(children)
    }

    /// The spans whose parents are not among them, and the others.
    fn with_roots(spans: Vec<StoredSpan>) -> (Vec<StoredSpan>, Self) {
        let ids: HashSet<SpanId> = spans.iter().map(|span| span.id.clone()).collect();
        let (others, roots) = spans.into_iter().partition(|span: &StoredSpan| {
            span.parent.as_ref().is_some_and(|parent| ids.contains(parent))
        });
        (roots, Self::of(others))
    }

    /// `first` and what is below, level by level and in the order of time; of so many levels, if
    /// that is said. Each span comes once, whatever programs report as its parent.
    fn below(mut self, first: Vec<StoredSpan>, max_depth: Option<i64>) -> Vec<StoredSpan> {
        let mut found = Vec::new();
        let mut levels = VecDeque::from([(first, 1_i64)]);
        let mut next = Vec::new();
        while let Some((level, depth)) = levels.pop_front() {
            for span in level {
                if max_depth.is_none_or(|most| depth < most) {
                    next.extend(self.0.remove(&span.id).unwrap_or_default());
                }
                found.push(span);
            }
            if !next.is_empty() {
                next.sort_by_key(|span| span.start);
                levels.push_back((std::mem::take(&mut next), depth.saturating_add(1)));
            }
        }
        found
    }
}

fn in_order(by: OrderBy, one: &Kept, two: &Kept) -> Ordering {
    let order = match by.column {
        TraceColumn::TraceId => one.id.order(&two.id),
        TraceColumn::RootSpanId => one.root.order(&two.root),
        TraceColumn::StartTime => one.start.cmp(&two.start),
        TraceColumn::EndTime => one.end.cmp(&two.end),
        TraceColumn::ServiceName => one.service.cmp(&two.service),
        TraceColumn::CreatedAt => one.created.cmp(&two.created),
    };
    if by.descending { order.reverse() } else { order }
}

fn missing(what: &str, id: &str) -> Error {
    Error::not_found(format!("{what} {id} not found"))
}
