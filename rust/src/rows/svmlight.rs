//! Rows as lines of the SVMlight format: `label feature:value feature:value …`.
//!
//! Features are counted from 1, as the format has it. Values are the shortest decimals that read back as the same
//! bits; a row has few distinct ones, so each is written once and then copied.

use std::fmt::{Display, Write};

/// Distinct values of a row that are remembered: counts of 1, 2, 3, … with either sign.
const REMEMBERED: usize = 8;

/// The lines of rows; `indptr` has one more element than there are labels.
///
/// # Errors
/// What is wrong, if the arrays do not fit together.
pub fn svmlight_lines<T: Display + PartialEq + Copy>(
    data: &[T],
    indices: &[i32],
    indptr: &[i64],
    labels: &[i64],
) -> Result<String, &'static str> {
    if indptr.len() != labels.len() + 1 || data.len() != indices.len() {
        return Err("the arrays differ in length");
    }
    let mut lines = String::with_capacity(16 * data.len() + 8 * labels.len());
    let mut known: Vec<(T, String)> = Vec::new();
    for (ends, label) in indptr.windows(2).zip(labels) {
        let span = usize::try_from(ends[0])
            .ok()
            .zip(usize::try_from(ends[1]).ok());
        let row = span.and_then(|(start, end)| data.get(start..end).zip(indices.get(start..end)));
        let (values, features) = row.ok_or("indptr leaves the arrays")?;
        known.clear();
        push(&mut lines, label);
        for (value, &feature) in values.iter().zip(features) {
            lines.push(' ');
            push(&mut lines, i64::from(feature) + 1);
            lines.push(':');
            match known.iter().find(|(met, _)| met == value) {
                Some((_, written)) => lines.push_str(written),
                None => {
                    let start = lines.len();
                    push(&mut lines, value);
                    if known.len() < REMEMBERED {
                        known.push((*value, lines[start..].to_owned()));
                    }
                }
            }
        }
        lines.push('\n');
    }
    Ok(lines)
}

fn push(line: &mut String, number: impl Display) {
    // Writing to a string cannot fail.
    let _ = write!(line, "{number}");
}

#[cfg(test)]
mod tests {
    use super::svmlight_lines;
    use proptest::prelude::*;

    #[test]
    fn rows_are_lines_with_features_counted_from_one() {
        let lines = svmlight_lines(&[0.5, -2.0, 0.5], &[0, 7, 2], &[0, 2, 2, 3], &[1, -1, 0]);
        assert_eq!(lines, Ok("1 1:0.5 8:-2\n-1\n0 3:0.5\n".to_owned()));
    }

    #[test]
    fn arrays_that_do_not_fit_are_refused() {
        assert!(svmlight_lines(&[1.0], &[0], &[0, 2], &[0]).is_err());
        assert!(svmlight_lines(&[1.0], &[0], &[1, 0], &[0]).is_err());
        assert!(svmlight_lines(&[1.0], &[0], &[0, -1], &[0]).is_err());
        assert!(svmlight_lines(&[1.0], &[0], &[0, 1], &[]).is_err());
        assert!(svmlight_lines(&[1.0], &[], &[0, 0], &[0]).is_err());
    }

    proptest! {
        #[test]
        fn values_read_back_as_the_same_bits(values in prop::collection::vec(-1e3f64..1e3, 0..30)) {
            let features: Vec<i32> = (0..values.len() as i32).collect();
            let lines = svmlight_lines(&values, &features, &[0, values.len() as i64], &[0]).expect("fits");
            let read = lines.split_whitespace().skip(1).map(|pair| {
                pair.split_once(':').expect("a pair").1.parse::<f64>().expect("a number").to_bits()
            });
            prop_assert_eq!(read.collect::<Vec<_>>(), values.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
        }
    }
}
