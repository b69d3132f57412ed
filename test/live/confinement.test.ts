/**
 * What confines the gateway beside seccomp, tried with the real parser, the real engine and the real kernel: the AppArmor
 * profile, the places nobody may see, and the room on the disk. Each test names the threat it stands for.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { layoutOf } from '../../src/deployment/layout.ts'
import { AppArmorProfile, confinementOf, profileText } from '../../src/docker/confinement.ts'
import { Docker } from '../../src/docker/engine.ts'
import { processRunner } from '../../src/docker/process.ts'
import { judgeDisk, lookAtDisk } from '../../src/gateway/disk.ts'
import { Redactor } from '../../src/secret.ts'
import { filesDenied } from '../../steps/verify/files-denied.ts'
import { filesScoped } from '../../steps/verify/files-scoped.ts'
import { hostProtections } from '../../steps/verify/host-protections.ts'
import { mountsOf } from '../../steps/verify/kernel.ts'
import type { World } from '../../steps/verify/world.ts'
import { IMAGE, sh } from './harness.ts'

const run = processRunner(new Redactor(), process.env)
const docker = new Docker(run)
const scratch = mkdtempSync(join(tmpdir(), 'ocs-live-confinement-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

const NAME = `ocs-confinement-${process.pid}`
const MIB = 1024 ** 2
const HARD = [
  ...['--name', NAME, '--network', 'none', '--read-only', '--cap-drop', 'ALL', '--user', '1000:1000'],
  ...['--security-opt', 'no-new-privileges:true', '--memory', '512m', '--memory-swap', '512m', '--init'],
]
afterEach(() => sh('docker', ['rm', '--force', NAME]))

/** Runs a Node program in a hardened throw-away container of the gateway's image. */
const inside = (flags: readonly string[], script: string) =>
  sh('docker', ['run', '--rm', ...HARD, ...flags, '--entrypoint', 'node', IMAGE, '-e', script])

/** A container that sleeps, as the checks see one. */
async function sleeping(flags: readonly string[]): Promise<World> {
  const { code, stderr } = await sh('docker', [
    ...['run', '--detach', ...HARD, ...flags, '--entrypoint', 'sleep', IMAGE, '120'],
  ])
  expect(code, stderr).toBe(0)
  const container = await docker.container(NAME)
  const { stdout: mounts } = await sh('docker', ['exec', NAME, 'cat', '/proc/self/mounts'])
  const seen: Partial<World> = {
    layout: layoutOf(join(scratch, 'gw')),
    file: () => undefined,
    denied: async () => ({ '/root': 'EACCES' }),
    mounts: async () => mountsOf({ mounts: mounts.trim() } as Parameters<typeof mountsOf>[0]),
    ...(container === undefined ? {} : { container: async () => container }),
  }
  return seen as World
}

describe('the AppArmor profile (privilege escalation)', () => {
  it.each([
    ...['my-gateway', 'ab', 'a--b', `${'x'.repeat(39)}9`],
    // Words of the language itself, and names of other profiles.
    ...['profile', 'deny', 'audit', 'hat', 'include', 'capability', 'unconfined', 'docker-default', 'flags'],
  ])('is what AppArmor’s own parser takes, for the name %s', async name => {
    await new AppArmorProfile(run, name).check(profileText(name))
  })

  it.each([
    ['cut off', (text: string) => text.slice(0, -20)],
    ['with a rule that is none', (text: string) => text.replace('  unix,', '  anything goes,')],
    ['with a permission that is none', (text: string) => text.replace('mrix,', 'mrqx,')],
    ['with rules that contradict each other', (text: string) => text.replace('  / r,', '  /usr/** Ux,')],
  ])('is refused when it is broken: %s', async (_, breaking) => {
    const broken = breaking(profileText('gw'))
    expect(broken).not.toBe(profileText('gw'))
    await expect(new AppArmorProfile(run, 'gw').check(broken)).rejects.toMatchObject({
      code: 'apparmor_invalid',
      message: expect.stringMatching(/parser error|conflicting/i),
    })
  })

  it('asked of an engine that has none is taken without a word, which is why the kernel is asked', async () => {
    if (confinementOf(await docker.info()) === 'apparmor') return
    const container = await (
      await sleeping(['--security-opt', 'apparmor=nobody-has-loaded-this'])
    ).container()
    expect(container.HostConfig.SecurityOpt).toContain('apparmor=nobody-has-loaded-this')
    expect(container.State.Running).toBe(true)
  })
})

describe('the protections of the engine (privilege escalation)', () => {
  it('are there by themselves, and seen to be off although docker inspect names no option', async () => {
    expect(await hostProtections.run(await sleeping([]))).toMatchObject({ verdict: 'pass' })
    await sh('docker', ['rm', '--force', NAME])
    const open = await sleeping(['--security-opt', 'systempaths=unconfined'])
    expect((await open.container()).HostConfig.SecurityOpt).not.toContain('systempaths=unconfined')
    expect(await hostProtections.run(open)).toMatchObject({ verdict: 'fail' })
  })
})

describe('a folder of the machine (filesystem access)', () => {
  it('is not there in a container that nothing was mounted into', async () => {
    const { verdict, evidence } = await filesDenied.run(await sleeping(['--tmpfs', '/tmp']))
    expect(verdict, evidence).toBe('pass')
  })

  it.each([
    ['/etc under another name', '/etc', '/mnt/data'],
    ['the kernel’s list of processes', '/proc', '/mnt/p'],
    ['the engine’s socket under another name', '/var/run/docker.sock', '/mnt/s'],
  ])('is found whatever it is called inside: %s', async (_, source, target) => {
    const world = await sleeping(['--mount', `type=bind,source=${source},target=${target},readonly`])
    const denied = await filesDenied.run(world)
    expect(denied).toMatchObject({
      verdict: 'fail',
      evidence: expect.stringContaining(`${target} is ${source}`),
    })
    expect(await filesScoped.run(world)).toMatchObject({ verdict: 'fail' })
  })

  it('gets in through a link that has taken the place of a folder of ours, and is seen', async () => {
    const root = join(scratch, 'linked')
    mkdirSync(join(root, 'secret-place'), { recursive: true })
    writeFileSync(join(root, 'secret-place', 'key'), 'x', { mode: 0o644 })
    const layout = layoutOf(join(root, 'gw'))
    mkdirSync(layout.root)
    symlinkSync('../secret-place', layout.config)
    const world = await sleeping([
      '--mount',
      `type=bind,source=${layout.config},target=/etc/openclaw,readonly`,
    ])
    const { stdout } = await sh('docker', ['exec', NAME, 'ls', '/etc/openclaw'])
    expect(stdout.trim(), 'the engine follows it').toBe('key')
    const found = await filesScoped.run({
      ...world,
      layout,
      file: path =>
        path === layout.config
          ? { mode: 0o777, uid: 0, links: 1, modified: new Date(), kind: 'other' }
          : undefined,
    })
    expect(found).toMatchObject({ verdict: 'fail', evidence: expect.stringContaining('leads elsewhere') })
  })
})

describe('what fills the machine (resource exhaustion)', () => {
  const FILL = `const fs=require('fs');let n=0;try{for(;n<50000;n++)fs.closeSync(fs.openSync('/tmp/f'+n,'w'))}catch(e){console.log(n,e.code)}
console.log(fs.readFileSync('/proc/self/mounts','utf8').includes('nr_inodes'))`

  it('empty files cost memory without an end in a tmpfs that has only a size, and end at a number of inodes', async () => {
    const tmp = '/tmp:rw,noexec,nosuid,nodev,size=64m,mode=1777'
    expect((await inside(['--tmpfs', tmp], FILL)).stdout).toBe('false\n')
    expect((await inside(['--tmpfs', `${tmp},nr_inodes=4k`], FILL)).stdout).toMatch(/^409\d ENOSPC\ntrue\n$/)
  })

  it('one file ends where RLIMIT_FSIZE says, and the program goes on', async () => {
    const state = join(scratch, 'fsize')
    mkdirSync(state, { mode: 0o777 })
    await sh('chmod', ['777', state])
    const script = `const fs=require('fs');const f=fs.openSync('/s/big','w');let n=0
try{for(;n<40;n++)fs.writeSync(f,Buffer.alloc(${MIB}))}catch(e){console.log(n,e.code)};fs.writeFileSync('/s/small','x');console.log('goes on')`
    const { stdout } = await inside(
      ['--mount', `type=bind,source=${state},target=/s`, '--ulimit', `fsize=${8 * MIB}`],
      script,
    )
    expect(stdout).toBe('8 EFBIG\ngoes on\n')
  })

  it('a state folder with a file system of its own is full at its limit, and the machine is not', async () => {
    const state = join(scratch, 'gw2', 'state')
    const image = join(scratch, 'state.img')
    mkdirSync(state, { recursive: true })
    await sh('truncate', ['--size', '64M', image])
    expect((await sh('mkfs.ext4', ['-q', '-m', '0', image])).code).toBe(0)
    const mounted = await sh('mount', ['-o', 'loop,nosuid,nodev,noexec', image, state])
    expect(mounted.code, mounted.stderr).toBe(0)
    try {
      await sh('chown', ['1000:1000', state])
      const before = lookAtDisk(state)
      expect(judgeDisk(before, 64)).toMatchObject({ isBounded: true, problems: [] })
      const script = `const fs=require('fs');let n=0;try{for(;n<200;n++)fs.writeFileSync('/s/f'+n,Buffer.alloc(${MIB}))}catch(e){console.log(e.code)}
fs.copyFileSync('/bin/true','/tmp/t')`
      const { stdout } = await inside(
        ['--mount', `type=bind,source=${state},target=/s`, '--tmpfs', '/tmp'],
        script,
      )
      expect(stdout).toBe('ENOSPC\n')
      const after = lookAtDisk(state)
      expect(judgeDisk(after, 64).problems.join()).toContain('free on the state’s own file system')
      // What is free on the machine's disk, others change meanwhile; this is what the state takes of it.
      expect(statSync(image).blocks * 512).toBeLessThanOrEqual(65 * MIB)
      expect(judgeDisk(lookAtDisk(join(scratch, 'gw2')), 64).isBounded).toBe(false)
    } finally {
      await sh('umount', [state])
    }
  })
})
