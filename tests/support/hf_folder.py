"""Complete Hugging Face folders for tests: the tiny random models of
tests/worker/model/testdata/tiny with a tokenizer, a chat template and settings."""

import json
import pathlib
import shutil

TINY = pathlib.Path(__file__).resolve().parents[1] / "worker/model/testdata/tiny"
START, END = "<|start|>", "<|end|>"


def write_folder(path, model="llama", generation=None, template=None):
    """Makes the folder `path` of the tiny model `model`. A token is a character of printable ASCII;
    START and END are special. `generation` becomes generation_config.json."""
    path = pathlib.Path(path)
    shutil.copytree(TINY / model, path, ignore=shutil.ignore_patterns("expected.json", "*.gguf"))
    _write(path / "tokenizer.json", _tokenizer())
    _write(path / "tokenizer_config.json",
           {"bos_token": START, "eos_token": {"content": END, "special": True},
            "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 1000})
    (path / "chat_template.jinja").write_text(
        template or "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}"
        "{% endfor %}", encoding="utf-8")
    if generation is not None:
        _write(path / "generation_config.json", generation)
    return path


def _write(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")


def _tokenizer():
    characters = ["Ġ" if code == 32 else chr(code) for code in range(32, 127)]
    vocabulary = {character: i for i, character in enumerate(characters)}
    special = [{"id": len(vocabulary) + i, "content": text, "special": True, "single_word": False,
                "lstrip": False, "rstrip": False, "normalized": False}
               for i, text in enumerate((START, END))]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
            "normalizer": None, "pre_tokenizer": byte_level, "post_processor": byte_level,
            "decoder": byte_level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None,
                      "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": vocabulary, "merges": []}}
