import { existsSync, readFileSync, statSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type ContainerFacts, Docker, THROWAWAY_LABEL } from '../../src/docker/engine.ts'
import { runSibling, type SiblingJob } from '../../src/docker/sibling.ts'
import { ToolError } from '../../src/errors.ts'
import { container } from './container.ts'
import { some, thrown } from './support.ts'

const JOB: SiblingJob = {
  command: ['node', '-e', 'true', '{"a":1}'],
  mounts: [],
  network: 'none',
  environment: {},
  shares: 128,
  deadline: 5000,
}

/** An engine that writes down what it is asked, and looks at the profile while it is there. */
function engine(answer: (args: readonly string[]) => Promise<number> = async () => 0) {
  const calls: string[][] = []
  const profiles: { path: string; text: string; mode: number }[] = []
  const docker = new Docker(async (file, args) => {
    expect(file).toBe('docker')
    calls.push([...args])
    for (const path of valuesOf(args, '--security-opt').map(option => option.replace(/^seccomp=/, '')))
      if (path.startsWith('/'))
        profiles.push({ path, text: readFileSync(path, 'utf8'), mode: statSync(path).mode & 0o777 })
    return { code: await answer(args), stdout: 'said', stderr: '' }
  })
  return { docker, calls, profiles }
}

function valuesOf(args: readonly string[], flag: string): string[] {
  return args.flatMap((arg, index) => (arg === flag ? [args[index + 1] ?? ''] : []))
}

async function run(change: Partial<ContainerFacts['HostConfig']> = {}, job: Partial<SiblingJob> = {}) {
  const { docker, calls, profiles } = engine()
  const original = container()
  const finished = await runSibling(
    docker,
    { ...original, HostConfig: { ...original.HostConfig, ...change } },
    { ...JOB, ...job },
  )
  const args = some(calls[0])
  return { finished, calls, profiles, args, of: (flag: string) => valuesOf(args, flag) }
}

describe('a sibling', () => {
  it('is a container of the same image that is removed when it ends, and found by its label if it is not', async () => {
    const { args, of, calls, finished } = await run()
    expect(args.slice(0, 4)).toEqual(['run', '--rm', '--pull', 'never'])
    expect(of('--label')).toEqual([THROWAWAY_LABEL])
    expect(of('--name')).toEqual([expect.stringMatching(/^ocs-sibling-[0-9a-f]{12}$/)])
    expect(args).toContain('--no-healthcheck')
    expect(of('--entrypoint')).toEqual(['node'])
    expect(args.slice(-4)).toEqual([container().Image, '-e', 'true', '{"a":1}'])
    expect(calls).toHaveLength(1)
    expect(finished).toEqual({ code: 0, stdout: 'said', stderr: '' })
  })

  it('has a name of its own each time', async () => {
    const names = await Promise.all([run(), run()])
    expect(new Set(names.map(({ of }) => of('--name')[0])).size).toBe(2)
  })

  it('has the user, the working folder, the capabilities and the restrictions of the original', async () => {
    const { of, args } = await run({ CapAdd: ['NET_RAW'], GroupAdd: ['44'] })
    expect(of('--user')).toEqual(['1000:1000'])
    expect(of('--workdir')).toEqual(['/app'])
    expect(of('--cap-drop')).toEqual(['ALL'])
    expect(of('--cap-add')).toEqual(['NET_RAW'])
    expect(of('--group-add')).toEqual(['44'])
    expect(of('--security-opt')[0]).toBe('no-new-privileges:true')
    expect(args).toContain('--read-only')
    expect(args).not.toContain('--privileged')
  })

  it('is as open as an open original: it is no safer than what it stands for', async () => {
    const { args, of } = await run({
      Privileged: true,
      ReadonlyRootfs: false,
      CapDrop: null,
      SecurityOpt: ['seccomp=unconfined', 'apparmor=unconfined'],
      UsernsMode: 'host',
      IpcMode: 'host',
    })
    expect(args).toContain('--privileged')
    expect(args).not.toContain('--read-only')
    expect(of('--cap-drop')).toEqual([])
    expect(of('--security-opt')).toEqual(['seccomp=unconfined', 'apparmor=unconfined'])
    expect(of('--userns')).toEqual(['host'])
    expect(of('--ipc')).toEqual(['host'])
  })

  it('gets the profile in a file that only this user reads and that is gone afterwards, and not as an argument', async () => {
    const { args, profiles } = await run()
    const loaded = some(container().HostConfig.SecurityOpt?.[1]).replace('seccomp=', '')
    expect(profiles).toEqual([{ path: expect.stringContaining('ocs-sibling-'), text: loaded, mode: 0o600 }])
    expect(args.join(' ')).not.toContain('SCMP_ACT')
    expect(existsSync(some(profiles[0]).path)).toBe(false)
  })

  it('gets a profile of several lines whole, and one that is named as the engine names it', async () => {
    const text = '{\n  "defaultAction": "SCMP_ACT_ERRNO"\n}'
    const { profiles } = await run({ SecurityOpt: [`seccomp:${text}`] })
    expect(profiles).toMatchObject([{ text }])
    expect((await run({ SecurityOpt: ['seccomp=builtin'] })).of('--security-opt')).toEqual([
      'seccomp=builtin',
    ])
  })

  it('has the limits of the original', async () => {
    const { of } = await run()
    expect(of('--memory')).toEqual([String(2048 * 1024 ** 2)])
    expect(of('--memory-swap')).toEqual([String(2048 * 1024 ** 2)])
    expect(of('--pids-limit')).toEqual(['256'])
    expect(of('--cpus')).toEqual(['2'])
    expect(of('--shm-size')).toEqual([String(64 * 1024 ** 2)])
    expect(of('--ulimit')).toEqual(['core=0:0', 'nofile=8192:8192'])
    expect(of('--tmpfs')).toEqual([
      '/tmp:rw,noexec,nosuid,nodev,size=512m,mode=1777',
      '/home/openclaw/.cache:rw,noexec,nosuid,nodev,size=64m,uid=1000,gid=1000,mode=0700',
    ])
    expect(of('--cpu-shares')).toEqual(['128'])
  })

  it('has no limit that the original has not', async () => {
    const { of, args } = await run({
      Memory: 0,
      MemorySwap: 0,
      PidsLimit: null,
      NanoCpus: 0,
      ShmSize: 0,
      Ulimits: null,
      Tmpfs: { '/run': '' },
    })
    for (const flag of ['--memory', '--memory-swap', '--pids-limit', '--cpus', '--shm-size', '--ulimit'])
      expect(args).not.toContain(flag)
    expect(of('--tmpfs')).toEqual(['/run'])
    expect((await run({ PidsLimit: -1 })).args).not.toContain('--pids-limit')
  })

  it('may swap as the original may, and never where it has a smaller limit of its own', async () => {
    expect((await run({ MemorySwap: -1 })).of('--memory-swap')).toEqual(['-1'])
    expect((await run({ MemorySwap: 0 })).of('--memory-swap')).toEqual([String(2048 * 1024 ** 2)])
    const smaller = await run({ MemorySwap: -1 }, { memory: 512 * 1024 ** 2 })
    expect(smaller.of('--memory')).toEqual([String(512 * 1024 ** 2)])
    expect(smaller.of('--memory-swap')).toEqual([String(512 * 1024 ** 2)])
    expect((await run({ Memory: 0 }, { memory: 1000 })).of('--memory')).toEqual(['1000'])
  })

  it('sees what it is given, and nothing that the original mounts by itself', async () => {
    const { of } = await run(
      {},
      {
        mounts: [
          { source: '/a,b', target: '/x', readOnly: true },
          { source: '/c', target: '/y', readOnly: false },
        ],
        network: 'container:c0ffee',
        environment: { HOME: '/home/x', TZ: 'UTC' },
      },
    )
    expect(of('--mount')).toEqual([
      'type=bind,"source=/a,b",target=/x,readonly',
      'type=bind,source=/c,target=/y',
    ])
    expect(of('--network')).toEqual(['container:c0ffee'])
    expect(of('--env')).toEqual(['HOME=/home/x', 'TZ=UTC'])
    expect((await run()).of('--mount')).toEqual([])
  })

  it('has temporary folders of its own besides the original’s', async () => {
    const { of } = await run({ Tmpfs: { '/tmp': 'noexec' } }, { tmpfs: ['/state:rw,noexec,size=1m'] })
    expect(of('--tmpfs')).toEqual(['/tmp:noexec', '/state:rw,noexec,size=1m'])
  })

  it('has the image’s own user and folder where the original has', async () => {
    const { docker, calls } = engine()
    const original = container()
    await runSibling(docker, { ...original, Config: { ...original.Config, User: '', WorkingDir: '' } }, JOB)
    expect(some(calls[0])).not.toContain('--user')
    expect(some(calls[0])).not.toContain('--workdir')
  })

  it('that ends badly has its code handed back, and is not removed twice', async () => {
    const { docker, calls } = engine(async () => 137)
    expect(await runSibling(docker, container(), JOB)).toMatchObject({ code: 137 })
    expect(calls).toHaveLength(1)
  })

  it('whose deadline has passed is removed by name, and the error is the runner’s', async () => {
    const { docker, calls, profiles } = engine(async args => {
      if (args[0] === 'run') throw new ToolError('deadline', 'docker did not finish within 5 s', '')
      return 0
    })
    expect(await thrown(() => runSibling(docker, container(), JOB))).toMatchObject({ code: 'deadline' })
    const [name] = valuesOf(some(calls[0]), '--name')
    expect(calls[1]).toEqual(['rm', '--force', '--volumes', name])
    expect(existsSync(some(profiles[0]).path)).toBe(false)
  })

  it('leaves no file behind also when it cannot even be removed', async () => {
    const { docker, profiles } = engine(async () => {
      throw new ToolError('program_missing', 'docker is not installed', '')
    })
    await thrown(() => runSibling(docker, container(), JOB))
    expect(existsSync(some(profiles[0]).path)).toBe(false)
  })
})
