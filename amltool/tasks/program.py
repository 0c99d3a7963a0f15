"""The ``amltool`` command: the tasks of ours as a program of their own, that works in any folder."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO

from invoke.collection import Collection
from invoke.completion.complete import print_completion_script
from invoke.config import Config
from invoke.exceptions import Exit, ParseError
from invoke.program import Program

from amltool import __version__
from amltool.tasks.failures import front_door
from amltool.tasks.patches import install

NAME = "amltool"
SENTENCE = (
    "Every Git commit is an experiment you can run anywhere, and run again, and amltool tells you whether it came out "
    "the same."
)


class ProgramConfig(Config):
    """Invoke's settings for this program, apart from those of the ``invoke`` command.

    So a faulty ``~/.invoke.yaml`` does not stop us, and no ``AMLTOOL_…`` variable of ours is taken for one of these.
    """

    prefix = "amltool-invoke"
    env_prefix = "AMLTOOL_INVOKE"  # type: ignore[assignment] # inferred from its default, None

    def load_system(self, merge: bool = True) -> None:
        """There is no such file of ours, and looking for it fails where there is no home folder."""

    def load_user(self, merge: bool = True) -> None:
        """As `load_system`."""


SHOWN_OPTIONS = frozenset({"-h", "-l", "-V", "-d", "--print-completion-script"})
"""Of Invoke's own options those that mean something here; the others (`--hide`, `--sudo` ...) are about its shell."""


class AmltoolProgram(Program):
    """Runs the tasks of a namespace as ``amltool TASK``."""

    def __init__(self, namespace: Collection) -> None:
        install()
        super().__init__(
            version=__version__,
            namespace=namespace,
            name=NAME,
            binary=NAME,
            binary_names=[NAME],
            config_class=ProgramConfig,
        )

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:
        """Run a command line (default: this process's); leaves with one of the exit codes of ``failures``."""
        with front_door():
            try:
                super().run(argv, exit=exit)
            except SystemExit as ended:
                if isinstance(ended.__context__, KeyboardInterrupt):  # Invoke makes an exit code of 1 of it
                    raise ended.__context__ from None
                raise

    def parse_core_args(self) -> None:
        try:
            super().parse_core_args()
        except ValueError as error:
            raise ParseError(
                f"An option before the task has a value it cannot have: {error}.\nSee {NAME} --help"
            ) from None

        if self.args["print-completion-script"].value == "zsh":
            self._print_zsh_completion()
            raise Exit

    def _print_zsh_completion(self) -> None:
        # Invoke's script takes any -c of the line for its own, of which a program like this has none
        with redirect_stdout(StringIO()) as script:
            print_completion_script("zsh", self.binary_names)
        print(script.getvalue().replace("${=collection_arg} ", ""), end="")

    def print_help(self) -> None:
        print(f"{SENTENCE}\n\nUsage: {NAME} TASK [--options] [-- ARGUMENTS]\n       {NAME} TASK --help\n")
        self.list_tasks()
        print("Core options:\n")
        shown = [
            (names, text)
            for names, text in self.initial_context.help_tuples()
            if SHOWN_OPTIONS & set(re.findall(r"--?[\w-]+", names))
        ]
        self.print_columns(shown)

    def task_list_opener(self, extra: str = "") -> str:
        return super().task_list_opener(extra).replace("Subcommands", "Tasks")
