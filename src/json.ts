/** Parses JSON that may not be any: undefined instead of an error, since callers check the shape anyway. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Reads JSON with whole-line `//` comments, as our templates write them. No string spans lines, so none can hold one. */
export function parseCommentedJson(text: string): unknown {
  try {
    return JSON.parse(text.replace(/^\s*\/\/.*$/gm, ''))
  } catch {
    // The engine's own message quotes the text, which may hold a secret.
    throw new SyntaxError('it is no JSON')
  }
}
