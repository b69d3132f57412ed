import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../..')

/** The floors of the house, highest first (ARCHITECTURE.md). A file uses its own floor and those below. */
const FLOORS: [name: string, holds: RegExp][] = [
  ['bin', /^bin\//],
  ['src/cli', /^src\/cli\.ts$/],
  ['src/commands', /^src\/commands\//],
  ['steps', /^steps\//],
  ['the rooms of src', /^src\/(wizard|deployment|stores|docker|gateway|schedule|report|evidence)\//],
  ['src/procedure', /^src\/procedure\//],
  ['the ground floor', /^src\/(secret|errors|json)\.ts$/],
]

function tree(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && /\.[jt]s$/.test(entry.name))
    .map(entry => relative(ROOT, join(entry.parentPath, entry.name)))
}

const sources = ['bin', 'src', 'steps'].flatMap(tree).sort()
const text = new Map(sources.map(path => [path, readFileSync(join(ROOT, path), 'utf8')]))

/** What a file imports, statically or later, types included: paths from the root, and names of packages. */
function importsOf(path: string): string[] {
  const found = [
    ...(text.get(path) ?? '').matchAll(
      /(?:^|[\s;}])(?:import|export)\s[^'"`;]*?from\s*'([\w@.:/-]+)'|\bimport\s*\(?\s*'([\w@.:/-]+)'/g,
    ),
  ]
  return found
    .map(match => match[1] ?? match[2] ?? '')
    .map(name => (name.startsWith('.') ? relative(ROOT, resolve(ROOT, dirname(path), name)) : name))
}

/** `dist/cli/x.js` is what `src/x.ts` becomes, with all that it imports. */
function asSource(path: string): string {
  return path.replace(/^dist\/cli\/(.*)\.js$/, 'src/$1.ts')
}

const inside = (path: string) =>
  importsOf(path)
    .map(asSource)
    .filter(name => /^(bin|src|steps|test)\//.test(name))
const floorOf = (path: string) => FLOORS.findIndex(([, holds]) => holds.test(path))

/** Code on its own line, outside of the scripts that are sent into the container as text. */
function usesInCode(path: string, use: RegExp): string[] {
  return (text.get(path) ?? '')
    .split('\n')
    .filter(line => use.test(line.replace(/(['"`]).*$/, '').replace(/^\s*(\/\/|\*|\/\*).*$/, '')))
}

describe('the floors', () => {
  it('are found by this test: it reads imports of every kind', () => {
    expect(sources.length).toBeGreaterThan(60)
    expect(importsOf('src/commands/setup.ts')).toEqual(
      expect.arrayContaining(['src/errors.ts', 'src/wizard/gather.ts', 'node:path']),
    )
    expect(inside('src/cli.ts')).toEqual(
      expect.arrayContaining(['src/commands/setup.ts', 'src/commands/program.ts', 'src/errors.ts']),
    )
    expect(inside('bin/create-openclaw-secure.js')).toEqual(['src/cli.ts'])
  })

  it('have a place for every file', () => {
    expect(sources.filter(path => floorOf(path) < 0)).toEqual([])
  })

  it('carry: no file imports from a floor above its own', () => {
    const upwards = sources.flatMap(path =>
      inside(path)
        .filter(name => floorOf(name) < floorOf(path))
        .map(name => `${path} → ${name}`),
    )
    expect(upwards).toEqual([])
  })

  it('hold every file that is imported', () => {
    expect(sources.flatMap(inside).filter(name => !text.has(name))).toEqual([])
  })
})

describe('the files', () => {
  it('import each other in no circle', () => {
    const done = new Set<string>()
    const circles: string[] = []
    const walk = (path: string, way: string[]) => {
      if (way.includes(path)) circles.push([...way.slice(way.indexOf(path)), path].join(' → '))
      if (way.includes(path) || done.has(path)) return
      for (const next of inside(path)) walk(next, [...way, path])
      done.add(path)
    }
    for (const path of sources) walk(path, [])
    expect(circles).toEqual([])
  })

  it('of the product import nothing of the tests', () => {
    expect(sources.filter(path => inside(path).some(name => name.startsWith('test/')))).toEqual([])
  })

  it('import only packages that the build puts into the product, and 1Password’s, which carries a WASM file that no bundle takes in', () => {
    const { dependencies, devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
    const packages = new Set(
      sources
        .flatMap(importsOf)
        .filter(name => !name.startsWith('node:') && !/^(bin|src|steps|test|dist)\//.test(name)),
    )
    const installed = [...packages].filter(name => !Object.hasOwn(devDependencies, name))
    expect(installed).toEqual(['@1password/sdk'])
    expect(Object.keys(dependencies)).toEqual(installed)
    expect(Object.values(dependencies)).toEqual([expect.stringMatching(/^\d+\.\d+\.\d+$/)])
    expect(packages.size).toBeGreaterThan(3)
  })

  it('load 1Password’s library in the program that is started for it alone', () => {
    expect(sources.filter(path => importsOf(path).includes('@1password/sdk'))).toEqual([
      'src/stores/onepassword-items.ts',
    ])
    const loads = /^import \{[^}]*\} from '\.\/onepassword-items\.ts'|import\('\.\/onepassword-items/m
    expect(sources.filter(path => loads.test(text.get(path) ?? ''))).toEqual([
      'src/stores/onepassword-child.ts',
    ])
    expect(sources.filter(path => importsOf(path).some(name => /onepassword-child/.test(name)))).toEqual([])
  })

  it('end the process in src/cli.ts alone, in 1Password’s own program, and inside a container', () => {
    expect(sources.filter(path => usesInCode(path, /\bprocess\.(exit|abort)\(/).length > 0)).toEqual([
      'src/cli.ts',
      'src/gateway/inside-canary.ts',
      'src/stores/onepassword-child.ts',
    ])
    expect(sources.filter(path => usesInCode(path, /\bprocess\.exitCode\b/).length > 0)).toEqual([
      'bin/create-openclaw-secure.js',
      'src/cli.ts',
      'src/gateway/inside.ts',
    ])
  })

  it('write to no console', () => {
    expect(sources.filter(path => usesInCode(path, /\bconsole\s*\./).length > 0)).toEqual([])
  })

  it('read the process’s streams and arguments in src/cli.ts alone, in 1Password’s own program, and in what runs inside a container', () => {
    expect(
      sources.filter(path => usesInCode(path, /\bprocess\.(argv|stdin|stdout|stderr)\b/).length > 0),
    ).toEqual([
      'bin/create-openclaw-secure.js',
      'src/cli.ts',
      'src/gateway/inside-canary.ts',
      'src/gateway/inside-devices.ts',
      'src/gateway/inside-drill.ts',
      'src/gateway/inside-proxy.ts',
      'src/gateway/inside-records.ts',
      'src/gateway/inside-token.ts',
      'src/gateway/inside.ts',
      'src/stores/onepassword-child.ts',
    ])
  })

  it('start children through src/docker/process.ts alone', () => {
    expect(
      sources.filter(path => importsOf(path).some(name => /^(node:)?child_process$|^execa$/.test(name))),
    ).toEqual(['src/docker/process.ts'])
  })

  it('take a secret’s value out only where it goes to stdin, a 0400 file, a store, a request or a comparison', () => {
    const known = [
      'src/cli.ts',
      'src/commands/hand-out.ts',
      'src/deployment/files.ts',
      'src/docker/process.ts',
      'src/gateway/probe.ts',
      'src/gateway/provider-call.ts',
      // The public half of a key is worked out from it.
      'src/gateway/ssh-key.ts',
      'src/secret.ts',
      'src/stores/onepassword-token.ts',
      'src/stores/onepassword.ts',
      'src/stores/vault-client.ts',
      'src/stores/vault-secret-id.ts',
      'src/stores/vault-session.ts',
      'src/stores/vault.ts',
      'src/wizard/secrets.ts',
      'steps/setup/files.ts',
      'steps/verify/secrets-hidden.ts',
    ]
    expect(
      sources
        .filter(path => usesInCode(path, /\.expose\(\)/).length > 0)
        .filter(path => !known.includes(path)),
    ).toEqual([])
  })

  it('are short enough to be read at one sitting: 400 lines', () => {
    expect(sources.filter(path => (text.get(path) ?? '').split('\n').length > 400)).toEqual([])
  })
})
