# Writes down what an activated environment is like for a program that runs in it; bash where there is one, else sh.
python=$1
here=/opt/amltool/build
environment=/opt/amltool/environment
if [ "${python#"$environment"/}" != "$python" ]; then
    PATH=$environment/bin:$PATH
    export PATH
    if [ -d "$environment/conda-meta" ]; then
        CONDA_PREFIX=$environment
        export CONDA_PREFIX
        for script in "$environment"/etc/conda/activate.d/*.sh; do
            [ -n "$2" ] && [ -f "$script" ] && . "$script" >/dev/null
        done
    fi
fi
PYTHONCOERCECLOCALE=0 PYTHONDONTWRITEBYTECODE=1 exec "$python" "$here/facts.py" /opt/amltool/results/facts
