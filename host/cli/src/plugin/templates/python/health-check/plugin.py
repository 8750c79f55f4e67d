"""Says how objects of one kind are doing, by the phase in their status."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import health
from wit_world.imports import types


def invalid(message: str, file: str | None = None, hint: str | None = None) -> types.Error:
    return types.Error(types.ErrorKind.INVALID_INPUT, message, file, None, hint)


class Health(exports.Health):
    def check(self, object: str, parameters: str) -> health.Report:
        """Says how an object is doing. What is raised says why it could not look."""
        given = json.loads(parameters)
        known, ready = given.get("kind"), given.get("ready")
        if not isinstance(known, str) or not isinstance(ready, str):
            raise Err([invalid("the parameters cannot be used: kind and ready must be texts", hint="Correct `with` where the plugin is chosen.")])
        parsed = json.loads(object)
        if parsed["kind"] != known:
            # Not UNKNOWN, which is for an object of a kind that it does know.
            message = f"the kind {parsed['kind']} is not known"
            raise Err([types.Error(types.ErrorKind.UNSUPPORTED, message, None, None, None)])
        phase = parsed.get("status", {}).get("phase")
        if phase == ready:
            return health.Report(health.Status.CURRENT, "")
        if phase == "Failed":
            return health.Report(health.Status.FAILED, "its phase is Failed")
        message = f"its phase is {phase}" if phase else "it has no phase yet"
        return health.Report(health.Status.IN_PROGRESS, message)
