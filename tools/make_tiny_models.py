"""Writes tests/worker/model/testdata/tiny/NAME/: tiny random models and what transformers makes of them.

Of each model:
  config.json, model.safetensors   as transformers saves them (some rewritten in its older style)
  model.gguf                       the same weights, with the conventions of llama.cpp's
                                   convert_hf_to_gguf.py: names, permuted q and k of llama, norms + 1
                                   of gemma, rope_freqs.weight. No tokenizer.
  expected.json                    tokens, and for each position the logits of some token ids:
                                   float32, eager attention, from the saved folder; once as they
                                   are, once with keys and values rounded to float16, as we keep them

    python3 -m venv .venv && .venv/bin/pip install -r tools/tiny_models_requirements.txt
    .venv/bin/python tools/make_tiny_models.py [NAME ...]
    .venv/bin/python tools/make_tiny_models.py --random COUNT [--seed N] --out FOLDER

The last makes variants of the same families, of any sizes and options, for
SPILLWAY_TINY_MODELS=FOLDER build/release/tests/worker_model_tiny_models_test.

The same versions give the same bytes. llama.cpp (tools/llama_cpp/dump_logits) was asked, too, and
agrees, apart from its activations' rounding, where it knows what a model has: it has no windows for
llama and qwen2, no biases for qwen3, and takes gemma's attention scale from the number of layers.
"""

import argparse
import json
import math
import pathlib
import random
import shutil

import gguf
import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

TESTDATA = pathlib.Path(__file__).parent.parent / "tests/worker/model/testdata/tiny"
COLUMNS = 16  # token ids whose logits are kept

# What each model is there to show stands beside it. Sequences are longer than every window and every
# original context; those over 256 tokens cross a border of the attention's splits.
MODELS = {
    # Heads whose size is not hidden / heads, three query heads a KV head, a head of its own.
    "llama": dict(
        model_type="llama", dtype="float16", tokens=40, old_style=True,
        vocab_size=151, hidden_size=48, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=6, num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-5,
        max_position_embeddings=64,
    ),
    # Llama 3.1's rope scaling, with frequencies in all three of its ranges.
    "llama3": dict(
        model_type="llama", dtype="bfloat16", tokens=150, old_style=True,
        vocab_size=160, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=1, head_dim=32, tie_word_embeddings=True,
        max_position_embeddings=256,
        rope_parameters=dict(rope_type="llama3", rope_theta=500.0, factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=32),
    ),
    # Every bias that a llama may have, no size a multiple of 16, linear rope scaling, one layer.
    "llama_biases": dict(
        model_type="llama", dtype="float32", tokens=40, old_style=True,
        vocab_size=97, hidden_size=40, intermediate_size=52, num_hidden_layers=1,
        num_attention_heads=4, num_key_value_heads=4, attention_bias=True, mlp_bias=True,
        max_position_embeddings=64,
        rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0),
    ),
    # Every layer has a window.
    "mistral": dict(
        model_type="mistral", dtype="bfloat16", tokens=300, columns=8,
        vocab_size=150, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, sliding_window=20,
        max_position_embeddings=512,
    ),
    # Biases of q, k and v only.
    "qwen2": dict(
        model_type="qwen2", dtype="bfloat16", tokens=40,
        vocab_size=150, hidden_size=56, intermediate_size=72, num_hidden_layers=2,
        num_attention_heads=7, num_key_value_heads=1, tie_word_embeddings=True,
        max_position_embeddings=64,
    ),
    # The layers from the second have a window; yarn with every option that it has.
    "qwen2_window": dict(
        model_type="qwen2", dtype="float16", tokens=90,
        vocab_size=130, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
        num_attention_heads=2, num_key_value_heads=2, use_sliding_window=True, sliding_window=16,
        max_window_layers=1, max_position_embeddings=128,
        rope_parameters=dict(rope_type="yarn", rope_theta=1000.0, factor=4.0, beta_fast=2.0,
                             beta_slow=0.5, attention_factor=1.25,
                             original_max_position_embeddings=32),
    ),
    # DeepSeek-R1-0528-Qwen3-8B's yarn: transformers does not know its "attn_factor".
    "qwen3_yarn": dict(
        model_type="qwen3", dtype="bfloat16", tokens=150, old_style=True,
        vocab_size=152, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=32, max_position_embeddings=256,
        rope_parameters=dict(rope_type="yarn", rope_theta=1000.0, factor=4.0,
                             original_max_position_embeddings=64,
                             attn_factor=0.8782488562869419),
    ),
    # Tied, in two safetensors files, heads of 24 and biases of all four projections.
    "qwen3": dict(
        model_type="qwen3", dtype="float16", tokens=40, shard_bytes=30_000,
        vocab_size=149, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=24, tie_word_embeddings=True,
        attention_bias=True, max_position_embeddings=64,
    ),
    "gemma": dict(
        model_type="gemma", dtype="bfloat16", tokens=40, old_style=True,
        vocab_size=140, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=32, max_position_embeddings=64,
    ),
    # Soft caps that bite, a window in every other layer, a scale that is not the head's.
    "gemma2": dict(
        model_type="gemma2", dtype="bfloat16", tokens=60, old_style=True,
        vocab_size=140, hidden_size=32, intermediate_size=48, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, sliding_window=12,
        query_pre_attn_scalar=6, attn_logit_softcapping=3.0, final_logit_softcapping=4.0,
        max_position_embeddings=64,
    ),
    # Local and global layers with ropes of their own, the global ones' scaled.
    "gemma3": dict(
        model_type="gemma3_text", dtype="bfloat16", tokens=290, columns=8,
        vocab_size=140, hidden_size=32, intermediate_size=48, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=1, head_dim=16, sliding_window=24,
        sliding_window_pattern=3, query_pre_attn_scalar=16, max_position_embeddings=512,
        rope_parameters=dict(
            sliding_attention=dict(rope_type="default", rope_theta=100.0),
            full_attention=dict(rope_type="linear", rope_theta=10000.0, factor=8.0)),
    ),
    # As gemma-3-1b's config.json was when it came out.
    "gemma3_old_style": dict(
        model_type="gemma3_text", dtype="bfloat16", tokens=40, old_style=True,
        vocab_size=140, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=1, head_dim=16, sliding_window=8,
        sliding_window_pattern=2, query_pre_attn_scalar=24, final_logit_softcapping=3.0,
        max_position_embeddings=64,
        rope_parameters=dict(
            sliding_attention=dict(rope_type="default", rope_theta=100.0),
            full_attention=dict(rope_type="default", rope_theta=10000.0)),
    ),
}
# Ours, the others are transformers' config.
OWN_KEYS = ("dtype", "tokens", "columns", "old_style", "shard_bytes")


def randomize(model, generator):
    """Weights at which every part of the model matters: attention is far from uniform, soft caps and
    gates leave their linear range, norms differ from one."""
    gemma = model.config.model_type.startswith("gemma")
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("bias"):
            noise *= 0.4
        elif parameter.ndim == 1:  # a norm
            noise = 0.3 * noise + (0 if gemma else 1)
        else:
            noise *= 1.3 / math.sqrt(parameter.shape[1])
        parameter.data.copy_(noise)


def rewrite_in_old_style(config):
    """config.json as transformers 4 wrote it."""
    rope = config.pop("rope_parameters")
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.51.3"
    if "full_attention" in rope:
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
        config["sliding_window_pattern"] = config.pop("_sliding_window_pattern")
    config.pop("layer_types", None)
    config["rope_theta"] = rope.pop("rope_theta")
    if rope["rope_type"] == "linear" and config["model_type"] != "gemma3_text":
        rope["type"] = rope.pop("rope_type")  # the oldest name; transformers' Gemma 3 ignores it
    config["rope_scaling"] = None if rope == {"rope_type": "default"} else rope


def random_rope(rng, context, llama3):
    kind = rng.choice(["default", "default", "linear", "yarn"] + llama3)
    rope = dict(rope_type=kind, rope_theta=rng.choice([50.0, 1000.0, 10000.0, 1000000]))
    if kind != "default":
        rope["factor"] = rng.choice([1.5, 4.0, 8.0])
    if kind in ("yarn", "llama3"):
        rope["original_max_position_embeddings"] = rng.choice([8, 32, context // 2])
    if kind == "llama3":
        rope |= dict(low_freq_factor=1.0, high_freq_factor=rng.choice([2.0, 4.0]))
    if kind == "yarn" and rng.random() < 0.5:
        rope |= dict(beta_fast=rng.choice([4.0, 32.0]), beta_slow=rng.choice([1.0, 2.0]))
    if kind == "yarn" and rng.random() < 0.3:
        rope["attention_factor"] = rng.choice([0.7, 1.0, 1.4])
    return rope


def random_model(rng):
    """A model of one of the families, of sizes that nothing divides."""
    family = rng.choice(["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"])
    kv_heads = rng.choice([1, 1, 2, 3])
    group = rng.choice([1, 1, 2, 3, 5, 7, 16, 32, 33] if kv_heads == 1 else [1, 2, 3])
    heads = kv_heads * group
    head_size = rng.choice([2, 4, 6, 8, 10, 16, 20, 32] if heads > 8 else [4, 8, 18, 32, 64, 80, 96, 112, 128, 256])
    tokens = rng.choice([20, 70, 270])
    context = rng.choice([tokens, 2 * tokens, 1024])
    spec = dict(
        model_type=family, dtype=rng.choice(["float32", "float16", "bfloat16"]), tokens=tokens, columns=8,
        old_style=rng.random() < 0.5, vocab_size=rng.randint(20, 200),
        hidden_size=heads * rng.randint(1, max(1, 60 // heads)), intermediate_size=rng.randint(1, 100),
        num_hidden_layers=rng.randint(1, 4), num_attention_heads=heads, num_key_value_heads=kv_heads,
        rms_norm_eps=rng.choice([1e-5, 1e-6]), max_position_embeddings=context,
        tie_word_embeddings=family.startswith("gemma") or rng.random() < 0.5,
        rope_parameters=random_rope(rng, context, ["llama3"] if family in ("llama", "mistral") else []),
    )
    if family == "qwen2":
        spec["hidden_size"] = heads * head_size  # it has no head_dim
    else:
        spec["head_dim"] = head_size
    if family in ("llama", "qwen3", "gemma", "gemma2", "gemma3_text"):
        spec["attention_bias"] = rng.random() < 0.3
    if family == "llama":
        spec["mlp_bias"] = rng.random() < 0.3
    window = rng.choice([1, 5, 16, 33, tokens - 1, tokens + 9])
    if family in ("mistral", "gemma2", "gemma3_text"):
        spec["sliding_window"] = window
    if family in ("qwen2", "qwen3") and rng.random() < 0.5:
        spec |= dict(use_sliding_window=True, sliding_window=window, max_window_layers=rng.randint(0, 2))
    if family == "gemma3_text":
        spec["sliding_window_pattern"] = rng.choice([1, 2, 3, 6])
        spec["rope_parameters"] = dict(
            full_attention=spec["rope_parameters"],
            sliding_attention=dict(rope_type="default", rope_theta=rng.choice([20.0, 10000.0])))
    if family in ("gemma2", "gemma3_text"):
        spec["query_pre_attn_scalar"] = rng.choice([head_size, 144])
        spec["final_logit_softcapping"] = rng.choice([None, 2.0, 30.0])
    if family == "gemma2":
        spec["attn_logit_softcapping"] = rng.choice([None, 1.0, 50.0])
    return spec


def save_folder(name, spec, folder):
    settings = {key: value for key, value in spec.items() if key not in OWN_KEYS}
    config = AutoConfig.for_model(**json.loads(json.dumps(settings)))
    config.architectures = None
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    randomize(model, torch.Generator().manual_seed(sum(map(ord, name))))
    model.to(getattr(torch, spec["dtype"])).save_pretrained(
        folder, max_shard_size=spec.get("shard_bytes", 1_000_000))
    (folder / "generation_config.json").unlink()
    for file in folder.iterdir():
        file.chmod(0o644)
    path = folder / "config.json"
    saved = json.loads(path.read_text())
    if spec.get("old_style"):
        rewrite_in_old_style(saved)
    path.write_text(json.dumps(saved, indent=1, sort_keys=True) + "\n")


class HalfCache(DynamicCache):
    def update(self, key_states, value_states, *args, **kwargs):
        return super().update(key_states.half().float(), value_states.half().float(), *args, **kwargs)


def rows_of(logits):
    return ",\n".join("  [" + ", ".join(f"{value:.6g}" for value in row) + "]" for row in logits.tolist())


def run(folder, spec):
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager")
    vocabulary = spec["vocab_size"]
    generator = torch.Generator().manual_seed(7)
    tokens = torch.randint(vocabulary, (spec["tokens"],), generator=generator)
    with torch.no_grad():
        logits = model(tokens[None]).logits[0]
        rounded = model(tokens[None], past_key_values=HalfCache(config=model.config)).logits[0]
    columns = sorted(
        {0, vocabulary - 1}
        | set(torch.randperm(vocabulary, generator=generator)[: spec.get("columns", COLUMNS) - 2].tolist()))
    (folder / "expected.json").write_text(
        "{\n"
        f' "transformers": "{transformers.__version__}",\n'
        f' "tokens": {tokens.tolist()},\n'
        f' "columns": {columns},\n'
        f' "logits": [\n{rows_of(logits[:, columns])}\n ],\n'
        f' "logits_with_half_kv": [\n{rows_of(rounded[:, columns])}\n ]\n'
        "}\n")
    print(f"{folder.name}: logits have deviation {logits.std():.2f}, at most {logits.abs().max():.2f};"
          f" keys and values in float16 move them by up to {(rounded - logits).abs().max():.5f}")
    return model


def head_size_of(config):
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def llama3_factors(rope, head_size):
    """What rope_freqs.weight divides frequencies by."""
    inverse = rope["rope_theta"] ** (np.arange(0, head_size, 2) / head_size)
    turns = rope["original_max_position_embeddings"] / (2 * math.pi * inverse)
    smooth = (turns - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
    smooth = np.clip(smooth, 0, 1)
    return (1 / ((1 - smooth) / rope["factor"] + smooth)).astype(np.float32)


def add_keys(writer, config):
    head_size = head_size_of(config)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_tokenizer_model("none")
    rope = config.rope_parameters
    if "sliding_attention" in rope:
        writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
        rope = rope["full_attention"]
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        factor = rope.get("attention_factor", rope.get("attn_factor"))
        if factor is not None:
            writer.add_rope_scaling_yarn_attn_factor(factor)
        if "beta_fast" in rope:
            writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
            writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
    if config.model_type == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping or 0.0)
        writer.add_final_logit_softcapping(config.final_logit_softcapping or 0.0)
    if config.model_type == "gemma3_text" and config.final_logit_softcapping is not None:
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if config.model_type.startswith("gemma"):
        # convert_hf_to_gguf.py leaves this out, and llama.cpp knows the published models' by heart.
        if (scalar := getattr(config, "query_pre_attn_scalar", None)) is not None:
            writer.add_attention_scale(scalar**-0.5)
    if (window := getattr(config, "sliding_window", None)) is not None:
        writer.add_sliding_window(window)
        local = [kind == "sliding_attention" for kind in getattr(config, "layer_types", None) or []]
        if config.model_type == "gemma3_text":
            writer.add_sliding_window_pattern(config._sliding_window_pattern)
        elif config.model_type in ("qwen2", "qwen3"):
            writer.add_sliding_window_pattern(local)


def permute(weights, heads):
    """convert_hf_to_gguf.py's LlamaModel.permute."""
    shape = weights.shape
    return weights.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gemma": gguf.MODEL_ARCH.GEMMA,
    "gemma2": gguf.MODEL_ARCH.GEMMA2,
    "gemma3_text": gguf.MODEL_ARCH.GEMMA3,
}
TYPES = {
    "float32": gguf.GGMLQuantizationType.F32,
    "float16": gguf.GGMLQuantizationType.F16,
    "bfloat16": gguf.GGMLQuantizationType.BF16,
}


def save_gguf(model, spec, path):
    config = model.config
    architecture = ARCHITECTURES[config.model_type]
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    add_keys(writer, config)
    if config.rope_parameters.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(config.rope_parameters, head_size_of(config)))
    for name, parameter in model.named_parameters():  # once each: a tied head is not among them
        tensor = parameter.detach().numpy().astype(np.float32)
        if architecture == gguf.MODEL_ARCH.LLAMA:
            if "q_proj" in name:
                tensor = permute(tensor, config.num_attention_heads)
            if "k_proj" in name:
                tensor = permute(tensor, config.num_key_value_heads)
        if config.model_type.startswith("gemma") and name.endswith("norm.weight"):
            tensor = tensor + 1
        kind = TYPES[spec["dtype"]] if tensor.ndim > 1 else TYPES["float32"]
        mapped = names.get_name(name, try_suffixes=(".weight", ".bias"))
        writer.add_tensor(mapped, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(MODELS), help="all, when none is given")
    parser.add_argument("--random", type=int, metavar="COUNT", help="variants instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=TESTDATA)
    arguments = parser.parse_args()
    models = {name: MODELS[name] for name in arguments.names}
    if arguments.random:
        rng = random.Random(arguments.seed)
        models = {f"variant_{arguments.seed}_{i}": random_model(rng) for i in range(arguments.random)}
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name, spec in models.items():
        folder = arguments.out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        save_folder(name, spec, folder)
        save_gguf(run(folder, spec), spec, folder / "model.gguf")


if __name__ == "__main__":
    main()
