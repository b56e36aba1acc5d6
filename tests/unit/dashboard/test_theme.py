"""
Colours can be read, in the light and in the dark theme.
"""

import pytest

from dashboard import theme

OPTIONS = theme.options(8788)


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, as WCAG 2 defines it: 1 is none, 21 is black on white."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    """The relative luminance of a colour."""
    shares = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(scheme: str) -> None:
    """On the page and on its fields; large parts as buttons and marks of charts stand out as well."""
    page = str(OPTIONS[f"theme.{scheme}.backgroundColor"])
    field = str(OPTIONS[f"theme.{scheme}.secondaryBackgroundColor"])
    for text in ("textColor", "linkColor", "grayTextColor"):
        assert min(contrast(str(OPTIONS[f"theme.{scheme}.{text}"]), on) for on in (page, field)) >= 4.5
    primary = str(OPTIONS[f"theme.{scheme}.primaryColor"])
    assert contrast("#ffffff", primary) >= 4.3  # what stands on a button
    assert contrast(primary, page) >= 4.3  # what is chosen
    assert contrast(theme.muted(scheme), page) >= 4.5  # counts beside bars
    assert contrast(theme.MUTED_COLOR, page) >= 3  # thin lines
