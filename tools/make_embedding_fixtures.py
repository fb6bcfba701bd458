"""Writes what the encoder's tests compare with: vectors as transformers and sentence-transformers'
rules make them, float32.

tests/worker/model/testdata/tiny_bert/NAME/: tiny random models
  config.json, model.safetensors, modules.json, 1_Pooling/config.json, sentence_bert_config.json
  model.gguf      of "mean": the same weights with the names and keys of llama.cpp's converter; no
                  tokenizer
  expected.json   token ids of some texts, and each text's vector
tests/worker/model/testdata/minilm_vectors.json: the real all-MiniLM-L6-v2 on some sentences

    python3 -m venv .venv && .venv/bin/pip install -r tools/tiny_models_requirements.txt
    .venv/bin/python tools/make_embedding_fixtures.py \
        "$(tools/fetch_embedding_model .venv/bin/python build/models)"

The same versions give the same bytes.
"""

import json
import pathlib
import shutil
import sys

import gguf
import torch
import transformers
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, BertForMaskedLM

TESTDATA = pathlib.Path(__file__).parent.parent / "tests/worker/model/testdata"

TINY = {
    # No size is a multiple of 16; mean and normalisation.
    "mean": dict(pooling="mean", normalize=True, dtype=torch.float32, with_head=False,
                 hidden_size=40, intermediate_size=52, num_hidden_layers=2, num_attention_heads=5,
                 vocab_size=101, max_position_embeddings=40, layer_norm_eps=1e-12),
    # Saved with another head, so that names begin with "bert."; the first token, as it is.
    "cls": dict(pooling="cls", normalize=False, dtype=torch.bfloat16, with_head=True,
                hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2,
                vocab_size=90, max_position_embeddings=64, layer_norm_eps=1e-5),
}

SENTENCES = [
    "A spillway lets a full reservoir overflow safely.",
    "The dam's overflow channel protects it from floods.",
    "def add(a, b):\n    return a + b  # sums two numbers",
    "Zürich, São Paulo and Kraków aren't spelled naïvely.",
    "今天天气很好，我们去公园散步吧。",
    "Привет, мир! Как дела?",
    "🙂🙃 emoji and a family 👨‍👩‍👧",
    "  odd \t white\u00a0space\u3000here\n",
    "antidisestablishmentarianism supercalifragilisticexpialidocious",
    "",
    "long " * 400,
    "A sentence with [CLS] and [SEP] written out, [UNK] too.",
]


def pooled(hidden, pooling, normalize):
    vector = hidden.mean(0) if pooling == "mean" else hidden[0]
    return torch.nn.functional.normalize(vector, dim=0) if normalize else vector


@torch.no_grad()
def vectors(model, ids, pooling, normalize):
    """One text at a time: no padding, which a batch of its own would have."""
    result = []
    for text in ids:
        hidden = model(input_ids=torch.tensor([text])).last_hidden_state[0]
        result.append([float(f"{value:.6g}") for value in pooled(hidden, pooling, normalize)])
    return result


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_texts(path, texts):
    """A line for each text: the file is to be read and compared."""
    lines = ",\n".join(json.dumps(text, ensure_ascii=False) for text in texts)
    path.write_text(f'{{"transformers": "{transformers.__version__}", "texts": [\n{lines}\n]}}\n',
                    encoding="utf-8")


GGUF_NAMES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def write_gguf(path, model):
    config = model.config
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings - 3)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    for name, tensor in model.state_dict().items():
        if name.startswith("pooler.") or name.endswith("position_ids"):
            continue
        name, kind = name.rsplit(".", 1)
        prefix = ""
        if name.startswith("encoder.layer."):
            _, _, layer, name = name.split(".", 3)
            prefix = f"blk.{layer}."
        writer.add_tensor(f"{prefix}{GGUF_NAMES[name]}.{kind}", tensor.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_tiny(name, pooling, normalize, dtype, with_head, **sizes):
    torch.manual_seed(1)
    config = BertConfig(**sizes, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
                        attn_implementation="eager")
    model = BertForMaskedLM(config) if with_head else BertModel(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    for parameter_name, parameter in model.named_parameters():
        if "LayerNorm.weight" in parameter_name:
            torch.nn.init.normal_(parameter, mean=1.0, std=0.2)
    folder = TESTDATA / "tiny_bert" / name
    shutil.rmtree(folder, ignore_errors=True)
    model.to(dtype).save_pretrained(folder)
    if name == "mean":
        write_gguf(folder / "model.gguf", model)
    for path in folder.glob("generation_config.json"):
        path.unlink()
    modules = ["Transformer", "Pooling"] + (["Normalize"] if normalize else [])
    write_json(folder / "modules.json",
               [{"idx": i, "name": str(i), "path": "" if i == 0 else f"{i}_{module}",
                 "type": f"sentence_transformers.models.{module}"}
                for i, module in enumerate(modules)])
    write_json(folder / "1_Pooling/config.json",
               {"word_embedding_dimension": config.hidden_size,
                "pooling_mode_cls_token": pooling == "cls",
                "pooling_mode_mean_tokens": pooling == "mean"})
    write_json(folder / "sentence_bert_config.json",
               {"max_seq_length": config.max_position_embeddings - 3, "do_lower_case": False})

    loaded = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    loaded.eval()
    generator = torch.Generator().manual_seed(2)
    ids = [torch.randint(config.vocab_size, (count,), generator=generator).tolist()
           for count in (1, 2, 17, config.max_position_embeddings - 3)]
    write_texts(folder / "expected.json",
                [{"tokens": tokens, "vector": vector} for tokens, vector in
                 zip(ids, vectors(loaded, ids, pooling, normalize))])


def make_minilm(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model.eval()
    limit = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    ids = [tokenizer(text, truncation=True, max_length=limit)["input_ids"] for text in SENTENCES]
    write_texts(TESTDATA / "minilm_vectors.json",
                [{"text": text, "tokens": tokens, "vector": vector} for text, tokens, vector in
                 zip(SENTENCES, ids, vectors(model, ids, "mean", True))])


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    for name, options in TINY.items():
        make_tiny(name, **options)
    make_minilm(pathlib.Path(sys.argv[1]))


main()
