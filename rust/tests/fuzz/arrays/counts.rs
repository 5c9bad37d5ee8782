//! Counts of rows and sums of values, as arrays and added up.

use super::draw::Draw;
use super::{ascend, same, taken};
use _core::learn::{FeatureCounts, FeatureSums, SparseCounts, SparseSums, TableKind};
use std::collections::BTreeMap;

/// A value of 1 in sums.
const ONE: f64 = (1u64 << 36) as f64;

pub fn counts(draw: &mut Draw<'_>) -> Result<(), String> {
    let n_features = 1 + draw.byte() as usize;
    // Some on either side of the number from which on pairs are counted.
    let n_classes = 1 + draw.below(4) + [0, 14][draw.below(2)];
    if draw.below(2) == 0 {
        let by_class = draw.below(2) == 0;
        sparse_counts(draw, n_features, n_classes, by_class)?;
        added_counts(draw, n_features, n_classes, by_class)
    } else {
        sparse_sums(draw, n_features, n_classes)?;
        added_sums(draw, n_features, n_classes)
    }
}

fn sparse_counts(
    draw: &mut Draw<'_>,
    n_features: usize,
    n_classes: usize,
    by_class: bool,
) -> Result<(), String> {
    let n = draw.below(6);
    let mut keys = draw.many(n, |draw| {
        (draw.unsigned(), draw.below(n_classes + 1) as u32)
    });
    if !draw.seldom() {
        keys.sort_unstable();
        keys.dedup_by_key(|key| if by_class { *key } else { (key.0, 0) });
    }
    let (features, mut classes): (Vec<u32>, Vec<u32>) = keys.into_iter().unzip();
    classes.truncate(if by_class {
        draw.about(features.len())
    } else {
        0
    });
    let n_counts = draw.about(features.len());
    let counts = draw.many(n_counts, Draw::unsigned);
    let rows = draw.many(n_classes, Draw::count);
    let n_distinct = draw.about(n_classes);
    let mut distinct = draw.many(n_distinct, Draw::count);
    let class_of = |i: usize| classes.get(i).map_or(0, |&class| class as usize);
    let class_exists = |i: usize| class_of(i) < n_classes;
    // What they must be, now and then.
    if !draw.seldom() && distinct.len() == n_classes {
        distinct = vec![0; n_classes];
        for (i, &count) in counts.iter().enumerate().filter(|&(i, _)| class_exists(i)) {
            distinct[class_of(i)] += u64::from(count);
        }
    }
    let total = |numbers: &[u64]| numbers.iter().map(|&n| u128::from(n)).sum::<u128>();
    let n_columns = if by_class { n_classes } else { 1 };
    let of_column = |numbers: &[u64], column: usize| {
        if by_class {
            u128::from(numbers[column])
        } else {
            total(numbers)
        }
    };
    let keys: Vec<_> = (0..features.len())
        .map(|i| (features[i], class_of(i)))
        .collect();
    let mut valid = features.len() == counts.len()
        && classes.len() == if by_class { features.len() } else { 0 }
        && distinct.len() == n_classes
        && ascend(&keys)
        && (0..keys.len()).all(class_exists)
        && features.iter().all(|&j| (j as usize) < n_features)
        && total(&rows) <= u128::from(u32::MAX)
        && total(&distinct) <= u128::from(u64::MAX);
    if valid {
        let mut sums = vec![0u128; n_columns];
        for (i, &count) in counts.iter().enumerate() {
            let count = u128::from(count);
            valid &= count > 0 && count <= of_column(&rows, class_of(i));
            sums[class_of(i)] += count;
        }
        valid &= (0..n_columns).all(|column| sums[column] == of_column(&distinct, column));
    }
    let sparse = SparseCounts {
        features,
        classes,
        counts,
        rows,
        distinct,
    };
    let made = taken(
        "counts",
        FeatureCounts::from_sparse(n_features, by_class, &sparse),
        valid,
    )?;
    if let Some(made) = made {
        same("counts as arrays", &made.sparse(), &sparse)?;
    }
    Ok(())
}

fn added_counts(
    draw: &mut Draw<'_>,
    n_features: usize,
    n_classes: usize,
    by_class: bool,
) -> Result<(), String> {
    let new = || FeatureCounts::new(n_features, n_classes, by_class).map_err(|e| e.to_string());
    let (mut whole, mut parts) = (new()?, [new()?, new()?]);
    let mut expected: BTreeMap<(u32, usize), u32> = BTreeMap::new();
    for i in 0..draw.below(4) {
        let n_rows = draw.below(4);
        let beyond = u32::from(draw.seldom());
        let rows = draw.rows(n_features.min(255) as u32 + beyond, n_rows);
        let n = draw.about(n_rows);
        let classes = draw.many(n, |draw| draw.below(n_classes + 1) as i32 - 1);
        let weights = draw.seldom().then(|| draw.many(n_rows, Draw::single));
        let weighs = |weight: &f32| weight.is_finite() && *weight >= 0.0;
        let valid = n == n_rows
            && rows.indices.iter().all(|&j| (j as usize) < n_features)
            && weights.iter().flatten().all(weighs);
        taken(
            "rows counted",
            whole.add(&rows, &classes, weights.as_deref()),
            valid,
        )?;
        taken(
            "rows counted",
            parts[i % 2].add(&rows, &classes, weights.as_deref()),
            valid,
        )?;
        for i in 0..if valid { n_rows } else { 0 } {
            let Ok(class) = usize::try_from(classes[i]) else {
                continue;
            };
            if weights.as_ref().is_some_and(|weights| weights[i] == 0.0) {
                continue;
            }
            for &j in rows.row(i).0 {
                *expected
                    .entry((j, if by_class { class } else { 0 }))
                    .or_default() += 1;
            }
        }
    }
    let [mut one, other] = parts;
    one.merge(&other).map_err(|error| error.to_string())?;
    same("counts of parts", &one.sparse(), &whole.sparse())?;
    let grown = draw.below(20);
    taken("more classes", one.grow(grown), grown >= n_classes)?;
    let sparse = one.sparse();
    let classes = sparse.classes.iter().map(|&class| class as usize);
    let keys = sparse.features.iter().copied();
    let keys = keys.zip(classes.chain(std::iter::repeat(0)));
    let found: Vec<_> = keys.zip(sparse.counts.iter().copied()).collect();
    same("counts", &found, &expected.into_iter().collect())?;
    let min_rows = draw.below(4);
    let kind = [TableKind::NbIdf, TableKind::Nb, TableKind::Idf][draw.below(3)];
    let valid = min_rows > 0 && (by_class || kind == TableKind::Idf);
    let table = taken("table", one.table(kind, min_rows), valid)?;
    if let Some(table) = table {
        let mut frequencies: BTreeMap<u32, usize> = BTreeMap::new();
        for ((feature, _), count) in found {
            *frequencies.entry(feature).or_default() += count as usize;
        }
        frequencies.retain(|_, &mut n| n >= min_rows);
        same(
            "features of a table",
            &table.features(),
            &frequencies.into_keys().collect(),
        )?;
    }
    Ok(())
}

fn sparse_sums(draw: &mut Draw<'_>, n_features: usize, n_classes: usize) -> Result<(), String> {
    let n = draw.below(6);
    let features = draw.features(n);
    let n_sums = draw.about(features.len() * n_classes);
    let sums = draw.many(n_sums, Draw::count);
    let rows = draw.many(n_classes, Draw::count);
    let bound = draw.count().saturating_mul(4);
    let within = |numbers: &[u64], most: u64| {
        numbers.iter().map(|&n| u128::from(n)).sum::<u128>() <= u128::from(most)
    };
    let most = u64::MAX / 2;
    let valid = features.len() * n_classes == sums.len()
        && ascend(&features)
        && features.iter().all(|&j| (j as usize) < n_features)
        && bound <= most
        && within(&rows, most)
        && sums
            .chunks_exact(n_classes)
            .all(|block| within(block, bound));
    let sparse = SparseSums {
        features,
        sums,
        rows,
        bound,
    };
    let made = taken("sums", FeatureSums::from_sparse(n_features, &sparse), valid)?;
    let Some(mut made) = made else { return Ok(()) };
    let met = |numbers: &SparseSums| {
        let blocks = numbers.sums.chunks_exact(n_classes);
        let pairs = numbers
            .features
            .iter()
            .copied()
            .zip(blocks.map(<[u64]>::to_vec));
        pairs
            .filter(|(_, block)| block.iter().any(|&n| n > 0))
            .collect::<Vec<_>>()
    };
    same("sums as arrays", &met(&made.sparse()), &met(&sparse))?;
    let copy = FeatureSums::from_sparse(n_features, &sparse).map_err(|error| error.to_string())?;
    let total: u128 = sparse.rows.iter().map(|&n| u128::from(n)).sum();
    let fits = bound <= most - bound && 2 * total <= u128::from(most);
    if taken("doubled sums", made.merge(&copy), fits)?.is_some() {
        let doubled: Vec<u64> = sparse.rows.iter().map(|n| 2 * n).collect();
        same("doubled rows", &made.rows(), &&doubled[..])?;
    }
    Ok(())
}

fn added_sums(draw: &mut Draw<'_>, n_features: usize, n_classes: usize) -> Result<(), String> {
    let mut sums = FeatureSums::new(n_features, n_classes).map_err(|error| error.to_string())?;
    let mut expected: BTreeMap<(u32, usize), u64> = BTreeMap::new();
    for _ in 0..draw.below(4) {
        let n_rows = draw.below(4);
        let rows = draw.rows(n_features.min(255) as u32, n_rows);
        let classes = draw.many(n_rows, |draw| draw.below(n_classes + 1) as i32 - 1);
        let before = sums.sparse();
        // Whether the values are too large is for the product to say: then nothing is added.
        if sums.add(&rows, &classes, None).is_err() {
            same("sums after an error", &sums.sparse(), &before)?;
            continue;
        }
        for (i, &class) in classes.iter().enumerate() {
            let Ok(class) = usize::try_from(class) else {
                continue;
            };
            let (features, values) = rows.row(i);
            for (&j, &value) in features.iter().zip(values) {
                if value.is_nan() || value < 0.0 {
                    return Err(format!("{value} is added"));
                }
                *expected.entry((j, class)).or_default() += (f64::from(value) * ONE).round() as u64;
            }
        }
    }
    let sparse = sums.sparse();
    for (&j, block) in sparse
        .features
        .iter()
        .zip(sparse.sums.chunks_exact(n_classes))
    {
        for (class, &sum) in block.iter().enumerate() {
            same("sum", &sum, &expected.remove(&(j, class)).unwrap_or(0))?;
        }
    }
    same("sums left over", &expected.values().sum::<u64>(), &0)
}
