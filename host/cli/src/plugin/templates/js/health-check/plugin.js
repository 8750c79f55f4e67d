// Says how objects of one kind are doing, by the phase in their status.

// What is thrown is the list of all mistakes: {kind, message, file?, line?, hint?}, where kind is
// "invalid-input", "not-found", "denied", "unsupported" or "internal".
const invalid = (message, more = {}) => ({ kind: "invalid-input", message, ...more });

export const health = {
  /** Says how an object is doing: "current", "in-progress", "failed", "terminating" or "unknown". */
  check(object, parameters) {
    const { kind: known, ready } = JSON.parse(parameters);
    if (typeof known !== "string" || typeof ready !== "string") {
      throw [invalid("the parameters cannot be used: kind and ready must be texts", { hint: "Correct `with` where the plugin is chosen." })];
    }
    const { kind, status } = JSON.parse(object);
    if (kind !== known) {
      // Not "unknown", which is for an object of a kind that it does know.
      throw [{ kind: "unsupported", message: `the kind ${kind} is not known` }];
    }
    switch (status?.phase) {
      case ready:
        return { status: "current", message: "" };
      case "Failed":
        return { status: "failed", message: "its phase is Failed" };
      case undefined:
        return { status: "in-progress", message: "it has no phase yet" };
      default:
        return { status: "in-progress", message: `its phase is ${status.phase}` };
    }
  },
};
