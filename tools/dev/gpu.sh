# Sourced by ./dev: what is checked on a machine with an NVIDIA GPU that has a compiler, CUDA, CMake
# and Ninja, and no network. `./dev gpu-bundle` packs what such a machine lacks; there,
# `./dev gpu-check build` and `./dev gpu-check run` are two commands of less than ten minutes each.
# Both say so and exit with code 77 where there is no nvcc or no GPU.
gpu_bundle_folder=$root/build/gpu-bundle
gpu_folder=$root/build/gpu
gpu_bundle_bytes_max=$((60 << 20)) # of the 64 MiB that may travel with the tree

gpu_source() { # what of llama.cpp travels, as a tar: the engine and the server, for CUDA and CPUs
  # Of the server's pages only what CMake reads to leave them out.
  local without=(.git models docs media tests gguf-py benches examples .github "build-*"
    tools/ui/src tools/ui/static tools/ui/tests tools/ui/.storybook tools/ui/package-lock.json)
  local backend
  for backend in opencl sycl hexagon cann webgpu metal vulkan openvino hip musa; do
    without+=("ggml/src/ggml-$backend")
  done
  tar -c -C "$llama_source" "${without[@]/#/--exclude=./}" .
}

gpu_bundle() {
  install_packages
  obtain_llama
  obtain_demo_model
  local folder=$gpu_bundle_folder bytes
  rm -rf "$folder"
  mkdir -p "$folder"
  gpu_source | xz -c >"$folder/llama.tar.xz"
  head -c $((4 << 20)) "$cache/models/$SMOLLM2_FILE" >"$folder/vocabulary.gguf"
  # The product itself, for what only all of it can show: its sandbox and its server.
  if [[ -x build/portable/bin/aioss ]]; then cp build/portable/bin/aioss "$folder/aioss"; fi
  bytes=$(du -sb "$folder" | cut -f1)
  ((bytes <= gpu_bundle_bytes_max)) ||
    die "the bundle has $bytes bytes; at most $gpu_bundle_bytes_max"
  say "Packed ${folder#"$root"/}: $bytes bytes$([[ -e $folder/aioss ]] ||
    echo "; without the product, which './dev build portable' makes")"
}

no_gpu() {
  say "NOT CHECKED: $1"
  exit 77
}

find_gpu() {
  command -v "${CUDACXX:-nvcc}" >/dev/null || no_gpu "there is no nvcc here (CUDA 12 or 13)"
  nvidia-smi -L >/dev/null 2>&1 || no_gpu "no NVIDIA GPU is here, or its driver does not answer"
}

gpu_configure_server() { # TREE OBJECTS: over the very objects that the engine has
  cmake -S "$1" -B "$2" -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON \
    -DLLAMA_BUILD_UI=OFF >/dev/null
}

# What can be known of it without a GPU: that what travels is enough to configure the engine and
# the server, and to build what of the server comes from files that are left out.
gpu_check_rehearse() {
  obtain_llama
  local folder=$root/build/gpu-rehearsal
  rm -rf "$folder"
  mkdir -p "$folder/tree"
  gpu_source | tar -x -C "$folder/tree"
  cmake -G Ninja -S src/engines/llama/plugin -B "$folder/engine" -DCMAKE_BUILD_TYPE=Release \
    -DAIOSS_ENGINE_BACKEND=cpu -DAIOSS_CPU=native -DAIOSS_ENGINE_CHECK=ON \
    -DAIOSS_LLAMA_SOURCE_DIR="$folder/tree" -DAIOSS_LLAMA_BUILD_DIR="$folder/objects" >/dev/null
  cmake --build "$folder/engine" \
    --target llama-stamps/src/llama_external-stamp/llama_external-configure >/dev/null
  gpu_configure_server "$folder/tree" "$folder/objects"
  cmake --build "$folder/objects" --target llama-ui >/dev/null
  # All that would be compiled is there.
  cmake --build "$folder/objects" --target llama-server -- -n >/dev/null
  rm -rf "$folder"
  say "What travels to a machine with a GPU is enough for the engine and the server"
}

gpu_check_build() {
  find_gpu
  local tree=$gpu_folder/llama.cpp
  mkdir -p "$gpu_folder"
  if [[ ! -e $tree/include/llama.h ]]; then
    [[ -e $gpu_bundle_folder/llama.tar.xz ]] ||
      die "there is no build/gpu-bundle: ./dev gpu-bundle makes it"
    mkdir -p "$tree"
    tar -xJf "$gpu_bundle_folder/llama.tar.xz" -C "$tree"
  fi
  say "Building the CUDA engine for $(nvidia-smi --query-gpu=name --format=csv,noheader | head -1)"
  cmake -G Ninja -S src/engines/llama/plugin -B "$gpu_folder/engine" -DCMAKE_BUILD_TYPE=Release \
    -DAIOSS_ENGINE_BACKEND=cuda -DAIOSS_CPU=native -DAIOSS_ENGINE_CHECK=ON \
    -DAIOSS_CUDA_ARCHITECTURES="$(cuda_architectures)" -DAIOSS_LLAMA_SOURCE_DIR="$tree" \
    -DAIOSS_LLAMA_BUILD_DIR="$gpu_folder/objects"
  cmake --build "$gpu_folder/engine" -j "$jobs"
  gpu_configure_server "$tree" "$gpu_folder/objects"
  cmake --build "$gpu_folder/objects" -j "$jobs" --target llama-server
  say "Built. Next: ./dev gpu-check run"
}

gpu_check_run() { # [DEVICE]
  find_gpu
  local device=${1:-cuda:0} check=$gpu_folder/engine/aioss-engine-check failed=0 model
  local plugin=$gpu_folder/engine/aioss-engine-cuda.so
  [[ -x $check && -e $plugin ]] || die "nothing is built: ./dev gpu-check build"
  export AIOSS_SYNTHETIC_DIR=$gpu_folder/models
  nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
  # Images for containers put the driver where only LD_LIBRARY_PATH finds it, which no worker has.
  local libraries
  libraries=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null || true)
  [[ $libraries == *libcuda.so.1* ]] ||
    say "WARNING: the loader does not know libcuda.so.1, and no worker will (ldconfig as root)"
  for model in "128 Q4_0" "2048 Q8_0"; do
    say "A synthetic model of ${model% *} MiB, ${model#* }"
    model=$(python3 -c "import sys; sys.path.insert(0, 'tests/support'); import synthetic_model as s
print(s.synthetic_model(int(sys.argv[1]), sys.argv[2], 'build/gpu-bundle/vocabulary.gguf'))" $model)
    "$check" "$plugin" "$model" --device "$device" --compare --plan --bench || failed=1
    python3 tests/gpu/gpu_bench.py --llama-server "$gpu_folder/objects/bin/llama-server" \
      --aioss "$gpu_bundle_folder/aioss" --plugin "$plugin" --device "$device" \
      --model "$model" || failed=1
  done
  say "Conformance, on the first of them"
  "$check" "$plugin" "$AIOSS_SYNTHETIC_DIR"/synthetic-128M.*.gguf --device "$device" \
    --conformance || failed=1
  ((failed == 0)) || die "not all is well on this GPU; see above"
  say "All is well. Keep what was printed in docs/benchmarks.md."
}

gpu_check() {
  case ${1:-all} in
    build) gpu_check_build ;;
    run) gpu_check_run "${@:2}" ;;
    all)
      gpu_check_build # not with "&&": what fails in it would then go on
      gpu_check_run
      ;;
    rehearse) gpu_check_rehearse ;;
    *) die "./dev gpu-check takes build, run, rehearse, or nothing for build and run" ;;
  esac
}
