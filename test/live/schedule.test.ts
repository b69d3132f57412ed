/**
 * A rotation that happens by itself: the program as a person runs it, under a real systemd (test/live/systemd) as root and
 * as a user, and under Debian's own cron. Timers fire, sandboxes hold, tokens are rotated.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Bao, hasBao, startDev } from './bao.ts'
import {
  authStatus,
  BASE_IMAGE,
  BIN,
  fingerprints,
  freePort,
  freshFolder,
  isThorough,
  quick,
  type Ran,
  remove,
  sh,
  tokenOf,
} from './harness.ts'

const SYSTEMD = resolve(BIN, '../../test/live/systemd')
const UID = 12345

/** Sets a deployment up whose gateway does not run. */
async function unlaunched(folder: string, name: string, ...more: string[]): Promise<void> {
  const args = ['--yes', '--no-launch', '--build', '--base-image', BASE_IMAGE, '--quiet', '--contact', 'x, 1']
  const own = ['--name', name, '--port', String(await freePort()), ...more]
  const { code, stderr } = await sh(process.execPath, [BIN, folder, ...args, ...own])
  expect(code, stderr).toBe(0)
}

/** A systemd of its own, and what is run in there. */
class Manager {
  readonly place = resolve(mkdtempSync(resolve(tmpdir(), 'ocs-live-')), `systemd-${process.pid}-${counter()}`)
  readonly #uid: number | undefined

  constructor(uid?: number) {
    this.#uid = uid
    chmodSync(resolve(this.place, '..'), 0o755)
  }

  async start(): Promise<void> {
    const how =
      this.#uid === undefined ? ['start-system', this.place] : ['start-user', this.place, String(this.#uid)]
    const { code, stderr } = await this.#call(how)
    expect(code, stderr).toBe(0)
  }

  async stop(): Promise<void> {
    await this.#call(['stop', this.place])
    rmSync(resolve(this.place, '..'), { recursive: true, force: true })
  }

  run(...command: string[]): Promise<Ran> {
    return this.#call(['exec', this.place, ...command])
  }

  cli(...args: string[]): Promise<Ran> {
    return this.run(process.execPath, BIN, ...args)
  }

  systemctl(...args: string[]): Promise<Ran> {
    return this.run('systemctl', ...(this.#uid === undefined ? [] : ['--user']), ...args)
  }

  async shown(unit: string, property: string): Promise<string> {
    return (await this.systemctl('show', unit, `--property=${property}`, '--value')).stdout.trim()
  }

  get units(): string {
    return resolve(this.place, this.#uid === undefined ? 'etc' : 'home/.config/systemd/user')
  }

  /** What is in the folder of units; the links there lead to where only the manager finds something. */
  unitTexts(): Record<string, string> {
    const entries = readdirSync(this.units, { recursive: true, withFileTypes: true })
    const paths = entries
      .filter(entry => !entry.isDirectory())
      .map(({ parentPath, name }) => resolve(parentPath, name))
    return Object.fromEntries(
      paths.map(path => [path, lstatSync(path).isFile() ? readFileSync(path, 'utf8') : readlinkSync(path)]),
    )
  }

  /** Lets a timer fire every two seconds until something has happened. */
  async fire(unit: string, until: () => boolean | Promise<boolean>): Promise<void> {
    const folder = resolve(this.units, `${unit}.timer.d`)
    mkdirSync(folder)
    const times = 'OnCalendar=\nOnCalendar=*:*:0/2\nRandomizedDelaySec=0\nAccuracySec=100ms\n'
    writeFileSync(resolve(folder, 'soon.conf'), `[Timer]\n${times}`)
    await this.systemctl('daemon-reload')
    await this.systemctl('restart', `${unit}.timer`)
    const status = async () => (await this.systemctl('status', '--no-pager', `${unit}.*`)).stdout
    const done = await within(60, until)
    const said = done ? '' : await status()
    rmSync(folder, { recursive: true })
    await this.systemctl('daemon-reload')
    await this.systemctl('restart', `${unit}.timer`)
    expect(done, said).toBe(true)
    const ended = async () => (await this.shown(`${unit}.service`, 'ActiveState')) !== 'activating'
    expect(await within(60, ended), await status()).toBe(true)
  }

  /** How much systemd thinks a unit could do (0: nothing, 10: anything). */
  async exposure(path: string): Promise<number> {
    const how = this.#uid === undefined ? ['--offline=yes', path] : ['--user', basename(path)]
    const { stdout, stderr } = await this.run('systemd-analyze', 'security', '--no-pager', ...how)
    return Number(/Overall exposure level for .*: ([\d.]+) /.exec(stdout + stderr)?.[1])
  }

  #call(args: string[]): Promise<Ran> {
    return sh(SYSTEMD, args, {
      // No variable of ours: what is run by a timer has none either.
      env: { PATH: process.env.PATH, ...(this.#uid === undefined ? {} : { AS_UID: String(this.#uid) }) },
      cwd: '/',
    })
  }
}

/** Waits until something is so; false when it is not after that many seconds. */
async function within(seconds: number, until: () => boolean | Promise<boolean>): Promise<boolean> {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(300))
    if (await until()) return true
  return until()
}

let made = 0
function counter(): number {
  made += 1
  return made
}

/** Makes the token of a deployment one of January, under another name and with the same value. */
function makeOld(folder: string): string {
  const old = '20260101t000000-0badcafe'
  const path = resolve(folder, '.secure/store/gateway_token.json')
  const document = JSON.parse(readFileSync(path, 'utf8'))
  const at = (id: string) => resolve(folder, 'secrets', `gateway_token.${id}`)
  linkSync(at(document.current), at(old))
  const config = resolve(folder, 'config/openclaw.json')
  const { uid, gid } = statSync(config)
  writeFileSync(`${config}.new`, readFileSync(config, 'utf8').replaceAll(document.current, old), {
    mode: 0o400,
  })
  chownSync(`${config}.new`, uid, gid)
  renameSync(`${config}.new`, config)
  rmSync(at(document.current))
  writeFileSync(path, JSON.stringify({ ...document, current: old, revision: document.revision + 1 }))
  return old
}

function nameOfToken(folder: string): string {
  return readdirSync(resolve(folder, 'secrets')).find(name => name.startsWith('gateway_token.')) ?? ''
}

/** The verdict of the check, and what it saw. */
async function judged(manager: Manager, folder: string): Promise<{ verdict: string; evidence: string }> {
  const { stdout, stderr } = await manager.cli('verify', folder, '--only', 'rotate.scheduled', '--json')
  expect(stdout, stderr).not.toBe('')
  const [{ verdict, evidence }] = JSON.parse(stdout).findings
  return { verdict, evidence }
}

async function statusOf(manager: Manager, folder: string) {
  return JSON.parse((await manager.cli('status', '--dir', folder, '--json')).stdout)
}

describe('a rotation by systemd, of root', () => {
  const folder = freshFolder('schedule')
  const unit = `create-openclaw-secure-rotate-${basename(folder)}`
  const manager = new Manager()
  let port = 0

  beforeAll(async () => {
    port = await freePort()
    await manager.start()
    const { code, stderr } = await sh(process.execPath, [BIN, ...(await quick(folder, port)), '--quiet'])
    expect(code, stderr).toBe(0)
  })
  afterAll(async () => {
    await manager.stop()
    await remove(folder)
  })

  it('says what it would write, and writes nothing', async () => {
    const before = fingerprints(folder)
    const { code, stdout } = await manager.cli(
      'rotate',
      '--dir',
      folder,
      '--schedule',
      'monthly',
      '--dry-run',
    )
    expect(code).toBe(0)
    expect(stdout).toContain(`--- /etc/systemd/system/${unit}.service\n`)
    expect(stdout).toContain('OnCalendar=daily')
    expect(readdirSync(manager.units)).toEqual([])
    expect(fingerprints(folder)).toEqual(before)
  })

  it('is installed, enabled and started, and says when it looks next and how to be rid of it', async () => {
    const { code, stderr } = await manager.cli('rotate', '--dir', folder, '--schedule', 'monthly')
    expect(code, stderr).toBe(0)
    expect(stderr).toMatch(/The next look: \d{4}-\d\d-\d\d \d\d:\d\d UTC/)
    expect(stderr).toContain('rotate --schedule off')
    expect(await manager.shown(`${unit}.timer`, 'UnitFileState')).toBe('enabled')
    expect(await manager.shown(`${unit}.timer`, 'ActiveState')).toBe('active')
  })

  it('is a unit systemd finds nothing wrong with, and that can do little (privilege escalation)', async () => {
    const path = `/etc/systemd/system/${unit}.service`
    const { code, stdout, stderr } = await manager.run('systemd-analyze', 'verify', path)
    expect({ code, said: stdout + stderr }).toEqual({ code: 0, said: '' })
    expect(await manager.exposure(path)).toBeLessThanOrEqual(2.0)
  })

  it('runs a copy of the program, which no cache and no registry is needed for', async () => {
    const [copy = ''] = readdirSync(resolve(folder, '.secure/tool'))
    const tool = resolve(folder, '.secure/tool', copy)
    const bin = resolve(tool, 'bin/create-openclaw-secure.js')
    expect(statSync(tool).mode & 0o777).toBe(0o700)
    expect((await sh(process.execPath, [bin, '--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect(await manager.shown(`${unit}.service`, 'ExecStart')).toContain(
      `argv[]=${process.execPath} ${bin} rotate gateway_token --dir ${folder} --resume --if-older-than 28d --yes --scheduled ;`,
    )
  })

  it('changes nothing when it is asked for again', async () => {
    const before = { ...fingerprints(folder), ...manager.unitTexts() }
    const again = await manager.cli('rotate', '--dir', folder, '--schedule', 'monthly', '--json')
    expect(JSON.parse(again.stdout).changed).toEqual([])
    expect({ ...fingerprints(folder), ...manager.unitTexts() }).toEqual(before)
  })

  it('is missed when it has not run for two days, and of one that was killed nobody knows the result', async () => {
    const paths = ['schedule.json', 'schedule-run.json'].map(name => resolve(folder, '.secure', name))
    const [note = '', record = ''] = paths
    const before = readFileSync(note, 'utf8')
    const ago = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString()
    writeFileSync(note, JSON.stringify({ ...JSON.parse(before), since: ago(9) }))
    writeFileSync(record, JSON.stringify({ version: 1, start: ago(3), end: ago(3), exit: 0 }))
    const overdue = expect.stringContaining('has not run since')
    expect(await judged(manager, folder)).toEqual({ verdict: 'fail', evidence: overdue })
    expect((await statusOf(manager, folder)).due).toContainEqual(overdue)
    writeFileSync(record, JSON.stringify({ version: 1, start: ago(1) }))
    const unknown = expect.stringContaining('what became of the run')
    expect(await judged(manager, folder)).toEqual({ verdict: 'unknown', evidence: unknown })
    expect((await manager.cli('status', '--dir', folder)).code).toBe(3)
    writeFileSync(note, before)
    rmSync(record)
  })

  it('is refused below a folder of somebody else, and red (privilege escalation)', async () => {
    const above = resolve(folder, '..')
    chownSync(above, UID, UID)
    const refused = await manager.cli('rotate', '--dir', folder, '--schedule', 'weekly')
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('schedule_unsafe') })
    expect(refused.stderr).toContain(`${above} belongs to the user ${UID}`)
    expect(await judged(manager, folder)).toEqual({
      verdict: 'fail',
      evidence: expect.stringContaining(`${above} belongs to the user ${UID}`),
    })
    chownSync(above, 0, 0)
    expect(await judged(manager, folder)).toMatchObject({ verdict: 'pass' })
  })

  it('stays where systemd does not answer, and is not said to be off', async () => {
    const off = [BIN, 'rotate', '--dir', folder, '--schedule', 'off']
    const { code, stderr } = await manager.run('env', 'PATH=/nonexistent', process.execPath, ...off)
    expect({ code, stderr }).toEqual({ code: 3, stderr: expect.stringContaining('schedule_unknown') })
    expect(await judged(manager, folder)).toMatchObject({ verdict: 'pass' })
  })

  it('finds nothing to do while the token is young, and that is a success', async () => {
    const before = nameOfToken(folder)
    expect((await manager.systemctl('start', `${unit}.service`)).code).toBe(0)
    expect(nameOfToken(folder)).toBe(before)
    expect(await judged(manager, folder)).toEqual({
      verdict: 'pass',
      evidence: expect.stringMatching(/enabled, active, ran .*, next /),
    })
    expect((await statusOf(manager, folder)).rotation.schedule).toMatchObject({
      ...{ every: 'monthly', kind: 'systemd', isEnabled: true, isActive: true, lastResult: 'success' },
    })
  })

  it('rotates an old token when the timer fires, while the gateway runs (credential leakage)', async () => {
    const old = makeOld(folder)
    const value = tokenOf(folder)
    await manager.fire(
      unit,
      () => nameOfToken(folder) !== `gateway_token.${old}` && nameOfToken(folder) !== '',
    )
    expect(tokenOf(folder)).not.toBe(value)
    expect(await authStatus(port, value)).toBe(401)
    expect(await authStatus(port, tokenOf(folder))).toBe(404)
    expect(await manager.shown(`${unit}.service`, 'Result')).toBe('success')
    const { rotation } = await statusOf(manager, folder)
    expect(Date.now() - Date.parse(rotation.last)).toBeLessThan(120_000)
  })

  it.runIf(isThorough)('that fails is seen by status and verify, until it has worked again', async () => {
    makeOld(folder)
    await sh('docker', ['stop', '--time', '1', `${basename(folder)}-openclaw-gateway-1`])
    expect((await manager.systemctl('start', `${unit}.service`)).code).not.toBe(0)
    expect(await judged(manager, folder)).toEqual({
      verdict: 'fail',
      evidence: expect.stringMatching(/the last run \(.*\): exit-code \(3\)/),
    })
    expect((await statusOf(manager, folder)).due).toContainEqual(
      expect.stringMatching(/scheduled rotation: the last run \(.*\): exit-code \(3\)/),
    )
    const { stdout } = await manager.run('journalctl', '--unit', unit, '--output', 'cat', '--no-pager')
    expect(stdout).toContain('gateway_stopped')
    await sh('docker', ['start', `${basename(folder)}-openclaw-gateway-1`])
    // While it starts, it answers 503 to whoever has the right token.
    const ready = async () => (await authStatus(port, tokenOf(folder)).catch(() => 0)) === 404
    for (let tries = 0; tries < 100 && !(await ready()); tries++) await sleep(500)
    expect((await manager.systemctl('start', `${unit}.service`)).code).toBe(0)
    expect((await judged(manager, folder)).verdict).toBe('pass')
  })

  it.each([
    ['the timer', (path: string) => rmSync(`${path}.timer`)],
    [
      'a changed service',
      (path: string) =>
        writeFileSync(`${path}.service`, '[Service]\nExecStart=/bin/true\n# X', { flag: 'a' }),
    ],
    ['the copy of the program', () => rmSync(resolve(folder, '.secure/tool'), { recursive: true })],
    [
      'a changed file of the program',
      () => {
        const [copy = ''] = readdirSync(resolve(folder, '.secure/tool'))
        writeFileSync(resolve(folder, '.secure/tool', copy, 'bin/create-openclaw-secure.js'), '', {
          flag: 'a',
        })
        writeFileSync(resolve(folder, '.secure/tool', copy, 'bin/x.js'), '')
      },
    ],
  ])('without %s is red, and the same command repairs it', async (_, spoil) => {
    spoil(resolve(manager.units, unit))
    expect(await judged(manager, folder)).toMatchObject({ verdict: 'fail' })
    const repaired = await manager.cli('rotate', '--dir', folder, '--schedule', 'monthly', '--quiet')
    expect(repaired.code, repaired.stderr).toBe(0)
    expect(await judged(manager, folder)).toMatchObject({ verdict: 'pass' })
  })

  it('that somebody has added to is red', async () => {
    const added = resolve(manager.units, `${unit}.service.d`)
    mkdirSync(added)
    writeFileSync(resolve(added, 'x.conf'), '[Service]\nExecStartPre=/bin/true\n')
    await manager.systemctl('daemon-reload')
    const evidence = expect.stringContaining(`changed by /etc/systemd/system/${unit}.service.d/x.conf`)
    expect(await judged(manager, folder)).toEqual({ verdict: 'fail', evidence })
    rmSync(added, { recursive: true })
    await manager.systemctl('daemon-reload')
  })

  it('that somebody has switched off is red', async () => {
    await manager.systemctl('disable', '--now', `${unit}.timer`)
    expect(await judged(manager, folder)).toEqual({
      verdict: 'fail',
      evidence: expect.stringContaining('not enabled; not active'),
    })
    await manager.cli('rotate', '--dir', folder, '--schedule', 'weekly', '--quiet')
    expect(await judged(manager, folder)).toEqual({
      verdict: 'pass',
      evidence: expect.stringContaining('weekly'),
    })
  })

  it('is not mistaken for that of a copy of the folder, which has the same name', async () => {
    const copy = resolve(folder, '../copy')
    await sh('cp', ['--archive', folder, copy])
    expect(await judged(manager, copy)).toEqual({
      verdict: 'fail',
      evidence: expect.stringContaining(`made for ${folder}`),
    })
    const taken = await manager.cli('rotate', '--dir', copy, '--schedule', 'monthly')
    expect(taken).toMatchObject({ code: 2, stderr: expect.stringContaining('schedule_taken') })
    expect((await manager.cli('rotate', '--dir', copy, '--schedule', 'off')).code).toBe(0)
    expect(await judged(manager, folder)).toMatchObject({ verdict: 'pass' })
  })

  it('is taken away without a trace, and once more is no error', async () => {
    const off = await manager.cli('rotate', '--dir', folder, '--schedule', 'off', '--json')
    expect(JSON.parse(off.stdout).changed).toEqual(['schedule.remove'])
    expect(manager.unitTexts()).toEqual({})
    expect(readdirSync(resolve(manager.place, 'varlib/timers'))).toEqual([])
    expect(
      (await manager.systemctl('list-units', '--all', '--plain', '--no-legend', `${unit}*`)).stdout,
    ).toBe('')
    for (const name of ['tool', 'schedule.json', 'schedule-run.json', 'schedule.log'])
      expect(existsSync(resolve(folder, '.secure', name)), name).toBe(false)
    expect(await judged(manager, folder)).toMatchObject({ verdict: 'skip' })
    const again = await manager.cli('rotate', '--dir', folder, '--schedule', 'off', '--json')
    expect(JSON.parse(again.stdout).changed).toEqual([])
  })
})

describe.runIf(isThorough)(
  'a folder with a name that means something to systemd and to a shell (command injection)',
  () => {
    const above = freshFolder('odd')
    const folder = resolve(above, 'a "b" %h $HOME \'c\' d;x')
    const manager = new Manager()

    beforeAll(async () => {
      await manager.start()
      mkdirSync(above, { recursive: true })
      await unlaunched(folder, basename(above))
    })
    afterAll(async () => {
      await manager.stop()
      await remove(above)
    })

    it('is the folder that the unit works in, and no other', async () => {
      const { code, stderr } = await manager.cli('rotate', '--dir', folder, '--schedule', 'monthly')
      expect(code, stderr).toBe(0)
      const unit = `create-openclaw-secure-rotate-${basename(above)}`
      expect(await manager.shown(`${unit}.service`, 'ExecStart')).toContain(
        // As systemd shows it: its own mark for a `$` that is none.
        ` --dir ${folder.replaceAll('$', '$$$$')} --resume `,
      )
      expect(await manager.shown(`${unit}.service`, 'BindPaths')).toContain(folder)
      const started = await manager.systemctl('start', `${unit}.service`)
      const { stdout } = await manager.run('journalctl', '--unit', unit, '--output', 'cat', '--no-pager')
      expect(started.code, stdout).toBe(0)
      expect(await judged(manager, folder)).toMatchObject({ verdict: 'pass' })
      await manager.cli('rotate', '--dir', folder, '--schedule', 'off', '--quiet')
      expect(manager.unitTexts()).toEqual({})
    })
  },
)

describe.runIf(isThorough)('a rotation by systemd, of a user', () => {
  const folder = freshFolder('schedule-user')
  const unit = `create-openclaw-secure-rotate-${basename(folder)}`
  const manager = new Manager(UID)
  let port = 0

  beforeAll(async () => {
    port = await freePort()
    chownSync(resolve(folder, '..'), UID, UID)
    await manager.start()
    const args = (await quick(folder, port)).filter(argument => argument !== '--firewall')
    await manager.cli(...args, '--quiet')
    expect(await authStatus(port, tokenOf(folder))).toBe(404)
  })
  afterAll(async () => {
    await manager.stop()
    await remove(folder)
  })

  it('is in that user’s own manager, and he is told that it ends with his session', async () => {
    const { code, stderr } = await manager.cli('rotate', '--dir', folder, '--schedule', 'monthly')
    expect(code, stderr).toBe(0)
    expect(stderr).toContain('loginctl enable-linger ocs-live')
    expect(await manager.shown(`${unit}.timer`, 'ActiveState')).toBe('active')
    expect(statSync(resolve(manager.units, `${unit}.service`)).uid).toBe(UID)
    // There is no logind in there that could be asked.
    expect(await judged(manager, folder)).toEqual({
      verdict: 'unknown',
      evidence: expect.stringContaining('loginctl enable-linger ocs-live'),
    })
    mkdirSync(resolve(manager.place, 'varlib/linger'))
    writeFileSync(resolve(manager.place, 'varlib/linger/ocs-live'), '')
    expect(await judged(manager, folder)).toMatchObject({ verdict: 'pass' })
  })

  it('has namespaces where the machine lets users have some (privilege escalation)', async () => {
    const path = resolve(manager.units, `${unit}.service`)
    const isStrong = existsSync(`${path}.d/50-namespaces.conf`)
    const { code, stderr } = await manager.run('systemd-analyze', '--user', 'verify', path)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(await manager.exposure(path)).toBeLessThanOrEqual(isStrong ? 1.6 : 6.1)
    const { code: canUnshare } = await manager.run('unshare', '--user', '--mount', 'true')
    expect(isStrong).toBe(canUnshare === 0)
  })

  it('rotates an old token when the timer fires', async () => {
    const old = makeOld(folder)
    const value = tokenOf(folder)
    await manager.fire(
      unit,
      () => nameOfToken(folder) !== `gateway_token.${old}` && nameOfToken(folder) !== '',
    )
    expect(await authStatus(port, value)).toBe(401)
    expect(await authStatus(port, tokenOf(folder))).toBe(404)
    expect(await judged(manager, folder)).toMatchObject({ verdict: 'pass' })
  })

  it('cannot be seen by root: unknown, not a pass', async () => {
    const { stdout } = await sh(process.execPath, [
      BIN,
      'verify',
      folder,
      '--only',
      'rotate.scheduled',
      '--json',
    ])
    expect(JSON.parse(stdout).findings).toMatchObject([
      { verdict: 'unknown', evidence: expect.stringContaining(String(UID)) },
    ])
  })

  it('is taken away without a trace', async () => {
    expect((await manager.cli('rotate', '--dir', folder, '--schedule', 'off')).code).toBe(0)
    expect(manager.unitTexts()).toEqual({})
    expect(readdirSync(resolve(folder, '.secure'))).not.toContain('schedule.json')
  })
})

describe.runIf(hasBao() && isThorough)(
  'a rotation by systemd, of a gateway whose secrets are in a Vault',
  () => {
    const folders = { kept: freshFolder('schedule-id'), named: freshFolder('schedule-token') }
    const manager = new Manager()
    let bao: Bao

    beforeAll(async () => {
      bao = await startDev()
      await manager.start()
      const token = resolve(folders.named, '../token')
      writeFileSync(token, bao.root.expose(), { mode: 0o600 })
      const openers = {
        kept: ['--vault-admin', `@${token}`],
        named: ['--vault-auth', 'token', '--credential-file', token],
      }
      for (const which of ['kept', 'named'] as const) {
        const where = ['--store', 'vault', '--vault-address', bao.address, ...openers[which]]
        await unlaunched(folders[which], basename(folders[which]), ...where)
      }
    })
    afterAll(async () => {
      await manager.stop()
      await bao.stop()
      for (const folder of Object.values(folders)) await remove(folder)
    })

    async function scheduled(folder: string): Promise<string> {
      const { code, stderr } = await manager.cli('rotate', '--dir', folder, '--schedule', 'monthly')
      expect(code, stderr).toBe(0)
      return `create-openclaw-secure-rotate-${basename(folder)}`
    }

    it('has what opens it from systemd, for the file itself is hidden from it (credential leakage)', async () => {
      const unit = await scheduled(folders.named)
      const text = readFileSync(resolve(manager.units, `${unit}.service`), 'utf8')
      expect(text).toContain(`\nLoadCredential=vault_credential:${resolve(folders.named, '../token')}\n`)
      const { code } = await manager.systemctl('start', `${unit}.service`)
      const { stdout } = await manager.run('journalctl', '--unit', unit, '--output', 'cat', '--no-pager')
      expect(code, stdout).toBe(0)
      expect(await manager.exposure(`/etc/systemd/system/${unit}.service`)).toBeLessThanOrEqual(2.0)
    })

    it('rotates an old secret id as well (credential leakage)', async () => {
      const unit = await scheduled(folders.kept)
      const kept = resolve(folders.kept, '.secure/credentials/vault')
      const before = readFileSync(kept, 'utf8')
      expect((await manager.systemctl('start', `${unit}.service`)).code).toBe(0)
      expect(readFileSync(kept, 'utf8')).toBe(before)
      utimesSync(kept, new Date('2026-01-01'), new Date('2026-01-01'))
      const { code } = await manager.systemctl('start', `${unit}.service`)
      const { stdout } = await manager.run('journalctl', '--unit', unit, '--output', 'cat', '--no-pager')
      expect(code, stdout).toBe(0)
      expect(readFileSync(kept, 'utf8')).not.toBe(before)
      expect(stdout).not.toContain(before)
    })

    it('leaves a secret id alone where somebody else has one of the same role, and says so', async () => {
      const { body } = await bao.ask('LIST', 'auth/approle/role')
      const { keys } = (body as { data: { keys: string[] } }).data
      const role = keys.find(name => name.includes('schedule-id'))
      await bao.ask('POST', `auth/approle/role/${role}/secret-id`, {})
      const { code, stdout, stderr } = await manager.cli(
        ...['rotate', '--dir', folders.kept, '--schedule', 'monthly', '--json'],
      )
      expect(code, stderr).toBe(0)
      expect(stderr).toContain('The role has 2 secret ids')
      expect(JSON.parse(stdout)).toMatchObject({ state: { secrets: ['gateway_token'] } })
      expect(await judged(manager, folders.kept)).toMatchObject({ verdict: 'pass' })
    })
  },
)

/** A machine with a cron of its own and without systemd: the crontabs are in `spool`, Docker is this machine's. */
class CronMachine {
  readonly #scratch: string
  readonly spool: string
  #outer: ChildProcess | undefined
  #first = ''

  constructor(scratch: string) {
    this.#scratch = scratch
    this.spool = resolve(scratch, 'spool')
  }

  async start(): Promise<void> {
    for (const name of ['spool/crontabs', 'run', 'none'])
      mkdirSync(resolve(this.#scratch, name), { recursive: true })
    const script = `set -e; cd "$0"
      mount -n --bind spool /var/spool/cron; mount -n --bind none /etc/cron.d; mount -n --bind /dev/null /etc/crontab
      mount -n -t tmpfs -o mode=755 none run; touch run/docker.sock; mount -n --bind /run/docker.sock run/docker.sock
      mount -n --move run /run; touch /run/ready; sleep 1800 & wait`
    const namespaces = [
      '--mount',
      '--propagation',
      'private',
      '--pid',
      '--fork',
      '--mount-proc',
      '--kill-child',
    ]
    const args = [...namespaces, 'bash', '-c', script, this.#scratch]
    this.#outer = spawn('unshare', args, { stdio: 'inherit' })
    const isUp = async () => {
      this.#first = (await sh('pgrep', ['-P', String(this.#outer?.pid)])).stdout.trim()
      return this.#first !== '' && (await this.run('test', '-e', '/run/ready')).code === 0
    }
    expect(await within(30, isUp)).toBe(true)
    await this.switchOn()
  }

  run(...command: string[]): Promise<Ran> {
    const args = ['-t', this.#first, '--mount', '--pid', '--wdns=/', '--', ...command]
    return sh('nsenter', args, { env: { PATH: process.env.PATH, TZ: 'UTC' } })
  }

  cli(...args: string[]): Promise<Ran> {
    return this.run(process.execPath, BIN, ...args)
  }

  async crontab(): Promise<string> {
    return (await this.run('crontab', '-l')).stdout
  }

  async replace(crontab: string): Promise<void> {
    await this.run('bash', '-c', 'printf %s "$0" | crontab -', crontab)
  }

  async switchOn(): Promise<void> {
    await this.run('bash', '-c', 'cron </dev/null >/dev/null 2>&1')
  }

  async switchOff(): Promise<void> {
    await this.run('bash', '-c', 'p=$(cat /run/crond.pid); kill "$p"; while kill -0 "$p"; do sleep 0.1; done')
  }

  /** With the first process all others end. */
  stop(): void {
    if (this.#first !== '') process.kill(Number(this.#first), 'SIGKILL')
    this.#outer?.kill('SIGKILL')
  }
}

describe('a rotation by cron', () => {
  const above = freshFolder('schedule-cron')
  const folder = resolve(above, `50% "off", it's`)
  const others = '# mine\nMAILTO=me\n5 5 * * 1 true %with input\n\n'
  const machine = new CronMachine(resolve(above, '..'))
  let port = 0

  beforeAll(async () => {
    port = await freePort()
    mkdirSync(above, { recursive: true })
    await machine.start()
    const args = [BIN, ...(await quick(folder, port)), '--name', basename(above), '--quiet']
    // Only the test that waits for the minute rotates the token of a gateway.
    if (!isThorough) args.push('--no-launch')
    const { code, stderr } = await sh(process.execPath, args)
    expect(code, stderr).toBe(0)
    await machine.replace(others)
    expect(await machine.crontab()).toBe(others)
  })
  afterAll(async () => {
    machine.stop()
    await remove(above)
  })

  const verdict = async () => {
    const { stdout } = await machine.cli('verify', folder, '--only', 'rotate.scheduled', '--json')
    const [{ verdict, evidence }] = JSON.parse(stdout).findings
    return { verdict, evidence }
  }

  it('is one line more in the crontab, however often it is asked for', async () => {
    for (const changed of [['schedule.tool', 'schedule.install'], []]) {
      const schedule = ['rotate', '--dir', folder, '--schedule', 'monthly', '--json']
      const { code, stdout, stderr } = await machine.cli(...schedule)
      expect(code, stderr).toBe(0)
      expect(JSON.parse(stdout)).toMatchObject({ changed, state: { kind: 'cron', isActive: true } })
      const text = await machine.crontab()
      expect(text.startsWith(others)).toBe(true)
      expect(text.slice(others.length)).toMatch(/^\d+ [0-5] \* \* \* \/bin\/sh '.*schedule\.sh' # .*\n$/)
      expect(await verdict()).toMatchObject({ verdict: 'pass' })
    }
  })

  // A minute of waiting: `npm run crash` has the time for it.
  it.runIf(isThorough)(
    'rotates an old token when its time comes, and what became of it is known',
    async () => {
      makeOld(folder)
      const value = tokenOf(folder)
      const before = await machine.crontab()
      // The same line, every minute.
      await machine.replace(before.replace(/^\d+ \d+ (\* \* \* \/bin\/sh)/m, '* * $1'))
      const log = resolve(folder, '.secure/schedule.log')
      const isOver = () => existsSync(log) && /ended with \d+\n$/.test(readFileSync(log, 'utf8'))
      const isDone = await within(180, isOver)
      await machine.replace(before)
      expect(isDone).toBe(true)
      expect(readFileSync(log, 'utf8')).toMatch(/gateway_token[\s\S]*\nended with 0\n$/)
      expect(statSync(log).mode & 0o777).toBe(0o600)
      expect(await authStatus(port, value)).toBe(401)
      expect(await authStatus(port, tokenOf(folder))).toBe(404)
      const { stdout } = await machine.cli('status', '--dir', folder, '--json')
      expect(JSON.parse(stdout).rotation.schedule).toMatchObject({ kind: 'cron', lastResult: 'success' })
    },
  )

  it('is red when no cron is running, and is not said to be installed', async () => {
    await machine.switchOff()
    expect(await verdict()).toEqual({
      verdict: 'fail',
      evidence: expect.stringContaining('no cron daemon is running'),
    })
    expect(await machine.cli('rotate', '--dir', folder, '--schedule', 'weekly')).toMatchObject({
      ...{ code: 3, stderr: expect.stringContaining('schedule_failed') },
    })
    await machine.switchOn()
    expect((await machine.cli('rotate', '--dir', folder, '--schedule', 'monthly')).code).toBe(0)
    expect(await verdict()).toMatchObject({ verdict: 'pass' })
  })

  it('is red when somebody has taken the line away', async () => {
    const before = await machine.crontab()
    await machine.replace(others)
    expect(await verdict()).toMatchObject({ verdict: 'fail' })
    await machine.replace(before)
  })

  it('keeps what is no UTF-8 in a crontab as it is, and says so', async () => {
    const before = await machine.crontab()
    await machine.run('bash', '-c', `printf '# caf\\xe9\\n' | crontab -`)
    const { code, stderr } = await machine.cli('rotate', '--dir', folder, '--schedule', 'weekly')
    expect({ code, stderr }).toEqual({ code: 3, stderr: expect.stringContaining('schedule_unknown') })
    expect((await machine.run('bash', '-c', 'crontab -l | od -An -c')).stdout).toContain('351')
    await machine.replace(before)
  })

  it('of several deployments at once is a line for each, and all of them go again', async () => {
    const names = ['a', 'b', 'c']
    const fleet = resolve(above, '../fleet')
    for (const name of names) await unlaunched(resolve(fleet, name), `${basename(above)}-${name}`)
    const before = await machine.crontab()
    const schedule = (how: string) => machine.cli('rotate', '--dir', `${fleet}/*`, '--schedule', how)
    const on = await schedule('monthly')
    expect(on.code, on.stderr).toBe(0)
    expect(on.stdout.match(/ scheduled /g)).toHaveLength(names.length)
    const lines = (await machine.crontab()).split('\n')
    for (const name of names)
      expect(lines.filter(line => line.includes(`${fleet}/${name}/.secure/schedule.sh`))).toHaveLength(1)
    const off = await schedule('off')
    expect(off.stdout.match(/ unscheduled /g), off.stderr).toHaveLength(names.length)
    expect(await machine.crontab()).toBe(before)
  })

  it('is taken away, and every other line stays as it was', async () => {
    expect((await machine.cli('rotate', '--dir', folder, '--schedule', 'off')).code).toBe(0)
    expect(await machine.crontab()).toBe(others)
    for (const name of ['tool', 'schedule.sh', 'schedule-run.json', 'schedule.json'])
      expect(existsSync(resolve(folder, '.secure', name)), name).toBe(false)
  })
})
