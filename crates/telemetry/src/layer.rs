//! Takes events from tracing, filters them by category and hands lines to the writer.

use crate::{
    levels::Levels,
    line::{Format, Line},
    writer::{Lines, Written},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

pub(crate) struct LineLayer {
    levels: Levels,
    format: Format,
    colours: bool,
    lines: Lines,
}

/// What the lines of a request are found by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    pub(crate) request: Option<String>,
    /// As in W3C trace context.
    pub(crate) trace: Option<u128>,
}

/// The name of the span that carries the id of a request in its field `id`, and the number of its
/// trace in its field `trace`.
const REQUEST_SPAN: &str = "request";

impl LineLayer {
    pub(crate) fn new(levels: Levels, format: Format, colours: bool, lines: Lines) -> Self {
        Self { levels, format, colours, lines }
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        // The span of a request is kept at every level, since errors are to name the request too.
        let request = metadata.is_span() && metadata.name() == REQUEST_SPAN;
        request || *metadata.level() <= self.levels.filter(metadata.target())
    }
}

impl<S> Layer<S> for LineLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // The span of a request is made at INFO.
        Some(self.levels.most_verbose().max(LevelFilter::INFO))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        if attributes.metadata().name() == REQUEST_SPAN
            && let Some(span) = cx.span(id)
        {
            let mut origin = Origin::default();
            attributes.record(&mut origin);
            span.extensions_mut().insert(origin);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Context<'_, S>) {
        if let Some(span) = cx.span(id)
            && span.name() == REQUEST_SPAN
        {
            let mut extensions = span.extensions_mut();
            if let Some(origin) = extensions.get_mut::<Origin>() {
                values.record(origin);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        let origin = cx.event_scope(event).and_then(|mut scope| {
            scope.find_map(|span| span.extensions().get::<Origin>().cloned())
        });
        let line = Line::of(event, origin.unwrap_or_default());
        let shown = line.render(self.format, self.colours);
        let plain =
            (self.colours && self.lines.has_file()).then(|| line.render(self.format, false));
        self.lines.send(Written { shown, plain });
    }
}

impl Visit for Origin {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "id" {
            self.request = Some(value.to_owned());
        }
    }
    fn record_u128(&mut self, field: &Field, value: u128) {
        if field.name() == "trace" {
            self.trace = Some(value);
        }
    }
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "id" {
            self.request = Some(format!("{value:?}"));
        }
    }
}
