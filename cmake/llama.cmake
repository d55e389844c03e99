# llama.cpp, built once from a source tree that is already on disk, as static libraries.
#
#   AIOSS_LLAMA_SOURCE_DIR  a llama.cpp v0.5.0 tree. `./dev` obtains and checks one.
#   AIOSS_LLAMA_BUILD_DIR   where its objects go. `./dev` points it at a cache folder shared by all
#                           presets: the libraries do not depend on how our own code is built.
#   AIOSS_CPU               native | x86-64-v3 | x86-64-v4
#
# Nothing here downloads. Defines the target aioss::llama; only src/engines/llama links it.
include(ExternalProject)

set(AIOSS_LLAMA_SOURCE_DIR "" CACHE PATH "llama.cpp v0.5.0 source tree")
set(AIOSS_LLAMA_BUILD_DIR "${CMAKE_BINARY_DIR}/llama" CACHE PATH "Build folder of llama.cpp")
set(AIOSS_CPU "native" CACHE STRING "Instruction set of the engine: native, x86-64-v3, x86-64-v4")
set_property(CACHE AIOSS_CPU PROPERTY STRINGS native x86-64-v3 x86-64-v4)

if(NOT EXISTS "${AIOSS_LLAMA_SOURCE_DIR}/include/llama.h")
  message(FATAL_ERROR
    "AIOSS_LLAMA_SOURCE_DIR does not hold a llama.cpp tree.\n"
    "Run ./dev build, which obtains one, or pass -DAIOSS_LLAMA_SOURCE_DIR=/path/to/llama.cpp")
endif()

set(AIOSS_X86_64_V3
  -DGGML_NATIVE=OFF -DGGML_SSE42=ON -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_BMI2=ON -DGGML_FMA=ON
  -DGGML_F16C=ON)
if(AIOSS_CPU STREQUAL "native")
  set(AIOSS_LLAMA_ISA -DGGML_NATIVE=ON)
elseif(AIOSS_CPU STREQUAL "x86-64-v3")
  set(AIOSS_LLAMA_ISA ${AIOSS_X86_64_V3})
elseif(AIOSS_CPU STREQUAL "x86-64-v4")
  set(AIOSS_LLAMA_ISA ${AIOSS_X86_64_V3} -DGGML_AVX512=ON)
else()
  message(FATAL_ERROR "AIOSS_CPU is '${AIOSS_CPU}'; use native, x86-64-v3 or x86-64-v4")
endif()

set(AIOSS_LLAMA_LIBRARIES
  common/libllama-common.a common/libllama-common-base.a src/libllama.a
  ggml/src/libggml.a ggml/src/libggml-cpu.a ggml/src/libggml-base.a)
list(TRANSFORM AIOSS_LLAMA_LIBRARIES PREPEND "${AIOSS_LLAMA_BUILD_DIR}/")

# GGML_OPENMP: an attached thread pool is as fast, and libgomp would be a second runtime library.
ExternalProject_Add(llama_external
  SOURCE_DIR "${AIOSS_LLAMA_SOURCE_DIR}"
  BINARY_DIR "${AIOSS_LLAMA_BUILD_DIR}"
  PREFIX "${CMAKE_BINARY_DIR}/llama-stamps"
  CMAKE_GENERATOR Ninja
  CMAKE_ARGS
    -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON
    -DCMAKE_C_COMPILER=${CMAKE_C_COMPILER} -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}
    -DGGML_OPENMP=OFF -DGGML_CCACHE=ON ${AIOSS_LLAMA_ISA}
    -DLLAMA_BUILD_COMMON=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF
    -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF
    -DLLAMA_OPENSSL=OFF -DLLAMA_SUBPROCESS=OFF -DLLAMA_USE_PREBUILT_UI=OFF
  BUILD_COMMAND ${CMAKE_COMMAND} --build <BINARY_DIR> --target llama llama-common
  INSTALL_COMMAND ""
  BUILD_BYPRODUCTS ${AIOSS_LLAMA_LIBRARIES}
  USES_TERMINAL_BUILD ON)

add_library(aioss_llama INTERFACE)
add_library(aioss::llama ALIAS aioss_llama)
add_dependencies(aioss_llama llama_external)
target_include_directories(aioss_llama SYSTEM INTERFACE
  "${AIOSS_LLAMA_SOURCE_DIR}/include" "${AIOSS_LLAMA_SOURCE_DIR}/ggml/include"
  "${AIOSS_LLAMA_SOURCE_DIR}/common" "${AIOSS_LLAMA_SOURCE_DIR}/vendor")
target_link_libraries(aioss_llama INTERFACE
  ${AIOSS_LLAMA_LIBRARIES} Threads::Threads ${CMAKE_DL_LIBS} m)
