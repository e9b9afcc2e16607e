#!/usr/bin/env bash
# prerequisites.sh [PAIR...]: looks for what the build and the tests need, and for these pairs of a command and
# the Debian package that brings it. Installs it where apt and the rights for it are at hand; says what to install
# otherwise.
set -euo pipefail

# Command and the Debian package that brings it.
needed=(
  "cc gcc" "c++ g++" "cmake cmake" "clang clang" "make make" "git git" "python3 python3"
  "$@"
)
missing=()
for pair in "${needed[@]}"; do
  command -v "${pair% *}" >/dev/null 2>&1 || missing+=("${pair#* }")
done
# What has no command of its own: libclang for the bindings of the engine, venv and pip for Python.
ldconfig -p 2>/dev/null | grep -q 'libclang' || compgen -G '/usr/lib/llvm-*/lib/libclang*' >/dev/null \
  || [ -n "${LIBCLANG_PATH:-}" ] || [ "$(uname)" = Darwin ] || missing+=(libclang-dev)
if command -v python3 >/dev/null 2>&1; then
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
else
  missing+=(python3-venv python3-pip)
fi

if [ "${#missing[@]}" -gt 0 ]; then
  sudo=()
  [ "$(id -u)" = 0 ] || sudo=(sudo -n)
  if command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
    echo "installing: ${missing[*]}"
    "${sudo[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq "${missing[@]}" >/dev/null
  else
    echo "missing: ${missing[*]} (names of the Debian packages). Install them and try again." >&2
    exit 1
  fi
fi

if ! command -v cargo >/dev/null 2>&1; then
  echo "missing: cargo, the package manager of Rust. Install Rust 1.95 or newer with rustup and try again." >&2
  exit 1
fi
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -1)
found=$(rustc --version | cut -d' ' -f2)
if [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -1)" != "$wanted" ]; then
  echo "rustc $found is too old, the build needs $wanted: run \`rustup update stable\`" >&2
  exit 1
fi
