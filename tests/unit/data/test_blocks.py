"""How each text format handles unusual records."""

import json

import pytest

from manymill.data.dataset import scan
from manymill.data.reader import read
from manymill.errors import RowError, SchemaError, SourceError


@pytest.fixture
def put(tmp_path):
    def write(name, data):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


def _read(path, **options):
    return list(read(scan(path, **options).plan()))


def _rows(batches):
    return [row for batch in batches for row in zip(batch.labels(), batch.texts(), strict=True)]


def _bad(batches):
    return [(row.reason, row.where) for batch in batches for row in batch.bad]


REVIEW = "<review>\n<rating>\n{}\n</rating>\n<review_text>\n{}\n</review_text>\n</review>\n"


def test_reviews_are_kept_dropped_as_neutral_or_bad(put):
    reviews = [REVIEW.format(stars, f"text {stars}") for stars in ("1.0", "2.0", "3.0", "4.0", "5.0", "many")]
    batches = _read(put("a.review", "".join(reviews) + "<review>\n<rating>\n1.0\n"))
    assert [label for label, _ in _rows(batches)] == ["negative", "negative", "positive", "positive"]
    assert [reason for reason, _ in _bad(batches)] == ["neutral", "wrong type", "broken review"]


def test_an_unclosed_review_does_not_swallow_the_next_one(put):
    batches = _read(put("a.review", "<review>\n<rating>1\n" + REVIEW.format("5.0", "fine")))
    assert _rows(batches) == [("positive", "fine")]
    assert _bad(batches) == [("broken review", "byte 0")]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("AT&amp;T &lt;b&gt; &quot;x&quot;", 'AT&T <b> "x"'),
        ("&#233;&#xe9;", "éé"),
        ("&amp;amp;", "&amp;"),
        ("a & b &unknown; &#xD800; &", "a & b &unknown; &#xD800; &"),
    ],
)
def test_entities_are_replaced_once(put, written, meant):
    assert _rows(_read(put("a.review", REVIEW.format("5.0", written)))) == [("positive", meant)]


def test_a_strict_run_lets_neutral_reviews_pass(put):
    path = put("a.review", REVIEW.format("3.0", "meh") + REVIEW.format("5.0", "fine"))
    assert _rows(_read(path, strict=True)) == [("positive", "fine")]


def test_a_fasttext_line_counts_for_its_first_label(put):
    batches = _read(
        put("a.txt", "__label__a __label__b one\n__label__c two\nnone\n__label__d\n__label__ x\n")
    )
    assert _rows(batches) == [("a", "one"), ("c", "two"), ("d", "")]
    assert _bad(batches) == [("missing label", "byte 41"), ("empty label", "byte 57")]


def test_a_folder_tree_takes_labels_from_its_first_folders(put, tmp_path):
    put("tree/pos/1.txt", "good")
    put("tree/neg/deep/2.txt", "bad")
    put("tree/urls.txt", "not a document")
    put("tree/neg/.hidden", "no")
    put("tree/pos/latin", "\xe9".encode("latin-1"))
    batches = _read(tmp_path / "tree")
    assert _rows(batches) == [("neg", "bad"), ("pos", "good")]
    assert [row.file.rsplit("/", 1)[1] for batch in batches for row in batch.bad] == ["latin"]
    assert len(_rows(_read(tmp_path / "tree", encoding="latin-1"))) == 3


def test_a_folder_tree_of_many_files_has_many_blocks(put, tmp_path):
    for i in range(100):
        put(f"tree/{i % 2}/{i}", "x" * 100)
    plan = scan(tmp_path / "tree").plan(block_bytes=1000)
    assert len(plan.blocks) == 10
    assert sorted(text for batch in read(plan, seed=1) for text in batch.texts()) == ["x" * 100] * 100


def test_a_directory_of_data_files_is_read_as_such(put, tmp_path):
    put("d/part=1/a.jsonl", '{"text": "one", "label": "x"}\n')
    put("d/part=2/b.jsonl", '{"text": "two", "label": "x"}\n')
    put("d/_SUCCESS", "")
    assert _rows(_read(tmp_path / "d")) == [("x", "one"), ("x", "two")]


def test_csv_records_may_span_lines_and_be_ragged_or_unbalanced(put):
    data = 'text,label\r\n"two\nlines, ""so""",a\r\nshort\r\n1,2,3\r\n\r\nfine,b\r\n"open,c\r\nx,y\r\n'
    batches, opened = _read(put("a.csv", data)), '"open'
    assert _rows(batches) == [("a", 'two\nlines, "so"'), ("b", "fine")]
    assert [reason for reason, _ in _bad(batches)] == ["ragged row", "ragged row", "unbalanced quote"]
    assert _bad(batches)[-1][1] == f"byte {data.index(opened)}"


def test_csv_columns_of_digits_are_integers_and_others_are_not(put):
    assert scan(put("a.csv", "text,label\na,1\nb,-2\n")).plan().labels_are_integers
    assert not scan(put("b.csv", "text,label\na,1\nb,02\n")).plan().labels_are_integers


def test_a_csv_file_without_a_header_has_columns_by_number(put):
    path = put("a.csv", '"0","id","user","so sad"\n"4","id","user","so good"\n')
    assert _rows(_read(path, text="3", label="0")) == [("0", "so sad"), ("4", "so good")]


@pytest.mark.parametrize(
    ("literal", "label"),
    [('"a"', "a"), ("1", "1"), ("-0.50", "-0.50"), ("true", "true"), ('"\\u00e9"', "é"), ("1e3", "1e3")],
)
def test_a_json_label_is_a_string_or_a_literal(put, literal, label):
    assert _rows(_read(put("a.jsonl", f'{{"text": "t", "label": {literal}}}'))) == [(label, "t")]


def test_json_integers_are_integers_and_strings_of_digits_are_not(put):
    assert (
        scan(put("a.jsonl", '{"text": "t", "label": 1}\n{"text": "t", "label": 2}'))
        .plan()
        .labels_are_integers
    )
    assert not scan(put("b.jsonl", '{"text": "t", "label": "1"}')).plan().labels_are_integers


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "broken JSON"),
        ('{"text": "t", "label": NaN}', "broken JSON"),
        ('{"text": "t", "label": 1e999}', "wrong type"),
        ('{"text": "\\ud800", "label": "a"}', "broken JSON"),
        ('{"text": "t", "label": null}', "missing label"),
        ('{"text": null, "label": "a"}', "missing text"),
        ('{"text": ["t"], "label": "a"}', "wrong type"),
        ('{"text": "t", "label": ""}', "empty label"),
        ('{"text": "t", "label": {}}', "wrong type"),
        ('["t"]', "not an object"),
        ("[" * 100_000, "not an object"),
        ('{"text": ' + "[" * 100_000, "broken JSON"),
        ('{"text": "t", "label": "a", "x": ' + '{"a":' * 100_000, "broken JSON"),
        (b'{"text": "\xff", "label": "a"}', "invalid UTF-8"),
    ],
)
def test_a_bad_json_line_has_a_reason_and_spares_its_neighbours(put, line, reason):
    good = b'{"text": "t", "label": "a"}\n'
    line = line if isinstance(line, bytes) else line.encode()
    batches = _read(put("a.jsonl", good + line + b"\n" + good))
    assert len(_rows(batches)) == 2
    assert _bad(batches) == [(reason, "byte 28")]


def test_the_last_of_equal_fields_counts_as_in_python(put):
    line = '{"text": 1, "text": "no", "label": "x", "text": "yes", "label": 2}'
    assert _rows(_read(put("a.jsonl", line))) == [("2", json.loads(line)["text"])]


def test_bom_crlf_nul_and_blank_lines_are_no_trouble(put):
    data = b'\xef\xbb\xbf{"text": "a\\u0000b", "label": "x"}\r\n\r\n  \n{"text": "\x7f", "label": "y"}'
    assert _rows(_read(put("a.jsonl", data))) == [("x", "a\0b"), ("y", "\x7f")]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
def test_other_encodings_are_decoded(put, name, encoding):
    text = "text,label\ncafé,ü\n" if name == "a.csv" else '{"text": "café", "label": "ü"}\n'
    assert _rows(_read(put(name, text.encode(encoding)), encoding=encoding)) == [("ü", "café")]


def test_a_wrong_encoding_is_named(put):
    with pytest.raises(SourceError, match=r"a\.txt is not utf-16"):
        _read(put("a.txt", "__label__a b"), encoding="utf-16", format="fasttext")


def test_utf_16_without_a_word_is_refused_with_a_hint(put):
    with pytest.raises(SourceError, match="--encoding utf-16"):
        scan(put("a.jsonl", '{"text": "a"}'.encode("utf-16"))).plan()


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.txt"])
def test_a_long_record_is_skipped_and_told(put, name):
    import gzip

    long = "x" * 3_000_000
    good = {"jsonl": '{{"text": "{}", "label": "a"}}\n', "csv": "{},a\n", "txt": "__label__a {}\n"}
    record = good[name.split(".")[1]]
    head = "text,label\n" if name == "a.csv" else ""
    data = (head + "".join(record.format(text) for text in ("one", long, "two"))).encode()
    path = put(name, gzip.compress(data) if name.endswith("gz") else data)
    batches = _read(path, max_record_bytes=10_000)
    assert _rows(batches) == [("a", "one"), ("a", "two")]
    assert _bad(batches) == [("record too long", f"byte {len(head + record.format('one'))}")]


def test_weights_are_read_and_judged(put):
    lines = "".join(f'{{"text": "t", "label": "a", "w": {w}}}\n' for w in ("2", '"0.5"', "-1", "null", "[]"))
    batches = _read(put("a.jsonl", lines), weight="w")
    assert batches[0].weight.tolist() == [2.0, 0.5]
    assert [reason for reason, _ in _bad(batches)] == ["bad weight", "missing weight", "bad weight"]


def test_a_strict_run_stops_at_the_first_bad_row(put):
    path = put("a.jsonl", '{"text": "t", "label": "a"}\nbroken\n')
    with pytest.raises(RowError, match=r"a\.jsonl, byte 28: invalid JSON .* Hint: each line"):
        _read(path, strict=True)


def test_a_json_array_is_refused_with_a_hint(put):
    with pytest.raises(SourceError, match="JSON lines, for example with jq"):
        scan(put("a.json", '[{"text": "a", "label": "b"}]')).plan()


def test_columns_are_guessed_by_name_and_by_look_and_said(put):
    lines = "".join(f'{{"k": "{"ab"[i % 2]}", "n": {i}, "words": "some {i} words"}}\n' for i in range(20))
    plan = scan(put("a.jsonl", lines)).plan()
    assert (plan.columns.text, plan.columns.label) == ("words", "k")
    assert any("'words'" in note and "text=" in note for note in plan.notes)


def test_a_wrong_column_is_named_with_the_right_one(put):
    path = put("a.jsonl", '{"text": "t", "label": "a"}\n')
    with pytest.raises(
        SchemaError, match=r"'Text' not found in .*a\.jsonl \(has: text, label\).*mean 'text'"
    ):
        scan(path, text="Text").plan()


def test_a_later_file_without_the_column_is_named(put):
    paths = [put("a.csv", "text,label\na,b\n"), put("b.csv", "txt,label\na,b\n")]
    with pytest.raises(SchemaError, match=r"'text' not found in .*b\.csv"):
        scan(paths).plan()


def test_csv_files_may_order_their_columns_as_they_like(put):
    paths = [put("a.csv", "text,label\na,b\n"), put("b.csv", "x,label,text\n1,c,d\n")]
    assert _rows(_read(paths)) == [("b", "a"), ("c", "d")]


def test_files_of_two_formats_are_refused(put):
    paths = [put("a.csv", "text,label\na,b\n"), put("b.jsonl", '{"text": "t", "label": "a"}\n')]
    with pytest.raises(SourceError, match="one format at a time"):
        scan(paths).plan()
