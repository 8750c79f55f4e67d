// Makes a ConfigMap of the files in a directory.

// What is thrown is the list of all mistakes: {kind, message, file?, line?, hint?}, where kind is
// "invalid-input", "not-found", "denied", "unsupported" or "internal".
const invalid = (message, more = {}) => ({ kind: "invalid-input", message, ...more });

/** What `from` gives, or an error that names the path. */
function given(path, from) {
  try {
    return from();
  } catch (error) {
    const why = error.payload?.tag ?? "failed";
    throw [{ kind: why === "not-found" || why === "denied" ? why : "invalid-input", message: `${path} cannot be read: ${why}`, file: path }];
  }
}

export const render = {
  /** Turns files into objects. The host adds the parameter path: the directory to render, "" for the root. */
  render(root, parameters) {
    const { path, name } = JSON.parse(parameters);
    if (typeof name !== "string") {
      throw [invalid("the parameters cannot be used: name must be a text", { hint: "Correct `with` of the step." })];
    }
    const data = {};
    for (const entry of given(path, () => root.list(path))) {
      const file = path ? `${path}/${entry.name}` : entry.name;
      if (entry.kind === "file") {
        data[entry.name] = new TextDecoder().decode(given(file, () => root.read(file)));
      }
    }
    return [JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data })];
  },
};
