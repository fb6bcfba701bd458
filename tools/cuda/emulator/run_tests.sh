#!/usr/bin/env bash
# Runs the GPU tests on the emulator, under AddressSanitizer and with addresses checked for
# alignment: what can be known of kernels and executor without a GPU. Needs the toolkit's headers
# (tools/cuda/fetch_toolchain).
#
# usage: tools/cuda/emulator/run_tests.sh [TEST…]     rms_norm_cuda, cuda_executor, …; default: all
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

build=build/cuda-emulated
mkdir -p "$build"
if [[ ! -f $build/build.ninja ]]; then
  log=$build/configure.log
  toolkit=${SPILLWAY_CUDA_TOOLKIT:-$PWD/build/cuda-toolkit}
  cmake --preset cuda-emulated "-DSPILLWAY_CUDA_TOOLKIT=$toolkit" > "$log" 2>&1 ||
    { cat "$log" >&2; exit 1; }
fi
targets=(spillway_gpu_checks)
only=()
if [[ $# != 0 ]]; then
  ninja -C "$build" build.ninja >/dev/null
  mapfile -t targets < <(ninja -C "$build" -t targets all | sed -n 's/: phony$//p' |
    grep -E "^worker_.*($(IFS='|'; echo "$*"))(_test)?$" || true)
  [[ ${#targets[@]} != 0 ]] || { echo "run_tests.sh: no test is called $*" >&2; exit 1; }
  only=(-R "($(IFS='|'; echo "$*"))(_test)?$")
fi
ninja -C "$build" -j "${JOBS:-$(nproc)}" "${targets[@]}" >&2
ctest --test-dir "$build" -L '^gpu$' "${only[@]}" --output-on-failure --no-tests=error
