import { createHash } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import { ensureDirectory, writeAtomic } from '../../src/deployment/files.ts'
import { PROXY_PASSWORD } from '../../src/gateway/policy.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { Secret } from '../../src/secret.ts'
import { must, type SetupContext } from './context.ts'
import { ownerOf } from './folder.ts'
import { isAsPlanned } from './plan.ts'

type Needs = Pick<SetupContext, 'answers' | 'written' | 'layout' | 'store' | 'found'>

export const writeFiles: Step<Needs> = {
  id: 'files.write',
  title: 'Write the files',
  effect: 'writes',
  skip: ctx =>
    must(ctx.found, 'plan').files.every(file => isAsPlanned(file, ctx)) ? 'all are as planned' : undefined,
  async run(ctx) {
    const { layout, found } = ctx
    const ownership = must(found, 'ownership')
    const changed = must(found, 'plan').files.filter(file => !isAsPlanned(file, ctx))
    for (const file of changed) {
      const base = resolve(layout.base, file.path)
      ensureDirectory(dirname(base), 0o700)
      writeAtomic(resolve(layout.root, file.path), file.content, file.mode, ownerOf(file, ownership))
      writeAtomic(base, file.content, 0o600)
    }
    return { saw: changed.map(file => file.path).join(', ') }
  },
}

/** nginx's password file. The password has 256 random bits, so its hash needs no stretching. */
export const writePasswordFile: Step<Needs> = {
  id: 'proxy.password',
  title: 'Write nginx’s password file',
  effect: 'writes',
  async skip(ctx) {
    if (ctx.answers.access !== 'proxy') return 'no proxy'
    return isAsPlanned(await passwordFile(ctx), ctx) ? 'it is as planned' : undefined
  },
  async run(ctx) {
    const file = await passwordFile(ctx)
    const base = resolve(ctx.layout.base, file.path)
    ensureDirectory(dirname(base), 0o700)
    writeAtomic(resolve(ctx.layout.root, file.path), file.content, file.mode)
    writeAtomic(base, file.content, 0o600)
    return { saw: file.path }
  },
}

async function passwordFile({ store }: Pick<Needs, 'store'>) {
  const password = (await store.load(PROXY_PASSWORD))?.current?.value
  if (password === undefined) throw new Error('the store lost the proxy password')
  return passwordFileOf(password)
}

/** The file by which nginx knows a password: salted SHA-1, as nginx reads it (ngx_http_auth_basic_module). */
export function passwordFileOf(password: Secret) {
  // A salt that follows from the password keeps a second run from rewriting the file.
  const salt = createHash('sha256').update(`salt:${password.expose()}`).digest().subarray(0, 16)
  const hash = createHash('sha1').update(password.expose()).update(salt).digest()
  const content = `openclaw:{SSHA}${Buffer.concat([hash, salt]).toString('base64')}\n`
  return { path: 'proxy/htpasswd', mode: 0o640, owner: 'person', content } as const
}
