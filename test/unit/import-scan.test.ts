import {
  chmodSync,
  cpSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { UsageError } from '../../src/errors.ts'
import { generateToken, Redactor } from '../../src/secret.ts'
import { importTable, type PlainSecret, scan } from '../../steps/import/index.ts'
import { survey } from '../../steps/import/scan.ts'
import { scratch, thrown } from './support.ts'

const TOKEN = generateToken().expose()
const OPENAI = `sk-proj-${'a1B2'.repeat(8)}`
const ANTHROPIC = `sk-ant-${'c3D4'.repeat(8)}`
const TELEGRAM = `123456789:AA${'e5F6'.repeat(9)}`
const PEM = `-----BEGIN PRIVATE KEY-----\n${'MIIBVQ+/'.repeat(8)}\n-----END PRIVATE KEY-----\n`

/** A folder with these files. */
function folderOf(files: Record<string, string | Uint8Array>): string {
  const folder = scratch()
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), content)
  }
  return folder
}

const look = (files: Record<string, string | Uint8Array>) => survey(folderOf(files), new Redactor())
const seen = (secrets: readonly PlainSecret[]) =>
  secrets.map(({ file, line, where, name, stays }) =>
    [`${file}:${line}`, where, stays === undefined ? name : 'stays'].join(' '),
  )
const values = (secrets: readonly PlainSecret[]) => secrets.map(({ value }) => value.expose())
const reasons = (secrets: readonly PlainSecret[]) => secrets.map(({ stays }) => stays)
const openclaw = (content: unknown) => ({ 'openclaw.json': JSON.stringify(content) })

describe('in openclaw.json', () => {
  it('secrets are found by their place, with line, path, kind and the name they will have', () => {
    const { secrets } = look({
      'openclaw.json': `// mine
{
  gateway: { auth: { mode: 'token', token: '${TOKEN}' }, remote: { token: "remote-one-1" } },
  models: { providers: { openai: { apiKey: "${OPENAI}" }, "my-llm": { apiKey: 'local-key-1', baseUrl: "http://x" } } },
  channels: {
    telegram: { botToken: '${TELEGRAM}' },
    slack: { accounts: { "the team": { signingSecret: 'sign-1', appToken: 'app-1' } } },
  },
}`,
    })
    expect(seen(secrets)).toEqual([
      'openclaw.json:3 gateway.auth.token gateway_token',
      'openclaw.json:3 gateway.remote.token gateway_remote_token',
      'openclaw.json:4 models.providers.openai.apiKey openai_api_key',
      'openclaw.json:4 models.providers.my-llm.apiKey my_llm_api_key',
      'openclaw.json:6 channels.telegram.botToken telegram_bot_token',
      'openclaw.json:7 channels.slack.accounts["the team"].signingSecret slack_accounts_the_team_signing_secret',
      'openclaw.json:7 channels.slack.accounts["the team"].appToken slack_accounts_the_team_app_token',
    ])
    expect(values(secrets)).toEqual([
      TOKEN,
      'remote-one-1',
      OPENAI,
      'local-key-1',
      TELEGRAM,
      'sign-1',
      'app-1',
    ])
    expect(secrets.map(({ kind }) => kind)).toEqual([
      'gateway token',
      'token',
      'OpenAI API key',
      'API key',
      'Telegram bot token',
      'secret',
      'token',
    ])
  })

  it('what is a reference, a path or empty is none; what waits to be filled in is told apart', () => {
    const { secrets, remarks } = look(
      openclaw({
        gateway: { auth: { token: { source: 'file', provider: 'gateway_token', id: 'value' } } },
        models: {
          providers: { a: { apiKey: '${A_API_KEY}' }, b: { apiKey: '' }, c: { apiKey: 'changeme' } },
        },
        channels: {
          telegram: { botToken: 'REPLACE_WITH_TOKEN', tokenFile: '/run/secrets/telegram' },
          slack: { botToken: '/run/secrets/slack', appToken: '<token>' },
        },
        agents: { defaults: { maxTokens: '4096' } },
        secrets: { providers: { gateway_token: { source: 'env', allowlist: ['GATEWAY_TOKEN'] } } },
      }),
    )
    expect(secrets).toEqual([])
    expect(remarks.map(({ text }) => text)).toEqual([
      'models.providers.c.apiKey: placeholder, not imported',
      'channels.telegram.botToken: placeholder, not imported',
      'channels.slack.appToken: placeholder, not imported',
    ])
  })

  it('a secret where OpenClaw takes no reference stays, for a reference there would stop the gateway', () => {
    const { secrets } = look(
      openclaw({
        hooks: { token: 'hook-token-1' },
        env: { OPENAI_API_KEY: OPENAI },
        tools: { x: [TELEGRAM] },
      }),
    )
    expect(seen(secrets)).toEqual([
      'openclaw.json:1 hooks.token stays',
      'openclaw.json:1 env.OPENAI_API_KEY stays',
      'openclaw.json:1 tools.x[0] stays',
    ])
    expect(reasons(secrets)[0]).toMatch(/takes no reference at this place/)
  })

  it('a secret beside a variable stays, and a lone dollar sign is itself', () => {
    const { secrets } = look(
      openclaw({ channels: { irc: { password: 'pa$$w{{x}}"\\' }, matrix: { password: 'mine${SUFFIX}' } } }),
    )
    expect(seen(secrets)).toEqual([
      'openclaw.json:1 channels.irc.password irc_password',
      'openclaw.json:1 channels.matrix.password stays',
    ])
    expect(values(secrets)[0]).toBe('pa$$w{{x}}"\\')
  })

  it('a provider of that name that is something else keeps the secret in its place', () => {
    const { secrets } = look(
      openclaw({
        models: { providers: { openai: { apiKey: OPENAI }, anthropic: { apiKey: ANTHROPIC } } },
        secrets: { providers: { openai_api_key: { source: 'env' } } },
      }),
    )
    expect(reasons(secrets)).toEqual([
      expect.stringMatching(/secrets\.providers\.openai_api_key is something else/),
      undefined,
    ])
    expect(
      reasons(look(openclaw({ models: { providers: { openai: { apiKey: OPENAI } } }, secrets: [] })).secrets),
    ).toEqual(['secrets is no object there'])
  })

  it('keys like __proto__ and constructor are keys, and a key that is a secret is not shown', () => {
    const { secrets } = look({
      'openclaw.json': `{ models: { providers: { __proto__: { apiKey: 'proto-key-1' }, constructor: { apiKey: 'constr-1' },
        "${ANTHROPIC}": { apiKey: 'third-1' } } } }`,
    })
    expect(seen(secrets)).toEqual([
      'openclaw.json:1 models.providers.__proto__.apiKey proto_api_key',
      'openclaw.json:1 models.providers.constructor.apiKey constructor_api_key',
      'openclaw.json:2 models.providers["(not shown)"].apiKey secret_api_key',
    ])
    expect(importTable(secrets)).not.toContain(ANTHROPIC.slice(7))
  })

  it('$include is said, and not followed', () => {
    expect(look(openclaw({ models: { $include: './models.json' } })).remarks).toEqual([
      { file: 'openclaw.json', line: 1, text: 'models.$include brings in other files: not looked at' },
    ])
  })
})

describe('in files of variables', () => {
  it('quotes, export, comments and values of several lines are understood', () => {
    const { secrets } = look({
      '.env': [
        '# mine',
        `OPENCLAW_GATEWAY_TOKEN=${TOKEN} # the token`,
        `export OPENAI_API_KEY='${OPENAI}'`,
        'DB_PASSWORD="say \\"hi\\"\\nthere"',
        `  SSH_PRIVATE_KEY = "${PEM}"`,
        "MY_SECRET='$not {{a}} ${variable}'",
        `ANYTHING: ${ANTHROPIC}`,
        'TZ=UTC',
      ].join('\n'),
    })
    expect(seen(secrets)).toEqual([
      '.env:2 OPENCLAW_GATEWAY_TOKEN gateway_token',
      '.env:3 OPENAI_API_KEY openai_api_key',
      '.env:4 DB_PASSWORD db_password',
      '.env:5 SSH_PRIVATE_KEY ssh_private_key',
      '.env:9 MY_SECRET my_secret',
      '.env:10 ANYTHING anything',
    ])
    expect(values(secrets)).toEqual([
      TOKEN,
      OPENAI,
      'say "hi"\nthere',
      PEM,
      '$not {{a}} ${variable}',
      ANTHROPIC,
    ])
  })

  it('references, flags, numbers of tokens and placeholders are no secrets', () => {
    const { secrets, remarks } = look({
      '.env':
        'A_TOKEN=${B}\nB_TOKEN=$C\nMAX_TOKENS=4096\nUSE_TOKEN=true\nX_TOKEN_FILE=/run/secrets/x\nY_TOKEN=\nZ_TOKEN=your-token-here\nD_TOKEN\n',
    })
    expect(secrets).toEqual([])
    expect(remarks).toEqual([{ file: '.env', line: 7, text: 'Z_TOKEN: placeholder, not imported' }])
  })

  it('what a program may read in another way stays, with what to do about it', () => {
    const { secrets } = look({
      '.env':
        "A_PASSWORD=pa$word\nB_PASSWORD=\"one\\x\"\nC_PASSWORD='it\\'s'\nD_PASSWORD=${E:-plain-default-1}\nF_PASSWORD=a$BC\n",
    })
    expect(seen(secrets)).toEqual(
      [1, 2, 3, 4, 5].map(line => `.env:${line} ${' ABCDF'[line]}_PASSWORD stays`),
    )
    expect(reasons(secrets)[0]).toMatch(/in single quotes/)
    expect(reasons(secrets)[3]).toMatch(/default of a reference/)
  })

  it('a line of a megabyte is no secret, and takes no time', () => {
    const { secrets, remarks } = look({ '.env': `A_TOKEN=${'${'.repeat(500_000)}\nB_TOKEN=second-2\n` })
    expect(seen(secrets)).toEqual(['.env:2 B_TOKEN b_token'])
    expect(remarks).toEqual([{ file: '.env', line: 1, text: 'A_TOKEN: longer than 64 KiB, not looked at' }])
  })

  it('a byte order mark and Windows line ends change nothing', () => {
    const { secrets } = look({ '.env': `\ufeffA_TOKEN=first-1\r\nB_TOKEN='second-2'\r\n` })
    expect(seen(secrets)).toEqual(['.env:1 A_TOKEN a_token', '.env:2 B_TOKEN b_token'])
    expect(values(secrets)).toEqual(['first-1', 'second-2'])
  })
})

describe('in a Compose file', () => {
  it('environment is read as mapping and as list, through anchors and merges, with $$ as one dollar sign', () => {
    const { secrets } = look({
      'compose.yaml': `x-common: &common
  SHARED_SECRET: shared-1
services:
  gateway:
    image: openclaw
    environment:
      <<: *common
      OPENCLAW_GATEWAY_TOKEN: \${OPENCLAW_GATEWAY_TOKEN:-}
      OPENAI_API_KEY: "${OPENAI}"
      PIN_PASSWORD: 123456
      OTHER_PASSWORD: pa$$word
      DEFAULT_PASSWORD: \${X:-plain-1}
    build: { args: { NPM_TOKEN: npm-token-1 } }
  other:
    command: [node, openclaw.mjs, agent]
    environment:
      - TELEGRAM_BOT_TOKEN=${TELEGRAM}
      - 'QUOTED_TOKEN=a: b'
      - PASSED_ON_TOKEN
`,
    })
    expect(seen(secrets)).toEqual([
      'compose.yaml:2 SHARED_SECRET stays',
      'compose.yaml:9 OPENAI_API_KEY openai_api_key',
      'compose.yaml:10 PIN_PASSWORD pin_password',
      'compose.yaml:11 OTHER_PASSWORD other_password',
      'compose.yaml:12 DEFAULT_PASSWORD stays',
      'compose.yaml:13 NPM_TOKEN stays',
      'compose.yaml:17 TELEGRAM_BOT_TOKEN telegram_bot_token',
      'compose.yaml:18 QUOTED_TOKEN quoted_token',
    ])
    expect(values(secrets).slice(1, 4)).toEqual([OPENAI, '123456', 'pa$word'])
  })

  it('each env_file within the folder is looked at, and none outside', () => {
    const { secrets, remarks } = look({
      'compose.yaml':
        'services:\n  openclaw:\n    env_file: [one.txt, { path: env/two, required: false }, ../out.env, "${X}.env", gone]\n  openclaw-cli:\n    env_file: one.txt\n',
      'one.txt': 'ONE_TOKEN=first-1\n',
      'env/two': 'TWO_TOKEN=second-2\n',
    })
    expect(seen(secrets)).toEqual(['one.txt:1 ONE_TOKEN one_token', 'env/two:1 TWO_TOKEN two_token'])
    expect(remarks.map(({ text }) => text)).toEqual([
      'the env_file named here: it lies outside of the folder: not looked at',
      'the env_file named here depends on a variable: not looked at',
    ])
  })
})

describe('names', () => {
  it('are one a value: the same in three files is one secret', () => {
    const { secrets } = look({
      ...openclaw({ gateway: { auth: { token: TOKEN }, remote: { token: TOKEN } } }),
      '.env': `OPENCLAW_GATEWAY_TOKEN=${TOKEN}\n`,
      'compose.yaml': `services: { a: { environment: { ANY_TOKEN: ${TOKEN} } } }\n`,
    })
    expect(secrets).toHaveLength(4)
    expect(new Set(secrets.map(({ name }) => name))).toEqual(new Set(['gateway_token']))
  })

  it('are not given where one thing has two values: both places are told, and nothing of it is imported', () => {
    const { secrets } = look({
      ...openclaw({ models: { providers: { openai: { apiKey: OPENAI } } } }),
      '.env': `OPENAI_API_KEY=${OPENAI}x\nOTHER_TOKEN=other-1\n`,
    })
    expect(seen(secrets)).toEqual([
      '.env:1 OPENAI_API_KEY stays',
      '.env:2 OTHER_TOKEN other_token',
      'openclaw.json:1 models.providers.openai.apiKey stays',
    ])
    expect(reasons(secrets)[0]).toContain('openclaw.json:1 (models.providers.openai.apiKey)')
    expect(reasons(secrets)[2]).toContain('.env:1 (OPENAI_API_KEY)')
    expect(reasons(look({ '.env': 'A_TOKEN=first-1\nA_TOKEN=second-2\n' }).secrets)).toEqual([
      expect.stringContaining('.env:2'),
      expect.stringContaining('.env:1'),
    ])
  })

  it('of different things are kept apart, and none takes a name that means something to a deployment', () => {
    const { secrets } = look({
      '.env': 'a_token=first-1\nA_TOKEN=second-2\nPROXY_PASSWORD=third-3\nGatewayToken=fourth-4\n',
      'compose.yaml': `services: { a: { environment: { DEFAULT: ${OPENAI}, "1_TOKEN": sixth-6 } } }`,
    })
    expect(secrets.map(({ name }) => name)).toEqual([
      'a_token',
      'a_token_2',
      'proxy_password_2',
      'gateway_token_2',
      'default_2',
      'token',
    ])
  })

  it('are always ones a store takes', () => {
    const long = `${'VERY_'.repeat(40)}TOKEN`
    const { secrets } = look({
      '.env': `${long}=long-1\n__TOKEN=under-2\n`,
      ...openclaw({ channels: { discord: { accounts: { 'ключ ☃': { token: 'third-3' } } } } }),
    })
    for (const { name } of secrets) expect(name).toMatch(/^[a-z][a-z0-9_]{0,62}$/)
    expect(new Set(secrets.map(({ name }) => name)).size).toBe(3)
  })

  it('of a gateway token that could be guessed are not given: a generated one is better', () => {
    expect(reasons(look({ '.env': 'OPENCLAW_GATEWAY_TOKEN=abc123\n' }).secrets)).toEqual([
      'as a gateway token it is too weak: it has 6 characters; at least 64 are needed; a generated one is better',
    ])
    expect(reasons(look({ '.env': "OPENAI_API_KEY='two words'\n" }).secrets)[0]).toMatch(
      /one line of printable ASCII/,
    )
    expect(reasons(look(openclaw({ channels: { irc: { password: 'a\ud800b' } } })).secrets)[0]).toMatch(
      /no text has/,
    )
  })
})

describe('the folder', () => {
  it('is looked at where a set-up has its files, and no deeper; samples and backups are no part of it', () => {
    const line = (name: string) => `${name}_TOKEN=${name}-value-1\n`
    const { secrets, files } = look({
      '.env': line('A'),
      '.env.local': line('B'),
      'gateway.env': line('C'),
      '.env.example': line('D'),
      '.env.bak': line('E'),
      'config/openclaw.json': '{}',
      '.openclaw/.env': line('F'),
      'deeper/.env': line('G'),
      'docker-compose.override.yml': '{}',
      'notes.txt': line('H'),
    })
    expect(secrets.map(({ where }) => where)).toEqual(['A_TOKEN', 'B_TOKEN', 'C_TOKEN', 'F_TOKEN'])
    expect([...files.keys()]).toContain('docker-compose.override.yml')
  })

  it('links, second names, pipes’ likes, long and binary files are left alone, with a word', () => {
    const folder = folderOf({
      'real.txt': 'A_TOKEN=first-1\n',
      'b.env': `B_TOKEN=${'x'.repeat(2 * 1024 ** 2)}\n`,
      'c.env': Buffer.from('C_TOKEN=a\0b\n'),
      'd.env': Buffer.from([0x41, 0x3d, 0xff, 0xfe]),
      'e.env': 'E_TOKEN=fifth-5\n',
      'elsewhere/openclaw.json': JSON.stringify({ gateway: { auth: { token: TOKEN } } }),
    })
    symlinkSync('real.txt', join(folder, '.env'))
    symlinkSync('elsewhere', join(folder, 'config'))
    linkSync(join(folder, 'e.env'), join(folder, 'second'))
    mkdirSync(join(folder, 'f.env'))
    const { secrets, remarks } = survey(folder, new Redactor())
    expect(secrets).toEqual([])
    expect(remarks.map(({ file, text }) => `${file}: ${text}`)).toEqual([
      '.env: it is a link, or lies behind one: not followed',
      'b.env: it is larger than 2 MiB: not looked at',
      'c.env: it is no text: not looked at',
      'd.env: it is no text: not looked at',
      'e.env: it has a second name (a hard link), which would keep the old content: not touched',
      'f.env: it is no plain file: not looked at',
      'config/openclaw.json: it is a link, or lies behind one: not followed',
    ])
  })

  it('everything that cannot be read is said at once, with file and line, and without what stands there', async () => {
    const folder = folderOf({
      'openclaw.json': `{\n  token: '${TOKEN}',\n  oops ${OPENAI}\n}`,
      'config/openclaw.json': `{ "a": 1,\n "a": "${OPENAI}" }`,
      'state/openclaw.json': '[1]',
      'data/openclaw.json': '['.repeat(5000),
      '.env': `A_TOKEN="${OPENAI}\n`,
      'b.env': `B_TOKEN="x" ${OPENAI}\n`,
      'compose.yaml': `a: ${OPENAI}\nb: [\n`,
      'compose.override.yaml': 'a: 1\na: 2\n',
    })
    const error = await thrown(() => scan(folder, new Redactor()))
    expect(error).toBeInstanceOf(UsageError)
    for (const expected of [
      'openclaw.json, line 3: it is no JSON5',
      'config/openclaw.json, line 2: a key stands twice in one object',
      'state/openclaw.json, line 1: it is no object',
      'data/openclaw.json, line 1: it is no JSON5',
      '.env, line 1: a quotation mark is not closed',
      'b.env, line 1: text follows the closing quotation mark',
      'compose.override.yaml, line 2: a key stands twice in one mapping',
    ])
      expect(error.message).toContain(expected)
    expect(error.message).toMatch(/compose\.yaml, line \d: it is no YAML/)
    for (const secret of [TOKEN, OPENAI])
      for (const text of [
        inspect(error, { depth: 20, showHidden: true }),
        JSON.stringify(error),
        error.stack,
      ])
        expect(text).not.toContain(secret.slice(8))
  })

  it('a file of another user is said to be unreadable, and nothing of the others is used', async () => {
    const folder = folderOf({ '.env': 'A_TOKEN=first-1\n', 'b.env': 'B_TOKEN=second-2\n' })
    chmodSync(folder, 0o755)
    chmodSync(join(folder, 'b.env'), 0)
    const isRoot = process.geteuid?.() === 0
    if (isRoot) process.seteuid?.(65_534)
    const error = await thrown(() => scan(folder, new Redactor())).finally(() => {
      if (isRoot) process.seteuid?.(0)
    })
    expect(error.message).toBe('b.env: it cannot be read (EACCES). Make it readable.')
  })

  it('with more than 200 files is looked at as far as that', () => {
    const { files, remarks } = look(
      Object.fromEntries(Array.from({ length: 203 }, (_, index) => [`${index}.env`, ''])),
    )
    expect(files.size).toBe(200)
    expect(remarks.map(({ text }) => text)).toEqual(Array(3).fill('more than 200 files: not looked at'))
  })

  it('deep nesting and aliases of aliases are refused, not followed', async () => {
    const deep = `${'{a:'.repeat(300)}1${'}'.repeat(300)}`
    expect((await thrown(() => look({ 'openclaw.json': deep }))).message).toContain(
      'nested more than 200 deep',
    )
    const bomb = [
      'a: &a [x, x]',
      ...[...'bcdefghijk'].map((name, i) => `${name}: &${name} [${`*${'abcdefghij'[i]}, `.repeat(9)}x]`),
    ]
    expect((await thrown(() => look({ 'compose.yaml': bomb.join('\n') }))).message).toContain(
      'nested too deep',
    )
  })

  it('one that is none, and one with more secrets than anybody has, are refused', async () => {
    expect(await thrown(() => scan(join(scratch(), 'gone'), new Redactor()))).toMatchObject({
      code: 'not_a_folder',
    })
    const many = Array.from({ length: 1001 }, (_, index) => `X${index}_TOKEN=value-${index}`).join('\n')
    expect(await thrown(() => look({ '.env': many }))).toMatchObject({ code: 'too_many' })
  })

  it('what looks like a secret where nothing is replaced, and copies of those found, are said by line', () => {
    const { secrets, remarks } = look({
      '.env': `A_PASSWORD=long-enough-1\n# OLD=${OPENAI}\n`,
      'compose.yaml': `services:\n  a:\n    image: x@sha256:${'ab'.repeat(32)}\n    command: [--token, ${TOKEN}]\n`,
      '.env.bak': 'A_PASSWORD=long-enough-1\n',
      'run.sh': `docker run --env KEY=${ANTHROPIC}\n`,
    })
    expect(seen(secrets)).toEqual(['.env:1 A_PASSWORD a_password'])
    expect(remarks.every(({ remains }) => remains)).toBe(true)
    expect(remarks.map(({ file, line, text }) => `${file}:${line} ${text.split(',')[0]}`)).toEqual([
      '.env:2 looks like a secret (OpenAI API key)',
      'compose.yaml:4 looks like a secret (64 hex characters)',
      '.env.bak:1 the value of a_password stands here too: remove it by hand',
      'run.sh:1 looks like a secret (Anthropic key)',
    ])
  })

  it('copies are said on every line, and one of several lines where it ends', () => {
    const { remarks } = look({
      'a.env': 'A_PASSWORD=long-enough-1\nB_PASSWORD="first line\nlast line"\n',
      'notes.txt': 'x\nlong-enough-1\ny long-enough-1\nfirst line\nlast line\n',
    })
    expect(remarks.map(({ file, line, text }) => `${file}:${line} ${text.split(' stands')[0]}`)).toEqual([
      'notes.txt:2 the value of a_password',
      'notes.txt:3 the value of a_password',
      'notes.txt:5 the value of b_password',
    ])
  })

  it.each(['official', 'seed', 'docker-run'])('of the foreign deployment %s has nothing to import', name => {
    const folder = scratch()
    cpSync(resolve(import.meta.dirname, '../fixtures/foreign', name), folder, { recursive: true })
    const { secrets, remarks } = survey(folder, new Redactor())
    expect(secrets).toEqual([])
    expect(remarks.map(({ file }) => file)).toEqual(name === 'docker-run' ? ['run.sh'] : [])
  })

  it('is not changed by looking', () => {
    const folder = folderOf({ '.env': 'A_TOKEN=first-1\n' })
    scan(folder, new Redactor())
    expect(readdirSync(folder)).toEqual(['.env'])
    expect(readFileSync(join(folder, '.env'), 'utf8')).toBe('A_TOKEN=first-1\n')
  })
})

describe('what a person sees', () => {
  it('has file, line, place, kind and name, or why it stays; and no value', () => {
    const redactor = new Redactor()
    const secrets = scan(
      folderOf({
        '.env': `OPENAI_API_KEY=${OPENAI}\nOPENCLAW_GATEWAY_TOKEN=abc123\nKEY="${PEM}"\n`,
        ...openclaw({ channels: { discord: { accounts: { 'bot\u001b[31m': { token: 'discord-1' } } } } }),
      }),
      redactor,
    )
    const table = importTable(secrets, [{ file: 'a', line: 3, text: 'b' }])
    expect(table.split('\n').map(line => line.replaceAll(/ {2,}/g, ' | '))).toEqual([
      'where | what | kind | name in the store',
      '.env:1 | OPENAI_API_KEY | OpenAI API key | openai_api_key',
      '.env:2 | OPENCLAW_GATEWAY_TOKEN | gateway token | stays: as a gateway token it is too weak: it has 6 characters; at least 64 are needed; a generated one is better',
      '.env:3 | KEY | private key | key',
      'openclaw.json:1 | channels.discord.accounts["bot\\u001b[31m"].token | token | discord_accounts_bot_31m_token',
      'a:3: b',
    ])
    for (const secret of [OPENAI, 'abc123', 'MIIBVQ', 'discord-1'])
      for (const text of [table, inspect(secrets, { depth: 20, showHidden: true }), JSON.stringify(secrets)])
        expect(text).not.toContain(secret)
    expect(redactor.clean(`x ${OPENAI} ${PEM}`)).toBe('x [secret] [secret]')
  })

  it('is a sentence when there is nothing', () => {
    expect(importTable([])).toBe('No secret in plain text was found.')
  })
})

describe('what is no secret to keep', () => {
  const lines = (...all: string[]) => `${all.join('\n')}\n`
  const of = (files: Record<string, string>) => seen(look(files).secrets)

  it('is a path, also one that begins nowhere', () => {
    expect(
      of({
        '.env': lines(
          'GOOGLE_APPLICATION_CREDENTIALS=keys/sa.json',
          'TLS_PRIVATE_KEY=server.key',
          'A_TOKEN=keys/sa.json.x',
        ),
      }),
    ).toEqual(['.env:3 A_TOKEN a_token'])
  })

  it('is an everyday word: it stays, and is not blacked out where the word is only a word', () => {
    const redactor = new Redactor()
    const { secrets } = survey(
      folderOf({
        '.env': lines('DB_PASSWORD=openclaw', 'OPENCLAW_GATEWAY_TOKEN=gateway', 'ADMIN_PASSWORD=Deployment'),
        'openclaw.json': JSON.stringify({ hooks: { token: 'import' } }),
      }),
      redactor,
    )
    expect(secrets.map(({ stays }) => stays)).toEqual(
      Array(4).fill('it is an everyday word, and too weak for a secret: choose another, then import it'),
    )
    const line = 'npx create-openclaw-secure: the gateway of this deployment; store import'
    expect(redactor.clean(line)).toBe(line)
  })

  it('is its own name', () => {
    const { secrets, remarks } = survey(
      folderOf({ '.env': lines('DB_PASSWORD=db-password') }),
      new Redactor(),
    )
    expect(secrets).toEqual([])
    expect(remarks.map(({ text }) => text)).toEqual(['DB_PASSWORD: placeholder, not imported'])
  })
})
