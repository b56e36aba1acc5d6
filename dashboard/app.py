"""
Navigation of the dashboard; every page is a function of `dashboard/views`.
"""

import streamlit as st

from dashboard import frame, session, theme
from dashboard.views import overview_view, policy_view, routing_view, tenants_view


def main() -> None:
    """
    Set the page up and run the one that was chosen.
    """
    st.set_page_config(page_title="Outlay", page_icon=theme.ICON, layout="wide")
    if not session.is_guarded():
        st.error("Start the dashboard with `outlay dashboard`: it is not served safely by anything else.")
        st.stop()
    st.html(theme.CSS)
    st.logo(theme.WORDMARK, icon_image=theme.ICON, size="large")
    overview = st.Page(overview_view.show, title="Overview", icon=":material/monitoring:", default=True)

    def by_name() -> None:
        st.switch_page(overview)

    page = st.navigation(
        [
            overview,  # it has the empty path, whatever path it is given
            st.Page(by_name, title="Overview", url_path="overview", visibility="hidden"),
            st.Page(routing_view.show, title="Routing", icon=":material/alt_route:", url_path="routing"),
            st.Page(tenants_view.show, title="Tenants", icon=":material/group:", url_path="tenants"),
            st.Page(policy_view.show, title="Policy", icon=":material/tune:", url_path="policy"),
        ]
    )
    frame.entered(page.url_path)
    frame.sidebar()
    frame.show_flash()
    page.run()


main()
