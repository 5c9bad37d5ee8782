//! The inside of a JSON string: where it ends, and what it denotes.
//!
//! ```text
//! 16 bytes without a quote, a backslash or a control character stand for themselves: copied, or passed, at once
//! else those before the first such byte, and then
//!     quote              → the end
//!     backslash          → the character that the escape denotes
//!     control character  → no string
//! ```

use crate::kernels::plain::{CHUNK, count_plain, is_special};

/// The characters that escapes of one letter denote; 0 where there is no such escape.
const UNESCAPED: [u8; 256] = {
    let mut unescaped = [0; 256];
    let pairs = *b"\"\"\\\\//b\x08f\x0cn\nr\rt\t";
    let mut i = 0;
    while i < pairs.len() {
        unescaped[pairs[i] as usize] = pairs[i + 1];
        i += 2;
    }
    unescaped
};

/// Where the string whose inside starts at `at` has its closing quote; `None` if it is broken.
///
/// As with `serde_json`, a string that nobody wants may hold lone surrogates.
pub fn skip(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = plain_end(bytes, at);
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += escape_length(bytes.get(at + 1..)?)?,
            _ => return None,
        }
    }
}

/// Append the string whose inside starts at `at`; where its closing quote stands, or `None` if it is broken.
pub fn append(bytes: &[u8], mut at: usize, out: &mut Vec<u8>) -> Option<usize> {
    loop {
        at = append_plain(bytes, at, out);
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => {
                // By a table: which escape comes next is as good as random.
                let byte = UNESCAPED[usize::from(*bytes.get(at + 1)?)];
                if byte != 0 {
                    out.push(byte);
                    at += 2;
                } else {
                    at += append_code_point(&bytes[at + 1..], out)?;
                }
            }
            _ => return None,
        }
    }
}

/// The first special byte from `at` on, or the end.
#[inline]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        match count_plain(chunk) {
            // Not `at += n`: the next chunk would have to wait until this one is counted.
            CHUNK => at += CHUNK,
            n_plain => return at + n_plain,
        }
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|&&byte| !is_special(byte)).count()
}

/// [`plain_end`], and append what stands before it.
#[inline]
fn append_plain(bytes: &[u8], mut at: usize, out: &mut Vec<u8>) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        // A copy of fixed length is a few instructions, one of any length a call.
        out.extend_from_slice(chunk);
        match count_plain(chunk) {
            CHUNK => at += CHUNK,
            n_plain => {
                out.truncate(out.len() - (CHUNK - n_plain));
                return at + n_plain;
            }
        }
    }
    let end = plain_end(bytes, at);
    out.extend_from_slice(&bytes[at..end]);
    end
}

/// The bytes of an escape, the backslash before `escape` counted; `None` if there is no such escape.
fn escape_length(escape: &[u8]) -> Option<usize> {
    match escape.split_first()? {
        (b'u', digits) => hexadecimal(digits).map(|_| 6),
        (letter, _) => (UNESCAPED[usize::from(*letter)] != 0).then_some(2),
    }
}

/// Append the character of an escape of four hexadecimal digits, or of two surrogates written so; the bytes of it,
/// the backslash before `escape` counted.
fn append_code_point(escape: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let digits = escape.strip_prefix(b"u")?;
    let first = hexadecimal(digits)?;
    let (code_point, length) = match first {
        0xd800..0xdc00 => {
            let second = hexadecimal(digits.get(4..)?.strip_prefix(b"\\u")?)?;
            let tail = second.checked_sub(0xdc00).filter(|tail| *tail < 0x400)?;
            (0x1_0000 + ((first - 0xd800) << 10 | tail), 12)
        }
        _ => (first, 6),
    };
    let character = char::from_u32(code_point)?;
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Some(length)
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    let four: &[u8; 4] = digits.first_chunk()?;
    four.iter().try_fold(0, |number, &digit| {
        Some(number << 4 | char::from(digit).to_digit(16)?)
    })
}
