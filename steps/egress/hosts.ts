import { dirname, relative } from 'node:path'
import { ensureDirectory, writeAtomic } from '../../src/deployment/files.ts'
import type { Step } from '../../src/procedure/step.ts'
import { type EgressContext, filesToWrite } from './context.ts'

type Needs = Pick<EgressContext, 'layout' | 'change' | 'owner'>

/** Writes the list and the rules that follow from it, each file whole. */
export const writeHosts: Step<Needs> = {
  id: 'egress.hosts',
  title: 'Write down who may be reached',
  effect: 'writes',
  skip: ctx => (filesToWrite(ctx).length === 0 ? 'it is as asked for' : undefined),
  async run(ctx) {
    const files = filesToWrite(ctx)
    for (const { path, content, mode, owner } of files) {
      if (path.startsWith(ctx.layout.base)) ensureDirectory(dirname(path), 0o700)
      writeAtomic(path, content, mode, owner)
    }
    return { saw: files.map(({ path }) => relative(ctx.layout.root, path)).join(', ') }
  },
}
