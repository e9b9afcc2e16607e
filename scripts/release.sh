#!/usr/bin/env bash
# release.sh FOLDER: builds the binary as `make build` does, and then puts what runs together next to each
# other, as LLVM's BOLT finds by counting what a copy of it does under load. The code stays the same; a
# request costs about a fifth less CPU, because the processor finds the next instructions in its caches.
# The binary is FOLDER/chaski, without symbols. Where there is no BOLT, it stays as it was built, and this says so.
set -euo pipefail
folder=$1
export CARGO_TARGET_DIR=$folder/target
mkdir -p "$folder"
flags=(-C strip=none)
# BOLT moves functions, for which it needs the places where their addresses stand.
[ "$(uname)" != Linux ] || flags+=(-C link-arg=-Wl,--emit-relocs)
cargo rustc --release --locked --package chaski-cli --bin chaski -- "${flags[@]}"
cargo build --release --locked --package chaski-bench
built=$CARGO_TARGET_DIR/release/chaski

# newest NAME: the command, or that of the newest version, as Debian calls it.
newest() {
  command -v "$1" || compgen -c "$1-" | grep -E "^$1-[0-9]+$" | sort -t- -k3 -Vr | head -1
}

bolt=$(newest llvm-bolt || true)
merge=$(newest merge-fdata || true)
if [ -z "$bolt" ] || [ -z "$merge" ] || [ "$(uname)" != Linux ]; then
  strip -o "$folder/chaski" "$built"
  echo "release: $folder/chaski, as it was linked: there is no llvm-bolt (Debian's packages \`bolt-19\` and newer have it)"
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$bolt" "$built" -instrument -instrumentation-file="$work/counted" -instrumentation-file-append-pid \
  -o "$work/chaski" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
"$CARGO_TARGET_DIR/release/chaski-bench" train "$work/chaski"
"$merge" "$work"/counted* >"$work/counts" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
"$bolt" "$built" -data="$work/counts" -reorder-blocks=ext-tsp -reorder-functions=cdsort -split-functions \
  -split-all-cold -split-eh -icf=safe -use-gnu-stack -remove-symtab \
  -o "$folder/chaski" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
"$folder/chaski" --version
echo "release: $folder/chaski, $(du -h "$folder/chaski" | cut -f1), laid out by what it does"
