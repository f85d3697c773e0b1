"""How does a reader see it? One web page that needs nothing beside it, and the claims table as Markdown.

Imports: claims.
"""
