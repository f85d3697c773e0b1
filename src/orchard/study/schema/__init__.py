"""The types of a study: a module for each block of the config, with the checks that see this block alone.

Every key has its description and, where one is sensible, its default, so that a key which a new version adds breaks no
study. A block also says what a run of its stages is: what the command of a stage is told.
"""
