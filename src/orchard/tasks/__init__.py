"""What is asked of a model: one class per task, which samples or reads its items and judges a response once.

Imports: errors, imports, jsonl, rows, sandbox.
"""
