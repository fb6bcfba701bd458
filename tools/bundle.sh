#!/usr/bin/env bash
# Makes build/bundle: the GPU tests, the tiny models and benches with all they need but the driver, cuBLAS and the C
# library, to be carried to a machine with a GPU and run there by bundle/run-gpu-checks. What
# `./dev bundle` runs.
#
# usage: tools/bundle.sh      (environment as tools/cuda/build.sh)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

BYTES_MAX=$((40 << 20))

tools/cuda/build.sh spillway_gpu_checks

bundle=build/bundle
rm -rf "$bundle"
mkdir -p "$bundle/bin" "$bundle/lib"

# The tests with the label gpu are those that ctest has under it.
mapfile -t tests < <(ctest --test-dir build/cuda -L '^gpu$' --show-only=json-v1 |
  python3 -c 'import json, sys
for test in json.load(sys.stdin)["tests"]: print(test["command"][0])')
[[ ${#tests[@]} -gt 0 ]] || { echo "bundle: ctest knows no gpu test" >&2; exit 1; }
for program in "${tests[@]}" build/cuda/bin/bench_gpu_kernels build/cuda/bin/bench_cuda_engine; do
  strip -o "$bundle/bin/$(basename "$program")" "$program"
done

# The C library belongs to the machine, as the driver does.
own='^(linux-vdso|ld-linux|libc|libm|libdl|librt|libpthread|libcuda|libcublas)[.-]'
for program in "$bundle"/bin/*; do
  ldd "$program" | awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }'
done | sort -u | while read -r name path; do
  [[ $name =~ $own ]] || strip -o "$bundle/lib/$name" "$path"
done

cp -r tests/worker/model/testdata/tiny "$bundle/models"
install -m 755 tools/cuda/run-gpu-checks "$bundle/run-gpu-checks"
install -m 644 tools/cuda/torch_yardstick.py "$bundle/torch_yardstick.py"
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
[[ -z $(git status --porcelain 2>/dev/null) ]] || commit+=-changed
echo "$commit" > "$bundle/commit"

bytes=$(du -sb "$bundle" | cut -f 1)
if ((bytes > BYTES_MAX)); then
  echo "bundle: $bytes bytes, more than the $BYTES_MAX that can be carried" >&2
  exit 1
fi
echo "bundle: $bundle, $((bytes >> 10)) KiB, ${#tests[@]} tests" >&2
