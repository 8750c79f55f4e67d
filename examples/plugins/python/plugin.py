"""Adds the label of the team that owns a namespace to everything in it."""

import json
import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import log, types


def invalid(message: str, file: str | None = None, hint: str | None = None) -> types.Error:
    return types.Error(types.ErrorKind.INVALID_INPUT, message, file, None, hint)


def file(metadata: dict) -> str | None:
    """The file that an object was written in, where kustomize has told with `buildMetadata: [originAnnotations]`."""
    annotations = metadata.get("annotations", {})
    found = re.search(r"^path: (.*)$", annotations.get("config.kubernetes.io/origin", ""), re.MULTILINE)
    return found.group(1) if found else annotations.get("config.kubernetes.io/path")


class Transform(exports.Transform):
    def transform(self, objects: list[str], parameters: str) -> list[str]:
        """Returns all the objects that the next step should see. What is raised is the list of all mistakes."""
        teams = json.loads(parameters).get("teams")
        if not isinstance(teams, dict):
            raise Err([invalid("the parameters cannot be used: teams must be a map", hint="Correct `with` of the step.")])
        errors = []
        parsed = [json.loads(text) for text in objects]
        for object in parsed:
            metadata = object["metadata"]
            namespace, what = metadata.get("namespace"), f"{object['kind']} {metadata['name']}"
            if not namespace:
                continue
            if namespace not in teams:
                message = f"nobody owns the namespace {namespace} of the {what}"
                errors.append(invalid(message, file(metadata), f"Add {namespace} to teams."))
                continue
            other = metadata.get("labels", {}).get("team")
            if other and other != teams[namespace]:
                log.write(log.Level.WARN, f"the {what} has the team {other}, which is now {teams[namespace]}")
            metadata.setdefault("labels", {})["team"] = teams[namespace]
        if errors:
            raise Err(errors)
        return [json.dumps(object) for object in parsed]
