//! The content of a page: which letters are shown where.

#![expect(clippy::wildcard_enum_match_arm, reason = "most instructions draw and show no text")]

use super::{fonts::Font, streams::Decoder};
use crate::{Error, Result, builder::Deadline, formats::File};
use hayro_syntax::{
    content::{TypedIter, ops::TypedInstruction},
    object::{Array, Dict, Name, Number, ObjRef, Object, Stream},
    page::{Page, Resources},
};
use std::{collections::HashMap, rc::Rc};

/// How deep forms may stand in each other.
const FORMS: usize = 32;

/// How often the state may be saved without being restored.
const SAVES: usize = 512;

/// A part of a line: letters that were shown together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    pub(super) text: String,
    /// Where it begins and ends, along the line.
    pub(super) from: f64,
    pub(super) to: f64,
    /// How high the line stands on the page, up being positive.
    pub(super) line: f64,
    /// The size of its letters on the page.
    pub(super) size: f64,
    /// Quarter turns of the text on the page.
    pub(super) turns: u8,
}

/// A change of coordinates: the six numbers of PDF.
#[derive(Debug, Clone, Copy)]
struct Matrix([f64; 6]);

impl Matrix {
    const IDENTITY: Self = Self([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);

    /// First `self`, then `next`.
    fn then(self, next: Self) -> Self {
        let (from, to) = (self.0, next.0);
        let across = |x: f64, y: f64| x * to[0] + y * to[2];
        let up = |x: f64, y: f64| x * to[1] + y * to[3];
        Self([
            across(from[0], from[1]),
            up(from[0], from[1]),
            across(from[2], from[3]),
            up(from[2], from[3]),
            across(from[4], from[5]) + to[4],
            up(from[4], from[5]) + to[5],
        ])
    }

    fn moved(self, x: f64, y: f64) -> Self {
        Self([1.0, 0.0, 0.0, 1.0, x, y]).then(self)
    }

    fn of(numbers: [Number; 6]) -> Self {
        Self(numbers.map(|number| number.as_f64()))
    }
}

/// What decides how text is shown.
#[derive(Clone)]
struct State {
    page: Matrix,
    font: Option<Rc<Font>>,
    size: f64,
    letter_space: f64,
    word_space: f64,
    scale: f64,
    leading: f64,
    rise: f64,
}

/// Reads the pages of a file.
pub(super) struct Reader<'a> {
    decoder: Decoder<'a>,
    fonts: HashMap<ObjRef, Rc<Font>>,
    deadline: Deadline,
    text_bytes: usize,
    left: usize,
    spans: Vec<Span>,
    /// Letters that no font says the meaning of.
    pub(super) unknown: usize,
    pub(super) images: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a File<'a>) -> Self {
        Self {
            decoder: Decoder::new(file),
            fonts: HashMap::new(),
            deadline: file.deadline,
            text_bytes: file.limits.text_bytes,
            left: file.limits.text_bytes,
            spans: Vec::new(),
            unknown: 0,
            images: 0,
        }
    }

    /// The text of a page, in the order in which it is shown.
    pub(super) fn page(&mut self, page: &Page<'_>) -> Result<Vec<Span>> {
        self.deadline.check()?;
        let mut content = Vec::new();
        match page.raw().get::<Object<'_>>(b"Contents") {
            Some(Object::Stream(stream)) => content = self.decoder.decode(&stream)?,
            Some(Object::Array(streams)) => {
                for stream in streams.iter::<Stream<'_>>() {
                    content.extend(self.decoder.decode(&stream)?);
                    content.push(b' ');
                }
            }
            _ => {}
        }
        let state = State {
            page: Matrix::IDENTITY,
            font: None,
            size: 0.0,
            letter_space: 0.0,
            word_space: 0.0,
            scale: 1.0,
            leading: 0.0,
            rise: 0.0,
        };
        self.run(&content, page.resources(), state, 0)?;
        Ok(std::mem::take(&mut self.spans))
    }

    fn run(
        &mut self,
        content: &[u8],
        resources: &Resources<'_>,
        state: State,
        depth: usize,
    ) -> Result<()> {
        let mut text =
            Text { state, saved: Vec::new(), at: Matrix::IDENTITY, line: Matrix::IDENTITY };
        let mut instructions = TypedIter::new(content);
        while let Some(instruction) = instructions.next() {
            self.deadline.step()?;
            match instruction {
                TypedInstruction::TextFont(font) => {
                    text.state.font = self.font(resources, font.0)?;
                    text.state.size = font.1.as_f64();
                }
                TypedInstruction::ShowText(show) => self.show(show.0.as_bytes(), &mut text)?,
                TypedInstruction::ShowTexts(show) => self.show_all(show.0, &mut text)?,
                TypedInstruction::NextLineAndShowText(show) => {
                    text.next_line(0.0, -text.state.leading);
                    self.show(show.0.as_bytes(), &mut text)?;
                }
                TypedInstruction::ShowTextWithParameters(show) => {
                    text.state.word_space = show.0.as_f64();
                    text.state.letter_space = show.1.as_f64();
                    text.next_line(0.0, -text.state.leading);
                    self.show(show.2.as_bytes(), &mut text)?;
                }
                TypedInstruction::XObject(object) => {
                    self.object(resources, object.0, &text.state, depth)?;
                }
                TypedInstruction::InlineImage(_) => self.images += 1,
                other => text.instruction(&other),
            }
        }
        Ok(())
    }

    fn font(&mut self, resources: &Resources<'_>, name: &Name<'_>) -> Result<Option<Rc<Font>>> {
        let reference = resources.fonts.get_ref(name);
        if let Some(font) = reference.and_then(|reference| self.fonts.get(&reference)) {
            return Ok(Some(font.clone()));
        }
        let Some(dict) = resources.get_font(name) else { return Ok(None) };
        let font = Rc::new(Font::new(&dict, &mut self.decoder)?);
        self.fonts.extend(reference.map(|reference| (reference, font.clone())));
        Ok(Some(font))
    }

    /// Shows a form, which is content by itself, or counts an image.
    fn object(
        &mut self,
        resources: &Resources<'_>,
        name: &Name<'_>,
        state: &State,
        depth: usize,
    ) -> Result<()> {
        let Some(stream) = resources.get_x_object(name) else { return Ok(()) };
        let dict = stream.dict();
        let subtype: Option<Name<'_>> = dict.get(b"Subtype");
        if subtype.is_none_or(|subtype| subtype.as_ref() != b"Form") {
            self.images += 1;
            return Ok(());
        }
        // Forms that show themselves end here.
        if depth >= FORMS {
            return Ok(());
        }
        let matrix: Option<[f64; 6]> = dict.get(b"Matrix");
        let mut state = state.clone();
        state.page = Matrix(matrix.unwrap_or(Matrix::IDENTITY.0)).then(state.page);
        let own = dict.get::<Dict<'_>>(b"Resources").map(Resources::new);
        let content = self.decoder.decode(&stream)?;
        self.run(&content, own.as_ref().unwrap_or(resources), state, depth + 1)
    }

    fn show_all(&mut self, parts: &Array<'_>, text: &mut Text) -> Result<()> {
        for part in parts.iter::<Object<'_>>() {
            match part {
                Object::String(string) => self.show(string.as_bytes(), text)?,
                Object::Number(number) => {
                    let state = &text.state;
                    text.advance(-number.as_f64() / 1000.0 * state.size * state.scale);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn show(&mut self, bytes: &[u8], text: &mut Text) -> Result<()> {
        let Some(font) = text.state.font.clone() else { return Ok(()) };
        let (mut shown, begin) = (String::new(), text.place());
        for letter in font.letters(bytes) {
            self.deadline.step()?;
            self.unknown += usize::from(letter.text.is_empty());
            shown.push_str(&letter.text);
            let state = &text.state;
            let blank = if letter.blank { state.word_space } else { 0.0 };
            let width = letter.width / 1000.0 * state.size + state.letter_space + blank;
            text.advance(width * state.scale);
        }
        if shown.is_empty() {
            return Ok(());
        }
        self.left = self
            .left
            .checked_sub(shown.len())
            .ok_or_else(|| Error::limit("bytes of text", self.text_bytes, "text_bytes"))?;
        self.spans.extend(span(shown, begin, text));
        Ok(())
    }
}

/// The state of text in a piece of content.
struct Text {
    state: State,
    saved: Vec<State>,
    at: Matrix,
    line: Matrix,
}

impl Text {
    fn instruction(&mut self, instruction: &TypedInstruction<'_, '_>) {
        match instruction {
            TypedInstruction::SaveState(_) if self.saved.len() < SAVES => {
                self.saved.push(self.state.clone());
            }
            TypedInstruction::RestoreState(_) => {
                if let Some(state) = self.saved.pop() {
                    self.state = state;
                }
            }
            TypedInstruction::Transform(m) => {
                self.state.page = Matrix::of([m.0, m.1, m.2, m.3, m.4, m.5]).then(self.state.page);
            }
            TypedInstruction::BeginText(_) => {
                (self.at, self.line) = (Matrix::IDENTITY, Matrix::IDENTITY);
            }
            TypedInstruction::SetTextMatrix(m) => {
                self.line = Matrix::of([m.0, m.1, m.2, m.3, m.4, m.5]);
                self.at = self.line;
            }
            TypedInstruction::NextLine(to) => self.next_line(to.0.as_f64(), to.1.as_f64()),
            TypedInstruction::NextLineAndSetLeading(to) => {
                self.state.leading = -to.1.as_f64();
                self.next_line(to.0.as_f64(), to.1.as_f64());
            }
            TypedInstruction::NextLineUsingLeading(_) => self.next_line(0.0, -self.state.leading),
            TypedInstruction::CharacterSpacing(space) => self.state.letter_space = space.0.as_f64(),
            TypedInstruction::WordSpacing(space) => self.state.word_space = space.0.as_f64(),
            TypedInstruction::HorizontalScaling(scale) => {
                self.state.scale = scale.0.as_f64() / 100.0;
            }
            TypedInstruction::TextLeading(leading) => self.state.leading = leading.0.as_f64(),
            TypedInstruction::TextRise(rise) => self.state.rise = rise.0.as_f64(),
            _ => {}
        }
    }

    fn next_line(&mut self, x: f64, y: f64) {
        self.line = self.line.moved(x, y);
        self.at = self.line;
    }

    fn advance(&mut self, x: f64) {
        self.at = self.at.moved(x, 0.0);
    }

    /// Where the next letter is shown on the page.
    fn place(&self) -> Matrix {
        self.at.moved(0.0, self.state.rise).then(self.state.page)
    }
}

/// What was shown from `begin` on, if it stands in a place that exists.
fn span(text: String, begin: Matrix, now: &Text) -> Option<Span> {
    let [right, up, slant, height, x, y] = begin.0;
    let [.., end_x, end_y] = now.place().0;
    let size = now.state.size.abs() * slant.hypot(height);
    // The text is turned so that it runs to the right.
    let (turns, from, to, line) = if right.abs() >= up.abs() {
        if right >= 0.0 { (0, x, end_x, y) } else { (2, -x, -end_x, -y) }
    } else if up > 0.0 {
        (1, y, end_y, -x)
    } else {
        (3, -y, -end_y, x)
    };
    let exists = [from, to, line, size].iter().all(|number| number.is_finite());
    exists.then_some(Span { text, from, to, line, size, turns })
}
