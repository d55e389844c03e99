# ik_llama.cpp, built once from a source tree that is already on disk, as static libraries for the
# engine plugin `ik`.
#
#   AIOSS_IK_SOURCE_DIR  its tree, with our patches (third_party/patches/ik). `./dev` obtains and
#                        checks one. Empty: there is no engine ik in what is built.
#   AIOSS_IK_BUILD_DIR   where its objects go: a cache folder shared by all presets.
#   AIOSS_CPU            as for llama.cpp (cmake/llama.cmake)
#
# Nothing here downloads. Defines the target aioss::ik; only src/engines/ik links it.
include(ExternalProject)
include(compiler_cache)

set(AIOSS_IK_SOURCE_DIR "" CACHE PATH "ik_llama.cpp source tree, or empty")
set(AIOSS_IK_BUILD_DIR "${CMAKE_BINARY_DIR}/ik" CACHE PATH "Build folder of ik_llama.cpp")
set(AIOSS_HAS_IK OFF)
if(AIOSS_IK_SOURCE_DIR STREQUAL "")
  message(STATUS "No AIOSS_IK_SOURCE_DIR: the engine ik is not built")
  return()
endif()
if(NOT EXISTS "${AIOSS_IK_SOURCE_DIR}/ggml/src/iqk/iqk_mul_mat.h")
  message(FATAL_ERROR
    "AIOSS_IK_SOURCE_DIR is '${AIOSS_IK_SOURCE_DIR}', which holds no ik_llama.cpp")
endif()
if(AIOSS_SANITIZE)
  return() # its code is not instrumented; the same arithmetic would only run again
endif()
set(AIOSS_HAS_IK ON)

set(AIOSS_IK_V3 -DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON)
if(AIOSS_CPU STREQUAL "native")
  set(AIOSS_IK_ISA -DGGML_NATIVE=ON)
elseif(AIOSS_CPU STREQUAL "x86-64-v3")
  set(AIOSS_IK_ISA ${AIOSS_IK_V3})
else()
  set(AIOSS_IK_ISA ${AIOSS_IK_V3} -DGGML_AVX512=ON)
endif()

set(AIOSS_IK_LIBRARIES
  "${AIOSS_IK_BUILD_DIR}/src/libllama.a" "${AIOSS_IK_BUILD_DIR}/ggml/src/libggml.a")

# Its build folder is shared by all working copies: what configures it lies there, too.
file(MAKE_DIRECTORY "${AIOSS_IK_BUILD_DIR}/project")
configure_file("${CMAKE_SOURCE_DIR}/cmake/ik/CMakeLists.txt"
  "${AIOSS_IK_BUILD_DIR}/project/CMakeLists.txt" COPYONLY)

# As one argument; "|" is what stands for ";" below.
aioss_compiler_cache("${AIOSS_IK_SOURCE_DIR}" AIOSS_IK_LAUNCHER)
list(JOIN AIOSS_IK_LAUNCHER "|" AIOSS_IK_LAUNCHER)

# GGML_OPENMP, without OpenMP's library: src/engines/ik/openmp_shim.h. FA_ALL_QUANTS would double
# the time that this takes for kinds of keys and values that nobody asked for.
ExternalProject_Add(ik_external
  SOURCE_DIR "${AIOSS_IK_BUILD_DIR}/project"
  BINARY_DIR "${AIOSS_IK_BUILD_DIR}"
  PREFIX "${CMAKE_BINARY_DIR}/ik-stamps"
  CMAKE_GENERATOR Ninja
  LIST_SEPARATOR "|"
  CMAKE_ARGS
    -DAIOSS_IK_SOURCE_DIR=${AIOSS_IK_SOURCE_DIR} -DCMAKE_BUILD_TYPE=Release
    -DCMAKE_C_COMPILER=${CMAKE_C_COMPILER} -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}
    -DGGML_OPENMP=ON -DGGML_IQK_FA_ALL_QUANTS=OFF -DGGML_CCACHE=OFF ${AIOSS_IK_ISA}
    "-DCMAKE_C_COMPILER_LAUNCHER=${AIOSS_IK_LAUNCHER}"
    "-DCMAKE_CXX_COMPILER_LAUNCHER=${AIOSS_IK_LAUNCHER}"
  BUILD_COMMAND ${CMAKE_COMMAND} --build <BINARY_DIR> --target llama
  INSTALL_COMMAND ""
  BUILD_BYPRODUCTS ${AIOSS_IK_LIBRARIES}
  USES_TERMINAL_BUILD ON)

add_library(aioss_ik INTERFACE)
add_library(aioss::ik ALIAS aioss_ik)
add_dependencies(aioss_ik ik_external)
target_include_directories(aioss_ik SYSTEM INTERFACE
  "${AIOSS_IK_SOURCE_DIR}/include" "${AIOSS_IK_SOURCE_DIR}/ggml/include"
  "${AIOSS_IK_SOURCE_DIR}/src" "${AIOSS_IK_SOURCE_DIR}/ggml/src")
target_link_libraries(aioss_ik INTERFACE ${AIOSS_IK_LIBRARIES} Threads::Threads m)
