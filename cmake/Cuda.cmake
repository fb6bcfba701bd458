# The CUDA language and what .cu files are compiled with. Included when SPILLWAY_CUDA is on.
#
# The CUDA runtime is linked statically; the driver (libcuda) and cuBLAS are opened at run time, so a
# binary of this build starts on a machine that has neither.
set(SPILLWAY_CUDA_TOOLKIT "${CMAKE_SOURCE_DIR}/build/cuda-toolkit" CACHE PATH "A CUDA 13 toolkit")
set(SPILLWAY_CUDA_ARCHITECTURES "90" CACHE STRING
    "Compute capabilities to build for; releases: 80;86;89;90;100;120")

if(NOT EXISTS ${SPILLWAY_CUDA_TOOLKIT}/bin/nvcc)
  message(FATAL_ERROR "no ${SPILLWAY_CUDA_TOOLKIT}/bin/nvcc: run tools/cuda/fetch_toolchain, or set "
                      "SPILLWAY_CUDA_TOOLKIT to a CUDA 13 toolkit")
endif()

# Machine code for each architecture, no PTX: a GPU that isn't listed is refused by name at start,
# rather than after the driver has compiled every kernel for it.
list(TRANSFORM SPILLWAY_CUDA_ARCHITECTURES APPEND "-real" OUTPUT_VARIABLE CMAKE_CUDA_ARCHITECTURES)
set(CMAKE_CUDA_COMPILER ${SPILLWAY_CUDA_TOOLKIT}/bin/nvcc)
set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
set(CMAKE_CUDA_FLAGS_INIT "-L${SPILLWAY_CUDA_TOOLKIT}/lib")
enable_language(CUDA)
# CMake 3.25 asks for the C++ standard of the project but doesn't know nvcc's flag for it.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
if(SPILLWAY_CCACHE)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${SPILLWAY_CCACHE})
endif()
set(CMAKE_CUDA_FLAGS_RELEASE "-O3")

# --expt-relaxed-constexpr lets device code call the constexpr functions of our headers.
set(SPILLWAY_CUDA_OPTIONS
    --expt-relaxed-constexpr -lineinfo -Xptxas=-warn-spills -Xcompiler=-Wall,-Wextra,-fno-omit-frame-pointer)
if(SPILLWAY_WERROR)
  list(APPEND SPILLWAY_CUDA_OPTIONS -Werror=all-warnings)
endif()
foreach(option IN LISTS SPILLWAY_CUDA_OPTIONS)
  target_compile_options(spillway_flags INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:${option}>)
endforeach()

# What a folder that calls the CUDA runtime adds to its LIBS.
add_library(spillway_cuda_runtime INTERFACE)
target_include_directories(spillway_cuda_runtime SYSTEM INTERFACE ${SPILLWAY_CUDA_TOOLKIT}/include)
target_link_libraries(spillway_cuda_runtime INTERFACE ${SPILLWAY_CUDA_TOOLKIT}/lib64/libcudart_static.a rt
                                                      ${CMAKE_DL_LIBS})

# All that tools/bundle.sh carries to a machine with a GPU: tests with the label gpu, and benches.
add_custom_target(spillway_gpu_checks)
