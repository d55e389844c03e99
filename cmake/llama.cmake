# llama.cpp, built once for each instruction set and each kind of device from a source tree that is
# already on disk, as static libraries.
#
#   AIOSS_LLAMA_SOURCE_DIR  a llama.cpp v0.5.0 tree. `./dev` obtains and checks one.
#   AIOSS_CPU               native | x86-64-v3 | x86-64-v4 | armv8-a | armv8.2-a
#
# Nothing here downloads, and nothing needs the rest of the product: the project of plugins
# (src/engines/llama/plugin) includes this file, too.
include(ExternalProject)
include(compiler_cache)

set(AIOSS_LLAMA_SOURCE_DIR "" CACHE PATH "llama.cpp v0.5.0 source tree")
set(AIOSS_CPU "native" CACHE STRING
  "Instruction set of the engine: native, x86-64-v3, x86-64-v4, armv8-a, armv8.2-a")
set_property(CACHE AIOSS_CPU PROPERTY STRINGS native x86-64-v3 x86-64-v4 armv8-a armv8.2-a)

if(NOT EXISTS "${AIOSS_LLAMA_SOURCE_DIR}/include/llama.h")
  message(FATAL_ERROR
    "AIOSS_LLAMA_SOURCE_DIR does not hold a llama.cpp tree.\n"
    "Run ./dev build, which obtains one, or pass -DAIOSS_LLAMA_SOURCE_DIR=/path/to/llama.cpp")
endif()

# The CMake arguments that make ggml use this instruction set.
function(aioss_llama_isa cpu out)
  set(v3 -DGGML_NATIVE=OFF -DGGML_SSE42=ON -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_BMI2=ON -DGGML_FMA=ON
    -DGGML_F16C=ON)
  if(cpu STREQUAL "native")
    set(isa -DGGML_NATIVE=ON)
  elseif(cpu STREQUAL "x86-64-v3")
    set(isa ${v3})
  elseif(cpu STREQUAL "x86-64-v4")
    set(isa ${v3} -DGGML_AVX512=ON) # F, BW, DQ, VL and CD
  elseif(cpu STREQUAL "armv8-a")
    set(isa -DGGML_NATIVE=OFF -DGGML_CPU_ARM_ARCH=armv8-a)
  elseif(cpu STREQUAL "armv8.2-a") # with what the servers' cores of that level have
    set(isa -DGGML_NATIVE=OFF -DGGML_CPU_ARM_ARCH=armv8.2-a+dotprod+fp16)
  else()
    message(FATAL_ERROR
      "AIOSS_CPU is '${cpu}'; use native, x86-64-v3, x86-64-v4, armv8-a or armv8.2-a")
  endif()
  set(${out} ${isa} PARENT_SCOPE)
endfunction()

# aioss_llama_build(NAME CPU cpu BACKEND cpu|vulkan|cuda|metal BUILD_DIR folder [COMMON]
#                   [ARGS -DX=Y...] [LINK library...])
#
# Defines the target aioss::NAME. BUILD_DIR holds the objects: a folder of the user's cache may be
# shared by many trees of ours, for they do not depend on how our own code is built. COMMON also
# builds llama-common (chat templates). ARGS are for llama.cpp's CMake, LINK is what the backend
# needs of the system.
function(aioss_llama_build name)
  cmake_parse_arguments(ARG "COMMON" "CPU;BACKEND;BUILD_DIR" "ARGS;LINK" ${ARGN})
  aioss_llama_isa("${ARG_CPU}" isa)
  # As one argument each; "|" is what stands for ";" below.
  aioss_compiler_cache("${AIOSS_LLAMA_SOURCE_DIR}" launcher)
  list(JOIN launcher "|" launcher)
  set(toolchain "")
  if(CMAKE_CROSSCOMPILING)
    # Not the toolchain file: these objects are shared by all working copies, and need no library.
    set(toolchain -DCMAKE_SYSTEM_NAME=${CMAKE_SYSTEM_NAME}
      -DCMAKE_SYSTEM_PROCESSOR=${CMAKE_SYSTEM_PROCESSOR})
  endif()
  set(device "")
  set(libraries src/libllama.a ggml/src/libggml.a)
  if(ARG_BACKEND STREQUAL "vulkan")
    set(device -DGGML_VULKAN=ON)
  elseif(ARG_BACKEND STREQUAL "cuda")
    set(device -DGGML_CUDA=ON -DGGML_CUDA_NCCL=OFF "-DCMAKE_CUDA_COMPILER_LAUNCHER=${launcher}")
  elseif(ARG_BACKEND STREQUAL "metal")
    # Its shaders travel inside the library: a worker opens no file.
    set(device -DGGML_METAL=ON -DGGML_METAL_EMBED_LIBRARY=ON -DGGML_BLAS=OFF
      "-DCMAKE_OBJC_COMPILER_LAUNCHER=${launcher}")
  elseif(NOT ARG_BACKEND STREQUAL "cpu")
    message(FATAL_ERROR "the backend is '${ARG_BACKEND}'; use cpu, vulkan, cuda or metal")
  endif()
  if(device)
    list(APPEND libraries "ggml/src/ggml-${ARG_BACKEND}/libggml-${ARG_BACKEND}.a")
  endif()
  list(APPEND libraries ggml/src/libggml-cpu.a ggml/src/libggml-base.a)
  list(PREPEND libraries common/libllama-common-base.a)
  set(targets llama llama-common-base)
  if(ARG_COMMON)
    list(PREPEND libraries common/libllama-common.a)
    set(targets llama llama-common)
  endif()
  list(TRANSFORM libraries PREPEND "${ARG_BUILD_DIR}/")

  aioss_file_names("${AIOSS_LLAMA_SOURCE_DIR}" "${ARG_BUILD_DIR}" names)
  list(TRANSFORM names PREPEND "\"") # flags are text of a shell: there may be spaces
  list(TRANSFORM names APPEND "\"")
  list(JOIN names " " names)

  # GGML_OPENMP: an attached thread pool is as fast, and libgomp would be a second runtime library.
  ExternalProject_Add(${name}_external
    SOURCE_DIR "${AIOSS_LLAMA_SOURCE_DIR}"
    BINARY_DIR "${ARG_BUILD_DIR}"
    PREFIX "${CMAKE_BINARY_DIR}/${name}-stamps"
    CMAKE_GENERATOR Ninja
    LIST_SEPARATOR "|"
    CMAKE_ARGS ${toolchain}
      -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON
      -DCMAKE_C_COMPILER=${CMAKE_C_COMPILER} -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}
      "-DCMAKE_C_COMPILER_LAUNCHER=${launcher}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${launcher}"
      "-DCMAKE_C_FLAGS=$ENV{CFLAGS} ${names}" "-DCMAKE_CXX_FLAGS=$ENV{CXXFLAGS} ${names}"
      -DGGML_OPENMP=OFF -DGGML_CCACHE=OFF ${isa} ${device} ${ARG_ARGS}
      -DLLAMA_BUILD_COMMON=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF
      -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF
      -DLLAMA_OPENSSL=OFF -DLLAMA_SUBPROCESS=OFF -DLLAMA_USE_PREBUILT_UI=OFF
    BUILD_COMMAND ${CMAKE_COMMAND} --build <BINARY_DIR> --target ${targets}
    INSTALL_COMMAND ""
    BUILD_BYPRODUCTS ${libraries}
    USES_TERMINAL_BUILD ON)

  add_library(aioss_${name} INTERFACE)
  add_library(aioss::${name} ALIAS aioss_${name})
  add_dependencies(aioss_${name} ${name}_external)
  target_include_directories(aioss_${name} SYSTEM INTERFACE
    "${AIOSS_LLAMA_SOURCE_DIR}/include" "${AIOSS_LLAMA_SOURCE_DIR}/ggml/include"
    "${AIOSS_LLAMA_SOURCE_DIR}/common" "${AIOSS_LLAMA_SOURCE_DIR}/vendor")
  target_link_libraries(aioss_${name} INTERFACE
    ${libraries} ${ARG_LINK} Threads::Threads ${CMAKE_DL_LIBS} m)
endfunction()

# What exactly is compiled: our patches by hash, or "unpatched". With the commit and the instruction
# set it is the build id that ENGINE_START records. ROOT is our own tree.
function(aioss_llama_patch_id root out)
  file(GLOB patches CONFIGURE_DEPENDS "${root}/third_party/patches/*.patch")
  list(SORT patches)
  set(all "")
  foreach(patch IN LISTS patches)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${patch}")
    file(READ "${patch}" text)
    string(APPEND all "${text}")
  endforeach()
  # Somebody's own tree (AIOSS_LLAMA_SOURCE_DIR) may be the commit as it is: then no patch is named.
  find_package(Git QUIET)
  set(changes "unknown")
  if(Git_FOUND AND EXISTS "${AIOSS_LLAMA_SOURCE_DIR}/.git")
    execute_process(COMMAND "${GIT_EXECUTABLE}" -C "${AIOSS_LLAMA_SOURCE_DIR}" status --porcelain
      OUTPUT_VARIABLE found RESULT_VARIABLE failed ERROR_QUIET)
    if(NOT failed)
      set(changes "${found}")
    endif()
  endif()
  if(all STREQUAL "" OR changes STREQUAL "")
    set(${out} "unpatched" PARENT_SCOPE)
    return()
  endif()
  string(SHA256 id "${all}")
  string(SUBSTRING "${id}" 0 12 id)
  set(${out} "patches-${id}" PARENT_SCOPE)
endfunction()

# aioss_llama_plugin(TARGET NAME name CPU cpu BACKEND backend LLAMA target ROOT folder)
#
# The adapter of src/engines/llama over one such build, as aioss-engine-NAME.so. One symbol goes
# out, and nothing is taken from whoever opens it. The text side stays out: texts are the binary's.
function(aioss_llama_plugin target)
  cmake_parse_arguments(ARG "" "NAME;CPU;BACKEND;LLAMA;ROOT" "" ${ARGN})
  set(adapter "${ARG_ROOT}/src/engines/llama")
  add_library(${target} MODULE
    "${adapter}/plugin/plugin.cc"
    "${adapter}/adapter.cc" "${adapter}/backend.cc" "${adapter}/buffers.cc"
    "${adapter}/descriptor_file.cc" "${adapter}/llama_engine.cc" "${adapter}/load.cc"
    "${adapter}/placement.cc" "${adapter}/plan.cc" "${adapter}/session.cc"
    "${ARG_ROOT}/src/engines/ggml/loading.cc" "${ARG_ROOT}/src/engines/ggml/log_scope.cc"
    "${ARG_ROOT}/src/engine/abi.cc" "${ARG_ROOT}/src/engine/sequence_lengths.cc"
    "${ARG_ROOT}/src/engine/state_envelope.cc"
    "${ARG_ROOT}/src/base/assert.cc"
    "${ARG_ROOT}/src/os/own_pages.cc")
  aioss_llama_patch_id("${ARG_ROOT}" patch_id)
  aioss_file_names("${ARG_ROOT}" "${CMAKE_BINARY_DIR}" names)
  target_include_directories(${target} PRIVATE "${ARG_ROOT}/src" "${ARG_ROOT}/include")
  target_include_directories(${target} SYSTEM PRIVATE "${AIOSS_LLAMA_SOURCE_DIR}/src")
  target_compile_options(${target} PRIVATE -O2 -Wall -Wextra -fvisibility=hidden
    -fvisibility-inlines-hidden -fstack-protector-strong ${names})
  target_compile_definitions(${target} PRIVATE
    AIOSS_ENGINE_PLUGIN=1 AIOSS_LLAMA_PATCH_ID="${patch_id}" AIOSS_LLAMA_CPU="${ARG_CPU}"
    AIOSS_LLAMA_NAME="${ARG_NAME}" AIOSS_LLAMA_BACKEND="${ARG_BACKEND}")
  target_link_libraries(${target} PRIVATE ${ARG_LLAMA})
  set_target_properties(${target} PROPERTIES
    PREFIX "" SUFFIX ".so" OUTPUT_NAME "aioss-engine-${ARG_NAME}" POSITION_INDEPENDENT_CODE ON
    CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF)
  if(APPLE)
    # Neither --wrap nor version scripts there: split models are refused, buffers are written.
    target_compile_definitions(${target} PRIVATE AIOSS_ENGINE_NO_WRAP=1)
    target_link_options(${target} PRIVATE "LINKER:-exported_symbol,_aioss_engine_entry")
  else()
    target_link_options(${target} PRIVATE
      "LINKER:--wrap=ggml_fopen" "LINKER:--wrap=ggml_backend_buffer_clear"
      "LINKER:--exclude-libs,ALL" "LINKER:-Bsymbolic"
      "LINKER:-z,relro,-z,now" "LINKER:-z,noexecstack" "LINKER:--gc-sections"
      "LINKER:--version-script,${adapter}/plugin/plugin.map" -static-libgcc -static-libstdc++ -s)
    set_target_properties(${target} PROPERTIES LINK_DEPENDS "${adapter}/plugin/plugin.map")
  endif()
endfunction()
