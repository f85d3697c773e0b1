"""The reward of RL."""

import json

from orchard import rl


def test_the_reward_is_the_verifier_of_generated_and_ingested_items():
    items = [
        {"id": "1", "task": "calc", "prompt": "calc 9 + 4 :", "answer": "3"},
        {"id": "2", "task": "gsm8k", "prompt": "?", "answer": "work #### 18", "final": "18"},
    ]
    rows = [json.dumps(item) for item in items for _ in range(2)]
    responses = [" 9 + 4 = 3 ans 3", " ans 4", "It is 18.", "18 or 19"]
    assert rl.verified(completions=responses, item=rows, prompts=[]) == [1.0, 0.0, 1.0, 0.0]
