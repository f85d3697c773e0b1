"""What a base model learns from demonstrations: SFT, PEAR and their ablations, on the samples of one completion file.

Imports: kept, stage.
"""
