#!/bin/sh
# Every Git commit is an experiment: make a repository from examples/iris, run it, look at the run, run it again.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
demo=${DEMO:-.demo}
case $demo in /*) ;; *) demo=$here/$demo ;; esac
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

rm -rf "$demo/iris"
mkdir -p "$demo"
if [ ! -x "$demo/venv/bin/amltool" ]; then
    "${PYTHON:-python3}" -m venv "$demo/venv"
fi
"$demo/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$here" -r "$here/examples/iris/requirements.txt"
PATH=$demo/venv/bin:$PATH
export PATH
# Runs and shared folders of the demo stay in the demo's own folder.
HOME=$demo/home
export HOME
mkdir -p "$HOME"
git config --global user.name >/dev/null 2>&1 || git config --global user.name "Demo"
git config --global user.email >/dev/null 2>&1 || git config --global user.email "demo@example.org"

cp -R "$here/examples/iris" "$demo/iris"
cd "$demo/iris"
git init -q
git add -A
git commit -q -m "Iris"
say invoke submit --target local train.py -- --regularization 0.5
say invoke runs
say invoke show @
say invoke outputs @
say git log --notes=amltool/runs -1 --format='%h %s%n%N'
say invoke rerun @
