//! The quick way against the strict one: they take the same rows and reject the same lines for the same reasons.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// What stands inside a string: as it is, and escaped.
const INSIDE: [&str; 13] = [
    "",
    "a",
    " plain words ",
    "more than sixteen bytes of text, so that whole chunks are met",
    "é",
    "日本語 naïve",
    "😀",
    "\\n",
    "\\\"",
    "\\\\",
    "\\/\\b\\f\\r\\t",
    "\\u00e9\\uD83D\\uDe00",
    "\u{7f}\u{80}",
];
/// What stands inside a broken one.
const BROKEN: [&str; 7] = [
    "\\ud83d",
    "\\ude00",
    "\\ud83d\\u0041",
    "\\u00g0",
    "\\x",
    "\t",
    "\"",
];
const OTHER_VALUES: [&str; 24] = [
    "null",
    "true",
    "false",
    "True",
    "nul",
    "0",
    "-0",
    "01",
    "12",
    "-1.5e+3",
    "1.",
    ".5",
    "1e",
    "1e999",
    "NaN",
    "-",
    "[]",
    "[1, {\"text\": [null]}]",
    "{\"label\": {}, \"a\": \"\\ud800\"}",
    "{\"a\": 1,}",
    "[1\n]",
    "{\"text\"}",
    "'a'",
    "",
];
const NAMES: [&str; 9] = [
    "text",
    "label",
    "weight",
    "id",
    "te",
    "text2",
    "t\\u0065xt",
    "é",
    "",
];
const BLANKS: [&str; 6] = ["", " ", "  \t", "\r", "\u{a0}", "\u{c}"];

fn string() -> impl Strategy<Value = String> {
    let part = prop_oneof![30 => select(&INSIDE[..]), 1 => select(&BROKEN[..])];
    vec(part, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn blank() -> impl Strategy<Value = &'static str> {
    prop_oneof![40 => Just(""), 9 => Just(" "), 1 => select(&BLANKS[..])]
}

fn field(name: impl Strategy<Value = &'static str>) -> impl Strategy<Value = String> {
    let number = select(&["1", "0.5", "2e1", "\"3\""][..]).prop_map(str::to_owned);
    let value = prop_oneof![
        12 => string(),
        2 => number.clone(),
        1 => select(&OTHER_VALUES[..]).prop_map(str::to_owned)
    ];
    (blank(), name, blank(), blank(), value, number, blank()).prop_map(
        |(before, name, left, right, value, number, behind)| {
            let value = if name == "weight" { number } else { value };
            format!("{before}\"{name}\"{left}:{right}{value}{behind}")
        },
    )
}

/// An object of the wanted fields, sometimes without one, and of some others, in any order.
fn object() -> impl Strategy<Value = String> {
    let fields = (
        field(Just("text")),
        field(Just("label")),
        field(Just("weight")),
        vec(field(select(&NAMES[..])), 0..3),
        0..20usize,
    );
    let fields = fields.prop_flat_map(|(text, label, weight, others, missing)| {
        let mut fields = vec![text, label, weight];
        if missing < fields.len() {
            fields.remove(missing);
        }
        fields.extend(others);
        Just(fields).prop_shuffle()
    });
    (fields, blank(), blank())
        .prop_map(|(fields, before, behind)| format!("{before}{{{}}}{behind}", fields.join(",")))
}

/// Where to hurt a block, and by which byte.
type Wound = (prop::sample::Index, u8);

fn wounds() -> impl Strategy<Value = Vec<Wound>> {
    let byte = prop_oneof![
        select(&b"{}[]\",:\\u0tn1eE.-+ \x00\t\r\n\xc3\xff"[..]),
        any::<u8>()
    ];
    vec((any::<prop::sample::Index>(), byte), 0..3)
}

fn wanted(label: bool, weight: bool) -> Wanted {
    Wanted {
        text: "text".to_owned(),
        label: label.then(|| "label".to_owned()),
        weight: weight.then(|| "weight".to_owned()),
    }
}

/// The columns of a block, no line of which is taken the quick way.
fn parse_strictly(block: &[u8], max_record_bytes: usize, wanted: &Wanted) -> Columns {
    for_each_line(
        block,
        7,
        max_record_bytes,
        |_, _, _| None,
        |columns, at, line| strict::take(columns, at, line, wanted),
    )
}

fn assert_twins(block: &[u8], max_record_bytes: usize, wanted: &Wanted) {
    let quick = parse(block, 7, max_record_bytes, wanted);
    let slow = parse_strictly(block, max_record_bytes, wanted);
    let shown = String::from_utf8_lossy(block);
    assert_eq!(quick.data, slow.data, "{shown:?}");
    assert_eq!(quick.offsets, slow.offsets, "{shown:?}");
    assert_eq!(quick.position, slow.position, "{shown:?}");
    assert_eq!(quick.codes, slow.codes, "{shown:?}");
    assert_eq!(quick.classes, slow.classes, "{shown:?}");
    assert_eq!(quick.weight, slow.weight, "{shown:?}");
    assert_eq!(quick.bad, slow.bad, "{shown:?}");
    assert_eq!(quick.bad_counts, slow.bad_counts, "{shown:?}");
    assert_eq!(quick.labels_are_integers, slow.labels_are_integers);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn lines_are_taken_as_the_strict_way_takes_them(
        objects in vec(object(), 1..6),
        ends in vec(select(&["\n", "\r\n", "\n\n", "\r\r\n", " \n"][..]), 6),
        wounds in wounds(),
        label: bool,
        weight: bool,
        last_line_ends: bool,
        max_record_bytes in prop_oneof![4 => Just(usize::MAX), 1 => 0..60usize],
    ) {
        let mut block = String::new();
        for (object, end) in objects.iter().zip(&ends) {
            block += object;
            block += end;
        }
        let mut block = if last_line_ends { block } else { block.trim_end_matches('\n').to_owned() }.into_bytes();
        for (place, byte) in wounds {
            let place = place.index(block.len().max(1));
            if let Some(old) = block.get_mut(place) {
                *old = byte;
            }
        }
        assert_twins(&block, max_record_bytes, &wanted(label, weight));
    }

    #[test]
    fn any_bytes_are_taken_as_the_strict_way_takes_them(block: Vec<u8>) {
        assert_twins(&block, usize::MAX, &wanted(true, false));
    }
}

#[test]
fn a_line_cut_off_anywhere_is_taken_as_the_strict_way_takes_it() {
    let line =
        r#"{"id": [1, {"a": null}], "text": "naïve \ud83d\ude00 and so on", "label": -1.5e3}"#;
    for end in 0..=line.len() {
        assert_twins(&line.as_bytes()[..end], usize::MAX, &wanted(true, true));
    }
}

#[test]
fn names_that_need_an_escape_are_found_the_strict_way() {
    let wanted = Wanted {
        text: "a\"b".to_owned(),
        label: None,
        weight: None,
    };
    let block = br#"{"a"b": "no JSON"}
{"a\"b": "text"}"#;
    assert_twins(block, usize::MAX, &wanted);
    assert_eq!(parse(block, 0, usize::MAX, &wanted).data, b"text");
}

#[test]
fn ordinary_lines_are_taken_at_once() {
    let wanted = wanted(true, true);
    let ordinary = Ordinary::new(&wanted, usize::MAX).unwrap();
    let mut columns = Columns::with_capacity(0);
    for line in [
        "{\"text\":\"a\",\"label\":\"b\",\"weight\":1}",
        " { \"label\" : 1 , \"tags\" : [ { } ] , \"weight\" : \"0.5\" , \"text\" : \"\\u00e9\\n\" } \r\n",
        "{\"weight\": 1e0, \"id\": null, \"label\": true, \"text\": \"\"}\n",
    ] {
        assert_eq!(ordinary.take(&mut columns, 0, line), Some(line.len()));
    }
    assert_eq!(columns.data, "aé\n".as_bytes());
    assert_eq!(columns.classes, ["b", "1", "true"]);
}
