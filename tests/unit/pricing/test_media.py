"""
Sizes of images and PDFs, read from their bytes.
"""

import base64
import struct
import time
import zlib

import pytest

from pricing.media import Effort, PdfSize, image_tokens, pdf_size


def b64(raw: bytes) -> str:
    """Base64 text, as in a request."""
    return base64.b64encode(raw).decode("ascii")


def png(width: int, height: int) -> bytes:
    """The head of a PNG."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x02\x00\x00\x00"


def jpeg(width: int, height: int, before: bytes = b"") -> bytes:
    """The head of a JPEG with an APP1 segment that hides the frame header of a thumbnail."""
    thumb = b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", 8, 8)
    app1 = b"\xff\xe1" + struct.pack(">H", len(thumb) + 2) + thumb
    frame = b"\xff\xc2" + struct.pack(">HBHH", 17, 8, height, width) + b"\x03" + b"\x00" * 9
    return b"\xff\xd8" + app1 + before + b"\xff\xff\xc4\x00\x04\x00\x00" + frame


def gif(width: int, height: int) -> bytes:
    """The head of a GIF."""
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x00" * 8


def webp(kind: bytes, body: bytes) -> bytes:
    """The head of a WebP of one of its three kinds."""
    return (
        b"RIFF" + struct.pack("<I", 100) + b"WEBP" + kind + struct.pack("<I", len(body)) + body + b"\x00" * 16
    )


WEBPS = [
    webp(b"VP8X", b"\x00" * 4 + (1023).to_bytes(3, "little") + (767).to_bytes(3, "little")),
    webp(b"VP8L", b"\x2f" + (1023 | 767 << 14).to_bytes(4, "little")),
    webp(b"VP8 ", b"\x00" * 3 + b"\x9d\x01\x2a" + struct.pack("<HH", 1024, 768)),
]


@pytest.mark.parametrize("raw", [png(1024, 768), jpeg(1024, 768), gif(1024, 768), *WEBPS])
def test_the_size_is_read_from_the_header(raw: bytes) -> None:
    """1024 x 768 is 37 x 28 patches = 1036, or 1024 x 768 / 750 = 1049 rounded up: the larger counts."""
    assert image_tokens(b64(raw)) == 1049


def test_thin_images_count_whole_patches() -> None:
    """2000 x 1 pixels is 72 patches although it has only 2.7 times 750 pixels."""
    assert image_tokens(b64(png(2000, 1))) == 72


def test_a_header_behind_long_metadata_is_still_found() -> None:
    """JPEG metadata can be longer than the prefix that is decoded first."""
    metadata = (b"\xff\xe2" + struct.pack(">H", 60_002) + b"\x00" * 60_000) * 3
    assert image_tokens(b64(jpeg(1024, 768, metadata))) == 1049


@pytest.mark.parametrize(
    "data",
    [
        "",
        "=",
        "AAAA",
        "not base64 ü",
        b64(b"\xff\xd8\xff"),
        b64(png(0, 5)),
        b64(b"RIFF....WEBPVP8?" + b"\x00" * 20),
        b64(b"BM" + b"\x00" * 60),
        b64(png(5, 5)[:20]),
        b64(b"\xff\xd8" + b"\xff\xe1\x00\x00" * 3),
    ],
)
def test_an_unreadable_image_is_unknown(data: str) -> None:
    """None, so that the caller takes the maximum; never a crash."""
    assert image_tokens(data) is None


def pdf(*objects: bytes) -> bytes:
    """A PDF of these objects."""
    return b"%PDF-1.7\n" + b"\n".join(b"%d 0 obj\n%s\nendobj" % (i, o) for i, o in enumerate(objects, 1))


def stream(header: bytes, body: bytes, *, deflate: bool = True) -> bytes:
    """A stream object."""
    packed = zlib.compress(body) if deflate else body
    kind = b"/Filter /FlateDecode " if deflate else b""
    return b"<< " + header + kind + b"/Length %d >>\nstream\n" % len(packed) + packed + b"\nendstream"


PAGE = b"<< /Type /Page /Parent 1 0 R >>"
PAGES = b"<< /Type /Pages /Kids [2 0 R] /Count %d >>"


def test_pages_and_text_are_counted() -> None:
    """Pages by object, text by the inflated bytes of content streams."""
    raw = pdf(PAGES % 2, PAGE, PAGE, stream(b"", b"x" * 1000), stream(b"", b"y" * 500, deflate=False))
    size = pdf_size(b64(raw))
    assert size is not None
    assert size.pages == 2
    assert 1500 <= size.text_bytes <= 1502


def test_pages_in_compressed_object_streams_are_counted() -> None:
    """Newer PDFs hide their page objects in streams."""
    raw = pdf(stream(b"/Type /ObjStm ", PAGE * 5 + PAGES % 3))
    size = pdf_size(b64(raw))
    assert size is not None
    assert size.pages == 5


def test_a_page_tree_that_states_more_pages_than_are_found_is_not_read() -> None:
    """It shows one page object several times, or pages that were not found."""
    assert pdf_size(b64(pdf(PAGES % 40, PAGE))) is None
    assert pdf_size(b64(pdf(PAGES % 2, PAGE, stream(b"/Type /ObjStm ", PAGE)))) == PdfSize(2, len(PAGE))
    twice = pdf(PAGES % 2, PAGE) + b"\n2 0 obj\n" + PAGE + b"\nendobj"
    assert pdf_size(b64(twice)) is None


def test_the_lines_of_an_outline_are_no_pages() -> None:
    """They are counted by a field of the same name."""
    line = b"<< /Title (Chapter) /Parent 3 0 R /First 5 0 R /Last 9 0 R /Count 40 /Dest [2 0 R /Fit] >>"
    raw = pdf(PAGES % 1, PAGE, b"<< /Type /Outlines /First 4 0 R /Last 4 0 R /Count 50 >>", line)
    assert pdf_size(b64(raw)) == PdfSize(1, 0)
    forged = pdf(b"<< /Type /Pages /First 4 0 R /Kids [2 0 R] /Count 50 >>", PAGE)
    assert pdf_size(b64(forged)) is None


def shows(*contents: bytes) -> list[bytes]:
    """Pages that show these contents."""
    return [b"<< /Type /Page /Parent 1 0 R /Contents %s >>" % item for item in contents]


TEXT = stream(b"", b"x" * 100)


def test_pages_of_their_own_content_are_read() -> None:
    """One stream, or several in an array, wherever the array stands; a page changed later counts again."""
    assert pdf_size(b64(pdf(PAGES % 2, *shows(b"4 0 R", b"[5 0 R 6 0 R]"), TEXT, TEXT, TEXT))) == PdfSize(
        2, 300
    )
    arrays = pdf(PAGES % 2, *shows(b"4 0 R", b"5 0 R"), b"[6 0 R]", b"[7 0 R]", TEXT, TEXT)
    assert pdf_size(b64(arrays)) == PdfSize(2, 200)
    changed = pdf(PAGES % 1, *shows(b"3 0 R"), TEXT) + b"\n2 0 obj\n" + shows(b"3 0 R")[0] + b"\nendobj"
    assert pdf_size(b64(changed)) == PdfSize(2, 100)


@pytest.mark.parametrize(
    "raw",
    [
        pdf(PAGES % 2, *shows(b"4 0 R", b"4 0 R"), TEXT),
        pdf(PAGES % 2, *shows(b"4 0 R", b"[5 0 R 4 0 R]"), TEXT, TEXT),
        pdf(PAGES % 1, *shows(b"[3 0 R 3 0 R]"), TEXT),
        pdf(PAGES % 2, *shows(b"4 0 R", b"4 0 R"), b"[5 0 R]", TEXT),
        pdf(PAGES % 2, *shows(b"4 0 R", b"5 0 R"), b"[6 0 R]", b"[6 0 R]", TEXT),
        pdf(PAGES % 1, *shows(b"9 0 R"), TEXT),
        pdf(PAGES % 2, stream(b"/Type /ObjStm ", b"".join(shows(b"3 0 R", b"3 0 R"))), TEXT),
    ],
)
def test_content_that_may_be_shown_twice_is_not_read(raw: bytes) -> None:
    """Its text would be counted once and billed once per page."""
    assert pdf_size(b64(raw)) is None


def test_all_pdfs_of_a_body_share_what_is_spent_on_reading_them() -> None:
    """Inflated bytes, streams and finds; also what was inflated before a stream turned out damaged."""
    big = b64(pdf(PAGES % 1, PAGE, stream(b"", b"x" * (12 * 1024 * 1024))))
    effort = Effort()
    assert [pdf_size(big, effort) is None for _ in range(4)] == [False, False, True, True]
    assert effort.inflated_bytes == 0
    small = b64(pdf(PAGES % 1, PAGE, stream(b"", b"x")))
    assert pdf_size(small, Effort(streams=0)) is None
    assert pdf_size(small, Effort(finds=2)) is None
    damaged = b64(
        pdf(PAGES % 1, PAGE, stream(b"", b"x" * 10_000_000).replace(b"\nendstream", b"")[:-2] + b"\0\0")
    )
    assert pdf_size(damaged, effort := Effort()) is None
    assert effort.inflated_bytes < 32 * 1024 * 1024 - 9_000_000


def test_hostile_files_are_read_in_linear_time() -> None:
    """Nothing is looked for again and again from every place of a file."""
    megabyte = 1024 * 1024
    for piece in (
        b"/Filter[",
        b"/Count 9 ",
        b"/First/Count 9 ",
        b"1 0 obj ",
        b"/Contents[1 0 R ",
        b"stream\n",
    ):
        raw = (
            pdf(PAGES % 1, PAGE, stream(b"", b"x"))
            + b"\n"
            + piece * (4 * megabyte // len(piece))
            + b"stream\nx"
        )
        started = time.perf_counter()
        pdf_size(b64(raw))
        assert time.perf_counter() - started < 3, piece


def test_pictures_and_fonts_are_not_text() -> None:
    """Their streams are not inflated: a scanned page is its image alone."""
    image = stream(b"/Subtype /Image /Width 9 ", b"i" * 9_999)
    font = stream(b"/Length1 99 ", b"f" * 9_999)
    assert pdf_size(b64(pdf(PAGES % 1, PAGE, image, font))) == PdfSize(1, 0)


def test_a_font_described_before_a_content_stream_does_not_hide_it() -> None:
    """Only the stream's own dictionary tells what it is."""
    descriptor = b"<< /Type /FontDescriptor /FontFile2 5 0 R /Length1 7 >>"
    size = pdf_size(b64(pdf(PAGES % 1, PAGE, descriptor, stream(b"", b"x" * 100))))
    assert size == PdfSize(1, 100)


def test_a_form_counts_once_per_page() -> None:
    """Every page may draw it again."""
    form = stream(b"/Type /XObject /Subtype /Form ", b"z" * 100)
    assert pdf_size(b64(pdf(PAGES % 3, PAGE, PAGE, PAGE, form))) == PdfSize(3, 300)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no pdf",
        pdf(b"<< /Encrypt 4 0 R >>", PAGE),
        pdf(b"<< >>"),
        pdf(PAGE, b"<< /Filter /LZWDecode >>\nstream\nxx\nendstream"),
        pdf(PAGE, b"<< /Filter [/ASCII85Decode /FlateDecode] >>\nstream\nxx\nendstream"),
        pdf(PAGE, b"<< /Filter 9 0 R >>\nstream\nxx\nendstream"),
        pdf(PAGE, b"<< /Filter /FlateDecode >>\nstream\nbroken\nendstream"),
        pdf(PAGE, stream(b"", b"\x00" * (33 * 1024 * 1024))),
    ],
)
def test_a_pdf_that_cannot_be_read_in_full_is_unknown(raw: bytes) -> None:
    """No PDF, encrypted, without pages, other filters, damaged, or a bomb: the caller takes the maximum."""
    assert pdf_size(b64(raw)) is None
