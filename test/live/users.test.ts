/** Who the gateway runs as, and whose its files are: OpenClaw refuses a secret that its own user does not own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, chownSync, cpSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { probeOwnership } from '../../src/deployment/owner.ts'
import { Docker } from '../../src/docker/engine.ts'
import { processRunner } from '../../src/docker/process.ts'
import { Redactor } from '../../src/secret.ts'
import {
  authStatus,
  BASE_IMAGE,
  BIN,
  containerOf,
  freePort,
  freshFolder,
  isThorough,
  quick,
  remove,
  sh,
  tokenOf,
  usual,
} from './harness.ts'

const TRIALS = '.cache/create-openclaw-secure/canaries'

describe('a person who is not root (privilege escalation)', () => {
  const folder = freshFolder('person')
  const uid = 12345
  let port = 0
  /** The program as this person runs it, who may use the engine. */
  const asPerson = (args: readonly string[], home = resolve(folder, '..')) => {
    chownSync(home, uid, uid)
    const group = String(statSync('/var/run/docker.sock').gid)
    const person = ['--reuid', String(uid), '--regid', String(uid), '--groups', group]
    return sh('setpriv', [...person, process.execPath, BIN, ...args], {
      env: { PATH: process.env.PATH, HOME: home },
    })
  }

  beforeAll(async () => {
    port = await freePort()
    // The profile was tried on this machine, as by a deployment of his that was there before: else it takes twice as long.
    const [tried, his] = [homedir(), resolve(folder, '..')].map(home => resolve(home, TRIALS))
    if (tried !== undefined && his !== undefined && existsSync(tried)) {
      cpSync(tried, his, { recursive: true })
      await sh('chown', ['--recursive', `${uid}:${uid}`, resolve(folder, '../.cache')])
    }
    const args = (await quick(folder, port)).filter(argument => argument !== '--firewall')
    const ran = await asPerson(args)
    expect(ran.code, ran.stderr).toBe(0)
  })
  afterAll(() => remove(folder))

  it('runs the gateway as himself: no file has to be given away, and root is never needed', async () => {
    expect(await authStatus(port, tokenOf(folder))).toBe(404)
    const { stdout } = await sh('docker', [
      'exec',
      await containerOf(folder),
      'sh',
      '-c',
      'grep -h ^Uid /proc/1/status',
    ])
    expect(stdout).toMatch(new RegExp(`^Uid:\\s+${uid}\\s+${uid}\\s+${uid}\\s+${uid}`))
    for (const path of ['secrets', 'config', 'state', '.secure/journal.jsonl'])
      expect(statSync(resolve(folder, path)).uid, path).toBe(uid)
  })

  it('is told that only root can see whether the neighbours’ rule is there: unknown, not a pass', async () => {
    const { code, stdout } = await asPerson(['verify', folder, '--only', 'ports.neighbours'])
    expect(code).toBe(3)
    expect(stdout).toMatch(/unknown ports\.neighbours/)
  })

  it('is told before anything is written that only root installs the firewall rule', async () => {
    const other = freshFolder('person-firewall')
    const home = resolve(other, '..')
    const { code, stderr } = await asPerson(await usual(other), home)
    expect(code, stderr).toBe(2)
    expect(stderr).toContain('firewall: only root can install the firewall rule')
    expect(() => statSync(other)).toThrow()
    rmSync(home, { recursive: true, force: true })
  })
})

// A second engine, and an image to be handed to it: half a minute.
describe.runIf(isThorough)('an engine that numbers users differently (userns-remap)', () => {
  const BRIDGE = 'ocs-remap'
  const home = mkdtempSync(resolve(tmpdir(), 'ocs-remap-'))
  const host = `unix://${home}/docker.sock`
  let engine: ChildProcess | undefined
  const docker = new Docker(processRunner(new Redactor(), { ...process.env, DOCKER_HOST: host }))

  beforeAll(async () => {
    // The remapped users have to pass through it.
    chmodSync(home, 0o711)
    // A bridge of its own: an engine that is told to have none removes the other engine's docker0.
    await sh('ip', ['link', 'add', BRIDGE, 'type', 'bridge'])
    await sh('ip', ['addr', 'add', '10.253.253.1/24', 'dev', BRIDGE])
    engine = spawn(
      'dockerd',
      [
        ...[
          '--userns-remap',
          'default',
          '--data-root',
          `${home}/data`,
          '--exec-root',
          `${home}/exec`,
          '--pidfile',
          `${home}/pid`,
          '--host',
          host,
        ],
        ...['--bridge', BRIDGE, '--iptables=false', '--ip6tables=false'],
      ],
      { stdio: 'ignore' },
    )
    for (let look = 0; look < 60 && (await sh('docker', ['--host', host, 'version'])).code !== 0; look++)
      await sleep(500)
    await sh('sh', ['-c', `docker save ${BASE_IMAGE} | docker --host ${host} load`])
  })
  afterAll(async () => {
    const ended = new Promise(done => engine?.once('close', done))
    if (engine?.exitCode === null && engine.kill('SIGTERM')) await ended
    await sh('ip', ['link', 'del', BRIDGE])
    rmSync(home, { recursive: true, force: true })
  })

  it('is asked, not guessed: files go to the number that user 1000 of a container has on this machine', async () => {
    const near = mkdtempSync(resolve(tmpdir(), 'ocs-near-'))
    chmodSync(near, 0o755)
    const ownership = await probeOwnership(docker, BASE_IMAGE, { uid: 0, gid: 0 }, near)
    rmSync(near, { recursive: true, force: true })
    expect(ownership).toMatchObject({ user: { uid: 1000, gid: 1000 }, by: 'chown' })
    expect(ownership.host.uid).toBeGreaterThan(65_536)
  })
})
