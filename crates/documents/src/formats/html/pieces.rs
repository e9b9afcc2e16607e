//! The parts of a page, and which of them are its main text.

use crate::{BlockKind, Result, builder::Builder};

/// Where a piece stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Area {
    Boilerplate,
    Body,
    Article,
    Main,
}

/// What a piece is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Heading(u8),
    Paragraph,
    Item { depth: usize, marker: String },
    Code { language: Option<String> },
    Table { rows: Vec<Vec<String>>, header: usize },
}

/// A part of a page.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) area: Area,
}

impl Piece {
    pub(super) fn write(self, builder: &mut Builder<'_>) -> Result<()> {
        match self.kind {
            Kind::Heading(level) => builder.heading(level, &self.text),
            Kind::Paragraph => builder.paragraph(&self.text),
            Kind::Item { depth, marker } => builder.item(depth, &marker, &self.text),
            Kind::Code { language } => builder.block(BlockKind::Code { language }, &self.text),
            Kind::Table { rows, header } => builder.table(&rows, header),
        }
    }

    /// Bytes of its text.
    fn length(&self) -> usize {
        match &self.kind {
            Kind::Table { rows, .. } => rows.iter().flatten().map(String::len).sum(),
            Kind::Heading(_) | Kind::Paragraph | Kind::Item { .. } | Kind::Code { .. } => {
                self.text.len()
            }
        }
    }
}

/// The areas that count as main text.
pub(super) struct Wanted(Area);

impl Wanted {
    pub(super) fn includes(&self, area: Area) -> bool {
        area >= self.0
    }
}

/// The smallest area that still holds a fair part of the page.
pub(super) fn main_area(pieces: &[Piece]) -> Wanted {
    let length = |least: Area| -> usize {
        pieces.iter().filter(|piece| piece.area >= least).map(Piece::length).sum()
    };
    let body = length(Area::Body);
    let fair = |area: Area| length(area) * 4 >= body && length(area) > 0;
    Wanted(if body == 0 {
        Area::Boilerplate
    } else if fair(Area::Main) {
        Area::Main
    } else if fair(Area::Article) {
        Area::Article
    } else {
        Area::Body
    })
}
