# amltool through make. In your Makefile: include amltool.mk     (or: make -f amltool.mk submit ...)
#
#   make submit TARGET=docker SCRIPT=train.py ARGS='--lr 0.1 --name "two words"'
#   make runs          make show RUN=@          make rerun RUN=3f9c TARGET=local
#   make amltool DO='compare @ @2'              any other task
#
# Values reach amltool exactly; quotes and backslashes group words in ARGS and DO, and nothing else is special there
# (`$` too is only a dollar sign). AMLTOOL says which amltool runs, AMLTOOL_PYTHON which Python splits the words.

# To include this file does not change what a bare `make` does.
AMLTOOL_MK_GOAL := $(.DEFAULT_GOAL)
AMLTOOL ?= amltool
AMLTOOL_PYTHON ?= python3

define AMLTOOL_MK
import os, shlex, sys
def value(name):
    return os.environ.pop("AMLTOOL_MK_" + name, "")
def words(name):
    try:
        return shlex.split(value(name))
    except ValueError:
        sys.exit(name + " has a quote or a backslash without its partner.\nWrite it as for a shell.")
task, command = sys.argv[1], sys.argv[2:]
target, script, run = value("TARGET"), value("SCRIPT"), value("RUN")
arguments, do = words("ARGS"), words("DO")
if task == "amltool":
    command += do or ["--list"]
else:
    command.append(task)
    command += ["--target=" + target] if target and task in ("submit", "rerun") else []
    command += [run] if run and task in ("show", "rerun") else []
    command += [script] if script and task == "submit" else []
    command += ["--"] if arguments and task == "submit" else []
    command += arguments
for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "AMLTOOL_MK_PROGRAM"):
    os.environ.pop(name, None)
try:
    os.execvp(command[0], command)
except OSError as error:
    sys.exit(command[0] + " cannot be run: " + str(error) + "\nInstall it, or say where it is: make AMLTOOL=/path/to/amltool ...")
endef

.PHONY: submit runs show rerun amltool

submit runs show rerun amltool: export AMLTOOL_MK_PROGRAM = $(value AMLTOOL_MK)
submit runs show rerun amltool: export AMLTOOL_MK_TARGET = $(value TARGET)
submit runs show rerun amltool: export AMLTOOL_MK_SCRIPT = $(value SCRIPT)
submit runs show rerun amltool: export AMLTOOL_MK_RUN = $(value RUN)
submit runs show rerun amltool: export AMLTOOL_MK_ARGS = $(value ARGS)
submit runs show rerun amltool: export AMLTOOL_MK_DO = $(value DO)

submit runs show rerun amltool:
	@$(AMLTOOL_PYTHON) -c "$$AMLTOOL_MK_PROGRAM" $@ $(AMLTOOL)

.DEFAULT_GOAL := $(AMLTOOL_MK_GOAL)
