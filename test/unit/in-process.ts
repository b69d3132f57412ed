/** The command line, run in this process: without a terminal, and without any program on its PATH (no engine, no git). */
import { Readable, Writable } from 'node:stream'
import { run } from '../../src/cli.ts'
import type { Program } from '../../src/commands/program.ts'
import { Redactor } from '../../src/secret.ts'

/** Two streams, and what has come out of them so far. */
export function outlets() {
  const out = { stdout: '', stderr: '' }
  const into = (name: keyof typeof out) =>
    new Writable({
      write(chunk, _, done) {
        out[name] += String(chunk)
        done()
      },
    })
  return { out, stdout: into('stdout'), stderr: into('stderr') }
}

/** Runs it to its end. `changed`: what is not as usual. */
export async function runInProcess(args: readonly string[], changed: Partial<Program> = {}) {
  const { out, ...streams } = outlets()
  const program: Program = {
    version: '1.2.3',
    cwd: '/',
    env: { PATH: '' },
    stdin: Readable.from([]),
    ...streams,
    person: { uid: process.getuid?.() ?? 1000, gid: process.getgid?.() ?? 1000 },
    signal: new AbortController().signal,
    abandon: new AbortController().signal,
    redactor: new Redactor(),
    now: () => new Date('2026-11-23T01:40:00Z'),
    ...changed,
  }
  const code = await run(program, ['node', 'create-openclaw-secure', ...args])
  return { code, ...out }
}
