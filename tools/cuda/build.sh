#!/usr/bin/env bash
# Configures and builds the `cuda` preset, fetching the compiler first. What `./dev build cuda` runs.
#
# usage: tools/cuda/build.sh [--full] [TARGET…]
#   --full          machine code for all architectures of a release, not sm_90 alone
#   PYTHON=…        an interpreter with pip (default: .venv's, else python3)
#   JOBS=…          compilers at once (default: one per core)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

architectures=90
if [[ ${1:-} == --full ]]; then
  architectures='80;86;89;90;100;120'
  shift
fi
python=${PYTHON:-python3}
[[ -z ${PYTHON:-} && -x .venv/bin/python ]] && python=.venv/bin/python

toolkit=$(tools/cuda/fetch_toolchain "$python")
mkdir -p build/cuda
log=build/cuda/configure.log
cmake --preset cuda "-DSPILLWAY_CUDA_TOOLKIT=$toolkit" \
  "-DSPILLWAY_CUDA_ARCHITECTURES=$architectures" > "$log" 2>&1 || { cat "$log" >&2; exit 1; }
ninja -C build/cuda -j "${JOBS:-$(nproc)}" "${@:-all}" >&2
