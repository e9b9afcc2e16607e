//! Numbers and texts as bytes, least significant byte first, each list after its length.

/// Collects bytes.
#[derive(Default)]
pub(crate) struct Sink(pub(crate) Vec<u8>);

/// What a list of numbers needs to become bytes and come back.
pub(crate) trait Plain: Sized {
    const SIZE: usize;
    fn put(&self, out: &mut Vec<u8>);
    /// From exactly `SIZE` bytes.
    fn take(bytes: &[u8]) -> Option<Self>;
}

macro_rules! plain {
    ($($kind:ty),*) => {$(
        impl Plain for $kind {
            const SIZE: usize = size_of::<$kind>();
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn take(bytes: &[u8]) -> Option<Self> {
                Some(Self::from_le_bytes(bytes.try_into().ok()?))
            }
        }
    )*};
}
plain!(i8, u8, u32, u64, f32);

impl<A: Plain, B: Plain> Plain for (A, B) {
    const SIZE: usize = A::SIZE + B::SIZE;
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn take(bytes: &[u8]) -> Option<Self> {
        let (first, second) = bytes.split_at_checked(A::SIZE)?;
        Some((A::take(first)?, B::take(second)?))
    }
}

impl Sink {
    pub(crate) fn number(&mut self, number: usize) {
        (number as u64).put(&mut self.0);
    }

    pub(crate) fn list<T: Plain>(&mut self, list: &[T]) {
        self.number(list.len());
        self.0.reserve(list.len() * T::SIZE);
        for element in list {
            element.put(&mut self.0);
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.extend_from_slice(bytes);
    }
}

/// Takes bytes from the front; answers nothing when they do not hold what is asked for.
pub(crate) struct Source<'a>(pub(crate) &'a [u8]);

impl<'a> Source<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(first)
    }

    pub(crate) fn number(&mut self) -> Option<usize> {
        usize::try_from(u64::take(self.take(8)?)?).ok()
    }

    pub(crate) fn list<T: Plain>(&mut self) -> Option<Vec<T>> {
        let length = self.number()?;
        let bytes = self.take(length.checked_mul(T::SIZE)?)?;
        let mut list = Vec::with_capacity(length);
        for element in bytes.chunks_exact(T::SIZE) {
            list.push(T::take(element)?);
        }
        Some(list)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

/// Many texts in one piece of memory.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Texts {
    text: String,
    ends: Vec<u64>,
}

impl Texts {
    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len() as u64);
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    fn end(&self, index: usize) -> usize {
        usize::try_from(self.ends[index]).unwrap_or(usize::MAX)
    }

    pub(crate) fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.end(index - 1) };
        &self.text[start..self.end(index)]
    }

    /// The index of a text, where the texts are sorted.
    pub(crate) fn find(&self, text: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.get(middle).cmp(text) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    pub(crate) fn memory(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * 8
    }

    pub(crate) fn write(&self, sink: &mut Sink) {
        sink.bytes(self.text.as_bytes());
        sink.list(&self.ends);
    }

    pub(crate) fn read(source: &mut Source<'_>) -> Option<Self> {
        let text = source.text()?.to_owned();
        let ends: Vec<u64> = source.list()?;
        let mut before = 0;
        for &end in &ends {
            if end < before || !text.is_char_boundary(usize::try_from(end).ok()?) {
                return None;
            }
            before = end;
        }
        Some(Self { text, ends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut texts = Texts::default();
        for text in ["", "a", "bé", "c"] {
            texts.push(text);
        }
        let mut sink = Sink::default();
        sink.list(&[1.5f32, -2.0]);
        texts.write(&mut sink);
        sink.list(&[(1u32, 2u64)]);
        let mut source = Source(&sink.0);
        assert_eq!(source.list::<f32>().unwrap(), [1.5, -2.0]);
        let read = Texts::read(&mut source).unwrap();
        assert_eq!(read, texts);
        assert_eq!((read.find("bé"), read.find("b")), (Some(2), None));
        assert_eq!(source.list::<(u32, u64)>().unwrap(), [(1, 2)]);
        assert!(source.number().is_none());
    }

    #[test]
    fn a_length_beyond_the_end_is_no_list() {
        let mut sink = Sink::default();
        sink.number(usize::MAX);
        assert!(Source(&sink.0).list::<u64>().is_none());
        assert!(Source(&sink.0).bytes().is_none());
    }
}
