"""
How the dashboard looks: Streamlit options, colours of both themes, and the few rules of CSS it needs.

Everything is in arguments and in the page itself; no configuration file, no request to another host.
"""

from collections.abc import Mapping
from typing import Final

TIER_COLORS: Final = ("#5b5bd6", "#12a5a0", "#f2a93b", "#8b8fa3", "#c2559d")
"""Colours of tiers from the highest down; readable on light and on dark."""
BAND_COLORS: Final = ("#2a9168", "#b98500", "#d9650a", "#d6336c")
"""Colours of threshold bands, from full quality to the last step."""
REFUSED_COLOR: Final = "#d6336c"
LINE_COLOR: Final = "#5b5bd6"
MUTED_COLOR: Final = "#6f7487"

_MARK: Final = (
    "<rect width='32' height='32' rx='8' fill='#5b5bd6'/>"
    "<path d='M8 11 H14 V16 H19 V21 H25' fill='none' stroke='white' stroke-width='3' "
    "stroke-linecap='round' stroke-linejoin='round'/>"
)
ICON: Final = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'>{_MARK}</svg>"
"""Steps that lead down, as tiers do when money runs short; drawn inline, so that nothing is fetched."""
WORDMARK: Final = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 132 32' width='132' height='32'>"
    "<style>text{fill:#1b2330}@media(prefers-color-scheme:dark){text{fill:#e6e9f0}}</style>"
    f"{_MARK}<text x='42' y='23' font-family='system-ui,sans-serif' font-size='21' font-weight='650'>"
    "Outlay</text></svg>"
)

_LIGHT: Final = {
    "primaryColor": "#5b5bd6",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f5f6f9",
    "textColor": "#1b2330",
    "borderColor": "#e3e6ee",
    "linkColor": "#4a4ac0",
    "codeBackgroundColor": "#f1f2f7",
    "dataframeHeaderBackgroundColor": "#f5f6f9",
    "grayColor": "#5f6b7c",
    "grayTextColor": "#5f6b7c",
    "redColor": "#c9304f",
    "greenColor": "#1f8a5b",
    "orangeColor": "#c96a00",
}
_DARK: Final = {
    "primaryColor": "#6969eb",
    "backgroundColor": "#0f1218",
    "secondaryBackgroundColor": "#171b24",
    "textColor": "#e6e9f0",
    "borderColor": "#2a303d",
    "linkColor": "#a5a5ff",
    "codeBackgroundColor": "#1c212c",
    "grayColor": "#9aa4b5",
    "grayTextColor": "#9aa4b5",
    "dataframeHeaderBackgroundColor": "#171b24",
}
_SHARED: Final = {
    "baseRadius": "8px",
    "buttonRadius": "8px",
    "showWidgetBorder": True,
    "showSidebarBorder": True,
    "baseFontSize": 15,
    "metricValueFontSize": "1.65rem",
    "metricValueFontWeight": 600,
    "headingFontSizes": ["1.7rem", "1.3rem", "1.05rem", "1rem", "0.9rem", "0.85rem"],
    "headingFontWeights": [650, 650, 650, 600, 600, 600],
    "chartCategoricalColors": list(TIER_COLORS),
}

CSS: Final = """<style>
[data-testid="stMetricValue"],[data-testid="stTable"] td{font-variant-numeric:tabular-nums}
[data-testid="stMetricValue"] *,[data-testid="stMetricDelta"] *{white-space:normal;overflow-wrap:anywhere}
[data-testid="stMetricLabel"] p{font-size:.82rem;opacity:.75}
[data-testid="stMainBlockContainer"]{max-width:1280px;padding-top:2.5rem;padding-bottom:4rem}
[class*="st-key-row_"] [data-testid="stHorizontalBlock"]{flex-wrap:wrap}
.st-key-row_cards [data-testid="stColumn"]{min-width:200px;flex:1 1 200px}
.st-key-row_pair [data-testid="stColumn"]{min-width:340px}
[class*="st-key-file"] textarea{font-family:"Source Code Pro",monospace;font-size:.875rem}
[class*="st-key-row_form"] [data-testid="stColumn"]{min-width:165px}
@media(max-width:768px){[data-testid="stMainBlockContainer"]{padding-top:4.75rem}}
@media(max-width:1440px){[data-testid="stMainBlockContainer"]{padding-left:1.5rem;padding-right:1.5rem}}
</style>"""


def ink(scheme: str | None) -> str:
    """
    Return the colour of text in a reader's theme, light or dark.
    """
    return str((_DARK if scheme == "dark" else _LIGHT)["textColor"])


def muted(scheme: str | None) -> str:
    """
    Return the colour of text that stands back in a reader's theme, light or dark.
    """
    return str((_DARK if scheme == "dark" else _LIGHT)["grayTextColor"])


def options(port: int) -> Mapping[str, object]:
    """
    Return the options of the Streamlit server: this machine only, silent, in our colours.
    """
    return {
        "server.address": "127.0.0.1",
        "server.port": port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.enableStaticServing": False,
        "server.maxUploadSize": 1,
        "browser.gatherUsageStats": False,
        "browser.serverAddress": "127.0.0.1",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.showSidebarNavigation": True,
        "logger.level": "error",
        **{f"theme.{name}": value for name, value in _SHARED.items()},
        **{f"theme.light.{name}": value for name, value in _LIGHT.items()},
        **{f"theme.dark.{name}": value for name, value in _DARK.items()},
    }
