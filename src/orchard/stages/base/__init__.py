"""Where models start: a checkpoint that exists, or one pretrained here from a config file.

Imports: kept, stage.
"""
