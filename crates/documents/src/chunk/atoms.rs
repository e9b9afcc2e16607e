//! The smallest parts that chunks are put together from.

use super::{
    pack::Plan,
    split::{Level, Splitter, trimmed},
};
use crate::{Block, BlockKind, Document, Result};
use std::ops::Range;

/// How good a place before an atom is to end a chunk, from the last resort up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cut {
    /// Inside a sentence or a line.
    Inside,
    /// Between sentences, lines or rows.
    Unit,
    /// Where a piece of code that stands at the left edge begins after an empty line.
    Part,
    /// Between blocks.
    Block,
    /// Before a heading.
    Section,
}

/// A part that is not split any more.
#[derive(Debug, Clone)]
pub(super) struct Atom {
    pub(super) range: Range<usize>,
    pub(super) tokens: usize,
    pub(super) before: Cut,
    /// The index of its block.
    pub(super) block: usize,
    /// Whether it may be repeated at the beginning of the next chunk.
    pub(super) repeats: bool,
}

/// The atoms of a document, in order. Each has at most `plan.max` tokens, unless a character has
/// more.
pub(super) fn of(document: &Document, plan: &Plan, splitter: &Splitter<'_>) -> Result<Vec<Atom>> {
    let mut atoms = Vec::new();
    for (index, block) in document.blocks().iter().enumerate() {
        let Some(range) = trimmed(document.text(), block.range.clone()) else { continue };
        let first = atoms.len();
        add(document, (index, block), range, plan, splitter, &mut atoms)?;
        if let Some(atom) = atoms.get_mut(first) {
            let heading = matches!(block.kind, BlockKind::Heading { .. });
            atom.before = if heading { Cut::Section } else { Cut::Block };
        }
    }
    Ok(atoms)
}

fn add(
    document: &Document,
    (index, block): (usize, &Block),
    range: Range<usize>,
    plan: &Plan,
    splitter: &Splitter<'_>,
    atoms: &mut Vec<Atom>,
) -> Result<()> {
    let text = document.text();
    let whole = plan.structural && !matches!(block.kind, BlockKind::Paragraph);
    if whole {
        let tokens = splitter.count(&range);
        if tokens <= plan.max {
            let repeats = !matches!(block.kind, BlockKind::Table { .. } | BlockKind::Code { .. });
            atoms.push(Atom { range, tokens, before: Cut::Block, block: index, repeats });
            return Ok(());
        }
    }
    match &block.kind {
        BlockKind::Table { rows, .. } => {
            let ends = rows.iter().skip(1).copied().chain([range.end]);
            for row in rows.iter().copied().zip(ends).map(|(start, end)| start..end) {
                let Some(row) = trimmed(text, row) else { continue };
                let mut parts = Vec::new();
                splitter.fit(row, Level::Sentence, &mut parts)?;
                extend(atoms, parts, index, !plan.structural, |_| Cut::Unit);
            }
        }
        BlockKind::Code { .. } => {
            let mut parts = Vec::new();
            splitter.units(range, Level::Line, &mut parts)?;
            extend(atoms, parts, index, true, |part| code_cut(text, part));
        }
        BlockKind::Heading { .. } | BlockKind::Paragraph | BlockKind::ListItem { .. } => {
            let mut parts = Vec::new();
            splitter.units(range, Level::Sentence, &mut parts)?;
            extend(atoms, parts, index, true, |_| Cut::Unit);
        }
    }
    Ok(())
}

fn extend(
    atoms: &mut Vec<Atom>,
    parts: Vec<super::split::Part>,
    block: usize,
    repeats: bool,
    before: impl Fn(&Range<usize>) -> Cut,
) {
    atoms.extend(parts.into_iter().map(|(range, tokens)| {
        let before = before(&range);
        Atom { range, tokens, before, block, repeats }
    }));
}

/// How good it is to cut code before a line.
fn code_cut(text: &str, line: &Range<usize>) -> Cut {
    let before = text.get(..line.start).unwrap_or_default();
    let before = before.trim_end_matches([' ', '\t', '\r']);
    let at_edge =
        text.get(line.clone()).is_some_and(|line| !line.starts_with([' ', '\t', '}', ')']));
    match before.strip_suffix('\n') {
        Some(above) if at_edge && above.trim_end_matches([' ', '\t', '\r']).ends_with('\n') => {
            Cut::Part
        }
        Some(_) => Cut::Unit,
        None => Cut::Inside,
    }
}
