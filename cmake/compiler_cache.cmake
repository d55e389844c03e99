# The compiler cache, ccache where there is one, and what it needs so that objects are known again
# in another copy of their sources: paths from the build folder.
find_program(AIOSS_CCACHE ccache)

# aioss_compiler_cache(SOURCE out)
#
# What goes before the compiler's command line, a list: nothing without ccache. It sees paths below
# SOURCE as seen from the build folder.
function(aioss_compiler_cache source out)
  set(launcher "")
  if(AIOSS_CCACHE)
    set(launcher "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${source}" CCACHE_NOHASHDIR=1
      "${AIOSS_CCACHE}")
  endif()
  set(${out} "${launcher}" PARENT_SCOPE)
endfunction()

# aioss_file_names(SOURCE BUILD out)
#
# Options that make __FILE__ start at SOURCE, with and without the cache, where BUILD is the folder
# that is compiled in: objects name no folder of the machine.
function(aioss_file_names source build out)
  set(options "-ffile-prefix-map=${source}=.")
  file(RELATIVE_PATH up "${build}" "${source}")
  string(REGEX REPLACE "/$" "" up "${up}")
  if(up)
    list(APPEND options "-ffile-prefix-map=${up}=.")
  endif()
  set(${out} "${options}" PARENT_SCOPE)
endfunction()
