# ruff: noqa: ARG002, TID252  (the ancestor's signatures; the package is known by its place on the path)
"""The files that ``azureml.core.Run`` hands over and gives back."""

import os
from typing import Any, List, Optional

from amltool.tracking import outputs, recording, values

from ..exceptions import UserErrorException


class Files(object):
    """Files handed over while the run goes on; they lie in ``outputs``, with or without that word in their name."""

    def upload_file(self, name: str, path_or_stream: Any, datastore_name: Any = None) -> None:
        """Put a file, or what a stream holds, into ``outputs`` under a name.

        Raises:
            UserErrorException: there is no such file.
        """
        if hasattr(path_or_stream, "read"):
            content = path_or_stream.read()
            _keep(name, lambda: outputs.keep_content(name, content if isinstance(content, bytes) else content.encode()))
            return
        if not os.path.isfile(path_or_stream):
            raise _missing("File", path_or_stream)
        _keep(name, lambda: outputs.keep_file(name, path_or_stream))

    def upload_files(self, names: Any, paths: Any, *_: Any, **__: Any) -> None:
        if len(names) != len(paths):
            raise TypeError(
                "names and paths must be lists of equal lengths. Names was of length {} and paths of length {}.".format(
                    len(names), len(paths)
                )
            )
        for name, path in zip(names, paths):  # noqa: B905
            self.upload_file(name, path)

    def upload_folder(self, name: str, path: str, datastore_name: Any = None) -> None:
        """Put all files below a folder into ``outputs`` under a name; links to folders are not followed.

        Raises:
            UserErrorException: there is no such folder.
        """
        if not os.path.isdir(path):
            raise _missing("Folder", path)
        for folder, _, files in list(os.walk(path)):  # what is put into it meanwhile is not its content
            for file in files:
                source = os.path.join(folder, file)
                if os.path.isfile(source):
                    self.upload_file("%s/%s" % (name, os.path.relpath(source, path)), source)

    def get_file_names(self) -> List[str]:
        """The files in ``outputs`` and ``logs`` so far."""
        return outputs.files_so_far()

    def download_file(self, name: str, output_file_path: Optional[str] = None, **_: Any) -> None:
        """Copy a file of this run's to a path, by default beside the script under its own name.

        Raises:
            UserErrorException: the run has no such file so far.
        """
        import shutil

        found = [known for known in (name, "outputs/" + outputs.name_inside(name)) if known in self.get_file_names()]
        if not found:
            raise _missing("File", name)
        target = output_file_path or os.path.basename(name)
        if os.path.isdir(target):
            target = os.path.join(target, os.path.basename(name))
        source = os.path.join(outputs.work_folder(), found[0])
        if not (os.path.exists(target) and os.path.samefile(source, target)):
            shutil.copyfile(source, target)

    def download_files(
        self, prefix: Optional[str] = None, output_directory: Optional[str] = None, append_prefix: bool = True, **_: Any
    ) -> None:
        """Copy all files of this run's whose name begins with a prefix below a folder."""
        for name in self.get_file_names():
            if name.startswith(prefix or ""):
                rest = name if append_prefix else name[len(prefix or "") :].lstrip("/")
                target = os.path.join(output_directory or os.curdir, rest)
                os.makedirs(os.path.dirname(target) or os.curdir, exist_ok=True)
                self.download_file(name, target)


def _keep(name: Any, keep: Any) -> None:
    try:
        keep()
    except OSError as error:
        recording.say_once("the file %s is not kept (%s)." % (values.text(name), error))


def _missing(what: str, path: Any) -> UserErrorException:
    return UserErrorException(
        "{0} with path {1} was not found,\navailable files include: {2}.".format(
            what, values.text(path), ",".join(outputs.files_so_far())
        )
    )
