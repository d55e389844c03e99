# aioss_library(NAME [FOLDERS folder...] [PUBLIC target...] [PRIVATE target...] [TEST target...])
#
# The library of the current folder and of these in it: every *.cc except *_test.cc, *_bench.cc,
# *_fuzz.cc and main.cc, with our warnings. Its *_test.cc files become one test program, test_NAME,
# which may also link TEST targets of the layers below.
add_library(aioss_options INTERFACE)
if(AIOSS_IS_ARM)
  set(AIOSS_BRANCH_PROTECTION -mbranch-protection=standard)
else()
  set(AIOSS_BRANCH_PROTECTION -fcf-protection)
endif()
aioss_file_names("${CMAKE_SOURCE_DIR}" "${CMAKE_BINARY_DIR}" AIOSS_FILE_NAMES)
target_compile_options(aioss_options INTERFACE
  -Wall -Wextra -Wshadow -Werror
  $<$<COMPILE_LANGUAGE:CXX>:-Wconversion -Wnon-virtual-dtor -Woverloaded-virtual>
  -fstack-protector-strong -fstack-clash-protection ${AIOSS_BRANCH_PROTECTION}
  ${AIOSS_FILE_NAMES})
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 takes what std::vector::insert copies for longer than it can be: GCC bug 105329 and kin.
  target_compile_options(aioss_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds>)
endif()
target_compile_definitions(aioss_options INTERFACE
  _GLIBCXX_ASSERTIONS AIOSS_VERSION="${PROJECT_VERSION}"
  $<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
target_include_directories(aioss_options INTERFACE
  "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}/include")
target_link_options(aioss_options INTERFACE -Wl,-z,relro,-z,now -Wl,--gc-sections)
if(AIOSS_SANITIZE)
  list(JOIN AIOSS_SANITIZE "," AIOSS_SANITIZE_LIST)
  target_compile_options(aioss_options INTERFACE
    -fsanitize=${AIOSS_SANITIZE_LIST} -fno-sanitize-recover=all -fno-omit-frame-pointer
    -Wno-maybe-uninitialized) # g++ 12 reports instrumented variants as uninitialized
  if("address" IN_LIST AIOSS_SANITIZE)
    # Those checks take a sixth of the time; what reads or writes there, AddressSanitizer reports.
    target_compile_options(aioss_options INTERFACE -fno-sanitize=null)
  endif()
  target_link_options(aioss_options INTERFACE -fsanitize=${AIOSS_SANITIZE_LIST})
  if("thread" IN_LIST AIOSS_SANITIZE)
    target_compile_options(aioss_options INTERFACE -Wno-tsan) # Asio's fences, which it cannot see
  endif()
else()
  target_link_options(aioss_options INTERFACE -static-libstdc++ -static-libgcc)
endif()

# The code of tests need not be fast, and is compiled often; under sanitizers optimizing it takes
# longer than all else, and looking for undefined behaviour in it a quarter of the time: that is
# looked for in what is tested.
if(AIOSS_SANITIZE)
  set(AIOSS_TEST_CODE_OPTIONS -O0)
  if("undefined" IN_LIST AIOSS_SANITIZE)
    list(APPEND AIOSS_TEST_CODE_OPTIONS -fno-sanitize=undefined)
  endif()
else()
  set(AIOSS_TEST_CODE_OPTIONS -O0 -U_FORTIFY_SOURCE) # which wants some optimization
endif()

# Where the tests find real models; `./dev test` obtains them.
set(AIOSS_MODELS_DIR "$ENV{HOME}/.cache/aioss/models" CACHE PATH "Folder of the test models")

# Several files of a folder as one: most of a small file's time goes into the same headers and
# templates as its neighbour's, so all of it takes less than half. For whoever changes one file at
# a time (preset dev) it is off.
option(AIOSS_UNITY "Compile up to some twenty files as one" OFF)
if(AIOSS_UNITY)
  # What is defined in a file that another includes passes for a header's.
  target_compile_options(aioss_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)
endif()

# aioss_unity(TARGET)
#
# Puts the *.cc files of TARGET together, some twenty at most, by the hash of their names. A new
# file changes one group, and the compiler cache knows the others; now and then it splits them all
# in two, for their number is a power of two: what was apart never comes together. The files of one
# group share their unnamed namespace: a name that two of them define is an error, and one of the
# two has to change.
function(aioss_unity target)
  if(NOT AIOSS_UNITY)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources INCLUDE REGEX "\\.cc$")
  list(LENGTH sources count)
  set(groups 1)
  set(most 20)
  while(count GREATER most)
    math(EXPR groups "${groups} * 2")
    math(EXPR most "${most} * 2")
  endwhile()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  foreach(source IN LISTS sources)
    get_filename_component(name "${source}" NAME)
    string(MD5 hash "${name}")
    string(SUBSTRING "${hash}" 0 6 hash)
    math(EXPR group "0x${hash} % ${groups}")
    set_source_files_properties("${source}" PROPERTIES UNITY_GROUP "${group}")
  endforeach()
endfunction()

set(AIOSS_UNITS_ELSEWHERE "" CACHE STRING
  "Folders whose unit tests are not built here; ./dev test runs them under the sanitizers")

function(aioss_library name)
  cmake_parse_arguments(ARG "" "" "FOLDERS;PUBLIC;PRIVATE;TEST" ${ARGN})
  set(patterns *.cc *.c)
  foreach(folder IN LISTS ARG_FOLDERS)
    list(APPEND patterns ${folder}/*.cc ${folder}/*.c)
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS ${patterns})
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "(_test|_bench|_fuzz|/main)\\.(cc|c)$")
  list(FILTER tests INCLUDE REGEX "_test\\.(cc|c)$")
  if(sources)
    add_library(aioss_${name} STATIC ${sources})
    target_link_libraries(aioss_${name} PUBLIC aioss_options ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
    aioss_unity(aioss_${name})
  else()
    add_library(aioss_${name} INTERFACE)
    target_link_libraries(aioss_${name} INTERFACE aioss_options ${ARG_PUBLIC} ${ARG_PRIVATE})
  endif()
  if(AIOSS_BUILD_TESTS AND tests AND NOT name IN_LIST AIOSS_UNITS_ELSEWHERE)
    add_executable(test_${name} ${tests})
    target_link_libraries(test_${name} PRIVATE
      aioss_${name} ${ARG_PRIVATE} ${ARG_TEST} GTest::gtest GTest::gmock GTest::gtest_main)
    target_compile_options(test_${name} PRIVATE ${AIOSS_TEST_CODE_OPTIONS})
    aioss_unity(test_${name})
    add_test(NAME unit.${name} COMMAND test_${name})
    set_tests_properties(unit.${name} PROPERTIES TIMEOUT 900 LABELS unit
      ENVIRONMENT "AIOSS_MODELS_DIR=${AIOSS_MODELS_DIR}")
  endif()
endfunction()

# aioss_path_for(NAME PATH file...)
#
# Defines NAME, a string, for these sources of the current folder alone: with a path of this
# checkout in it the compiler cache does not know an object again in another.
function(aioss_path_for name path)
  set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_DEFINITIONS "${name}=\"${path}\"")
endfunction()
