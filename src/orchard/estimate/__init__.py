"""What would a study cost? Measured by a rehearsal: some steps of each kind of its stages, on random weights.

`estimate` puts what the rehearsal measured together with the study's expanded runs; `formulas` says what no rehearsal
has to measure: bytes of weights, optimizer states, activations, caches and checkpoints.

Imports: arithmetic, errors, files, imports, jsonl, paths, processes, yamls, tasks, study, models, stages, lineage.
"""
