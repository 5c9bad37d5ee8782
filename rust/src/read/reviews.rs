//! Amazon's product reviews in pseudo-XML, as the multi-domain sentiment data set has them.
//!
//! ```text
//! <review>
//! <rating>
//! 5.0
//! </rating>
//! <review_text>
//! Great &amp; cheap.
//! </review_text>
//! </review>
//! ```
//!
//! One tag a line, no root element, bare `&` and `<` in the text: no XML parser reads it. Only the two wanted tags and
//! the end of the review are looked at. Ratings up to 2 are `negative`, from 4 on `positive`; the others are neutral
//! and dropped. Entities are replaced once and never expanded further.

use std::borrow::Cow;

use memchr::memmem;

use super::columns::{Columns, Fault, Reason, check_length, shown};
use super::lines::utf8;

/// What ends a review.
pub const END: &[u8] = b"</review>";

/// The columns of a block of reviews that starts at byte `position` of its file.
#[must_use]
pub fn parse(block: &[u8], position: i64, max_record_bytes: usize, labelled: bool) -> Columns {
    let mut columns = Columns::with_capacity(block.len());
    let ends = memmem::find_iter(block, END).map(|end| end + END.len());
    let mut start = 0;
    for end in ends.chain([block.len()]) {
        parse_reviews(
            &mut columns,
            position,
            block,
            start..end,
            max_record_bytes,
            labelled,
        );
        start = end;
    }
    columns
}

/// What stands between two ends: one review, or broken ones before it.
fn parse_reviews(
    columns: &mut Columns,
    position: i64,
    block: &[u8],
    span: std::ops::Range<usize>,
    max_record_bytes: usize,
    labelled: bool,
) {
    const BEGIN: &[u8] = b"<review>";
    let mut begins: Vec<usize> = memmem::find_iter(&block[span.clone()], BEGIN)
        .map(|at| span.start + at)
        .collect();
    if begins.is_empty() {
        match block[span.clone()]
            .iter()
            .position(|byte| !byte.is_ascii_whitespace())
        {
            None => return,
            Some(first) => begins.push(span.start + first),
        }
    }
    let last = begins.len() - 1;
    for (i, &begin) in begins.iter().enumerate() {
        let end = begins.get(i + 1).copied().unwrap_or(span.end);
        let at = position + begin as i64;
        let result = if i == last && block[..end].ends_with(END) {
            check_length(end - begin, max_record_bytes)
                .and_then(|()| parse_review(columns, at, &block[begin..end], labelled))
        } else {
            Err((
                Reason::BrokenReview,
                "no </review> before the next one".to_owned(),
            ))
        };
        if let Err(fault) = result {
            columns.reject(at, fault);
        }
    }
}

fn parse_review(
    columns: &mut Columns,
    at: i64,
    review: &[u8],
    labelled: bool,
) -> Result<(), Fault> {
    let review = utf8(review)?;
    let text = element(review, "<review_text>", "</review_text>")
        .ok_or_else(|| (Reason::MissingText, "no <review_text>".to_owned()))?;
    let label = if labelled {
        Some(label_of(review)?)
    } else {
        None
    };
    columns.data.extend_from_slice(unescape(text).as_bytes());
    columns.finish_row(at, label, None);
    Ok(())
}

fn label_of(review: &str) -> Result<&'static str, Fault> {
    let rating = element(review, "<rating>", "</rating>")
        .ok_or_else(|| (Reason::MissingLabel, "no <rating>".to_owned()))?;
    let out_of_range = || Err((Reason::WrongType, format!("rating {}", shown(rating))));
    match rating.parse::<f64>() {
        Ok(stars) if !stars.is_finite() => out_of_range(),
        Ok(stars) if stars <= 2.0 => Ok("negative"),
        Ok(stars) if stars >= 4.0 => Ok("positive"),
        Ok(stars) => Err((Reason::Neutral, format!("{stars} stars"))),
        Err(_) => out_of_range(),
    }
}

fn element<'review>(review: &'review str, open: &str, close: &str) -> Option<&'review str> {
    let start = review.find(open)? + open.len();
    let end = start + review[start..].find(close)?;
    Some(review[start..end].trim())
}

/// The text with its entities replaced: the five of XML, `&nbsp;` and numbers. Anything else stays as it is.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        // No entity is longer than ten bytes: a far semicolon belongs to something else.
        let window = &rest.as_bytes()[..rest.len().min(12)];
        let entity =
            memchr::memchr(b';', window).and_then(|end| Some((end, character(&rest[1..end])?)));
        match entity {
            Some((end, character)) => {
                out.push(character);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn character(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    })
}
