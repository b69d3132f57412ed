import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { BlockList } from 'node:net'
import { join, resolve } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { lastRotation } from '../../src/commands/status-schedule.ts'
import type { Answers } from '../../src/deployment/answers.ts'
import { layoutOf } from '../../src/deployment/layout.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { Journal } from '../../src/procedure/journal.ts'
import { runProcedure } from '../../src/procedure/run.ts'
import { Cron, cronLine } from '../../src/schedule/cron.ts'
import { type Order, scheduleNote } from '../../src/schedule/port.ts'
import { orderOf, programPath, scheduleState } from '../../src/schedule/schedule.ts'
import { propertiesOf, rest, Systemd, seenOf, word } from '../../src/schedule/systemd.ts'
import { copyTool, isToolCurrent } from '../../src/schedule/tool.ts'
import { Redactor } from '../../src/secret.ts'
import { findCredential } from '../../src/stores/credential.ts'
import { type ScheduleContext, scheduleSteps, unscheduleSteps } from '../../steps/rotate/schedule.ts'
import { ANSWERS, scratch, some, thrown } from './support.ts'
import { event } from './world.ts'

const NOW = new Date('2026-11-26T04:00:00Z')
const NODE = '/usr/bin/node'

function orderFor(
  root: string,
  change: Partial<Answers> = {},
  more: Partial<Parameters<typeof orderOf>[0]> = {},
): Order {
  const answers = { ...ANSWERS, ...change }
  const sources = { every: 'monthly', node: NODE, env: {}, home: '/root' } as const
  return orderOf({ answers, layout: layoutOf(root), ...sources, ...more })
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
      `${NODE} /srv/gw/.secure/tool/bin/create-openclaw-secure.js rotate gateway_token --dir /srv/gw --resume --if-older-than 28d --yes`,
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
    const order = orderFor('/srv/gw', {}, { env: { DOCKER_HOST: 'tcp://engine:2376', PATH: '/nonexistent' } })
    const service = serviceOf(order)
    expect(service.Environment?.flatMap(wordsOf)).toContain('DOCKER_HOST=tcp://engine:2376')
    expect(service.IPAddressAllow).not.toEqual(['localhost'])
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
      expect(await thrown(() => cronLine(orderFor(`/srv/${path}`)))).toMatchObject({ code: 'schedule_path' })
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
    'is the same command for every cron and the shell: %s',
    root => {
      const order = orderFor(root)
      const line = cronLine({
        ...order,
        command: ['/bin/printf', '%s\\n', '--dir', root].map(part => part.replace('\\n', ' ')) as never,
      })
      const command = line
        .split(' ')
        .slice(5)
        .join(' ')
        .replace(/>>.*/, '')
        .replace(' echo "ended with $?";', '')
      // Some crons take the backslash before a % away, others leave it; without one it is the end.
      expect(command).not.toMatch(/(?<!\\)%/)
      for (const seen of [command, command.replaceAll('\\%', '%')])
        expect(execFileSync('sh', ['-c', seen], { encoding: 'utf8' })).toBe(`--dir ${root} `)
    },
  )

  it('is early in the morning, at a time that follows from the folder', () => {
    const times = new Set(
      Array.from({ length: 40 }, (_, index) =>
        cronLine(orderFor(`/srv/gw${index}`))
          .split(' ')
          .slice(0, 2)
          .join(' '),
      ),
    )
    expect(times.size).toBeGreaterThan(30)
    for (const time of times) expect(time).toMatch(/^([0-9]|[1-5][0-9]) [0-5]$/)
  })
})

describe('cron', () => {
  function cronWith(text: string | undefined) {
    const state = { text, written: 0 }
    const run: ProcessRunner = async (_, args, { input }) => {
      if (args[0] === '-l')
        return state.text === undefined
          ? { code: 1, stdout: '', stderr: 'no crontab for me\n' }
          : { code: 0, stdout: state.text, stderr: '' }
      state.written += 1
      state.text = args[0] === '-r' ? undefined : String(input)
      return { code: 0, stdout: '', stderr: '' }
    }
    return { cron: new Cron({ run }), state }
  }

  it.each([undefined, '# mine\n\n5 5 * * * true\n'])(
    'gets a line and loses it, and nothing else changes',
    async before => {
      const { cron, state } = cronWith(before)
      const order = orderFor('/srv/gw')
      const files = await cron.prove(order)
      await cron.install(order, files)
      await cron.install(order, files)
      expect(state).toEqual({ text: `${before ?? ''}${cronLine(order)}\n`, written: 1 })
      expect(await cron.has('x', '/srv/gw')).toBe(true)
      expect(await cron.remove('x', '/srv/other')).toBe(false)
      expect(await cron.remove('x', '/srv/gw')).toBe(true)
      expect(await cron.remove('x', '/srv/gw')).toBe(false)
      expect(state).toEqual({ text: before, written: 2 })
    },
  )

  it('replaces its line, and adds none', async () => {
    const { cron, state } = cronWith(undefined)
    const [monthly, weekly] = [orderFor('/srv/gw'), orderFor('/srv/gw', {}, { every: 'weekly' })]
    await cron.install(monthly, cron.plan(monthly))
    await cron.install(weekly, cron.plan(weekly))
    expect(state.text).toBe(`${cronLine(weekly)}\n`)
  })

  it('that does not let us look is not taken for an empty one', async () => {
    const cron = new Cron({ run: async () => ({ code: 1, stdout: '', stderr: 'you may not\n' }) })
    expect(await thrown(() => cron.has('x', '/srv/gw'))).toMatchObject({ code: 'schedule_unknown' })
  })

  it('has no memory: the log says when it ran and how that ended', async () => {
    const layout = layoutOf(scratch())
    const { cron } = cronWith(undefined)
    const look = () => cron.look(undefined as never, layout, NOW)
    expect((await look()).lastResult).toBeUndefined()
    mkdirSync(layout.own)
    writeFileSync(layout.scheduleLog, 'x\nended with 0\ny\nended with 3\n')
    expect(await look()).toMatchObject({ lastResult: 'exit-code (3)', lastRun: expect.any(Date) })
    writeFileSync(layout.scheduleLog, 'ended with 0\n', { flag: 'a' })
    expect(await look()).toMatchObject({ lastResult: 'success' })
    expect(Number((await look()).nextRun) - NOW.getTime()).toBeLessThanOrEqual(86_400_000)
  })
})

describe('what systemd says', () => {
  const timer = propertiesOf(
    'LoadState=loaded\nUnitFileState=enabled\nActiveState=active\nResult=success\n' +
      'LastTriggerUSec=Thu 2026-11-26 03:55:00 UTC\nNextElapseUSecRealtime=Fri 2026-11-27 05:12:52.123456 UTC\n',
  )

  it('is read', () => {
    const service = {
      Result: 'success',
      ExecMainExitTimestamp: 'Thu 2026-11-26 03:55:02 UTC',
      ExecMainStatus: '0',
    }
    expect(seenOf(timer, service)).toEqual({
      ...{ isEnabled: true, isActive: true, lastResult: 'success' },
      lastRun: new Date('2026-11-26T03:55:00Z'),
      nextRun: new Date('2026-11-27T05:12:52Z'),
    })
  })

  it.each([
    ['exit-code', '3', 'exit-code (3)'],
    ['timeout', '15', 'timeout (15)'],
    ['resources', '0', 'resources'],
  ])('of a failure is said: %s', (Result, ExecMainStatus, expected) => {
    expect(seenOf(timer, { Result, ExecMainStatus }).lastResult).toBe(expected)
  })

  it('of a service that has not run since the machine was started is no success', () => {
    const service = { Result: 'success', ExecMainExitTimestamp: '', ExecMainStatus: '0' }
    expect(seenOf(timer, service)).not.toHaveProperty('lastResult')
    expect(seenOf({ LastTriggerUSec: 'n/a' }, service)).toEqual({ isEnabled: false, isActive: false })
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
    expect(await systemd.remove(order.name, '/srv/gw')).toBe(true)
    expect([...files(places.units), ...files(places.stamps)]).toEqual([])
    expect(await systemd.remove(order.name, '/srv/gw')).toBe(false)
  })

  it('is left alone where another folder has a unit of that name', async () => {
    const { systemd, places } = systemdIn(scratch())
    const theirs = orderFor('/srv/theirs')
    await systemd.install(theirs, systemd.plan(theirs))
    const before = files(places.units).length
    expect(await thrown(() => systemd.prove(orderFor('/srv/ours')))).toMatchObject({
      code: 'schedule_taken',
      exit: 2,
    })
    expect(await systemd.remove('my-gateway', '/srv/ours')).toBe(false)
    expect(files(places.units)).toHaveLength(before)
  })

  it.each(['.timer.d/x.conf', '.service.d/x.conf'])(
    'loses what a killed removal has left: %s',
    async left => {
      const { systemd, places } = systemdIn(scratch())
      const path = join(places.units, `create-openclaw-secure-rotate-my-gateway${left}`)
      mkdirSync(resolve(path, '..'))
      writeFileSync(path, '')
      expect(await systemd.remove('my-gateway', '/srv/gw')).toBe(true)
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

describe('the schedule of a deployment', () => {
  function scene(uid = process.getuid?.() ?? 0) {
    const root = scratch()
    const layout = layoutOf(root)
    mkdirSync(layout.own)
    mkdirSync(resolve(layout.tool, 'bin'), { recursive: true })
    writeFileSync(resolve(layout.tool, 'bin/create-openclaw-secure.js'), '')
    const { systemd, places } = systemdIn(scratch(), 0)
    const order = orderFor(root, {}, { node: process.execPath })
    const run: ProcessRunner = async () => ({ code: 0, stdout: '', stderr: '' })
    const context: ScheduleContext = {
      order,
      scheduler: systemd,
      store: 'docker',
      asking: { run, uid },
      now: () => NOW,
    }
    const runtime = {
      journal: new Journal(layout.journal, () => NOW),
      progress: { begin() {}, done() {}, skipped() {}, failed() {} },
      signal: new AbortController().signal,
      ...{ lock: async () => () => {}, runId: 'r', dryRun: false },
    }
    // The copy of the program needs a built one: the live tests have that.
    const install = () => runProcedure('rotate-schedule', scheduleSteps.slice(1), context, runtime)
    const off = () =>
      runProcedure(
        'rotate-schedule',
        unscheduleSteps,
        { name: order.name, layout, schedulers: [systemd] },
        runtime,
      )
    return { layout, places, install, off, context, systemd }
  }

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
    expect(readdirSync(layout.own)).toEqual(['journal.jsonl'])
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
    const { layout, install, context, places } = scene()
    await install()
    for (const name of readdirSync(places.units)) rmSync(join(places.units, name))
    expect(await scheduleState(layout, context.asking, NOW)).toMatchObject({
      ...{ isInstalled: false, isEnabled: false, isActive: false },
      missing: [expect.stringMatching(/\.service$/), expect.stringMatching(/\.timer$/)],
    })
  })

  it('is broken when the program or Node is gone', async () => {
    const { layout, install, context } = scene()
    await install()
    rmSync(layout.tool, { recursive: true })
    expect(await scheduleState(layout, context.asking, NOW)).toMatchObject({
      ...{ isInstalled: false, missing: [resolve(layout.tool, 'bin/create-openclaw-secure.js')] },
    })
  })

  it('of another user cannot be looked at', async () => {
    const { layout, install, context } = scene()
    await install()
    const asking = { ...context.asking, uid: context.asking.uid + 1 }
    expect(await thrown(() => scheduleState(layout, asking, NOW))).toMatchObject({
      code: 'schedule_elsewhere',
    })
  })

  it('is undefined where none was asked for, and an error where the note cannot be read', async () => {
    const { layout, context } = scene()
    expect(await scheduleState(layout, context.asking, NOW)).toBeUndefined()
    writeFileSync(layout.schedule, '{"version":2}')
    expect(await thrown(() => scheduleState(layout, context.asking, NOW))).toMatchObject({
      code: 'schedule_corrupt',
    })
  })
})

describe('the copy of the program', () => {
  function scene() {
    const layout = layoutOf(scratch())
    mkdirSync(layout.own)
    const source = scratch()
    for (const name of ['a.js', 'b.js']) writeFileSync(join(source, name), name)
    const files = new Map([
      ['bin/a.js', join(source, 'a.js')],
      ['dist/cli/b.js', join(source, 'b.js')],
    ])
    return { layout, source, files }
  }

  it('is whole, for its owner alone, and nothing else is left', () => {
    const { layout, files } = scene()
    expect(isToolCurrent(layout, files)).toBe(false)
    copyTool(layout, files)
    expect(isToolCurrent(layout, files)).toBe(true)
    expect(readdirSync(layout.own)).toEqual(['tool'])
  })

  it.each<[string, (place: { tool: string; source: string }) => void]>([
    ['another version', ({ source }) => writeFileSync(join(source, 'a.js'), 'newer')],
    ['a file that was changed', ({ tool }) => writeFileSync(join(tool, 'bin/a.js'), 'evil')],
    ['a file that was added', ({ tool }) => writeFileSync(join(tool, 'bin/c.js'), 'evil')],
    ['a file that is gone', ({ tool }) => rmSync(join(tool, 'bin/a.js'))],
  ])('is replaced as a whole for %s', (_, spoil) => {
    const { layout, files, source } = scene()
    copyTool(layout, files)
    spoil({ tool: layout.tool, source })
    expect(isToolCurrent(layout, files)).toBe(false)
    copyTool(layout, files)
    expect(isToolCurrent(layout, files)).toBe(true)
    expect(readFileSync(join(layout.tool, 'bin/a.js'), 'utf8')).toBe(
      readFileSync(join(source, 'a.js'), 'utf8'),
    )
    expect(existsSync(join(layout.tool, 'bin/c.js'))).toBe(false)
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
