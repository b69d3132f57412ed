import { resolve } from 'node:path'
import { readIfPresent, writeAtomic } from '../../src/deployment/files.ts'
import type { Step } from '../../src/procedure/step.ts'
import { passwordFileOf } from '../setup/files.ts'
import { must, type RotateContext } from './context.ts'

type Needs = Pick<RotateContext, 'layout' | 'found'>

/** nginx reads the file that a person installs: from here on it is theirs to install it. */
export const writeProxyPassword: Step<Needs> = {
  id: 'rotate.proxy',
  title: 'Write nginx’s password file',
  effect: 'writes',
  skip: ctx => {
    const { path, content } = passwordFileOf(must(ctx.found, 'next').value)
    return [ctx.layout.root, ctx.layout.base].every(root => readIfPresent(resolve(root, path)) === content)
      ? 'it is written'
      : undefined
  },
  async run({ layout, found }) {
    const { path, content, mode } = passwordFileOf(must(found, 'next').value)
    writeAtomic(resolve(layout.base, path), content, 0o600)
    writeAtomic(resolve(layout.root, path), content, mode)
    return { saw: path }
  },
}
