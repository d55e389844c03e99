# Sourced by ./dev: the product for 64-bit Arm under Linux, compiled on another machine, and checked
# in an emulated one. That is a whole machine with a kernel, for a process alone would be emulated
# without a sandbox. Uses what tools/dev/obtain.sh uses and sets.

read_arm_packages() { # WORK_FOLDER
  apt_apart "$1" arm64 apt-get update >&2 ||
    die "apt cannot read the packages of arm64; is there a network?"
}

# download_arm_packages WORK_FOLDER PACKAGE…: they come to lie in it, the newest of this system's
# suite and its security updates; apt checks signatures. Once obtained they stay as they are:
# whoever ships what is built removes the cached folder first.
download_arm_packages() {
  local work=$1
  shift
  (cd "$work" && apt_apart "$work" arm64 apt-get download "$@" >&2) ||
    die "the mirror lacks one of $* for arm64"
}

# The libraries that aioss is built from, those of third_party/debian-packages.txt.
obtain_arm_sysroot() { # sets $arm_sysroot
  local work
  arm_sysroot=$cache/sysroot-arm64-$(sha256sum third_party/debian-packages.txt | cut -c1-12)
  [[ ! -d $arm_sysroot ]] || return 0
  say "Obtaining libraries for 64-bit Arm (Debian, 15 MB)"
  make_work_folder
  read_arm_packages "$work"
  # shellcheck disable=SC2046
  download_arm_packages "$work" $(sed 's/#.*//' third_party/debian-packages.txt | grep -- '-dev *$')
  unpack_packages "$work" "$work/unpacked"
  put_in_place "$work/unpacked" "$arm_sysroot"
}

# A kernel, and what tests expect of a system.
arm_machine_packages=(busybox-static coreutils dash libacl1 libattr1 libc6 libgmp10 libpcre2-8-0
  libselinux1)
obtain_arm_machine() { # sets $arm_machine
  local work kernel
  arm_machine=$cache/machine-arm64-$(echo "${arm_machine_packages[@]}" | sha256sum | cut -c1-12)
  [[ ! -d $arm_machine ]] || return 0
  say "Obtaining a kernel for 64-bit Arm (Debian, 24 MB)"
  make_work_folder
  read_arm_packages "$work"
  kernel=$(apt_apart "$work" arm64 apt-cache depends linux-image-cloud-arm64 |
    sed -n 's/.*Depends: //p') || die "the mirror has no kernel for arm64"
  download_arm_packages "$work" "$kernel" "${arm_machine_packages[@]}"
  unpack_packages "$work" "$work/unpacked"
  rm -rf "$work"/unpacked/{lib/modules,usr/share}
  put_in_place "$work/unpacked" "$arm_machine"
}

build_aarch64() { # TARGET…
  local tests=OFF
  (($# == 1)) || tests=ON
  install_packages
  install_packages third_party/debian-packages-aarch64.txt
  configure aarch64 -DAIOSS_BUILD_TESTS=$tests
  compile aarch64 --target "$@"
}

# Units whose cases need nothing but their own program.
aarch64_units=(base os crypto codec ipc memory ledger_format)

# What the machine starts with: its first program is tests/aarch64/init.
pack_arm_machine() { # FOLDER
  local folder=$1 tree=$1/tree program
  rm -rf "$folder"
  mkdir -p "$tree"/{disk,models,tests,proc,sys,dev,tmp,etc,sbin,usr/sbin}
  # As Debian 12 has them: what is in /bin here is in /usr/bin of later ones.
  cp -a "$arm_machine"/{bin,lib,usr} "$tree/"
  cp tests/aarch64/init "$tree/init"
  cp build/aarch64/bin/aioss "$tree/bin/"
  cp "$cache/models/$SMOLLM2_FILE" "$tree/models/smollm2.gguf"
  AIOSS_MODELS_DIR=$cache/models python3 tests/support/synthetic_model.py 18 Q4_0 \
    "$tree/models/tiny.gguf" >/dev/null
  for program in "${aarch64_units[@]}"; do
    cp "$(find build/aarch64/src -name "test_$program" -type f)" "$tree/tests/"
  done
  # Files that tests look for where they lie in this tree.
  mkdir -p "$tree$root/src/crypto"
  [[ $root != /@(tmp|dev|proc|sys)/* ]] || die "this tree lies where that machine mounts its own"
  cp -r src/crypto/testdata "$tree$root/src/crypto/"
  aarch64-linux-gnu-strip "$tree"/bin/aioss "$tree"/tests/*
  (cd "$tree" && find . | cpio -o -H newc --quiet --reproducible) >"$folder/initrd"
  rm -rf "$tree"
  truncate -s 1G "$folder/disk"
  /usr/sbin/mkfs.ext4 -q "$folder/disk"
}

aarch64_check() {
  install_packages third_party/debian-packages-aarch64-check.txt
  build_aarch64 aioss "${aarch64_units[@]/#/test_}"
  obtain_demo_model
  obtain_arm_machine
  local folder=$root/build/aarch64/machine
  pack_arm_machine "$folder"
  say "Starting an emulated machine (Neoverse N1); this takes a quarter of an hour"
  # What it has written decides, however it ended.
  timeout --foreground 7200 qemu-system-aarch64 -M virt -cpu neoverse-n1 \
    -accel tcg,thread=multi -smp 2 -m 4096 \
    -drive "if=none,id=disk,format=raw,file=$folder/disk" -device nvme,drive=disk,serial=1 \
    -nographic -no-reboot -nic none -kernel "$(echo "$arm_machine"/boot/vmlinuz-*)" \
    -initrd "$folder/initrd" -append "console=ttyAMA0 quiet panic=-1" </dev/null |
    tee "$folder/console.log" || true
  grep -q '^aarch64-check: passed' "$folder/console.log" ||
    die "not all of it passed in the emulated machine; see ${folder#"$root"/}/console.log"
}
