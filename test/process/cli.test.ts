import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Program } from '../../src/commands/program.ts'
import { Journal } from '../../src/procedure/journal.ts'
import { questions } from '../../src/wizard/questions.ts'
import { runInProcess } from '../unit/in-process.ts'
import { scratch, some } from '../unit/support.ts'

const GOOD_TOKEN = 'k7Qz!r2Vb9#xLw4Tm1Np8Yc5Hd3Jf6Gs0Ke-uAiEoZ.qXyWvUtSrPnMlKjHgFdBa'
const SECRET = 'sk-live-4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c'

/** Runs the command line with this on its standard input. */
async function cli(
  args: readonly string[],
  changed: Partial<Omit<Program, 'stdin'>> & { stdin?: string } = {},
) {
  const { stdin, ...rest } = changed
  const given = stdin === undefined ? [] : [Buffer.from(stdin)]
  const { code, stdout, stderr } = await runInProcess(args, { ...rest, stdin: Readable.from(given) })
  // The first problem stands behind the error's code; as a line of its own it reads like the others.
  return { code, stdout, stderr: stderr.replace(/^usage: /m, '') }
}

/** A folder for a deployment that is not there yet. */
const fresh = () => join(scratch(), 'my-gateway')

/** Everything in a folder: mode, owner, times and content. Two equal ones mean that nothing was touched. */
function snapshot(folder: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const entry of ['', ...fs.readdirSync(folder, { recursive: true, encoding: 'utf8' })]) {
    const path = join(folder, entry)
    const { mode, uid, gid, ino, mtimeNs, ctimeNs } = fs.lstatSync(path, { bigint: true })
    const content = fs.lstatSync(path).isFile()
      ? createHash('sha256').update(fs.readFileSync(path)).digest('hex')
      : ''
    found[entry] = [mode, uid, gid, ino, mtimeNs, ctimeNs, content].join(' ')
  }
  return found
}

function tokenOf(folder: string): string {
  const name = some(fs.readdirSync(join(folder, 'secrets')).find(file => file.startsWith('gateway_token.')))
  return fs.readFileSync(join(folder, 'secrets', name), 'utf8')
}

describe('help and version', () => {
  it.each([['--help'], ['-h'], ['setup', '--help'], ['verify', '--help'], ['status', '--help'], ['help']])(
    '%s %s ends with 0 and says nothing on stderr',
    async (...args) => {
      const { code, stdout, stderr } = await cli(args.filter(arg => arg !== undefined))
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout).toContain('Usage: create-openclaw-secure')
    },
  )

  it('--version is the version and nothing else', async () => {
    expect(await cli(['--version'])).toEqual({ code: 0, stdout: '1.2.3\n', stderr: '' })
  })

  it('the help of setup knows every question’s flag', async () => {
    const { stdout } = await cli(['setup', '--help'])
    for (const question of questions) expect(stdout).toContain(question.flag)
  })
})

describe('a command line that is wrong ends with 2 and has written nothing', () => {
  const wrong = async (args: string[], changed: Parameters<typeof cli>[1] = {}) => {
    const folder = fresh()
    const ran = await cli([folder, '--no-launch', ...args], changed)
    expect(ran).toMatchObject({ code: 2, stdout: '' })
    expect(fs.existsSync(folder)).toBe(false)
    return ran.stderr
  }

  it('an unknown flag, with the one that was meant', async () => {
    const stderr = await wrong(['--prot', '2000'])
    expect(stderr).toContain("unknown option '--prot'")
    expect(stderr).toContain('--port')
    expect(stderr).not.toContain('defect')
  })

  it('a flag without its value', async () => {
    expect(await wrong(['--port'])).toContain('--port')
  })

  it('two folders', async () => {
    expect(await wrong(['another'])).toMatch(/too many arguments/)
  })

  it('a word that is going to be a command, so that a slip makes no folder of it', async () => {
    for (const word of ['restore', 'backup', 'remove'])
      expect(await cli([word, '--no-launch', '--yes'], { cwd: scratch() })).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(`./${word}`),
      })
  })

  it('a folder and another one with --dir', async () => {
    expect(await wrong(['--yes', '--dir', '/elsewhere'])).toContain('--dir')
  })

  it('a start timeout that is none', async () => {
    for (const value of ['0', '3601', 'soon', '1.5'])
      expect(await wrong(['--start-timeout', value])).toContain('1 to 3600')
  })

  it.each([
    ['--port', 'http'],
    ['--port', '80'],
    ['--name', 'My Gateway'],
    ['--memory', '512'],
    ['--timezone', 'Mars/Olympus'],
    ['--access', 'everybody'],
    ['--provider', 'http://llm.example'],
    ['--agent', 'root'],
  ])('%s %s: the message has the flag, the value and what is allowed', async (flag, value) => {
    const stderr = await wrong(['--yes', flag, value])
    expect(stderr).toMatch(
      new RegExp(`^[a-z]+: got "${value.replaceAll('/', '\\/')}"; allowed: .*; set it with ${flag}$`, 'm'),
    )
  })

  it('a flag given twice with different values', async () => {
    expect(await wrong(['--yes', '--port', '2000', '--port', '3000'])).toContain('got "2000 and 3000"')
  })

  it('a contradiction, and an answer without a meaning', async () => {
    expect(await wrong(['--yes', '--build', '--image', 'a:b'])).toContain('got "--build and --image"')
    expect(await wrong(['--yes', '--proxy-host', 'x.example'])).toContain('--access proxy')
  })

  it('missing answers: all of them at once, each with its flag and its variable', async () => {
    const stderr = await wrong([])
    for (const [flag, variable] of [
      ['--name', 'NAME'],
      ['--agent', 'AGENT'],
      ['--provider', 'PROVIDER'],
      ['--image-from', 'IMAGE_FROM'],
      ['--access', 'ACCESS'],
      ['--port', 'PORT'],
      ['--contact', 'CONTACT'],
    ])
      expect(stderr).toContain(
        `missing; allowed: ${some(questions.find(question => question.flag === flag)).kind.allowed}; set it with ${flag} or OPENCLAW_SECURE_${variable}, or --yes for`,
      )
  })

  it('missing and wrong answers together, and what only the machine can say', async () => {
    const folder = scratch()
    fs.writeFileSync(join(folder, 'somebody-else.txt'), '')
    const { code, stderr } = await cli([folder, '--no-launch', '--port', 'x', '--access', 'ssh', '--yes'])
    expect(code).toBe(2)
    expect(stderr).toMatch(/^port: got "x"/m)
    expect(stderr).toMatch(/^sshTarget: missing/m)
    expect(stderr).toMatch(/^folder: .*somebody-else\.txt/m)
    expect(fs.readdirSync(folder)).toEqual(['somebody-else.txt'])
  })

  it('a wrong variable, named as one', async () => {
    expect(await wrong(['--yes'], { env: { PATH: '', OPENCLAW_SECURE_PORT: 'x' } })).toContain(
      'set it with OPENCLAW_SECURE_PORT',
    )
  })

  it('a folder that is a file', async () => {
    const file = join(scratch(), 'file')
    fs.writeFileSync(file, 'kept')
    expect(await cli([file, '--no-launch', '--yes'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('is not a folder'),
    })
    expect(fs.readFileSync(file, 'utf8')).toBe('kept')
  })
})

describe('an answers file that is wrong', () => {
  const withFile = async (text: string | undefined) => {
    const cwd = scratch()
    if (text !== undefined) fs.writeFileSync(join(cwd, 'answers.yaml'), text)
    const ran = await cli(['gw', '--no-launch', '--yes', '--answers', 'answers.yaml'], { cwd })
    expect(ran).toMatchObject({ code: 2, stdout: '' })
    expect(fs.existsSync(join(cwd, 'gw'))).toBe(false)
    return ran.stderr
  }

  it('because it is missing', async () => {
    expect(await withFile(undefined)).toContain(
      'answers file: got "answers.yaml"; allowed: a file that can be read (ENOENT); set it with --answers',
    )
  })

  it('because it is malformed, with the line', async () => {
    expect(await withFile('name: gw-1\naccess: {port: 2000')).toMatch(
      /^answers\.yaml, line 2: got ".*"; allowed: a YAML mapping; set it with --answers$/m,
    )
  })

  it('because of a key nobody knows, with the one that was meant', async () => {
    expect(await withFile('acess: {port: 2000}')).toMatch(
      /^acess \(answers\.yaml, line 1\): got "an unknown key"; allowed: access\.\w+ perhaps/m,
    )
  })

  it('because of a wrong type', async () => {
    expect(await withFile('access:\n  port: "2000"\n')).toMatch(
      /^access\.port \(answers\.yaml, line 2\): got "a string: \\"2000\\""; allowed: a whole number from 1024 to 65535; set it with --port$/m,
    )
  })

  it('because of a bomb, without a crash', async () => {
    const stderr = await withFile('agent:\n  providers: &p [openai, *p]\n')
    expect(stderr).toContain('agent.providers')
    expect(stderr).not.toContain('defect')
  })

  it('never speaks to the terminal, whatever its keys are', async () => {
    const stderr = await withFile('"a\\e[2K\\nport: ok": 1\n"\\u202e": 1\n')
    expect(stderr).not.toMatch(/[^\P{Cc}\n]|\u202e/u)
    expect(stderr).not.toMatch(/^port: ok/m)
  })
})

describe('a secret on the command line', () => {
  const refused = async (args: string[], changed: Parameters<typeof cli>[1] = {}) => {
    const folder = fresh()
    const ran = await cli([folder, '--no-launch', '--yes', ...args], changed)
    expect(ran).toMatchObject({ code: 2, stdout: '' })
    expect(fs.existsSync(folder)).toBe(false)
    return ran.stderr
  }

  it.each([
    ['--token', ['--token', GOOD_TOKEN]],
    ['--token=', [`--token=${GOOD_TOKEN}`]],
    ['--provider-key', ['--provider', 'openai', '--provider-key', `openai=${SECRET}`]],
    ['--provider-key without a provider', ['--provider', 'openai', '--provider-key', SECRET]],
    ['--provider-key of another provider', ['--provider', 'openai', '--provider-key', `anthropic=${SECRET}`]],
    ['--provider-key with = in it', ['--provider', 'openai', '--provider-key', `openai=${SECRET}==`]],
    ['--secret-value', ['--secret', 'search_key', '--secret-value', `search_key=${SECRET}`]],
    ['--secret-value without a --secret', ['--secret-value', `search_key=${SECRET}`]],
    ['--store-credential', ['--store', 'vault', '--store-credential', SECRET]],
    ['--vault-admin', ['--store', 'vault', '--vault-admin', SECRET]],
  ])('is refused in %s, told where it belongs, and not repeated', async (_, args) => {
    const stderr = await refused(args)
    expect(stderr).toContain('@FILE')
    for (const value of [GOOD_TOKEN, SECRET]) expect(stderr).not.toContain(value)
  })

  it('is one of its forms alone: only @ makes a file of it', async () => {
    const path = join(scratch(), 'token')
    fs.writeFileSync(path, GOOD_TOKEN)
    for (const source of [path, `x${path}`, `file:${path}`, '@', '-'])
      expect(await refused(['--token', source])).toContain('@FILE')
  })

  it.each([
    ['a misspelt flag', [`--tokn=${SECRET}`]],
    ['a flag that takes no value', [`--build=${SECRET}`]],
    ['a word too many', [SECRET]],
    ['a misspelt key flag', ['--provider', 'openai', `--provider-keys=openai=${SECRET}`]],
  ])('is not repeated when it stands behind %s', async (_, args) => {
    expect(await refused(args)).not.toContain(SECRET)
  })

  it('is not repeated when it is given as the provider’s URL, an easy slip', async () => {
    for (const slip of [`openai=${SECRET}`, `mine=${SECRET}`])
      expect(await refused(['--provider', slip])).not.toContain(SECRET)
    const cwd = scratch()
    fs.writeFileSync(join(cwd, 'answers.yaml'), `agent:\n  providers: ["openai=${SECRET}"]\n`)
    expect(await refused(['--answers', join(cwd, 'answers.yaml')])).not.toContain(SECRET)
  })

  it('is one: two --token are a contradiction', async () => {
    expect(await refused(['--token', '@/one', '--token', '@/two'])).toContain('more than once')
  })

  it('cannot come from stdin twice', async () => {
    const stderr = await refused(['--token', '@-', '--provider', 'openai', '--provider-key', 'openai=@-'], {
      stdin: GOOD_TOKEN,
    })
    expect(stderr).toContain('one secret from stdin')
    expect(stderr).not.toContain(GOOD_TOKEN)
  })

  it.each([
    ['is missing', undefined, 'ENOENT'],
    ['is empty', '', 'not empty'],
    ['is weak', `${'openclaw'.repeat(8)}\n`, 'different characters'],
    ['is short', 'abc', '64'],
  ])('from a file that %s is refused, and the reason does not repeat it', async (_, text, reason) => {
    const path = join(scratch(), 'token')
    if (text !== undefined) fs.writeFileSync(path, text)
    const stderr = await refused(['--token', `@${path}`])
    expect(stderr).toContain(reason)
    expect(stderr).not.toContain('openclawopenclaw')
  })

  const VAULT = ['--store', 'vault', '--vault-address', 'https://vault.example:8200', '--vault-role', 'role']
  const held = (text: string) => {
    const path = join(scratch(), 'held')
    fs.writeFileSync(path, text)
    return `@${path}`
  }

  it.each<[string, () => string[], RegExp]>([
    [
      'for a store that is here',
      () => ['--store-credential', held('x-1')],
      /store credential: .*--store vault/,
    ],
    ['that is missing', () => VAULT, /store credential: .*no secret id.*--store-credential @FILE/],
    [
      'given in two ways',
      () => [...VAULT, '--store-credential', held('x-1'), '--credential-file', '/etc/x'],
      /store credential: .*--credential-file/,
    ],
    [
      'beside an admin token',
      () => [...VAULT, '--store-credential', held('x-1'), '--vault-admin', held('y-2')],
      /Vault admin token: .*only without/,
    ],
    [
      'for 1Password that is not 1Password’s',
      () => [
        '--store',
        '1password',
        '--onepassword-vault',
        'a'.repeat(26),
        '--store-credential',
        held(SECRET),
      ],
      /store credential: .*ops_/,
    ],
    [
      'that is an admin token where there is no Vault',
      () => ['--vault-admin', held('y-2')],
      /Vault admin token: .*--store vault/,
    ],
  ])('that opens the store, %s, is refused with what to do', async (_, args, words) => {
    const stderr = await refused(args())
    expect(stderr).toMatch(words)
    expect(stderr).not.toContain(SECRET)
  })

  it.each([
    ['--vault-address', 'http://vault.example:8200', /https/],
    ['--vault-address', 'https://user:pw@vault.example', /https/],
    ['--vault-address', 'https://vault.example/v1', /https/],
    ['--vault-mount', '../sys', /letters/],
    ['--vault-path', 'openclaw/../../sys', /letters/],
    ['--vault-ca', 'ca.pem', /absolute path/],
    ['--vault-role', 'a/b', /letters/],
  ])('is never sent where %s %s would lead', async (flag, value, allowed) => {
    const stderr = await refused(['--store', 'vault', flag, value])
    expect(stderr).toMatch(allowed)
    expect(stderr).not.toContain('pw@')
  })

  it('may have no name that another secret has', async () => {
    for (const name of ['gateway_token', 'proxy_password', 'openai_api_key'])
      expect(await refused(['--provider', 'openai', '--secret', name])).toContain(`other names than ${name}`)
    for (const name of ['../x', 'Upper', 'a-b', ''])
      expect(await refused(['--secret', `${name},x`])).toMatch(/extraSecrets|x: missing/)
  })

  it('of the person’s own is missed by name', async () => {
    expect(await refused(['--secret', 'search_key'])).toMatch(
      /^search_key: missing; .*--secret-value search_key=@FILE/m,
    )
  })

  it('is looked for where the person stands', async () => {
    const cwd = scratch()
    fs.writeFileSync(join(cwd, 'token'), 'abc')
    expect(await refused(['--token', '@token'], { cwd })).toContain('64')
  })

  it('a provider’s key is missed by name', async () => {
    expect(await refused(['--provider', 'openai'])).toMatch(
      /^key of openai: missing; .*--provider-key openai=@FILE/m,
    )
  })

  it('a provider’s key is one line without spaces', async () => {
    expect(
      await refused(['--provider', 'openai', '--provider-key', 'openai=@-'], {
        stdin: `${SECRET}\n${SECRET}\n`,
      }),
    ).toContain('one line')
  })
})

describe('a setup without an engine', () => {
  const usual = ['--no-launch', '--yes', '--contact', 'Zoë, +49 30 1234']

  it('renders a deployment, says where its token is and never what it is', async () => {
    const folder = fresh()
    const { code, stdout, stderr } = await cli([folder, ...usual])
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
    const token = tokenOf(folder)
    expect(token).toMatch(/^[0-9a-f]{64}$/)
    expect(stderr).toContain('secrets/gateway_token.')
    expect(stderr).not.toContain(token)
    for (const file of Object.keys(snapshot(folder)).filter(
      path => !path.startsWith('secrets/') && fs.lstatSync(join(folder, path)).isFile(),
    ))
      expect(fs.readFileSync(join(folder, file), 'utf8'), file).not.toContain(token)
    for (const path of [
      'deployment.yaml',
      'docker-compose.yml',
      'seccomp-profile.json',
      'config/openclaw.json',
      'README.md',
      'runbooks/README.md',
      'runbooks/credential-exposed.yaml',
      'runbooks/container-compromised.yaml',
      'runbooks/runbook.schema.json',
      '.gitignore',
      '.secure/journal.jsonl',
    ])
      expect(fs.existsSync(join(folder, path)), path).toBe(true)
    const modes = Object.fromEntries(
      [
        '',
        'secrets',
        'state',
        'config',
        '.secure',
        'cases',
        'config/openclaw.json',
        '.secure/journal.jsonl',
      ].map(path => [path, (fs.statSync(join(folder, path)).mode & 0o777).toString(8)]),
    )
    expect(modes).toEqual({
      '': '700',
      secrets: '700',
      state: '700',
      config: '700',
      '.secure': '700',
      cases: '700',
      'config/openclaw.json': '400',
      '.secure/journal.jsonl': '600',
    })
  })

  it('changes nothing when it is run again with the same answers: no byte, no time, no journal line', async () => {
    const folder = fresh()
    await cli([folder, ...usual])
    const before = snapshot(folder)
    for (const args of [usual, ['--no-launch', '--yes'], ['--no-launch', '--yes', '--port', '18789']]) {
      const { code, stderr } = await cli([folder, ...args])
      expect(code).toBe(0)
      expect(stderr).toContain('Nothing had to be changed.')
      expect(snapshot(folder)).toEqual(before)
    }
  })

  it('is repeated by the command it prints, in another folder', async () => {
    const cwd = scratch()
    const key = join(cwd, 'key.txt')
    fs.writeFileSync(key, SECRET)
    const given = [
      '--agent',
      'workspace',
      '--provider',
      'openai',
      '--provider-key',
      `openai=@${key}`,
      '--port',
      '2000',
      '--access',
      'ssh',
      '--ssh-target',
      'me@host.example:2222',
      '--contact',
      `Zoë "the 'one'" $HOME`,
    ]
    const { stderr } = await cli(['my-gateway', '--no-launch', '--yes', ...given], { cwd })
    const line = some(stderr.split('\n').find(text => text.includes('npx create-openclaw-secure my-gateway')))
    expect(line).not.toContain(SECRET)
    expect(stderr).toContain('Its token is in my-gateway/secrets/gateway_token.')
    // Read as a POSIX shell reads it: words, and single quotes with '\'' in them.
    const words = [...line.trim().matchAll(/(?:'[^']*'|\\'|[^\s'])+/g)].map(([word]) =>
      word.replace(/'([^']*)'|\\(')/g, (_, quoted, bare) => quoted ?? bare),
    )
    const again = words
      .slice(2)
      .map(word => (word === 'my-gateway' ? 'again/my-gateway' : word.replace('@FILE', `@${key}`)))
    expect(await cli(again, { cwd })).toMatchObject({ code: 0 })
    expect(fs.readFileSync(join(cwd, 'again/my-gateway/deployment.yaml'), 'utf8')).toBe(
      fs.readFileSync(join(cwd, 'my-gateway/deployment.yaml'), 'utf8'),
    )
  })

  it('keeps its token when an answer changes, and rewrites only what the answer changes', async () => {
    const folder = fresh()
    await cli([folder, ...usual])
    const [before, token] = [snapshot(folder), tokenOf(folder)]
    expect(await cli([folder, '--no-launch', '--yes', '--pids', '300'])).toMatchObject({ code: 0 })
    expect(tokenOf(folder)).toBe(token)
    const after = snapshot(folder)
    const changed = Object.keys(after).filter(
      path => path !== '' && !path.startsWith('.secure') && after[path] !== before[path],
    )
    expect(changed.sort()).toEqual(['deployment.yaml', 'docker-compose.yml'])
    expect(new Journal(join(folder, '.secure/journal.jsonl'), () => new Date()).verifyChain().intact).toBe(
      true,
    )
  })

  it('takes a token from a file or from stdin, and refuses another one later', async () => {
    const folder = fresh()
    expect(await cli([folder, ...usual, '--token', '@-'], { stdin: `${GOOD_TOKEN}\n` })).toMatchObject({
      code: 0,
    })
    expect(tokenOf(folder)).toBe(GOOD_TOKEN)
    const before = snapshot(folder)
    const { code, stderr } = await cli([folder, ...usual, '--token', '@-'], {
      stdin: [...GOOD_TOKEN].reverse().join(''),
    })
    expect(code).toBe(2)
    expect(stderr).toContain('does not replace a secret')
    expect(snapshot(folder)).toEqual(before)
  })

  it('does not overwrite a file somebody edited, and says which', async () => {
    const folder = fresh()
    await cli([folder, ...usual])
    fs.appendFileSync(join(folder, 'docker-compose.yml'), '\n# mine\n')
    const before = snapshot(folder)
    const { code, stderr } = await cli([folder, ...usual, '--pids', '300'])
    expect(code).toBe(2)
    expect(stderr).toContain('docker-compose.yml')
    expect(snapshot(folder)['docker-compose.yml']).toBe(before['docker-compose.yml'])
  })

  it('keeps a person’s comments in deployment.yaml', async () => {
    const folder = fresh()
    await cli([folder, ...usual])
    const path = join(folder, 'deployment.yaml')
    fs.writeFileSync(path, `# my own words\n${fs.readFileSync(path, 'utf8')}`)
    expect(await cli([folder, '--no-launch', '--yes'])).toMatchObject({ code: 0 })
    expect(fs.readFileSync(path, 'utf8')).toMatch(/^# my own words\n/)
  })

  it('with --json writes one envelope to stdout, with --quiet nothing else', async () => {
    const folder = fresh()
    const { code, stdout, stderr } = await cli([folder, ...usual, '--json', '--quiet'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^[^\n]+\n$/)
    expect(JSON.parse(stdout)).toMatchObject({
      tool: 'create-openclaw-secure',
      version: '1.2.3',
      schema: 1,
      command: 'setup',
      deployment: folder,
      startedAt: '2026-11-23T01:40:00.000Z',
      port: 18789,
    })
    expect(stdout).not.toContain(tokenOf(folder))
  })

  it('with --dry-run shows every file and writes none', async () => {
    const folder = fresh()
    const { code, stdout } = await cli([folder, ...usual, '--dry-run'])
    expect(code).toBe(0)
    for (const path of ['docker-compose.yml', 'config/openclaw.json', 'secrets/gateway_token.*'])
      expect(stdout).toContain(path)
    expect(fs.existsSync(folder)).toBe(false)
  })

  it('with --dry-run and --json writes an envelope to stdout as well', async () => {
    const { code, stdout } = await cli([fresh(), ...usual, '--dry-run', '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ tool: 'create-openclaw-secure', command: 'setup' })
  })

  it('ends with 130 and nothing changed when the person stopped it before it began', async () => {
    const folder = fresh()
    expect(await cli([folder, ...usual], { signal: AbortSignal.abort() })).toMatchObject({
      code: 130,
      stderr: expect.stringContaining('Nothing was changed'),
    })
    expect(fs.existsSync(join(folder, 'secrets'))).toBe(false)
  })
})

describe('the other commands', () => {
  const deployed = async (folder = fresh()) => {
    await cli([folder, '--no-launch', '--yes', '--quiet'])
    return folder
  }

  // For those that change nothing in it.
  const common = fs.mkdtempSync(join(tmpdir(), 'ocs-unit-cli-'))
  const deployment = join(common, 'my-gateway')
  beforeAll(async () => {
    await deployed(deployment)
  })
  afterAll(() => fs.rmSync(common, { recursive: true, force: true }))

  it.each(['verify', 'status'])(
    '%s ends with 2 where there is no deployment, and makes none',
    async command => {
      const folder = scratch()
      expect(await cli([command, '--dir', folder])).toMatchObject({
        code: 2,
        stdout: '',
        stderr: expect.stringContaining('no deployment'),
      })
      expect(fs.readdirSync(folder)).toEqual([])
    },
  )

  it.each(['verify', 'status'])('%s ends with 2 when deployment.yaml is spoilt', async command => {
    const folder = await deployed()
    fs.appendFileSync(join(folder, 'deployment.yaml'), 'acess: 1\n')
    expect(await cli([command, '--dir', folder])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('acess (deployment.yaml, line'),
    })
  })

  it('verify ends with 0 when all it was asked for passes, 1 when something fails, 3 when it cannot look', async () => {
    const dir = ['verify', '--dir', deployment]
    expect(await cli([...dir, '--only', 'token.strength'])).toMatchObject({ code: 0 })
    expect(await cli([...dir, '--only', 'monitor.configured'])).toMatchObject({ code: 1 })
    expect(await cli([...dir, '--only', 'privileges.none'])).toMatchObject({ code: 3 })
  })

  it('verify ends with 3 also when something else fails: with something unseen, that is not yet all', async () => {
    const dir = ['verify', '--dir', deployment]
    expect(await cli([...dir, '--only', 'privileges.none', '--only', 'monitor.*'])).toMatchObject({ code: 3 })
    expect(await cli(dir)).toMatchObject({ code: 3 })
  })

  it('verify changes nothing but its own memory of the last run, which nobody else can read', async () => {
    const folder = await deployed()
    const before = snapshot(folder)
    await cli(['verify', '--dir', folder])
    const after = snapshot(folder)
    const memory = '.secure/verify.json'
    expect(fs.statSync(join(folder, memory)).mode & 0o777).toBe(0o600)
    expect(fs.readFileSync(join(folder, memory), 'utf8')).not.toContain(tokenOf(folder))
    // The file is made beside its place and moved there, which the folder's times show.
    for (const path of [memory, '.secure']) {
      delete before[path]
      delete after[path]
    }
    expect(after).toEqual(before)
  })

  it('verify says what is another verdict than in the last run, and only that', async () => {
    const folder = await deployed()
    const args = ['verify', '--dir', folder, '--static', '--json']
    expect(JSON.parse((await cli(args)).stdout)).not.toHaveProperty('drift')
    expect(JSON.parse((await cli(args)).stdout).drift).toMatchObject({ verdicts: [], facts: [] })
    fs.chmodSync(join(folder, 'state'), 0o755)
    expect(JSON.parse((await cli(args)).stdout).drift).toMatchObject({
      verdicts: [{ check: 'files.private', from: 'pass', to: 'fail' }],
    })
  })

  it('verify --static needs no engine, and runs every check that needs none', async () => {
    const { code, stdout } = await cli(['verify', '--dir', deployment, '--static', '--json'])
    const findings: { check: string; kind: string; verdict: string; evidence: string }[] =
      JSON.parse(stdout).findings
    expect(findings.length).toBeGreaterThan(40)
    expect(new Set(findings.map(({ kind }) => kind))).toEqual(new Set(['static']))
    expect(stdout).not.toContain('a static check asked for')
    const of = (wanted: string) =>
      findings.filter(({ verdict }) => verdict === wanted).map(({ check }) => check)
    expect(of('unknown')).toEqual([])
    // No engine has said what the image is, other commands come later, and nobody has said whom to call.
    expect(of('fail')).toEqual([
      'image.pinned',
      'monitor.configured',
      'backup.restored',
      'incident.contact',
      'incident.drilled',
    ])
    expect(code).toBe(1)
  })

  it('verify refuses options that contradict each other, and a check to accept that nobody knows', async () => {
    const folder = await deployed()
    const refused = async (...args: string[]) => {
      const ran = await cli(['verify', '--dir', folder, ...args])
      expect(ran).toMatchObject({ code: 2, stdout: '' })
      return ran.stderr
    }
    expect(await refused('--static', '--prove')).toContain('--static and --prove')
    expect(await refused('--json', '--format', 'html')).toContain('--json and --format html')
    expect(await refused('--container', 'x')).toContain('only for a folder that this tool did not make')
    fs.appendFileSync(
      join(folder, 'deployment.yaml'),
      'suppress:\n  - {check: token.strenght, reason: "for the move only", until: "2099-12-31"}\n',
    )
    expect(await refused()).toContain('token.strenght')
  })

  it('verify skips a failure that somebody accepts, until the day named', async () => {
    const folder = await deployed()
    const args = ['verify', '--dir', folder, '--only', 'monitor.configured', '--json']
    const accept = (until: string) =>
      fs.appendFileSync(
        join(folder, 'deployment.yaml'),
        `suppress:\n  - {check: monitor.configured, reason: "until the move", until: "${until}"}\n`,
      )
    const text = fs.readFileSync(join(folder, 'deployment.yaml'), 'utf8')
    accept('2026-12-31')
    expect(await cli(args)).toMatchObject({ code: 0, stdout: expect.stringContaining('until the move') })
    fs.writeFileSync(join(folder, 'deployment.yaml'), text)
    accept('2026-11-22')
    expect(await cli(args)).toMatchObject({ code: 1, stdout: expect.stringContaining('which is over') })
  })

  it('verify judges a folder that somebody made by hand, and writes nothing there', async () => {
    const folder = scratch()
    fs.writeFileSync(
      join(folder, 'compose.yaml'),
      'services: {gw: {image: "openclaw:latest", privileged: true}}',
    )
    const before = snapshot(folder)
    const { code, stdout } = await cli(['verify', '--dir', folder, '--static', '--json'])
    const verdicts = new Map(
      JSON.parse(stdout).findings.map((one: { check: string; verdict: string }) => [one.check, one.verdict]),
    )
    expect(verdicts.get('compose.host')).toBe('fail')
    expect(verdicts.get('image.pinned')).toBe('fail')
    expect(verdicts.get('journal.intact')).toBe('skip')
    // There is no openclaw.json to look at.
    expect(verdicts.get('agents.contained')).toBe('unknown')
    expect(code).toBe(3)
    expect(snapshot(folder)).toEqual(before)
  })

  it('verify as JSON has every finding it was asked for, and the token nowhere', async () => {
    const folder = deployment
    for (const format of [['--json'], ['--format', 'json']]) {
      const { stdout } = await cli(['verify', '--dir', folder, '--only', 'token.*', ...format])
      expect(JSON.parse(stdout).findings.map((finding: { check: string }) => finding.check)).toEqual([
        ...['token.strength', 'token.accepted', 'token.required', 'token.guessed', 'token.limiter'],
        ...['token.age', 'token.own', 'token.file'],
      ])
      expect(stdout).not.toContain(tokenOf(folder))
    }
  })

  it('verify refuses a check and a format nobody knows, with those there are', async () => {
    const folder = deployment
    expect(await cli(['verify', '--dir', folder, '--only', 'token.strenght'])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('token.strength'),
    })
    expect(await cli(['verify', '--dir', folder, '--format', 'xml'])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('text, json'),
    })
  })

  it('status ends with 3 when nothing runs, and says so', async () => {
    const folder = await deployed()
    const { code, stdout } = await cli(['status', '--dir', folder, '--json'])
    expect(code).toBe(3)
    expect(JSON.parse(stdout)).toMatchObject({
      command: 'status',
      name: 'my-gateway',
      running: false,
      journal: { intact: true },
    })
    expect(stdout).not.toContain(tokenOf(folder))
  })

  it('status says when the journal was changed', async () => {
    const folder = await deployed()
    const path = join(folder, '.secure/journal.jsonl')
    fs.writeFileSync(path, fs.readFileSync(path, 'utf8').replace('"begun"', '"done"'))
    expect((await cli(['status', '--dir', folder])).stdout).toMatch(/^journal +broken at line 2$/m)
  })
})
