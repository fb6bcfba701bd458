#!/usr/bin/env bash
# Runs the tests of the CUDA operators on the emulator, under AddressSanitizer and with addresses
# checked for alignment: what can be known of the kernels without a GPU. Needs the toolkit's headers
# (tools/cuda/fetch_toolchain).
#
# usage: tools/cuda/emulator/run_tests.sh [OPERATOR…]     rms_norm, paged_attention, …; default: all
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

out=build/cuda-emulator
mkdir -p "$out/include/worker/kernels"
# The emulator's versions of the headers with inline PTX come first in the include path.
python3 tools/cuda/emulator/translate.py worker/kernels/cuda_math.cuh \
  "$out/include/worker/kernels/cuda_math.cuh"
cp tools/cuda/emulator/cuda_mma.cuh "$out/include/worker/kernels/cuda_mma.cuh"

flags=(-std=c++20 -O1 -g1 -w -fsanitize=address,alignment -fno-sanitize-recover=all -I"$out/include" -Itools/cuda/emulator -I.
  -isystem "${SPILLWAY_CUDA_TOOLKIT:-build/cuda-toolkit}/include")
launcher=$(command -v ccache || true)
compile() {  # SOURCE OBJECT
  [[ $2 -nt $1 && $2 -nt tools/cuda/emulator/cuda_emulator.h &&
    -z $(find worker/kernels worker/device tests/worker/kernels tests/support "$out/include" \
      -name '*.h' -newer "$2" -o -name '*.cuh' -newer "$2") ]] && return
  $launcher g++ "${flags[@]}" -c "$1" -o "$2"
}

objects=()
for source in tools/cuda/emulator/emulated_runtime.cc worker/device/{stream,device_memory,cuda_device,cuda_status}.cc \
  worker/kernels/*_reference.cc worker/kernels/packed_matrix.cc; do
  object=$out/$(basename "$source" .cc).o
  compile "$source" "$object"
  objects+=("$object")
done
for source in worker/kernels/*.cu; do
  name=$(basename "$source" .cu)
  python3 tools/cuda/emulator/translate.py "$source" "$out/$name.new.cc"
  cmp -s "$out/$name.new.cc" "$out/$name.cc" || cp "$out/$name.new.cc" "$out/$name.cc"
  compile "$out/$name.cc" "$out/$name.cu.o"
  objects+=("$out/$name.cu.o")
done

operators=("$@")
if [[ ${#operators[@]} == 0 ]]; then
  for test in tests/worker/kernels/*_cuda_test.cc; do
    name=$(basename "$test" _cuda_test.cc)
    operators+=("$name")
  done
fi
failed=0
for operator in "${operators[@]}"; do
  test=tests/worker/kernels/${operator}_cuda_test
  compile "$test.cc" "$out/${operator}_test.o"
  g++ -fsanitize=address,alignment -o "$out/${operator}_test" "$out/${operator}_test.o" "${objects[@]}" \
    -labsl_statusor -labsl_status -labsl_strings -labsl_raw_logging_internal -lgtest_main -lgmock -lgtest
  # Fibers' stacks are not what AddressSanitizer expects of a return.
  ASAN_OPTIONS=detect_stack_use_after_return=0:detect_leaks=0 "$out/${operator}_test" \
    --gtest_brief=1 || failed=1
done
exit $failed
