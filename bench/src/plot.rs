//! A bar chart as SVG: the median latency that each face adds, by kind and concurrency.

use crate::{
    load::Kind,
    relay::{DIRECT, FACE, NATIVE},
    report::{Row, beside},
};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 70.0;
const TOP: f64 = 50.0;
const COLOURS: [(&str, &str); 2] = [(FACE, "#2a78b8"), (NATIVE, "#d9822b")];

/// The chart of the rows through the server, against the direct ones.
pub(crate) fn added_latency(rows: &[Row]) -> String {
    let bars: Vec<(&Row, f64)> = rows
        .iter()
        .filter(|row| COLOURS.iter().any(|(name, _)| *name == &*row.target))
        .filter_map(|row| Some((row, (row.p50_ms - beside(rows, row, DIRECT)?.p50_ms).max(0.0))))
        .collect();
    let highest = bars.iter().map(|(_, value)| *value).fold(0.1, f64::max);
    let mut out = vec![
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">"#
        ),
        format!(r##"<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>"##),
        text(WIDTH / 2.0, 24.0, "middle", "Latency added by Chaski, median, in milliseconds"),
    ];
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let y = level(share);
        out.push(format!(
            r##"<line x1="{LEFT}" y1="{y:.1}" x2="{}" y2="{y:.1}" stroke="#dddddd"/>"##,
            WIDTH - 20.0
        ));
        out.push(text(LEFT - 8.0, y + 4.0, "end", &format!("{:.2}", highest * share)));
    }
    out.extend(groups(&bars, highest));
    for (place, (name, colour)) in [0.0, 150.0].iter().zip(COLOURS) {
        let x = LEFT + place;
        out.push(format!(
            r#"<rect x="{x}" y="{}" width="12" height="12" fill="{colour}"/>"#,
            HEIGHT - 24.0
        ));
        out.push(text(x + 18.0, HEIGHT - 13.0, "start", name));
    }
    out.push("</svg>\n".to_owned());
    out.join("\n")
}

fn level(share: f64) -> f64 {
    HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
}

fn text(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!(r##"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="#333333">{text}</text>"##)
}

fn groups(bars: &[(&Row, f64)], highest: f64) -> Vec<String> {
    let mut loads: Vec<(Kind, Option<usize>)> = Vec::new();
    for (row, _) in bars {
        if !loads.contains(&(row.kind, row.concurrency)) {
            loads.push((row.kind, row.concurrency));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a handful of groups")]
    let width = (WIDTH - LEFT - 20.0) / loads.len().max(1) as f64;
    let mut out = Vec::new();
    let mut x = LEFT;
    for (kind, concurrency) in loads {
        for (index, (name, colour)) in [0.0, 1.0].iter().zip(COLOURS) {
            let same = |row: &Row| {
                &*row.target == name && row.kind == kind && row.concurrency == concurrency
            };
            let Some((_, value)) = bars.iter().find(|(row, _)| same(row)) else { continue };
            let (bar, y) = (width * 0.32, level(value / highest));
            let left = x + width * 0.16 + index * bar;
            out.push(format!(
                r#"<rect x="{left:.1}" y="{y:.1}" width="{:.1}" height="{:.1}" fill="{colour}"/>"#,
                bar - 3.0,
                level(0.0) - y
            ));
            out.push(text(left + bar / 2.0, y - 5.0, "middle", &format!("{value:.2}")));
        }
        let kind = if kind == Kind::Plain { "plain" } else { "stream" };
        let label = format!("{kind}, {} at once", concurrency.unwrap_or_default());
        out.push(text(x + width / 2.0, level(0.0) + 20.0, "middle", &label));
        x += width;
    }
    out
}
