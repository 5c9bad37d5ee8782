//! A failing input made small: documents and then bytes are left out, by halves, while it goes on failing.

/// Attempts that are made; each starts a process.
const ATTEMPTS: usize = 600;

/// The smallest documents found that still fail.
pub fn shrink(documents: Vec<Vec<u8>>, fails: &mut dyn FnMut(&[Vec<u8>]) -> bool) -> Vec<Vec<u8>> {
    let mut left = ATTEMPTS;
    let mut smallest = without_parts(documents, &mut left, fails);
    for i in 0..smallest.len() {
        let document = std::mem::take(&mut smallest[i]);
        let mut with = |bytes: &[u8]| {
            smallest[i] = bytes.to_vec();
            fails(&smallest)
        };
        let shorter = without_parts(document, &mut left, &mut with);
        smallest[i] = shorter;
    }
    smallest
}

/// What is left after leaving out half, a quarter, an eighth …, wherever the rest still fails.
fn without_parts<T: Clone>(
    mut whole: Vec<T>,
    left: &mut usize,
    fails: &mut dyn FnMut(&[T]) -> bool,
) -> Vec<T> {
    let mut size = whole.len();
    while size > 0 {
        let mut at = 0;
        while at < whole.len() && *left > 0 {
            let end = whole.len().min(at + size);
            let rest = [&whole[..at], &whole[end..]].concat();
            *left -= 1;
            if fails(&rest) {
                whole = rest;
            } else {
                at = end;
            }
        }
        size /= 2;
    }
    whole
}

#[test]
fn what_is_left_is_only_what_fails() {
    let documents = vec![vec![1; 90], vec![2, 3, 4, 5, 6, 2], vec![]];
    let mut fails = |documents: &[Vec<u8>]| {
        let bytes = documents.concat();
        bytes.contains(&4) && bytes.contains(&1)
    };
    assert_eq!(shrink(documents, &mut fails), [vec![1], vec![4]]);
}
