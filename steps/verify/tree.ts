/** A value deep inside parsed YAML or JSON; undefined where the path ends early. */
export function at(tree: unknown, ...path: string[]): unknown {
  return path.reduce<unknown>(
    (node, key) => (typeof node === 'object' && node !== null ? Reflect.get(node, key) : undefined),
    tree,
  )
}

/** A copy of a tree with one value changed; what is missing on the way is made. `undefined` removes it. */
export function altered(
  tree: Record<string, unknown>,
  path: readonly [string, ...string[]],
  value: unknown,
): Record<string, unknown> {
  const [key, ...rest] = path
  const [next, ...further] = rest
  const inner = tree[key]
  return { ...tree, [key]: next === undefined ? value : altered(record(inner), [next, ...further], value) }
}

/** A mapping, or an empty one where the tree has something else. */
export function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
