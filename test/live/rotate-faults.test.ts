/**
 * What can happen to the world around a rotation while it runs: the store, the gateway, the engine, the disk, the clock and
 * other runs. Each time it says what is wrong, nobody is locked out, and `rotate --resume` ends with one token.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addressesOf } from '../../src/deployment/network.ts'
import { borderRecipe } from '../../src/gateway/image.ts'
import { hasBao, type Sealable, startSealable, until } from './bao.ts'
import {
  authStatus,
  BASE_IMAGE,
  cli,
  containerOf,
  fingerprints,
  freshFolder,
  IMAGE,
  isThorough,
  networksOf,
  quick,
  type Ran,
  remove,
  sh,
} from './harness.ts'
import {
  begun,
  deployed,
  done,
  expectNobodyLockedOut,
  expectSettled,
  hasLock,
  heldAt,
  heldWhen,
  learn,
  type Rotating,
  type Running,
  resume,
  rotate,
  startRotation,
  storedTokens,
  untilServed,
} from './rotations.ts'

type Ended = Awaited<Running['ended']>

/** It ended by itself with this code, and says this and how it goes on. */
function expectFailed(ended: Ended | Ran, code: 3 | 4, says: RegExp): void {
  expect(ended.code, ended.stderr).toBe(code)
  expect(ended.stderr).toMatch(says)
  if (code === 4) expect(ended.stderr).toContain('rotate --resume')
}

async function expectResumed(at: Rotating, note: string): Promise<void> {
  await learn(at)
  const resumed = await resume(at)
  expect(resumed.code, `${note}: ${resumed.stderr}`).toBe(0)
  await learn(at)
  await expectSettled(at, note)
}

/** It is in the middle of waiting for the gateway to take the new token, and stands still there. */
const heldInApply = (at: Rotating): Promise<Running> => heldAt(at, begun('rotate.apply'))

/** `npm run crash`: everything, and the time that it takes. */

describe.runIf(hasBao())('OpenBao sealed in the middle of a rotation (denial of service)', () => {
  const desk = mkdtempSync(resolve(tmpdir(), 'ocs-faults-'))
  let bao: Sealable
  let at: Rotating

  beforeAll(async () => {
    bao = await startSealable()
    await bao.ask('POST', 'sys/mounts/secret', { type: 'kv', options: { version: '2' } })
    writeFileSync(resolve(desk, 'admin'), bao.root.expose(), { mode: 0o600 })
    writeFileSync(resolve(desk, 'ca.pem'), bao.ca)
    at = await deployed('sealed', {
      bao,
      flags: [
        ...['--store', 'vault', '--vault-address', bao.address, '--vault-ca', resolve(desk, 'ca.pem')],
        ...['--vault-admin', `@${resolve(desk, 'admin')}`],
      ],
    })
  })
  afterAll(async () => {
    if (at !== undefined) await remove(at.folder)
    await bao.stop()
    rmSync(desk, { recursive: true, force: true })
  })

  /** Seals it as soon as the journal has that, and lets the rotation go on. */
  async function sealedAt(moment: string): Promise<Ended> {
    const running = await heldAt(at, moment)
    await bao.seal()
    running.goOn()
    const ended = await running.ended
    expect(ended.took, 'within the deadlines of a store').toBeLessThan(90_000)
    return ended
  }

  it.sequential('before it began: it is refused with code 3, and the old token stays', async () => {
    const before = fingerprints(at.folder)
    const { current } = await storedTokens(at)
    await bao.seal()
    const ended = await rotate(at)
    expectFailed(ended, 3, /^store_\w+: /m)
    expect(fingerprints(at.folder)).toEqual(before)
    expect(await authStatus(at.port, current?.value)).toBe(404)
    await bao.unseal()
    expect(await storedTokens(at)).toEqual({ current })
  })

  const moments: [string, string, string[] | undefined][] = [
    ['with the new token staged', begun('rotate.apply'), ['current', 'pending']],
    ['with the new token committed, and the old one still there', done('rotate.commit'), undefined],
    ['with the new token proven, and not yet the current one', done('rotate.apply'), undefined],
  ]
  it.sequential.each(moments.slice(0, isThorough ? 3 : 2))(
    '%s: code 4, the token in use can be found in the store, and with the store open again it goes on',
    async (what, moment, holds) => {
      const ended = await sealedAt(moment)
      await bao.unseal()
      const stored = Object.keys(await storedTokens(at))
      await expectNobodyLockedOut(at, what)
      if (holds !== undefined) expect(stored).toEqual(holds)
      // Between two lines of the journal the last request may have been answered already.
      if (ended.code === 0) expect(stored).toEqual(['current'])
      else {
        expectFailed(ended, 4, /^store_\w+: /m)
        const refused = await rotate(at)
        expectFailed(refused, 4, /^rotation_unfinished: /m)
      }
      await expectResumed(at, what)
    },
  )
})

describe.concurrent('the gateway, the clock, and others at the same time', () => {
  let at: Rotating
  beforeAll(async () => {
    at = await deployed('faults')
  })
  afterAll(async () => {
    if (at !== undefined) await remove(at.folder)
  })

  describe.runIf(isThorough).sequential('a gateway that ends in the middle (denial of service)', () => {
    const ways: [string, (id: string) => string[]][] = [
      ['killed', id => ['kill', id]],
      ['removed', id => ['rm', '--force', id]],
    ]
    it.sequential.each(isThorough ? ways : ways.slice(0, 1))(
      '%s while it is watched: the rotation ends with a clear error, and --resume starts it again',
      async (_, how) => {
        const running = await heldInApply(at)
        running.goOn()
        await running.untilChild('docker exec')
        expect((await sh('docker', how(await containerOf(at.folder)))).code).toBe(0)
        const ended = await running.ended
        expect(ended.took, 'in bounded time').toBeLessThan(200_000)
        // Where it had been proven a moment earlier, nothing is left to be asked; where it is seen in time, it is started.
        if (ended.code !== 0) expectFailed(ended, 4, /^(gateway_unseen|engine_unreachable): /m)
        await expectResumed(at, 'killed')
        const { stdout } = await sh('docker', [
          'inspect',
          '--format',
          '{{.State.Running}}',
          await containerOf(at.folder),
        ])
        expect(stdout.trim()).toBe('true')
      },
    )

    it.sequential.each(isThorough ? ways : [])(
      '%s before it hears of the new token: it is made anew, and the rotation is proven',
      async (_, how) => {
        const running = await heldInApply(at)
        expect((await sh('docker', how(await containerOf(at.folder)))).code).toBe(0)
        running.goOn()
        const ended = await running.ended
        if (ended.code !== 0) expectFailed(ended, 4, /^(gateway_unseen|gateway_not_ready): /m)
        await expectResumed(at, 'made anew')
      },
    )

    it.runIf(isThorough)(
      'killed together with the rotation while it is made anew: --resume makes it anew',
      async () => {
        const running = await heldInApply(at)
        expect((await sh('docker', ['kill', await containerOf(at.folder)])).code).toBe(0)
        running.goOn()
        expect(await running.untilChild('--force-recreate'), 'it came to it').toBe(true)
        await sleep(300)
        expect(await running.kill()).toBe(true)
        await expectResumed(at, 'made anew, twice')
      },
    )

    it.sequential('not running when the rotation begins: it is refused with code 3, and nothing is changed', async () => {
      await sh('docker', ['stop', '--time', '1', await containerOf(at.folder)])
      const before = fingerprints(at.folder)
      expectFailed(await rotate(at), 3, /^gateway_stopped: /m)
      expect(fingerprints(at.folder)).toEqual(before)
      await sh('docker', ['start', await containerOf(at.folder)])
      await untilServed(at)
    })
  })

  it.sequential('a frozen gateway (an incident is being looked into) is left frozen, and nothing is changed', async () => {
    const id = await containerOf(at.folder)
    const before = fingerprints(at.folder)
    await sh('docker', ['pause', id])
    try {
      expectFailed(await rotate(at), 3, /^gateway_paused: /m)
      expect((await sh('docker', ['inspect', '--format', '{{.State.Paused}}', id])).stdout.trim()).toBe(
        'true',
      )
      expect(fingerprints(at.folder)).toEqual(before)
    } finally {
      await sh('docker', ['unpause', id])
    }
    await expectSettled(at, 'after it')
  })

  it.sequential('a gateway that is frozen in the middle is left frozen, with code 4, and --resume goes on when it is thawed', async () => {
    const id = await containerOf(at.folder)
    const running = await heldInApply(at)
    await sh('docker', ['pause', id])
    running.goOn()
    try {
      const ended = await running.ended
      expectFailed(ended, 4, /^(gateway_paused|gateway_unseen): /m)
      expectFailed(await resume(at), 4, /^gateway_paused: /m)
      expect((await sh('docker', ['inspect', '--format', '{{.State.Paused}}', id])).stdout.trim()).toBe(
        'true',
      )
    } finally {
      await sh('docker', ['unpause', id])
    }
    await expectResumed(at, 'thawed')
  })

  describe.sequential('a clock that is stepped back', () => {
    const DAYS = 3
    const shift = `
      const Real = Date
      globalThis.Date = class extends Real {
        constructor(...given) { if (given.length === 0) super(Real.now() - ${DAYS * 86_400_000}); else super(...given) }
        static now() { return Real.now() - ${DAYS * 86_400_000} }
      }`
    const env = { ...process.env, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(shift)}` }

    it.sequential.each([begun('rotate.apply'), done('rotate.commit')])(
      'between the kill (at %s) and the end does not keep it from going on',
      async moment => {
        const running = await heldAt(at, moment)
        expect(await running.kill()).toBe(true)
        await learn(at)
        const resumed = await resume(at, env)
        expect(resumed.code, resumed.stderr).toBe(0)
        expect(
          readFileSync(resolve(at.folder, '.secure/journal.jsonl'), 'utf8').trim().split('\n').at(-1),
        ).toContain(new Date(Date.now() - DAYS * 86_400_000).toISOString().slice(0, 10))
        await expectSettled(at, 'resumed in the past')
      },
    )

    it.sequential('takes a token from the future for too old, rotates as ever, and knows its age when the clock is right again', async () => {
      const future = (await storedTokens(at)).current?.id
      expect(future).toBeDefined()
      // From the future, and so of an age that nobody knows.
      const due = await rotate(at, ['--if-older-than', '30d'], env)
      expect(due.code, due.stderr).toBe(0)
      expect((await storedTokens(at)).current?.id).not.toBe(future)
      const born = (await storedTokens(at)).current?.id
      const notDue = await rotate(at, ['--if-older-than', '30d'], env)
      expect(notDue.code, notDue.stderr).toBe(0)
      expect((await storedTokens(at)).current?.id, 'once is enough').toBe(born)
      await learn(at)
      const inThePast = await rotate(at, [], env)
      expect(inThePast.code, inThePast.stderr).toBe(0)
      await learn(at)
      await expectSettled(at, 'in the past')
      const past = (await storedTokens(at)).current?.id ?? ''
      expect(past < (future ?? '')).toBe(true)
      const now = await rotate(at, ['--if-older-than', '2d'])
      expect(now.code, now.stderr).toBe(0)
      expect((await storedTokens(at)).current?.id, 'three days old by now').not.toBe(past)
      await learn(at)
      await expectSettled(at, 'with the right time again')
    })
  })

  describe.sequential('others at the same time (two who rotate lock each other out)', () => {
    it.sequential('several at once: at least one rotates, each other one is refused, and one token is left', async () => {
      const before = (await storedTokens(at)).current?.id
      const ended = await Promise.all([rotate(at), rotate(at), rotate(at)])
      await learn(at)
      for (const { code, stderr } of ended)
        if (code !== 0) {
          expect([3, 4], stderr).toContain(code)
          expect(stderr).toMatch(/^(locked|rotated_meanwhile|rotation_unfinished): /m)
        }
      expect(ended.filter(({ code }) => code === 0).length).toBeGreaterThan(0)
      expect((await storedTokens(at)).current?.id).not.toBe(before)
      await expectSettled(at, 'three at once')
    })

    it.sequential('one that finds the lock held says by whom, also with --resume, and the holder ends as if it had been alone', async () => {
      const running = await heldInApply(at)
      const second = await rotate(at)
      expect([3, 4], second.stderr).toContain(second.code)
      expect(second.stderr).toMatch(/^(locked|rotation_unfinished): /m)
      const third = await resume(at)
      expect([3, 4], third.stderr).toContain(third.code)
      expect(third.stderr).toMatch(/^locked: another rotate gateway_token is running here \(process \d+ on /m)
      running.goOn()
      const ended = await running.ended
      expect(ended.code, ended.stderr).toBe(0)
      await learn(at)
      await expectSettled(at, 'the holder')
    })

    it.sequential('one that is only looking yet holds the others off as well: nobody rotates on what was seen before', async () => {
      const running = await heldWhen(
        () => startRotation(at),
        looking => looking.untilChild('docker exec'),
      )
      const before = (await storedTokens(at)).current?.id
      expectFailed(await rotate(at), 3, /^locked: another rotate gateway_token is running here/m)
      expect((await storedTokens(at)).current?.id).toBe(before)
      running.goOn()
      const ended = await running.ended
      expect(ended.code, ended.stderr).toBe(0)
      await learn(at)
      await expectSettled(at, 'the one that looked')
    })

    it.runIf(isThorough)('a setup that runs is not disturbed, and holds the rotation off', async () => {
      const setup = await heldAt(at, begun('files.write'), [at.folder, '--yes', '--quiet', '--cpus', '1'])
      const refused = await rotate(at)
      expectFailed(refused, 3, /^locked: another .* is running here/m)
      setup.goOn()
      const ended = await setup.ended
      expect(ended.code, ended.stderr).toBe(0)
      const rotated = await rotate(at)
      expect(rotated.code, rotated.stderr).toBe(0)
      await learn(at)
      await expectSettled(at, 'after the setup')
    })

    it.sequential('a rotation that was killed keeps setup and store move away until it is finished, and its lock keeps nobody away', async () => {
      const running = await heldInApply(at)
      expect(await running.kill()).toBe(true)
      expect(hasLock(at), 'it has left its lock').toBe(true)
      await learn(at)
      const before = fingerprints(at.folder)
      const commands = [
        [at.folder, '--yes'],
        [at.folder, '--yes', '--no-launch'],
        [
          ...['store', 'move', '--dir', at.folder, '--to', 'vault', '--vault-address', 'http://127.0.0.1:9'],
          ...['--vault-admin', `@${resolve(at.folder, 'deployment.yaml')}`, '--yes', '--destroy-old'],
        ],
      ]
      for (const args of commands) {
        const refused = await cli(args)
        expect(refused.code, `${args.join(' ')}: ${refused.stderr}`).toBe(2)
        expect(refused.stderr).toContain('rotate --resume')
      }
      expectFailed(await rotate(at), 4, /^rotation_unfinished: /m)
      expect((await cli(['status', '--dir', at.folder])).stdout, 'what is due').toContain('rotate --resume')
      expect(fingerprints(at.folder)).toEqual(before)
      await expectResumed(at, 'its lock is taken over')
    })
  })
})

describe.runIf(isThorough).concurrent('a disk that is full in the middle of a rotation', () => {
  const desk = mkdtempSync(resolve(tmpdir(), 'ocs-full-'))
  const small = resolve(desk, 'small')
  let at: Rotating

  beforeAll(async () => {
    mkdirSync(small)
    await sh('mount', ['-t', 'tmpfs', '-o', 'size=6m,mode=755', 'tmpfs', small])
    const folder = resolve(small, `t-full-${process.pid}`)
    const rendered = await cli([...(await quick(folder)), '--quiet', '--no-launch'])
    expect(rendered.code, rendered.stderr).toBe(0)
    // What the gateway keeps for itself lies on another disk: it does not run full with ours, and does not fill it.
    await sh('cp', ['-a', resolve(folder, 'state'), desk])
    await sh('mount', ['--bind', resolve(desk, 'state'), resolve(folder, 'state')])
    at = await deployed('full', { folder })
  })
  afterAll(async () => {
    if (at !== undefined) {
      const id = await containerOf(at.folder)
      if (id !== '') await sh('docker', ['rm', '--force', '--volumes', id])
      await sh('umount', [resolve(at.folder, 'state')])
      mkdirSync(resolve(desk, 'gone', basename(at.folder)), { recursive: true })
      await remove(resolve(desk, 'gone', basename(at.folder)))
    }
    await sh('umount', [small])
    rmSync(desk, { recursive: true, force: true })
  })

  const hog = resolve(small, 'hog')
  /** Leaves so many pages free. */
  function fill(pages: number): void {
    rmSync(hog, { force: true })
    const { bavail, bsize } = statfsSync(small)
    writeFileSync(hog, Buffer.alloc(Math.max(0, bavail - pages) * bsize))
  }

  it.sequential('at every write of its beginning: it says disk_full, the old token is taken, and with space again it goes on', async () => {
    const seen: string[] = []
    for (let pages = 0; pages < 12; pages += 1) {
      const before = (await storedTokens(at)).current?.value
      fill(pages)
      const ended = await rotate(at)
      const note = `${pages} pages: code ${ended.code}`
      seen.push(note)
      await expectNobodyLockedOut(at, note)
      if (ended.code !== 0) {
        expect([3, 4], `${note}: ${ended.stderr}`).toContain(ended.code)
        expect(ended.stderr, note).toMatch(/^disk_full: /m)
      }
      if (ended.code === 3) expect((await storedTokens(at)).current?.value, note).toBe(before)
      rmSync(hog)
      await expectResumed(at, note)
      if (ended.code === 0) break
    }
    expect(seen.length, seen.join('; ')).toBeGreaterThan(2)
  })

  it.sequential('at the switch of the pointer: code 4, the old token is taken, and with space again it goes on', async () => {
    const before = (await storedTokens(at)).current?.value
    const running = await heldInApply(at)
    fill(0)
    running.goOn()
    const ended = await running.ended
    expectFailed(ended, 4, /^disk_full: /m)
    expect(await authStatus(at.port, before)).toBe(404)
    rmSync(hog)
    await expectResumed(at, 'at the switch')
  })
})

// A second engine, with the image of a gigabyte in it, takes as long as everything else: `npm run crash`.
describe.runIf(isThorough)('an engine that is killed in the middle of a rotation (denial of service)', () => {
  const BRIDGE = 'ocs-rot'
  const folder = freshFolder('engine')
  const { subnet } = addressesOf(basename(folder)).inside
  // This engine leaves the rules of the network alone, and the other one lets nothing through that it does not know.
  const LET = ['FORWARD', '--source', subnet, '--destination', subnet, '--jump', 'ACCEPT']
  const home = mkdtempSync(resolve(tmpdir(), 'ocs-engine-'))
  const host = `unix://${home}/docker.sock`
  const env = { ...process.env, DOCKER_HOST: host }
  let engine: ChildProcess | undefined
  let at: Rotating

  async function startEngine(): Promise<void> {
    // Its containerd dies with it. Where nobody buries the dead, the number in this file would look alive.
    rmSync(`${home}/exec/containerd/containerd.pid`, { force: true })
    engine = spawn(
      'dockerd',
      [
        ...['--data-root', `${home}/data`, '--exec-root', `${home}/exec`, '--pidfile', `${home}/pid`],
        ...['--host', host, '--bridge', BRIDGE, '--iptables=false', '--ip6tables=false'],
      ],
      { stdio: 'ignore' },
    )
    await until(async () => (await sh('docker', ['version'], { env })).code === 0, 60_000)
  }

  /** Ends an engine, as a power cut does it; what it has started may live on. */
  async function killEngine(): Promise<void> {
    const ended = new Promise(ending => engine?.once('close', ending))
    if (engine?.exitCode === null && engine.kill('SIGKILL')) await ended
  }

  beforeAll(async () => {
    // A bridge of its own: an engine that is told to have none removes the other engine's docker0.
    await sh('ip', ['link', 'add', BRIDGE, 'type', 'bridge'])
    await sh('ip', ['addr', 'add', '10.253.252.1/24', 'dev', BRIDGE])
    await sh('iptables', ['--insert', ...LET])
    await startEngine()
    const images = `${IMAGE} ${borderRecipe({ companionBase: BASE_IMAGE }).label}`
    const copied = await sh('sh', ['-c', `docker save ${images} | docker --host ${host} load`], {
      timeout: 300_000,
    })
    expect(copied.code, copied.stderr).toBe(0)
    at = await deployed('engine', { env, folder })
  }, 600_000)
  afterAll(async () => {
    if (at !== undefined) {
      const { stdout } = await sh('docker', ['ps', '--all', '--quiet'], { env })
      for (const id of stdout.split('\n').filter(line => line !== ''))
        await sh('docker', ['rm', '--force', id], { env })
      await sh('docker', ['network', 'rm', ...networksOf(basename(at.folder))], { env })
    }
    const ended = new Promise(ending => engine?.once('close', ending))
    if (engine?.exitCode === null && engine.kill('SIGTERM')) await ended
    await sh('ip', ['link', 'del', BRIDGE])
    await sh('iptables', ['--delete', ...LET])
    await sh('umount', ['--recursive', `${home}/data`])
    await sh('sh', ['-c', `umount ${home}/exec/netns/*`])
    if (at !== undefined) await remove(at.folder)
    rmSync(home, { recursive: true, force: true })
  })

  it.sequential.each([
    ['before the switch of the pointer', false],
    ['while the gateway is watched', true],
  ])('%s: code 4 in bounded time, and with the engine back --resume finishes', async (what, isWatched) => {
    const running = await heldInApply(at)
    if (isWatched) {
      running.goOn()
      await running.untilChild('docker exec')
      running.hold()
    }
    await killEngine()
    running.goOn()
    const ended = await running.ended
    expect(ended.took, 'in bounded time').toBeLessThan(120_000)
    expectFailed(ended, 4, /^(engine_unreachable|gateway_unseen): /m)
    const meanwhile = await resume(at)
    expectFailed(meanwhile, 4, /^(engine_unreachable|gateway_unseen): /m)
    await startEngine()
    await expectResumed(at, what)
  })

  it.sequential('before it begins: code 3, and nothing is changed', async () => {
    const before = fingerprints(at.folder)
    await killEngine()
    expectFailed(await rotate(at), 3, /^engine_unreachable: /m)
    expect(fingerprints(at.folder)).toEqual(before)
    await startEngine()
    // Whether it starts what ran before is the engine's affair; whoever finds it stopped sets it up again.
    const again = await cli([at.folder, '--yes', '--quiet'], { env })
    expect(again.code, again.stderr).not.toBe(2)
    await expectResumed(at, 'nothing to go on with')
  })
})
