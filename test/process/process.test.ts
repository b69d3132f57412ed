import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { processRunner, type RunOptions } from '../../src/docker/process.ts'
import { generateToken, Redactor, Secret } from '../../src/secret.ts'
import { thrown } from '../unit/support.ts'

const redactor = new Redactor()
const token = redactor.learn(generateToken())
const run = processRunner(redactor, {
  ...process.env,
  SECRET_X: 'hunter2-hunter2',
  OPENCLAW_GATEWAY_TOKEN: 'x',
  NODE_OPTIONS: '--no-warnings',
  npm_config_x: 'y',
  DOCKER_HOST: 'unix:///x',
  HTTPS_PROXY: 'http://p:1',
  LC_ALL: 'C',
})

/** Runs a Node script as a real child. */
function node(script: string, options: Partial<RunOptions> = {}) {
  return run(process.execPath, ['-e', script], { deadline: 20_000, ...options })
}

function isAlive(pid: number): boolean {
  try {
    // A zombie is dead: only its parent does not know yet.
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

/** The kernel ends what was killed in its own time, which is short. */
async function expectGone(pids: readonly number[]): Promise<void> {
  await vi.waitFor(() => expect(pids.filter(isAlive)).toEqual([]), 4000)
}

// These run at the same time: what is removed when one of them ends must not be another's.
const desk = mkdtempSync(join(tmpdir(), 'ocs-unit-'))
afterAll(() => rmSync(desk, { recursive: true, force: true }))
const scratch = () => mkdtempSync(join(desk, 'scratch-'))

/** A file that nobody may run. */
function plainFile(): string {
  const path = join(scratch(), 'plain')
  writeFileSync(path, '', { mode: 0o644 })
  return path
}

/** A script that starts a grandchild which keeps all pipes open and, once it runs, notes both process ids in a file. */
function family(note: string, deaf = false): string {
  const wait = `${deaf ? "process.on('SIGTERM',()=>{});" : ''}setTimeout(()=>{},60000)`
  const grandchild = `${wait};require('fs').writeFileSync(${JSON.stringify(note)},process.ppid+' '+process.pid)`
  return `${wait};require('child_process').spawn(process.execPath,['-e',${JSON.stringify(grandchild)}],{stdio:'inherit'})`
}

async function pidsIn(note: string): Promise<number[]> {
  const pids = await vi.waitFor(() => {
    const text = readFileSync(note, 'utf8')
    expect(text).toMatch(/^\d+ \d+$/)
    return text.split(' ').map(Number)
  }, 5000)
  return pids
}

describe.concurrent('a child', () => {
  it('comes back with its code and both outputs, whatever the code', async () => {
    expect(await node('console.log("out");console.error("err");process.exitCode=3')).toEqual({
      code: 3,
      stdout: 'out\n',
      stderr: 'err\n',
    })
    expect(await node('')).toEqual({ code: 0, stdout: '', stderr: '' })
  })

  it('gets its arguments as they are: there is no shell', async () => {
    const args = ['a b', '$HOME', '`id`', '"; exit 7; "', '*', "'", '', '--flag', 'é\n']
    const { stdout } = await run(
      process.execPath,
      ['-e', 'console.log(JSON.stringify(process.argv.slice(1)))', '--', ...args],
      { deadline: 20_000 },
    )
    expect(JSON.parse(stdout)).toEqual(args)
  })

  it('runs where it is told', async () => {
    const cwd = scratch()
    expect((await node('console.log(process.cwd())', { cwd })).stdout.trim()).toBe(cwd)
  })

  it('reads a secret, a text or bytes from stdin, and otherwise finds it empty', async () => {
    const echo = `let t='';process.stdin.on('data',d=>t+=d).on('end',()=>console.log(require('crypto').createHash('sha256').update(t).digest('hex')))`
    const digests = await Promise.all(
      [new Secret('hunter2'), 'hunter2', Buffer.from('hunter2')].map(input => node(echo, { input })),
    )
    expect(new Set(digests.map(({ stdout }) => stdout))).toEqual(
      new Set(['f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7\n']),
    )
    expect((await node(`process.stdin.resume().on('end',()=>console.log('ended'))`)).stdout).toBe('ended\n')
  })

  it('may end without reading what it was sent', async () => {
    expect(await node('process.exit(4)', { input: 'x'.repeat(1_000_000) })).toMatchObject({ code: 4 })
  })

  it('sees of our environment only what helps it find its way', async () => {
    const { stdout } = await node('console.log(JSON.stringify(process.env))', {
      environment: { DOCKER_BUILDKIT: '1' },
    })
    const seen = JSON.parse(stdout)
    for (const name of ['SECRET_X', 'OPENCLAW_GATEWAY_TOKEN', 'NODE_OPTIONS', 'npm_config_x', 'VITEST'])
      expect(seen).not.toHaveProperty(name)
    expect(stdout).not.toContain('hunter2')
    expect(seen).toMatchObject({
      PATH: process.env.PATH,
      DOCKER_HOST: 'unix:///x',
      HTTPS_PROXY: 'http://p:1',
      LC_ALL: 'C',
      DOCKER_BUILDKIT: '1',
    })
  })

  it('leads a process group of its own, so that a Ctrl-C in the terminal does not reach it', async () => {
    const { stdout } = await node(
      `const s=require('fs').readFileSync('/proc/self/stat','utf8');console.log(process.pid,s.slice(s.lastIndexOf(')')+2).split(' ')[2])`,
    )
    const [pid, group] = stdout.trim().split(' ')
    expect(group).toBe(pid)
  })
})

describe.concurrent('what a child says', () => {
  it('is free of every known secret, in every form', async () => {
    const said = [token.expose(), Buffer.from(token.expose()).toString('base64')]
    const { stdout, stderr } = await node(
      `let t='';process.stdin.on('data',d=>t+=d).on('end',()=>{console.log('out '+t);console.error('err '+Buffer.from(t).toString('base64'))})`,
      { input: token },
    )
    expect(stdout).toBe('out [secret]\n')
    expect(stderr).toBe('err [secret]\n')
    for (const form of said) expect(stdout + stderr).not.toContain(form)
  })

  it('comes line by line while it runs, cleaned, without empty lines', async () => {
    const lines: string[] = []
    await node(
      `process.stdout.write('one\\r\\n\\n  \\ntwo\\rth');let t='';process.stdin.on('data',d=>t+=d).on('end',()=>setTimeout(()=>process.stdout.write('ree '+t+'\\n'),30))`,
      { input: token, onLine: line => lines.push(line) },
    )
    expect(lines).toEqual(['one', 'two', 'three [secret]'])
  })

  it('counts to its last line, also when that has no end', async () => {
    const lines: string[] = []
    await node(`process.stdout.write('first\\nlast words')`, { onLine: line => lines.push(line) })
    expect(lines).toEqual(['first', 'last words'])
  })

  it('shows no part of a secret in a line that is too long', async () => {
    const lines: string[] = []
    // The line is kept to its last 4096 characters: the cut goes through the middle of the token.
    await node(
      `let t='';process.stdin.on('data',d=>t+=d).on('end',()=>{process.stdout.write('x'.repeat(2000)+t+'y'.repeat(4096-32));setTimeout(()=>process.stdout.write('\\n'),200)})`,
      { input: token, onLine: line => lines.push(line) },
    )
    expect(lines).toHaveLength(1)
    expect(lines[0]).not.toContain(token.expose().slice(-16))
  })

  it('is cut at the cap, and the child still runs to its own end', async () => {
    const { code, stdout, stderr } = await node(
      `process.stdout.write('x'.repeat(500000),()=>{process.stderr.write('done');process.exitCode=5})`,
      { cap: 1000 },
    )
    expect({ code, length: stdout.length, stderr }).toEqual({ code: 5, length: 1000, stderr: 'done' })
  })

  it('shows no part of a secret at the cap', async () => {
    const { stdout } = await node(
      `let t='';process.stdin.on('data',d=>t+=d).on('end',()=>process.stdout.write('x'.repeat(960)+t+'y'.repeat(200)))`,
      { input: token, cap: 1000 },
    )
    expect(stdout.length).toBeLessThanOrEqual(1000)
    expect(stdout).not.toContain(token.expose().slice(0, 16))
  })
})

describe.concurrent('a child that does not end', () => {
  it('is killed at its deadline, and the error says which program and how long', async () => {
    const began = performance.now()
    const error = await thrown(() => node('setTimeout(()=>{},60000)', { deadline: 300 }))
    expect(error).toMatchObject({ code: 'deadline', exit: 3, message: expect.stringContaining('0.3 s') })
    expect(performance.now() - began).toBeLessThan(20_000)
  })

  it('is killed together with its own children, which would hold its pipes open', async () => {
    const note = join(scratch(), 'pids')
    const began = performance.now()
    expect(await thrown(() => node(family(note), { deadline: 5000 }))).toMatchObject({ code: 'deadline' })
    expect(performance.now() - began).toBeLessThan(20_000)
    await expectGone(await pidsIn(note))
  })

  for (const [what, deaf] of Object.entries({
    'with its children': false,
    'for good, when none of them listens': true,
  }))
    it(`is killed ${what}, when the person stops`, async () => {
      const note = join(scratch(), 'pids')
      const stop = new AbortController()
      const ended = thrown(() => node(family(note, deaf), { signal: stop.signal }))
      const pids = await pidsIn(note)
      const began = performance.now()
      stop.abort(new Error('stopped by the person'))
      expect((await ended).message).toBe('stopped by the person')
      expect(performance.now() - began).toBeLessThan(20_000)
      await expectGone(pids)
    })

  it('is not even started when the person stopped before', async () => {
    const note = join(scratch(), 'note')
    const error = await thrown(() =>
      node(`require('fs').writeFileSync(${JSON.stringify(note)},'')`, {
        signal: AbortSignal.abort(new Error('stopped')),
      }),
    )
    expect(error.message).toBe('stopped')
    expect(() => readFileSync(note)).toThrow('ENOENT')
  })
})

// One after the other: what concurrent tests clean up may be another's.
describe('a child that leaves somebody behind', () => {
  /** Reads its input, and ends once somebody who keeps all its outputs open is on his own: what xclip does. */
  const daemonizes = (note: string, ms: number) => {
    const left = `require('fs').writeFileSync(${JSON.stringify(note)},process.ppid+' '+process.pid);setTimeout(()=>{},${ms})`
    const wait = `const t=setInterval(()=>{if(require('fs').existsSync(${JSON.stringify(note)}))clearInterval(t)},20)`
    return `process.stdin.resume().on('end',()=>{require('child_process').spawn(process.execPath,['-e',${JSON.stringify(left)}],{stdio:['ignore','inherit','inherit']}).unref();${wait}})`
  }

  it('is waited for alone, and who is left lives on after the deadline', async () => {
    const note = join(scratch(), 'pids')
    const began = performance.now()
    expect(await node(daemonizes(note, 60_000), { input: token, deadline: 5000, leaves: true })).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    })
    expect(performance.now() - began).toBeLessThan(4500)
    const [, left] = await pidsIn(note)
    await sleep(5500 - (performance.now() - began))
    expect(isAlive(Number(left))).toBe(true)
    process.kill(Number(left))
  })

  it('is otherwise waited for together with who is left: the control', async () => {
    const note = join(scratch(), 'pids')
    const error = await thrown(() => node(daemonizes(note, 9000), { input: token, deadline: 4000 }))
    expect(error).toMatchObject({ code: 'deadline' })
    await expectGone(await pidsIn(note))
  })

  it('is killed with all of them when it does not end itself', async () => {
    const note = join(scratch(), 'pids')
    const error = await thrown(() => node(family(note), { deadline: 4000, leaves: true }))
    expect(error).toMatchObject({ code: 'deadline' })
    await expectGone(await pidsIn(note))
  })

  it('lives on when the program ends in the middle of something else', async () => {
    const note = join(scratch(), 'pids')
    const abandon = new AbortController()
    const own = processRunner(redactor, process.env, abandon.signal)
    await own(process.execPath, ['-e', daemonizes(note, 60_000)], { deadline: 8000, leaves: true })
    abandon.abort()
    const [, left] = await pidsIn(note)
    await sleep(100)
    expect(isAlive(Number(left))).toBe(true)
    process.kill(Number(left))
  })

  it('is not started when the program is about to end, unless it tidies up', async () => {
    const abandon = new AbortController()
    const own = processRunner(redactor, process.env, abandon.signal)
    abandon.abort()
    await expect(own(process.execPath, ['-e', ''], { deadline: 8000 })).rejects.toThrow(/aborted/)
    expect(await own(process.execPath, ['-e', ''], { deadline: 8000, tidies: true })).toMatchObject({
      code: 0,
    })
  })
})

describe.concurrent('an error about a child', () => {
  it('says program_missing when there is none', async () => {
    expect(await thrown(() => run('ocs-no-such-program', [], { deadline: 1000 }))).toMatchObject({
      code: 'program_missing',
      message: expect.stringContaining('ocs-no-such-program'),
    })
  })

  it('says program_failed_to_start when it may not be run', async () => {
    expect(await thrown(() => run(plainFile(), [], { deadline: 1000 }))).toMatchObject({
      code: 'program_failed_to_start',
    })
  })

  it('does not call a program missing because the folder is', async () => {
    const error = await thrown(() => node('', { cwd: join(scratch(), 'gone') }))
    expect(error).toMatchObject({ code: 'program_failed_to_start' })
  })

  it('carries neither its arguments, nor its input, nor what it said', async () => {
    const errors = await Promise.all([
      thrown(() =>
        run(
          process.execPath,
          ['-e', 'console.log("said");process.stdin.resume();setTimeout(()=>{},9000)', 'an-argument'],
          { deadline: 500, input: token },
        ),
      ),
      thrown(() => run('ocs-no-such-program', ['an-argument'], { deadline: 500, input: token })),
      thrown(() => run(plainFile(), ['an-argument'], { deadline: 500, input: token })),
    ])
    for (const error of errors) {
      const text = `${inspect(error, { depth: 9, showHidden: true })}${error.stack}${JSON.stringify(error)}`
      for (const part of ['an-argument', 'said', token.expose()]) expect(text).not.toContain(part)
    }
  })
})
