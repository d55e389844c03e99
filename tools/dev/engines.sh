# Sourced by ./dev: engines that are plugin files beside the binary, ./dev engine vulkan|cuda|metal.
# Uses what tools/dev/obtain.sh uses and sets. What is compiled of llama.cpp for each is kept in the
# cache, by everything that it depends on; the adapter is compiled in build/engine-NAME.

# The mirror that this system's own packages come from.
debian_mirror() {
  local found
  found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    sed -nE 's/^deb +(\[[^]]*\] +)?(https?:[^ ]+\/debian)\/? .*/\2/p' | head -1)
  [[ -n $found ]] || found=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null |
    sed -nE 's/^URIs: +(https?:[^ ]+\/debian)\/? *$/\1/p' | head -1)
  [[ -n $found ]] || die "no Debian mirror in the system's sources"
  echo "$found"
}

download_vulkan_packages() { # WORK_FOLDER; the packages come to lie in it
  local work=$1 name version sha256 file mirror
  mirror=$(debian_mirror) || exit
  local keys=/usr/share/keyrings/debian-archive-keyring.gpg
  echo "deb [signed-by=$keys] $mirror trixie main" >"$work/sources.list"
  apt_apart "$work" amd64 apt-get update >&2 ||
    die "apt cannot read Debian's suite trixie; is there a network?"
  while read -r name version sha256; do
    [[ $version == runtime ]] || name+="=$version"
    (cd "$work" && apt_apart "$work" amd64 apt-get download "$name" >&2) ||
      die "the mirror has no $name any more: third_party/vulkan-packages.txt pins it"
    [[ $sha256 != - ]] || continue
    for file in "$work/${name%%=*}"_*.deb; do check_sha256 "$file" "$sha256"; done
  done < <(sed 's/#.*//; /^ *$/d' third_party/vulkan-packages.txt)
}

# Headers and a shader compiler that are new enough. glslc runs with the loader and libraries that
# came with it, for those of Debian 12 are too old for it.
obtain_vulkan_tools() { # sets $vulkan_tools
  vulkan_tools=$cache/vulkan-tools-$(sha256sum third_party/vulkan-packages.txt | cut -c1-12)
  [[ ! -x $vulkan_tools/glslc ]] || return 0
  [[ $(uname -m) == x86_64 ]] ||
    die "the pinned packages for building the Vulkan engine are amd64's"
  command -v apt-get >/dev/null || die "there is no apt-get here, which obtains Vulkan's headers"
  say "Obtaining Vulkan headers and shader compiler (Debian 13, 8 MB)"
  local work
  make_work_folder
  download_vulkan_packages "$work"
  unpack_packages "$work" "$work/tools"
  cat >"$work/tools/glslc" <<'SCRIPT'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec "$here/usr/lib64/ld-linux-x86-64.so.2" --library-path "$here/usr/lib/x86_64-linux-gnu" \
  "$here/usr/bin/glslc" "$@"
SCRIPT
  chmod +x "$work/tools/glslc"
  "$work/tools/glslc" --version >/dev/null || die "the shader compiler does not run"
  put_in_place "$work/tools" "$vulkan_tools" glslc
}

# Whether the engine can be built here; says why not.
can_build_engine() { # BACKEND
  case $1 in
    vulkan) true ;;
    cuda)
      command -v "${CUDACXX:-nvcc}" >/dev/null || {
        say "There is no nvcc here (CUDA 12 or 13): the CUDA engine cannot be built."
        return 1
      }
      ;;
    metal)
      [[ $(uname -s) == Darwin ]] || {
        say "This is no macOS: the Metal engine cannot be built."
        return 1
      }
      ;;
  esac
}

# engine_build BACKEND [cmake arguments…]: build/engine-BACKEND/aioss-engine-BACKEND.so
engine_build() {
  local backend=$1 arguments=() other="" log
  shift
  obtain_llama
  if [[ $backend == vulkan ]]; then
    obtain_vulkan_tools
    other=$vulkan_tools
    local list="-DVulkan_INCLUDE_DIR=$vulkan_tools/usr/include"
    list+=";-DVulkan_GLSLC_EXECUTABLE=$vulkan_tools/glslc"
    list+=";-DSPIRV-Headers_DIR=$vulkan_tools/usr/share/cmake/SPIRV-Headers"
    list+=";-DVulkan_LIBRARY=$(vulkan_loader)"
    arguments+=("-DAIOSS_LLAMA_ARGS=$list" "-DAIOSS_VULKAN_LIBRARY=$(vulkan_loader)")
  elif [[ $backend == cuda ]]; then
    # For this machine's GPU, which is in no argument, or for those that the arguments name.
    arguments+=("-DAIOSS_CUDA_ARCHITECTURES=$(cuda_architectures)")
    other=$(
      "${CUDACXX:-nvcc}" --version | tail -1
      cuda_architectures
      echo "$*"
    )
  fi
  engine_llama_build=$(llama_build_for "$backend" "$other")
  export CCACHE_NAMESPACE="aioss-$(cpu_id)"
  log=$root/build/engine-$backend.log
  mkdir -p "$root/build"
  [[ -e $engine_llama_build/src/libllama.a ]] ||
    say "Building llama.cpp for $backend, once: some minutes"
  cmake -G Ninja -S src/engines/llama/plugin -B "build/engine-$backend" -DCMAKE_BUILD_TYPE=Release \
    -DAIOSS_CPU="$cpu" -DAIOSS_ENGINE_BACKEND="$backend" -DAIOSS_LLAMA_SOURCE_DIR="$llama_source" \
    -DAIOSS_LLAMA_BUILD_DIR="$engine_llama_build" "${arguments[@]}" "$@" >"$log" 2>&1 &&
    cmake --build "build/engine-$backend" -j "$jobs" >>"$log" 2>&1 || {
    tail -n 60 "$log" >&2
    die "the engine '$backend' could not be built; all of it is in ${log#"$root"/}"
  }
  engine_file=$root/build/engine-$backend/aioss-engine-$backend.so
}

cuda_architectures() { # of the GPUs here: "90"; CMake before 3.24 does not know "native"
  local found
  found=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | tr -d . |
    sort -u | paste -sd ';') || true
  # An old driver says instead that it does not know the question.
  if [[ $found =~ ^[0-9]+(\;[0-9]+)*$ ]]; then echo "$found"; else echo native; fi
}

vulkan_loader() { # the system's; the linker needs no more of it than the file
  local file
  for file in /usr/lib/*/libvulkan.so.1 /usr/lib64/libvulkan.so.1 /usr/lib/libvulkan.so.1; do
    [[ ! -e $file ]] || { echo "$file" && return; }
  done
}

# Exit code 77 where it cannot be: scripts tell that from a failure.
engine_command() {
  local backend=${1:-}
  (($# == 0)) || shift
  case $backend in
    vulkan) install_packages third_party/debian-packages-vulkan.txt ;;
    cuda | metal) ;;
    *) die "./dev engine takes vulkan, cuda or metal" ;;
  esac
  can_build_engine "$backend" || exit 77
  engine_build "$backend" "$@"
  say "Built ${engine_file#"$root"/}; install it with: aioss engine add ${engine_file#"$root"/}"
}

# What product.vulkan runs; without it that test says loudly that it was skipped.
build_vulkan_for_tests() {
  if [[ ${AIOSS_VULKAN:-on} == off || $(uname -m) != x86_64 ]]; then
    say "NOT TESTED: the Vulkan engine (AIOSS_VULKAN=off, or no x86-64)"
    rm -rf build/engine-vulkan
    return
  fi
  # Whoever has no such mirror at hand is told, and tests the rest.
  if ! (install_packages third_party/debian-packages-vulkan.txt && obtain_vulkan_tools); then
    say "NOT TESTED: the Vulkan engine, for what it is built with cannot be obtained (above)"
    rm -rf build/engine-vulkan
    return
  fi
  engine_build vulkan -DAIOSS_ENGINE_CHECK=ON
}
