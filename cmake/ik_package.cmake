# Which ik_llama.cpp it is: `./dev` leaves NAME-VERSION of the package in the tree that it unpacks,
# which has no number of its own. Another tree is just "local". Apart from cmake/ik.cmake, by which
# the objects in the cache are keyed: they do not depend on this.
#
# Sets AIOSS_IK_PACKAGE, for the build id, and AIOSS_IK_VERSION.
set(AIOSS_IK_PACKAGE "local")
set(AIOSS_IK_VERSION "local")
if(AIOSS_HAS_IK AND EXISTS "${AIOSS_IK_SOURCE_DIR}/aioss-package.txt")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
    "${AIOSS_IK_SOURCE_DIR}/aioss-package.txt")
  file(STRINGS "${AIOSS_IK_SOURCE_DIR}/aioss-package.txt" AIOSS_IK_PACKAGE LIMIT_COUNT 1)
  if(AIOSS_IK_PACKAGE MATCHES "-([0-9][0-9.]*)$")
    set(AIOSS_IK_VERSION "${CMAKE_MATCH_1}")
  endif()
endif()
