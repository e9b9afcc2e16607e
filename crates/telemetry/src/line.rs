//! What stands in a line, and how it looks.

use crate::{
    escape::{capped, push_json, push_plain},
    layer::Origin,
    levels::category,
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::{
    Event, Level,
    field::{Field, Visit},
};

/// Who reads the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Time, level, category, message and fields, for people.
    Human,
    /// One JSON object per line.
    Json,
}

/// The most fields of an event that are written.
const MAX_FIELDS: usize = 32;

/// The facts of one line.
pub(crate) struct Line<'a> {
    pub(crate) time: Timestamp,
    pub(crate) level: Level,
    pub(crate) target: &'a str,
    pub(crate) origin: Origin,
    pub(crate) message: String,
    pub(crate) fields: Map<String, Value>,
}

impl<'a> Line<'a> {
    pub(crate) fn of(event: &'a Event<'_>, origin: Origin) -> Self {
        let mut line = Self {
            time: Timestamp::now(),
            level: *event.metadata().level(),
            target: event.metadata().target(),
            origin,
            message: String::new(),
            fields: Map::new(),
        };
        event.record(&mut line);
        line
    }

    fn category(&self) -> &str {
        category(self.target).unwrap_or(self.target)
    }

    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                if self.fields.len() < MAX_FIELDS {
                    self.fields.insert(name.to_owned(), value);
                }
            }
        }
    }

    pub(crate) fn render(&self, format: Format, colours: bool) -> String {
        match format {
            Format::Human => self.human(colours),
            Format::Json => self.json(),
        }
    }

    fn human(&self, colours: bool) -> String {
        let mut out = String::with_capacity(128 + self.message.len());
        let (level, colour) = match self.level {
            Level::ERROR => ("ERROR", "31"),
            Level::WARN => ("WARN ", "33"),
            Level::INFO => ("INFO ", "32"),
            Level::DEBUG => ("DEBUG", "34"),
            Level::TRACE => ("TRACE", "35"),
        };
        let paint = |out: &mut String, style: &str, text: &str| {
            if colours {
                out.push_str("\u{1b}[");
                out.push_str(style);
                out.push('m');
                out.push_str(text);
                out.push_str("\u{1b}[0m");
            } else {
                out.push_str(text);
            }
        };
        paint(&mut out, "2", &self.time.strftime("%H:%M:%S%.3fZ").to_string());
        out.push(' ');
        paint(&mut out, colour, level);
        out.push(' ');
        paint(&mut out, "1", self.category());
        out.push_str(": ");
        push_plain(&mut out, &self.message);
        for (name, value) in &self.fields {
            out.push(' ');
            paint(&mut out, "2", &format!("{name}="));
            match value {
                Value::String(text) if needs_no_quotes(text) => push_plain(&mut out, text),
                Value::String(text) => push_plain(&mut out, &format!("{:?}", capped(text))),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_) => push_plain(&mut out, &value.to_string()),
            }
        }
        if let Some(request) = &self.origin.request {
            out.push(' ');
            let mut shown = "request=".to_owned();
            push_plain(&mut shown, request);
            paint(&mut out, "2", &shown);
        }
        if let Some(trace) = self.origin.trace {
            out.push(' ');
            paint(&mut out, "2", &format!("trace={trace:032x}"));
        }
        out.push('\n');
        out
    }

    fn json(&self) -> String {
        let mut object = Map::new();
        object.insert("time".to_owned(), self.time.strftime("%FT%T%.3fZ").to_string().into());
        object.insert("level".to_owned(), self.level.as_str().into());
        object.insert("category".to_owned(), self.category().into());
        object.insert("message".to_owned(), capped(&self.message).into());
        if let Some(request) = &self.origin.request {
            object.insert("request_id".to_owned(), capped(request).into());
        }
        if let Some(trace) = self.origin.trace {
            object.insert("trace_id".to_owned(), format!("{trace:032x}").into());
        }
        for (name, value) in &self.fields {
            let value = match value {
                Value::String(text) => capped(text).into(),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_) => value.clone(),
            };
            // A field cannot take the place of what every line has.
            object.entry(name.clone()).or_insert(value);
        }
        let json = Value::Object(object).to_string();
        let mut out = String::with_capacity(json.len() + 1);
        push_json(&mut out, &json);
        out.push('\n');
        out
    }
}

/// The line that tells of lines that could not be written fast enough.
pub(crate) fn dropped(count: u64) -> Line<'static> {
    Line {
        time: Timestamp::now(),
        level: Level::WARN,
        target: "core",
        origin: Origin::default(),
        message: format!("{count} log lines were dropped: they came faster than they are written"),
        fields: Map::new(),
    }
}

fn needs_no_quotes(text: &str) -> bool {
    !text.is_empty() && !text.contains([' ', '"', '=', '\\'])
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut next = value.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        self.put(field, text.into());
    }
}
