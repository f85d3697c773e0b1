"""The types of a study: a module for each block of the config, with the checks that see this block alone.

Every key has its description and, where one is sensible, its default, so that a key which a new version adds breaks no
study. A block also has the type of its runs: the options of a stage's command.
"""
