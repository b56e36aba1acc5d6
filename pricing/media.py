"""
Reads from base64 images and PDFs what decides their tokens: pixel size, pages, and extractable text.

Everything is read conservatively: what cannot be read is reported as None, and the caller then takes the
maximum. Nothing is rendered and nothing is kept.
"""

import binascii
import re
import zlib
from dataclasses import dataclass

_PATCH_PX = 28
_TOKENS_PX = 750
_PREFIX_CHARS = 4 * 16_384
_PNG = b"\x89PNG\r\n\x1a\n"
_GIF = (b"GIF87a", b"GIF89a")
_JPEG_NO_SIZE = frozenset({0xC4, 0xC8, 0xCC})
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})

_PDF_INFLATED_MAX = 32 * 1024 * 1024
_PDF_STREAM = re.compile(rb"(?<!end)stream(?:\r\n|\n|\r)")
_PDF_PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_PDF_COUNT = re.compile(rb"/Count\s+([0-9]{1,9})")
_PDF_TEXT_FILTERS = frozenset({b"FlateDecode", b"Fl"})
_PDF_FILTER = re.compile(rb"/Filter\s*(\[[^\]]*\]|/\w+)")
_PDF_NAME = re.compile(rb"/(\w+)")
_PDF_NO_TEXT = re.compile(rb"/Subtype\s*/Image|/Length1\b|/FontFile|/Type\s*/XRef|/Type\s*/Metadata")
_PDF_FORM = re.compile(rb"/Subtype\s*/Form")


@dataclass(frozen=True, slots=True)
class PdfSize:
    """
    What decides the tokens of a PDF: its pages, and an upper bound of the bytes of its text.
    """

    pages: int
    text_bytes: int


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


def pdf_size(data: str) -> PdfSize | None:
    """
    Read the pages and the text bytes of a base64 PDF; None if it cannot be read in full.

    Text is bounded by the inflated bytes of all streams that may hold text: a content stream spends at
    least a byte on each character, plus operators. A form that pages may draw again and again counts once
    per page. Encrypted files, and filters other than Flate on what may be text, are not read.
    """
    raw = _decoded(data)
    if b"%PDF-" not in raw[:1024] or b"/Encrypt" in raw:
        return None
    streams = _inflate_all(raw)
    if streams is None:
        return None
    texts, forms = streams
    everything = [raw, *texts]
    pages = max(sum(len(_PDF_PAGE.findall(part)) for part in everything), _largest_count(everything))
    if pages == 0:
        return None
    return PdfSize(pages, sum(map(len, texts)) + sum(map(len, forms)) * pages)


def _largest_count(parts: list[bytes]) -> int:
    """Read the page count that the page tree itself states."""
    counts = (int(found) for part in parts for found in _PDF_COUNT.findall(part))
    return max(counts, default=0)


def _inflate_all(raw: bytes) -> tuple[list[bytes], list[bytes]] | None:
    """Inflate the streams that may hold text, page content apart from forms; None if one cannot be read."""
    texts: list[bytes] = []
    forms: list[bytes] = []
    budget = _PDF_INFLATED_MAX
    at = 0
    while (match := _PDF_STREAM.search(raw, at)) is not None:
        header = raw[max(raw.rfind(b"obj", at, match.start()), at) : match.start()]
        end = raw.find(b"endstream", match.end())
        at = end if end >= 0 else len(raw)
        if _PDF_NO_TEXT.search(header):
            continue
        body = _inflate(raw[match.end() : at], header, budget)
        if body is None:
            return None
        budget -= len(body)
        (forms if _PDF_FORM.search(header) else texts).append(body)
    return texts, forms


def _inflate(body: bytes, header: bytes, budget: int) -> bytes | None:
    """Undo the one filter that is read; None where the result would be longer than the budget."""
    filters = _PDF_FILTER.search(header)
    if filters is not None:
        names = _PDF_NAME.findall(filters.group(1))
        if len(names) != 1 or names[0] not in _PDF_TEXT_FILTERS:
            return None
        try:
            body = zlib.decompressobj().decompress(body, budget + 1)
        except zlib.error:
            return None
    return body if len(body) <= budget else None


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
