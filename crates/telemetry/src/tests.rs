//! Whole lines, from a tracing call to the bytes that are written.

use crate::{
    Format, Levels,
    layer::LineLayer,
    writer::{self, LogGuard},
};
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};
use tracing_subscriber::{Registry, layer::SubscriberExt};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(levels: &str, format: Format, colours: bool, work: impl FnOnce()) -> Vec<String> {
    let captured = Captured::default();
    let (lines, guard): (_, LogGuard) =
        writer::start(Box::new(captured.clone()), None, |lost| format!("{lost}\n")).unwrap();
    let mut parsed = Levels::default();
    assert!(parsed.apply_text(levels).is_empty());
    let layer = LineLayer::new(parsed, format, colours, lines);
    tracing::subscriber::with_default(Registry::default().with(layer), work);
    guard.flush();
    let bytes = captured.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_line_names_its_request() {
    let lines = logged("", Format::Human, false, || {
        let span = tracing::info_span!(target: "server", "request", id = "r-1");
        let _entered = span.enter();
        tracing::info!(target: "inference", model = "a b", tokens = 3, "answered");
    });
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(
        line.ends_with("Z INFO  inference: answered model=\"a b\" tokens=3 request=r-1"),
        "{line}"
    );
}

#[test]
fn the_request_is_named_even_where_its_category_is_quiet() {
    let lines = logged("all=error", Format::Json, false, || {
        let span = tracing::info_span!(target: "server", "request", id = %"r-2");
        let _entered = span.enter();
        tracing::info!(target: "server", "not written");
        tracing::error!(target: "server", "broken");
    });
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["request_id"], "r-2");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["category"], "server");
    assert_eq!(line["message"], "broken");
}

#[test]
fn a_line_names_the_trace_of_its_request_once_there_is_one() {
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128;
    let work = || {
        let span = tracing::info_span!(
            target: "server", "request", id = "r-3", trace = tracing::field::Empty
        );
        let _entered = span.enter();
        tracing::info!(target: "server", "before");
        span.record("trace", trace);
        let inner = tracing::info_span!(target: "server", "inner", trace = 7_u128);
        let _entered = inner.enter();
        tracing::info!(target: "server", trace_id = "forged", "after");
    };
    let lines = logged("", Format::Human, false, work);
    assert!(lines[0].ends_with("server: before request=r-3"), "{lines:?}");
    let end = "after trace_id=forged request=r-3 trace=0af7651916cd43dd8448eb211c80319c";
    assert!(lines[1].ends_with(end), "{lines:?}");
    let lines = logged("", Format::Json, false, work);
    let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    assert_eq!(read(&lines[0]).get("trace_id"), None);
    assert_eq!(read(&lines[1])["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(read(&lines[1])["request_id"], "r-3");
}

#[test]
fn data_cannot_forge_a_line_or_a_field() {
    let evil = "x\n{\"level\":\"ERROR\"}\u{1b}[31m";
    for format in [Format::Human, Format::Json] {
        let lines = logged("", format, false, || {
            tracing::info!(target: "server", level = "forged", path = evil, "seen {evil}");
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(!line.contains('\u{1b}'), "{line}");
        if format == Format::Json {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["level"], "INFO");
            assert_eq!(line["path"], evil);
        }
    }
}

#[test]
fn colours_appear_only_when_asked_for() {
    let work = || tracing::warn!(target: "core", "careful");
    assert!(!logged("", Format::Human, false, work)[0].contains('\u{1b}'));
    assert!(logged("", Format::Human, true, work)[0].contains("\u{1b}[33mWARN"));
}

#[test]
fn an_error_is_written_with_its_causes() {
    let lines = logged("", Format::Json, false, || {
        let cause = io::Error::other(io::Error::other("disk on fire"));
        tracing::error!(target: "core", error = &cause as &dyn std::error::Error, "failed");
    });
    assert!(lines[0].contains("disk on fire"), "{lines:?}");
}

#[test]
fn levels_decide_by_category() {
    let lines = logged("server=debug;core=error", Format::Json, false, || {
        tracing::debug!(target: "server", "one");
        tracing::debug!(target: "inference", "two");
        tracing::warn!(target: "core", "three");
        tracing::info!(target: "hyper::proto", "four");
        tracing::warn!(target: "hyper::proto", "five");
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
}

/// A terminal that takes nothing until it is let go.
struct Stuck(std::sync::mpsc::Receiver<()>, Captured);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The test drops the other end to let everything through.
        let _ = self.0.recv();
        self.1.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_terminal_delays_nobody_and_what_is_lost_is_counted() {
    let captured = Captured::default();
    let (release, held) = std::sync::mpsc::channel();
    let out = Box::new(Stuck(held, captured.clone()));
    let (lines, guard) = writer::start(out, None, |lost| format!("lost {lost}\n")).unwrap();
    for _ in 0..10_000 {
        lines.send(writer::Written { shown: "line\n".to_owned(), plain: None });
    }
    drop(release);
    drop((guard, lines));
    // Every line is written or counted, in the end.
    let accounted = || {
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        let lost =
            text.lines().filter_map(|line| line.strip_prefix("lost ")?.parse::<usize>().ok());
        (text.matches("line").count(), lost.sum::<usize>())
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let mut now = accounted();
    while now.0 + now.1 < 10_000 && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(1));
        now = accounted();
    }
    let (written, lost) = now;
    assert_eq!(written + lost, 10_000);
    assert!(lost > 0, "{written}");
}
