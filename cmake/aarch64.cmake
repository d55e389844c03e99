# Toolchain: for 64-bit Arm under Linux, compiled on another machine. ./dev build aarch64 uses it.
#
#   AIOSS_SYSROOT  folder with that architecture's packages of third_party/debian-packages.txt,
#                  unpacked; libc and the compiler's own files come with the compiler.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
# The compiler would go on to this machine's own headers, of another architecture.
foreach(language C CXX)
  set(CMAKE_${language}_FLAGS_INIT
    "-isystem ${AIOSS_SYSROOT}/usr/include -isystem ${AIOSS_SYSROOT}/usr/include/aarch64-linux-gnu")
endforeach()
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES AIOSS_SYSROOT)
set(CMAKE_FIND_ROOT_PATH "${AIOSS_SYSROOT}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
