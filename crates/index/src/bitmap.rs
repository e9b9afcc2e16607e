//! A set of positions in a segment.

/// Which of a fixed number of positions are in the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bitmap {
    words: Vec<u64>,
    length: usize,
}

impl Bitmap {
    pub(crate) fn none(length: usize) -> Self {
        Self { words: vec![0; length.div_ceil(64)], length }
    }

    pub(crate) fn all(length: usize) -> Self {
        let mut all = Self { words: vec![!0; length.div_ceil(64)], length };
        all.trim();
        all
    }

    /// Clears what lies beyond the last position.
    fn trim(&mut self) {
        if !self.length.is_multiple_of(64)
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1 << (self.length % 64)) - 1;
        }
    }

    pub(crate) fn insert(&mut self, position: usize) {
        self.words[position / 64] |= 1 << (position % 64);
    }

    /// Answers whether the position was in the set.
    pub(crate) fn remove(&mut self, position: usize) -> bool {
        let was = self.contains(position);
        self.words[position / 64] &= !(1 << (position % 64));
        was
    }

    pub(crate) fn contains(&self, position: usize) -> bool {
        self.words[position / 64] >> (position % 64) & 1 == 1
    }

    /// The four positions from `4 * index` on, one bit each.
    #[inline]
    pub(crate) fn four(&self, index: usize) -> u64 {
        self.words[index / 16] >> (index % 16 * 4) & 0xF
    }

    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn intersect(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    pub(crate) fn unite(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    pub(crate) fn invert(&mut self) {
        for word in &mut self.words {
            *word = !*word;
        }
        self.trim();
    }

    /// Calls with each position, ascending.
    #[inline]
    pub(crate) fn each(&self, mut visit: impl FnMut(usize)) {
        for (index, &word) in self.words.iter().enumerate() {
            let start = index * 64;
            if word == !0 {
                (start..start + 64).for_each(&mut visit);
                continue;
            }
            let mut rest = word;
            while rest != 0 {
                visit(start + rest.trailing_zeros() as usize);
                rest &= rest - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(set: &Bitmap) -> Vec<usize> {
        let mut out = Vec::new();
        set.each(|position| out.push(position));
        out
    }

    #[test]
    fn positions_come_and_go() {
        for length in [0, 1, 63, 64, 65, 200] {
            let mut set = Bitmap::all(length);
            assert_eq!(set.count(), length);
            assert_eq!(positions(&set), (0..length).collect::<Vec<_>>());
            set.invert();
            assert_eq!(set, Bitmap::none(length));
        }
        let mut set = Bitmap::none(130);
        for position in [0, 64, 129] {
            set.insert(position);
        }
        assert_eq!(positions(&set), [0, 64, 129]);
        assert_eq!([0, 15, 16, 32].map(|index| set.four(index)), [1, 0, 1, 2]);
        assert!(set.remove(64) && !set.remove(64));
        let mut other = Bitmap::none(130);
        other.insert(129);
        set.intersect(&other);
        assert_eq!(positions(&set), [129]);
        other.insert(1);
        set.unite(&other);
        assert_eq!(positions(&set), [1, 129]);
    }
}
