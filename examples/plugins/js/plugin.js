// Adds the label of the team that owns a namespace to everything in it.

import { write } from "plumbline:plugin/log@0.1.0";

const invalid = (message, more = {}) => ({ kind: "invalid-input", message, ...more });

export const transform = {
  /** Returns all the objects that the next step should see. What is thrown is the list of all mistakes. */
  transform(texts, parameters) {
    const { teams } = JSON.parse(parameters);
    if (typeof teams !== "object" || teams === null) {
      throw [invalid("the parameters cannot be used: teams must be a map", { hint: "Correct `with` of the step." })];
    }
    const errors = [];
    const objects = texts.map((text) => JSON.parse(text));
    for (const { kind, metadata } of objects) {
      const { name, namespace } = metadata;
      if (!namespace) {
        continue;
      }
      if (!Object.hasOwn(teams, namespace)) {
        const message = `nobody owns the namespace ${namespace} of the ${kind} ${name}`;
        errors.push(invalid(message, { file: file(metadata), hint: `Add ${namespace} to teams.` }));
        continue;
      }
      const other = metadata.labels?.team;
      if (other && other !== teams[namespace]) {
        write("warn", `the ${kind} ${name} has the team ${other}, which is now ${teams[namespace]}`);
      }
      metadata.labels = { ...metadata.labels, team: teams[namespace] };
    }
    if (errors.length > 0) {
      throw errors;
    }
    return objects.map((object) => JSON.stringify(object));
  },
};

/** The file that an object was written in, where kustomize has told with `buildMetadata: [originAnnotations]`. */
function file({ annotations = {} }) {
  const origin = annotations["config.kubernetes.io/origin"] ?? "";
  return /^path: (.*)$/m.exec(origin)?.[1] ?? annotations["config.kubernetes.io/path"];
}
