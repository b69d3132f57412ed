/**
 * A rotation that happens by itself: the program as a person runs it, under a real systemd (test/live/systemd) as root and
 * as a user, and under Debian's own cron. Timers fire, sandboxes hold, tokens are rotated.
 */
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
  type Ran,
  remove,
  sh,
  tokenOf,
  usual,
} from './harness.ts'

const SYSTEMD = resolve(BIN, '../../test/live/systemd')
const UID = 12345

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
    for (let tries = 0; tries < 120 && !(await until()); tries++) await sleep(500)
    rmSync(folder, { recursive: true })
    await this.systemctl('daemon-reload')
    await this.systemctl('restart', `${unit}.timer`)
    while ((await this.shown(`${unit}.service`, 'ActiveState')) === 'activating') await sleep(300)
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
    const { code, stderr } = await sh(process.execPath, [BIN, ...(await usual(folder, port)), '--quiet'])
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
    const tool = resolve(folder, '.secure/tool')
    const bin = resolve(tool, 'bin/create-openclaw-secure.js')
    expect(statSync(tool).mode & 0o777).toBe(0o700)
    expect((await sh(process.execPath, [bin, '--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect(await manager.shown(`${unit}.service`, 'ExecStart')).toContain(
      `argv[]=${process.execPath} ${bin} rotate gateway_token --dir ${folder} --resume --if-older-than 28d --yes ;`,
    )
  })

  it('changes nothing when it is asked for again', async () => {
    const before = { ...fingerprints(folder), ...manager.unitTexts() }
    const again = await manager.cli('rotate', '--dir', folder, '--schedule', 'monthly', '--json')
    expect(JSON.parse(again.stdout).changed).toEqual([])
    expect({ ...fingerprints(folder), ...manager.unitTexts() }).toEqual(before)
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

  it('that fails is seen by status and verify, until it has worked again', async () => {
    makeOld(folder)
    await sh('docker', ['stop', '--time', '1', `${basename(folder)}-openclaw-gateway-1`])
    expect((await manager.systemctl('start', `${unit}.service`)).code).not.toBe(0)
    expect(await judged(manager, folder)).toEqual({
      verdict: 'fail',
      evidence: expect.stringMatching(/the last run \(.*\): exit-code \(3\)/),
    })
    expect((await statusOf(manager, folder)).due).toContainEqual(
      expect.stringMatching(/scheduled rotation: its last run ended with exit-code \(3\)/),
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
  ])('without %s is red, and the same command repairs it', async (_, spoil) => {
    spoil(resolve(manager.units, unit))
    expect(await judged(manager, folder)).toMatchObject({ verdict: 'fail' })
    const repaired = await manager.cli('rotate', '--dir', folder, '--schedule', 'monthly', '--quiet')
    expect(repaired.code, repaired.stderr).toBe(0)
    expect(await judged(manager, folder)).toMatchObject({ verdict: 'pass' })
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
    for (const name of ['tool', 'schedule.json', 'schedule.log'])
      expect(existsSync(resolve(folder, '.secure', name)), name).toBe(false)
    expect(await judged(manager, folder)).toMatchObject({ verdict: 'skip' })
    const again = await manager.cli('rotate', '--dir', folder, '--schedule', 'off', '--json')
    expect(JSON.parse(again.stdout).changed).toEqual([])
  })
})

describe('a folder with a name that means something to systemd and to a shell (command injection)', () => {
  const above = freshFolder('odd')
  const folder = resolve(above, 'a "b" %h $HOME \'c\' d;x')
  const manager = new Manager()

  beforeAll(async () => {
    await manager.start()
    mkdirSync(above, { recursive: true })
    const args = [
      '--yes',
      '--no-launch',
      '--build',
      '--base-image',
      BASE_IMAGE,
      '--quiet',
      '--contact',
      'x, 1',
    ]
    const own = ['--name', basename(above), '--port', String(await freePort())]
    const { code, stderr } = await sh(process.execPath, [BIN, folder, ...args, ...own])
    expect(code, stderr).toBe(0)
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
})

describe('a rotation by systemd, of a user', () => {
  const folder = freshFolder('schedule-user')
  const unit = `create-openclaw-secure-rotate-${basename(folder)}`
  const manager = new Manager(UID)
  let port = 0

  beforeAll(async () => {
    port = await freePort()
    chownSync(resolve(folder, '..'), UID, UID)
    await manager.start()
    const args = (await usual(folder, port)).filter(argument => argument !== '--firewall')
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

describe.runIf(hasBao())('a rotation by systemd, of a gateway whose secrets are in a Vault', () => {
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
      const args = [
        '--yes',
        '--no-launch',
        '--build',
        '--base-image',
        BASE_IMAGE,
        '--quiet',
        '--contact',
        'x, 1',
      ]
      const own = ['--port', String(await freePort()), '--store', 'vault', '--vault-address', bao.address]
      const all = [BIN, folders[which], ...args, ...own, ...openers[which]]
      const { code, stderr } = await sh(process.execPath, all)
      expect(code, stderr).toBe(0)
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
})

describe('a rotation by cron', () => {
  const above = freshFolder('schedule-cron')
  const folder = resolve(above, `50% "off", it's`)
  const spool = resolve(above, '../spool')
  const others = '# mine\nMAILTO=me\n5 5 * * 1 true %with input\n\n'

  /** Runs something where there is no systemd, and where crontabs are in a folder of ours. */
  function run(...command: string[]): Promise<Ran> {
    const script =
      'mount --bind "$0" /var/spool/cron && mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && exec "$@"'
    const namespace = ['--mount', '--propagation', 'private', 'bash', '-c', script, spool]
    return sh('unshare', [...namespace, ...command], { env: { PATH: process.env.PATH, TZ: 'UTC' } })
  }
  const cli = (...args: string[]) => run(process.execPath, BIN, ...args)
  const crontab = async () => (await run('crontab', '-l')).stdout

  beforeAll(async () => {
    mkdirSync(resolve(spool, 'crontabs'), { recursive: true })
    mkdirSync(above, { recursive: true })
    const args = [
      '--yes',
      '--no-launch',
      '--build',
      '--base-image',
      BASE_IMAGE,
      '--quiet',
      '--contact',
      'x, 1',
    ]
    const own = ['--name', basename(above), '--port', String(await freePort())]
    const { code, stderr } = await sh(process.execPath, [BIN, folder, ...args, ...own])
    expect(code, stderr).toBe(0)
    await run('bash', '-c', `printf %s "$0" | crontab -`, others)
    expect(await crontab()).toBe(others)
  })
  afterAll(() => remove(above))

  it('is one line more in the crontab, however often it is asked for', async () => {
    for (const changed of [['schedule.tool', 'schedule.install'], []]) {
      const { code, stdout, stderr } = await cli('rotate', '--dir', folder, '--schedule', 'monthly', '--json')
      expect(code, stderr).toBe(0)
      expect(JSON.parse(stdout)).toMatchObject({ changed, state: { kind: 'cron', isEnabled: true } })
      const text = await crontab()
      expect(text.startsWith(others)).toBe(true)
      expect(text.slice(others.length)).toMatch(
        /^\d+ [0-5] \* \* \* umask 077; .* --if-older-than 28d --yes; .*\n$/,
      )
    }
  })

  it('is run by cron as it is written, and what became of it is known', async () => {
    // The same line, every minute; and cron beside the one that this machine may have.
    const soon = `crontab -l | sed -E 's/^[0-9]+ [0-9]+ ([*] [*] [*] umask)/* * \\1/' | crontab -`
    const before = await crontab()
    await run('bash', '-c', soon)
    const daemon = 'mkdir -p "$0/run" && mount --bind "$0/run" /run && timeout 65 cron -f -L 0 || true'
    await run('bash', '-c', daemon, resolve(above, '..'))
    await run('bash', '-c', 'printf %s "$0" | crontab -', before)
    const log = resolve(folder, '.secure/schedule.log')
    expect(readFileSync(log, 'utf8')).toMatch(/gateway_token[\s\S]*\nended with 0\n$/)
    expect(statSync(log).mode & 0o777).toBe(0o600)
    const { stdout } = await cli('status', '--dir', folder, '--json')
    expect(JSON.parse(stdout).rotation.schedule).toMatchObject({ kind: 'cron', lastResult: 'success' })
  })

  it('is red when somebody has taken the line away', async () => {
    const before = await crontab()
    await run('bash', '-c', 'printf %s "$0" | crontab -', others)
    const { stdout } = await cli('verify', folder, '--only', 'rotate.scheduled', '--json')
    expect(JSON.parse(stdout).findings).toMatchObject([{ verdict: 'fail' }])
    await run('bash', '-c', 'printf %s "$0" | crontab -', before)
  })

  it('is taken away, and every other line stays as it was', async () => {
    expect((await cli('rotate', '--dir', folder, '--schedule', 'off')).code).toBe(0)
    expect(await crontab()).toBe(others)
    expect(existsSync(resolve(folder, '.secure/tool'))).toBe(false)
  })
})
