// Refuses objects without a label.

// What is thrown is the list of all mistakes: {kind, message, file?, line?, hint?}, where kind is
// "invalid-input", "not-found", "denied", "unsupported" or "internal".
const invalid = (message, more = {}) => ({ kind: "invalid-input", message, ...more });

export const validate = {
  /** Returns everything that is wrong with the objects. What is thrown says why it could not look. */
  validate(objects, parameters) {
    const { label } = JSON.parse(parameters);
    if (typeof label !== "string") {
      throw [invalid("the parameters cannot be used: label must be a text", { hint: "Correct `with` of the step." })];
    }
    return objects.flatMap((text, index) => {
      const { kind, metadata } = JSON.parse(text);
      if (metadata.labels?.[label]) {
        return [];
      }
      const message = `the ${kind} ${metadata.name} has no label ${label}`;
      return [{ severity: "error", object: index, field: "/metadata/labels", rule: "label-required", message }];
    });
  },
};
