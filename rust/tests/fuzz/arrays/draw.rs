//! Numbers and arrays drawn from bytes; zeros when these are at their end.

use _core::rows::Rows;

pub struct Draw<'a> {
    bytes: &'a [u8],
}

impl<'a> Draw<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        first
    }

    /// A number less than `n`, at most 256.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    /// True for one byte in 16.
    pub fn seldom(&mut self) -> bool {
        self.byte() % 16 == 7
    }

    /// A count, most often a small one.
    pub fn count(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX,
            254 => u64::MAX / 2,
            253 => 1 << 32,
            252 => u64::from(u32::MAX),
            251 => i64::MAX as u64,
            byte => u64::from(byte),
        }
    }

    pub fn signed(&mut self) -> i64 {
        match self.byte() {
            255 => i64::MAX,
            254 => i64::MIN,
            250..254 => -1,
            byte => i64::from(byte),
        }
    }

    pub fn unsigned(&mut self) -> u32 {
        match self.byte() {
            255 => u32::MAX,
            254 => 1 << 31,
            byte => u32::from(byte),
        }
    }

    pub fn float(&mut self) -> f64 {
        match self.byte() {
            255 => f64::NAN,
            254 => f64::INFINITY,
            253 => f64::NEG_INFINITY,
            252 => f64::from(f32::MAX),
            251 => f64::MAX,
            250 => -0.0,
            249 => -1.0,
            248 => f64::from(f32::MIN_POSITIVE) / 4.0,
            247 => -1e-3,
            byte => f64::from(byte) / 4.0,
        }
    }

    pub fn single(&mut self) -> f32 {
        self.float() as f32
    }

    pub fn many<T>(&mut self, n: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..n).map(|_| one(self)).collect()
    }

    /// A length that is seldom wrong by one.
    pub fn about(&mut self, n: usize) -> usize {
        if self.seldom() {
            [n.saturating_sub(1), n + 1][self.below(2)]
        } else {
            n
        }
    }

    /// Features that most often strictly ascend.
    pub fn features(&mut self, n: usize) -> Vec<u32> {
        let mut features = self.many(n, Self::unsigned);
        if !self.seldom() {
            features.sort_unstable();
            features.dedup();
        }
        features
    }

    /// Offsets that most often ascend from 0 to `end`, of so many rows.
    pub fn offsets(&mut self, n_rows: usize, end: usize) -> Vec<i64> {
        if self.seldom() {
            return self.many(n_rows + 1, Self::signed);
        }
        let mut offsets = self.many(n_rows, |draw| draw.below(end + 1) as i64);
        offsets.sort_unstable();
        if let Some(first) = offsets.first_mut() {
            *first = 0;
        }
        offsets.push(end as i64);
        offsets
    }

    /// Rows that may be.
    pub fn rows(&mut self, n_features: u32, n_rows: usize) -> Rows {
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for _ in 0..n_rows {
            let n = self.below(5);
            let mut features = self.many(n, |draw| draw.unsigned() % n_features);
            features.sort_unstable();
            features.dedup();
            values.extend(features.iter().map(|_| self.single()));
            indices.extend(features);
            indptr.push(indices.len());
        }
        Rows::from_parts(indptr, indices, values).expect("rows that may be")
    }
}
