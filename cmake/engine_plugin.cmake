# aioss_engine_plugin(NAME SOURCES file... [LINK target...] [LINK_OPTIONS option...])
#
# The engine NAME as a file that workers open: plugins/aioss-engine-NAME.so in the build folder,
# target aioss_engine_NAME. It exports the one symbol of include/aioss/engine.h and needs libc, libm
# and the loader, like the executable. unit.plugin_NAME checks that of the very file.
#
# aioss_check_plugin(NAME TARGET): that test by itself, of another target's file.
set(AIOSS_PLUGIN_SYMBOLS "${CMAKE_SOURCE_DIR}/cmake/engine_plugin.map")

function(aioss_check_plugin name target)
  if(AIOSS_BUILD_TESTS AND NOT AIOSS_SANITIZE)
    find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)
    add_test(NAME unit.plugin_${name} COMMAND ${Python3_EXECUTABLE}
      "${CMAKE_SOURCE_DIR}/tools/check_plugin.py" "$<TARGET_FILE:${target}>")
    set_tests_properties(unit.plugin_${name} PROPERTIES TIMEOUT 60 LABELS unit)
  endif()
endfunction()

function(aioss_engine_plugin name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;LINK_OPTIONS" ${ARGN})
  set(target aioss_engine_${name})
  add_library(${target} MODULE ${ARG_SOURCES})
  target_link_libraries(${target} PRIVATE aioss_options ${ARG_LINK})
  set_target_properties(${target} PROPERTIES
    PREFIX "" OUTPUT_NAME "aioss-engine-${name}"
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/plugins"
    C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LINK_DEPENDS "${AIOSS_PLUGIN_SYMBOLS}")
  target_link_options(${target} PRIVATE
    "LINKER:--version-script=${AIOSS_PLUGIN_SYMBOLS}" LINKER:--exclude-libs,ALL LINKER:--as-needed
    LINKER:--no-undefined LINKER:-z,noexecstack ${ARG_LINK_OPTIONS} $<$<CONFIG:Release>:-s>)
  aioss_check_plugin(${name} ${target})
endfunction()
