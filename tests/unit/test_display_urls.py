"""URLs are reduced to their public part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manymill.display import has_credentials, public_url

SECRETS = [
    ("https://me:pass@host/a.csv", "https://host/a.csv"),
    ("https://me@host/a.csv", "https://host/a.csv"),
    ("https://me:p@ss@host:8080/a.csv", "https://host:8080/a.csv"),
    ("https://me:pa/ss@host/a.csv", "https://host/a.csv"),
    ("https://me:pa?ss@host/a.csv", "https://host/a.csv"),
    ("https://me:pa'ss@host/a.csv", "https://host/a.csv"),
    ("HTTPS://me:pass@[::1]:80/a.csv?x", "HTTPS://[::1]:80/a.csv"),
    ("https://host/a.csv?X-Amz-Signature=1&b=2#access_token=3", "https://host/a.csv"),
    ("s3://key:secret@bucket/a.csv", "s3://bucket/a.csv"),
    ("s3://bucket/a.csv?versionId=3", "s3://bucket/a.csv"),
    ("sftp://me:pass@host/a.csv", "sftp://host/a.csv"),
    ("simplecache::https://me:pass@host/a.csv", "simplecache::https://host/a.csv"),
    ("zip://a.csv::https://me:pass@host/a.zip?sig=1", "zip://a.csv::https://host/a.zip"),
    ("https://host/a?sig=1::file://b?sig=2", "https://host/a::file://b"),
    ("https:/me:pass@host/a.csv?sig=1", "https:/host/a.csv"),  # as a Path writes it
    ("s3:/key:secret@bucket/a.csv", "s3:/bucket/a.csv"),
    ("https://host/a?sig=1: not found", "https://host/a: not found"),
    ("cannot open 'https://me:pass@host/a?sig=1' now", "cannot open 'https://host/a' now"),
]
PUBLIC = [
    "reviews/*.jsonl",
    "a?b#c@d",
    "me@host.org wrote: x=1?",
    "https://host/@user/a.csv",
    "https://host:8080/a@b.csv",
    "s3://bucket/part-?.csv",
    "s3://bucket/a#1.csv",
    "memory://a.csv",
    "C:/users/me@work/a.csv",
    "notes:/a@b.csv",
    "abfs://container@account.dfs.core.windows.net/a.csv",
]


@pytest.mark.parametrize(("url", "public"), SECRETS)
def test_user_password_query_and_fragment_are_left_out(url: str, public: str) -> None:
    assert public_url(url) == public
    assert has_credentials(url)


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_not_secret_stays(text: str) -> None:
    assert public_url(text) == text
    assert not has_credentials(text)


@given(
    st.sampled_from(["http", "https", "ftp", "s3", "gs", "sftp"]),
    # With both @ and / in a password nothing tells it from a host and a path.
    st.text(st.characters(codec="ascii", exclude_categories=["C", "Z"], exclude_characters="<>\"'@"))
    | st.text(st.sampled_from("ab:@!")),
)
def test_no_password_survives_in_a_url_or_in_a_message(scheme: str, password: str) -> None:
    url = f"{scheme}://user:S3CRET{password}S3CRET@host/path.csv"
    assert "S3CRET" not in public_url(url)
    assert "S3CRET" not in public_url(f"{url} does not exist")


@given(st.text())
def test_the_public_part_of_a_public_part_is_itself(text: str) -> None:
    once = public_url(f"https://a:b@{text}")
    assert public_url(once) == once
