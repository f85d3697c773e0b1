"""What do the evaluations of a study say of the claims of the two papers? Verdicts, tables, figures and a web page.

`evaluations` is what was measured, `statistics` how estimates get their intervals. `pear_study` and `pruned_study` bind
a study's evaluations to what its report asks; claims and figures read from them.

Imports: errors, paths, yamls, study, lineage.
"""
