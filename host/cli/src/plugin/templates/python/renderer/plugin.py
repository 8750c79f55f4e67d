"""Makes a ConfigMap of the files in a directory."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import tree, types


def invalid(message: str, file: str | None = None, hint: str | None = None) -> types.Error:
    return types.Error(types.ErrorKind.INVALID_INPUT, message, file, None, hint)


def unreadable(path: str, error: Err) -> Err:
    """An error that names the path."""
    why = error.value
    kind = types.ErrorKind.NOT_FOUND if isinstance(why, tree.TreeError_NotFound) else types.ErrorKind.INVALID_INPUT
    return Err([types.Error(kind, f"{path} cannot be read: {type(why).__name__}", path, None, None)])


class Render(exports.Render):
    def render(self, root: tree.Dir, parameters: str) -> list[str]:
        """Turns files into objects. The host adds the parameter path: the directory to render, "" for the root."""
        given = json.loads(parameters)
        path, name = given["path"], given.get("name")
        if not isinstance(name, str):
            raise Err([invalid("the parameters cannot be used: name must be a text", hint="Correct `with` of the step.")])
        data = {}
        at = path
        try:
            for entry in root.list(path):
                at = f"{path}/{entry.name}".lstrip("/")
                if entry.kind == tree.NodeKind.FILE:
                    data[entry.name] = root.read(at).decode()
        except Err as error:
            raise unreadable(at, error)
        object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
        return [json.dumps(object)]
