//! Questions about traces and spans. What callers write becomes parameters of statements and never
//! a part of one.

use super::{
    MetaReference,
    records::{ATTRIBUTES, INDEXED, StoredSpan, StoredTrace, now},
};
use chaski_api::{
    Error, Result,
    endpoints::telemetry::{QuerySpansRequest, QueryTracesRequest, SpanRequest, SpanTreeRequest},
    telemetry::{
        OrderBy, QueryCondition, QueryConditionOp, QuerySpanTreeResponse, QuerySpansResponse,
        QueryTracesResponse, Span, SpanWithStatus, Trace, TraceColumn,
    },
};
use chaski_store::{Comparison, Condition, Database, Member, Order, Owner, Query, Scalar, Sort};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet, VecDeque};

/// The traces of a page, where the caller does not say.
const TRACES: i64 = 100;
/// The traces that are read at one time where all are wanted.
const TRACES_AT_ONCE: usize = 100;
/// The most spans that are read of a trace, and that are answered.
const SPANS: usize = 10_000;
/// The most filters of a question, and the most attributes that are asked for.
const MOST: usize = 100;

impl MetaReference {
    pub(super) async fn traces(
        &self,
        owner: &Owner,
        request: QueryTracesRequest,
    ) -> Result<QueryTracesResponse> {
        let filters = request.attribute_filters.unwrap_or_default();
        let limit = request.limit.map_or(TRACES, |limit| limit.0);
        let offset = request.offset.map_or(0, |offset| offset.0);
        let sort = request.order_by.unwrap_or_default().into_iter().map(sort).collect();
        let count = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        let query = matching(owner, filters)?.sort(sort).limit(count(limit)).offset(count(offset));
        let page = self.database.list(query).await?;
        let data = page.records.into_iter().map(|held| held.record.answer()).collect();
        Ok(QueryTracesResponse { data })
    }

    pub(super) async fn trace(&self, owner: &Owner, trace_id: &str) -> Result<Trace> {
        let query = lasting::<StoredTrace>(owner).with(Condition::is("trace", trace_id)).limit(1);
        let found = self.database.list(query).await?.records.pop();
        let held = found.ok_or_else(|| missing("Trace", trace_id))?;
        Ok(held.record.answer())
    }

    pub(super) async fn span(&self, owner: &Owner, request: SpanRequest) -> Result<Span> {
        let SpanRequest { trace_id, span_id } = request;
        let query = lasting::<StoredSpan>(owner).with(Condition::is("span", span_id.as_str()));
        let found = self.database.list(query.limit(SPANS)).await?.records.into_iter();
        let span = found.map(|held| held.record).find(|span| span.trace_id == trace_id);
        Ok(span.ok_or_else(|| missing("Span", &span_id))?.answer())
    }

    pub(super) async fn tree(
        &self,
        owner: &Owner,
        request: SpanTreeRequest,
    ) -> Result<QuerySpanTreeResponse> {
        let SpanTreeRequest { span_id, attributes_to_return, max_depth } = request;
        let wanted = attributes_to_return;
        few("attributes_to_return", wanted.as_ref().map_or(0, Vec::len))?;
        let by_id = Condition::is("span", span_id.as_str());
        let query = lasting::<StoredSpan>(owner).with(by_id).limit(1);
        let found = self.database.list(query).await?.records.pop();
        let first = found.ok_or_else(|| missing("Span", &span_id))?.record;
        let family = Family::of(self.spans_of(owner, &first.of_trace).await?);
        let mut data = Map::new();
        for mut span in family.below(vec![first], max_depth) {
            if let Some(wanted) = &wanted {
                let mut all = std::mem::take(&mut span.attributes);
                let chosen = wanted.iter().map(|name| {
                    (name.clone(), all.get_mut(name).map(Value::take).unwrap_or_default())
                });
                span.attributes = chosen.collect();
            }
            let status = span.status;
            let id = span.span_id.clone();
            let Span { span_id, trace_id, parent_span_id, name, start_time, end_time, attributes } =
                span.answer();
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
        let query = matching(owner, attribute_filters)?;
        let (mut data, mut seen, mut more) = (Vec::new(), HashSet::new(), true);
        while more {
            let page = query.clone().limit(TRACES_AT_ONCE).offset(seen.len());
            let page = self.database.list(page).await?;
            more = page.has_more;
            for trace in page.records {
                // A trace that was begun meanwhile moves the others on, so that one comes again.
                if !seen.insert(trace.record.row.clone()) {
                    continue;
                }
                let (roots, family) =
                    Family::with_roots(self.spans_of(owner, &trace.record.row).await?);
                for mut span in family.below(roots, max_depth) {
                    let mut all = std::mem::take(&mut span.attributes);
                    let chosen = attributes_to_return.iter().map(|name| {
                        let value = all.get_mut(name).filter(|value| !value.is_null())?;
                        Some((name.clone(), value.clone()))
                    });
                    let Some(chosen) = chosen.collect::<Option<Map<_, _>>>() else { continue };
                    span.attributes = chosen;
                    data.push(span.answer());
                    if data.len() >= SPANS {
                        return Ok(QuerySpansResponse { data });
                    }
                }
            }
        }
        Ok(QuerySpansResponse { data })
    }

    /// The spans of a trace, in the order in which they began.
    async fn spans_of(&self, owner: &Owner, trace_row: &str) -> Result<Vec<StoredSpan>> {
        let query = lasting::<StoredSpan>(owner)
            .with(Condition::is("of_trace", trace_row))
            .order(Order::OldestFirst)
            .limit(SPANS);
        let page = self.database.list(query).await?;
        let mut spans: Vec<StoredSpan> = page.records.into_iter().map(|held| held.record).collect();
        spans.sort_by_key(|span| span.start);
        Ok(spans)
    }
}

/// The spans of a trace by the spans that they are below.
struct Family(HashMap<String, Vec<StoredSpan>>);

impl Family {
    fn of(spans: Vec<StoredSpan>) -> Self {
        let mut children: HashMap<String, Vec<StoredSpan>> = HashMap::new();
        for span in spans {
            if let Some(parent) = &span.parent_span_id {
                children.entry(parent.clone()).or_default().push(span);
            }
        }
        Self(children)
    }

    /// The spans whose parents are not among them, and the others.
    fn with_roots(spans: Vec<StoredSpan>) -> (Vec<StoredSpan>, Self) {
        let ids: Vec<String> = spans.iter().map(|span| span.span_id.clone()).collect();
        let ids: std::collections::HashSet<&str> = ids.iter().map(String::as_str).collect();
        let (others, roots) = spans.into_iter().partition(|span: &StoredSpan| {
            span.parent_span_id.as_deref().is_some_and(|parent| ids.contains(parent))
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
                    next.extend(self.0.remove(&span.span_id).unwrap_or_default());
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

/// The records of an owner that have not expired.
fn lasting<R: chaski_store::Record>(owner: &Owner) -> Query<R> {
    Database::query::<R>(owner).with(Condition::more_than("expires", now()))
}

/// The traces of which one span fits all filters.
fn matching(owner: &Owner, filters: Vec<QueryCondition>) -> Result<Query<StoredTrace>> {
    few("attribute_filters", filters.len())?;
    let query = lasting::<StoredTrace>(owner);
    if filters.is_empty() {
        return Ok(query);
    }
    let mut like = vec![Condition::more_than("expires", now())];
    for filter in filters {
        if let (QueryConditionOp::Eq, Value::String(value)) = (filter.op, &filter.value) {
            let indexed = INDEXED.iter().find(|indexed| indexed.attribute == filter.key);
            like.extend(indexed.and_then(|indexed| indexed.may_be(value)));
        }
        like.push(compiled(filter)?);
    }
    Ok(query.with(Condition::among::<StoredSpan>("id", "of_trace", like)))
}

fn compiled(filter: QueryCondition) -> Result<Condition> {
    let QueryCondition { key, op, value } = filter;
    let comparison = match op {
        QueryConditionOp::Eq => Comparison::Equal,
        QueryConditionOp::Ne => Comparison::NotEqual,
        QueryConditionOp::Gt => Comparison::Greater,
        QueryConditionOp::Lt => Comparison::Less,
    };
    let unfit = |what: &str| {
        let text = format!("a filter with `{op}` compares with {what}, not with `{value}`");
        Error::invalid(text).with_param("attribute_filters")
    };
    let is_order = matches!(comparison, Comparison::Greater | Comparison::Less);
    let scalar = match &value {
        Value::String(text) => Scalar::Text(text.clone()),
        Value::Number(number) => Scalar::Number(number.clone()),
        Value::Bool(truth) if !is_order => Scalar::Truth(*truth),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) if is_order => {
            return Err(unfit("a text or a number"));
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(unfit("a text, a number, `true` or `false`"));
        }
    };
    let member = Member { name: key, comparison, value: scalar };
    Ok(Condition::member(ATTRIBUTES, member))
}

fn sort(order: OrderBy) -> Sort {
    let column = match order.column {
        TraceColumn::TraceId => "trace",
        TraceColumn::RootSpanId => "root",
        TraceColumn::StartTime => "started",
        TraceColumn::EndTime => "ended",
        TraceColumn::ServiceName => "service",
        TraceColumn::CreatedAt => "created",
    };
    Sort { column, descending: order.descending }
}

fn few(field: &'static str, count: usize) -> Result<()> {
    if count <= MOST {
        return Ok(());
    }
    Err(Error::invalid(format!("`{field}` has {count} entries; it may have {MOST}"))
        .with_param(field))
}

fn missing(what: &str, id: &str) -> Error {
    Error::not_found(format!("{what} {id} not found"))
}
