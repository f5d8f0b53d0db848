# Configuring and building a preset of CMakePresets.json. Sourced by bash.
# shellcheck shell=bash

# preset_directory ROOT PRESET: where it is built.
preset_directory() {
  if [ "$2" = release ]; then
    printf '%s/build' "$1"
  else
    printf '%s/build-%s' "$1" "$2"
  fi
}

# build_preset ROOT PRESET [TARGET...]: builds everything, or the targets.
# ccache is used where it is installed. The output goes to standard output.
build_preset() {
  local root=$1 preset=$2 launcher='' targets=()
  shift 2
  [ $# -eq 0 ] || targets=(--target "$@")
  # Always given, so that a ccache that was removed is forgotten.
  command -v ccache >/dev/null && launcher=ccache
  (cd "$root" &&
    cmake --preset "$preset" "-DCMAKE_C_COMPILER_LAUNCHER=$launcher" \
      "-DCMAKE_CXX_COMPILER_LAUNCHER=$launcher" &&
    cmake --build "$(preset_directory "$root" "$preset")" "${targets[@]}")
}
