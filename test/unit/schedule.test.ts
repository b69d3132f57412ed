import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { BlockList } from 'node:net'
import { userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Program } from '../../src/commands/program.ts'
import { recordRun, scheduleProblems } from '../../src/commands/schedule.ts'
import { lastRotation } from '../../src/commands/status-schedule.ts'
import type { Answers } from '../../src/deployment/answers.ts'
import { layoutOf } from '../../src/deployment/layout.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { Exit, type ExitCode, ToolError } from '../../src/errors.ts'
import { Journal } from '../../src/procedure/journal.ts'
import { runProcedure } from '../../src/procedure/run.ts'
import { Cron, cronLine } from '../../src/schedule/cron.ts'
import { judgeSchedule, type ScheduleFacts } from '../../src/schedule/judge.ts'
import { type Order, type ScheduleNote, scheduleNote } from '../../src/schedule/port.ts'
import { recordedRun, recordPath, writeRun } from '../../src/schedule/record.ts'
import { expectSafe, unsafePaths } from '../../src/schedule/safe.ts'
import {
  engineEndpoint,
  orderOf,
  programPath,
  type ScheduleState,
  scheduleState,
} from '../../src/schedule/schedule.ts'
import { propertiesOf, Systemd, seenOf } from '../../src/schedule/systemd.ts'
import { copyTool, isToolWhole, removeOtherTools, toolCopy, toolFolder } from '../../src/schedule/tool.ts'
import { rest, word } from '../../src/schedule/unit.ts'
import { Redactor } from '../../src/secret.ts'
import { findCredential, ownsSecretId } from '../../src/stores/credential.ts'
import {
  type ScheduleContext,
  scheduleSteps,
  type UnscheduleContext,
  unscheduleSteps,
} from '../../steps/rotate/schedule.ts'
import { ANSWERS, scratch, some, thrown } from './support.ts'
import { event } from './world.ts'

const NOW = new Date('2026-11-26T04:00:00Z')
const NODE = '/usr/bin/node'
const TOOL = { version: '1.2.3', hash: 'abcdef0123456789'.repeat(4) }

function orderFor(
  root: string,
  change: Partial<Answers> = {},
  more: Partial<Parameters<typeof orderOf>[0]> = {},
): Order {
  const answers = { ...ANSWERS, ...change }
  const sources = { every: 'monthly', node: NODE, env: {}, cwd: '/work', home: '/root', tool: TOOL } as const
  const usual = { endpoint: undefined, withCredential: ownsSecretId(answers) }
  return orderOf({ answers, layout: layoutOf(root), ...sources, ...usual, ...more })
}

/** A systemd whose units are in a folder of ours; `says` answers for systemctl. */
function systemdIn(
  folder: string,
  uid = 0,
  says: (args: string) => Partial<{ code: number; stdout: string }> = () => ({}),
) {
  const asked: string[] = []
  const run: ProcessRunner = async (_, args) => {
    const text = args.filter(arg => arg !== '--no-ask-password').join(' ')
    asked.push(text)
    return { code: 0, stdout: '', stderr: '', ...says(text) }
  }
  const places = {
    units: join(folder, 'units'),
    runtime: join(folder, 'runtime'),
    stamps: join(folder, 'stamps'),
    linger: join(folder, 'linger'),
  }
  for (const path of Object.values(places)) mkdirSync(path, { recursive: true })
  return { systemd: new Systemd({ run, uid, places, systemctl: ['systemctl'] }), places, asked }
}

/** Settings of a unit file, each with all its values. */
function settingsOf(text: string): Record<string, string[]> {
  const found: Record<string, string[]> = {}
  for (const line of text.split('\n').filter(one => /^\w/.test(one))) {
    const [name = ''] = line.split('=', 1)
    found[name] = [...(found[name] ?? []), line.slice(name.length + 1)]
  }
  return found
}

/** Words as systemd reads them (systemd.syntax(7), "Quoting"), and its specifiers. */
function wordsOf(text: string): string[] {
  return [...text.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(match =>
    (match[1] ?? match[2] ?? '').replaceAll(/\\(.)/g, '$1').replaceAll('%%', '%'),
  )
}

function serviceOf(order: Order): Record<string, string[]> {
  const { systemd } = systemdIn(scratch())
  return settingsOf(some(systemd.plan(order)[0]).content)
}

describe('what runs every day', () => {
  it('rotates the gateway token once it is old enough, goes on with what was cut short, and asks nobody', () => {
    const { command } = orderFor('/srv/gw')
    expect(command.join(' ')).toBe(
      `${NODE} /srv/gw/.secure/tool/abcdef0123456789/bin/create-openclaw-secure.js rotate gateway_token --dir /srv/gw --resume --if-older-than 28d --yes --scheduled`,
    )
    expect(orderFor('/srv/gw', {}, { every: 'weekly' }).command).toContain('6d')
  })

  it('rotates a secret id as well that is kept here, and reads it where it is replaced', () => {
    const order = orderFor('/srv/gw', { store: 'vault', vaultAuth: 'approle' })
    expect(order.command).toContain('store_credential')
    expect(serviceOf(order).LoadCredential).toBeUndefined()
  })

  it.each<[string, Partial<Answers>, string]>([
    [
      'a token that is kept',
      { store: 'vault', vaultAuth: 'token' },
      'vault_credential:/srv/gw/.secure/credentials/vault',
    ],
    [
      'a secret id in a file',
      { store: 'vault', credentialFile: '/etc/50% id' },
      'vault_credential:/etc/50%% id',
    ],
    [
      '1Password’s token',
      { store: '1password' },
      '1password_credential:/srv/gw/.secure/credentials/1password',
    ],
  ])('has %s from systemd (credential leakage)', (_, change, expected) => {
    expect(serviceOf(orderFor('/srv/gw', change)).LoadCredential).toEqual([expected])
  })

  it('reaches this machine alone where the store is here, and never a cloud’s metadata (network exfiltration)', () => {
    expect(serviceOf(orderFor('/srv/gw')).IPAddressAllow).toEqual(['localhost'])
    expect(serviceOf(orderFor('/srv/gw')).IPAddressDeny).toEqual(['any'])
    const allowed = new BlockList()
    for (const range of some(serviceOf(orderFor('/srv/gw', { store: 'vault' })).IPAddressAllow)[0]?.split(
      ' ',
    ) ?? []) {
      const [address = '', bits] = range.split('/')
      allowed.addSubnet(address, Number(bits), address.includes(':') ? 'ipv6' : 'ipv4')
    }
    for (const address of [
      '127.0.0.1',
      '10.1.2.3',
      '172.16.0.1',
      '192.168.1.1',
      '8.8.8.8',
      '169.253.255.255',
      '169.255.0.1',
      '1.1.1.1',
      '223.1.1.1',
    ])
      expect(allowed.check(address), address).toBe(true)
    for (const address of ['169.254.169.254', '169.254.0.1', '224.0.0.1', '255.255.255.255', '0.0.0.0'])
      expect(allowed.check(address), address).toBe(false)
    for (const address of ['::1', '2001:db8::1', 'fd00::1'])
      expect(allowed.check(address, 'ipv6'), address).toBe(true)
    for (const address of ['fe80::1', 'ff02::1']) expect(allowed.check(address, 'ipv6'), address).toBe(false)
  })

  it('sees of the folders that are hidden from it only what it needs', () => {
    const node = '/root/.nvm/bin/node'
    const order = orderFor('/home/me/gw', { store: 'vault', vaultCa: '/home/me/ca.pem' }, { node })
    const service = serviceOf(order)
    expect(service.BindPaths?.flatMap(wordsOf)).toEqual(['/home/me/gw'])
    expect(service.BindReadOnlyPaths?.flatMap(wordsOf)).toEqual(['-/root/.docker', node, '/home/me/ca.pem'])
    expect(service.ExecPaths?.flatMap(wordsOf)).toEqual([node])
    expect(serviceOf(orderFor('/srv/gw')).ExecPaths).toBeUndefined()
  })

  it('finds the engine where the person finds it', () => {
    const env = { DOCKER_HOST: 'tcp://engine:2376', PATH: '/nonexistent' }
    const order = orderFor('/srv/gw', {}, { env, endpoint: env.DOCKER_HOST })
    const service = serviceOf(order)
    expect(service.Environment?.flatMap(wordsOf)).toContain('DOCKER_HOST=tcp://engine:2376')
    expect(service.IPAddressAllow).not.toEqual(['localhost'])
  })

  it.each([
    ['/home/me/.docker/desktop/docker.sock', ['-/home/me/.docker/desktop/docker.sock']],
    ['/var/run/docker.sock', []],
  ])('is shown the engine’s socket %s where it would not see it', (socket, expected) => {
    const service = serviceOf(orderFor('/srv/gw', {}, { endpoint: `unix://${socket}` }))
    expect(service.BindPaths?.flatMap(wordsOf)).toEqual(['/srv/gw', ...expected])
    expect(service.IPAddressAllow).toEqual(['localhost'])
  })

  it('reads Docker’s settings from where the person has them, and not from where the run begins', () => {
    const env = { DOCKER_CONFIG: 'conf', DOCKER_CERT_PATH: '../certs' }
    expect(orderFor('/srv/gw', {}, { env })).toMatchObject({
      environment: { DOCKER_CONFIG: '/work/conf', DOCKER_CERT_PATH: '/certs' },
      ...{ dockerConfig: '/work/conf', reads: ['/certs'] },
    })
  })

  it('asks docker itself for the engine it talks to', async () => {
    const folder = scratch()
    writeFileSync(join(folder, 'docker'), '', { mode: 0o755 })
    const run: ProcessRunner = async (_, args) => ({
      ...{ code: 0, stderr: '' },
      stdout: args[1] === 'inspect' ? 'ssh://far\n' : '',
    })
    expect(await engineEndpoint(run, { PATH: folder })).toBe('ssh://far')
    expect(await engineEndpoint(run, { PATH: folder, DOCKER_HOST: 'unix:///x' })).toBe('unix:///x')
    expect(await engineEndpoint(run, { PATH: '/nonexistent' })).toBeUndefined()
    expect(orderFor('/srv/gw', {}, { endpoint: 'ssh://far' }).isLocal).toBe(false)
  })
})

describe('a path in a unit file (command injection)', () => {
  const text = fc.stringMatching(/^[ -~äß€]{1,40}$/)

  it('is the same path for systemd, whatever is in it', () => {
    fc.assert(
      fc.property(text, path => {
        expect(wordsOf(word(`/x${path}`))).toEqual([`/x${path}`])
        expect(word(path)).not.toMatch(/(?<!%)(%%)*%(?!%)/)
      }),
    )
  })

  it.each(['a\nExecStart=/bin/sh', 'a\rb', 'a\tb', 'a\0b', 'a\u0085b'])(
    'is refused with %j in it',
    async path => {
      expect(await thrown(() => word(path))).toMatchObject({ code: 'schedule_path', exit: 2 })
      expect(await thrown(() => rest(path))).toMatchObject({ code: 'schedule_path', exit: 2 })
      expect(await thrown(() => cronLine(`/srv/${path}`))).toMatchObject({ code: 'schedule_path' })
    },
  )

  it.each([' /a', '/a ', '/a\\'])('that systemd would read otherwise is refused: %j', async path => {
    expect(await thrown(() => rest(path))).toMatchObject({ code: 'schedule_path' })
  })

  it('with a backslash is none Node could run something in', async () => {
    expect(await thrown(() => orderFor('/srv/a\\b'))).toMatchObject({ code: 'schedule_path' })
  })

  it('adds no setting to a unit', () => {
    const usual = Object.keys(serviceOf(orderFor('/srv/gw')))
    const odd = serviceOf(orderFor('/srv/a" b\' %h $X ;#[Service]'))
    expect(Object.keys(odd)).toEqual(usual)
    expect(wordsOf(some(odd.ExecStart)[0] ?? '')).toContain('/srv/a" b\' %h $$X ;#[Service]')
  })
})

describe('a line of cron', () => {
  it.each(['/srv/gw', '/srv/50% off', '/srv/it\'s "x"', '/srv/$HOME `id` ;&|>', "/srv/%'%"])(
    'calls the same script with every cron: %s',
    name => {
      const root = join(scratch(), name)
      mkdirSync(layoutOf(root).own, { recursive: true })
      writeFileSync(resolve(root, '.secure/schedule.sh'), 'echo called')
      const command = cronLine(root).split(' ').slice(5).join(' ')
      // Some crons take the backslash before a % away, others leave it; without one it is the end.
      expect(command).not.toMatch(/(?<!\\)%/)
      for (const seen of [command, command.replaceAll('\\%', '%')])
        expect(execFileSync('sh', ['-c', seen], { encoding: 'utf8' })).toBe('called\n')
    },
  )

  it.each(['/srv/gw', '/srv/it\'s "x" 50%', '/srv/$HOME `id` ;&|>'])(
    'has a script with the same command for every shell: %s',
    name => {
      const root = join(scratch(), name)
      mkdirSync(layoutOf(root).own, { recursive: true })
      const { cron } = cronWith(undefined)
      const command = ['/bin/echo', '--dir', root] as const
      const [script] = cron.plan({ ...orderFor(root), command })
      const path = join(scratch(), 'x.sh')
      for (let run = 0; run < 2; run++) {
        writeFileSync(path, some(script).content)
        execFileSync('sh', [path])
        // What the run before has said is not kept.
        expect(readFileSync(layoutOf(root).scheduleLog, 'utf8')).toBe(`--dir ${root}\nended with 0\n`)
      }
    },
  )

  it('that some crons would cut off is refused', async () => {
    expect(cronLine(`/srv/${'x'.repeat(800)}`)).toContain('xxx')
    expect(await thrown(() => cronLine(`/srv/${'x'.repeat(1000)}`))).toMatchObject({ code: 'schedule_path' })
  })

  it('is early in the morning, at a time that follows from the folder', () => {
    const times = new Set(
      Array.from({ length: 40 }, (_, index) => cronLine(`/srv/gw${index}`).split(' ').slice(0, 2).join(' ')),
    )
    expect(times.size).toBeGreaterThan(30)
    for (const time of times) expect(time).toMatch(/^([0-9]|[1-5][0-9]) [0-5]$/)
  })
})

/** A cron whose crontab is a text of ours, and whose machine is a folder. */
function cronWith(text: string | undefined, answer = 'ended with 0\n') {
  const state = { text, written: 0 }
  const folder = scratch()
  const run: ProcessRunner = async (program, args, { input }) => {
    if (program === 'env') return { code: 0, stdout: answer, stderr: '' }
    // As crontab(1) does, later.
    await new Promise(resolve => setTimeout(resolve, 5))
    if (args[0] === '-l')
      return state.text === undefined
        ? { code: 1, stdout: '', stderr: 'no crontab for me\n' }
        : { code: 0, stdout: state.text, stderr: '' }
    state.written += 1
    state.text = args[0] === '-r' ? undefined : String(input)
    return { code: 0, stdout: '', stderr: '' }
  }
  const places = { proc: join(folder, 'proc'), runtime: join(folder, 'run'), lock: join(folder, 'lock') }
  for (const path of [places.proc, places.runtime]) mkdirSync(path)
  /** A process, as proc(5) shows it. */
  const process = (
    pid: number,
    name: string,
    more: { namespaces?: string; command?: string; state?: string } = {},
  ) => {
    mkdirSync(join(places.proc, String(pid)))
    const files = {
      comm: `${name}\n`,
      status: `State:\t${more.state ?? 'S (sleeping)'}\nNSpid:\t${more.namespaces ?? pid}\n`,
      cmdline: more.command ?? '',
    }
    for (const [file, content] of Object.entries(files))
      writeFileSync(join(places.proc, String(pid), file), content)
  }
  return { cron: new Cron({ run, ...places }), state, places, process }
}

describe('cron', () => {
  function folder(): string {
    const root = scratch()
    mkdirSync(layoutOf(root).own)
    return root
  }

  it.each([undefined, '# mine\n\n5 5 * * * true\n'])(
    'gets a line and loses it, and nothing else changes',
    async before => {
      const { cron, state } = cronWith(before)
      const root = folder()
      const order = orderFor(root)
      const files = await cron.prove(order)
      await cron.install(order, files)
      await cron.install(order, files)
      expect(state).toEqual({ text: `${before ?? ''}${cronLine(root)}\n`, written: 1 })
      expect(statSync(resolve(root, '.secure/schedule.sh')).mode & 0o777).toBe(0o700)
      expect(await cron.has('x', root)).toBe(true)
      expect(await cron.remove('x', '/srv/other')).toBe(false)
      expect(await cron.remove('x', root)).toBe(true)
      expect(await cron.remove('x', root)).toBe(false)
      expect(state).toEqual({ text: before, written: 2 })
      expect(readdirSync(layoutOf(root).own)).toEqual([])
    },
  )

  it('keeps the lines of all deployments that are scheduled at the same time', async () => {
    const { cron, state } = cronWith('# mine\n')
    const roots = Array.from({ length: 5 }, folder)
    await Promise.all(roots.map(root => cron.install(orderFor(root), cron.plan(orderFor(root)))))
    expect(state.text?.split('\n').sort()).toEqual(['', '# mine', ...roots.map(cronLine)].sort())
  })

  it('gets nothing where the run could not even begin', async () => {
    const { cron, state } = cronWith(undefined, 'Docker is not here\nended with 3\n')
    expect(await thrown(() => cron.prove(orderFor('/srv/gw')))).toMatchObject({
      code: 'schedule_failed',
      message: expect.stringContaining('Docker is not here'),
    })
    expect(state.written).toBe(0)
  })

  it('that does not let us look is not taken for an empty one', async () => {
    const cron = new Cron({ run: async () => ({ code: 1, stdout: '', stderr: 'you may not\n' }) })
    expect(await thrown(() => cron.has('x', '/srv/gw'))).toMatchObject({ code: 'schedule_unknown' })
  })

  it('with bytes that could not be written back as they were is left alone', async () => {
    const { cron, state } = cronWith('# caf\ufffd\n')
    const root = folder()
    expect(await thrown(() => cron.install(orderFor(root), cron.plan(orderFor(root))))).toMatchObject({
      code: 'schedule_unknown',
    })
    expect(state.written).toBe(0)
  })

  it.each<[string, boolean | undefined, (scene: ReturnType<typeof cronWith>) => void]>([
    ['cron', true, ({ process }) => process(7, 'cron')],
    ['crond', true, ({ process }) => process(7, 'crond')],
    ['busybox', true, ({ process }) => process(7, 'busybox', { command: 'busybox\0crond\0-f\0' })],
    ['no daemon', false, () => {}],
    ['another busybox', false, ({ process }) => process(7, 'busybox', { command: 'busybox\0sh\0' })],
    ['one that has ended', false, ({ process }) => process(7, 'cron', { state: 'Z (zombie)' })],
    ['one inside of a container', false, ({ process }) => process(7, 'cron', { namespaces: '7\t1' })],
    [
      'hidden processes, and a number that lives',
      true,
      ({ places }) => {
        rmSync(join(places.proc, '1'), { recursive: true })
        writeFileSync(join(places.runtime, 'crond.pid'), `${process.pid}\n`)
      },
    ],
    ['hidden processes', undefined, ({ places }) => rmSync(join(places.proc, '1'), { recursive: true })],
  ])('runs, or does not, or nobody can tell: %s', async (_, isActive, prepare) => {
    const scene = cronWith(undefined)
    scene.process(1, 'init')
    prepare(scene)
    expect(await scene.cron.look({ root: '/srv/gw' } as ScheduleNote, NOW)).toMatchObject({
      isActive,
      ...(isActive === false ? { wrong: ['no cron daemon is running'] } : {}),
      ...(isActive === undefined ? { unsure: ['whether a cron daemon is running'] } : {}),
    })
  })
})

describe('what systemd says', () => {
  const timer = propertiesOf(
    'LoadState=loaded\nUnitFileState=enabled\nActiveState=active\nResult=success\n' +
      'NextElapseUSecRealtime=Fri 2026-11-27 05:12:52.123456 UTC\n',
  )

  it('is read', () => {
    const service = { Result: 'success', ExecMainStartTimestamp: 'Thu 2026-11-26 03:55:00 UTC' }
    expect(seenOf(timer, service)).toEqual({
      ...{ isEnabled: true, isActive: true },
      started: new Date('2026-11-26T03:55:00Z'),
      nextRun: new Date('2026-11-27T05:12:52Z'),
    })
  })

  it.each([
    ['exit-code', '3', 'exit-code (3)'],
    ['timeout', '15', 'timeout (15)'],
    ['resources', '0', 'resources'],
  ])('of a failure is said: %s', (Result, ExecMainStatus, expected) => {
    expect(seenOf(timer, { Result, ExecMainStatus }).failure).toBe(expected)
  })

  it('of a service that has not run since the machine was started is nothing', () => {
    const service = { Result: 'success', ExecMainStartTimestamp: '', ExecMainStatus: '0' }
    expect(seenOf({}, service)).toEqual({ isEnabled: false, isActive: false })
  })
})

describe('systemd', () => {
  const files = (folder: string) => readdirSync(folder, { recursive: true }).map(String).sort()

  it('gets its units, enabled and started, the same ones however often; and loses all of them', async () => {
    const { systemd, places, asked } = systemdIn(scratch())
    const order = orderFor('/srv/gw')
    const planned = await systemd.prove(order)
    expect(files(places.runtime)).toEqual([])
    await systemd.install(order, planned)
    const unit = 'create-openclaw-secure-rotate-my-gateway'
    expect(files(places.units)).toEqual([`${unit}.service`, `${unit}.timer`])
    expect(asked.slice(-3)).toEqual(['daemon-reload', `enable ${unit}.timer`, `restart ${unit}.timer`])
    await systemd.install(order, await systemd.prove(order))
    mkdirSync(join(places.units, `${unit}.timer.d`))
    writeFileSync(join(places.stamps, `stamp-${unit}.timer`), '')
    writeFileSync(join(places.runtime, `${unit}-probe.service`), '')
    expect(await systemd.remove(`${unit}.timer`, '/srv/gw')).toBe(true)
    expect(Object.values(places).flatMap(place => (existsSync(place) ? files(place) : []))).toEqual([])
    expect(await systemd.remove(`${unit}.timer`, '/srv/gw')).toBe(false)
  })

  it('is left alone where another folder has a unit of that name', async () => {
    const { systemd, places } = systemdIn(scratch())
    const folder = scratch()
    mkdirSync(layoutOf(folder).own)
    writeFileSync(layoutOf(folder).schedule, '{}')
    const theirs = orderFor(folder)
    await systemd.install(theirs, systemd.plan(theirs))
    const before = files(places.units).length
    expect(await thrown(() => systemd.prove(orderFor('/srv/ours')))).toMatchObject({
      ...{ code: 'schedule_taken', exit: 2 },
      message: expect.stringContaining(folder),
      hint: expect.stringContaining('--name'),
    })
    const unit = systemd.unit('my-gateway')
    expect(await systemd.remove(unit, '/srv/ours')).toBe(false)
    expect(files(places.units)).toHaveLength(before)
    // A folder that is gone, or that was moved, has no timer.
    rmSync(folder, { recursive: true })
    await systemd.prove(orderFor('/srv/ours'))
    expect(await systemd.remove(unit, '/srv/ours')).toBe(true)
  })

  it('that does not answer loses nothing, and is not said to have', async () => {
    const { systemd, places } = systemdIn(scratch(), 0, args => (args.startsWith('show ') ? { code: 1 } : {}))
    const order = orderFor('/srv/gw')
    await systemd.install(order, systemd.plan(order))
    expect(await thrown(() => systemd.remove(systemd.unit(order.name), '/srv/gw'))).toMatchObject({
      code: 'schedule_unknown',
    })
    expect(files(places.units)).toHaveLength(2)
  })

  it('is shown to work by the run itself, which then changes nothing, and by the engine', async () => {
    const { systemd, places } = systemdIn(scratch(), 0, args => {
      if (args.startsWith('start '))
        started = readFileSync(join(places.runtime, some(args.split(' ')[1])), 'utf8')
      return {}
    })
    let started = ''
    const docker = scratch()
    writeFileSync(join(docker, 'docker'), '', { mode: 0o755 })
    await systemd.prove(orderFor('/srv/gw', {}, { env: { PATH: docker } }))
    const [run, engine] = some(settingsOf(started).ExecStart).map(line => wordsOf(line).join(' '))
    expect(run).toMatch(/ rotate gateway_token --dir \/srv\/gw --resume --if-older-than 28d --yes --dry-run$/)
    expect(engine).toContain(`${docker}/docker version`)
  })

  it.each<[string, string[], RegExp, string]>([
    ['yes', ['yes\n', ''], /^$/, 'lingers'],
    ['no', ['no\n', ''], /^it stops when you log out: loginctl enable-linger/, 'wrong'],
    ['no session', ['', 'User ID 1000 is not logged in or lingering\n'], /^it stops when/, 'wrong'],
    ['nobody says', ['', 'Failed to connect to bus\n'], /^whether it goes on when you log out/, 'unsure'],
  ])(
    'of a user ends with his session, unless he lingers: %s',
    async (_, [stdout = '', stderr = ''], text, key) => {
      const folder = scratch()
      const { places } = systemdIn(folder)
      const run: ProcessRunner = async program =>
        program === 'loginctl'
          ? { code: stdout === '' ? 1 : 0, stdout, stderr }
          : { code: 0, stdout: 'LoadState=loaded\n', stderr: '' }
      const systemd = new Systemd({ run, uid: 1000, places, systemctl: ['systemctl'] })
      const look = () => systemd.look({ unit: 'x.timer', files: [] as ScheduleNote['files'] } as ScheduleNote)
      const seen = await look()
      expect([...(seen.wrong ?? []), ...(seen.unsure ?? [])].join()).toMatch(text)
      if (key !== 'lingers') expect(seen).toMatchObject({ [key]: [expect.stringMatching(text)] })
      writeFileSync(join(places.linger, userInfo().username), '')
      expect(await look()).toMatchObject({ wrong: [], unsure: [] })
    },
  )

  it('names what somebody has added to our units, and not what is for all', async () => {
    const { systemd } = systemdIn(scratch(), 0, () => ({
      stdout: 'DropInPaths=/usr/lib/systemd/system/service.d/a.conf /etc/systemd/system/x.service.d/b.conf\n',
    }))
    const note = { unit: 'x.timer', files: [] as ScheduleNote['files'] } as ScheduleNote
    const { wrong } = await systemd.look(note)
    expect(wrong?.join()).toContain('changed by /etc/systemd/system/x.service.d/b.conf')
    expect(wrong?.join()).not.toContain('/usr/lib')
  })

  it.each(['.timer.d/x.conf', '.service.d/x.conf'])(
    'loses what a killed removal has left: %s',
    async left => {
      const { systemd, places } = systemdIn(scratch())
      const path = join(places.units, `create-openclaw-secure-rotate-my-gateway${left}`)
      mkdirSync(resolve(path, '..'))
      writeFileSync(path, '')
      expect(await systemd.remove(systemd.unit('my-gateway'), '/srv/gw')).toBe(true)
      expect(files(places.units)).toEqual([])
    },
  )

  it('of a user has no namespaces where none are to be had, and works', async () => {
    let starts = 0
    const { systemd, places } = systemdIn(scratch(), 1000, args =>
      args.startsWith('start ')
        ? { code: ++starts === 1 ? 1 : 0 }
        : args.startsWith('show ')
          ? { stdout: 'Result=exit-code\n' }
          : {},
    )
    const order = orderFor('/home/me/gw')
    expect(systemd.plan(order)).toHaveLength(3)
    const proven = await systemd.prove(order)
    expect(proven.map(({ optional }) => optional)).toEqual([undefined, undefined])
    // One that was there before does not stay.
    await systemd.install(order, systemd.plan(order))
    await systemd.install(order, proven)
    expect(files(places.units).filter(name => name.endsWith('.conf'))).toEqual([])
  })

  it('that cannot start the program at all gets nothing', async () => {
    const { systemd, places } = systemdIn(scratch(), 0, args =>
      args.startsWith('start ')
        ? { code: 1 }
        : args.startsWith('show ')
          ? { stdout: 'Result=exit-code\n' }
          : {},
    )
    expect(await thrown(() => systemd.prove(orderFor('/srv/gw')))).toMatchObject({
      code: 'schedule_failed',
      message: expect.stringContaining('exit-code'),
    })
    expect([...files(places.units), ...files(places.runtime)]).toEqual([])
  })
})

/** A deployment that can be scheduled, with a systemd of its own. */
function scene(uid = process.getuid?.() ?? 0) {
  const root = scratch()
  const layout = layoutOf(root)
  mkdirSync(layout.own)
  const source = scratch()
  for (const name of ['node', 'a.js']) writeFileSync(join(source, name), name)
  const files = new Map([['bin/create-openclaw-secure.js', join(source, 'a.js')]])
  let isOn = false
  const { systemd, places } = systemdIn(scratch(), 0, args => {
    if (/^(en|dis)able /.test(args)) isOn = args.startsWith('enable ')
    return {}
  })
  const order = orderFor(root, {}, { node: join(source, 'node'), home: source, tool: toolCopy(files) })
  const run: ProcessRunner = async () => ({
    ...{ code: 0, stderr: '' },
    stdout: `LoadState=loaded\nUnitFileState=${isOn ? 'enabled\nActiveState=active' : 'disabled'}\nResult=success\n`,
  })
  const context: ScheduleContext = {
    ...{ order, scheduler: systemd, store: 'docker', files },
    ...{ asking: { run, uid, places }, trusted: { uid, gid: process.getgid?.() ?? 0 }, now: () => NOW },
  }
  const runtime = {
    journal: new Journal(join(scratch(), 'journal.jsonl'), () => NOW),
    progress: { begin() {}, done() {}, skipped() {}, failed() {} },
    signal: new AbortController().signal,
    ...{ lock: async () => () => {}, runId: 'r', dryRun: false },
  }
  const install = () => runProcedure('rotate-schedule', scheduleSteps, context, runtime)
  const off = (more: Partial<UnscheduleContext> = {}) =>
    runProcedure(
      'rotate-schedule',
      unscheduleSteps,
      { name: order.name, layout, asking: context.asking, schedulers: [systemd], ...more },
      runtime,
    )
  const state = () => scheduleState(layout, context.asking, NOW)
  return { root, layout, places, source, install, off, context, systemd, state }
}

/** All that is wrong, or not known. */
function judged(state: ScheduleState | undefined, more: Partial<ScheduleFacts> = {}) {
  const { wrong, unsure } = judgeSchedule(some(state), { now: NOW, store: 'docker', born: {}, ...more })
  return { wrong: wrong.join('; '), unsure: unsure.join('; ') }
}

describe('the schedule of a deployment', () => {
  it('is written down, and is gone when it is off', async () => {
    const { layout, places, install, off } = scene()
    await install()
    expect(scheduleNote(layout)).toMatchObject({
      every: 'monthly',
      kind: 'systemd',
      since: NOW.toISOString(),
    })
    expect((await off()).written).toEqual(['schedule.remove'])
    expect((await off()).written).toEqual([])
    expect(readdirSync(places.units)).toEqual([])
    expect(readdirSync(layout.own)).toEqual([])
  })

  it('that was cut short is seen to be broken, and the same command repairs it', async () => {
    const { layout, places, install, context } = scene()
    const { systemd: broken } = systemdIn(resolve(places.units, '..'), 0, args =>
      args.startsWith('enable') ? { code: 1 } : {},
    )
    const good = context.scheduler
    context.scheduler = broken
    expect(await thrown(install)).toMatchObject({ code: 'schedule_failed' })
    expect(scheduleNote(layout)).toBeDefined()
    context.scheduler = good
    expect((await install()).written).toEqual(['schedule.install'])
  })

  it('of which something is gone is neither enabled nor active, without anybody being asked', async () => {
    const { install, places, state } = scene()
    await install()
    for (const name of readdirSync(places.units)) rmSync(join(places.units, name))
    expect(await state()).toMatchObject({
      ...{ isInstalled: false, isEnabled: false, isActive: false },
      missing: [expect.stringMatching(/\.service$/), expect.stringMatching(/\.timer$/)],
    })
  })

  it.each<[string, (folder: string) => void]>([
    ['gone', folder => rmSync(folder, { recursive: true })],
    ['changed', folder => writeFileSync(join(folder, 'bin/create-openclaw-secure.js'), 'evil')],
    ['more than it was', folder => writeFileSync(join(folder, 'bin/x.js'), 'evil')],
  ])('is broken when the program is %s, and the same command repairs it', async (_, spoil) => {
    const { layout, install, context, state } = scene()
    await install()
    expect(judged(await state())).toEqual({ wrong: '', unsure: '' })
    spoil(toolFolder(layout, context.order.tool))
    expect((await state())?.missing).toContain(toolFolder(layout, context.order.tool))
    await install()
    expect(judged(await state())).toEqual({ wrong: '', unsure: '' })
  })

  it('is broken when Node is gone', async () => {
    const { install, context, state } = scene()
    await install()
    rmSync(context.order.command[0])
    expect(await state()).toMatchObject({ isInstalled: false, missing: [context.order.command[0]] })
  })

  it('that somebody else could change is refused, and red afterwards (privilege escalation)', async () => {
    const { layout, source, install, state } = scene()
    chmodSync(source, 0o777)
    expect(await thrown(install)).toMatchObject({
      ...{ code: 'schedule_unsafe', exit: 2 },
      message: expect.stringContaining(source),
    })
    expect(existsSync(layout.schedule)).toBe(false)
    chmodSync(source, 0o755)
    await install()
    chmodSync(source, 0o777)
    expect(judged(await state()).wrong).toContain(`${source} belongs to`)
  })

  it('of another user cannot be looked at', async () => {
    const { layout, install, context } = scene()
    await install()
    const asking = { ...context.asking, uid: context.asking.uid + 1 }
    expect(await thrown(() => scheduleState(layout, asking, NOW))).toMatchObject({
      code: 'schedule_elsewhere',
    })
  })

  it('is undefined where none was asked for, and an error where the note is gone, or cannot be read', async () => {
    const { layout, state, install } = scene()
    expect(await state()).toBeUndefined()
    await install()
    rmSync(layout.schedule)
    expect(await thrown(state)).toMatchObject({ code: 'schedule_corrupt' })
    writeFileSync(layout.schedule, '{"version":2}')
    expect(await thrown(state)).toMatchObject({ code: 'schedule_corrupt' })
  })

  it('runs an older copy: that is said, and nothing is wrong', async () => {
    const { install, context, state } = scene()
    context.order.tool.version = '0.0.1'
    await install()
    expect(judged(await state())).toEqual({ wrong: '', unsure: '' })
    expect((await state())?.notes?.join()).toContain('version 0.0.1')
  })

  it('goes with its note: under another name the former unit is gone', async () => {
    const { install, context, places, off } = scene()
    await install()
    context.order.name = 'other'
    await install()
    expect(readdirSync(places.units).sort()).toEqual([
      'create-openclaw-secure-rotate-other.service',
      'create-openclaw-secure-rotate-other.timer',
    ])
    // Whatever deployment.yaml has it called since.
    await off({ name: 'third' })
    expect(readdirSync(places.units)).toEqual([])
  })

  it('stays where systemd does not answer, and so does all that tells of it', async () => {
    const { layout, install, off, context, places, systemd } = scene()
    await install()
    const silent = systemdIn(resolve(places.units, '..'), 0, () => ({ code: 1 })).systemd
    const before = readdirSync(layout.own).sort()
    const asking = { ...context.asking, run: async () => ({ code: 1, stdout: '', stderr: '' }) }
    expect(await thrown(() => off({ asking, schedulers: [silent] }))).toMatchObject({
      code: 'schedule_unknown',
    })
    expect(readdirSync(layout.own).sort()).toEqual(before)
    expect(await systemd.has(systemd.unit('my-gateway'), layout.root)).toBe(true)
  })
})

describe('a folder with a schedule', () => {
  function moved(how: (from: string, to: string) => void) {
    const first = scene()
    const to = join(scratch(), 'there')
    return { first, to, layout: layoutOf(to), move: () => how(first.root, to) }
  }

  it('that is a copy says for which one it was made, and leaves that one alone', async () => {
    const { first, layout, move } = moved((from, to) => execFileSync('cp', ['-a', from, to]))
    await first.install()
    move()
    const state = await scheduleState(layout, first.context.asking, NOW)
    expect(judged(state).wrong).toContain(`made for ${first.root}`)
    const order = {
      ...orderFor(layout.root, {}, { node: first.context.order.command[0], home: first.source }),
      tool: first.context.order.tool,
    }
    first.context.order = order
    expect(await thrown(first.install)).toMatchObject({ code: 'schedule_taken' })
    await first.off({ layout })
    expect(existsSync(layout.schedule)).toBe(false)
    expect(judged(await first.state()).wrong).toBe('')
  })

  it('that was moved is scheduled anew, and the former timer is not left behind', async () => {
    const { first, layout, move } = moved(renameSync)
    await first.install()
    move()
    expect(judged(await scheduleState(layout, first.context.asking, NOW)).wrong).toContain(
      `made for ${first.root}`,
    )
    const node = first.context.order.command[0]
    const { tool } = first.context.order
    first.context.order = orderFor(layout.root, { name: 'other' }, { node, home: first.source, tool })
    await first.install()
    expect(readdirSync(first.places.units).sort()).toEqual([
      'create-openclaw-secure-rotate-other.service',
      'create-openclaw-secure-rotate-other.timer',
    ])
    expect(judged(await scheduleState(layout, first.context.asking, NOW)).wrong).toBe('')
  })
})

describe('a run that was scheduled', () => {
  const HOUR = 3_600_000
  const later = (hours: number) => new Date(NOW.getTime() + hours * HOUR)

  function programIn(cwd: string) {
    let now = NOW
    return { cwd, now: () => (now = new Date(now.getTime() + 1000)) } as Program
  }

  it.each<[string, () => Promise<ExitCode>, string]>([
    ['succeeds', async () => Exit.done, 'success'],
    ['ends with a code', async () => Exit.interrupted, 'exit-code (4)'],
    [
      'throws',
      async () => {
        throw new ToolError('x', 'x', 'x', Exit.usage)
      },
      'exit-code (2)',
    ],
  ])('is remembered, whatever the scheduler forgets: one that %s', async (_, run, expected) => {
    const { root, install, state } = scene()
    await install()
    await recordRun(programIn(root), '.', run).catch(() => {})
    expect(await state()).toMatchObject({ lastResult: expected, lastRun: expect.any(Date) })
    expect(judged(await state()).wrong === '').toBe(expected === 'success')
  })

  it('writes nothing where no deployment is', async () => {
    const folder = scratch()
    await recordRun(programIn(folder), '.', async () => Exit.usage)
    expect(readdirSync(folder)).toEqual([])
  })

  it('that was killed leaves a result that nobody knows; while it runs, nothing is wrong', async () => {
    const { layout, install, context } = scene()
    await install()
    writeRun(layout, NOW)
    const at = async (hours: number) => judged(await scheduleState(layout, context.asking, later(hours)))
    expect(await at(0.1)).toEqual({ wrong: '', unsure: '' })
    expect(await at(1)).toEqual({ wrong: '', unsure: expect.stringContaining('what became of the run of') })
    writeFileSync(recordPath(layout), 'x')
    expect(await thrown(() => recordedRun(layout))).toMatchObject({ code: 'schedule_unknown' })
  })

  it('that does not come is missed after two nights', async () => {
    const { layout, install, state } = scene()
    await install()
    const at = async (hours: number) => judged(await state(), { now: later(hours) }).wrong
    expect(await at(48)).toBe('')
    expect(await at(50)).toContain(`it has not run since ${NOW.toISOString()}`)
    writeRun(layout, later(24), { end: later(24), exit: 0 })
    expect(await at(50)).toBe('')
    expect(await at(74)).toContain('it has not run since')
  })

  it('that rotates nothing is seen by the age of what it should have rotated', async () => {
    const { layout, install, state } = scene()
    await install()
    writeRun(layout, later(24 * 31), { end: later(24 * 31), exit: 0 })
    const at = async (days: number, born: Date | undefined) =>
      judged(await state(), { now: later(24 * 31), born: { gateway_token: born && later(-24 * days) } }).wrong
    expect(await at(-2, NOW)).toBe('')
    expect(await at(1, NOW)).toContain('gateway_token is of')
    // Of unknown age it would have been rotated: it is no secret of ours.
    expect(await at(0, undefined)).toBe('')
    // One that was old when it was scheduled has two days, as every other.
    const old = { gateway_token: new Date('2020-01-01') }
    expect(judged(await state(), { born: old }).wrong).toBe('')
    expect(judged(await state(), { now: later(24 * 31), born: old }).wrong).toContain('2020-01-01')
  })
})

describe('what a schedule cannot do (bad input)', () => {
  it('is refused with every flag that would be dropped', () => {
    const options: Record<string, unknown> = {
      ...{ all: true, ifOlderThan: 1, resume: true, revokeDevices: true, tokenFile: 'x', clipboard: true },
      ...{ reveal: true, providerKey: ['x'], secretValue: ['x'], storeCredential: ['@x'] },
      ...{ proveUrl: 'x', proveHeader: 'x', startTimeout: 180, yes: true, dir: 'x' },
    }
    expect(scheduleProblems(['gateway_token'], options).map(({ field }) => field)).toEqual([
      ...[
        'secret',
        '--all',
        '--if-older-than',
        '--resume',
        '--revoke-devices',
        '--token-file',
        '--clipboard',
      ],
      ...[
        '--reveal',
        '--provider-key',
        '--secret-value',
        '--store-credential',
        '--prove-url',
        '--prove-header',
      ],
    ])
    expect(scheduleProblems([], { startTimeout: 180, yes: true, dryRun: true })).toEqual([])
  })
})

describe('what is run by somebody (privilege escalation)', () => {
  const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }

  it('is his, or root’s, with all folders above and all that links lead to', () => {
    const folder = scratch()
    mkdirSync(join(folder, 'bin'))
    writeFileSync(join(folder, 'bin/node'), '')
    symlinkSync('bin/node', join(folder, 'link'))
    expect(unsafePaths([join(folder, 'link'), '/nonexistent/x'], own)).toEqual([])
    for (const mode of [0o757, 0o1777, ...(own.uid === 0 ? [0o775] : [])]) {
      chmodSync(join(folder, 'bin/node'), mode)
      expect(unsafePaths([join(folder, 'link')], own), String(mode)).toHaveLength(1)
    }
    chmodSync(join(folder, 'bin/node'), 0o755)
    chmodSync(join(folder, 'bin'), 0o757)
    expect(unsafePaths([join(folder, 'link')], own)).toEqual([
      expect.stringContaining(`${folder}/bin belongs`),
    ])
    // As /tmp is: others may add to it, and change nothing that is not theirs. What is run may not be it.
    chmodSync(join(folder, 'bin'), 0o1777)
    expect(unsafePaths([join(folder, 'link')], own)).toEqual([])
    expect(unsafePaths([join(folder, 'bin')], own)).toHaveLength(1)
  })

  it('is nobody else’s', async () => {
    const folder = scratch()
    const other = { uid: own.uid + 1, gid: own.gid + 1 }
    if (own.uid === 0) chownSync(folder, 1234, 1234)
    const error = await thrown(() => expectSafe([join(folder, 'x')], own.uid === 0 ? own : other))
    expect(error).toMatchObject({
      code: 'schedule_unsafe',
      message: expect.stringContaining(`${folder} belongs to the user`),
    })
  })
})

describe('the copy of the program', () => {
  function copies() {
    const layout = layoutOf(scratch())
    mkdirSync(layout.own)
    const source = scratch()
    for (const name of ['a.js', 'b.js']) writeFileSync(join(source, name), name)
    const files = new Map([
      ['bin/a.js', join(source, 'a.js')],
      ['dist/cli/b.js', join(source, 'b.js')],
    ])
    return { layout, source, files, copy: () => toolCopy(files) }
  }

  it('is whole, for its owner alone, and nothing else is left', () => {
    const { layout, files, copy } = copies()
    expect(isToolWhole(layout, copy())).toBe(false)
    copyTool(layout, files)
    expect(isToolWhole(layout, copy())).toBe(true)
    expect(readdirSync(layout.own)).toEqual(['tool'])
    expect(statSync(toolFolder(layout, copy())).mode & 0o777).toBe(0o700)
  })

  it('of another version is beside it, until it is in use', () => {
    const { layout, files, source, copy } = copies()
    copyTool(layout, files)
    const former = copy()
    writeFileSync(join(source, 'a.js'), 'newer')
    copyTool(layout, files)
    expect([isToolWhole(layout, former), isToolWhole(layout, copy())]).toEqual([true, true])
    removeOtherTools(layout, copy())
    expect([isToolWhole(layout, former), isToolWhole(layout, copy())]).toEqual([false, true])
  })

  it.each<[string, (tool: string) => void]>([
    ['a file that was changed', tool => writeFileSync(join(tool, 'bin/a.js'), 'evil')],
    ['a file that was added', tool => writeFileSync(join(tool, 'bin/c.js'), 'evil')],
    ['a file that is gone', tool => rmSync(join(tool, 'bin/a.js'))],
  ])('is replaced as a whole for %s', (_, spoil) => {
    const { layout, files, copy } = copies()
    copyTool(layout, files)
    spoil(toolFolder(layout, copy()))
    expect(isToolWhole(layout, copy())).toBe(false)
    copyTool(layout, files)
    expect(isToolWhole(layout, copy())).toBe(true)
    expect(readdirSync(layout.own)).toEqual(['tool'])
  })
})

describe('what opens the store', () => {
  it('comes from systemd first, then from the file that is named, then from where it is kept', () => {
    const root = scratch()
    const layout = layoutOf(root)
    const handed = join(root, 'handed')
    mkdirSync(layout.credentials, { recursive: true })
    mkdirSync(handed)
    const named = join(root, 'named')
    const find = (credentialFile: string, env: Record<string, string> = { CREDENTIALS_DIRECTORY: handed }) =>
      findCredential({
        answers: { store: 'vault', vaultAuth: 'token', credentialFile },
        ...{ layout, given: undefined, env, redactor: new Redactor() },
      }).expose()
    writeFileSync(join(layout.credentials, 'vault'), 'kept')
    expect(find('')).toBe('kept')
    writeFileSync(named, 'named')
    expect(find(named)).toBe('named')
    writeFileSync(join(handed, 'vault_credential'), 'handed over')
    // A unit that hands it over may hide the file it came from.
    rmSync(named)
    expect(find(named)).toBe('handed over')
    expect(find('')).toBe('handed over')
    expect(() => find(named, {})).toThrow(/is missing or empty/)
  })
})

describe('a program', () => {
  it('is found by its name in absolute folders of the path alone', () => {
    const folder = scratch()
    writeFileSync(join(folder, 'x'), '', { mode: 0o755 })
    writeFileSync(join(folder, 'y'), '', { mode: 0o644 })
    expect(programPath('x', `.:/nonexistent:${folder}`)).toBe(join(folder, 'x'))
    expect(programPath('x', undefined)).toBeUndefined()
    // root may do anything but run what is no program.
    expect(programPath('y', folder)).toBeUndefined()
  })
})

describe('the last rotation', () => {
  it('is the last time a new gateway token became the current one', () => {
    const step = (procedure: string, name: string, at: string) =>
      event(procedure, { event: 'step-done', step: name, at })
    expect(
      lastRotation([
        step('rotate gateway_token', 'rotate.commit', '2026-11-01T00:00:00.000Z'),
        step('rotate gateway_token', 'rotate.retire', '2026-11-02T00:00:00.000Z'),
        step('rotate openai_key', 'rotate.commit', '2026-11-03T00:00:00.000Z'),
      ]),
    ).toEqual(new Date('2026-11-01T00:00:00Z'))
    expect(lastRotation([])).toBeUndefined()
  })
})
