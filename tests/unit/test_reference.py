"""The reference grammar, with the cases of distribution/reference's own documentation and Docker's short names."""

import pytest

from wardian.errors import INVALID, WardianError
from wardian.images.reference import Reference, is_digest, name_to_make, parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("user/app", "docker.io/user/app:latest", "user/app:latest"),
        ("library/app", "docker.io/library/app:latest", "app:latest"),
        ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app:2", "localhost:5000/app:2", "localhost:5000/app:2"),
        ("127.0.0.1:5000/x/bb:1", "127.0.0.1:5000/x/bb:1", "127.0.0.1:5000/x/bb:1"),
        ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
        ("Registry/app", "Registry/app:latest", "Registry/app:latest"),
        ("quay.io/a/b/c-d__e.f", "quay.io/a/b/c-d__e.f:latest", "quay.io/a/b/c-d__e.f:latest"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"docker.io/library/busybox:1@{DIGEST}", f"busybox:1@{DIGEST}"),
        ("a:" + "t" * 128, "docker.io/library/a:" + "t" * 128, "a:" + "t" * 128),
    ],
)
def test_names(text: str, full: str, familiar: str) -> None:
    reference = parse_reference(text).with_default_tag()
    assert (str(reference), reference.familiar) == (full, familiar)
    assert parse_reference(full).with_default_tag() == reference
    assert parse_reference(familiar).with_default_tag() == reference


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid reference format"),
        ("App", r"repository name \(library/App\) must be lowercase"),
        ("Bad:Name:x", r"repository name \(library/Bad\) must be lowercase"),
        ("bad:Name:x", "invalid reference format$"),
        ("app:", "invalid reference format"),
        ("app:-x", "invalid reference format"),
        ("app:" + "t" * 129, "invalid reference format"),
        ("../etc/passwd", "invalid reference format"),
        ("a/../b", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("/a", "invalid reference format"),
        ("a/", "invalid reference format"),
        ("a___b", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("-a", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("a\n", "invalid reference format"),
        ("a\0b", "invalid reference format"),
        ("ä", "invalid reference format"),
        ("a" * 64, "cannot specify 64-byte hexadecimal strings"),
        ("app@sha256:" + "a" * 63, "unsupported digest|invalid reference format"),
        ("app@sha256:" + "A" * 64, "unsupported digest|invalid reference format"),
        ("app@sha512:" + "a" * 128, "unsupported digest algorithm"),
        ("app@sha256:../../etc", "invalid reference format"),
        ("r.io/" + "a" * 251, "must not be more than 255 characters"),
    ],
)
def test_what_is_no_reference(text: str, words: str) -> None:
    with pytest.raises(WardianError, match=words) as error:
        parse_reference(text)
    assert error.value.kind == INVALID


def test_a_digest_becomes_a_path_only_when_it_is_one() -> None:
    assert is_digest(DIGEST)
    for bad in ("sha256:", "sha256:../" + "a" * 61, DIGEST + "\n", DIGEST.upper(), "a" * 64):
        assert not is_digest(bad)


def test_parts() -> None:
    assert parse_reference("r.io:1/a/b:t") == Reference("r.io:1", "a/b", "t")
    assert parse_reference("r.io:1/a/b").name == "r.io:1/a/b"


@pytest.mark.parametrize(
    ("repo", "tag", "said"),
    [
        ("", "x", ""),
        ("a", "", "a:latest"),
        ("a:1", "", "a:1"),
        ("a:1", "2", "a:2"),
        ("Bad:Name", "x", "invalid reference format: repository name (library/Bad) must be lowercase"),
        ("a", "b c", "invalid tag format"),
        (f"a@{DIGEST}", "", "cannot import digest reference"),
        ("sha256:aa", "", "refusing to create an ambiguous tag using digest algorithm as name"),
    ],
)
def test_what_an_image_is_to_be_called(repo: str, tag: str, said: str) -> None:
    try:
        assert name_to_make(repo, tag) == said
    except WardianError as error:
        assert (error.kind, error.message) == (INVALID, said)
