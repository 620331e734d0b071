#!/bin/sh
# Trains an adapter with the demo on the shipped base model and records what Python makes of both, in data/peftjs/base.
# Usage: record-base.sh PYTHON [options of the demo]
set -eu
python=$1
shift
cd "$(dirname "$0")/../.."
golden=tools/golden model=packages/base-model/model base=tools/golden/data/peftjs/base
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Rank 1 keeps the file small; a model given by a relative path leaves no path of this machine in the adapter.
npm run --silent demo -- --rank 1 --device cpu --model $model --out "$scratch" --json "$@" >"$scratch/log"
adapter=$(tail -n 1 "$scratch/log" | node -p 'JSON.parse(fs.readFileSync(0)).adapterDir')
rm -rf $base
mkdir -p $base
cp -R "$adapter" $base/adapter
"$python" $golden/check.py $model $base/adapter $base/record.json $golden/data/held-out.txt
node --conditions=@peftjs/source --import tsx $golden/compare.ts $model $base/adapter $base/record.json
