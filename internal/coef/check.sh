#!/bin/sh
# Makes the constants again with Sollya, and fails if they are not those of coef.txt, which the package's test compares
# with coef.go. check.sh -w writes coef.txt.
set -eu
cd "$(dirname "$0")"
command -v sollya >/dev/null || { echo "check.sh: needs sollya (apt-get install sollya)" >&2; exit 2; }
made=$(mktemp)
trap 'rm -f "$made"' EXIT
sollya --warnonstderr coef.sollya </dev/null >"$made"
if [ "${1-}" = -w ]; then
	cp "$made" coef.txt
else
	diff -u coef.txt "$made"
	echo "coef.txt: all $(wc -l <coef.txt) lines made again"
fi
