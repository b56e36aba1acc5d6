"""
Training of the classifier that expects how much a call gains from the large tier.
"""
