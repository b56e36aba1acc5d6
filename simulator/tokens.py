"""
How many tokens a prompt has: a deterministic estimate by bytes, per tokenizer generation.

No tokenizer of current models is public. This one keeps two properties of theirs: a generation "2026"
gives about 30 % more tokens than "2024" for the same text, and a text never has more tokens than UTF-8
bytes. Overheads are fixed and small, so a caller can bound a prompt from above by its bytes.
"""

import base64
import binascii
import json
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

REQUEST_OVERHEAD = 3
MESSAGE_OVERHEAD = 4
TOOLS_OVERHEAD = 346
PDF_PAGE_TOKENS = 1_600  # each page is also an image
PDF_TEXT_TOKENS = 400  # and has so much text, if the file is long enough to hold it
URL_PAGES = 10

_IMAGE_CAP = {"2024": 1_600, "2026": 4_784}
# tokens per byte as a fraction: 0.25, and 30 % more
_PER_BYTE = {"2024": (1, 4), "2026": (13, 40)}
_PDF_PAGE = re.compile(rb"/Type\s*/Page(?![s\w])")


def byte_tokens(size: int, tokenizer: str) -> int:
    """
    Return the tokens of a text of *size* UTF-8 bytes; never more than *size*.
    """
    numerator, denominator = _PER_BYTE[tokenizer]
    return -(-size * numerator // denominator)


def text_tokens(text: str, tokenizer: str) -> int:
    """
    Return the tokens of *text*.
    """
    return byte_tokens(len(text) if text.isascii() else len(text.encode()), tokenizer)


def text_bytes(tokens: int, tokenizer: str) -> int:
    """
    Return the size of a text that has *tokens* tokens.
    """
    numerator, denominator = _PER_BYTE[tokenizer]
    return tokens * denominator // numerator


def json_tokens(value: object, tokenizer: str) -> int:
    """
    Return the tokens of *value* written as compact JSON.
    """
    return text_tokens(json.dumps(value, separators=(",", ":"), ensure_ascii=False), tokenizer)


def block_tokens(block: Mapping[str, Any], tokenizer: str) -> int:
    """
    Return the tokens of one content block; markers for the cache and signatures have none.
    """
    match block.get("type"):
        case "text":
            return text_tokens(block["text"], tokenizer)
        case "thinking":
            return text_tokens(block["thinking"], tokenizer)
        case "redacted_thinking":
            return 0
        case "image":
            return image_tokens(block["source"], tokenizer)
        case "document":
            return _document_tokens(block["source"], tokenizer)
        case "tool_result":
            return content_tokens(block.get("content") or "", tokenizer)
        case _:
            bare = {key: value for key, value in block.items() if key != "cache_control"}
            return json_tokens(bare, tokenizer)


def content_tokens(content: str | Sequence[Mapping[str, Any]], tokenizer: str) -> int:
    """
    Return the tokens of a content that is a text or a list of blocks.
    """
    if isinstance(content, str):
        return text_tokens(content, tokenizer)
    return sum(block_tokens(block, tokenizer) for block in content)


def image_tokens(source: Mapping[str, Any], tokenizer: str) -> int:
    """
    Return the tokens of an image: area / 750, up to the cap; the cap where its size cannot be read.
    """
    cap = _IMAGE_CAP[tokenizer]
    if source.get("type") != "base64":
        return cap
    size = _image_size(_decode(source["data"][:65_536]))
    return cap if size is None else min(cap, max(1, -(-size[0] * size[1] // 750)))


def _document_tokens(source: Mapping[str, Any], tokenizer: str) -> int:
    match source.get("type"):
        case "text":
            return text_tokens(source["data"], tokenizer)
        case "content":
            return content_tokens(source["content"], tokenizer)
        case "base64":
            return _pdf_tokens(_decode(source["data"]), tokenizer)
        case _:
            return URL_PAGES * (PDF_PAGE_TOKENS + PDF_TEXT_TOKENS)


def _pdf_tokens(data: bytes, tokenizer: str) -> int:
    pages = max(1, len(_PDF_PAGE.findall(data)))
    return pages * PDF_PAGE_TOKENS + min(pages * PDF_TEXT_TOKENS, byte_tokens(len(data), tokenizer))


def _decode(data: str) -> bytes:
    try:
        return base64.b64decode(data[: len(data) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _image_size(data: bytes) -> tuple[int, int] | None:
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    if data[:4] == b"GIF8" and len(data) >= 10:
        width, height = struct.unpack("<HH", data[6:10])
        return width, height
    return _jpeg_size(data) if data[:2] == b"\xff\xd8" else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + max(2, length)
    return None
