#!/usr/bin/env python3
"""Makes tests/worker/sampling/testdata/processors.json: what transformers' logits processors make of
some logits.

    python3 -m venv VENV && VENV/bin/pip install torch transformers
    VENV/bin/python tools/make_sampling_fixture.py

Each case has logits, a history and a request's sampling fields; "adjusted" are the logits after
bias and penalties, "probabilities" what a token is then drawn with. Frequency and presence
penalties are no processors of transformers; they are OpenAI's formula
(https://platform.openai.com/docs/guides/text-generation, "Frequency and presence penalties"), where
vLLM applies them: after the repetition penalty (vllm/model_executor/layers/utils.py).
"""

import json
import pathlib
import random

import torch
import transformers
from transformers.generation import logits_process

VOCABULARY = 24
OUT = pathlib.Path(__file__).parent.parent / "tests/worker/sampling/testdata/processors.json"


def adjusted(case):
    ids = torch.tensor([case["history"]])
    scores = torch.tensor([case["logits"]], dtype=torch.float32)
    if case.get("logit_bias"):
        bias = {(int(token),): float(value) for token, value in case["logit_bias"].items()}
        scores = logits_process.SequenceBiasLogitsProcessor(bias)(ids, scores)
    if case.get("repetition_penalty", 1) != 1:
        penalty = float(case["repetition_penalty"])
        scores = logits_process.RepetitionPenaltyLogitsProcessor(penalty)(ids, scores)
    counts = torch.zeros_like(scores)
    for token in case["history"][case["prompt_tokens"]:]:
        counts[0, token] += 1
    scores = scores - case.get("frequency_penalty", 0) * counts
    return scores - case.get("presence_penalty", 0) * (counts > 0)


def probabilities(case, scores):
    ids = torch.tensor([case["history"]])
    warpers = [logits_process.TemperatureLogitsWarper(float(case["temperature"]))]
    if case.get("top_k"):
        warpers.append(logits_process.TopKLogitsWarper(case["top_k"]))
    if case.get("top_p", 1) < 1:
        warpers.append(logits_process.TopPLogitsWarper(case["top_p"]))
    if case.get("min_p"):
        warpers.append(logits_process.MinPLogitsWarper(case["min_p"]))
    for warper in warpers:
        scores = warper(ids, scores)
    return torch.softmax(scores, dim=-1)


def make_cases():
    chance = random.Random(1)
    fields = [
        {"repetition_penalty": 1.3},
        {"repetition_penalty": 0.5},
        {"frequency_penalty": 0.7},
        {"frequency_penalty": -1.5},
        {"presence_penalty": 1.1},
        {"presence_penalty": -2},
        {"repetition_penalty": 1.2, "frequency_penalty": 0.4, "presence_penalty": 0.6},
        {"logit_bias": {"3": 5, "4": -100, "7": 0.5}},
        {"logit_bias": {"3": 5, "4": -6}, "repetition_penalty": 2, "presence_penalty": -1},
        {"temperature": 0.3},
        {"temperature": 1.9},
        {"top_k": 1},
        {"top_k": 5},
        {"top_p": 0.2},
        {"top_p": 0.8},
        {"min_p": 0.1},
        {"min_p": 0.6},
        {"top_k": 8, "top_p": 0.7},
        {"top_k": 8, "top_p": 0.7, "temperature": 1.5},
        {"top_p": 0.9, "min_p": 0.2},
        {"top_k": 10, "top_p": 0.85, "min_p": 0.05, "temperature": 0.7},
        {"top_k": 6, "top_p": 0.95, "repetition_penalty": 1.5, "frequency_penalty": 0.3,
         "presence_penalty": 0.2, "logit_bias": {"2": 1.5}, "temperature": 1.2, "min_p": 0.02},
    ]
    for values in fields:
        history = [chance.randrange(VOCABULARY) for _ in range(14)]
        case = {"logits": [round(chance.gauss(0, 2), 3) for _ in range(VOCABULARY)],
                "history": history, "prompt_tokens": 6, "temperature": 1, **values}
        scores = adjusted(case)
        case["adjusted"] = [round(value, 6) for value in scores[0].tolist()]
        case["probabilities"] = [round(value, 6) for value in probabilities(case, scores)[0].tolist()]
        yield case


def main():
    OUT.parent.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(case) for case in make_cases())
    OUT.write_text(f'{{"transformers": "{transformers.__version__}", "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
