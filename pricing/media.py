"""
Reads from base64 images and PDFs what decides their tokens: pixel size, pages, and extractable text.

Everything is read conservatively: what cannot be read is reported as None, and the caller then takes the
maximum. Nothing is rendered and nothing is kept.
"""

import binascii
import re
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

_PATCH_PX = 28
_TOKENS_PX = 750
_PREFIX_CHARS = 4 * 16_384
_PNG = b"\x89PNG\r\n\x1a\n"
_GIF = (b"GIF87a", b"GIF89a")
_JPEG_NO_SIZE = frozenset({0xC4, 0xC8, 0xCC})
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})

_INFLATED_MAX = 32 * 1024 * 1024
_STREAMS_MAX = 20_000
_DEFLATE_RATIO_MAX = 1_032
_FINDS_MAX = 300_000
_PDF_STREAM = re.compile(rb"(?<!end)stream(?:\r\n|\n|\r)")
_PDF_PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_PDF_COUNT = re.compile(rb"/Count\s+([0-9]{1,9})")
_PDF_TEXT_FILTERS = frozenset({b"FlateDecode", b"Fl"})
_PDF_FILTER = re.compile(rb"/Filter\s*(\[[^\[\]]*\]|/\w+)")
_PDF_NAME = re.compile(rb"/(\w+)")
_PDF_NO_TEXT = re.compile(rb"/Subtype\s*/Image|/Length1\b|/FontFile|/Type\s*/XRef|/Type\s*/Metadata")
_PDF_FORM = re.compile(rb"/Subtype\s*/Form")
_PDF_OBJECT = re.compile(rb"(?<![0-9])([0-9]{1,10})\s+[0-9]{1,5}\s+obj\b")
_PDF_ARRAY = re.compile(rb"\s*\[([^\[\]]*)\]")
_PDF_CONTENTS = re.compile(rb"/Contents\s*(?:\[([^\[\]]*)\]|([0-9]{1,10}\s+[0-9]{1,5}\s+R))")
_PDF_REFERENCE = re.compile(rb"([0-9]{1,10})\s+[0-9]{1,5}\s+R")
_PDF_OUTLINE = re.compile(rb"/(?:First|Last|Outlines)\b")
_PDF_BRACKETS = re.compile(rb"<<|>>")
_NEAR = 2_048
_NEAR_FINDS = 50  # what it takes to look around, as so many finds
_PDF_PAGE_TREE = re.compile(rb"/(?:Kids|Pages)\b")


@dataclass(frozen=True, slots=True)
class PdfSize:
    """
    What decides the tokens of a PDF: its pages, and an upper bound of the bytes of its text.
    """

    pages: int
    text_bytes: int


class _TooMuch(Exception):  # noqa: N818 reads better without a suffix
    """The files of this body took all that is spent on reading them."""


@dataclass(slots=True)
class Effort:
    """
    What may still be spent on reading the PDFs of one body; once it is used up, the rest is unreadable.
    """

    inflated_bytes: int = _INFLATED_MAX
    streams: int = _STREAMS_MAX
    finds: int = _FINDS_MAX

    def each(self, found: Iterator[re.Match[bytes]]) -> Iterator[re.Match[bytes]]:
        """
        Pass on what was found in a file, one by one, as long as there is any left to spend.
        """
        for match in found:
            self.finds -= 1
            if self.finds < 0:
                raise _TooMuch
            yield match


def image_tokens(data: str) -> int | None:
    """
    Return the tokens that a base64 image takes at its full size, before the model's maximum; None if
    unreadable.

    The larger of the two documented formulas: one token per 28 x 28 patch, and width x height / 750.
    """
    size = _image_size(_decoded(data[:_PREFIX_CHARS]))
    if size is None and len(data) > _PREFIX_CHARS:
        size = _image_size(_decoded(data))
    if size is None or size[0] <= 0 or size[1] <= 0:
        return None
    width, height = size
    patches = -(-width // _PATCH_PX) * -(-height // _PATCH_PX)
    return max(patches, -(-width * height // _TOKENS_PX))


def pdf_size(data: str, effort: Effort | None = None) -> PdfSize | None:
    """
    Read the pages and the text bytes of a base64 PDF; None if it cannot be read in full.

    Text is bounded by the inflated bytes of all streams that may hold text: a content stream spends at
    least a byte on each character, plus operators. A form that pages may draw again and again counts once
    per page. Not read: encrypted files, filters other than Flate on what may be text, and files that may
    show a content stream or a page more than once.

    Args:
        effort: What the PDFs of the body may still take; reduced by what this one takes.
    """
    raw = _decoded(data)
    if b"%PDF-" not in raw[:1024] or b"/Encrypt" in raw:
        return None
    try:
        return _pdf_size(raw, Effort() if effort is None else effort)
    except _TooMuch:
        return None


def _pdf_size(raw: bytes, effort: Effort) -> PdfSize | None:
    streams = _inflate_all(raw, effort)
    if streams is None:
        return None
    texts, forms = streams
    heads = [(head.end(), int(head.group(1))) for head in effort.each(_PDF_OBJECT.finditer(raw))]
    if _contents_shared(raw, texts, heads, effort):
        return None
    owners = [_owner(heads, page.start()) for page in effort.each(_PDF_PAGE.finditer(raw))]
    packed = sum(1 for text in texts for _ in effort.each(_PDF_PAGE.finditer(text)))
    if any(_counts_more(part, len(set(owners)) + packed, effort) for part in (raw, *texts)):
        return None
    pages = len(owners) + packed
    return PdfSize(pages, sum(map(len, texts)) + sum(map(len, forms)) * pages) if pages > 0 else None


def _owner(heads: list[tuple[int, int]], at: int) -> int:
    """Return the number of the object that a place of the file belongs to, -1 before the first."""
    index = bisect_right(heads, (at, 0)) - 1
    return heads[index][1] if index >= 0 else -1


def _contents_shared(raw: bytes, texts: list[bytes], heads: list[tuple[int, int]], effort: Effort) -> bool:
    """
    Tell whether a content stream may be shown more than once.

    A page that stands in the file twice, because it was changed later, shares nothing with itself. What is
    shown but is no object of the file itself can only be an array in an object stream, which is not read.
    """
    lists = [(_owner(heads, found.start()), found) for found in effort.each(_PDF_CONTENTS.finditer(raw))]
    packed = (found for text in texts for found in effort.each(_PDF_CONTENTS.finditer(text)))
    lists += [(-2 - index, found) for index, found in enumerate(packed)]
    numbers = {number for _, number in heads}
    page_of: dict[int, int] = {}
    if any(_shared(page, found, page_of, effort) for page, found in lists) or page_of.keys() - numbers:
        return True
    arrays = [(number, _PDF_ARRAY.match(raw, at)) for at, number in heads if number in page_of]
    return any(
        found is not None and _shared(page_of[number], found, page_of, effort) for number, found in arrays
    )


def _shared(page: int, references: re.Match[bytes], page_of: dict[int, int], effort: Effort) -> bool:
    """Note what a page shows; tell whether another page shows it too, or this one does so twice."""
    here: set[int] = set()
    for found in effort.each(_PDF_REFERENCE.finditer(references.group(0))):
        number = int(found.group(1))
        if number in here or page_of.setdefault(number, page) != page:
            return True
        here.add(number)
    return False


def _counts_more(part: bytes, pages: int, effort: Effort) -> bool:
    """Tell whether the page tree states more pages than there are; outlines count their lines alike."""
    for found in effort.each(_PDF_COUNT.finditer(part)):
        if int(found.group(1)) <= pages:
            continue
        effort.finds -= _NEAR_FINDS
        before = part[max(found.start() - _NEAR, 0) : found.start()]
        after = part[found.end() : found.end() + _NEAR]
        near = _PDF_BRACKETS.split(before)[-1] + _PDF_BRACKETS.split(after, maxsplit=1)[0]
        if _PDF_PAGE_TREE.search(near) or not _PDF_OUTLINE.search(near):
            return True
    return False


def _inflate_all(raw: bytes, effort: Effort) -> tuple[list[bytes], list[bytes]] | None:
    """Inflate the streams that may hold text, page content apart from forms; None if one cannot be read."""
    texts: list[bytes] = []
    forms: list[bytes] = []
    at = 0
    while (match := _PDF_STREAM.search(raw, at)) is not None:
        effort.streams -= 1
        if effort.streams < 0:
            return None
        header = raw[max(raw.rfind(b"obj", at, match.start()), at) : match.start()]
        end = raw.find(b"endstream", match.end())
        at = end if end >= 0 else len(raw)
        if _PDF_NO_TEXT.search(header):
            continue
        body = _inflate(raw[match.end() : at], header, effort)
        if body is None:
            return None
        (forms if _PDF_FORM.search(header) else texts).append(body)
    return texts, forms


def _inflate(body: bytes, header: bytes, effort: Effort) -> bytes | None:
    """Undo the one filter that is read; None where the result is longer than what may be spent."""
    left = effort.inflated_bytes
    filters = _PDF_FILTER.search(header)
    if filters is not None:
        names = _PDF_NAME.findall(filters.group(1))
        if len(names) != 1 or names[0] not in _PDF_TEXT_FILTERS:
            return None
        effort.inflated_bytes = max(left - len(body) * _DEFLATE_RATIO_MAX, 0)  # unless it ends well
        try:
            body = zlib.decompressobj().decompress(body, left + 1)
        except zlib.error:
            return None
    elif b"/Filter" in header:
        return None
    effort.inflated_bytes = max(left - len(body), 0)
    return body if len(body) <= left else None


def _decoded(data: str) -> bytes:
    """Decode base64 as far as it is whole; an empty result reads as unreadable everywhere."""
    try:
        return binascii.a2b_base64(data[: len(data) - len(data) % 4])
    except (binascii.Error, ValueError):
        return b""


def _image_size(raw: bytes) -> tuple[int, int] | None:
    if raw.startswith(_PNG) and raw[12:16] == b"IHDR" and len(raw) >= 24:
        return int.from_bytes(raw[16:20], "big"), int.from_bytes(raw[20:24], "big")
    if raw.startswith(_GIF) and len(raw) >= 10:
        return int.from_bytes(raw[6:8], "little"), int.from_bytes(raw[8:10], "little")
    if raw.startswith(b"\xff\xd8"):
        return _jpeg_size(raw)
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP" and len(raw) >= 30:
        return _webp_size(raw)
    return None


def _jpeg_size(raw: bytes) -> tuple[int, int] | None:
    """Walk the JPEG's segments up to its frame header; thumbnails lie inside skipped segments."""
    at = 2
    while at + 9 <= len(raw) and raw[at] == 0xFF:
        marker = raw[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _JPEG_ALONE:
            at += 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _JPEG_NO_SIZE:
            return int.from_bytes(raw[at + 7 : at + 9], "big"), int.from_bytes(raw[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(raw[at + 2 : at + 4], "big")
    return None


def _webp_size(raw: bytes) -> tuple[int, int] | None:
    kind = raw[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(raw[24:27], "little"), 1 + int.from_bytes(raw[27:30], "little")
    if kind == b"VP8L" and raw[20] == 0x2F:
        bits = int.from_bytes(raw[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and raw[23:26] == b"\x9d\x01\x2a":
        return (
            int.from_bytes(raw[26:28], "little") & 0x3FFF,
            int.from_bytes(raw[28:30], "little") & 0x3FFF,
        )
    return None
