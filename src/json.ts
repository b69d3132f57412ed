/** Parses JSON that may not be any: undefined instead of an error, since callers check the shape anyway. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
