"""
Pages of the dashboard: each module shows one, from read models to widgets, without arithmetic on money.
"""
