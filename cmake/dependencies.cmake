# Packaged libraries, each as one small target. Static or header-only throughout: the product is one
# executable that needs libc and the loader and nothing else.
find_package(OpenSSL 3.0 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(Boost 1.81 REQUIRED)

function(aioss_static_library target name)
  find_library(AIOSS_LIB_${name} NAMES lib${name}.a REQUIRED)
  add_library(${target} INTERFACE)
  target_link_libraries(${target} INTERFACE "${AIOSS_LIB_${name}}")
endfunction()

aioss_static_library(aioss_crypto_lib crypto)
aioss_static_library(aioss_seccomp_lib seccomp)
aioss_static_library(aioss_qrcodegen_lib qrcodegen)

# Headers only: the compiled halves live in one translation unit of src/http.
# AWAITABLE_FRAME_RECYCLING: g++ 12 sees a mismatched delete in it (a false positive) at -O1.
add_library(aioss_boost INTERFACE)
target_include_directories(aioss_boost SYSTEM INTERFACE ${Boost_INCLUDE_DIRS})
target_compile_definitions(aioss_boost INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
  BOOST_ASIO_DISABLE_AWAITABLE_FRAME_RECYCLING BOOST_ASIO_NO_DEPRECATED)
target_link_libraries(aioss_boost INTERFACE Threads::Threads)

add_library(aioss_json INTERFACE)
get_target_property(AIOSS_JSON_INCLUDES nlohmann_json::nlohmann_json INTERFACE_INCLUDE_DIRECTORIES)
target_include_directories(aioss_json SYSTEM INTERFACE ${AIOSS_JSON_INCLUDES})

# Debian's toml++ target links its shared library; the headers alone do.
find_path(AIOSS_TOML_INCLUDE toml++/toml.h REQUIRED)
add_library(aioss_toml INTERFACE)
target_include_directories(aioss_toml SYSTEM INTERFACE "${AIOSS_TOML_INCLUDE}")
target_compile_definitions(aioss_toml INTERFACE TOML_HEADER_ONLY=1 TOML_EXCEPTIONS=0)

find_path(AIOSS_CLI11_INCLUDE CLI/CLI.hpp REQUIRED)
add_library(aioss_cli11 INTERFACE)
target_include_directories(aioss_cli11 SYSTEM INTERFACE "${AIOSS_CLI11_INCLUDE}")

# Debian's spdlog target links its shared library; the headers alone do.
find_path(AIOSS_SPDLOG_INCLUDE spdlog/spdlog.h REQUIRED)
add_library(aioss_spdlog INTERFACE)
target_include_directories(aioss_spdlog SYSTEM INTERFACE "${AIOSS_SPDLOG_INCLUDE}")
target_compile_definitions(aioss_spdlog INTERFACE
  SPDLOG_HEADER_ONLY SPDLOG_FMT_EXTERNAL FMT_HEADER_ONLY SPDLOG_NO_EXCEPTIONS)
