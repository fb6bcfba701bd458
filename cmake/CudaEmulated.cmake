# A CUDA build without nvcc and without a GPU, for tests: the .cu files become C++ that runs on the
# CPU (tools/cuda/emulator), under AddressSanitizer and with the alignment of every access checked.
# Included when SPILLWAY_CUDA_EMULATED is on; the toolkit's headers are all that it needs of CUDA.
set(SPILLWAY_CUDA_TOOLKIT "${CMAKE_SOURCE_DIR}/build/cuda-toolkit" CACHE PATH "A CUDA 13 toolkit")
if(NOT EXISTS ${SPILLWAY_CUDA_TOOLKIT}/include/cuda_runtime.h)
  message(FATAL_ERROR "no ${SPILLWAY_CUDA_TOOLKIT}/include/cuda_runtime.h: run "
                      "tools/cuda/fetch_toolchain")
endif()
find_package(Python3 REQUIRED COMPONENTS Interpreter)

set(emulator ${CMAKE_SOURCE_DIR}/tools/cuda/emulator)
# Quoted includes are looked for beside the including file first: so the emulator's versions of the
# headers with inline PTX stand before ours.
set(emulated ${CMAKE_BINARY_DIR}/emulated)
set(emulated_headers ${emulated}/worker/kernels/cuda_mma.cuh)
foreach(header worker/kernels/cuda_math.cuh worker/kernels/logit_order.cuh)
  add_custom_command(
    OUTPUT ${emulated}/${header}
    COMMAND ${Python3_EXECUTABLE} ${emulator}/translate.py ${CMAKE_SOURCE_DIR}/${header} ${emulated}/${header}
    DEPENDS ${emulator}/translate.py ${CMAKE_SOURCE_DIR}/${header})
  list(APPEND emulated_headers ${emulated}/${header})
endforeach()
add_custom_command(
  OUTPUT ${emulated}/worker/kernels/cuda_mma.cuh
  COMMAND ${CMAKE_COMMAND} -E copy ${emulator}/cuda_mma.cuh ${emulated}/worker/kernels/cuda_mma.cuh
  DEPENDS ${emulator}/cuda_mma.cuh)
add_custom_target(spillway_emulated_headers DEPENDS ${emulated_headers})

set(emulated_options -O1 -g1 -w -fsanitize=address,alignment -fno-sanitize-recover=all -I${emulator})

# The C++ of the .cu files among `sources`, and the others as they are.
function(spillway_emulated_sources result)
  set(sources)
  foreach(source IN LISTS ARGN)
    if(source MATCHES "\\.cu$")
      get_filename_component(name ${source} NAME_WE)
      set(translated ${emulated}/${name}.cc)
      add_custom_command(
        OUTPUT ${translated}
        COMMAND ${Python3_EXECUTABLE} ${emulator}/translate.py ${CMAKE_CURRENT_SOURCE_DIR}/${source}
                ${translated}
        DEPENDS ${emulator}/translate.py ${CMAKE_CURRENT_SOURCE_DIR}/${source} ${emulated_headers})
      # A source file's own options come last: they undo -Werror.
      set_source_files_properties(${translated} PROPERTIES COMPILE_OPTIONS "${emulated_options}")
      list(APPEND sources ${translated})
    else()
      list(APPEND sources ${source})
    endif()
  endforeach()
  set(${result} ${sources} PARENT_SCOPE)
endfunction()

add_library(spillway_cuda_runtime STATIC ${emulator}/emulated_runtime.cc ${emulator}/emulated_streams.cc)
target_include_directories(spillway_cuda_runtime SYSTEM PUBLIC ${SPILLWAY_CUDA_TOOLKIT}/include)
target_include_directories(spillway_cuda_runtime PRIVATE ${emulator})
target_compile_options(spillway_cuda_runtime PRIVATE -O1 -g1 -w -fsanitize=address)
target_link_options(spillway_cuda_runtime INTERFACE -fsanitize=address,alignment)
target_link_libraries(spillway_cuda_runtime INTERFACE ${CMAKE_DL_LIBS})

add_custom_target(spillway_gpu_checks)
