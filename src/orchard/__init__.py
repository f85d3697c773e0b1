"""orchard: which SFT objective prepares best for RL, and how many layers can go before reasoning breaks.

A package per question: study (what is asked), stages (what a job does), models, tasks and sandbox (what stages share),
report (what the runs show), rerun (when a job runs), lineage (what a result is made of), share (how findings leave),
estimate (what a study would cost).
"""
