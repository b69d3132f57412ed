import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import json5 from 'json5'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import type { DeliveredSecret } from '../../src/gateway/policy.ts'
import { generateToken, Redactor } from '../../src/secret.ts'
import { importable } from '../../steps/import/context.ts'
import { replaceFound } from '../../steps/import/replace.ts'
import { survey } from '../../steps/import/scan.ts'
import { scratch, some } from './support.ts'

const TOKEN = generateToken().expose()
const OPENAI = `sk-proj-${'a1B2'.repeat(8)}`

function folderOf(files: Record<string, string>): string {
  const folder = scratch()
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), content)
  }
  return folder
}

/** `.env:1 OPENAI_API_KEY openai_api_key`, or with the reason for which it stays. */
function seen(files: Record<string, string>): string[] {
  return survey(folderOf(files), new Redactor()).secrets.map(
    ({ file, line, where, name, stays }) =>
      `${file}:${line} ${where} ${stays === undefined ? name : `stays: ${stays}`}`,
  )
}

/** What the files are afterwards. `between` happens after they were looked at. */
async function imported(
  files: Record<string, string>,
  between: (folder: string) => void = () => {},
): Promise<{ files: Record<string, string>; error: Error | undefined }> {
  const folder = folderOf(files)
  const found = survey(folder, new Redactor())
  const verified: DeliveredSecret[] = [...importable(found).keys()].map(name => ({
    name,
    rotationId: 'id-1',
  }))
  between(folder)
  let error: Error | undefined
  if (verified.length > 0)
    try {
      await replaceFound.run({ folder, found: { ...found, verified } }, new AbortController().signal)
    } catch (caught) {
      error = caught instanceof Error ? caught : new Error(String(caught))
    }
  const text = (file: string) => readFileSync(join(folder, file), 'utf8')
  return { files: Object.fromEntries(Object.keys(files).map(file => [file, text(file)])), error }
}

const env = (...lines: string[]) => `${lines.join('\n')}\n`
const gateway = (environment: string, more = '') =>
  `services:\n  openclaw-gateway:\n    image: openclaw\n    environment:\n${environment.replace(/^/gm, '      ')}\n${more}`
const policy = (apiKey: unknown, more = {}) =>
  JSON.stringify({ models: { providers: { openai: { apiKey } } }, ...more })
const gone = (variable: string, name: string) =>
  `# ${variable} is in the secret store of this deployment (${name})`

describe('a variable that openclaw.json uses', () => {
  it.each([
    ['a variable', '${OPENAI_API_KEY}'],
    ['its short form', '$OPENAI_API_KEY'],
    ['an env reference', { source: 'env', provider: 'default', id: 'OPENAI_API_KEY' }],
    ['an env reference without a provider', { source: 'env', id: 'OPENAI_API_KEY' }],
  ])('as %s is there replaced by a reference to its secret', async (_, apiKey) => {
    const files = { '.env': env(`OPENAI_API_KEY=${OPENAI}`, 'TZ=UTC'), 'openclaw.json': policy(apiKey) }
    expect(seen(files)).toEqual([
      '.env:1 OPENAI_API_KEY openai_api_key',
      'openclaw.json:1 models.providers.openai.apiKey openai_api_key',
    ])
    const { files: after } = await imported(files)
    expect(after['.env']).toBe(env(gone('OPENAI_API_KEY', 'openai_api_key'), 'TZ=UTC'))
    expect(json5.parse(some(after['openclaw.json']))).toEqual({
      models: {
        providers: { openai: { apiKey: { source: 'file', provider: 'openai_api_key', id: 'value' } } },
      },
      secrets: {
        providers: {
          openai_api_key: {
            source: 'file',
            path: '/run/secrets/openai_api_key.id-1',
            mode: 'singleValue',
          },
        },
      },
    })
  })

  it.each([
    [
      'where it takes no reference',
      { hooks: { token: '${OPENAI_API_KEY}' } },
      'where OpenClaw takes no reference',
    ],
    ['in a longer text', { tools: { x: 'Bearer ${OPENAI_API_KEY}' } }, 'within a longer text'],
    ['by its name', { tools: { keyVariable: 'OPENAI_API_KEY' } }, 'by its name'],
  ])('%s stays, with all its uses', async (_, more, how) => {
    const files = {
      '.env': env(`OPENAI_API_KEY=${OPENAI}`),
      'compose.yaml': gateway('OPENAI_API_KEY: ${OPENAI_API_KEY}'),
      'openclaw.json': policy('${OPENAI_API_KEY}', more),
    }
    expect(seen(files)).toEqual([`.env:1 OPENAI_API_KEY stays: openclaw.json:1 uses it ${how}`])
    expect((await imported(files)).files).toEqual(files)
  })

  it('is a secret by this use, whatever its name', () => {
    const files = { 'openclaw.json': policy('${MY_ACCOUNT}'), 'z.env': env('MY_ACCOUNT=correct-horse') }
    expect(seen(files)).toEqual([
      'openclaw.json:1 models.providers.openai.apiKey openai_api_key',
      'z.env:1 MY_ACCOUNT openai_api_key',
    ])
  })

  it('and that no file sets is left to whoever sets it', () => {
    expect(seen({ 'openclaw.json': policy('${OPENAI_API_KEY}'), '.env': env('TZ=UTC') })).toEqual([])
  })

  it('stays when the reference has no room for its provider', () => {
    const secrets = { providers: { openai_api_key: { source: 'env' } } }
    expect(
      seen({
        '.env': env(`OPENAI_API_KEY=${OPENAI}`),
        'openclaw.json': policy('${OPENAI_API_KEY}', { secrets }),
      }),
    ).toEqual([
      expect.stringMatching(
        /^\.env:1 OPENAI_API_KEY stays: openclaw\.json:1 uses it, and stays: secrets\.providers\.openai_api_key is something else/,
      ),
    ])
  })

  it('may be set in the Compose file itself', async () => {
    const { files } = await imported({
      'compose.yaml': gateway(`MY_KEY: ${OPENAI}\nTZ: UTC`),
      'openclaw.json': policy('${MY_KEY}'),
    })
    expect(parse(some(files['compose.yaml']))).toEqual(parse(gateway('TZ: UTC')))
    expect(files['openclaw.json']).toContain('"provider": "openai_api_key"')
  })
})

describe('a variable that the Compose file hands to the gateway', () => {
  it.each([
    ['${OPENAI_API_KEY}', 'OPENAI_API_KEY: ${OPENAI_API_KEY}'],
    ['$NAME', 'OPENAI_API_KEY: $OPENAI_API_KEY'],
    ['${NAME:-}', 'OPENAI_API_KEY: "${OPENAI_API_KEY:-}"'],
    ['${NAME:?message}', 'OPENAI_API_KEY: ${OPENAI_API_KEY:?is missing}'],
    ['nothing but its name', 'OPENAI_API_KEY:'],
    ['null', 'OPENAI_API_KEY: ~ # passed on'],
  ])('as %s leaves both files', async (_, line) => {
    const files = {
      '.env': env(`OPENAI_API_KEY=${OPENAI}`),
      'compose.yaml': gateway(`TZ: UTC\n${line}\nLAST: 1`),
    }
    expect(seen(files)).toEqual([
      '.env:1 OPENAI_API_KEY openai_api_key',
      'compose.yaml:6 OPENAI_API_KEY openai_api_key',
    ])
    const { files: after } = await imported(files)
    expect(after).toEqual({
      '.env': env(gone('OPENAI_API_KEY', 'openai_api_key')),
      'compose.yaml': gateway(`TZ: UTC\n${gone('OPENAI_API_KEY', 'openai_api_key')}\nLAST: 1`),
    })
  })

  it('is handed over in a list, under another name or by its name alone', async () => {
    const { files } = await imported({
      '.env': env(`MY_KEY=${OPENAI}`, `OPENCLAW_GATEWAY_TOKEN=${TOKEN}`),
      'compose.yaml': gateway('- OPENAI_API_KEY=${MY_KEY}\n- OPENCLAW_GATEWAY_TOKEN\n- TZ=UTC'),
      'openclaw.json': policy('${OPENAI_API_KEY}'),
    })
    expect(files['.env']).toBe(
      env(gone('MY_KEY', 'openai_api_key'), gone('OPENCLAW_GATEWAY_TOKEN', 'gateway_token')),
    )
    expect(files['compose.yaml']).toBe(
      gateway(
        `${gone('OPENAI_API_KEY', 'openai_api_key')}\n${gone('OPENCLAW_GATEWAY_TOKEN', 'gateway_token')}\n- TZ=UTC`,
      ),
    )
    expect(files['openclaw.json']).toContain('"provider": "openai_api_key"')
  })

  it.each([
    ['in a longer text', gateway('HEADER: Bearer ${MY_TOKEN}'), 5, 'uses it within a longer text'],
    ['with another value in its place', gateway('A: ${MY_TOKEN:-none}'), 5, 'uses it within a longer text'],
    ['in a command', gateway('A: 1', '    command: [x, $MY_TOKEN]'), 6, 'uses it outside of environment'],
    [
      'by a shell inside',
      gateway('A: 1', '    healthcheck: { test: "curl $$MY_TOKEN" }'),
      6,
      'uses it outside of environment',
    ],
    [
      'to build the image',
      gateway('A: 1', '    build: { args: [MY_TOKEN] }'),
      6,
      'uses it to build an image',
    ],
    [
      'for a secret of Compose',
      gateway('A: 1', 'secrets: { a: { environment: MY_TOKEN } }'),
      6,
      'uses it for a secret of Compose',
    ],
  ])('%s stays, and so does every other use', async (_, composition, line, why) => {
    const files = {
      '.env': env('MY_TOKEN=value-one'),
      'compose.yaml': composition,
      'compose.override.yaml': gateway('MY_TOKEN: ${MY_TOKEN}'),
    }
    expect(seen(files)).toEqual([`.env:1 MY_TOKEN stays: compose.yaml:${line} ${why}`])
    expect((await imported(files)).files).toEqual(files)
  })

  it('under a second name that cannot be taken out stays under both', () => {
    expect(
      seen({
        '.env': env('FIRST_TOKEN=value-one'),
        'compose.yaml': gateway('SECOND_TOKEN: ${FIRST_TOKEN}'),
        'openclaw.json': JSON.stringify({ tools: { x: 'y ${SECOND_TOKEN}' } }),
      }),
    ).toEqual(['.env:1 FIRST_TOKEN stays: openclaw.json:1 uses it within a longer text'])
  })

  it('with two values stays with both', () => {
    const files = {
      '.env': env('A_TOKEN=value-one'),
      '.env.local': env('A_TOKEN=value-two'),
      'compose.yaml': gateway('A_TOKEN: ${A_TOKEN}'),
    }
    expect(seen(files)).toEqual([
      expect.stringContaining('.env:1 A_TOKEN stays: another value stands at .env.local:1'),
      expect.stringContaining('.env.local:1 A_TOKEN stays: another value stands at .env:1'),
    ])
  })
})

describe('a variable that another one, or a script, is made of', () => {
  it('stays', () => {
    expect(
      seen({
        '.env': env(
          'DB_PASSWORD=hunter-2-2',
          'DB_URL=postgres://u:${DB_PASSWORD}@h',
          "X='${B_TOKEN}'",
          'B_TOKEN=b-value',
        ),
        'run.sh': 'true\ndocker run -e C_TOKEN openclaw --port "${PORT}"\n',
        'c.env': 'C_TOKEN=c-value\n',
        'README.md': 'export $B_TOKEN\n',
      }),
    ).toEqual([
      '.env:1 DB_PASSWORD stays: .env:2 uses it in DB_URL',
      '.env:4 B_TOKEN b_token',
      'c.env:1 C_TOKEN stays: run.sh:2 uses it by its name',
    ])
  })
})

describe('the services of a Compose file', () => {
  const database = (environment: string, more = '') =>
    gateway('TZ: UTC', `  db:\n    image: postgres:16\n${more}    environment: ${environment}\n`)

  it('that are not OpenClaw’s keep their secrets: a database without its password does not start', async () => {
    const files = {
      '.env': env('POSTGRES_PASSWORD=db-value-1', `OPENAI_API_KEY=${OPENAI}`),
      'compose.yaml': database('{ POSTGRES_PASSWORD: "${POSTGRES_PASSWORD}", ADMIN_PASSWORD: admin-value }'),
    }
    const why = 'the service db, which is not seen to be OpenClaw: this tool keeps only the gateway’s secrets'
    expect(seen(files)).toEqual([
      `.env:1 POSTGRES_PASSWORD stays: compose.yaml:8 gives it to ${why}`,
      '.env:2 OPENAI_API_KEY openai_api_key',
      `compose.yaml:8 ADMIN_PASSWORD stays: it is given to ${why}`,
    ])
    const { files: after } = await imported(files)
    expect(after['compose.yaml']).toBe(files['compose.yaml'])
    expect(after['.env']).toBe(env('POSTGRES_PASSWORD=db-value-1', gone('OPENAI_API_KEY', 'openai_api_key')))
  })

  it('keep what a file of variables gives them, also when the gateway gets it too', () => {
    expect(
      seen({
        'compose.yaml': database('{}', '    env_file: ./db.env\n').replace(
          'TZ: UTC',
          'DB_PASSWORD: "${DB_PASSWORD}"',
        ),
        'db.env': env('DB_PASSWORD=db-value-1'),
      }),
    ).toEqual([
      expect.stringMatching(/^db\.env:1 DB_PASSWORD stays: compose\.yaml:8 gives it to the service db/),
    ])
  })

  it.each([
    ['its image', 'a: { image: "ghcr.io/openclaw/openclaw:1", environment: { A_TOKEN: a-value } }', true],
    ['its name', 'openclaw-cli: { image: mine, environment: { A_TOKEN: a-value } }', true],
    [
      'its command',
      'a: { image: mine, command: node openclaw.mjs, environment: { A_TOKEN: a-value } }',
      true,
    ],
    ['where it is built', 'a: { build: ./openclaw, environment: { A_TOKEN: a-value } }', true],
    ['its merged image', 'a: { <<: { image: openclaw }, environment: { A_TOKEN: a-value } }', true],
    ['a name made of it', 'openclaw-db: { image: postgres, environment: { A_TOKEN: a-value } }', false],
    ['an image made for it', 'a: { image: "x/openclaw-postgres", environment: { A_TOKEN: a-value } }', false],
    [
      'a word it is told',
      'a: { image: x, command: pg_dump openclaw, environment: { A_TOKEN: a-value } }',
      false,
    ],
  ])('are known by %s', (_, service, isOurs) => {
    const [line] = seen({ 'compose.yaml': `services:\n  ${service}\n  z: { image: busybox }\n` })
    expect(line).toMatch(isOurs ? /A_TOKEN a_token$/ : /A_TOKEN stays: it is given to the service/)
  })

  it('are told apart over all Compose files, and an only one is the gateway', () => {
    const override = 'services:\n  bot:\n    environment:\n      A_TOKEN: a-value\n'
    expect(seen({ 'compose.yaml': override })).toEqual(['compose.yaml:4 A_TOKEN a_token'])
    expect(
      seen({
        'compose.override.yaml': override,
        'compose.yaml': 'services: { bot: { image: openclaw }, db: { image: x } }\n',
      }),
    ).toEqual(['compose.override.yaml:4 A_TOKEN a_token'])
  })

  it('get what is merged into them', () => {
    const merged = (environment: string) =>
      `x-base: &base { image: openclaw, environment: ${environment} }\nservices: { a: { <<: *base }, db: { image: x } }\n`
    expect(seen({ 'compose.yaml': merged('{ A_TOKEN: a-value }') })).toEqual([
      'compose.yaml:1 A_TOKEN a_token',
    ])
  })

  it('that share settings with others do so for both', () => {
    const shared = 'x-env: &env { A_TOKEN: a-value }\nservices:\n  openclaw: { environment: *env }\n'
    expect(seen({ 'compose.yaml': shared })).toEqual(['compose.yaml:1 A_TOKEN a_token'])
    expect(seen({ 'compose.yaml': `${shared}  db: { image: x, environment: *env }\n` })).toEqual([
      expect.stringContaining('A_TOKEN stays: it is given to the service db'),
    ])
  })
})

describe('files that depend on each other', () => {
  const files = {
    '.env': env(`OPENAI_API_KEY=${OPENAI}`, 'B_TOKEN=b-value'),
    'compose.yaml': gateway('OPENAI_API_KEY:\nTZ: UTC'),
    'openclaw.json': policy('${OPENAI_API_KEY}'),
  }

  it('forget a variable last where it is set: what was not changed can still use it', async () => {
    const { files: after, error } = await imported(files, folder =>
      writeFileSync(join(folder, 'openclaw.json'), `${files['openclaw.json']}\n`),
    )
    expect(after['openclaw.json']).toBe(`${files['openclaw.json']}\n`)
    expect(after['compose.yaml']).toBe(files['compose.yaml'])
    expect(after['.env']).toBe(env(`OPENAI_API_KEY=${OPENAI}`, gone('B_TOKEN', 'b_token')))
    expect(error).toMatchObject({
      code: 'not_replaced',
      message: [
        'openclaw.json: it was changed since it was looked at',
        'compose.yaml: openai_api_key stays, because openclaw.json could not be changed',
        '.env: openai_api_key stays, because openclaw.json could not be changed',
      ].join('\n'),
    })
  })

  it('are found again by a run that was cut short between two of them', async () => {
    const first = await imported(files)
    const half = { ...files, 'openclaw.json': some(first.files['openclaw.json']) }
    expect((await imported(half)).files).toEqual(first.files)
  })
})
