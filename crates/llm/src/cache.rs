//! What is computed of which texts: the sequences in the memory of the engine, and their room.
//!
//! All sequences share the cells of one memory. A cell that two sequences have in common, since
//! they begin alike, is there once. Answered sequences stay until their room is needed, so that
//! the next text with the same beginning need not be computed from the start.

use llama_cpp_2::token::LlamaToken;

/// Idle sequences keep this part of the cells at most. Each step of the engine passes over the
/// cells of all sequences, so that many that nobody comes back to would slow all answers down.
const IDLE_SHARE: usize = 4;

/// The engine's side of the memory.
pub(crate) trait Memory {
    /// Makes the first `length` tokens of sequence `from` part of the empty sequence `to` too.
    fn copy(&mut self, from: usize, to: usize, length: usize);
    /// Removes the tokens of a sequence from `keep` on. False when only all of them can go.
    fn cut(&mut self, sequence: usize, keep: usize) -> bool;
    /// Removes everything, and starts again at the first cell.
    fn clear(&mut self);
}

#[derive(Default)]
struct Sequence {
    tokens: Vec<LlamaToken>,
    /// The cell of each token.
    cells: Vec<u32>,
    /// Whether somebody works on it.
    taken: bool,
    /// When it was used last.
    used: u64,
}

pub(crate) struct Cache {
    sequences: Vec<Sequence>,
    /// How many sequences each cell is part of.
    owners: Vec<u16>,
    free: Vec<u32>,
    clock: u64,
    /// Whether sequences can begin with the same cells.
    shares: bool,
}

/// A sequence that was made ready for a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) sequence: usize,
    /// How many tokens of the text are computed in it.
    pub(crate) shared: usize,
}

impl Cache {
    /// A memory of `cells` cells for so many sequences. `shares` says whether the model can keep
    /// the beginning of a sequence; recurrent ones cannot.
    pub(crate) fn new(cells: u32, sequences: usize, shares: bool) -> Self {
        Self {
            sequences: (0..sequences).map(|_| Sequence::default()).collect(),
            owners: vec![0; cells as usize],
            free: (0..cells).rev().collect(),
            clock: 0,
            shares,
        }
    }

    /// The cells in use, and all of them.
    pub(crate) fn room(&self) -> (usize, usize) {
        (self.owners.len() - self.free.len(), self.owners.len())
    }

    /// Where a text begins as one in memory does: the sequence and the number of tokens in common,
    /// at most `most`.
    fn longest(&self, text: &[LlamaToken], most: usize) -> Option<(usize, usize)> {
        if !self.shares {
            return None;
        }
        let common = |sequence: &Sequence| {
            let pairs = sequence.tokens.iter().zip(text).take(most);
            without_halves(text, pairs.take_while(|(known, token)| known == token).count())
        };
        let lengths = self.sequences.iter().map(common).enumerate();
        // Among equals, the one that ends there can be gone on with.
        lengths
            .filter(|(_, length)| *length > 0)
            .max_by_key(|(index, length)| (*length, self.is_whole(*index, *length)))
    }

    fn is_whole(&self, index: usize, length: usize) -> bool {
        let sequence = &self.sequences[index];
        !sequence.taken && sequence.tokens.len() == length
    }

    /// Whether `text` finds room, beside `owed` tokens that others still have coming.
    pub(crate) fn fits(&self, text: &[LlamaToken], most: usize, owed: usize) -> bool {
        let source = self.longest(text, most);
        let shared = source.map_or(0, |(_, length)| length);
        // What is taken over from an idle sequence is not to be had from it as room.
        let kept = source
            .filter(|(index, _)| !self.sequences[*index].taken)
            .map_or(0, |(_, length)| length);
        let room = self.free.len() + self.reclaimable().saturating_sub(kept);
        text.len() - shared + owed <= room
    }

    /// Whether there is room for so many tokens, in place of idle sequences where need be.
    pub(crate) fn available(&self, tokens: usize) -> bool {
        self.free.len() >= tokens || self.free.len() + self.reclaimable() >= tokens
    }

    /// The cells that only idle sequences have.
    fn reclaimable(&self) -> usize {
        let mut busy = vec![false; self.owners.len()];
        for sequence in self.sequences.iter().filter(|sequence| sequence.taken) {
            for cell in &sequence.cells {
                busy[*cell as usize] = true;
            }
        }
        let used = self.owners.iter().zip(busy);
        used.filter(|(owners, busy)| **owners > 0 && !busy).count()
    }

    /// A sequence for `text`, of which at most `most` tokens are taken from memory; nothing when
    /// all sequences are taken.
    pub(crate) fn take(
        &mut self,
        text: &[LlamaToken],
        most: usize,
        memory: &mut impl Memory,
    ) -> Option<Place> {
        let source = self.longest(text, most);
        let idle = |other: Option<usize>| {
            let indexes = 0..self.sequences.len();
            indexes
                .filter(|index| !self.sequences[*index].taken && Some(*index) != other)
                .min_by_key(|index| {
                    let sequence = &self.sequences[*index];
                    (!sequence.tokens.is_empty(), sequence.used)
                })
        };
        let place = match source {
            Some((index, length)) if self.is_whole(index, length) => {
                Place { sequence: index, shared: length }
            }
            Some((index, length)) => match idle(Some(index)) {
                Some(sequence) => {
                    self.cut(sequence, 0, memory);
                    self.copy(index, sequence, length, memory);
                    Place { sequence, shared: length }
                }
                None if !self.sequences[index].taken => {
                    let shared = if self.cut(index, length, memory) { length } else { 0 };
                    Place { sequence: index, shared }
                }
                None => return None,
            },
            None => {
                let sequence = idle(None)?;
                self.cut(sequence, 0, memory);
                Place { sequence, shared: 0 }
            }
        };
        self.clock += 1;
        let sequence = &mut self.sequences[place.sequence];
        sequence.taken = true;
        sequence.used = self.clock;
        Some(place)
    }

    /// Gives a sequence back. What is computed of it stays until its room is needed: of the older
    /// ones as much as [`IDLE_SHARE`] says, of the latest all.
    pub(crate) fn give_back(&mut self, sequence: usize, memory: &mut impl Memory) {
        self.clock += 1;
        self.sequences[sequence].taken = false;
        self.sequences[sequence].used = self.clock;
        let most = (self.owners.len() / IDLE_SHARE).max(self.sequences[sequence].cells.len());
        while self.reclaimable() > most {
            match self.oldest_idle().filter(|oldest| *oldest != sequence) {
                Some(oldest) => _ = self.cut(oldest, 0, memory),
                None => return,
            }
        }
    }

    /// The sequence that nobody works on, and that was unused for the longest time.
    fn oldest_idle(&self) -> Option<usize> {
        let idle = (0..self.sequences.len()).filter(|index| {
            let sequence = &self.sequences[*index];
            !sequence.taken && !sequence.tokens.is_empty()
        });
        idle.min_by_key(|index| self.sequences[*index].used)
    }

    fn copy(&mut self, from: usize, to: usize, length: usize, memory: &mut impl Memory) {
        memory.copy(from, to, length);
        let tokens = self.sequences[from].tokens[..length].to_vec();
        let cells = self.sequences[from].cells[..length].to_vec();
        for cell in &cells {
            self.owners[*cell as usize] += 1;
        }
        self.sequences[to].tokens = tokens;
        self.sequences[to].cells = cells;
    }

    /// Removes the tokens of a sequence from `keep` on. False when all of them had to go.
    pub(crate) fn cut(&mut self, index: usize, keep: usize, memory: &mut impl Memory) -> bool {
        if self.sequences[index].tokens.len() <= keep {
            return true;
        }
        let done = (keep == 0 || self.shares) && memory.cut(index, keep);
        let keep = if done { keep } else { 0 };
        if !done {
            memory.cut(index, 0);
        }
        let sequence = &mut self.sequences[index];
        sequence.tokens.truncate(keep);
        for cell in sequence.cells.split_off(keep) {
            let owners = &mut self.owners[cell as usize];
            *owners -= 1;
            if *owners == 0 {
                self.free.push(cell);
            }
        }
        done
    }

    /// Adds a token that is about to be computed, and gives its position. Sequences that nobody
    /// works on give way, the one that was unused for the longest time first. Nothing when there
    /// is no room even so.
    pub(crate) fn push(
        &mut self,
        index: usize,
        token: LlamaToken,
        memory: &mut impl Memory,
    ) -> Option<usize> {
        while self.free.is_empty() {
            let oldest = self.oldest_idle()?;
            self.cut(oldest, 0, memory);
        }
        let cell = self.free.pop()?;
        self.owners[cell as usize] = 1;
        let sequence = &mut self.sequences[index];
        sequence.tokens.push(token);
        sequence.cells.push(cell);
        Some(sequence.tokens.len() - 1)
    }

    /// Forgets everything. Sequences that are taken stay taken.
    pub(crate) fn clear(&mut self, memory: &mut impl Memory) {
        memory.clear();
        for sequence in &mut self.sequences {
            sequence.tokens.clear();
            sequence.cells.clear();
        }
        self.owners.fill(0);
        self.free = (0..u32::try_from(self.owners.len()).unwrap_or(u32::MAX)).rev().collect();
    }
}

/// The part of the first `length` tokens of `text` that ends at no place inside an image: images are
/// computed as a whole. Their tokens are below zero.
fn without_halves(text: &[LlamaToken], length: usize) -> usize {
    match (text[..length].last(), text.get(length)) {
        (Some(last), Some(next)) if last.0 < 0 && last == next => {
            text[..length].iter().rposition(|token| token != last).map_or(0, |at| at + 1)
        }
        _ => length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes down what the engine is told.
    #[derive(Default)]
    struct Log(Vec<String>);

    impl Memory for Log {
        fn copy(&mut self, from: usize, to: usize, length: usize) {
            self.0.push(format!("copy {length} from {from} to {to}"));
        }
        fn cut(&mut self, sequence: usize, keep: usize) -> bool {
            self.0.push(format!("cut {sequence} to {keep}"));
            true
        }
        fn clear(&mut self) {
            self.0.push("clear".to_owned());
        }
    }

    fn text(text: &str) -> Vec<LlamaToken> {
        text.bytes().map(|byte| LlamaToken(i32::from(byte))).collect()
    }

    struct Bench {
        cache: Cache,
        log: Log,
    }

    impl Bench {
        fn new(cells: u32, sequences: usize) -> Self {
            Self { cache: Cache::new(cells, sequences, true), log: Log::default() }
        }

        /// Takes a sequence and computes the rest of the text in it.
        fn begin(&mut self, of: &str) -> Place {
            let tokens = text(of);
            let place = self.cache.take(&tokens, tokens.len() - 1, &mut self.log).unwrap();
            for token in &tokens[place.shared..] {
                self.cache.push(place.sequence, *token, &mut self.log).unwrap();
            }
            place
        }

        fn run(&mut self, of: &str) -> Place {
            let place = self.begin(of);
            self.cache.give_back(place.sequence, &mut self.log);
            place
        }
    }

    #[test]
    fn a_chat_goes_on_in_its_own_sequence() {
        let mut bench = Bench::new(100, 4);
        let first = bench.run("hello");
        let second = bench.run("hello world");
        assert_eq!(second, Place { sequence: first.sequence, shared: 5 });
        assert_eq!(bench.cache.room(), (11, 100));
        assert!(bench.log.0.is_empty(), "{:?}", bench.log.0);
    }

    #[test]
    fn a_common_beginning_is_copied_and_takes_its_room_once() {
        let mut bench = Bench::new(100, 4);
        let first = bench.run("system: a");
        let second = bench.run("system: b");
        assert_eq!(second.shared, 8);
        assert_ne!(second.sequence, first.sequence);
        assert_eq!(bench.cache.room(), (10, 100));
        assert_eq!(bench.log.0, ["copy 8 from 0 to 1"]);
        // The first one is still whole.
        assert_eq!(bench.run("system: a, more").sequence, first.sequence);
    }

    #[test]
    fn a_sequence_at_work_can_be_copied_from_but_not_taken() {
        let mut bench = Bench::new(100, 2);
        let first = bench.begin("abcd");
        let second = bench.begin("abcdef");
        assert_eq!((second.shared, bench.cache.room().0), (4, 6));
        assert_ne!(first.sequence, second.sequence);
        assert_eq!(bench.cache.take(&text("ab"), 1, &mut bench.log), None);
    }

    #[test]
    fn the_last_token_is_never_taken_from_memory() {
        let mut bench = Bench::new(100, 2);
        bench.run("abcd");
        assert_eq!(bench.run("abcd").shared, 3);
    }

    #[test]
    fn idle_sequences_give_way_the_longest_unused_first() {
        let mut bench = Bench::new(40, 4);
        bench.run("aaaa");
        bench.run("bbbb");
        bench.run("aaaab");
        bench.run("cccc");
        assert_eq!(bench.log.0, ["cut 1 to 0"], "a quarter of the cells is for idle ones");
        assert_eq!(bench.run("aaaabx").shared, 5);
    }

    #[test]
    fn the_latest_sequence_stays_however_long_it_is() {
        let mut bench = Bench::new(40, 4);
        bench.run("aaaa");
        bench.run(&"b".repeat(30));
        assert_eq!(bench.log.0, ["cut 0 to 0"]);
        assert_eq!(bench.run(&"b".repeat(31)).shared, 30);
    }

    #[test]
    fn running_texts_take_the_room_of_idle_ones() {
        let mut bench = Bench::new(10, 4);
        bench.run("abcdef");
        let running = bench.begin("123456");
        assert_eq!(bench.log.0, ["cut 0 to 0"]);
        assert_eq!((running.shared, bench.cache.room()), (0, (6, 10)));
    }

    #[test]
    fn without_room_a_token_is_refused_and_counted_back_after_a_cut() {
        let mut bench = Bench::new(4, 2);
        let first = bench.begin("abcd");
        assert_eq!(bench.cache.push(first.sequence, LlamaToken(1), &mut bench.log), None);
        assert!(!bench.cache.fits(&text("x"), 0, 0));
        bench.cache.cut(first.sequence, 2, &mut bench.log);
        assert_eq!(bench.cache.room(), (2, 4));
        assert!(bench.cache.fits(&text("xy"), 1, 0));
        assert!(!bench.cache.fits(&text("xy"), 1, 1));
        assert!(bench.cache.fits(&text("abcd"), 3, 0), "two are shared");
    }

    #[test]
    fn the_room_of_what_is_taken_over_is_not_counted_twice() {
        let mut bench = Bench::new(6, 3);
        bench.run("abcd");
        assert!(bench.cache.fits(&text("abcdef"), 5, 0));
        assert!(!bench.cache.fits(&text("abcdefg"), 6, 0));
        assert!(bench.cache.fits(&text("xxxxxx"), 5, 0), "the idle one gives way");
    }

    #[test]
    fn a_model_that_cannot_keep_beginnings_shares_nothing() {
        let mut bench = Bench::new(100, 2);
        bench.cache.shares = false;
        bench.run("abcd");
        assert_eq!(bench.run("abcde").shared, 0);
    }

    #[test]
    fn images_are_shared_as_a_whole_or_not_at_all() {
        let tokens = |ids: &[i32]| ids.iter().copied().map(LlamaToken).collect::<Vec<_>>();
        let text = tokens(&[1, 2, -1, -1, -1, 3, -1, -1]);
        let whole: Vec<_> = (0..=8).map(|length| without_halves(&text, length)).collect();
        assert_eq!(whole, [0, 1, 2, 2, 2, 5, 6, 6, 8]);
        let mut bench = Bench::new(100, 4);
        for ids in [[1, 2, -1, -1, 3], [1, 2, -2, -2, 3], [1, 2, -1, -1, 4]] {
            let text = tokens(&ids);
            let place = bench.cache.take(&text, 4, &mut bench.log).unwrap();
            assert_eq!(
                place.shared,
                match ids {
                    [_, _, -1, _, 4] => 4,
                    [_, _, -2, ..] => 2,
                    _ => 0,
                }
            );
            for token in &text[place.shared..] {
                bench.cache.push(place.sequence, *token, &mut bench.log).unwrap();
            }
            bench.cache.give_back(place.sequence, &mut bench.log);
        }
    }

    #[test]
    fn clearing_frees_every_cell() {
        let mut bench = Bench::new(10, 2);
        bench.run("abc");
        bench.cache.clear(&mut bench.log);
        assert_eq!((bench.cache.room(), bench.log.0.len()), ((0, 10), 1));
        assert_eq!(bench.run("abc").shared, 0);
    }
}
