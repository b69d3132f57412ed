/**
 * Everything a person, a machine or an image can get wrong. Each case names its exit code and what the message must
 * say; every one of them must leave what exists as it is, show no secret, and never look like a defect of ours.
 */
import { type ChildProcess, execFileSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { parseCommentedJson } from '../../src/json.ts'
import { Journal } from '../../src/procedure/journal.ts'
import { questions } from '../../src/wizard/questions.ts'
import {
  BASE_IMAGE,
  BIN,
  cli,
  containerOf,
  fingerprints,
  freePort,
  freshFolder,
  IMAGE,
  isThorough,
  type Ran,
  remove,
  sh,
  startCli,
  tokenOf,
} from './harness.ts'

const DONE = 0
const USAGE = 2
const UNKNOWN = 3
const NO_ENGINE = { DOCKER_HOST: 'unix:///nonexistent.sock' }

/** Part of every secret that a test brings, and of nothing else. */
const CANARY = 'canary-4Hq9fZ'
/** A folder that everybody may enter, for what the tests lay ready; and an ordinary person to be instead of root. */
const desk = mkdtempSync(resolve(tmpdir(), 'ocs-bad-'))
chmodSync(desk, 0o755)
const NOBODY = ['--reuid', '65534', '--regid', '65534', '--clear-groups', 'env', `HOME=${desk}`]
const canBeNobody = (await sh('setpriv', [...NOBODY, 'cat', BIN])).code === 0
const isRoot = process.getuid?.() === 0
const isDemanded = process.env.LIVE === 'required'

/** Where nothing must ever be made. */
const nowhere = resolve(desk, `t-bad-nowhere-${process.pid}`)
const deployments: string[] = []
const images = new Map<string, string>()
let port = 0

beforeAll(async () => {
  port = await freePort()
})

// A case that makes something there after all must not spoil the next.
afterEach(() => rmSync(nowhere, { recursive: true, force: true }))

afterAll(async () => {
  for (const folder of deployments) await remove(folder)
  for (const image of images.values()) await sh('docker', ['rmi', image])
  rmSync(desk, { recursive: true, force: true })
})

/** A folder for one case that makes one; not made yet. */
function place(label: string): string {
  const folder = freshFolder(`bad-${label}`)
  deployments.push(folder)
  return folder
}

/** A file on the desk. */
function file(name: string, content: string | Uint8Array): string {
  const path = resolve(desk, name)
  writeFileSync(path, content, { mode: 0o600 })
  return path
}

/** The gateway image with a stand-in that `rejects` the configuration, `dies` when started, or `sleeps`. */
async function imageThat(pretends: 'rejects' | 'dies' | 'sleeps'): Promise<string> {
  const tag = images.get(pretends) ?? `ocs-bad-input/${pretends}:${process.pid}`
  if (images.has(pretends)) return tag
  images.set(pretends, tag)
  const settings = ['--build-arg', `GATEWAY=${IMAGE}`, '--build-arg', `PRETENDS=${pretends}`]
  const source = resolve(import.meta.dirname, '../fixtures/bad-input')
  const { code, stderr } = await sh('docker', ['build', '--tag', tag, ...settings, source])
  expect(code, stderr).toBe(0)
  return tag
}

/** What must hold for every message, whatever went wrong. */
function expectDecent({ stdout, stderr }: Ran, folder?: string): void {
  expect(stderr, 'a stack trace').not.toMatch(/This is a defect of|^\s+at \S+ \(/m)
  expect(stdout + stderr, 'a secret somebody brought').not.toContain(CANARY)
  expect(stderr.replaceAll('\n', ''), 'control characters').not.toMatch(/\p{Cc}/u)
  const secrets = folder === undefined ? '' : resolve(folder, 'secrets')
  for (const name of existsSync(secrets) ? readdirSync(secrets) : [])
    expect(stdout + stderr, `the value of ${name}`).not.toContain(
      readFileSync(resolve(secrets, name), 'utf8'),
    )
}

/** The program's last words: the code word, the message and the hint, without the progress before them. */
const lastWords = (stderr: string) => stderr.slice(stderr.lastIndexOf('\n\n') + 1).trimStart()
/** The problems of a refusal, one line each. */
const problems = (stderr: string) =>
  lastWords(stderr)
    .replace(/^usage: /, '')
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('Nothing was written.'))

/**
 * What the containers beside an image of one's own are built on: the usual one has to be downloaded. And without the canary, which
 * would find these images out before setup starts one.
 */
const BESIDE = ['--companion-base', BASE_IMAGE, '--seccomp', 'docker-default'] as const

/** Nothing of a deployment is on the machine: no folder, no container, no network. */
async function expectNothing(folder: string): Promise<void> {
  expect(existsSync(folder), `${folder} was made`).toBe(false)
  await expectNoTraceInEngine(folder)
}

async function expectNoTraceInEngine(folder: string): Promise<void> {
  expect(await containerOf(folder)).toBe('')
  const networks = await sh('docker', ['network', 'ls', '--format', '{{.Name}}'])
  expect(networks.stdout.split('\n')).not.toContain(`${basename(folder)}_inside`)
}

/** What Docker says of a deployment's container: running, exited, or nothing at all. */
const stateOf = async (folder: string) =>
  (await sh('docker', ['inspect', '--format', '{{.State.Status}}', await containerOf(folder)])).stdout.trim()

/** Files and their bytes, without the journal: it tells of failed runs too. */
function files(folder: string): Record<string, string> {
  const { '.secure/journal.jsonl': _, ...rest } = fingerprints(folder)
  return rest
}

interface Case {
  is: string
  args: readonly string[]
  env?: NodeJS.ProcessEnv
  code: number
  /** Must stand in the program's last words. */
  says: readonly string[]
  /** How many problems are listed. */
  count?: number
}

/** Cases by their names, as vitest puts them into a title. */
const titled = <T extends { is: string }>(cases: readonly T[]) => cases.map(one => [one.is, one] as const)

/** Runs a case on a folder that does not exist, and looks that nothing came of it. */
async function refuses({ is, args, env, code, says, count }: Case): Promise<void> {
  const ran = await cli([nowhere, ...args], { env: { ...process.env, ...env } })
  expect(ran.code, `${is}: ${ran.stderr}`).toBe(code)
  expect(ran.stdout).toBe('')
  expectDecent(ran)
  for (const text of says) expect(lastWords(ran.stderr)).toContain(text)
  if (count !== undefined) expect(problems(ran.stderr)).toHaveLength(count)
  await expectNothing(nowhere)
}

const WHOLE = 'a whole number from 1024 to 65535'

describe('the help', () => {
  it('that the build keeps is what the program itself says, with every flag of setup', async () => {
    const [kept, said] = [await cli(['--help']), await cli(['help'])]
    expect(kept).toEqual(said)
    expect(kept.code).toBe(0)
    for (const { flag } of questions) expect(kept.stdout).toContain(flag)
  })
})

describe('the command line', () => {
  it('lists every missing answer at once, each with its flag, its variable and what --yes would take', async () => {
    const ran = await cli([nowhere])
    expect(ran.code).toBe(USAGE)
    expectDecent(ran)
    const listed = problems(ran.stderr)
    for (const [field, flag, variable, fallback] of [
      ['name', '--name', 'NAME', basename(nowhere)],
      ['posture', '--agent', 'AGENT', 'chat'],
      ['providers', '--provider', 'PROVIDER', ''],
      ['image', '--image-from', 'IMAGE_FROM', 'official'],
      ['access', '--access', 'ACCESS', 'loopback'],
      ['port', '--port', 'PORT', '18789'],
      ['contact', '--contact', 'CONTACT', ''],
    ] as const)
      expect(listed).toContainEqual(
        expect.stringMatching(
          `^${field}: missing; allowed: .+; set it with ${flag} or OPENCLAW_SECURE_${variable}, or --yes for "${fallback}"$`,
        ),
      )
    await expectNothing(nowhere)
  })

  it.each(
    titled<Case>([
      {
        is: 'an unknown flag',
        args: ['--yes', '--prot', '3000'],
        code: USAGE,
        says: ["unknown option '--prot'", 'Did you mean --port?', '--help'],
      },
      {
        is: 'a flag without its value',
        args: ['--yes', '--port'],
        code: USAGE,
        says: ["'--port <port>' argument missing"],
      },
      { is: 'an argument too many', args: ['--yes', 'second'], code: USAGE, says: ['too many arguments'] },
      {
        is: 'a deadline of nothing',
        args: ['--yes', '--start-timeout', '0'],
        code: USAGE,
        says: ['--start-timeout', "'0'", 'a whole number of seconds from 1 to 3600'],
      },
      {
        is: 'a port that is a word',
        args: ['--yes', '--port', 'http'],
        code: USAGE,
        says: [`port: got "http"; allowed: ${WHOLE}; set it with --port`],
        count: 1,
      },
      {
        is: 'a privileged port, from the environment',
        args: ['--yes'],
        env: { OPENCLAW_SECURE_PORT: '80' },
        code: USAGE,
        says: [`port: got "80"; allowed: ${WHOLE}; set it with OPENCLAW_SECURE_PORT`],
        count: 1,
      },
      {
        is: 'an answer that has no default, with --yes',
        args: ['--yes', '--access', 'ssh'],
        code: USAGE,
        says: ['sshTarget: missing; allowed: user@host or user@host:port; set it with --ssh-target'],
        count: 1,
      },
      {
        is: 'an answer without meaning beside the others',
        args: ['--yes', '--ssh-target', 'me@host'],
        code: USAGE,
        says: [
          'sshTarget: got "me@host"; allowed: only together with --access ssh; set it with --ssh-target',
        ],
        count: 1,
      },
      {
        is: 'a provider that lies behind the border',
        args: [
          '--yes',
          '--provider',
          'local=http://ollama:11434/v1',
          '--model',
          'local/m',
          '--provider-key',
          'local=@/dev/null',
        ],
        code: USAGE,
        says: ['egress: got "closed"', 'give its IP address', '--egress'],
      },
      {
        is: 'two sources of the image',
        args: ['--yes', '--build', '--base-image', BASE_IMAGE, '--image', IMAGE],
        code: USAGE,
        says: [
          'image: got "--build and --image"; allowed: one source of the image; set it with --build, --image REF or --image-from official',
        ],
        count: 1,
      },
      {
        is: 'a flag twice with two values',
        args: ['--yes', '--port', '3000', '--port', '3001'],
        code: USAGE,
        says: [
          'port: got "3000 and 3001"; allowed: one value; the flag was given more than once; set it with --port',
        ],
        count: 1,
      },
      {
        is: 'two folders',
        args: ['--yes', '--no-launch', '--dir', resolve(desk, 'another')],
        code: USAGE,
        says: ['--dir', 'another'],
        count: 1,
      },
      {
        is: 'more memory and CPUs than the engine has',
        args: ['--yes', '--cpus', '1000', '--memory', '1000000'],
        code: USAGE,
        says: ['1000 CPUs', '--cpus', '1000000 MiB', '--memory'],
        count: 2,
      },
      {
        is: 'several mistakes',
        args: [
          '--yes',
          '--port',
          'http',
          '--cpus',
          'all',
          '--name',
          '-x',
          '--image',
          'A B',
          '--access',
          'ssh',
        ],
        code: USAGE,
        says: [
          'port: got "http"',
          'cpus: got "all"',
          'name: got "-x"',
          'imageReference: got "A B"',
          'sshTarget: missing',
        ],
        count: 5,
      },
    ]),
  )('refuses %s', (_, wrong) => refuses(wrong))
})

describe('the answers file', () => {
  const yaml = (name: string, ...lines: string[]) => [
    '--yes',
    '--answers',
    file(name, `${lines.join('\n')}\n`),
  ]

  it.each(
    titled<Case>([
      {
        is: 'that is not YAML, and names the line',
        args: yaml('torn.yaml', 'name: gate', 'access:', '  port: 3000', '  mode: loopback: ssh'),
        code: USAGE,
        says: ['torn.yaml, line 4', 'a YAML mapping; set it with --answers'],
      },
      {
        is: 'that says one thing twice',
        args: yaml('twice.json', '{"name": "gate",', ' "name": "door"}'),
        code: USAGE,
        says: ['twice.json, line 2', 'Map keys must be unique'],
        count: 1,
      },
      {
        is: 'with misspelt keys, and suggests the right ones',
        args: yaml('misspelt.yaml', 'access:', '  prot: 3000', 'limits:', '  memory: 2048'),
        code: USAGE,
        says: [
          'access.prot (',
          'misspelt.yaml, line 2): got "an unknown key"; allowed: access.port perhaps',
          'misspelt.yaml, line 4): got "an unknown key"; allowed: limits.memoryMiB perhaps',
        ],
        count: 2,
      },
      {
        is: 'with values of the wrong type',
        args: yaml(
          'types.yaml',
          'version: 2',
          'access:',
          '  port: "3000"',
          '  firewall: please',
          'limits: 3',
        ),
        code: USAGE,
        says: [
          'types.yaml, line 1): got "2"; allowed: 1, the version of this file format',
          `types.yaml, line 3): got "a string: \\"3000\\""; allowed: ${WHOLE}; set it with --port`,
          'types.yaml, line 4): got "a string: \\"please\\""; allowed: yes or no (true or false in a file); set it with --firewall',
          'types.yaml, line 5): got "a number: 3"; allowed: a mapping',
        ],
        count: 4,
      },
      {
        is: 'that is a list',
        args: yaml('list.yaml', '- name: gate'),
        code: USAGE,
        says: ['list.yaml: got "a list"; allowed: a YAML mapping; set it with --answers'],
        count: 1,
      },
      {
        is: 'with aliases, which can be made to explode',
        args: yaml('alias.yaml', 'name: &x gate', 'agent:', '  providers: [*x, *x]'),
        code: USAGE,
        says: ['agent.providers (', 'alias.yaml, line 3)', 'set it with --provider'],
        count: 1,
      },
      {
        is: 'of random bytes',
        args: [
          '--yes',
          '--answers',
          file('noise.yaml', Buffer.from('\x00\x1b[2J\xff\xfe{]:\n'.repeat(40), 'latin1')),
        ],
        code: USAGE,
        says: ['noise.yaml', 'a YAML mapping', '--answers'],
      },
      {
        is: 'that is missing, and everything else that is wrong with it',
        args: ['--yes', '--answers', resolve(desk, 'absent.yaml'), '--port', 'http'],
        code: USAGE,
        says: [
          'answers file: got',
          'absent.yaml',
          'a file that can be read (ENOENT); set it with --answers',
          'port: got "http"',
        ],
        count: 2,
      },
    ]),
  )('refuses one %s', (_, wrong) => refuses(wrong))
})

describe('secrets', () => {
  const strong = (name: string, first: string) =>
    file(
      name,
      `${first}${CANARY}${[...'qwertyuiopasdfghjklzxcvbnm'].map(char => `${char}${first}`).join('')}\n`,
    )
  const key = file('key', `sk-${CANARY}\n`)
  const other = file('other-key', `sk-${CANARY}-too\n`)

  it.each(
    titled<Case>([
      {
        is: 'a token on the command line',
        args: ['--token', CANARY],
        code: USAGE,
        says: ['gateway_token: got "(not shown)"; allowed: @FILE or @- (stdin)', 'set it with --token @FILE'],
        count: 1,
      },
      {
        is: 'a provider key on the command line',
        args: ['--provider', 'openai', '--provider-key', `openai=${CANARY}`],
        code: USAGE,
        says: [
          'openai_api_key: got "(not shown)"; allowed: @FILE or @- (stdin)',
          'set it with --provider-key openai=@FILE',
        ],
        count: 1,
      },
      {
        is: 'a provider key where its name belongs',
        args: ['--provider', 'openai', '--provider-key', CANARY],
        code: USAGE,
        says: ['provider key', 'where PROVIDER is openai', '--provider-key openai=@'],
      },
      {
        is: 'a key where a URL belongs',
        args: ['--provider', `openai=${CANARY}`],
        code: USAGE,
        says: ['providers: got', 'openai', '--provider'],
        count: 1,
      },
      {
        is: 'a key where a URL belongs, in an answers file',
        args: ['--answers', file('leak.yaml', `agent:\n  providers: ['openai=${CANARY}']\n`)],
        code: USAGE,
        says: ['agent.providers', 'leak.yaml, line 2', '--provider'],
        count: 1,
      },
      {
        is: 'a secret in an answers file',
        args: ['--answers', file('token.yaml', `secrets:\n  token: ${CANARY}\n`)],
        code: USAGE,
        says: ['secrets.token (', 'token.yaml, line 2)', 'an unknown key'],
        count: 1,
      },
      {
        is: 'a weak token',
        args: ['--token', `@${file('weak', `${CANARY}${'a'.repeat(60)}\n`)}`],
        code: USAGE,
        says: ['gateway_token: got "(not shown)"; allowed: at least 64 unguessable characters', '--token'],
        count: 1,
      },
      {
        is: 'an empty token file',
        args: ['--token', `@${file('empty', '\n')}`],
        code: USAGE,
        says: ['gateway_token: got "(not shown)"; allowed: a file that is not empty'],
        count: 1,
      },
      {
        is: 'a token file that is missing',
        args: ['--token', `@${resolve(desk, 'absent')}`],
        code: USAGE,
        says: [
          'gateway_token: got "(not shown)"; allowed: a file that can be read (ENOENT)',
          '--token @FILE',
        ],
        count: 1,
      },
      {
        is: 'a provider without its key',
        args: ['--provider', 'openai', '--provider', 'anthropic', '--provider-key', `openai=@${key}`],
        code: USAGE,
        says: ['key of anthropic: missing', '--provider-key anthropic=@FILE (or =@-)'],
        count: 1,
      },
      {
        is: 'the key of a provider nobody named',
        args: [
          '--provider',
          'openai',
          '--provider-key',
          `openai=@${key}`,
          '--provider-key',
          `anthropic=@${key}`,
        ],
        code: USAGE,
        says: ['provider key', 'where PROVIDER is openai'],
        count: 1,
      },
      {
        is: 'two keys of one provider, and one of another that is missing',
        args: [
          ...['--provider', 'openai', '--provider', 'anthropic'],
          ...['--provider-key', `openai=@${key}`, '--provider-key', `openai=@${other}`],
        ],
        code: USAGE,
        says: ['openai_api_key', 'more than once', '--provider-key openai', 'key of anthropic: missing'],
        count: 2,
      },
      {
        is: 'two tokens',
        args: ['--token', `@${strong('one', 'Z')}`, '--token', `@${strong('two', 'Y')}`],
        code: USAGE,
        says: ['gateway_token', 'more than once', '--token'],
        count: 1,
      },
      {
        is: 'two secrets from one stdin',
        args: ['--provider', 'openai', '--provider-key', 'openai=@-', '--token', '@-'],
        code: USAGE,
        says: ['secrets from stdin: got "several"; allowed: one secret from stdin; the others from files'],
      },
    ]),
  )('refuses %s and shows none of it', (_, { args, ...rest }) =>
    refuses({ args: ['--yes', '--no-launch', ...args], ...rest }),
  )

  it('keeps the token that is stored and says so when another is brought', async () => {
    const folder = place('stored')
    expect((await cli([folder, '--yes', '--no-launch', '--token', `@${strong('first', 'K')}`])).code).toBe(
      DONE,
    )
    const before = fingerprints(folder)
    const ran = await cli([folder, '--yes', '--no-launch', '--token', `@${strong('second', 'W')}`])
    expect(ran.code).toBe(USAGE)
    expectDecent(ran, folder)
    expect(problems(ran.stderr)).toEqual([
      'gateway_token: got "(not shown)"; allowed: the value that is stored already, or none: setup does not replace a secret; set it with leave the flag out',
    ])
    expect(fingerprints(folder)).toEqual(before)
  })
})

describe('the folder', () => {
  const inUse = resolve(desk, 'in-use')
  const aFile = file('a-file', 'not a folder\n')
  const link = resolve(desk, 'link')
  const closed = resolve(desk, 'closed')
  const hidden = resolve(desk, 'hidden')
  mkdirSync(inUse)
  mkdirSync(closed, { mode: 0o555 })
  mkdirSync(hidden, { mode: 0o700 })
  // Names come from outside too: this one tries to clear the screen.
  const names = ['a\u001b[2J', 'b', 'c', 'd']
  for (const name of names) writeFileSync(resolve(inUse, name), '')
  symlinkSync(inUse, link)

  it.each(
    titled([
      {
        is: 'not empty and not ours',
        folder: inUse,
        says: [`${inUse} is not empty`, 'it holds a', 'b, c, …'],
      },
      { is: 'a file', folder: aFile, says: [`${aFile} is not a folder`] },
      { is: 'below a file', folder: resolve(aFile, 'x'), says: [`${aFile} is not a folder`] },
      { is: 'a symbolic link', folder: link, says: [`${link} is a symbolic link`] },
    ]),
  )('is refused when it is %s', async (_, { folder, says }) => {
    const ran = await cli([folder, '--yes', '--no-launch'])
    expect(ran.code, ran.stderr).toBe(USAGE)
    expectDecent(ran)
    for (const text of ['usage: ', 'folder: ', ...says]) expect(lastWords(ran.stderr)).toContain(text)
    expect(problems(ran.stderr)).toHaveLength(1)
    expect(readdirSync(inUse)).toEqual(names)
  })

  it.runIf(canBeNobody || isDemanded).each(
    titled([
      { is: 'not writable', folder: closed, says: `${closed} is not writable by this user` },
      { is: 'in one that is not writable', folder: resolve(closed, 'x'), says: `${closed} is not writable` },
      { is: 'in one that is not theirs to see', folder: resolve(hidden, 'x'), says: hidden },
      { is: 'somebody else’s', folder: hidden, says: hidden },
    ]),
  )('is refused to a user for whom it is %s', async (_, { folder, says }) => {
    const ran = await sh('setpriv', [...NOBODY, process.execPath, BIN, folder, '--yes', '--no-launch'])
    expect(ran.code, ran.stderr).toBe(USAGE)
    expectDecent(ran)
    expect(lastWords(ran.stderr)).toMatch(/^(usage: folder: |not_\w+: )/)
    expect(lastWords(ran.stderr)).toContain(says)
    expect([...readdirSync(closed), ...readdirSync(hidden)]).toEqual([])
  })

  it.runIf(canBeNobody || isDemanded).each(['status', 'verify'])(
    'of somebody else is no stack trace for %s',
    async command => {
      const ran = await sh('setpriv', [...NOBODY, process.execPath, BIN, command, '--dir', hidden])
      expect([USAGE, UNKNOWN], ran.stderr).toContain(ran.code)
      expectDecent(ran)
      expect(ran.stderr).toContain(hidden)
    },
  )

  it.each(['docker-compose.yml', 'config/openclaw.json', 'seccomp-profile.json'])(
    'keeps %s as a person edited it, says so, and changes nothing at all',
    async path => {
      const folder = place('edited')
      expect((await cli([folder, '--yes', '--no-launch'])).code).toBe(DONE)
      appendFileSync(resolve(folder, path), '\n')
      const before = fingerprints(folder)
      for (const more of [[], ['--port', '3000']]) {
        const ran = await cli([folder, '--yes', '--no-launch', ...more])
        expect(ran.code, ran.stderr).toBe(USAGE)
        expectDecent(ran, folder)
        expect(lastWords(ran.stderr)).toContain(`edited: edited since they were rendered: ${path}\n`)
        expect(lastWords(ran.stderr)).toContain(resolve(folder, '.secure/base'))
        expect(fingerprints(folder)).toEqual(before)
      }
    },
  )

  it('keeps what is there to be adapted, and goes on', async () => {
    const folder = place('adapted')
    const adapted = ['README.md', 'runbooks/README.md', 'runbooks/container-compromised.yaml', '.gitignore']
    expect((await cli([folder, '--yes', '--no-launch'])).code).toBe(DONE)
    for (const path of adapted) appendFileSync(resolve(folder, path), 'mine\n')
    const ran = await cli([folder, '--yes', '--no-launch', '--port', '3000'])
    expect(ran.code, ran.stderr).toBe(DONE)
    for (const path of adapted) expect(readFileSync(resolve(folder, path), 'utf8'), path).toMatch(/\nmine\n$/)
  })
})

describe('the engine', () => {
  const noPrograms = resolve(desk, 'bin-none')
  const noCompose = resolve(desk, 'bin-no-compose')
  mkdirSync(noPrograms)
  mkdirSync(noCompose)
  writeFileSync(
    resolve(noCompose, 'docker'),
    `#!/bin/sh\n[ "$1" = compose ] && { echo "docker: 'compose' is not a docker command." >&2; exit 1; }\nexec ${dockerPath()} "$@"\n`,
    { mode: 0o755 },
  )
  const DOWN =
    'Cannot connect to the Docker daemon at unix:///nonexistent.sock. Is the docker daemon running?'

  it.each(
    titled<Case>([
      {
        is: 'the engine is stopped',
        args: ['--yes'],
        env: NO_ENGINE,
        code: UNKNOWN,
        says: ['preflight: ', 'engine', DOWN, 'sudo systemctl start docker', 'Nothing was written'],
      },
      {
        is: 'the engine is stopped, and quietly',
        args: ['--yes', '--quiet'],
        env: NO_ENGINE,
        code: UNKNOWN,
        says: ['preflight: ', 'engine', DOWN, 'sudo systemctl start docker'],
      },
      {
        is: 'the engine is stopped and the input is wrong',
        args: ['--yes', '--port', 'http', '--agent', 'root'],
        env: NO_ENGINE,
        code: USAGE,
        says: ['port: got "http"', 'posture: got "root"', 'engine', DOWN, 'sudo systemctl start docker'],
        count: 3,
      },
      {
        is: 'docker is not installed',
        args: ['--yes'],
        env: { PATH: noPrograms },
        code: UNKNOWN,
        says: ['preflight: ', 'docker is not installed, or not on the PATH', 'Install docker'],
      },
      {
        is: 'Compose is not installed',
        args: ['--yes'],
        env: { PATH: `${noCompose}:${process.env.PATH}` },
        code: UNKNOWN,
        says: ['preflight: ', 'the Compose plug-in is missing', 'docker-compose-plugin'],
      },
    ]),
  )('is asked first, and setup stops when %s', (_, wrong) => refuses(wrong))

  it.runIf(canBeNobody || isDemanded)('explains a socket this user may not open', async () => {
    const folder = resolve(desk, 'open/new')
    mkdirSync(resolve(desk, 'open'))
    chmodSync(resolve(desk, 'open'), 0o777)
    const ran = await sh('setpriv', [...NOBODY, process.execPath, BIN, folder, '--yes', '--quiet'])
    expect(ran.code, ran.stderr).toBe(UNKNOWN)
    expectDecent(ran)
    for (const text of ['preflight: ', 'docker.sock: connect: permission denied', 'usermod -aG docker'])
      expect(lastWords(ran.stderr)).toContain(text)
    await expectNothing(folder)
  })

  it('refuses a port that something listens on', async () => {
    const server = createServer()
    await new Promise<void>(done => server.listen(port, '127.0.0.1', done))
    try {
      await refuses({
        is: 'a port in use',
        args: ['--yes', '--image', BASE_IMAGE, '--port', String(port)],
        code: USAGE,
        says: [`port ${port} on 127.0.0.1`, 'something is listening on it', '--port'],
        count: 1,
      })
    } finally {
      await new Promise(done => server.close(done))
    }
  })
})

describe('the image', () => {
  const launch = async (folder: string, image: string, ...more: string[]) =>
    cli([folder, '--yes', '--image', image, ...BESIDE, '--port', String(port), ...more])

  it('that cannot be had leaves no secret and nothing in the engine', async () => {
    const folder = place('absent')
    const ran = await launch(folder, 'create-openclaw-secure/absent:1')
    expect(ran.code, ran.stderr).toBe(UNKNOWN)
    expectDecent(ran, folder)
    expect(lastWords(ran.stderr)).toMatch(
      /^(image_not_found|image_pull_failed): .*create-openclaw-secure\/absent:1/,
    )
    expect(lastWords(ran.stderr)).toContain('--image')
    expect(Object.keys(files(folder))).toEqual([])
    await expectNoTraceInEngine(folder)
  })

  it('that is not OpenClaw is never started', async () => {
    const folder = place('other')
    const ran = await launch(folder, BASE_IMAGE)
    expect(ran.code, ran.stderr).toBe(UNKNOWN)
    expectDecent(ran, folder)
    expect(lastWords(ran.stderr)).toMatch(/^image_not_openclaw: .*Cannot find module '.*openclaw\.mjs'/)
    expect(lastWords(ran.stderr)).toContain('Check --image')
    expect(existsSync(resolve(folder, 'docker-compose.yml'))).toBe(false)
    await expectNoTraceInEngine(folder)
  })

  it('that refuses the configuration replaces nothing, neither a new folder’s files nor an old one’s', async () => {
    const image = await imageThat('rejects')
    const folder = place('rejects')
    const first = await launch(folder, image)
    expect(first.code, first.stderr).toBe(UNKNOWN)
    expect(existsSync(resolve(folder, 'docker-compose.yml'))).toBe(false)
    expect(existsSync(resolve(folder, 'config/openclaw.json'))).toBe(false)

    expect(
      (await cli([folder, '--yes', '--image', IMAGE, ...BESIDE, '--port', '3000', '--no-launch'])).code,
    ).toBe(DONE)
    const before = files(folder)
    const second = await launch(folder, image)
    expect(second.code, second.stderr).toBe(UNKNOWN)
    for (const ran of [first, second]) {
      expectDecent(ran, folder)
      expect(lastWords(ran.stderr)).toMatch(
        /^config_rejected: .*tools: Unrecognized key: "x"\nNothing was replaced/,
      )
    }
    expect(files(folder)).toEqual(before)
    await expectNoTraceInEngine(folder)
  })

  it('judges the configuration before the first start, also when the files were rendered without an engine', async () => {
    // Named by its digest, the image looks the same with and without an engine.
    const { stdout } = await sh('docker', [
      'image',
      'inspect',
      '--format',
      '{{.Id}}',
      await imageThat('rejects'),
    ])
    const folder = place('unchecked')
    expect((await launch(folder, stdout.trim(), '--no-launch')).code).toBe(DONE)
    const ran = await launch(folder, stdout.trim())
    expect(ran.code).toBe(UNKNOWN)
    expectDecent(ran, folder)
    expect(lastWords(ran.stderr)).toMatch(/^config_rejected: /)
    await expectNoTraceInEngine(folder)
  })

  it.runIf(isThorough)(
    'whose gateway ends at once is stopped, its reason shown, and a second try tells the same',
    async () => {
      const folder = place('dies')
      const said: string[] = []
      for (const _ of [1, 2]) {
        const ran = await launch(folder, await imageThat('dies'))
        expect(ran.code, ran.stderr).toBe(UNKNOWN)
        expectDecent(ran, folder)
        expect(lastWords(ran.stderr)).toMatch(/^gateway_died: .*Gateway failed to start: the moon is missing/)
        // It ended with 1: what Docker starts in its place must not be reported as an end with 0.
        expect(lastWords(ran.stderr)).not.toContain('exit code 0')
        expect(lastWords(ran.stderr)).not.toContain('"level"')
        expect(await stateOf(folder)).toBe('exited')
        said.push(lastWords(ran.stderr).replace(/ \(exit code 1\)/, ''))
      }
      expect(said[1]).toBe(said[0])
    },
  )
})

describe('a gateway that never becomes ready', () => {
  const folder = place('sleeps')
  const args = async (...more: string[]) => [
    folder,
    '--yes',
    ...BESIDE,
    '--image',
    await imageThat('sleeps'),
    '--port',
    String(port),
    ...more,
  ]

  it.runIf(isThorough)('is stopped when its time is over, and its reason is shown', async () => {
    const ran = await cli(await args('--start-timeout', '8'))
    expect(ran.code, ran.stderr).toBe(UNKNOWN)
    expectDecent(ran, folder)
    expect(lastWords(ran.stderr)).toMatch(/^gateway_not_ready: .*cannot open the moon\n.*--start-timeout/)
    expect(lastWords(ran.stderr)).not.toContain('"level"')
    expect(await stateOf(folder)).toBe('exited')
  })

  it('is reported when the engine goes away meanwhile, and its files are complete', async () => {
    const engine = await engineThatCanGo()
    try {
      const child = startCli(await args(), { ...process.env, DOCKER_HOST: engine.host })
      const ended = outcome(child)
      await untilRunning(folder)
      engine.go()
      const ran = await ended
      expect(ran.code, ran.stderr).toBe(UNKNOWN)
      expectDecent(ran, folder)
      expect(lastWords(ran.stderr)).toMatch(
        /^engine_unreachable: .*Cannot connect to the Docker daemon at unix:/,
      )
      expect(lastWords(ran.stderr)).toContain('Start')
      expectComplete(folder)
    } finally {
      engine.go()
    }
  })

  describe('while setup waits for it', () => {
    let first: ChildProcess | undefined

    beforeAll(async () => {
      await sh('docker', ['stop', '--time', '5', await containerOf(folder)])
      first = startCli(await args('--start-timeout', '600'))
      await untilRunning(folder)
    })
    afterAll(() => first?.kill('SIGKILL'))

    it('another setup is told who holds the lock, and does not mistake its own port for taken', async () => {
      const before = fingerprints(folder)
      const ran = await cli(await args())
      expect(ran.code, ran.stderr).toBe(UNKNOWN)
      expectDecent(ran, folder)
      expect(lastWords(ran.stderr)).toMatch(
        new RegExp(
          `^locked: another setup is running here \\(process ${first?.pid} on .+, since 20.+Z\\)\nWait`,
        ),
      )
      expect(fingerprints(folder)).toEqual(before)
    })

    it('another folder may have neither its name nor its port', async () => {
      const name = basename(folder)
      const ran = await cli([nowhere, '--yes', '--image', BASE_IMAGE, '--name', name, '--port', String(port)])
      expect(ran.code, ran.stderr).toBe(USAGE)
      expectDecent(ran)
      expect(problems(ran.stderr)).toHaveLength(2)
      for (const text of [name, `lives in ${folder}`, '--name', `port ${port} on 127.0.0.1`, '--port'])
        expect(lastWords(ran.stderr)).toContain(text)
      await expectNothing(nowhere)
    })
  })
})

describe.runIf(isRoot || isDemanded)('a full disk', () => {
  const folder = resolve(desk, 'disk')
  const own = resolve(folder, '.secure')
  const render = () => cli([folder, '--yes', '--no-launch'])
  const mount = (path: string, options: string) => {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    execFileSync('mount', ['-t', 'tmpfs', '-o', `mode=700,${options}`, 'tmpfs', path])
  }
  const remount = (path: string, options: string) =>
    execFileSync('mount', ['-o', `remount,${options}`, path], { stdio: 'pipe' })

  beforeEach(() => mkdirSync(folder, { mode: 0o700 }))
  afterEach(async () => {
    for (const path of [own, folder]) await sh('umount', [path])
    rmSync(folder, { recursive: true })
  })

  it('is seen beforehand, listed with what else is wrong, and then the same command finishes', async () => {
    mount(folder, 'size=64k')
    const ran = await render()
    expect(ran.code, ran.stderr).toBe(UNKNOWN)
    expectDecent(ran)
    for (const text of ['preflight: ', 'disk', '0 MiB free where the deployment goes', 'Free some space'])
      expect(lastWords(ran.stderr)).toContain(text)
    const both = await cli([folder, '--yes', '--no-launch', '--port', 'http'])
    expect(both.code).toBe(USAGE)
    expect(problems(both.stderr)).toEqual([
      expect.stringContaining('port: got "http"'),
      expect.stringContaining('0 MiB free where the deployment goes'),
    ])
    expect(readdirSync(folder)).toEqual([])

    remount(folder, 'size=64m')
    expect((await render()).code).toBe(DONE)
    expectComplete(folder)
  })

  it('tears no file, wherever the space ends, and the token that was stored first stays', async () => {
    const isCommitted = () => /"current"/.test(readText(resolve(own, 'store/gateway_token.json')))
    // One more file may exist at each try: every write of setup gets its turn to fail.
    mount(folder, 'size=64m,nr_inodes=2')
    const seen: Record<string, string> = {}
    let token: string | undefined
    let inodes = 2
    for (let code = UNKNOWN; code !== DONE; inodes++) {
      expect(inodes, 'setup never finished').toBeLessThan(45)
      remount(folder, `nr_inodes=${inodes}`)
      const ran = await render()
      code = ran.code
      expectDecent(ran, folder)
      if (code !== DONE) {
        expect(code).toBe(UNKNOWN)
        expect(lastWords(ran.stderr)).toMatch(
          new RegExp(`^disk_full: no space left to write ${folder}.*\nFree some space`),
        )
      }
      expectComplete(folder)
      if (isCommitted()) token ??= tokenOf(folder)
      // What was once written is what stays. The token is looked at by itself, and its document grows with it.
      const now = Object.fromEntries(
        Object.entries(files(folder)).filter(([path]) => !/^(secrets|\.secure\/store)\//.test(path)),
      )
      expect(now).toMatchObject(seen)
      Object.assign(seen, now)
    }
    expect(inodes).toBeGreaterThan(20)
    expect(tokenOf(folder)).toBe(token)
    expect(readdirSync(resolve(folder, 'secrets')), 'tokens nobody accepts').toHaveLength(1)
  })

  it('tells the same at every try, keeps the journal whole, and forgets nothing when there is space again', async () => {
    // Here the bytes end, and only below .secure: preflight does not see it, and the journal fills the rest.
    mount(own, 'size=24k')
    const first = await render()
    const token = tokenOf(folder)
    for (const ran of [
      first,
      await render(),
      await render(),
      await render(),
      await render(),
      await render(),
    ]) {
      expect(ran.code, ran.stderr).toBe(UNKNOWN)
      expectDecent(ran, folder)
      expect(lastWords(ran.stderr)).toMatch(new RegExp(`^disk_full: no space left to write ${own}/`))
      expectComplete(folder)
    }
    remount(own, 'size=1m')
    expect((await render()).code).toBe(DONE)
    expectComplete(folder)
    expect(tokenOf(folder)).toBe(token)
  })

  it('does not make setup forget what it rendered: an edit afterwards is still seen', async () => {
    mount(own, 'size=16k')
    expect((await render()).code).toBe(UNKNOWN)
    remount(own, 'size=1m')
    expect((await render()).code).toBe(DONE)
    const edited = resolve(folder, 'seccomp-profile.json')
    appendFileSync(edited, '\n')
    const before = fingerprints(folder)
    const ran = await render()
    expect(ran.code, ran.stderr).toBe(USAGE)
    expect(lastWords(ran.stderr)).toMatch(/^edited: .*seccomp-profile\.json/)
    expect(fingerprints(folder)).toEqual(before)
  })

  it('is explained too where setup meets it first while it asks the engine', async () => {
    mount(folder, 'size=64m,nr_inodes=1')
    const ran = await cli([folder, '--yes', '--image', IMAGE, ...BESIDE, '--port', String(await freePort())])
    expect(ran.code, ran.stderr).toBe(UNKNOWN)
    expectDecent(ran)
    expect(lastWords(ran.stderr)).toMatch(new RegExp(`^disk_full: no space left to write ${folder}`))
    expect(readdirSync(folder)).toEqual([])
  })

  it('that is read-only is refused, to root too', async () => {
    mount(folder, 'size=64m,ro')
    const ran = await render()
    expect(ran.code).toBe(USAGE)
    expectDecent(ran)
    expect(lastWords(ran.stderr)).toContain(`${folder} is not writable`)
  })
})

const readText = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '')

/** No file is half-written, no unfinished one is left, and the journal's chain holds. */
function expectComplete(folder: string): void {
  const paths = Object.keys(fingerprints(folder))
  expect(paths.filter(path => /ocs-tmp$|lock$/.test(path))).toEqual([])
  for (const path of paths) {
    const text = readFileSync(resolve(folder, path), 'utf8')
    expect(text, path).not.toBe('')
    if (path.endsWith('.yml') || path.endsWith('.yaml'))
      expect(parse(text), path).toMatchObject(
        path.includes('runbooks/') ? { id: expect.any(String) } : { name: expect.any(String) },
      )
    else if (path.endsWith('openclaw.json')) expect(parseCommentedJson(text), path).toHaveProperty('gateway')
    else if (path.endsWith('.json')) expect(JSON.parse(text), path).toBeTypeOf('object')
    else if (path.startsWith('secrets/gateway_token.')) expect(text).toMatch(/^[0-9a-f]{64}$/)
    else expect(text.endsWith('\n'), `${path} ends in the middle of a line`).toBe(true)
  }
  const journal = new Journal(resolve(folder, '.secure/journal.jsonl'), () => new Date())
  expect(journal.verifyChain()).toMatchObject({ intact: true })
}

/** A socket that leads to the real engine until it is told to go: the engine of the other tests goes on. */
async function engineThatCanGo(): Promise<{ host: string; go(): void }> {
  const path = resolve(desk, 'engine.sock')
  const open = new Set<Socket>()
  const server: Server = createServer({ allowHalfOpen: true }, client => {
    const engine = connect({ path: '/var/run/docker.sock', allowHalfOpen: true })
    for (const socket of [client, engine]) {
      open.add(socket)
      socket.on('error', () => socket.destroy()).on('close', () => open.delete(socket))
    }
    client.pipe(engine).pipe(client)
  })
  await new Promise<void>(done => server.listen(path, done))
  const go = () => {
    server.close()
    for (const socket of open) socket.destroy()
  }
  return { host: `unix://${path}`, go }
}

/** What a program that runs in the background ends with. */
function outcome(child: ReturnType<typeof startCli>): Promise<Ran> {
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', chunk => {
    stdout += chunk
  })
  child.stderr.on('data', chunk => {
    stderr += chunk
  })
  return new Promise(done => child.on('close', code => done({ code: code ?? -1, stdout, stderr })))
}

async function untilRunning(folder: string): Promise<void> {
  for (let tries = 0; tries < 150; tries++) {
    // All three: before that, Compose is still at it.
    const filter = `label=com.docker.compose.project=${basename(folder)}`
    const { stdout } = await sh('docker', ['ps', '--quiet', '--filter', filter])
    if (stdout.trim().split('\n').length === 3) return
    await sleep(200)
  }
  throw new Error(`no container of ${folder} came up`)
}

function dockerPath(): string {
  return execFileSync('sh', ['-c', 'command -v docker'], { encoding: 'utf8' }).trim()
}
