#!/bin/sh
# The few programs that pip cannot bring: installed where this may be done, named where it may not.
# More can be asked for: system-packages.sh PROGRAM:PACKAGE...
set -eu
missing=""
for pair in bwrap:bubblewrap unshare:util-linux setarch:util-linux taskset:util-linux mount:mount "$@"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
[ -n "$(printf %s "$missing" | tr -d ' ')" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing: $missing" >&2
    # shellcheck disable=SC2086
    apt-get install -y --no-install-recommends $missing >/dev/null 2>&1 || {
        apt-get update >/dev/null
        apt-get install -y --no-install-recommends $missing >/dev/null
    }
    exit 0
fi
echo "error: these system packages are missing: $missing" >&2
echo "  hint:  install them with your package manager, e.g.: sudo apt-get install $missing" >&2
exit 4
