import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { layoutOf } from '../../src/deployment/layout.ts'
import { collect, pour } from '../../src/docker/collector.ts'
import { deploymentContainers } from '../../src/docker/deployment-containers.ts'
import { Docker } from '../../src/docker/engine.ts'
import { processRunner } from '../../src/docker/process.ts'
import { ToolError } from '../../src/errors.ts'
import { beginCase } from '../../src/evidence/case.ts'
import { Redactor } from '../../src/secret.ts'
import type { IncidentContext } from '../../steps/incident/context.ts'
import { allowanceFor, BUDGET, gather, outcome, room } from '../../steps/incident/gather.ts'
import { copyFile, GATEWAY_LOGS, logsAction, logsBeside, sizeOfLogs } from '../../steps/incident/logs.ts'
import { scratch, thrown } from './support.ts'

const runner = processRunner(new Redactor(), process.env)
/** A docker that runs a program of Node's instead, whatever it is asked; `asked` has each call. */
function dockerThat(program: string, asked: string[][] = []): Docker {
  return new Docker((_file, args, options) => {
    asked.push([...args])
    return runner(process.execPath, ['-e', args[0] === 'rm' ? '' : program], options)
  })
}
const ENDLESS = "const more = () => process.stdout.write('x'.repeat(65536), more); more()"

function sink(): { into: Writable; bytes: () => number } {
  const into = new PassThrough()
  let size = 0
  into.on('data', (chunk: Buffer) => {
    size += chunk.length
  })
  return { into, bytes: () => size }
}

function incident(): IncidentContext {
  const layout = layoutOf(scratch())
  mkdirSync(layout.own)
  const opened = { runbook: 'test', text: '' }
  const open = beginCase(layout, opened, () => new Date(), new Redactor())
  return { case: open } as unknown as IncidentContext // Nothing else of it is used here.
}

describe('what a child prints', () => {
  it('is taken up to the bound, and one that never ends is ended', async () => {
    const { into, bytes } = sink()
    const { isCut } = await pour(dockerThat(ENDLESS), ['logs'], into, { deadline: 30_000, most: 100_000 })
    expect(isCut).toBe(true)
    await expect.poll(bytes).toBe(100_000)
  })

  it('comes as it is, byte for byte', async () => {
    const into = new PassThrough()
    const program = 'process.stdout.write(Buffer.from([0, 255, 27, 10, 195]))'
    const { isCut, code } = await pour(dockerThat(program), ['logs'], into, { deadline: 30_000, most: 1000 })
    expect([isCut, code]).toEqual([false, 0])
    expect(into.read()).toEqual(Buffer.from([0, 255, 27, 10, 195]))
  })

  it('is not waited for when there is nowhere to write it any more', async () => {
    const into = new Writable({ write: (_chunk, _encoding, done) => done(new Error('ENOSPC')) })
    const began = performance.now()
    const pouring = pour(dockerThat(ENDLESS), ['export'], into, { deadline: 60_000, most: 1e12 })
    expect((await thrown(() => pouring)).message).toBe('ENOSPC')
    expect(performance.now() - began).toBeLessThan(20_000)
  })
})

describe('the collector', () => {
  const task = { program: 'memory', order: { bytes: 1000 } } as const
  const options = { deadline: 30_000 }

  it('has no network, nothing to write to, no log, and two of root’s rights, and sees one container', async () => {
    const asked: string[][] = []
    const said = 'process.stderr.write(JSON.stringify({ bytes: 1, entries: 2, cut: [] }))'
    const summary = await collect(
      dockerThat(said, asked),
      'sha256:abc',
      { container: 'c1' },
      task,
      sink().into,
      options,
    )
    expect(summary).toMatchObject({ bytes: 1, entries: 2 })
    const flags = (asked[0] ?? []).join(' ')
    for (const flag of [
      '--network none',
      '--read-only',
      '--cap-drop ALL',
      '--log-driver none',
      '--pid container:c1',
      '--rm',
    ])
      expect(flags).toContain(flag)
    expect(flags.match(/--cap-add \w+/g)).toEqual(['--cap-add DAC_READ_SEARCH', '--cap-add SYS_PTRACE'])
    expect(flags).not.toContain('--mount')
  })

  it('sees folders read-only, and then no other process', async () => {
    const asked: string[][] = []
    const said = 'process.stderr.write(JSON.stringify({ bytes: 1, entries: 2, cut: [] }))'
    const folders = [{ source: '/srv/a,b', name: 'state' }]
    await collect(dockerThat(said, asked), 'sha256:abc', { folders }, task, sink().into, options)
    const flags = asked[0] ?? []
    expect(flags).toContain('type=bind,"source=/srv/a,b",target=/from/state,readonly')
    expect(flags.filter(flag => flag === '--pid' || flag === 'SYS_PTRACE')).toEqual([])
  })

  it('that says nothing, or fails, or says too much, has collected nothing, and is removed', async () => {
    const summary = 'process.stderr.write(JSON.stringify({ bytes: 1, entries: 2, cut: [] }))'
    for (const program of [
      '',
      `${summary}; process.exitCode = 1`,
      `process.stdout.write('x'.repeat(4e6)); ${summary}`,
    ]) {
      const asked: string[][] = []
      const collecting = collect(
        dockerThat(program, asked),
        'i',
        { container: 'c' },
        task,
        sink().into,
        options,
      )
      expect(await thrown(() => collecting)).toMatchObject({ code: 'collector_failed' })
      expect(asked.at(-1)?.slice(0, 2)).toEqual(['rm', '--force'])
    }
  })
})

describe('an artefact that cannot be had', () => {
  it('is entered with the reason, leaves nothing behind, and the next one is collected', async () => {
    const ctx = incident()
    const signal = new AbortController().signal
    const broken = await gather(ctx, signal, { name: 'a/half.bin', command: 'half' }, async into => {
      into.write('half of it')
      throw new Error('the disk said something secret')
    })
    const whole = await gather(ctx, signal, { name: 'a/whole.txt', command: 'whole' }, async into => {
      into.write('all of it')
      return undefined
    })
    expect(broken.missing).toBe('it could not be read')
    expect(ctx.case.missed()).toMatchObject([{ file: 'evidence/a/half.bin', why: 'it could not be read' }])
    expect(readdirSync(resolve(ctx.case.folder, 'evidence/a'))).toEqual(['whole.txt'])
    const { saw, facts } = outcome([broken, whole])
    expect(saw).toBe('1 artefact kept, 1 kB. missing: a/half.bin (it could not be read)')
    expect(facts).toMatchObject({ kept: 1, missing: 1, bytes: 9 })
  })

  it('is none when the person has stopped us: that is not the evidence’s fault', async () => {
    const ctx = incident()
    const stop = new AbortController()
    const stopped = gather(ctx, stop.signal, { name: 'x', command: 'x' }, async () => {
      stop.abort(new Error('stopped'))
      stop.signal.throwIfAborted()
      return undefined
    })
    expect((await thrown(() => stopped)).message).toBe('stopped')
    expect(ctx.case.missed()).toEqual([])
  })

  it('is one for which the budget has nothing left', async () => {
    const ctx = incident()
    ctx.case.note(BUDGET, { 'big.tar': 0, 'some.tar': 4096 })
    expect(allowanceFor(ctx, 'some.tar')).toBe(4096)
    expect(allowanceFor(ctx, 'another.tar')).toBeGreaterThan(room(ctx) / 2)
    const { missing } = await gather(
      ctx,
      new AbortController().signal,
      { name: 'big.tar', command: 'c' },
      async into => {
        into.write('never')
        return undefined
      },
    )
    expect(missing).toBe('there is no room for it')
    expect(existsSync(resolve(ctx.case.folder, 'evidence/big.tar'))).toBe(false)
    expect(readFileSync(ctx.case.path('custody'), 'utf8')).toContain('there is no room for it')
  })
})

describe('a file of this machine', () => {
  const copy = async (path: string, most: number, part?: 'first' | 'last') => {
    const { into, bytes } = sink()
    const outcome = await copyFile(path, into, most, new AbortController().signal, part)
    return { outcome, bytes: bytes() }
  }

  it('is copied up to the bound, and is cut then', async () => {
    const path = join(scratch(), 'log')
    writeFileSync(path, 'x'.repeat(300_000))
    expect(await copy(path, 1e6)).toEqual({ outcome: undefined, bytes: 300_000 })
    expect(await copy(path, 100_000)).toEqual({ outcome: { cut: 'only the first 100 kB' }, bytes: 100_000 })
  })

  it('is a log: then it is its end that is kept', async () => {
    const path = join(scratch(), 'log')
    writeFileSync(path, `${'x'.repeat(300_000)}the incident`)
    const into = new PassThrough()
    const outcome = await copyFile(path, into, 12, new AbortController().signal, 'last')
    expect(outcome?.cut).toContain('only the last')
    expect(String(into.read())).toBe('the incident')
    expect(await copy(path, 1e6, 'last')).toEqual({ outcome: undefined, bytes: 300_012 })
  })

  it('is the gateway’s own log before any decoy beside it', () => {
    const folder = scratch()
    const decoys = Array.from({ length: 60 }, (_, n) => `gateway.z${n}`)
    for (const name of decoys) writeFileSync(join(folder, name), '')
    writeFileSync(join(folder, 'gateway.a'), 'older')
    writeFileSync(join(folder, 'gateway.log'), 'x')
    expect(logsBeside('gateway.log', readdirSync(folder), folder)).toEqual(['gateway.log', 'gateway.a'])
  })

  /** A deployment whose gateway has written a log, with decoys beside it. */
  function withLogs(decoys: number): IncidentContext {
    const root = scratch()
    const folder = join(root, 'logs')
    mkdirSync(folder)
    for (let n = 0; n < decoys; n += 1) writeFileSync(join(folder, `gateway.z${n}`), 'decoy')
    writeFileSync(join(folder, 'gateway.log'), 'the incident')
    return {
      ...{ case: incident().case, docker: dockerThat(''), answers: { name: 'x' }, layout: { state: root } },
      compose: { container: async () => undefined, call: async () => ({ code: 1 }) },
    } as unknown as IncidentContext // Nothing else of it is used here.
  }

  it('is one of too many that are called like the log: the rest is entered as missing', async () => {
    const ctx = withLogs(60)
    await logsAction.run(ctx, new AbortController().signal)
    expect(ctx.case.has('gateway-log/gateway.log')).toBe(true)
    expect(ctx.case.missed()).toMatchObject([
      { file: 'evidence/gateway-log/others', why: '11 more that are called like logs are left out' },
    ])
  })

  it('is one of the logs, which have one share of the budget together, the gateway’s own first', async () => {
    const ctx = withLogs(2)
    expect(await sizeOfLogs(ctx)).toBe('the incident'.length + 2 * 'decoy'.length)
    ctx.case.note(BUDGET, { [GATEWAY_LOGS]: 'the incident'.length + 2 })
    await logsAction.run(ctx, new AbortController().signal)
    const kept = ctx.case.artefacts().filter(({ file }) => file.startsWith('evidence/gateway-log/'))
    expect(kept).toMatchObject([
      { file: 'evidence/gateway-log/gateway.log', bytes: 12 },
      { bytes: 2, cut: expect.stringContaining('only the last') },
    ])
    expect(ctx.case.missed()).toMatchObject([
      { file: expect.stringMatching(/gateway\.z\d$/), why: expect.stringContaining('took the room') },
    ])
  })

  it('is none when it is a link, a folder, or a pipe that would be waited for', async () => {
    const folder = scratch()
    symlinkSync('/etc/shadow', join(folder, 'link'))
    execFileSync('mkfifo', [join(folder, 'pipe')])
    for (const name of ['link', 'pipe', '.', 'nothing'])
      expect(await thrown(() => copy(join(folder, name), 1e6))).toBeInstanceOf(ToolError)
  })
})

describe('the containers of a deployment', () => {
  const row = (id: string, state: string, project: string, service: string, name: string) =>
    JSON.stringify([id, state, project, service, name])
  const engine = (ours: string[], agents: string[]) =>
    new Docker((_file, args, options) => {
      const lines = args.some(arg => arg.startsWith('label=')) ? ours : agents
      return runner(process.execPath, ['-e', `console.log(${JSON.stringify(lines.join('\n'))})`], options)
    })

  it('are Compose’s and the agents’, where an agent can be first, and none of another deployment’s', async () => {
    const found = await deploymentContainers(
      engine(
        [
          row('1', 'running', 'gw', 'ingress', 'gw-ingress-1'),
          row('2', 'paused', 'gw', 'openclaw-gateway', 'gw-openclaw-gateway-1'),
        ],
        [
          row('3', 'exited', '', '', 'gw-agent-S1'),
          row('4', 'running', 'gw-agent', 'openclaw-gateway', 'gw-agent-openclaw-gateway-1'),
        ],
      ),
      'gw',
    )
    expect(found.map(({ id, label, isRunning, isPaused }) => [id, label, isRunning, isPaused])).toEqual([
      ['2', 'openclaw-gateway', true, true],
      ['3', 'agent-s1', false, false],
      ['1', 'ingress', true, false],
    ])
  })

  it('have names that can be files’, and each its own', async () => {
    const found = await deploymentContainers(
      engine(
        [
          row('aaaaaaaaaaaaaaaa', 'running', 'gw', '../../etc', 'x'),
          row('bbbbbbbbbbbbbbbb', 'running', 'gw', '../../etc', 'y'),
        ],
        [],
      ),
      'gw',
    )
    expect(found.map(({ label }) => label)).toEqual(
      ['-..-etc-aaaaaaaaaaaa', '-..-etc-bbbbbbbbbbbb'].map(l => l.replace(/^[.-]+/, '')),
    )
  })
})
