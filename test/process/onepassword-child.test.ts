import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Exit } from '../../src/errors.ts'
import { Redactor, Secret } from '../../src/secret.ts'
import { DocumentStore } from '../../src/stores/document.ts'
import {
  listVaults,
  type OnePasswordDocuments,
  type OnePasswordOptions,
} from '../../src/stores/onepassword.ts'
import {
  bundledChild,
  clientOf,
  faulty,
  NAME,
  onePasswordServer,
  realRunner,
  refused,
  type Server,
  slot,
  tokenOf,
  VAULT,
} from '../contract/onepassword-server.ts'
import { scratch } from '../unit/support.ts'

let program: Awaited<ReturnType<typeof bundledChild>>
beforeAll(async () => {
  program = await bundledChild()
}, 60_000)
afterAll(() => program.remove())

/** A client whose every call is a process. */
const client = (server: Server, options: Partial<OnePasswordOptions> = {}) =>
  clientOf(server, { run: realRunner(), child: program.child, ...options })

/** Every call a store can be asked, by name. */
const CALLS: Record<
  string,
  (documents: OnePasswordDocuments, server: Server, deadline: number) => Promise<unknown>
> = {
  check: documents => documents.check(),
  read: documents => documents.read(NAME),
  write: documents => documents.write(NAME, { current: slot('two-2') }, 1),
  remove: documents => documents.remove(NAME),
  listVaults: (_, server, deadline) =>
    listVaults({
      ...{ run: realRunner(), child: program.child, version: '0.0.0', redactor: new Redactor() },
      ...{ credential: () => server.token, deadline },
    }),
}

/** What the kernel shows of a process to everybody, or to its owner. */
interface Seen {
  pid: string
  argv: string
  environ: string
}

/** The child programs of this suite that are running now. */
function running(): Seen[] {
  return readdirSync('/proc')
    .filter(pid => /^\d+$/.test(pid) && pid !== String(process.pid))
    .flatMap(pid => {
      try {
        const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        if (!argv.includes(program.script)) return []
        return [{ pid, argv, environ: readFileSync(`/proc/${pid}/environ`, 'utf8') }]
      } catch {
        return []
      }
    })
}

describe('the program that talks to 1Password', { timeout: 60_000 }, () => {
  it('answers every question: list, check, write, read, remove', async () => {
    const server = onePasswordServer()
    const { documents } = client(server)
    const [one, two] = [slot('one-1'), slot('two-2')]
    expect(await CALLS.listVaults?.(documents, server, 30_000)).toEqual([
      { id: VAULT, title: 'Gateway', usable: true, items: 0 },
    ])
    expect(await documents.check()).toContain('1Password vault "Gateway" at my.1password.com')
    expect(await documents.read(NAME)).toBeUndefined()
    await documents.write(NAME, { pending: one }, 0)
    await documents.write(NAME, { current: one, pending: two }, 1)
    const found = await client(server).documents.read(NAME)
    expect(found?.revision).toBe(2)
    expect(found?.current?.value.equals(one.value)).toBe(true)
    expect(found?.pending?.value.equals(two.value)).toBe(true)
    await documents.remove(NAME)
    expect(await documents.read(NAME)).toBeUndefined()
    expect(running()).toEqual([])
  })

  it('carries a secret through stage, commit, rollback and retire, as another client sees it', async () => {
    const server = onePasswordServer()
    const store = new DocumentStore(client(server).documents)
    const odd = { rotationId: 'odd-1', value: new Secret(' a"b\\c$d{{e}}é😀\t\n') }
    let revision = await store.commit(NAME, 'odd-1', await store.stage(NAME, odd, 0))
    revision = await store.commit(NAME, 'two-2', await store.stage(NAME, slot('two-2'), revision))
    revision = await store.rollback(NAME, 'three-3', await store.stage(NAME, slot('three-3'), revision))
    const before = await new DocumentStore(client(server).documents).load(NAME)
    expect(before?.previous?.value.expose()).toBe(odd.value.expose())
    expect(before?.pending).toBeUndefined()
    await store.retire(NAME, revision)
    expect((await store.load(NAME))?.previous).toBeUndefined()
  })

  it('lets one of two processes win that write at the same time, never both and never neither', async () => {
    const server = onePasswordServer()
    await client(server).documents.write(NAME, { current: slot('one-1') }, 0)
    const tries = await Promise.allSettled(
      ['two-2', 'three-3'].map(id => client(server).documents.write(NAME, { current: slot(id) }, 1)),
    )
    expect(tries.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    for (const attempt of tries)
      if (attempt.status === 'rejected') expect(attempt.reason).toMatchObject({ code: 'store_conflict' })
  })

  it('that hangs is killed at the deadline, whatever it was asked', async () => {
    // All at once: what takes the time is waiting.
    const ends = Object.entries(CALLS).map(async ([name, call]) => {
      const server = onePasswordServer()
      await client(server).documents.write(NAME, { current: slot('one-1') }, 0)
      const stuck = ['ItemsGet', 'ItemsList', 'VaultsList']
      faulty(server, ...stuck.map(on => ({ on, does: 'hangs' }) as const))
      const began = performance.now()
      const error = await refused(call(client(server, { deadline: 1500 }).documents, server, 1500))
      return { name, error, took: performance.now() - began }
    })
    for (const { name, error, took } of await Promise.all(ends)) {
      expect(error, name).toMatchObject({
        code: 'store_unreachable',
        message: '1Password did not answer within 1.5 s',
        exit: Exit.unknown,
      })
      expect(took, name).toBeLessThan(20_000)
    }
    expect(running()).toEqual([])
  })

  it.each(['panics', 'stops'] as const)(
    'that %s ends as a store that cannot be reached, and shows nothing of it',
    async does => {
      const server = onePasswordServer()
      const [one, two] = [slot('one-1'), slot('two-2')]
      await client(server).documents.write(NAME, { current: one }, 0)
      for (const on of ['init', 'ItemsGet', 'ItemsPut']) {
        faulty(server, { on, does })
        const error = await refused(client(server).documents.write(NAME, { current: two }, 1))
        expect(error).toMatchObject({
          code: 'store_unreachable',
          message: 'the library that talks to 1Password ended without an answer',
        })
        const shown = inspect(error, { depth: 20, showHidden: true })
        for (const secret of [one.value, two.value, server.token])
          expect(shown).not.toContain(secret.expose())
        expect(shown).not.toContain('panicked')
      }
      faulty(server)
      expect((await client(server).documents.read(NAME))?.current?.value.equals(one.value)).toBe(true)
    },
  )

  it('is understood whatever else is printed, before and after, however much', async () => {
    const server = onePasswordServer()
    const one = slot('one-1')
    await client(server).documents.write(NAME, { current: one }, 0)
    faulty(server, { on: '*', does: 'prints' }, { on: '*', does: 'prints', after: true })
    expect((await client(server).documents.read(NAME))?.current?.value.equals(one.value)).toBe(true)
  })

  it('that is killed after it wrote leaves what it wrote, and the same call made again goes on from there', async () => {
    const server = onePasswordServer()
    faulty(server, { on: 'ItemsCreate', does: 'hangs', after: true })
    const one = slot('one-1')
    const store = new DocumentStore(client(server, { deadline: 1500 }).documents)
    expect(await refused(store.stage(NAME, one, 0))).toMatchObject({ code: 'store_unreachable' })
    faulty(server)
    expect(await store.stage(NAME, one, 0)).toBe(1)
    expect(server.state().items).toHaveLength(1)
  })

  it('gets nothing by its arguments or its environment, while it runs', async () => {
    const server = onePasswordServer()
    const [one, two] = [slot('one-1'), slot('two-2')]
    await client(server).documents.write(NAME, { current: one }, 0)
    faulty(server, { on: 'ItemsPut', does: 'hangs' })
    const run = realRunner({
      ...process.env,
      OP_SERVICE_ACCOUNT_TOKEN: server.token.expose(),
      OPENCLAW_SECRET: two.value.expose(),
      NODE_OPTIONS: '--trace-warnings',
      DEBUG: '*',
    })
    const call = refused(client(server, { run, deadline: 2000 }).documents.write(NAME, { current: two }, 1))
    const seen: Seen[] = []
    let done = false
    const watch = (async () => {
      while (!done) {
        seen.push(...running())
        await pause(20)
      }
    })()
    const error = await call
    done = true
    await watch
    expect(seen.length).toBeGreaterThan(2)
    for (const secret of [server.token, one.value, two.value]) {
      for (const { argv, environ } of seen) expect(`${argv}\n${environ}`).not.toContain(secret.expose())
      expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(secret.expose())
    }
    expect(seen.filter(({ environ }) => /NODE_OPTIONS|DEBUG=|OP_SERVICE/.test(environ))).toEqual([])
  })

  it('that cannot be started, or is another program, ends as one without an answer', async () => {
    const server = onePasswordServer()
    const programs: OnePasswordOptions['child'][] = [
      [`${scratch()}/gone.js`],
      ['-e', 'process.kill(process.pid, "SIGKILL")'],
      ['-e', 'process.stdout.write("{}")'],
    ]
    for (const child of programs)
      expect(await refused(client(server, { child }).documents.read(NAME))).toMatchObject({
        code: 'store_unreachable',
        message: 'the library that talks to 1Password ended without an answer',
      })
  })

  it('finds and loads the real library, which judges a token without the network', async () => {
    const token = tokenOf({ signInAddress: 'https://my.1password.com', email: 'nobody' })
    const { documents } = client(onePasswordServer(), { child: [program.script], credential: () => token })
    expect(await refused(documents.read(NAME))).toMatchObject({
      code: 'store_denied',
      message: expect.stringContaining('does not accept the token'),
    })
  })

  it('opens no file with a secret in it', async () => {
    const server = onePasswordServer()
    faulty(server, { on: 'ItemsList', does: 'hangs' })
    const call = refused(client(server, { deadline: 5000 }).documents.read(NAME))
    await pause(3000)
    const open = running().flatMap(({ pid }) =>
      readdirSync(`/proc/${pid}/fd`).map(fd => {
        try {
          return readlinkSync(`/proc/${pid}/fd/${fd}`)
        } catch {
          return ''
        }
      }),
    )
    expect(open.length).toBeGreaterThan(3)
    expect(open.filter(path => path.startsWith('/') && !/^\/(dev|proc)\//.test(path))).toEqual([])
    await call
  })
})
