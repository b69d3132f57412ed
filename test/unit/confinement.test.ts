import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { INSIDE } from '../../src/deployment/layout.ts'
import {
  AppArmorProfile,
  bindLabel,
  confinementOf,
  profileName,
  profileOption,
  profileText,
} from '../../src/docker/confinement.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { socketProblem } from '../../src/gateway/sandbox.ts'
import { scratch, thrown } from './support.ts'

/** `docker info --format '{{json .SecurityOptions}}'`, as engines have said it. */
const ENGINES: [what: string, options: string[] | null, confinement: string][] = [
  ['Debian 12, 20.10, no AppArmor in the kernel', ['name=seccomp,profile=default'], 'none'],
  ['Debian and Ubuntu', ['name=apparmor', 'name=seccomp,profile=builtin', 'name=cgroupns'], 'apparmor'],
  ['Ubuntu, userns-remap', ['name=apparmor', 'name=seccomp,profile=builtin', 'name=userns'], 'apparmor'],
  ['Fedora and RHEL', ['name=seccomp,profile=builtin', 'name=selinux', 'name=cgroupns'], 'selinux'],
  [
    'a rootless one on Ubuntu, which may not load a profile',
    ['name=apparmor', 'name=seccomp,profile=builtin', 'name=rootless', 'name=cgroupns'],
    'none',
  ],
  ['Docker Desktop', ['name=seccomp,profile=unconfined', 'name=cgroupns'], 'none'],
  ['an old one', ['apparmor', 'seccomp'], 'apparmor'],
  ['one that says nothing', null, 'none'],
  ['one with a profile of that name', ['name=seccomp,profile=apparmor'], 'none'],
]

describe('what an engine applies to its containers', () => {
  it.each(ENGINES)('%s', (_, SecurityOptions, confinement) => {
    expect(confinementOf({ SecurityOptions })).toBe(confinement)
    expect(bindLabel(confinementOf({ SecurityOptions }) === 'selinux')).toEqual(
      confinement === 'selinux' ? { selinux: 'z' } : {},
    )
  })
})

describe('handing the gateway the engine’s socket', () => {
  const problem = (options: string[] | null, apparmor = false, group: number | undefined = 998) =>
    socketProblem({ SecurityOptions: options }, apparmor, group)

  it('is possible where the engine of this machine has the machine’s own users', () => {
    expect(problem(['name=seccomp,profile=default'])).toBeUndefined()
    expect(problem(['name=apparmor', 'name=seccomp,profile=builtin'])).toBeUndefined()
    expect(problem(null)).toBeUndefined()
  })

  it('is refused with the reason where it could not work', () => {
    expect(problem(['name=rootless'])).toContain('maps its users')
    expect(problem(['name=seccomp,profile=builtin', 'name=userns'])).toContain('maps its users')
    expect(problem(['name=selinux'])).toContain('SELinux')
    expect(problem(['name=apparmor'], true)).toContain('--apparmor')
  })
})

describe('the profile of a deployment', () => {
  it('has its name, and the places that its container may write', () => {
    const text = profileText('my-gateway')
    expect(text).toContain('profile "create-openclaw-secure-my-gateway" flags=')
    expect(profileOption('my-gateway')).toBe(`apparmor:${profileName('my-gateway')}`)
    const writable = [...text.matchAll(/^ {2}(\S+) rw[kl]*,$/gm)].map(found => found[1])
    expect(writable.filter(path => !path?.startsWith('/dev/'))).toEqual([
      `${INSIDE.state}/{,**}`,
      `${INSIDE.cache}/{,**}`,
      '/tmp/{,**}',
    ])
  })

  it('starts nothing from where something can be written (command injection)', () => {
    const starts = [...profileText('gw').matchAll(/^ {2}(\S+) \S*x,$/gm)].map(found => found[1])
    expect(starts).toEqual(['/{app,opt,usr,bin,sbin,lib,lib32,lib64,libx32}/**', '/dev/init'])
  })

  it('grants no capability, no mount and no tracing, and takes in no other file (privilege escalation)', () => {
    const rules = profileText('gw')
      .split('\n')
      .map(line => line.trim())
      .filter(line => line !== '' && !/^(#|audit deny|deny)/.test(line))
    expect(
      rules.filter(rule =>
        /^(capability|mount|umount|pivot_root|change_profile|include|dbus|network raw|network packet)/.test(
          rule,
        ),
      ),
    ).toEqual([])
    expect(rules.filter(rule => rule.startsWith('ptrace'))).toEqual([
      'ptrace (read, readby) peer="create-openclaw-secure-gw",',
    ])
  })

  it.each([
    '/root/{,**}',
    '/home/*/.{ssh,gnupg,aws,config}/{,**}',
    '/etc/{shadow,gshadow}{,-}',
    'docker.sock',
    'mem,pagemap',
  ])('refuses %s whatever else is allowed (filesystem access)', path => {
    const denials = profileText('gw')
      .split('\n')
      .filter(line => line.trim().startsWith('audit deny'))
    expect(denials.filter(line => line.includes(path))).toHaveLength(1)
  })

  it.each([
    ...['', 'x', 'X', '-a', 'a-', 'a b', 'a"b', 'a\\b', 'a{b,c}', 'a*', 'a/b', 'a\nb', '@{PROC}', 'ä-ö'],
    ...['x" flags=(complain) {}#', 'a,\n  capability,', `${'a'.repeat(41)}`, '#include <tunables/global>'],
  ])('is not made for the name %j', async name => {
    expect(await thrown(() => profileText(name))).toMatchObject({ code: 'bad_name' })
  })
})

describe('the profile on a machine', () => {
  const runner = (code: number, stderr = '') => {
    const calls: { file: string; args: readonly string[]; input: unknown }[] = []
    const run: ProcessRunner = async (file, args, { input }) => {
      calls.push({ file, args, input })
      return { code, stdout: '', stderr }
    }
    return { run, calls }
  }
  const places = (list?: string) => {
    const folder = scratch()
    if (list !== undefined) writeFileSync(join(folder, 'loaded'), list)
    return { profiles: folder, loaded: join(folder, 'loaded') }
  }

  it('is there when the kernel enforces it, by exactly that name', () => {
    const enforced = (list: string) => new AppArmorProfile(runner(0).run, 'gw', places(list)).isEnforced()
    expect(enforced('docker-default (enforce)\ncreate-openclaw-secure-gw (enforce)\n')).toBe(true)
    expect(enforced('create-openclaw-secure-gw (complain)\n')).toBe(false)
    expect(enforced('create-openclaw-secure-gw (unconfined)\n')).toBe(false)
    expect(enforced('create-openclaw-secure-gw2 (enforce)\nx-create-openclaw-secure-gw (enforce)\n')).toBe(
      false,
    )
    expect(enforced('')).toBe(false)
  })

  it('is unknown where the kernel’s list cannot be read', async () => {
    const profile = new AppArmorProfile(runner(0).run, 'gw', places())
    expect(await thrown(() => profile.isEnforced())).toMatchObject({ code: 'apparmor_unknown' })
  })

  it('goes to the parser through its input, without a shell and without the cache', async () => {
    const { run, calls } = runner(0)
    const profile = new AppArmorProfile(run, 'gw', places())
    await profile.check('text')
    await profile.load('text')
    await profile.unload('text')
    expect(calls).toEqual(
      ['--skip-kernel-load', '--replace', '--remove'].map(verb => ({
        file: 'apparmor_parser',
        args: [verb, '--skip-cache'],
        input: 'text',
      })),
    )
  })

  it('that the parser refuses is refused with the parser’s reason, not with its warnings', async () => {
    const { run } = runner(1, 'Warning: no cache\nAppArmor parser error at line 3: syntax error\n')
    const profile = new AppArmorProfile(run, 'gw', places())
    expect(await thrown(() => profile.check('x'))).toMatchObject({
      code: 'apparmor_invalid',
      message:
        'the AppArmor profile create-openclaw-secure-gw is refused by apparmor_parser: AppArmor parser error at line 3: syntax error',
    })
    expect(await thrown(() => profile.load('x'))).toMatchObject({ code: 'apparmor_failed' })
  })
})
