"""What is left of a model without some layers: the methods that choose them, and the cut.

Imports: stage.
"""
