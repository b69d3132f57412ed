/** What a killed run leaves behind: found by the run that it names, and by nothing less. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { hasEnded, statOf, THIS_RUN } from '../../src/deployment/alive.ts'
import { Docker, THROWAWAY_LABEL } from '../../src/docker/engine.ts'
import { RUN, removeLeftovers, settleLeftovers } from '../../src/docker/leftovers.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { ToolError } from '../../src/errors.ts'
import { scratch, some } from '../unit/support.ts'

const [, , place = ''] = THIS_RUN.split(':')
const inTime = new AbortController().signal

/** A process that sleeps until the test ends, under any name. */
async function living(name = 'sleep', environment: NodeJS.ProcessEnv = {}): Promise<ChildProcess> {
  const program = join(scratch(), name)
  copyFileSync('/bin/sleep', program)
  const child = spawn(program, ['60'], { stdio: 'ignore', detached: true, env: environment })
  await once(child, 'spawn')
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

function markOf({ pid }: ChildProcess): string {
  const number = some(pid, 'process id')
  return `${number}:${some(statOf(number).started)}:${place}`
}

/** The mark of a run that was killed. */
let dead = ''
beforeAll(async () => {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' })
  await once(child, 'spawn')
  dead = markOf(child)
  child.kill('SIGKILL')
  await once(child, 'exit')
})

describe('a run', () => {
  it('that was killed has ended, and one that lives has not', async () => {
    expect(THIS_RUN).toMatch(/^\d+:\d+:[0-9a-f-]{36}\/\d+$/)
    expect([hasEnded(dead), hasEnded(THIS_RUN), hasEnded(markOf(await living()))]).toEqual([
      ...[true, false, false],
    ])
  })

  it('has ended although its number is used again', () => {
    expect(hasEnded(THIS_RUN.replace(/:\d+:/, ':1:'))).toBe(true)
  })

  it.each([
    ['of another machine, or before its last start', () => dead.replace(place, place.replace(/^./, 'x'))],
    ['of another PID namespace', () => `${dead}0`],
    ['of a release that named its number alone', () => some(dead.split(':')[0])],
    ['that nobody can read', () => '0::'],
  ])('%s is not called dead', (_, mark) => {
    expect(hasEnded(mark())).toBe(false)
  })
})

/** An engine that has containers by id, each with the mark of its run. */
function engine(containers: Record<string, string>) {
  const removed: string[] = []
  const run: ProcessRunner = async (_file, args) => {
    if (args[0] === 'rm') removed.push(...args.filter(arg => Object.hasOwn(containers, arg)))
    const rows = Object.entries(containers).filter(([id]) => !removed.includes(id))
    return { code: 0, stdout: rows.map(row => row.join(' ')).join('\n'), stderr: '' }
  }
  return { docker: new Docker(run), removed }
}

describe('the throw-away containers of a killed run', () => {
  it('are removed, and those of a run that lives are not', async () => {
    expect(THROWAWAY_LABEL).toBe(`create-openclaw-secure.throwaway=${THIS_RUN}`)
    const { docker, removed } = engine({ a1: dead, b2: THIS_RUN, c3: dead, d4: '' })
    await removeLeftovers(docker, inTime)
    expect(removed).toEqual(['a1', 'c3'])
  })

  it('keep nobody from going on where the engine does not answer, or a person stops', async () => {
    const silent: ProcessRunner = async () => {
      throw new ToolError('deadline', 'docker did not finish', '')
    }
    await removeLeftovers(new Docker(silent), inTime)
    const stop = new AbortController()
    const stopped: ProcessRunner = async () => {
      stop.abort()
      throw stop.signal.reason
    }
    await removeLeftovers(new Docker(stopped), stop.signal)
  })
})

describe('a Docker command that a killed run had begun', () => {
  const begun = (root: string, mark = dead) => ({ [RUN]: `${mark} ${root}` })

  it('is waited for', async () => {
    const command = await living('docker-compose', begun('/srv/my gateway'))
    const { docker } = engine({})
    let isSettled = false
    const settled = settleLeftovers(docker, '/srv/my gateway', inTime).then(() => {
      isSettled = true
    })
    await sleep(700)
    expect(isSettled).toBe(false)
    command.kill('SIGKILL')
    await settled
  })

  it('is ended when it does not end', async () => {
    const command = await living('docker', begun('/srv/deaf'))
    const ended = once(command, 'exit')
    await settleLeftovers(engine({}).docker, '/srv/deaf', inTime, 600)
    expect((await ended)[1]).toBe('SIGKILL')
  })

  it('of another deployment, of a run that lives, or that is no command of Docker’s is left alone', async () => {
    const others = [
      await living('docker', begun('/srv/other')),
      await living('docker', begun('/srv/mine', THIS_RUN)),
      await living('gpg-agent', begun('/srv/mine')),
    ]
    await settleLeftovers(engine({}).docker, '/srv/mine', inTime)
    expect(others.map(({ exitCode, signalCode }) => exitCode ?? signalCode)).toEqual([null, null, null])
  })
})
