# The target xgrammar: XGrammar's C++ core, compiled as it comes (tools/xgrammar.txt pins it). Its
# source lies in build/xgrammar, fetched when a preset is first configured; ccache makes the second
# preset cheap. Only worker/grammar includes it.
set(XGRAMMAR_FOLDER ${CMAKE_SOURCE_DIR}/build/xgrammar)
execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/fetch_xgrammar ${XGRAMMAR_FOLDER}
                RESULT_VARIABLE fetched)
if(NOT fetched EQUAL 0)
  message(FATAL_ERROR "tools/fetch_xgrammar failed: is a Python package index in reach?")
endif()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tools/xgrammar.txt)

file(GLOB_RECURSE XGRAMMAR_SOURCES ${XGRAMMAR_FOLDER}/source/cpp/*.cc)
list(FILTER XGRAMMAR_SOURCES EXCLUDE REGEX "/cpp/tvm_ffi/")
add_library(xgrammar STATIC EXCLUDE_FROM_ALL ${XGRAMMAR_SOURCES})
target_include_directories(xgrammar SYSTEM PUBLIC ${XGRAMMAR_FOLDER}/source/include
                                                  ${XGRAMMAR_FOLDER}/source/3rdparty/dlpack/include
                                                  ${XGRAMMAR_FOLDER}/source/3rdparty/picojson)
target_compile_definitions(xgrammar PUBLIC XGRAMMAR_ENABLE_CPPTRACE=0 XGRAMMAR_ENABLE_INTERNAL_CHECK=0)
# Its warnings are its own. Masks are made on the way of every token, so it is optimised always.
target_compile_options(xgrammar PRIVATE -w -O2 -fno-omit-frame-pointer)
if(SPILLWAY_SANITIZE)
  target_compile_options(xgrammar PRIVATE -fsanitize=${SPILLWAY_SANITIZE})
endif()
target_link_libraries(xgrammar PUBLIC Threads::Threads)
