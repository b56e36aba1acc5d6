"""
Counts the content of a request: system prompt, messages, and every kind of content block, nested ones
included.

A kind of block that is not known has no bound; images and documents that lie elsewhere (by URL or file id)
neither.
"""

from collections.abc import Callable, Mapping

from pricing.media import image_tokens, pdf_size
from pricing.scan_tools import TOOL_TOKENS, scan_tools
from pricing.tally import RequestInvalid, Tally, as_list, as_object, note_cache_control, surface

MESSAGE_TOKENS = 16  # role and separators of one message
BLOCK_TOKENS = 16  # frame of one content block
IMAGE_TOKENS = 64  # frame of one image
CITATION_TOKENS = 1_024  # the provider's system prompt for citations
CITED_CHUNK_TOKENS = 16  # frame of one cited sentence
PDF_SENTENCE_BYTES = 8  # a sentence of a PDF takes more bytes than this in its page's stream

_DEPTH_MAX = 12
_TEXT_KEYS = frozenset({"type", "text", "cache_control"})
_RESULT_LISTS = frozenset({"tool_result", "mcp_tool_result", "search_result"})


def scan_system(tally: Tally, system: object) -> None:
    if system is None:
        return
    tally.enter("system")
    tally.tokens(MESSAGE_TOKENS)
    _content(tally, system, "system", 0)


def scan_messages(tally: Tally, messages: object) -> None:
    tally.enter("messages")
    for index, message in enumerate(as_list(messages, "messages")):
        tally.tokens(MESSAGE_TOKENS)
        if type(message) is dict and len(message) == 2 and "role" in message:
            text = message.get("content")
            if type(text) is str:  # the common case: role and plain text
                tally.text(text)
                continue
        at = f"messages[{index}]"
        fields = as_object(message, at)
        note_cache_control(tally, fields, f"{at}.")
        if fields.get("content") is not None:
            _content(tally, fields["content"], f"{at}.content", 0)
        elif fields.get("role") != "system":
            raise RequestInvalid(f"{at}.content", None, "expected text or a list of content blocks")
        rest = {name: value for name, value in fields.items() if name not in ("role", "content")}
        if rest:
            tally.json(rest, at)


def _content(tally: Tally, content: object, at: str, depth: int) -> None:
    if isinstance(content, str):
        tally.text(content)
        return
    if depth > _DEPTH_MAX:
        raise RequestInvalid(at, "…", f"content is nested more than {_DEPTH_MAX} levels deep")
    for index, block in enumerate(as_list(content, at)):
        _block(tally, as_object(block, f"{at}[{index}]"), f"{at}[{index}]", depth)


def _block(tally: Tally, block: Mapping[str, object], at: str, depth: int) -> None:
    """Count one content block by its kind; a kind that we do not know has no bound."""
    kind = block.get("type")
    tally.tokens(BLOCK_TOKENS)
    note_cache_control(tally, block, f"{at}.")
    if kind == "text":
        text = block.get("text")
        if not isinstance(text, str):
            raise RequestInvalid(f"{at}.text", text, "expected text")
        tally.text(text)
        extra = {name: value for name, value in block.items() if name not in _TEXT_KEYS}
        if extra:
            tally.json(extra, at)
    elif not isinstance(kind, str):
        raise RequestInvalid(f"{at}.type", kind, "expected the kind of the content block")
    elif kind in surface().json_blocks:
        tally.json(block, at)
    elif kind in _RESULT_LISTS:
        _result(tally, block, at, depth)
    elif kind in _BLOCKS:
        _BLOCKS[kind](tally, block, at, depth)
    else:
        tally.no_bound(at, f'unknown content block "{kind}", it may be billed')


def _result(tally: Tally, block: Mapping[str, object], at: str, depth: int) -> None:
    rest = {name: value for name, value in block.items() if name != "content"}
    tally.json(rest, at)
    before = tally.here.tokens
    if block.get("content") is not None:
        _content(tally, block["content"], f"{at}.content", depth + 1)
    _citations(tally, block, at, (tally.here.tokens - before) // BLOCK_TOKENS)


def _fetch_result(tally: Tally, block: Mapping[str, object], at: str, depth: int) -> None:
    """A fetched page that travels in the history holds a document."""
    content = as_object(block.get("content"), f"{at}.content")
    document = content.get("content")
    if not isinstance(document, Mapping):
        tally.json(block, at)
        return
    tally.json({name: value for name, value in content.items() if name != "content"}, at)
    if depth > _DEPTH_MAX:
        raise RequestInvalid(at, "…", f"content is nested more than {_DEPTH_MAX} levels deep")
    _block(tally, document, f"{at}.content.content", depth + 1)


def _image(tally: Tally, block: Mapping[str, object], at: str, depth: int) -> None:  # noqa: ARG001 one signature
    source = as_object(block.get("source"), f"{at}.source")
    if source.get("type") != "base64":
        tally.no_bound(f"{at}.source", f'the image lies elsewhere (source "{source.get("type")}")')
        return
    tally.tokens(IMAGE_TOKENS)
    tally.images.append(image_tokens(_data(source, at)))


def _document(tally: Tally, block: Mapping[str, object], at: str, depth: int) -> None:
    source = as_object(block.get("source"), f"{at}.source")
    rest = {name: value for name, value in block.items() if name != "source"}
    tally.json(rest, at)
    before = tally.here.tokens
    sentences = 0
    kind = source.get("type")
    if kind == "base64":
        _pdf(tally, _data(source, at))
        sentences = (tally.here.tokens - before) // PDF_SENTENCE_BYTES
    elif kind == "text":
        text = _data(source, at)
        tally.text(text)
        sentences = _sentences(text)
    elif kind == "content":
        _content(tally, source.get("content"), f"{at}.source.content", depth + 1)
        sentences = (tally.here.tokens - before) // BLOCK_TOKENS  # the blocks themselves are the sentences
    else:
        tally.no_bound(f"{at}.source", f'the document lies elsewhere (source "{kind}")')
    _citations(tally, block, at, sentences)


def _pdf(tally: Tally, data: str) -> None:
    size = pdf_size(data, tally.pdf_effort)
    if size is None:
        tally.pdf_unreadable += 1
        return
    tally.pdf_pages += size.pages
    tally.tokens(size.text_bytes)


def _citations(tally: Tally, block: Mapping[str, object], at: str, sentences: int) -> None:
    """Citations cut the content into sentences and frame each of them."""
    citations = block.get("citations")
    if citations is None or isinstance(citations, list):
        return
    if as_object(citations, f"{at}.citations").get("enabled") is True:
        tally.tokens(CITATION_TOKENS + sentences * CITED_CHUNK_TOKENS)


def _sentences(text: str) -> int:
    """Count sentences generously: every ASCII full stop or line end, and every character beyond ASCII."""
    stops = sum(text.count(stop) for stop in ".!?;\n\r")
    return 1 + stops + (0 if text.isascii() else len(text.encode("utf-8", "surrogatepass")) - len(text))


def _upload(tally: Tally, block: Mapping[str, object], at: str, depth: int) -> None:  # noqa: ARG001 one signature
    tally.no_bound(at, "files for a container are read by code execution, which has no bound")


def _listing(tally: Tally, block: Mapping[str, object], at: str, depth: int) -> None:  # noqa: ARG001 one signature
    tally.tokens(TOOL_TOKENS * len(as_list(block.get("tools"), f"{at}.tools")))
    tally.json(block, at)


def _tool_addition(tally: Tally, block: Mapping[str, object], at: str, depth: int) -> None:  # noqa: ARG001 one signature
    tool = as_object(block.get("tool"), f"{at}.tool")
    if tool.get("type") == "tool_definition":
        scan_tools(tally, [tool.get("definition")], f"{at}.tool.definition", inline=True)
    elif isinstance(tool.get("type"), str):
        tally.json(block, at)
    else:
        raise RequestInvalid(f"{at}.tool.type", tool.get("type"), "expected the kind of the reference")


_BLOCKS: dict[str, Callable[[Tally, Mapping[str, object], str, int], None]] = {
    "image": _image,
    "document": _document,
    "web_fetch_tool_result": _fetch_result,
    "container_upload": _upload,
    "mcp_tool_listing": _listing,
    "tool_addition": _tool_addition,
}


def _data(source: Mapping[str, object], at: str) -> str:
    data = source.get("data")
    if not isinstance(data, str):
        raise RequestInvalid(f"{at}.source.data", type(data).__name__, "expected text")
    return data
