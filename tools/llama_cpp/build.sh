#!/bin/bash
# Builds llama.cpp, our peer in benchmarks and the oracle of our logits and weights, and the programs
# beside this script against it.
#
#   tools/llama_cpp/build.sh [FOLDER]      FOLDER: build/peers/llama.cpp unless given
#
# The source comes in the sdist of llama-cpp-python, from whatever package index pip is set up
# for: 77 MB, then about 10 minutes on 2 cores. What is there already is kept.
# After it: FOLDER/build/bin/{llama-bench,llama-server,llama-batched-bench,dump_logits,dump_blocks}.
set -euo pipefail

version=0.3.36
sdist_sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
repository=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-$repository/build/peers/llama.cpp}
sdist=llama_cpp_python-$version.tar.gz
source=$folder/source

mkdir -p "$folder"
if [ ! -e "$source/CMakeLists.txt" ]; then
  if [ ! -e "$folder/$sdist" ]; then
    echo "fetching $sdist" >&2
    # pip checks the hash; it asks the sdist for its metadata, which builds nothing.
    echo "llama-cpp-python==$version --hash=sha256:$sdist_sha256" > "$folder/requirements.txt"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
      --no-binary llama-cpp-python --dest "$folder" --requirement "$folder/requirements.txt"
  fi
  echo "$sdist_sha256  $folder/$sdist" | sha256sum --check --quiet
  rm -rf "$folder/unpacking" && mkdir "$folder/unpacking"
  tar -xzf "$folder/$sdist" -C "$folder/unpacking"
  mv "$folder/unpacking/llama_cpp_python-$version/vendor/llama.cpp" "$source"
  rm -rf "$folder/unpacking"
fi

launcher=()
if command -v ccache > /dev/null; then
  launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
binaries=$folder/build/bin
if [ ! -x "$binaries/llama-bench" ] || [ ! -x "$binaries/llama-server" ] ||
   [ ! -x "$binaries/llama-batched-bench" ]; then
  cmake -G Ninja -S "$source" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
    -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF \
    "${launcher[@]}" >&2
  cmake --build "$folder/build" --target llama-bench llama-server llama-batched-bench >&2
fi

for name in dump_logits dump_blocks; do
  program=$repository/tools/llama_cpp/$name.cc
  if [ "$program" -nt "$binaries/$name" ]; then
    g++ -std=c++20 -O2 -Wall -Wextra -I"$source/include" -I"$source/ggml/include" \
      -I"$source/vendor" "$program" -L"$binaries" -lllama -lggml -lggml-base \
      -Wl,-rpath,'$ORIGIN' -o "$binaries/$name"
  fi
done
echo "$binaries"
