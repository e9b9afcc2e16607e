//! Products of matrices of 32-bit numbers, in tiles that stay in the registers of one core.
//!
//! The right side is stored once in panels of some columns, the left side in blocks of some rows, so
//! that the innermost loop reads both from one end to the other. A tile of 6 rows and 16 columns
//! takes 12 of the 16 registers of AVX2, which leaves room for a row of a panel and one number of a
//! block. Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), give
//! the reasons.

/// The rows of a tile.
const ROWS: usize = 6;
/// The columns of a tile.
const COLUMNS: usize = 16;
/// The blocks that a panel meets one after the other; with more they would leave the cache.
const BLOCKS_TOGETHER: usize = 16;

/// The left side of products: rows in blocks. Rows that fill the last block are zero.
#[derive(Debug, Default)]
pub(super) struct Rows {
    depth: usize,
    count: usize,
    /// `depth` entries for each block.
    blocks: Vec<[f32; ROWS]>,
}

impl Rows {
    /// Takes `rows` with `depth` numbers each in place of what was there.
    pub(super) fn fill<'a>(
        &mut self,
        depth: usize,
        rows: impl ExactSizeIterator<Item = &'a [f32]>,
    ) {
        self.depth = depth;
        self.count = rows.len();
        self.blocks.clear();
        self.blocks.resize(self.count.div_ceil(ROWS) * depth, [0.0; ROWS]);
        for (number, row) in rows.enumerate() {
            let block = &mut self.blocks[number / ROWS * depth..][..depth];
            for (entry, value) in block.iter_mut().zip(row) {
                entry[number % ROWS] = *value;
            }
        }
    }

    /// How many rows there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

/// The right side of products: columns in panels. Columns that fill the last panel are zero.
#[derive(Debug, Default)]
pub(super) struct Columns {
    depth: usize,
    count: usize,
    /// `depth` entries for each panel.
    panels: Vec<[f32; COLUMNS]>,
}

impl Columns {
    fn clear(&mut self, depth: usize, columns: usize) {
        self.depth = depth;
        self.count = columns;
        self.panels.clear();
        self.panels.resize(columns.div_ceil(COLUMNS) * depth, [0.0; COLUMNS]);
    }

    /// Takes the matrix whose columns are `columns`, with `depth` numbers each.
    pub(super) fn fill_columns<'a>(
        &mut self,
        depth: usize,
        columns: impl ExactSizeIterator<Item = &'a [f32]>,
    ) {
        self.clear(depth, columns.len());
        for (number, column) in columns.enumerate() {
            let panel = &mut self.panels[number / COLUMNS * depth..][..depth];
            for (entry, value) in panel.iter_mut().zip(column) {
                entry[number % COLUMNS] = *value;
            }
        }
    }

    /// Takes the matrix whose rows are `rows`, with `columns` numbers each.
    pub(super) fn fill_rows<'a>(
        &mut self,
        columns: usize,
        rows: impl ExactSizeIterator<Item = &'a [f32]>,
    ) {
        self.clear(rows.len(), columns);
        for (number, row) in rows.enumerate() {
            let panels = self.panels.iter_mut().skip(number).step_by(self.depth);
            for (entry, values) in panels.zip(row.chunks(COLUMNS)) {
                entry[..values.len()].copy_from_slice(values);
            }
        }
    }

    /// How many columns there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

/// The product of `left` and `right`, given piece by piece to `put`: the row, the first column, and
/// the numbers from there on, at most [`COLUMNS`] of them.
pub(super) fn product(left: &Rows, right: &Columns, mut put: impl FnMut(usize, usize, &[f32])) {
    let depth = left.depth;
    debug_assert_eq!(depth, right.depth, "both sides have the same depth");
    if depth == 0 {
        return;
    }
    for (group, blocks) in left.blocks.chunks(depth * BLOCKS_TOGETHER).enumerate() {
        for (number, panel) in right.panels.chunks_exact(depth).enumerate() {
            let column = number * COLUMNS;
            let width = COLUMNS.min(right.count - column);
            for (block, numbers) in blocks.chunks_exact(depth).enumerate() {
                let row = (group * BLOCKS_TOGETHER + block) * ROWS;
                let tile = tile(numbers, panel);
                for (offset, numbers) in tile.iter().enumerate().take(left.count - row) {
                    put(row + offset, column, &numbers[..width]);
                }
            }
        }
    }
}

#[inline]
fn tile(block: &[[f32; ROWS]], panel: &[[f32; COLUMNS]]) -> [[f32; COLUMNS]; ROWS] {
    let mut tile = [[0.0_f32; COLUMNS]; ROWS];
    for (left, right) in block.iter().zip(panel) {
        for (sums, factor) in tile.iter_mut().zip(left) {
            for (sum, number) in sums.iter_mut().zip(right) {
                *sum = factor.mul_add(*number, *sum);
            }
        }
    }
    tile
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from -1 to 1 that have no pattern in common with tiles.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 16).unwrap()) / 32_768.0 - 1.0
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    fn compare(rows: usize, depth: usize, columns: usize) {
        let (left, right) = (numbers(rows * depth, 1), numbers(depth * columns, 2));
        let mut blocks = Rows::default();
        blocks.fill(depth, left.chunks_exact(depth));
        let transposed: Vec<f32> = (0..columns)
            .flat_map(|c| (0..depth).map(move |d| (c, d)))
            .map(|(c, d)| right[d * columns + c])
            .collect();
        let (mut by_rows, mut by_columns) = (Columns::default(), Columns::default());
        by_rows.fill_rows(columns, right.chunks_exact(columns));
        by_columns.fill_columns(depth, transposed.chunks_exact(depth));
        assert_eq!(by_rows.panels, by_columns.panels);
        let mut found = vec![f32::NAN; rows * columns];
        product(&blocks, &by_rows, |row, column, numbers| {
            found[row * columns + column..][..numbers.len()].copy_from_slice(numbers);
        });
        for row in 0..rows {
            for column in 0..columns {
                let terms = (0..depth).map(|d| {
                    f64::from(left[row * depth + d]) * f64::from(right[d * columns + column])
                });
                let expected: f64 = terms.sum();
                let found = f64::from(found[row * columns + column]);
                assert!((found - expected).abs() < 1e-4, "{row}, {column}: {found}, {expected}");
            }
        }
    }

    #[test]
    fn products_are_those_of_the_definition_for_sides_that_fill_tiles_or_not() {
        for (rows, depth, columns) in
            [(1, 1, 1), (6, 5, 16), (7, 32, 17), (12, 384, 48), (13, 3, 31), (101, 20, 16)]
        {
            compare(rows, depth, columns);
        }
    }

    #[test]
    fn nothing_is_given_for_no_rows() {
        let (mut left, mut right) = (Rows::default(), Columns::default());
        left.fill(3, std::iter::empty());
        right.fill_columns(3, [[1.0; 3]].iter().map(<[f32; 3]>::as_slice));
        product(&left, &right, |_, _, _| panic!("there are no rows"));
    }
}
