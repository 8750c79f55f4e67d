// Sets a label on every object.

// What is thrown is the list of all mistakes: {kind, message, file?, line?, hint?}, where kind is
// "invalid-input", "not-found", "denied", "unsupported" or "internal".
const invalid = (message, more = {}) => ({ kind: "invalid-input", message, ...more });

export const transform = {
  /** Returns all the objects that the next step should see. Objects and parameters come as the text of JSON objects. */
  transform(objects, parameters) {
    const { label, value } = JSON.parse(parameters);
    if (typeof label !== "string" || typeof value !== "string") {
      throw [invalid("the parameters cannot be used: label and value must be texts", { hint: "Correct `with` of the step." })];
    }
    return objects.map((text) => {
      const object = JSON.parse(text);
      object.metadata.labels = { ...object.metadata.labels, [label]: value };
      return JSON.stringify(object);
    });
  },
};
