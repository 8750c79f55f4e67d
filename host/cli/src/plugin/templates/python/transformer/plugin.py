"""Sets a label on every object."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import types


def invalid(message: str, file: str | None = None, hint: str | None = None) -> types.Error:
    return types.Error(types.ErrorKind.INVALID_INPUT, message, file, None, hint)


class Transform(exports.Transform):
    def transform(self, objects: list[str], parameters: str) -> list[str]:
        """Returns all the objects that the next step should see. What is raised is the list of all mistakes."""
        given = json.loads(parameters)
        label, value = given.get("label"), given.get("value")
        if not isinstance(label, str) or not isinstance(value, str):
            raise Err([invalid("the parameters cannot be used: label and value must be texts", hint="Correct `with` of the step.")])
        parsed = [json.loads(text) for text in objects]
        for object in parsed:
            object["metadata"].setdefault("labels", {})[label] = value
        return [json.dumps(object) for object in parsed]
