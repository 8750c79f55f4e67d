"""Refuses objects without a label."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import validate
from wit_world.imports import types


def invalid(message: str, file: str | None = None, hint: str | None = None) -> types.Error:
    return types.Error(types.ErrorKind.INVALID_INPUT, message, file, None, hint)


class Validate(exports.Validate):
    def validate(self, objects: list[str], parameters: str) -> list[validate.Finding]:
        """Returns everything that is wrong with the objects. What is raised says why it could not look."""
        label = json.loads(parameters).get("label")
        if not isinstance(label, str):
            raise Err([invalid("the parameters cannot be used: label must be a text", hint="Correct `with` of the step.")])
        found = []
        for index, object in enumerate(map(json.loads, objects)):
            if label not in object["metadata"].get("labels", {}):
                message = f"the {object['kind']} {object['metadata']['name']} has no label {label}"
                found.append(validate.Finding(validate.Severity.ERROR, index, "/metadata/labels", "label-required", message))
        return found
