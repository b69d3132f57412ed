import * as fs from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { deploymentsAt, type FleetOptions, isPattern, runFleet } from '../../src/commands/fleet.ts'
import type { Program } from '../../src/commands/program.ts'
import { Cancelled, Exit, type ExitCode, ToolError, UsageError } from '../../src/errors.ts'
import { guarded } from '../../src/report/guard.ts'
import { envelope } from '../../src/report/json.ts'
import { generateToken, Redactor } from '../../src/secret.ts'
import { outlets } from './in-process.ts'
import { scratch, thrown } from './support.ts'

/** Folders with a deployment.yaml below a scratch folder. */
function tree(...deployments: string[]): string {
  const cwd = scratch()
  for (const path of deployments) {
    fs.mkdirSync(join(cwd, path), { recursive: true })
    fs.writeFileSync(join(cwd, path, 'deployment.yaml'), '')
  }
  return cwd
}

describe('a pattern', () => {
  it('is what holds one of its characters and is no folder', () => {
    const cwd = tree('gw/[a]', 'gw/b')
    for (const dir of ['gw/*', 'gw/?', 'gw/[ab]', 'gw/{a,b}', '/srv/*/gw'])
      expect(isPattern(cwd, dir)).toBe(true)
    for (const dir of ['gw/[a]', 'gw/b', '.', 'gw/none', 'gw/}{', join(cwd, 'gw/[a]')])
      expect(isPattern(cwd, dir)).toBe(false)
  })

  it.each(['gw/*', 'gw/?', 'gw/[ab]', 'gw/{a,b}', './gw/*', 'gw/*/', 'gw/../gw/*', 'g*/*', '**'])(
    '%s means the deployments that match, sorted, from where the person is',
    async pattern => {
      const cwd = tree('gw/b', 'gw/a')
      fs.mkdirSync(join(cwd, 'gw/none'))
      fs.writeFileSync(join(cwd, 'gw/file'), '')
      expect(await deploymentsAt(cwd, pattern)).toEqual([join(cwd, 'gw/a'), join(cwd, 'gw/b')])
      if (!pattern.startsWith('.'))
        expect(await deploymentsAt('/', join(cwd, pattern))).toEqual([join(cwd, 'gw/a'), join(cwd, 'gw/b')])
    },
  )

  it('leaves out what begins with a dot, unless it is named', async () => {
    const cwd = tree('gw/a', 'gw/.old')
    expect(await deploymentsAt(cwd, 'gw/*')).toEqual([join(cwd, 'gw/a')])
    expect(await deploymentsAt(cwd, 'gw/.*')).toEqual([join(cwd, 'gw/.old')])
  })

  it('takes a folder and a link to it for one, under the folder’s own name', async () => {
    const cwd = tree('gw/m', 'other/x')
    fs.symlinkSync('m', join(cwd, 'gw/a'))
    fs.symlinkSync('m', join(cwd, 'gw/z'))
    fs.symlinkSync('../other/x', join(cwd, 'gw/x'))
    fs.symlinkSync('nowhere', join(cwd, 'gw/n'))
    expect(await deploymentsAt(cwd, 'gw/*')).toEqual([join(cwd, 'gw/m'), join(cwd, 'gw/x')])
  })

  it('finds nothing inside of a deployment, where an agent may write', async () => {
    const cwd = tree('gw/a', 'gw/a/state/workspace/trap', 'gw/a/.secure/base')
    fs.symlinkSync('a/state/workspace/trap', join(cwd, 'gw/link'))
    for (const pattern of ['gw/**', '**', 'gw/*'])
      expect(await deploymentsAt(cwd, pattern)).toEqual([join(cwd, 'gw/a')])
    expect(await thrown(() => deploymentsAt(cwd, 'gw/a/state/*/*'))).toBeInstanceOf(UsageError)
  })

  it('keeps a folder that cannot be looked into: it must not be taken for done', async () => {
    const cwd = tree('gw/a', 'gw/b')
    fs.chmodSync(cwd, 0o755)
    fs.chmodSync(join(cwd, 'gw/b'), 0o000)
    const root = process.getuid?.() === 0
    if (root) process.seteuid?.(65534)
    try {
      expect(await deploymentsAt(cwd, 'gw/*')).toEqual([join(cwd, 'gw/a'), join(cwd, 'gw/b')])
    } finally {
      if (root) process.seteuid?.(0)
      fs.chmodSync(join(cwd, 'gw/b'), 0o700)
    }
  })

  it('that finds no deployment is a usage error that names it', async () => {
    const cwd = tree()
    fs.mkdirSync(join(cwd, 'gw/none'), { recursive: true })
    for (const pattern of ['gw/*', 'nowhere/*', '*'])
      expect(await thrown(() => deploymentsAt(cwd, pattern))).toMatchObject({
        ...{ code: 'usage', exit: 2, message: expect.stringContaining(`got "${pattern}"`) },
      })
  })
})

type One = Parameters<typeof runFleet>[2]

/** Runs a fleet in a folder that need not be there; `one` is told the folder's last part. */
async function fleet(
  names: readonly string[],
  one: (name: string, program: Program, stop: AbortController) => Promise<ExitCode>,
  options: Partial<FleetOptions> = {},
) {
  const { out, ...streams } = outlets()
  const stop = new AbortController()
  const redactor = new Redactor()
  const stdout = Object.assign(guarded(streams.stdout, redactor), { isTTY: true })
  const program: Program = {
    ...{ version: '1.2.3', cwd: '/srv', env: { PATH: '' }, redactor, stdout, stderr: streams.stderr },
    stdin: Object.assign(Readable.from(['yes\n']), { isTTY: true }),
    ...{ person: { uid: 1, gid: 1 }, signal: stop.signal, abandon: new AbortController().signal },
    now: () => new Date('2026-11-23T01:40:00Z'),
    reveal: () => {
      throw new Error('nobody may')
    },
  }
  const wrapped: One = (own, folder) => one(folder.replace('/srv/gw/', ''), own, stop)
  const folders = names.map(name => `/srv/gw/${name}`)
  const code = await runFleet(program, folders, wrapped, { command: 'rotate', ...options })
  await sleep(5)
  return { code, ...out, lines: out.stderr.split('\n') }
}

describe('a fleet', () => {
  it('shows one table at the end, in the order of the folders, and each end as it comes', async () => {
    const { code, stdout, stderr } = await fleet(
      ['slow', 'quick'],
      async (name, program) => {
        program.stdout.write(`first words of ${name}\n`)
        await sleep(name === 'slow' ? 120 : 1)
        program.stderr.write('ok      Store the token\n')
        program.stdout.write(`${name} is done\n`)
        return Exit.done
      },
      { done: 'rotated' },
    )
    expect(code).toBe(0)
    expect(stderr).toBe('1 of 2: gw/quick rotated\n2 of 2: gw/slow rotated\n')
    expect(stdout).toMatch(
      /^deployment +result +took +last words\ngw\/slow +rotated +0\.\d s +slow is done\ngw\/quick +rotated +0\.\d s +quick is done\n$/,
    )
  })

  it('shows what each said on stderr, where it said nothing else', async () => {
    const { stdout } = await fleet(['a'], async (_, program) => {
      program.stderr.write('ok      Store: stored\n\n')
      return Exit.done
    })
    expect(stdout).toMatch(/gw\/a +done +0\.\d s +ok {6}Store: stored\n$/)
  })

  it('gives nobody a terminal, an input, or a way past the guard', async () => {
    const { code } = await fleet(['a', 'b'], async (_, program) => {
      let input = ''
      for await (const chunk of program.stdin) input += String(chunk)
      const { stdin, stdout, stderr } = program
      expect([input, stdin.isTTY, stdout.isTTY, stderr.isTTY]).toEqual(['', undefined, undefined, undefined])
      expect(program.reveal).toBeUndefined()
      return Exit.done
    })
    expect(code).toBe(0)
  })

  it('goes on when one fails or throws, and tells of it as that one would have', async () => {
    const { code, stdout, stderr } = await fleet(
      ['tool', 'code', 'defect', 'good'],
      async (name, program) => {
        if (name === 'tool') throw new ToolError('store_unreachable', 'no Vault', 'Start it.', Exit.unknown)
        if (name === 'defect') throw new Error('odd')
        program.stderr.write(name === 'code' ? 'why it failed\u001b[2J\n' : 'progress\n')
        return name === 'code' ? Exit.failed : Exit.done
      },
      { concurrency: 1 },
    )
    expect(code).toBe(3)
    expect(stdout).toMatch(
      /gw\/tool +not finished .*\ngw\/code +failed .*\ngw\/defect +not finished .*\ngw\/good +done/,
    )
    const after = stderr.slice(stderr.indexOf('4 of 4'))
    expect(after).toContain('\n\ngw/tool:\n  store_unreachable: no Vault\n  Start it.\n')
    expect(after).toContain('\n\ngw/code:\n  why it failed\\u001b[2J\n')
    expect(after).toMatch(
      /gw\/defect:\n {2}This is a defect of create-openclaw-secure 1\.2\.3.*\n {2}Error: odd\n/,
    )
    expect(after).not.toContain('progress')
  })

  it.each<[ExitCode[], ExitCode]>([
    [[0, 2, 0], 2],
    [[2, 1, 0], 1],
    [[1, 3, 2], 3],
    [[3, 4, 1], 4],
    [[130, 4, 3], 130],
    [[0, 0], 0],
    [[], 0],
  ])('ends with the worst of %j', async (codes, worst) => {
    const { code } = await fleet(
      codes.map(String),
      async name => codes[codes.indexOf(Number(name) as ExitCode)] ?? 3,
    )
    expect(code).toBe(worst)
  })

  it('works on no more at a time than it may, and on four by itself', async () => {
    for (const [concurrency, most] of [
      [undefined, 4],
      [1, 1],
      [7, 7],
    ] as const) {
      let now = 0
      let seen = 0
      const names = [...'abcdefghij']
      const begun: string[] = []
      await fleet(
        names,
        async name => {
          begun.push(name)
          now += 1
          seen = Math.max(seen, now)
          await sleep(10)
          now -= 1
          return Exit.done
        },
        concurrency === undefined ? {} : { concurrency },
      )
      expect(seen).toBe(most)
      expect(begun).toEqual(names)
    }
  })

  it('begins no other after Ctrl-C; those that run end by themselves', async () => {
    const begun: string[] = []
    const { code, stdout } = await fleet(
      [...'abcd'],
      async (name, program, stop) => {
        begun.push(name)
        if (name === 'b') stop.abort()
        await sleep(20)
        if (name === 'a') return Exit.done
        expect(program.signal.aborted).toBe(true)
        throw new Cancelled('Nothing was changed.')
      },
      { concurrency: 2 },
    )
    expect(begun).toEqual(['a', 'b'])
    expect(code).toBe(130)
    expect(stdout).toMatch(/gw\/a +done .*\ngw\/b +cancelled .*\ngw\/c +not begun\ngw\/d +not begun\n$/)
  })

  it('is quiet when it has to be, but for what failed', async () => {
    const { stderr } = await fleet(
      ['a', 'b'],
      async name => {
        if (name === 'b') throw new ToolError('x', 'y', 'z')
        return Exit.done
      },
      { quiet: true },
    )
    expect(stderr).toBe('\ngw/b:\n  x: y\n  z\n')
  })

  it('prints one envelope with all of theirs', async () => {
    const { code, stdout, stderr } = await fleet(
      ['a', 'b', 'c'],
      async (name, program) => {
        if (name === 'c') throw new ToolError('locked', 'somebody works on it', 'Wait.', Exit.unknown)
        const head = { version: '1.2.3', command: 'rotate', deployment: `/srv/gw/${name}`, startedAt: 'now' }
        program.stdout.write(envelope(head, { changed: [name] }))
        return Exit.done
      },
      { json: true },
    )
    expect(code).toBe(3)
    expect(stdout.endsWith('}\n') && stdout.trim().split('\n')).toHaveLength(1)
    const theirs = (name: string) => ({
      folder: `gw/${name}`,
      code: 0,
      seconds: expect.any(Number),
      envelope: expect.objectContaining({ deployment: `/srv/gw/${name}`, changed: [name] }),
    })
    expect(JSON.parse(stdout)).toEqual({
      ...{ tool: 'create-openclaw-secure', version: '1.2.3', schema: 1, command: 'rotate' },
      ...{ deployment: '/srv', startedAt: '2026-11-23T01:40:00.000Z' },
      deployments: [
        theirs('a'),
        theirs('b'),
        {
          ...{ folder: 'gw/c', code: 3, seconds: expect.any(Number) },
          error: { code: 'locked', message: 'somebody works on it', hint: 'Wait.' },
        },
      ],
    })
    expect(stderr).toContain('gw/c:\n  locked: somebody works on it\n  Wait.\n')
  })

  it('shows no secret that one of them knows, and obeys no folder’s name', async () => {
    const secret = generateToken()
    const { stdout, stderr } = await fleet(['a\u001b[2J'], async (_, program) => {
      program.redactor.learn(secret)
      program.stdout.write(`out ${secret.expose()}\n`)
      program.stderr.write(`err ${secret.expose()}\n`)
      return Exit.failed
    })
    expect(stdout + stderr).not.toContain(secret.expose())
    expect(stdout + stderr).not.toContain('\u001b')
    expect(stderr).toContain('err [secret]')
  })
})
