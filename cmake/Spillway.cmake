# spillway_library(), spillway_binary(), spillway_test(), spillway_fuzz(), spillway_bench().
#
# A library is a folder: spillway_library(worker/text ...) makes the target spillway_worker_text.
# DEPS are folders of ours and must be what its files include, no more and no less
# (tests/tidy/check_tree.py holds them to that). LIBS are third-party targets.

add_library(spillway_flags INTERFACE)
target_include_directories(spillway_flags INTERFACE ${CMAKE_SOURCE_DIR})
# In a CUDA build nvcc compiles the .cu files; it takes none of these flags (cmake/Cuda.cmake has its own).
function(_spillway_flags)
  foreach(flag IN LISTS ARGN)
    target_compile_options(spillway_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${flag}>)
  endforeach()
endfunction()
# Members that a designated initialiser leaves out are value-initialised, and meant to be.
_spillway_flags(-Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wno-missing-field-initializers
                -fno-omit-frame-pointer)
# g++ 12 at -O2 reports these in the standard library's own headers once they are inlined
# (GCC bugs 105329, 105651); clang and the sanitizers find the real ones.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  _spillway_flags(-Wno-restrict -Wno-maybe-uninitialized -Wno-array-bounds -Wno-stringop-overflow)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # libstdc++ 12's stable_sort calls get_temporary_buffer(), which it calls deprecated.
  _spillway_flags(-Wthread-safety -Wno-deprecated-declarations)
endif()
if(SPILLWAY_WERROR)
  _spillway_flags(-Werror)
endif()
if(SPILLWAY_SANITIZE)
  target_compile_options(spillway_flags INTERFACE -fsanitize=${SPILLWAY_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(spillway_flags INTERFACE -fsanitize=${SPILLWAY_SANITIZE})
endif()
if(SPILLWAY_FUZZ)
  target_compile_options(spillway_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
target_link_libraries(spillway_flags INTERFACE Threads::Threads)

function(_spillway_target_of folder result)
  string(REPLACE "/" "_" name ${folder})
  set(${result} spillway_${name} PARENT_SCOPE)
endfunction()

function(_spillway_link target scope)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBS" ${ARGN})
  foreach(dep IN LISTS ARG_DEPS)
    _spillway_target_of(${dep} dep_target)
    target_link_libraries(${target} ${scope} ${dep_target})
  endforeach()
  target_link_libraries(${target} ${scope} ${ARG_LIBS})
endfunction()

# spillway_library(folder SOURCES a.cc … [DEPS folder …] [LIBS target …] [PCH header …])
function(spillway_library folder)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS;PCH" ${ARGN})
  _spillway_target_of(${folder} target)
  if(ARG_SOURCES)
    if(SPILLWAY_CUDA_EMULATED)
      spillway_emulated_sources(ARG_SOURCES ${ARG_SOURCES})
    endif()
    add_library(${target} STATIC ${ARG_SOURCES})
    target_link_libraries(${target} PUBLIC spillway_flags)
    _spillway_link(${target} PUBLIC DEPS ${ARG_DEPS} LIBS ${ARG_LIBS})
    if(ARG_PCH)
      target_precompile_headers(${target} PRIVATE ${ARG_PCH})
    endif()
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE spillway_flags)
    _spillway_link(${target} INTERFACE DEPS ${ARG_DEPS} LIBS ${ARG_LIBS})
  endif()
endfunction()

# spillway_binary(name SOURCES … DEPS … LIBS …): an executable in build/PRESET/bin.
function(spillway_binary name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE spillway_flags)
  _spillway_link(${name} PRIVATE DEPS ${ARG_DEPS} LIBS ${ARG_LIBS})
endfunction()

# What runs under asan and ubsan in a plain ./dev test: whatever parses bytes, and the scheduler. A
# test whose path begins with one of these gets the label `sanitize` and belongs to the target
# `sanitize_tests`. (./dev test --full sanitizes everything.)
set(SPILLWAY_SANITIZED_TESTS common/ fuzz/ scheduler/ router/ server/auth/ server/dialects/ server/http/
                             worker/model/gguf worker/model/hf_ worker/model/json_object worker/model/model_spec
                             worker/model/safetensors worker/sampling/ worker/text/)
add_custom_target(sanitize_tests)

# ThreadSanitizer: a report ends the process, so that it fails the test also where the process is a
# child of the test. Debian's libraries are not instrumented, so calls from within them (memmove,
# epoll_wait, …) are not held against anybody; tests/support/grpc_for_tsan.cc says what it knows of
# gRPC's own order. No race of ours is suppressed by name.
set(SPILLWAY_TSAN_OPTIONS "halt_on_error=1 ignore_noninstrumented_modules=1 history_size=4")

# Gives the test `path`, built by `target`, its labels and where GoogleTest reports its cases
# (tools/summarize_tests.py counts them).
function(_spillway_register path target label timeout)
  foreach(prefix IN LISTS SPILLWAY_SANITIZED_TESTS)
    string(FIND ${path} ${prefix} position)
    if(position EQUAL 0)
      list(APPEND label sanitize)
      add_dependencies(sanitize_tests ${target})
      break()
    endif()
  endforeach()
  string(REPLACE "/" "_" name ${path})
  set(environment "GTEST_OUTPUT=xml:${CMAKE_BINARY_DIR}/test_results/${name}.xml")
  if(SPILLWAY_SANITIZE STREQUAL "thread")
    list(APPEND environment "TSAN_OPTIONS=${SPILLWAY_TSAN_OPTIONS}")
  endif()
  if(SPILLWAY_SANITIZE)
    math(EXPR timeout "5 * ${timeout}")  # of the kernels' tests under ThreadSanitizer
  endif()
  if(SPILLWAY_CUDA_EMULATED)
    # Fibers' stacks are not what AddressSanitizer expects of a return.
    list(APPEND environment "ASAN_OPTIONS=detect_stack_use_after_return=0:detect_leaks=0")
  endif()
  set_tests_properties(${path} PROPERTIES LABELS "${label}" TIMEOUT ${timeout} ENVIRONMENT
                                          "${environment}")
endfunction()

# spillway_test(path/to/foo_test [LABEL unit|simulation|integration|gpu] [TIMEOUT seconds] [DEPS …] [LIBS …]
#               [SOURCES extra.cc …] [ARGS …])
# Builds tests/path/to/foo_test.cc and registers it with ctest under that path.
function(spillway_test path)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;DEPS;LIBS;ARGS" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  string(REPLACE "/" "_" name ${path})
  add_executable(${name} ${CMAKE_SOURCE_DIR}/tests/${path}.cc ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE spillway_flags GTest::gmock GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE SPILLWAY_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                             SPILLWAY_BINARY_DIR="${CMAKE_BINARY_DIR}")
  _spillway_link(${name} PRIVATE DEPS ${ARG_DEPS} LIBS ${ARG_LIBS})
  if(ARG_LABEL STREQUAL "gpu")
    add_dependencies(spillway_gpu_checks ${name})
  endif()
  add_test(NAME ${path} COMMAND ${name} ${ARG_ARGS})
  _spillway_register(${path} ${name} ${ARG_LABEL} ${ARG_TIMEOUT})
endfunction()

# spillway_fuzz(name DEPS …): tests/fuzz/name.cc with LLVMFuzzerTestOneInput and the corpus
# tests/fuzz/corpus/name/. With the fuzz preset it is a libFuzzer binary; else a test that replays
# the corpus.
function(spillway_fuzz name)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBS" ${ARGN})
  add_executable(fuzz_${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/${name}.cc)
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(fuzz_${name} PRIVATE spillway_flags)
  _spillway_link(fuzz_${name} PRIVATE DEPS ${ARG_DEPS} LIBS ${ARG_LIBS})
  if(SPILLWAY_FUZZ)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    add_test(NAME fuzz/${name} COMMAND fuzz_${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
    _spillway_register(fuzz/${name} fuzz_${name} unit 120)
  endif()
endfunction()

# spillway_bench(name DEPS …): bench/name.cc, a program in build/PRESET/bin.
function(spillway_bench name)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBS" ${ARGN})
  add_executable(${name} ${CMAKE_SOURCE_DIR}/bench/${name}.cc)
  target_link_libraries(${name} PRIVATE spillway_flags)
  _spillway_link(${name} PRIVATE DEPS ${ARG_DEPS} LIBS ${ARG_LIBS})
endfunction()
