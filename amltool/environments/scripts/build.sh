#!/bin/sh
# Builds an execution environment: process 1 of a build container (amltool.environments.image_build).
#
# What is to be done lies beside this file (plan.sh and the recipe's files). What may be secret comes as lines of shell
# over standard input: it is kept in memory and never part of a layer, of the container's configuration or of a command
# line. Lines that begin with "::amltool-" are for the builder. What was built is described in /opt/amltool/results.
set -u
umask 022

top=/opt/amltool
here=$top/build
private=$top/private # in memory
cache=$top/cache     # a volume
environment=$top/environment
results=$top/results
UNFED=75
LITTLE=65536 # kB of the disk

step() { echo "::amltool-step $*"; }

problem() {
    echo "::amltool-problem $*"
    exit 65
}

main() {
    read_variables
    . "$here/plan.sh"
    mkdir -p "$here/tmp" "$here/home" "$results"
    if [ "$MODE" = build ]; then
        (
            set -e
            . "$private/variables"
            install_environment
        )
        ended=$?
        [ "$ended" -eq 0 ] || fail "$ended"
        python=$environment/bin/python
    else
        python=$(own_python) || fail 65
    fi
    (
        set -e
        describe
    )
    ended=$?
    [ "$ended" -eq 0 ] || fail "$ended"
    rm -rf "$here"
    exit 0
}

fail() {
    # what fails on a full disk often says nothing of it, and has removed half of what filled it by now
    set -- "$1" $(df -Pk "$top" 2>/dev/null | tail -n 1)
    [ "${5:-$LITTLE}" -ge "$LITTLE" ] 2>/dev/null || echo "::amltool-problem full ${5:-0}"
    echo "::amltool-failed"
    exit "$1"
}

# The last line says that the builder lived long enough to say all; without it nothing is done.
read_variables() {
    : >"$private/variables"
    while IFS= read -r line; do
        [ "$line" = "# that is all" ] && return
        printf '%s\n' "$line" >>"$private/variables"
    done
    exit $UNFED
}

install_environment() {
    HOME=$here/home
    TMPDIR=$here/tmp
    PIP_CACHE_DIR=$cache/pip
    PIP_NO_INPUT=1
    PIP_DISABLE_PIP_VERSION_CHECK=1
    PIP_PROGRESS_BAR=off
    PIP_ROOT_USER_ACTION=ignore
    export HOME TMPDIR PIP_CACHE_DIR PIP_NO_INPUT PIP_DISABLE_PIP_VERSION_CHECK PIP_PROGRESS_BAR PIP_ROOT_USER_ACTION
    keep_private
    trust_certificates
    if conda=$(find_conda); then
        create_by_conda
    elif [ "$NEEDS_CONDA" = 0 ]; then
        create_by_venv
    else
        create_by_rattler
    fi
    [ -x "$environment/bin/python" ] || problem no-python-installed
    if [ "$PIP" = 1 ]; then
        step "install the pip packages"
        cd "$here/recipe"
        pip_install "$environment/bin/python" </dev/null
    fi
}

# pip's settings may hold a password: PIP_CONFIG_FILE names a file in memory.
keep_private() {
    [ -n "${AMLTOOL_PIP_CONFIGURATION:-}" ] || return 0
    printf '%s' "$AMLTOOL_PIP_CONFIGURATION" >"$private/pip.conf"
    unset AMLTOOL_PIP_CONFIGURATION
}

# A company's certificates are trusted beside those that the base image trusts: those of the .compute in the build and
# in runs, those of the shell of whoever builds in the build alone.
trust_certificates() {
    if [ -f "$here/ca-certificates.pem" ]; then
        trusted_with "$here/ca-certificates.pem" >"$top/ca-certificates.pem"
    elif [ -f "$here/shell-certificates.pem" ]; then
        trusted_with "$here/shell-certificates.pem" >"$here/trusted.pem"
    fi
}

trusted_with() {
    for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
        if [ -f "$bundle" ]; then
            cat "$bundle"
            echo
            break
        fi
    done
    cat "$1"
}

find_conda() {
    for candidate in "${MAMBA_EXE:-}" micromamba mamba "${CONDA_EXE:-}" conda \
        /opt/conda/bin/mamba /opt/conda/bin/conda; do
        [ -n "$candidate" ] && command -v "$candidate" 2>/dev/null && return 0
    done
    return 1
}

create_by_conda() {
    step "create the conda environment"
    MAMBA_ROOT_PREFIX=${MAMBA_ROOT_PREFIX:-$here/mamba}
    # conda itself does not lock its package cache well enough for two builds at once.
    case ${conda##*/} in
    micromamba*)
        CONDA_PKGS_DIRS=$cache/micromamba
        keep_index_apart "$CONDA_PKGS_DIRS"
        ;;
    *) CONDA_PKGS_DIRS=$here/packages ;;
    esac
    export CONDA_PKGS_DIRS MAMBA_ROOT_PREFIX
    conda_create "$conda" </dev/null
    # The command line stands in conda's history, and with it what the URL of a channel may hold of credentials.
    [ ! -f "$environment/conda-meta/history" ] || sed -i '/^# cmd: /d' "$environment/conda-meta/history"
}

# All builds share micromamba's packages, which it tells apart by URL and checksum. But it keeps what is in a channel for
# an hour under the channel's name, and what that means is up to the base image's and the build's settings (a mirror by
# channel_alias): that goes into a folder of this container, by a link that is the same in each.
keep_index_apart() {
    mkdir -p "$1" "$here/index"
    [ -L "$1/cache" ] || ln -s "$here/index" "$1/cache" 2>/dev/null || [ -L "$1/cache" ]
}

create_by_venv() {
    step "find Python"
    python=$(choose_python "$PYTHON") || problem "no-python $(versions_here)"
    "$python" -c 'import venv, ensurepip' 2>/dev/null || problem "no-venv $python"
    step "create the virtual environment"
    "$python" -m venv "$environment"
    if [ "$TOOLS" = 1 ]; then # pip, setuptools and wheel of the versions that the file asks for by conda's names
        pip_tools "$environment/bin/python" </dev/null
    fi
}

create_by_rattler() {
    python=$(choose_python ">=3.10") || problem no-conda
    "$python" -c 'import venv, ensurepip' 2>/dev/null || problem no-conda
    step "fetch py-rattler, because the base image has no conda command"
    "$python" -m venv "$here/rattler"
    "$here/rattler/bin/python" -m pip install --quiet py-rattler </dev/null
    step "create the conda environment"
    "$here/rattler/bin/python" "$here/conda_by_rattler.py" "$environment" "$here/conda.json" "$cache/rattler" </dev/null
}

# Every Python on the search path, those that say their version first.
pythons_here() {
    old_ifs=$IFS
    IFS=:
    set -- $PATH
    IFS=$old_ifs
    for folder in "$@"; do
        for candidate in "$folder"/python3.[0-9][0-9] "$folder"/python3.[0-9] "$folder"/python3 "$folder"/python; do
            [ -x "$candidate" ] && echo "$candidate"
        done
    done
}

# The first that fits a version as conda writes it ("3.11", ">=3.8,<4"); any that fits for an empty one.
choose_python() {
    for candidate in python3 python; do
        found=$(command -v "$candidate" 2>/dev/null) && "$found" "$here/fits.py" "$1" >/dev/null 2>&1 && echo "$found" && return 0
    done
    for candidate in $(pythons_here); do
        "$candidate" "$here/fits.py" "$1" >/dev/null 2>&1 && echo "$candidate" && return 0
    done
    return 1
}

versions_here() {
    for candidate in $(pythons_here); do
        "$candidate" "$here/fits.py" "" 2>/dev/null
    done | sort -u | tr '\n' ' '
}

# The Python that pythonLocation names, in an image that the user manages.
own_python() {
    for candidate in $PYTHON_LOCATION; do
        command -v "$candidate" 2>/dev/null && return 0
    done
    problem "no-such-python $PYTHON_LOCATION" >&2
}

describe() {
    step "list what is installed"
    cd /
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 6))' ||
        problem "old-python $("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1 HOME=/nonexistent "$python" -c "$(cat "$here/listing.py")" explicit \
        >"$results/listing"
    cat /etc/passwd >"$results/passwd" 2>/dev/null || true
    shell=$(command -v bash) || shell=sh
    # A package's activation script that fails must not fail what works without it.
    "$shell" "$here/activated.sh" "$python" activate || "$shell" "$here/activated.sh" "$python" ""
}

main
