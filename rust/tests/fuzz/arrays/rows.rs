//! CSR arrays and chunks of hashes.

use super::draw::Draw;
use super::{ascend, same, taken};
use _core::learn::score_rows;
use _core::read::keys::text_keys;
use _core::rows::{
    FeatureTable, HashedChunk, Norm, RowOptions, Rows, Value, learner_rows, picked_rows,
    svmlight_lines,
};
use _core::text::HashedBatch;

pub fn csr(draw: &mut Draw<'_>) -> Result<(), String> {
    let (n_rows, n) = (draw.below(6), draw.below(12));
    let n_indices = draw.about(n);
    let indptr = draw.offsets(n_rows, n);
    let mut indices = draw.many(n_indices, Draw::unsigned);
    let values = draw.many(n, Draw::single);
    if !draw.seldom() {
        for ends in indptr.windows(2) {
            let span = usize::try_from(ends[0]).unwrap_or(0)..usize::try_from(ends[1]).unwrap_or(0);
            if let Some(row) = indices.get_mut(span) {
                row.sort_unstable();
            }
        }
    }
    lines(draw, &indptr, &indices, &values)?;
    let Ok(indptr) = indptr.iter().map(|&at| usize::try_from(at)).collect() else {
        return Ok(());
    };
    let indptr: Vec<usize> = indptr;
    let fits = indptr.first() == Some(&0) && indptr.last() == Some(&indices.len());
    let valid = fits
        && indptr.windows(2).all(|ends| ends[0] <= ends[1])
        && values.len() == indices.len()
        && indptr
            .windows(2)
            .all(|ends| ascend(&indices[ends[0]..ends[1]]));
    let made = Rows::from_parts(indptr, indices, values);
    if let Some(rows) = taken("rows", made, valid)? {
        picks(draw, &rows)?;
        weighted(draw, &rows)?;
        mapped(draw, &rows)?;
        scores(draw, &rows)?;
    }
    Ok(())
}

/// The lines of any arrays, whether they are rows or not.
fn lines(
    draw: &mut Draw<'_>,
    indptr: &[i64],
    indices: &[u32],
    values: &[f32],
) -> Result<(), String> {
    let n_labels = draw.about(indptr.len().saturating_sub(1));
    let labels = draw.many(n_labels, Draw::signed);
    let signed: Vec<i32> = indices.iter().map(|j| j.cast_signed()).collect();
    let lines = svmlight_lines(values, &signed, indptr, &labels);
    let spans = indptr.windows(2).map(|ends| {
        let span = usize::try_from(ends[0]).ok()?..usize::try_from(ends[1]).ok()?;
        Some((values.get(span.clone())?, signed.get(span)?))
    });
    let spans: Option<Vec<_>> = spans.collect();
    let fits = indptr.len() == labels.len() + 1 && values.len() == indices.len();
    let Some(lines) = taken("lines", lines, fits && spans.is_some())? else {
        return Ok(());
    };
    let expected = spans.into_iter().flatten().zip(&labels);
    let expected: String = expected
        .map(|((values, features), label)| {
            let pairs = features.iter().zip(values);
            let pairs = pairs.map(|(&j, value)| format!(" {}:{value}", i64::from(j) + 1));
            format!("{label}{}\n", pairs.collect::<String>())
        })
        .collect();
    // Zeros of either sign are equal: the first one met is written for both.
    let unsigned = |lines: &str| lines.replace(":-0 ", ":0 ").replace(":-0\n", ":0\n");
    same("lines", &unsigned(&lines), &unsigned(&expected))
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn picks(draw: &mut Draw<'_>, rows: &Rows) -> Result<(), String> {
    let n = draw.below(6);
    let order = draw.many(n, |draw| {
        if draw.seldom() {
            draw.unsigned()
        } else {
            draw.below(rows.len().max(1)) as u32
        }
    });
    let valid = order.iter().all(|&i| (i as usize) < rows.len());
    let found = taken("picked rows", rows.take(&order).ok_or("none"), valid)?;
    let Some(found) = found else { return Ok(()) };
    same("number of picked rows", &found.len(), &order.len())?;
    for (i, &from) in order.iter().enumerate() {
        let (picked, row) = (found.row(i), rows.row(from as usize));
        same("picked features", &picked.0, &row.0)?;
        same("picked values", &bits(picked.1), &bits(row.1))?;
    }
    Ok(())
}

fn weighted(draw: &mut Draw<'_>, rows: &Rows) -> Result<(), String> {
    let n = draw.byte() as usize;
    let weights = draw.many(n, Draw::single);
    let norm = [None, Some(Norm::L1), Some(Norm::L2)][draw.below(3)];
    let weight = |j: &u32| weights.get(*j as usize).copied();
    let known = rows.indices.iter().all(|j| weight(j).is_some());
    let result = rows.weighted(&weights, norm);
    if !known {
        return taken("weighted rows", result, false).map(drop);
    }
    let mut expected: Vec<f32> = rows
        .indices
        .iter()
        .zip(&rows.values)
        .map(|(j, x)| x * weight(j).unwrap_or(0.0))
        .collect();
    for ends in rows.indptr.windows(2) {
        let row = &mut expected[ends[0]..ends[1]];
        let size = match norm {
            None => continue,
            Some(Norm::L1) => row.iter().map(|&x| f64::from(x).abs()).sum::<f64>(),
            Some(Norm::L2) => row
                .iter()
                .map(|&x| f64::from(x).powi(2))
                .sum::<f64>()
                .sqrt(),
        } as f32;
        if size != 0.0 {
            row.iter_mut().for_each(|x| *x /= size);
        }
    }
    let valid = expected.iter().all(|x| x.is_finite());
    let Some(found) = taken("weighted rows", result, valid)? else {
        return Ok(());
    };
    let near = |(a, b): (&f32, &f32)| super::near(f64::from(*a), f64::from(*b));
    same(
        "weighted rows are near",
        &found.values.iter().zip(&expected).all(near),
        &true,
    )
}

fn mapped(draw: &mut Draw<'_>, rows: &Rows) -> Result<(), String> {
    let n_hashed = draw.byte() as usize;
    let n = draw.below(12);
    let features = draw.features(n);
    let n_weights = draw.about(features.len());
    let weights = draw.seldom().then(|| draw.many(n_weights, Draw::single));
    let fit = |weights: &Vec<f32>| {
        weights.len() == features.len() && weights.iter().all(|w| w.is_finite() && *w >= 0.0)
    };
    let valid = n_hashed > 0
        && ascend(&features)
        && features.iter().all(|&j| (j as usize) < n_hashed)
        && weights.as_ref().is_none_or(fit);
    let made = FeatureTable::from_parts(n_hashed, &features, weights.as_deref());
    let Some(table) = taken("table of features", made, valid)? else {
        return Ok(());
    };
    same("features of a table", &table.features(), &features)?;
    let mut dense = vec![0.0; n_hashed];
    for (at, &j) in features.iter().enumerate() {
        dense[j as usize] = weights.as_ref().map_or(1.0, |weights| weights[at]);
    }
    let norm = [None, Some(Norm::L1), Some(Norm::L2)][draw.below(3)];
    let expected = rows.weighted(&dense, norm);
    let found = taken("mapped rows", rows.mapped(&table, norm), expected.is_ok())?;
    let (Some(found), Ok(expected)) = (found, expected) else {
        return Ok(());
    };
    same("number of mapped rows", &found.len(), &expected.len())?;
    for i in 0..found.len() {
        let (indices, values) = expected.row(i);
        let entries = indices.iter().zip(bits(values));
        let inside = entries.filter_map(|(j, x)| Some((features.binary_search(j).ok()? as u32, x)));
        let (columns, values) = found.row(i);
        let row: Vec<_> = columns.iter().copied().zip(bits(values)).collect();
        same("mapped row", &row, &inside.collect())?;
    }
    Ok(())
}

fn scores(draw: &mut Draw<'_>, rows: &Rows) -> Result<(), String> {
    let (k, n_features) = (draw.below(4), draw.byte() as usize);
    let n = draw.about(k * n_features);
    let weights = draw.many(n, Draw::single);
    let intercept = draw.many(k, Draw::single);
    let found = score_rows(rows, &weights, &intercept);
    let below = k > 0
        && rows
            .indices
            .iter()
            .all(|&j| (j as usize) < weights.len() / k);
    let valid = k > 0 && weights.len().is_multiple_of(k) && below;
    let Some(found) = taken("scores", found, valid)? else {
        return Ok(());
    };
    same("number of scores", &found.len(), &(rows.len() * k))?;
    for (i, scores) in found.chunks_exact(k).enumerate() {
        for (o, score) in scores.iter().enumerate() {
            let (features, values) = rows.row(i);
            let terms = features.iter().zip(values);
            let sum: f64 = terms
                .map(|(&j, &x)| f64::from(x) * f64::from(weights[j as usize * k + o]))
                .sum();
            let expected = sum + f64::from(intercept[o]);
            // What is large may cancel, or overflow on the way.
            if expected.abs() < 1e6
                && score.is_finite()
                && !super::near(f64::from(*score), expected)
            {
                let largest = features
                    .iter()
                    .zip(values)
                    .map(|(&j, &x)| (x * weights[j as usize * k + o]).abs());
                if largest.fold(0.0, f32::max) < 1e3 {
                    return Err(format!("score {score}, the twin gives {expected}"));
                }
            }
        }
    }
    Ok(())
}

pub fn hashes(draw: &mut Draw<'_>) -> Result<(), String> {
    let n = draw.below(20);
    let hashes = draw.many(n, |draw| draw.unsigned().wrapping_mul(0x9e37_79b9));
    let (n_rows, n_starts) = (draw.below(6), draw.below(6));
    let offsets = draw.offsets(n_rows, n);
    keys(draw, &offsets)?;
    if let Ok(indptr) = offsets.iter().map(|&at| usize::try_from(at)).collect() {
        let indptr: Vec<usize> = indptr;
        let valid = indptr.first() == Some(&0)
            && indptr.last() == Some(&n)
            && indptr.windows(2).all(|ends| ends[0] <= ends[1]);
        let batch = HashedBatch::from_parts(hashes.clone(), indptr);
        if let Some(batch) = taken("hashed batch", batch, valid)? {
            same(
                "hashes",
                &batch.documents().flatten().copied().collect(),
                &hashes,
            )?;
        }
    }
    let starts = draw.many(n_starts, Draw::signed);
    let n_ends = draw.about(n_starts);
    let ends = draw.many(n_ends, Draw::signed);
    let plain = HashedChunk {
        hashes: &hashes,
        starts: &offsets[..n_rows],
        ends: &offsets[1..],
    };
    let chunks = [
        plain,
        HashedChunk {
            hashes: &hashes,
            starts: &starts,
            ends: &ends,
        },
    ];
    let n_picks = draw.below(8);
    let chunk_of = draw.many(n_picks, |draw| {
        if draw.seldom() {
            draw.unsigned()
        } else {
            draw.below(2) as u32
        }
    });
    let n_rows_of = draw.about(n_picks);
    let row_of = draw.many(n_rows_of, |draw| draw.unsigned() % 7);
    let options = RowOptions {
        n_features: [1, 2, 1000, 1 << 20, 1 << 31][draw.below(5)],
        value: [Value::Count, Value::Log, Value::Binary][draw.below(3)],
        norm: [None, Some(Norm::L1), Some(Norm::L2)][draw.below(3)],
    };
    let document = |(&chunk, &row): (&u32, &u32)| {
        let chunk = chunks.get(chunk as usize)?;
        let start = usize::try_from(*chunk.starts.get(row as usize)?).ok()?;
        let end = usize::try_from(*chunk.ends.get(row as usize)?).ok()?;
        chunk.hashes.get(start..end)
    };
    let documents: Option<Vec<&[u32]>> = chunk_of.iter().zip(&row_of).map(document).collect();
    let valid = documents.is_some() && chunk_of.len() == row_of.len();
    let rows = taken(
        "picked documents",
        picked_rows(&chunks, &chunk_of, &row_of, options),
        valid,
    )?;
    let (Some(rows), Some(documents)) = (rows, documents) else {
        return Ok(());
    };
    let mut indptr = vec![0];
    indptr.extend(documents.iter().scan(0, |end, document| {
        *end += document.len();
        Some(*end)
    }));
    let batch = HashedBatch::from_parts(documents.concat(), indptr).expect("a batch");
    same("picked documents", &rows, &learner_rows(&batch, options))
}

fn keys(draw: &mut Draw<'_>, offsets: &[i64]) -> Result<(), String> {
    let n = draw.below(20);
    let data = draw.many(n, Draw::byte);
    let inside = |ends: &[i64]| {
        let span = usize::try_from(ends[0]).ok()?..usize::try_from(ends[1]).ok()?;
        data.get(span)
    };
    let texts: Option<Vec<&[u8]>> = offsets.windows(2).map(inside).collect();
    let keys = taken(
        "keys",
        text_keys(&data, offsets, 1).ok_or("none"),
        texts.is_some(),
    )?;
    let (Some(keys), Some(texts)) = (keys, texts) else {
        return Ok(());
    };
    for (i, a) in texts.iter().enumerate() {
        for (j, b) in texts.iter().enumerate() {
            same("equality of keys", &(keys[i] == keys[j]), &(a == b))?;
        }
    }
    Ok(())
}
