import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { inspect } from 'node:util'
import fc from 'fast-check'
import json5 from 'json5'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { Journal } from '../../src/procedure/journal.ts'
import { type Progress, runProcedure } from '../../src/procedure/run.ts'
import type { Step } from '../../src/procedure/step.ts'
import { generateToken, Redactor, Secret } from '../../src/secret.ts'
import { DockerSecretFiles } from '../../src/stores/docker.ts'
import { rotationId, type SecretStore } from '../../src/stores/store.ts'
import { type ImportContext, importSteps } from '../../steps/import/index.ts'
import { referencesInPolicy } from '../../steps/import/openclaw-json.ts'
import { replaceFound } from '../../steps/import/replace.ts'
import { scratch, some, thrown } from './support.ts'

const TOKEN = generateToken().expose()
const OPENAI = `sk-proj-${'a1B2'.repeat(8)}`
const TELEGRAM = `123456789:AA${'e5F6'.repeat(9)}`
const PEM = `-----BEGIN PRIVATE KEY-----\n${'MIIBVQ+/'.repeat(8)}\n-----END PRIVATE KEY-----\n`
const VALUES = [TOKEN, OPENAI, TELEGRAM, 'MIIBVQ+/MIIBVQ']

const POLICY = `// The gateway of my house.
{
  gateway: {
    auth: { mode: 'token', token: '${TOKEN}' }, // do not share
  },
  /* models */
  "models": { "providers": { "openai": { "apiKey": "${OPENAI}", "n": 1 } } },
  secrets: {
    providers: {
      // all variables
      default: { source: 'env', allowlist: [] }, // none
    },
  },
}
`
const VARIABLES = `# keys
OPENCLAW_GATEWAY_TOKEN="${TOKEN}"
TZ=UTC
export TELEGRAM_BOT_TOKEN='${TELEGRAM}' # the bot
SSH_PRIVATE_KEY="${PEM}"
LAST=1`
const COMPOSE = `# mine
services:
  gateway:
    image:   openclaw   # pinned later
    environment:
      TZ: UTC
      OPENAI_API_KEY: "${OPENAI}" # paid
      SSH_PRIVATE_KEY: |
        ${PEM.trim().replaceAll('\n', '\n        ')}
      OPENCLAW_GATEWAY_TOKEN: \${OPENCLAW_GATEWAY_TOKEN}
  openclaw-cli:
    environment:
      - TELEGRAM_BOT_TOKEN=${TELEGRAM}
    ports: [ "1:1" ]
`

/** A set-up made by hand, a deployment beside it, and a way to run the import as a command would. */
function place(files: Record<string, string>) {
  const folder = scratch()
  const own = scratch()
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), content)
  }
  const [documents, delivered] = [join(own, 'store'), join(own, 'secrets')]
  for (const path of [documents, delivered]) mkdirSync(path)
  const redactor = new Redactor()
  const store: SecretStore = new DockerSecretFiles({
    documents,
    valuesOf: () => delivered,
    ownerOf: () => undefined,
    redactor,
  })
  const journal = join(own, 'journal.jsonl')
  const lines: string[] = []
  const contexts: ImportContext[] = []
  const run = async (
    options: { dryRun?: boolean; steps?: readonly Step<ImportContext>[]; store?: SecretStore } = {},
  ) => {
    const skipped: Record<string, string> = {}
    const saw: Record<string, string> = {}
    const progress: Progress = {
      begin() {},
      done: (step, text) => Object.assign(saw, { [step.id]: text }),
      skipped: (step, why) => Object.assign(skipped, { [step.id]: why }),
      failed() {},
    }
    const context: ImportContext = {
      folder,
      store: options.store ?? store,
      redactor,
      known: ['gateway_token', 'openai_api_key'],
      now: () => new Date('2026-11-23T01:40:00Z'),
      say: line => lines.push(line),
      found: {},
    }
    contexts.push(context)
    const result = await runProcedure('import', options.steps ?? importSteps, context, {
      journal: new Journal(journal, () => new Date('2026-11-23T01:40:00Z')),
      progress,
      signal: new AbortController().signal,
      lock: async () => () => {},
      runId: 'run',
      dryRun: options.dryRun ?? false,
    })
    return { ...result, skipped, saw, found: context.found }
  }
  const text = (file: string) => readFileSync(join(folder, file), 'utf8')
  const value = async (name: string) => (await store.load(name))?.current?.value.expose()
  const put = async (name: string, secret: string) => {
    const id = rotationId(new Date('2026-11-01T00:00:00Z'))
    const found = await store.load(name)
    await store.commit(
      name,
      id,
      await store.stage(name, { rotationId: id, value: new Secret(secret) }, found?.revision ?? 0),
    )
    return id
  }
  const idOf = async (name: string) => some((await store.load(name))?.current).rotationId
  return { folder, store, run, text, value, put, idOf, lines, contexts, journal, delivered }
}

const all = () => place({ 'openclaw.json': POLICY, '.env': VARIABLES, 'docker-compose.yml': COMPOSE })

describe('an import', () => {
  it('puts every secret into the store and a reference into its place, and keeps all else as it was', async () => {
    const { run, text, value, idOf } = all()
    const { written, saw, found } = await run()
    expect(written).toEqual(['import.store', 'import.replace'])
    expect(saw['import.find']).toBe(
      '4 secrets in 9 places of 3 files; new to this deployment: telegram_bot_token, ssh_private_key',
    )
    expect(found.added).toEqual(['telegram_bot_token', 'ssh_private_key'])
    expect(
      await Promise.all(
        ['gateway_token', 'openai_api_key', 'telegram_bot_token', 'ssh_private_key'].map(value),
      ),
    ).toEqual([TOKEN, OPENAI, TELEGRAM, PEM])
    const path = async (name: string) => `/run/secrets/${name}.${await idOf(name)}`
    const provider = async (name: string, indent: string) =>
      `"${name}": {\n${indent}  "source": "file",\n${indent}  "path": "${await path(name)}",\n${indent}  "mode": "singleValue"\n${indent}}`
    expect(text('openclaw.json')).toBe(
      POLICY.replace(`'${TOKEN}'`, '{ "source": "file", "provider": "gateway_token", "id": "value" }')
        .replace(`"${OPENAI}"`, '{ "source": "file", "provider": "openai_api_key", "id": "value" }')
        .replace(
          ', // none',
          `, // none\n      ${await provider('gateway_token', '      ')},\n      ${await provider('openai_api_key', '      ')}`,
        ),
    )
    expect(text('.env')).toBe(`# keys
# OPENCLAW_GATEWAY_TOKEN is in the secret store of this deployment (gateway_token)
TZ=UTC
# TELEGRAM_BOT_TOKEN is in the secret store of this deployment (telegram_bot_token)
# SSH_PRIVATE_KEY is in the secret store of this deployment (ssh_private_key)
LAST=1`)
    expect(text('docker-compose.yml')).toBe(`# mine
services:
  gateway:
    image:   openclaw   # pinned later
    environment:
      TZ: UTC
      # OPENAI_API_KEY is in the secret store of this deployment (openai_api_key)
      # SSH_PRIVATE_KEY is in the secret store of this deployment (ssh_private_key)
      # OPENCLAW_GATEWAY_TOKEN is in the secret store of this deployment (gateway_token)
  openclaw-cli:
    environment: []
      # TELEGRAM_BOT_TOKEN is in the secret store of this deployment (telegram_bot_token)
    ports: [ "1:1" ]
`)
  })

  it('finds nothing more to do the second time', async () => {
    const { run, text } = all()
    await run()
    const before = text('openclaw.json')
    const { written, saw, skipped } = await run()
    expect(written).toEqual([])
    expect(saw).toEqual({ 'import.find': '0 secrets in 0 places of 3 files' })
    expect(Object.keys(skipped)).toEqual(['import.store', 'import.read-back', 'import.replace'])
    expect(text('openclaw.json')).toBe(before)
  })

  it('only shows what it would do, when that is asked for', async () => {
    const { run, text, lines, delivered, journal } = all()
    const { written, skipped } = await run({ dryRun: true })
    expect(written).toEqual([])
    expect(skipped).toEqual({
      'import.store': 'dry run: not done',
      'import.read-back': 'the store does not have them yet',
      'import.replace': 'dry run: not done',
    })
    expect([text('openclaw.json'), text('.env'), text('docker-compose.yml')]).toEqual([
      POLICY,
      VARIABLES,
      COMPOSE,
    ])
    expect([readdirSync(delivered), existsSync(journal)]).toEqual([[], false])
    const shown = [...lines]
    await run()
    expect(lines.slice(shown.length)).toEqual(shown)
  })

  it('leaves mode and owner, and no copy of what was there', async () => {
    const { run, folder } = all()
    chmodSync(join(folder, '.env'), 0o640)
    const before = statSync(join(folder, '.env'))
    writeFileSync(join(folder, '..env.0a1b2c3d.ocs-tmp'), 'left by a killed run')
    await run()
    const { mode, uid, gid } = statSync(join(folder, '.env'))
    expect([mode & 0o7777, uid, gid]).toEqual([0o640, before.uid, before.gid])
    expect(readdirSync(folder).sort()).toEqual(['.env', 'docker-compose.yml', 'openclaw.json'])
    for (const file of readdirSync(folder))
      for (const secret of VALUES) expect(readFileSync(join(folder, file), 'utf8')).not.toContain(secret)
  })

  it('lets no value into what is said, journalled or thrown', async () => {
    const { run, lines, contexts, journal, folder } = all()
    const change: Step<ImportContext> = {
      id: 'test.change',
      title: 'Somebody edits a file',
      effect: 'reads',
      async run() {
        for (const file of readdirSync(folder))
          writeFileSync(join(folder, file), `${readFileSync(join(folder, file), 'utf8')}\n`)
        return { saw: '' }
      },
    }
    const error = await thrown(() => run({ steps: [...importSteps.slice(0, 3), change, replaceFound] }))
    const { saw } = await run()
    const texts = [
      lines.join('\n'),
      inspect(saw),
      readFileSync(journal, 'utf8'),
      inspect(error, { depth: 20, showHidden: true }),
      JSON.stringify(error),
      inspect(contexts, { depth: 20, showHidden: false }),
      JSON.stringify(contexts.map(({ found }) => found)),
    ]
    for (const text of texts) for (const secret of VALUES) expect(text).not.toContain(secret)
    expect(readFileSync(journal, 'utf8')).toMatch(/"gateway_token":"20261123t014000-[0-9a-f]{8}"/)
  })
})

describe('cut short', () => {
  it.each([1, 2, 3])('after step %i, it loses nothing, and the next run goes on', async steps => {
    const here = all()
    await here.run({ steps: importSteps.slice(0, steps) })
    expect(here.text('.env')).toBe(VARIABLES)
    const { written } = await here.run()
    expect(written).toEqual(steps === 1 ? ['import.store', 'import.replace'] : ['import.replace'])
    expect(await here.value('ssh_private_key')).toBe(PEM)
    expect(here.text('.env')).not.toContain(TOKEN)
  })

  it('between stage and commit, it commits what was staged', async () => {
    const here = place({ '.env': 'A_TOKEN=first-value\n' })
    await here.store.stage('a_token', { rotationId: 'staged-1', value: new Secret('first-value') }, 0)
    await here.run()
    expect(await here.idOf('a_token')).toBe('staged-1')
    const other = place({ '.env': 'A_TOKEN=first-value\n' })
    await other.store.stage('a_token', { rotationId: 'staged-1', value: new Secret('never used') }, 0)
    await other.run()
    expect(await other.value('a_token')).toBe('first-value')
  })

  it('between two files, it finds numbered names again', async () => {
    const here = place({ '.env': 'a_token=first-value\n', 'b.env': 'A_TOKEN=second-value\n' })
    await here.run({ steps: importSteps.slice(0, 3) })
    expect(await here.value('a_token_2')).toBe('second-value')
    unlinkSync(join(here.folder, '.env'))
    await here.run()
    expect(here.text('b.env')).toBe('# A_TOKEN is in the secret store of this deployment (a_token_2)\n')
  })
})

describe('what the store has already', () => {
  it('is referred to when it is the same', async () => {
    const here = place({ '.env': `OPENAI_API_KEY=${OPENAI}\n` })
    const id = await here.put('openai_api_key', OPENAI)
    const { written, skipped } = await here.run()
    expect(written).toEqual(['import.replace'])
    expect(skipped).toEqual({ 'import.store': 'the store has them' })
    expect(await here.idOf('openai_api_key')).toBe(id)
    expect(here.text('.env')).not.toContain(OPENAI)
  })

  it('stays when it is another, and so does the file', async () => {
    const here = place({ '.env': `OPENAI_API_KEY=${OPENAI}\nB_TOKEN=second-value\n` })
    await here.put('openai_api_key', 'another-one')
    const { saw } = await here.run()
    expect(await here.value('openai_api_key')).toBe('another-one')
    expect(here.text('.env')).toBe(
      `OPENAI_API_KEY=${OPENAI}\n# B_TOKEN is in the secret store of this deployment (b_token)\n`,
    )
    expect(saw['import.find']).toContain('1 place left as found')
    expect(here.lines.join('\n')).toMatch(
      /stays: the store has another value under this name.*rotate changes it/,
    )
  })

  it('stays with everything that uses it', async () => {
    const files = {
      '.env': `OPENAI_API_KEY=${OPENAI}\n`,
      'compose.yaml': 'services:\n  a:\n    environment:\n      OPENAI_API_KEY:\n',
      'openclaw.json': '{ "models": { "providers": { "openai": { "apiKey": "${OPENAI_API_KEY}" } } } }',
    }
    const here = place(files)
    await here.put('openai_api_key', 'another-one')
    const { found } = await here.run()
    expect(found.secrets?.map(({ file, where }) => `${file} ${where}`)).toEqual(['.env OPENAI_API_KEY'])
    expect(Object.keys(files).map(here.text)).toEqual(Object.values(files))
  })

  it('is asked again before it is written: what came in between is not overwritten', async () => {
    const here = place({ '.env': 'A_TOKEN=first-value\n' })
    const store: Step<ImportContext> = {
      id: 'x',
      title: '',
      effect: 'reads',
      run: async () => ({ saw: await here.put('a_token', 'theirs') }),
    }
    const steps = [...importSteps.slice(0, 1), store, ...importSteps.slice(1)]
    expect(await thrown(() => here.run({ steps }))).toMatchObject({ code: 'import_conflict' })
    expect(here.text('.env')).toBe('A_TOKEN=first-value\n')
  })

  it('is compared before a file forgets: a store that gives back something else changes nothing', async () => {
    const here = place({ '.env': 'A_TOKEN=first-value\n' })
    let written = false
    const liar = new Proxy(here.store, {
      get(target, key) {
        if (key === 'commit') written = true
        if (key === 'load' && written)
          return async () => ({ revision: 1, current: { rotationId: 'x-1', value: new Secret('else') } })
        const member: unknown = Reflect.get(target, key)
        return typeof member === 'function' ? member.bind(target) : member
      },
    })
    expect(await thrown(() => here.run({ store: liar }))).toMatchObject({ code: 'store_mismatch' })
    expect(here.text('.env')).toBe('A_TOKEN=first-value\n')
  })
})

describe('a file', () => {
  const between = (here: ReturnType<typeof place>, change: () => void) =>
    thrown(() =>
      here.run({
        steps: [
          ...importSteps.slice(0, 3),
          { id: 'x', title: '', effect: 'reads', run: async () => ({ saw: String(change()) }) },
          replaceFound,
        ],
      }),
    )

  it('that was changed, removed or made a link since it was looked at is not overwritten; the others are replaced', async () => {
    const here = place({
      'a.env': 'A_TOKEN=first-value\n',
      'b.env': 'B_TOKEN=second-value\n',
      'c.env': 'C_TOKEN=third-value\n',
      '.env': 'D_TOKEN=fourth-value\n',
    })
    const error = await between(here, () => {
      writeFileSync(join(here.folder, 'a.env'), 'A_TOKEN=first-value\nmine=1\n')
      unlinkSync(join(here.folder, 'b.env'))
      unlinkSync(join(here.folder, 'c.env'))
      symlinkSync('a.env', join(here.folder, 'c.env'))
    })
    expect(error).toMatchObject({
      code: 'not_replaced',
      message:
        'a.env: it was changed since it was looked at\nb.env: it is not there\nc.env: it is a link, or lies behind one: not followed',
      hint: expect.stringContaining('The values are in the store'),
    })
    expect(here.text('a.env')).toBe('A_TOKEN=first-value\nmine=1\n')
    expect(here.text('.env')).toBe('# D_TOKEN is in the secret store of this deployment (d_token)\n')
  })

  it('keeps its Windows line ends and its byte order mark', async () => {
    const here = place({
      '.env': '\ufeffA_TOKEN=first-value\r\nB=1\r\n',
      'openclaw.json': `\ufeff{\r\n  "channels": { "irc": { "password": "pass-word-1" } }\r\n}\r\n`,
      'compose.yaml':
        'services:\r\n  a:\r\n    environment:\r\n      B_TOKEN: second-value\r\n      C: |\r\n        x\r\n      D_TOKEN: third-value\r\n',
    })
    await here.run()
    expect(here.text('.env')).toBe(
      '\ufeff# A_TOKEN is in the secret store of this deployment (a_token)\r\nB=1\r\n',
    )
    const policy = here.text('openclaw.json')
    expect(policy.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/)
    expect(policy.startsWith('\ufeff{')).toBe(true)
    expect(here.text('compose.yaml').replaceAll('\r\n', '')).not.toMatch(/[\r\n]/)
    expect(parse(here.text('compose.yaml'))).toEqual({ services: { a: { environment: { C: 'x\n' } } } })
  })

  it('may hold a value that is part of another: each is replaced where it stands', async () => {
    const here = place({
      '.env': 'A_TOKEN=value-one\nB_TOKEN=value-one-two\n',
      'compose.yaml': 'services: { a: { environment: { A_TOKEN: value-one, X: value } } }\n',
    })
    await here.run()
    expect(here.text('.env')).not.toContain('value')
    expect(parse(here.text('compose.yaml'))).toEqual({ services: { a: { environment: { X: 'value' } } } })
    expect(here.text('compose.yaml')).toContain(
      '# A_TOKEN is in the secret store of this deployment (a_token)',
    )
  })

  it('cannot be made to say more by a name in it', async () => {
    const here = place({
      'compose.yaml':
        'services:\n  a:\n    environment:\n      "X\\nprivileged: true #_TOKEN": first-value\n      B: 1\n',
    })
    await here.run()
    expect(parse(here.text('compose.yaml'))).toEqual({ services: { a: { environment: { B: 1 } } } })
  })

  it('that is a Compose file may be written in every way', async () => {
    const here = place({
      'compose.yaml': `x-env: &env
  A_TOKEN: first-value
services:
  a: { image: openclaw, environment: *env }
  b:
    image: openclaw
    environment: { B_TOKEN: "second-value" }
  c:
    image: openclaw
    environment:
      - "C_TOKEN=third-value"
      - D=1
  d: {image: openclaw, environment: [E_TOKEN=fifth-value]}
---
services:
  e:
    image: openclaw
    environment:
      F_TOKEN: >-
        sixth-value
`,
    })
    await here.run()
    const [first = '', second] = here.text('compose.yaml').split('---\n')
    expect(parse(first)).toEqual({
      'x-env': {},
      services: {
        a: { image: 'openclaw', environment: {} },
        b: { image: 'openclaw', environment: {} },
        c: { image: 'openclaw', environment: ['D=1'] },
        d: { image: 'openclaw', environment: [] },
      },
    })
    expect(parse(some(second))).toEqual({ services: { e: { image: 'openclaw', environment: {} } } })
    for (const name of 'ABCEF')
      expect(here.text('compose.yaml')).toContain(`# ${name}_TOKEN is in the secret store`)
  })
})

describe('references in openclaw.json', () => {
  const secret = { name: 'gateway_token', rotationId: 'id-1' }
  const replaced = (text: string) =>
    some(referencesInPolicy(text, new Map([[text.indexOf('"the token"'), secret]])))
  const reference = { source: 'file', provider: 'gateway_token', id: 'value' }
  const provider = { source: 'file', path: '/run/secrets/gateway_token.id-1', mode: 'singleValue' }

  it.each([
    ['no secrets', '{"t":"the token"}'],
    ['a comma at the end', '{"t":"the token",\n  // end\n}'],
    ['a comment at the end', '{\n  "t":"the token" // mine\n}'],
    ['a comment before the comma', '{"t":"the token" /* x */ , /* y */}'],
    ['empty secrets', '{"secrets":{},"t":"the token"}'],
    ['empty providers', '{"secrets":{providers:{ /* none */ }},"t":"the token"}'],
    [
      'a provider of ours with an older value',
      '{"secrets":{providers:{gateway_token:{source:"file",path:"/run/secrets/gateway_token.id-0",mode:"singleValue"}}},"t":"the token"}',
    ],
  ])('find their place beside %s', (_, text) => {
    const result: unknown = json5.parse(replaced(text))
    expect(result).toEqual({ t: reference, secrets: { providers: { gateway_token: provider } } })
    for (const comment of text.match(/\/\/ \w+|\/\* \w+ \*\//g) ?? [])
      expect(replaced(text)).toContain(comment)
  })

  it('are not written over a provider that is something else', () => {
    const text = '{"secrets":{"providers":{"gateway_token":{"source":"env"}}},"t":"the token"}'
    expect(referencesInPolicy(text, new Map([[text.indexOf('"the token"'), secret]]))).toBeUndefined()
    expect(referencesInPolicy(text, new Map([[1, secret]]))).toBeUndefined()
  })

  it('leave everything else as it means, whatever that is', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })),
        fc.constantFrom(0, 2),
        (tree, space) => {
          const { secrets: _, ...rest } = tree
          const text = JSON.stringify({ ...rest, t: 'the token' }, null, space)
          fc.pre(text.split('"the token"').length === 2)
          expect(json5.parse(replaced(text))).toEqual({
            ...(JSON.parse(text) as object),
            t: reference,
            secrets: { providers: { gateway_token: provider } },
          })
        },
      ),
      { numRuns: 60 },
    )
  })
})
