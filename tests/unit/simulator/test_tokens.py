"""How prompts are counted."""

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import tokens
from simulator.models import catalogue
from simulator.prompt import prompt_tokens

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
MESSAGES = st.lists(
    st.builds(
        lambda text, role: {"role": role, "content": text}, TEXT, st.sampled_from(["user", "assistant"])
    ),
    min_size=1,
    max_size=6,
)


@given(MESSAGES, TEXT, st.sampled_from(["2024", "2026"]))
def test_a_prompt_has_no_more_tokens_than_bytes_and_overheads(messages: Any, system: str, kind: str) -> None:
    """A token a byte, 4 a message and 3 a request bound every text prompt from above; so does its JSON."""
    body = {"messages": messages, "system": system}
    size = len(system.encode()) + sum(len(message["content"].encode()) for message in messages)
    counted = prompt_tokens(body, kind)
    assert counted <= size + 4 * len(messages) + 3
    assert counted <= len(json.dumps(body, ensure_ascii=False).encode())


@given(st.integers(0, 10_000))
def test_the_new_tokenizer_gives_thirty_percent_more(size: int) -> None:
    """For every size the generation 2026 counts 1.3 times what 2024 does, up to one token of rounding."""
    old, new = (tokens.byte_tokens(size, kind) for kind in ("2024", "2026"))
    assert old <= new <= old * 1.3 + 1
    assert new * 10 >= (old - 1) * 13


@given(st.integers(0, 200_000), st.sampled_from(["2024", "2026"]))
def test_a_text_of_some_tokens_has_that_many(count: int, kind: str) -> None:
    """The size of filler text stands for the tokens that are billed, one token of rounding at most."""
    assert count - 1 <= tokens.byte_tokens(tokens.text_bytes(count, kind), kind) <= count


def _png(width: int, height: int) -> str:
    return base64.b64encode(
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height)
    ).decode()


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        (_png(1000, 750), "2024", 1000),
        (_png(4000, 3000), "2024", 1600),
        (_png(4000, 3000), "2026", 4784),
        (base64.b64encode(b"GIF89a" + struct.pack("<HH", 75, 100)).decode(), "2026", 10),
        (
            base64.b64encode(b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", 100, 75)).decode(),
            "2026",
            10,
        ),
        ("no image", "2026", 4784),
    ],
)
def test_an_image_counts_by_its_area(data: str, kind: str, expected: int) -> None:
    """An image has width x height / 750 tokens, up to the cap; one that cannot be read has the cap."""
    assert expected == tokens.image_tokens({"type": "base64", "data": data}, kind)


@pytest.mark.parametrize(("padding", "text"), [(0, 17), (10_000, 800)])
def test_a_pdf_counts_by_its_pages(padding: int, text: int) -> None:
    """Pages are counted, the tree of pages is not; each has 400 tokens of text where the bytes allow it."""
    raw = b"<< /Type /Pages >> << /Type /Page >> << /Type/Page>>" + b" " * padding
    block = {"type": "document", "source": {"type": "base64", "data": base64.b64encode(raw).decode()}}
    assert tokens.block_tokens(block, "2026") == 2 * tokens.PDF_PAGE_TOKENS + text


def test_count_tokens_gives_what_a_call_is_billed(caller: Any) -> None:
    """The free count equals the prompt of the call, with tools, system and messages."""
    parts: dict[str, Any] = {
        "system": "Be brief. " * 30,
        "tools": [{"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Größe? " * 20}]}],
    }
    counted = caller.ask("/v1/messages/count_tokens", max_tokens=..., **parts)
    assert counted.json == {"input_tokens": caller.ask(**parts).json["usage"]["input_tokens"]}
    assert caller.provider.bill.calls == 1


def test_models_of_one_generation_share_a_tokenizer(caller: Any) -> None:
    """From Opus 4.7 on the new tokenizer counts; Haiku 4.5 and the 4.6 models have the old one."""
    new = {model.id for model in catalogue() if model.tokenizer == "2026"}
    assert {"claude-opus-4-7", "claude-haiku-5-5", "claude-opus-5-5"} <= new
    assert not {"claude-haiku-4-5-20251001", "claude-sonnet-4-6", "claude-opus-4-6"} & new
