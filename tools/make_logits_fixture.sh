#!/bin/bash
# Writes the fixtures of the decoder's and the tokenizer's tests, with the default model:
#
#   tests/worker/model/testdata/smollm2_llama_cpp.json      what llama.cpp makes of
#     tools/llama_cpp/prompts.json: token ids, greedy continuations, logits
#   tests/worker/model/testdata/smollm2_llama_cpp_f32.json  the logits of the same tokens where every
#     weight is widened to f32, so that no activation is quantised: as good as exact
#
#   tools/make_logits_fixture.sh MODEL.gguf [LLAMA_CPP_FOLDER]
#
# Then says how far llama.cpp's own code paths are from the exact logits, which bounds what a test
# may ask for. Seen on 2026-11-21 (AVX-512 VNNI), over 640 positions:
#
#                                        rms    largest at a position      other
#                                               median   p99    max        likeliest token
#   the model as it is                  0.244    0.69   1.52   2.08        17
#   the same, flash attention off       0.256    0.68   1.91   3.43        19
#   the same, AVX2 without VNNI         0.239    0.67   1.47   1.90        12
#   the same, SSE2 only                 0.249    0.68   1.81   2.65        20
#   f32 weights, KV in f16              0.011    0.021  0.069  0.110        0
#
# Any two of the first four are as far from one another as from the exact logits: the noise is that
# of activations in 8 bits (Q8_1 for Q4_1 weights, Q8_0 for Q8_0 ones, 32 values a block), and one
# rounding that falls otherwise moves all that follow. One thread: with two, 1.07 at most.
# About 10 minutes, and 700 MB in $TMPDIR.
set -euo pipefail

repository=$(cd "$(dirname "$0")/.." && pwd)
model=${1:?"usage: $0 MODEL.gguf [LLAMA_CPP_FOLDER]"}
folder=${2:-$repository/build/peers/llama.cpp}
binaries=$("$repository/tools/llama_cpp/build.sh" "$folder")
testdata=$repository/tests/worker/model/testdata
fixture=$testdata/smollm2_llama_cpp.json
# That of the sdist which build.sh pins (its CHANGELOG.md).
commit=0c1e57098bba43ac29e6e3b677cdceebdd22334f

dump() { "$binaries/dump_logits" --threads 1 --commit "$commit" "$@"; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$testdata"

dump --model "$model" --prompts "$repository/tools/llama_cpp/prompts.json" --out "$fixture"
exact=$scratch/$(basename "$model" .gguf)-as-F32.gguf
dump --model "$model" --dequantise "$exact"
dump --model "$exact" --replay "$fixture" --kv f32 --flash-attn off --raw "$scratch/exact.bin" \
  --out "$testdata/smollm2_llama_cpp_f32.json"

noise() {
  echo -n "$1: "
  shift
  dump --replay "$fixture" --baseline "$scratch/exact.bin" "$@"
}
noise "the model as it is" --model "$model"
noise "the same, flash attention off" --model "$model" --flash-attn off --kv f32
noise "f32 weights, KV in f16" --model "$exact"
